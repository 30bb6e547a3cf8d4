"""Find the chapters of a text that has no structure but its lines."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from data.books import Section

SHORTEST_SECTION = 200  # characters below a heading; an entry in a table of contents has fewer
FRONT_MATTER = "front matter"

_LONGEST_HEADING = 1_000  # characters, its blanks and the title on its second line included
_PARAGRAPH = re.compile(r"\S.*(?:\n.*\S.*)*")
_NUMBER = (
    r"(?:[0-9]+|[ivxlc]+|(?:the[ ])?(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven"
    r"|twelve|\w+teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?:-\w+)?|first|second|third|last"
    r"|(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|\w+teen|\w+tie)th)"
    r"|(?:premi|deuxi|troisi|quatri|cinqui|sixi|septi|huiti|neuvi|dixi|\w+zi|\w+nti)[eè](?:r|re|me)"
    r"|seconde?|dernière?|un|une|deux|trois|quatre|cinq|sept|huit|neuf|dix"
    r"|eins|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf)"
)
_PART_WORD = "book|volume|part|livre|tome|partie|buch|band|teil"
_CHAPTER_WORD = (
    "chapter|letter|stave|canto|adventure|act|scene"
    "|chapitre|lettre|chant|acte|scène|kapitel|brief|gesang|akt|aufzug|szene|auftritt"
)
# Numbers that come before the word: 'Erstes Kapitel', 'I. TEIL', '3. Kapitel', 'Première partie'.
_ORDINAL = (
    r"(?:[0-9]{1,3}[.]|[ivxlc]{1,8}[.]|(?:erst|zweit|dritt|viert|fünft|sechst|siebt|siebent|acht"
    r"|neunt|zehnt|elft|zwölft|\w{3,6}zehnt|\w{3,20}zigst|letzt)e[rs]?"
    r"|première|deuxième|seconde|troisième|quatrième|cinquième|sixième|dernière)"
)
_ORDINAL_WORD = "kapitel|teil|theil|buch|band|brief|gesang|akt|aufzug|szene|auftritt|partie"
_NAMED = (
    "(?:prologue|epilogue|preface|introduction|conclusion"
    "|préface|avant-propos|épilogue|vorwort|einleitung|nachwort|prolog|epilog)"
)
_ROMAN_NUMERAL = r"(?=[CLXVI])C{0,3}(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_HEADING = re.compile(
    rf"""
      (?:
        (?: (?i: (?P<word>{_PART_WORD}|{_CHAPTER_WORD}) [ ] (?P<number>{_NUMBER}) )
          | (?i: {_ORDINAL} [ ] (?:{_ORDINAL_WORD}) )
        ) \b
        (?! [ ]?[a-z] ) .{{0,80}}           # but not 'Part two of the plan'
      | (?i: {_NAMED} ) (?: [.:] .{{0,80}} )?
      | (?P<numeral>{_ROMAN_NUMERAL})
        (?: [.]? | [.][ ][^a-z]{{1,80}} | [.][ ][A-Z].{{0,80}}[^\W_] )  # but not 'C. Dupin bowed.'
      )
      (?: \n [^a-z] .{{0,60}} )?            # its title on a second line
    """,
    re.VERBOSE,
)
_MAY_OPEN_HEADING = re.compile(
    rf"(?i:(?:{_PART_WORD}|{_CHAPTER_WORD}|{_ORDINAL})\s|{_NAMED})|[CLXVI]+(?:[.]|[^\S\n]*(?:\n|\Z))"
)
_CHAPTER_WORDS = frozenset(_CHAPTER_WORD.split("|"))
_ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
# A part ends at the first blank line past 6,000 characters; where none comes in time, at a line's
# end, for in some files every line is a paragraph.
_PART = re.compile(r"\S(?:.{5999,11999}?\n[^\S\n]*\n|.{5999,}?\n|.*)", re.DOTALL)


class _Start(NamedTuple):
    """Where a section may begin; `word` is 'chapter', or nothing before a bare numeral."""

    heading: str
    char_start: int
    body_start: int
    word: str | None = None
    number: int | None = None  # None also where it is written out


def find_sections(text: str) -> tuple[Section, ...]:
    """Cut a text at its headings, or, with fewer than two, into parts of about 6,000 characters.

    Every character but white space is in exactly one section, its heading included. A section of
    fewer than 200 characters goes into the next one: so a table of contents makes no sections. It
    stays where its number lies between its neighbours', for chapters of one sentence there are
    (*Through the Looking-Glass*, XI). Numerals that divide single chapters are no headings.
    """
    headings = _without_divisions(list(_headings(text)))
    chapters = _merge_short([_Start(FRONT_MATTER, 0, 0), *headings], text)
    if sum(chapter.heading != FRONT_MATTER for chapter in chapters) >= 2:
        return chapters
    parts = [
        _Start(f"part {number}", part.start(), part.start())
        for number, part in enumerate(_PART.finditer(text), start=1)
    ]
    return _merge_short(parts, text)


def is_heading(paragraph: str) -> bool:
    """Whether a paragraph of one or two lines is a heading, as 'CHAPTER I' and its title."""
    return next(_headings(paragraph), None) is not None


def _headings(text: str) -> Iterator[_Start]:
    for paragraph in _PARAGRAPH.finditer(text):
        start, end = paragraph.span()
        if (
            end - start <= _LONGEST_HEADING
            and text.count("\n", start, end) <= 1
            and _MAY_OPEN_HEADING.match(text, start, end)  # a third of the time of the whole
            and (found := _heading(paragraph[0]))
        ):
            yield _Start(found.words, start, end, found.word, found.number)


class _Heading(NamedTuple):
    words: str
    word: str | None
    number: int | None


# A text of short lines has few distinct ones: remembered, a line takes a tenth of its 10 µs.
@lru_cache(maxsize=1 << 12)
def _heading(paragraph: str) -> _Heading | None:
    lines = [" ".join(line.split()) for line in paragraph.split("\n", 2)]
    if len(lines) > 2 or not (found := _HEADING.fullmatch("\n".join(lines))):
        return None
    word = "" if found["numeral"] else (found["word"] or "").lower() or None
    number = number_of((found["number"] or found["numeral"] or "").lower())
    return _Heading(" ".join(lines), word, number)


def number_of(numeral: str) -> int | None:
    """The value of '12' or 'xii'; None of anything else."""
    if numeral.isdecimal():
        return int(numeral) if len(numeral) < 5 else None
    if not numeral or not set(numeral) <= set(_ROMAN_VALUES):
        return None
    values = [_ROMAN_VALUES[letter] for letter in numeral]
    return sum(
        -value if value < following else value for value, following in pairwise([*values, 0])
    )


def _without_divisions(starts: Sequence[_Start]) -> list[_Start]:
    """Leave out runs 'I.', 'II.', ... below a 'CHAPTER 1' that are followed by another 'CHAPTER'.

    A book may also go on in bare numerals after four letters; then no letter comes after them.
    """
    kept: list[_Start] = []
    run: list[_Start] = []  # of numerals below the last kept one
    for start in starts:
        above = kept[-1].word if kept else None
        if above in _CHAPTER_WORDS and start.word == "" and start.number == len(run) + 1:
            run.append(start)
        else:
            kept += [start] if start.word == above else [*run, start]
            run = []
    return kept + run


def _merge_short(starts: Sequence[_Start], text: str) -> tuple[Section, ...]:
    sections: list[Section] = []
    merged_from: int | None = None
    end_of_text = _Start("", len(text), len(text))
    for index, start in enumerate(starts):
        after = starts[index + 1] if index + 1 < len(starts) else end_of_text
        end = after.char_start
        num_characters = _num_prose_characters(text, start.body_start, end)
        is_in_line = (
            index > 0
            and merged_from is None
            and num_characters > 0
            and _follows(start, starts[index - 1])
            and _follows(after, start)
        )
        is_all_there_is = end == len(text) and not sections
        merged_from = start.char_start if merged_from is None else merged_from
        if is_all_there_is or is_in_line or num_characters >= SHORTEST_SECTION:
            sections.append(Section(start.heading, merged_from, end).trimmed(text))
            merged_from = None
    if merged_from is not None:  # nothing follows the last one
        sections[-1] = replace(sections[-1], char_end=len(text)).trimmed(text)
    return tuple(sections)


def _follows(start: _Start, before: _Start) -> bool:
    is_next = before.number is not None and start.number == before.number + 1
    return is_next and start.word == before.word


def _num_prose_characters(text: str, start: int, end: int) -> int:
    """Characters of a section's lines but for entries of a table of contents; counted as far as
    matters.
    """
    total = 0
    while start < end and total < SHORTEST_SECTION:
        line_end = text.find("\n", start, end)
        line_end = end if line_end < 0 else line_end
        line = " ".join(text[start:line_end].split())
        if line and (len(line) > _LONGEST_HEADING or not _heading(line)):
            total += len(line) + 1
        start = line_end + 1
    return total
