"""Sections from a table of contents that has parts with chapters in them.

    Part One          a few words, or none             }  one section,
        I             12,000 characters                }  "Part One: I"
        II            9,000 characters                    "II"
    Part Two          a page of its own, 2,000 characters  "Part Two"
        III           10,000 characters                   "III"

Leaves are sections, and parts that have a text of their own: books of stories with notes before
each need both, and what a part's title page holds would make a section of ten words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from data.books import Section
from data.headings import FRONT_MATTER, SHORTEST_SECTION

_MOST_SHORT = 3  # entries for a title, an edition, a dedication between two of the front matter


@dataclass(frozen=True)
class Start:
    """Where an entry of a table of contents begins; `is_front` of covers, contents and the like."""

    level: int  # 1 is the outermost
    words: str
    char_start: int
    is_front: bool = False


def sections_from(starts: Sequence[Start], text: str) -> tuple[Section, ...]:
    """Cut a text where its table of contents says.

    Every character but white space is in exactly one section. What is before the first entry is
    front matter; so are the first entries where they are, up to three short ones between them
    included. Entries without text are left out.

    Args:
        starts: in the order of the table; those at one offset stay in it.
        text: the book's.
    """
    in_order = sorted(starts, key=lambda start: start.char_start)
    merged = [Start(1, FRONT_MATTER, 0, is_front=True)]
    parts: list[Start] = []  # without a text of their own, outermost first
    for start, after in pairwise([*in_order, Start(0, "", len(text))]):
        if parts and parts[-1].level >= start.level:
            merged.append(_joined(parts))
            parts = []
        num_characters = len(text[start.char_start : after.char_start].strip())
        if after.level > start.level and num_characters <= SHORTEST_SECTION:
            parts.append(start)
        elif num_characters:
            merged.append(_joined([*parts, start]))
            parts = []
    if parts:
        merged.append(_joined(parts))
    ends = [start.char_start for start in merged[1:]] + [len(text)]
    spans = [
        (start, end)
        for start, end in zip(merged, ends, strict=True)
        if text[start.char_start : end].strip()
    ]
    num_front = _num_front(spans)
    sections = [Section(start.words, start.char_start, end) for start, end in spans[num_front:]]
    if num_front:
        sections.insert(0, Section(FRONT_MATTER, 0, spans[num_front - 1][1]))
    return tuple(sections)


def _joined(starts: Sequence[Start]) -> Start:
    """The section of parts and the first chapter in them: 'Part One: I'."""
    words = [
        one.words for one, below in pairwise(starts) if not below.words.startswith(one.words)
    ] + [starts[-1].words]
    first = starts[0]
    is_front = all(one.is_front for one in starts)
    return Start(starts[-1].level, ": ".join(words), first.char_start, is_front)


def _num_front(spans: Sequence[tuple[Start, int]]) -> int:
    """How many of the first sections are front matter."""
    num_front = num_short = 0
    for index, (start, end) in enumerate(spans):
        if start.is_front:
            num_front, num_short = index + 1, 0
        else:
            num_short += 1
            if end - start.char_start >= SHORTEST_SECTION or num_short > _MOST_SHORT:
                break
    return num_front
