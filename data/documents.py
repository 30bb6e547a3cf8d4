"""What a file of any format is read into, before it becomes a book; and changes to its text.

    raw bytes --(plain text, HTML, Markdown, EPUB)--> Document --(boilerplate, layout)--> Book

Offsets are in characters of the document's text. Readers raise `Unreadable`; who knows the source's
name makes a refusal of it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from data.books import Section


class Unreadable(Exception):
    """Bytes that are not read: why, what their owner can do, and where, in bytes."""

    def __init__(self, reason: str, remedy: str, offset: int | None = None) -> None:
        super().__init__(f"{reason} {remedy}")
        self.reason, self.remedy, self.offset = reason, remedy, offset


@dataclass(frozen=True)
class Document:
    """A text, the sections that its format tells of, and what it says of itself.

    `sections` is empty where the format has no structure; `encoding_reason` is why the bytes were
    read in this encoding, as a person would say it. Whatever the document does not tell is None.
    """

    text: str
    encoding: str
    encoding_reason: str
    sections: tuple[Section, ...] = ()
    title: str | None = None
    author: str | None = None
    year: int | None = None
    language: str | None = None  # two-letter code
    licence: str | None = None
    notes_characters: int = 0  # that are not in the text: of notes, and of pages held apart


@dataclass(frozen=True)
class Removal:
    """`text[start:end]` of a document, which is no part of the book; `kind` says what it is."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class Edit:
    """`text` in place of `text[start:end]` of a document."""

    start: int
    end: int
    text: str


def without(document: Document, removals: Sequence[Removal]) -> Document:
    """The document without what is removed; sections keep their words, empty ones are gone.

    Args:
        document: the document.
        removals: in any order; they may overlap.
    """
    return edited(document, [Edit(start, end, "") for start, end in merged(removals)])


def merged(removals: Sequence[Removal]) -> list[tuple[int, int]]:
    """Start and end of what goes, in order, without overlaps or empty spans."""
    spans: list[tuple[int, int]] = []
    for removal in sorted(removals, key=lambda one: one.start):
        if spans and removal.start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], removal.end))
        elif removal.start < removal.end:
            spans.append((removal.start, removal.end))
    return spans


def edited(document: Document, edits: Sequence[Edit]) -> Document:
    """The document with all edits made; sections follow their words, empty ones are gone.

    A section's bound inside an edit keeps its distance from the edit's start, as far as the new
    text reaches.

    Args:
        document: the document.
        edits: in any order.

    Raises:
        ValueError: two edits overlap.
    """
    in_order = sorted(edits, key=lambda one: (one.start, one.end))
    pieces: list[str] = []
    starts: list[int] = []  # of the edits in the document's text,
    new_starts: list[int] = []  # and in the new one
    position = length = 0
    for edit in in_order:
        if edit.start < position or edit.end < edit.start:
            raise ValueError(f"{edit} overlaps the edit before it, which ends at {position}.")
        pieces += [document.text[position : edit.start], edit.text]
        starts.append(edit.start)
        new_starts.append(length + edit.start - position)
        length = new_starts[-1] + len(edit.text)
        position = edit.end
    text = "".join([*pieces, document.text[position:]])

    def moved(offset: int) -> int:
        index = bisect_right(starts, offset) - 1
        if index < 0:
            return offset
        edit, new_start = in_order[index], new_starts[index]
        if offset < edit.end:
            return new_start + min(offset - edit.start, len(edit.text))
        return new_start + len(edit.text) + offset - edit.end

    moved_sections = (
        Section(one.heading, moved(one.char_start), moved(one.char_end))
        for one in document.sections
    )
    sections = tuple(one for one in moved_sections if text[one.char_start : one.char_end].strip())
    return replace(document, text=text, sections=sections)
