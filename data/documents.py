"""What a file of any format is read into, before it becomes a book; and cutting things out of it.

    raw bytes --(plain text, HTML, Markdown, EPUB)--> Document --(boilerplate, layout)--> Book

Offsets are in characters of the document's text. Readers raise `Unreadable`; who knows the source's
name makes a refusal of it.
"""

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


@dataclass(frozen=True)
class Removal:
    """`text[start:end]` of a document, which is no part of the book; `kind` says what it is."""

    start: int
    end: int
    kind: str


def without(document: Document, removals: Sequence[Removal]) -> Document:
    """The document without what is removed; sections keep their words, empty ones are gone.

    Args:
        document: the document.
        removals: in any order; they may overlap.
    """
    spans: list[tuple[int, int]] = []
    for removal in sorted(removals, key=lambda one: one.start):
        if spans and removal.start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], removal.end))
        elif removal.start < removal.end:
            spans.append((removal.start, removal.end))
    kept, position = [], 0
    for start, end in spans:
        kept.append(document.text[position:start])
        position = end
    text = "".join([*kept, document.text[position:]])

    def moved(offset: int) -> int:
        return offset - sum(min(end, offset) - start for start, end in spans if start < offset)

    moved_sections = (
        Section(one.heading, moved(one.char_start), moved(one.char_end))
        for one in document.sections
    )
    sections = tuple(one for one in moved_sections if text[one.char_start : one.char_end].strip())
    return replace(document, text=text, sections=sections)
