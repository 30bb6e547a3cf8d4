"""Undo what the printed page did to a text: words cut at line ends, page numbers, running heads.

What is page and what is book is told by one observation: a page turns in the middle of a sentence,
a chapter, a stanza or a speaker's name does not. So a line that recurs is furniture of the page if
it often stands between two halves of a sentence.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from data.documents import Document, Edit, edited
from data.headings import number_of
from data.lines import Lines, Places, find_lines, paragraphs
from data.settings import Settings

_LETTER = r"[^\W\d_]"
_SOFT_HYPHEN = "\xad"
_WORD = re.compile(rf"{_LETTER}+(?:[-‐]{_LETTER}+)*")
_INSIDE_WORD = re.compile(rf"(?:{_LETTER}|{_LETTER}[-‐])\Z")
_FEW_WORDS = 20
_SHORT_WORD = rf"{_LETTER}{{1,40}}(?:[-‐]{_LETTER}{{1,40}}){{0,3}}"
_HYPHENS = f"-‐{_SOFT_HYPHEN}"
_LINE_END_AT_HYPHEN = re.compile(rf"\n(?<=[{_HYPHENS}]\n)[^\S\n]*(?P<second>{_SHORT_WORD})")
_WORD_BACKWARDS = re.compile(rf"{_SHORT_WORD}(?!{_LETTER})")
_LONGEST_SHORT_WORD = 4 * 40 + 3
_TO_NEXT_SPACE = re.compile(r"\S{1,80} ")

_FIRST_LETTER = re.compile(_LETTER)
_PAGE_LINE = re.compile(
    r"[-–—\[({]{0,2} ?(?:page |pg\.? ?|p\. ?)?([0-9]{1,4}) ?[-–—\])}]{0,2}", re.IGNORECASE
)
_ROMAN_PAGE_LINE = re.compile(r"[-–—\[({]{0,2} ?([ivxlc]{1,7}) ?[-–—\])}]{0,2}")
_ROMAN = "roman"  # the key of such lines
_LONGEST_ROMAN = 11  # characters, with the marks around it
_SURE_PAGE_LINES = {"[pg]", "[pg.]", "[page]", "[p.]", "{pg}", "{page}", "{p.}", "{}"}
_PAGE_IN_LINE = re.compile(r"[\[{](?:pg\.?|page) ?\d{1,4}[\]}]", re.IGNORECASE)
_SENTENCE_ENDS = ".!?:;…\"'”’»)]*_"
_LONGEST_HEAD = 60  # characters
_MOST_LINES = 3  # of furniture between two blank lines
_LONGEST_BLOCK = 1_000  # characters of them, the blanks that centre them included
_FARTHEST_PAGE = 8  # from the number before: some pages, with pictures or titles, show none
_IN_SENTENCE = 0.25  # of the lines that recur; by chance a page turns so in more than half

_PLAIN_BY_CHARACTER = {"“": '"', "”": '"', "„": '"', "‟": '"', "«": '"', "»": '"', "‹": "'"}
_PLAIN_BY_CHARACTER |= {"›": "'", "‘": "'", "’": "'", "‚": "'", "‛": "'", "‐": "-", "‑": "-"}
_PLAIN_BY_CHARACTER |= {"–": "-", "—": "--", "―": "--", "…": "..."}
_PLAIN = str.maketrans(_PLAIN_BY_CHARACTER)
_TYPOGRAPHIC = re.compile(f"[{''.join(_PLAIN_BY_CHARACTER)}]+")
_LINE_END_IN_PARAGRAPH = re.compile(r"(?<=\S)\n(?=\S)")
_SHORTEST_WRAPPED_LINE = 45  # characters; a shorter line ends where its author ended it


class Layout(Settings):
    """What of the printed page is undone."""

    join_hyphens: Literal["known", "always", "never"] = "known"
    """Join a word cut at a line's end: where the text has the joined word elsewhere, or always."""
    remove_page_numbers: bool = True
    """Take out '[Pg 12]', '{12}' and lines '- 12 -' or '12' that count the pages."""
    remove_running_heads: bool = True
    """Take out a short line that recurs in the middle of sentences: a title atop the pages."""
    fewest_repeats: int = Field(5, ge=2)
    """Fewer lines than this are neither page numbers nor running heads."""
    plain_typography: bool = False
    """Write “ ” ‘ ’ — … as " " ' ' -- ...; off, for a book's characters are the book's."""
    unwrap_lines: bool = False
    """Write a paragraph of prose as one line. Off, for sentences and tokens take any white space
    for one space, and so it would change only how the text looks."""


def tidy(document: Document, settings: Layout) -> Document:
    """Undo the printed page; sections follow their words.

    Page furniture goes first, for it may lie between the halves of a word.
    """
    steps: list[Callable[[str], Iterator[Edit]]] = []
    if settings.remove_page_numbers or settings.remove_running_heads:
        steps.append(lambda text: _without_furniture(text, settings))
    if settings.remove_page_numbers:
        steps.append(_without_pages_in_lines)
    if settings.join_hyphens != "never":
        steps.append(lambda text: _joined_words(text, settings.join_hyphens == "always"))
    if settings.unwrap_lines:
        steps.append(_unwrapped)
    if settings.plain_typography:
        steps.append(_plain)
    for step in steps:
        document = edited(document, list(step(document.text)))
    return document


class _Line(NamedTuple):
    start: int
    end: int
    key: str  # what recurs: the form of a page number, or the words of a running head
    number: int | None  # of a page line


class _Block(NamedTuple):
    """Lines that may be furniture, alone between two paragraphs of the book."""

    above: int  # the end of the paragraph above, or the text's beginning
    below: int  # the start of the paragraph below, or the text's end
    lines: tuple[_Line, ...]
    is_in_sentence: bool


def _without_furniture(text: str, settings: Layout) -> Iterator[Edit]:
    blocks = _blocks(text, settings.fewest_repeats)
    furniture: set[_Line] = set()
    by_key: dict[str, list[tuple[_Line, bool]]] = {}
    for block in blocks:
        for line in block.lines:
            by_key.setdefault(line.key, []).append((line, block.is_in_sentence))
    for key, lines in by_key.items():
        is_page = lines[0][0].number is not None
        if is_page and key in _SURE_PAGE_LINES and settings.remove_page_numbers:
            furniture.update(line for line, _ in lines)
        elif settings.remove_page_numbers if is_page else settings.remove_running_heads:
            for run in _increasing(lines) if is_page else [lines]:
                num_in_sentence = sum(is_in_sentence for _, is_in_sentence in run)
                if len(run) >= settings.fewest_repeats and num_in_sentence >= _IN_SENTENCE * len(
                    run
                ):
                    furniture.update(line for line, _ in run)
    for block in blocks:
        if furniture.issuperset(block.lines):
            between = "\n" if block.is_in_sentence else "\n\n"
            is_between = block.above > 0 and block.below < len(text)
            yield Edit(block.above, block.below, between if is_between else "")
        else:
            for line in block.lines:
                if line in furniture:
                    yield Edit(line.start, min(line.end + 1, len(text)), "")


def _blocks(text: str, fewest_repeats: int) -> list[_Block]:
    """Costs at most 2 s a megabyte, where every paragraph is one letter."""
    lines = find_lines(text)
    firsts, lasts = paragraphs(lines)
    starts, ends = lines.first[firsts], lines.ends[lasts]
    # Few paragraphs are of lines that recur, and only these are looked at closely.
    page_lines = {
        index: own
        for index in _recurring(text, lines, firsts, lasts, fewest_repeats)
        if (own := _page_lines(text, lines, int(firsts[index]), int(lasts[index])))
    }
    blocks: list[_Block] = []
    for first, last in _neighbours(list(page_lines)):
        above = int(ends[first - 1]) if first > 0 else None
        below = int(starts[last + 1]) if last + 1 < len(starts) else None
        is_in_sentence = (
            above is not None
            and below is not None
            and text[starts[first - 1] : above].rstrip()[-1] not in _SENTENCE_ENDS
            and text[below].islower()
        )
        blocks.append(
            _Block(
                above or 0,
                _start_below(text, below, is_in_sentence),
                tuple(line for index in range(first, last + 1) for line in page_lines[index]),
                is_in_sentence,
            )
        )
    return blocks


def _recurring(
    text: str, lines: Lines, firsts: Places, lasts: Places, fewest_repeats: int
) -> list[int]:
    """The paragraphs that are as short as furniture and all of whose lines recur in such ones."""
    widest = np.maximum.reduceat(lines.widths, firsts) if len(firsts) else firsts
    short = np.flatnonzero(
        (lasts - firsts < _MOST_LINES)
        & (lines.ends[lasts] - lines.first[firsts] <= _LONGEST_BLOCK)
        & (widest <= _LONGEST_HEAD)
    )
    if not len(short):
        return []
    num_lines = lasts[short] - firsts[short] + 1
    first_lines = np.cumsum(num_lines) - num_lines
    places = np.repeat(firsts[short] - first_lines, num_lines) + np.arange(num_lines.sum())
    keys = [lines.keys[place] for place in places.tolist()]
    for index in [i for i, key in enumerate(keys) if len(key) <= _LONGEST_ROMAN]:
        place = places[index]
        keys[index] = _key(keys[index], text, lines.starts[place], lines.ends[place])
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    own = np.fromiter(map(numbers.__getitem__, keys), np.int64, len(keys))
    is_furniture = np.bincount(own) >= fewest_repeats
    is_furniture[[numbers[key] for key in _SURE_PAGE_LINES if key in numbers]] = True
    return [*map(int, short[np.logical_and.reduceat(is_furniture[own], first_lines)])]


def _neighbours(indices: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The first and the last of each run of indices that follow each other."""
    for _, run in groupby(enumerate(indices), key=lambda pair: pair[1] - pair[0]):
        own = [index for _, index in run]
        yield own[0], own[-1]


def _start_below(text: str, below: int | None, is_in_sentence: bool) -> int:
    """A new paragraph keeps its indentation; the rest of a broken one has none of its own."""
    if below is None:
        return len(text)
    return below if is_in_sentence else text.rfind("\n", 0, below) + 1


def _key(folded: str, text: str, start: int, end: int) -> str:
    """What recurs of a line: that it is a roman number, or its words, which `folded` has."""
    may_be_roman = len(folded) <= _LONGEST_ROMAN and _ROMAN_PAGE_LINE.fullmatch(folded)
    is_roman = may_be_roman and _ROMAN_PAGE_LINE.fullmatch("".join(text[start:end].split()))
    return _ROMAN if is_roman else folded


def _page_lines(text: str, lines: Lines, first: int, last: int) -> tuple[_Line, ...]:
    """The lines of a paragraph that looks like page numbers and running heads; else none."""
    found: list[_Line] = []
    for index in range(first, last + 1):
        start, end = int(lines.starts[index]), int(lines.ends[index])
        form = _form(text[start:end].strip())
        if form.number is None and not form.is_head:
            return ()
        key = _key(lines.keys[index], text, start, end)
        found.append(_Line(start if found else int(lines.first[index]), end, key, form.number))
    return tuple(found)


class _Form(NamedTuple):
    """What a short line is by its words alone."""

    number: int | None  # of a page line
    is_head: bool


@lru_cache(maxsize=1 << 12)
def _form(line: str) -> _Form:
    page = _PAGE_LINE.fullmatch(line) or _ROMAN_PAGE_LINE.fullmatch(line)
    first_letter = _FIRST_LETTER.search(line)
    is_head = first_letter is not None and not first_letter[0].islower()
    return _Form(number_of(page[1]) if page else None, is_head)


def _increasing(lines: Sequence[tuple[_Line, bool]]) -> Iterator[list[tuple[_Line, bool]]]:
    """The runs in which each number is a few more than the one before."""
    run: list[tuple[_Line, bool]] = []
    for line in lines:
        number, before = line[0].number or 0, (run[-1][0].number or 0) if run else None
        if before is not None and not before < number <= before + _FARTHEST_PAGE:
            yield run
            run = []
        run.append(line)
    yield run


def _without_pages_in_lines(text: str) -> Iterator[Edit]:
    if "[" not in text and "{" not in text:
        return
    for page in _PAGE_IN_LINE.finditer(text):
        yield Edit(*page.span(), "")


class _CutWord(NamedTuple):
    """`first`, a hyphen at `start`, a line end, and `second` from `end` on."""

    first: str
    hyphen: str
    second: str
    start: int
    end: int


def _cut_words(text: str) -> Iterator[_CutWord]:
    # From the line's end back: a search for the word before it takes 50 times as long.
    for line_end in _LINE_END_AT_HYPHEN.finditer(text):
        start = line_end.start() - 1
        before = text[max(0, start - _LONGEST_SHORT_WORD - 1) : start]
        if first := _WORD_BACKWARDS.match(before[::-1]):
            second = line_end.start("second")
            yield _CutWord(first[0][::-1], text[start], line_end["second"], start, second)


def _joined_words(text: str, always: bool) -> Iterator[Edit]:
    """Words in one piece, the line end behind them.

    Without the hyphen where the text has the word so elsewhere; with it where it has that.
    """
    if not (cuts := list(_cut_words(text))):
        return
    halves = {(cut.first.casefold(), cut.second.casefold()) for cut in cuts}
    forms = {f"{first}{hyphen}{second}" for first, second in halves for hyphen in ("", "-")}
    occurrences = _occurrences(text.casefold(), forms)

    @cache
    def is_joined(first: str, hyphen: str, second: str) -> bool | None:
        joined = occurrences[f"{first}{second}".casefold()]
        hyphenated = occurrences[f"{first}-{second}".casefold()]
        if hyphen == _SOFT_HYPHEN or joined >= max(1, hyphenated):
            return True
        if hyphenated:
            return False
        is_one_word = second[0].islower() or first.isupper()  # unlike 'Anglo-Saxon'
        return is_one_word if always else None

    for cut in cuts:
        joined = is_joined(cut.first, cut.hyphen, cut.second)
        if joined is not None:
            yield Edit(cut.start if joined else cut.start + 1, cut.end, "")
            if rest := _TO_NEXT_SPACE.match(text, cut.end):
                yield Edit(rest.end() - 1, rest.end(), "\n")


def _occurrences(text: str, words: Collection[str]) -> Mapping[str, int]:
    """How often a text has each of the words, as a word of its own.

    A few are looked for one by one, 2 ms a megabyte each; to count all words takes 80.
    """
    if len(words) > _FEW_WORDS:
        return Counter(_WORD.findall(text))
    return {
        word: sum(
            not _INSIDE_WORD.search(text[max(0, found.start() - 2) : found.start()])
            for found in re.finditer(rf"{re.escape(word)}(?!{_LETTER}|[-‐]{_LETTER})", text)
        )
        for word in words
    }


def _unwrapped(text: str) -> Iterator[Edit]:
    for line_end in _LINE_END_IN_PARAGRAPH.finditer(text):
        start_of_line = text.rfind("\n", 0, line_end.start()) + 1
        if line_end.start() - start_of_line >= _SHORTEST_WRAPPED_LINE:
            yield Edit(*line_end.span(), " ")


def _plain(text: str) -> Iterator[Edit]:
    for characters in _TYPOGRAPHIC.finditer(text):
        yield Edit(*characters.span(), characters[0].translate(_PLAIN))
