"""What every source of books hands on: a book with its sections, or a refusal with its reason."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A chapter, scene or letter: `text[char_start:char_end]` of its book, in characters.

    A book's sections are in order and do not overlap; only white space lies outside them.
    """

    heading: str
    char_start: int
    char_end: int

    def trimmed(self, text: str) -> "Section":
        """The section without white space at its edges."""
        inside = text[self.char_start : self.char_end]
        start = self.char_end - len(inside.lstrip())
        return Section(self.heading, start, self.char_start + len(inside.rstrip()))


@dataclass(frozen=True)
class Book:
    """A book as it was read. Whatever the source does not tell is None."""

    book_id: str
    title: str
    author: str | None
    year: int | None
    genre: str | None
    language: str | None  # two-letter code
    source: str
    licence: str | None
    encoding: str
    encoding_reason: str
    sha256: str  # hexadecimal, of the source's raw bytes
    text: str
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Refusal:
    """An input that was refused: why, and what its owner can do about it."""

    source: str
    step: str
    reason: str
    remedy: str
    offset: int | None  # in bytes from the start of the source
