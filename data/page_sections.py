"""The sections of a page, from its own headings."""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise

from data.books import Section
from data.headings import FRONT_MATTER, SHORTEST_SECTION
from data.markup import Heading, PageText


def sections_of(page: PageText) -> tuple[Section, ...]:
    """Cut a page at the headings that structure it; none where fewer than two sections come of it.

    Those are the headings down to the first level at which most have a text of their own, of 200
    characters: parts and chapters, but not what divides a chapter. A heading with less than that
    goes into the next one's section, and into its name, if that is one level or more below: 'PART
    ONE: Chapter 1'. Not so the only heading of its level, which is a title page's. Lines that
    repeat a heading are a table of contents' and count for nothing.

    Every character but white space is in exactly one section; what comes before the first heading
    is front matter. It costs one pass over the text for each level that is looked at.
    """
    if len(page.headings) < 2:
        return ()
    cuts, lengths = _structure(page)
    level_counts = Counter(cut.level for cut in cuts)
    sections: list[Section] = []
    first = cuts[0].char_start
    if page.text[:first].strip():
        sections.append(Section(FRONT_MATTER, 0, first).trimmed(page.text))
    names: list[str] = []
    start = first
    ends = [*(cut.char_start for cut in cuts[1:]), len(page.text)]
    for index, (cut, end, length) in enumerate(zip(cuts, ends, lengths, strict=True)):
        if length >= SHORTEST_SECTION:
            name = ": ".join([*names, cut.words])
            sections.append(Section(name, start, end).trimmed(page.text))
            names, start = [], end
        elif index + 1 < len(cuts):
            goes_deeper = cuts[index + 1].level > cut.level
            if not goes_deeper:
                names = []
            elif level_counts[cut.level] > 1:
                names.append(cut.words)
        elif sections:  # nothing follows the last one
            last = sections.pop()
            sections.append(Section(last.heading, last.char_start, end).trimmed(page.text))
    if sum(section.heading != FRONT_MATTER for section in sections) < 2:
        return ()
    return tuple(sections)


def _structure(page: PageText) -> tuple[Sequence[Heading], list[int]]:
    """The headings to cut at, and the length of the text below each."""
    headings = page.headings
    repeated = {heading.words for heading in headings}
    cuts, lengths = headings, _lengths(page.text, headings, repeated)
    has_text = [length >= SHORTEST_SECTION for length in lengths]
    for level in sorted({heading.level for heading in headings}):
        at_level = [has for has, one in zip(has_text, headings, strict=True) if one.level == level]
        if sum(at_level) >= max(2, len(at_level) / 2):
            cuts = tuple(heading for heading in headings if heading.level <= level)
            lengths = _lengths(page.text, cuts, repeated)
            break
    return cuts, lengths


def _lengths(text: str, cuts: Sequence[Heading], repeated: Collection[str]) -> list[int]:
    """Characters below each heading, white space as one blank, without lines that are headings."""
    starts = [*(cut.char_start for cut in cuts), len(text)]
    lengths = []
    for cut, (start, end) in zip(cuts, pairwise(starts), strict=True):
        length = num_of_heading = 0
        for line in text[start:end].split("\n"):
            words = " ".join(line.split())
            if num_of_heading < len(cut.words):
                num_of_heading += len(words) + 1
            elif words not in repeated:
                length += len(words) + 1
        lengths.append(length)
    return lengths
