"""What every source of books hands on: a book with its sections, or a refusal with its reason."""

import re
from dataclasses import dataclass

from data.addresses import without_login

YEARS = range(-3000, 3001)
"""In which a book may have been published."""

# A file's name, and what a parser quotes of a file, may hold what is no text, or what a terminal
# obeys; tables, keys and messages may not.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(words: str) -> str:
    """With escapes for control characters and for what is no valid UTF-8."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), words)


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
    gutenberg_number: int | None = None  # in Project Gutenberg's catalogue


@dataclass(frozen=True)
class Refusal:
    """An input that was refused: why, and what its owner can do about it; all of it is escaped,
    and without passwords.
    """

    source: str
    step: str
    reason: str
    remedy: str
    offset: int | None  # in bytes from the start of the source

    def __post_init__(self) -> None:
        for name in ("source", "reason", "remedy"):
            object.__setattr__(self, name, without_login(escaped(getattr(self, name))))
