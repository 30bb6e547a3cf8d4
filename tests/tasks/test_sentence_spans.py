"""Sentences cut by answers that were remembered: Punkt's own cut, on anything."""

import os
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

from data.plays import read_plays
from tasks.seams import sentence_spans as module
from tasks.seams.sentence_spans import BLANK_LINES, SentenceCutter, paragraphs_of
from tasks.seams.tokeniser import SentenceSplitter, learn_punkt

TEST_DATA = Path(
    os.environ.get("BOOKLOOM_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
PIECES = [
    *"aAb .?!\"')]…,\n\t”‘\u00a0\u2028\x1c", "Mr.", "Mr. D", "3.", "...", ". . .", "I.", "U.S.",
    "  ", "the king. The king", "Exit. ", "\n\n", "\n \n", "\0",
]  # fmt: skip
BLANK_LINE_KEPT = re.compile(rf"({BLANK_LINES.pattern})")


@cache
def punkt() -> PunktSentenceTokenizer:
    learned = learn_punkt("\n\n".join(book.text for book in list(read_plays())[:4]))
    parameters = PunktParameters()
    parameters.abbrev_types = {*learned.abbreviations, "mr", "u.s"}
    parameters.collocations = set(learned.collocations)
    parameters.sent_starters = set(learned.sentence_starters)
    for word, flags in learned.orthographic_contexts:
        parameters.add_ortho_context(word, flags)
    return PunktSentenceTokenizer(parameters)


@cache
def cutter() -> SentenceCutter:
    return SentenceCutter(punkt())


def cut(text: str) -> list[tuple[int, int]]:
    return cutter().cut(text, paragraphs_of(text, 0, len(text)))


def cut_by_punkt(text: str) -> Iterator[tuple[int, int]]:
    """Each paragraph by itself."""
    start = 0
    for paragraph in BLANK_LINE_KEPT.split(text):
        if paragraph.strip():
            spans = punkt().span_tokenize(paragraph)
            yield from ((start + first, start + last) for first, last in spans)
        start += len(paragraph)


@given(st.lists(st.sampled_from(PIECES), max_size=16).map("".join) | st.text(max_size=40))
@example("")
@example("Mr. . . D. it's.) The")
@example("Mr.\n\n. D.) \n\n) Mr. D")
@example("\n.??")
@example("a\n\n .??")
@settings(deadline=None, max_examples=1500)
def test_wild_strings_are_cut_as_punkt_cuts_them(text: str) -> None:
    assert cut(text) == list(cut_by_punkt(text))


@pytest.mark.parametrize("unit", [".)", "?!", "@.", ".]", "a.b", "Mr.", ".\u00a0", "a,", "3.)"])
@pytest.mark.parametrize("number", [2, 3, 300])
def test_a_word_of_many_marks_is_cut_as_punkt_cuts_it(unit: str, number: int) -> None:
    for paragraph in (unit * number, f"{unit * number} The king. {unit * number} king."):
        assert cut(paragraph) == list(punkt().span_tokenize(paragraph))


def test_the_plays_are_cut_as_punkt_cuts_them() -> None:
    for book in list(read_plays())[4::6]:
        assert cut(book.text) == list(cut_by_punkt(book.text))


@pytest.mark.skipif(
    not TEST_DATA.is_dir(), reason=f"{TEST_DATA} is not here; set BOOKLOOM_TEST_DATA"
)
def test_a_novel_is_cut_as_punkt_cuts_it() -> None:
    text = (TEST_DATA / "books" / "dickens_twocities.txt").read_bytes().decode("latin-1")
    text = text.replace("\r\n", "\n")
    assert cut(text) == list(cut_by_punkt(text))


def test_answers_without_end_are_forgotten_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ANSWERS", 20)
    small = SentenceCutter(punkt())
    for number in range(60):
        paragraph = f"It was w{number}. Then Mr. W{number} came. So?"
        assert small.cut(paragraph, [(0, len(paragraph))]) == list(punkt().span_tokenize(paragraph))


def test_a_splitter_also_ends_sentences_at_blank_lines() -> None:
    splitter = SentenceSplitter(learn_punkt("One. Two. Three."))
    text = "A heading\n \nOne. Two"
    assert [text[a:b] for a, b in splitter.spans(text)] == [
        "A heading",
        "One.",
        "Two",
    ]


def test_stretches_of_a_text_are_cut_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    splitter = SentenceSplitter(learn_punkt("One. Two. Three."))
    text = "Mr. X came. Then he\nwent. So?\n\n  Yes.) No."
    edges = [0, 3, 8, 14, 25, 31, 33, len(text)]
    for first in range(len(edges)):
        for stretches in ([*pairwise(edges[first:])], [*pairwise(edges[first:])][::2]):
            for size in (1, 10, 1000):
                monkeypatch.setattr(module, "CHARACTERS_AT_ONCE", size)
                assert splitter.spans(text, stretches) == [
                    (start + a, start + b)
                    for start, end in stretches
                    for a, b in splitter.spans(text[start:end])
                ]
