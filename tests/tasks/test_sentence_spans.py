"""Sentences cut by answers that were remembered: Punkt's own cut, on anything."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

from data.plays import read_plays
from tasks.seams import sentence_spans as module
from tasks.seams.sentence_spans import SentenceCutter
from tasks.seams.tokeniser import BLANK_LINES, SentenceSplitter, learn_punkt

TEST_DATA = Path(
    os.environ.get("BOOKLOOM_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
PIECES = [
    *"aAb .?!\"')]…,\n\t”‘\u00a0\u2028\x1c", "Mr.", "Mr. D", "3.", "...", ". . .", "I.", "U.S.",
    "  ", "the king. The king", "Exit. ",
]  # fmt: skip


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


def paragraphs_of(text: str) -> Iterator[str]:
    return (part for part in BLANK_LINES.split(text) if part.strip())


@given(st.lists(st.sampled_from(PIECES), max_size=16).map("".join) | st.text(max_size=40))
@example("")
@example("Mr. . . D. it's.) The")
@settings(deadline=None, max_examples=1500)
def test_wild_strings_are_cut_as_punkt_cuts_them(paragraph: str) -> None:
    assert list(cutter().cut(paragraph)) == list(punkt().span_tokenize(paragraph))


@pytest.mark.parametrize("unit", [".)", "?!", "@.", ".]", "a.b", "Mr.", ".\u00a0", "a,", "3.)"])
@pytest.mark.parametrize("number", [2, 3, 300])
def test_a_word_of_many_marks_is_cut_as_punkt_cuts_it(unit: str, number: int) -> None:
    for paragraph in (unit * number, f"{unit * number} The king. {unit * number} king."):
        assert list(cutter().cut(paragraph)) == list(punkt().span_tokenize(paragraph))


def test_the_plays_are_cut_as_punkt_cuts_them() -> None:
    for book in list(read_plays())[4::6]:
        for paragraph in paragraphs_of(book.text):
            assert list(cutter().cut(paragraph)) == list(punkt().span_tokenize(paragraph))


@pytest.mark.skipif(
    not TEST_DATA.is_dir(), reason=f"{TEST_DATA} is not here; set BOOKLOOM_TEST_DATA"
)
def test_a_novel_is_cut_as_punkt_cuts_it() -> None:
    text = (TEST_DATA / "books" / "dickens_twocities.txt").read_bytes().decode("latin-1")
    text = text.replace("\r\n", "\n")
    for paragraph in paragraphs_of(text):
        assert list(cutter().cut(paragraph)) == list(punkt().span_tokenize(paragraph))


def test_answers_without_end_are_forgotten_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ANSWERS", 20)
    small = SentenceCutter(punkt())
    for number in range(60):
        paragraph = f"It was w{number}. Then Mr. W{number} came. So?"
        assert list(small.cut(paragraph)) == list(punkt().span_tokenize(paragraph))


def test_a_splitter_also_ends_sentences_at_blank_lines() -> None:
    splitter = SentenceSplitter(learn_punkt("One. Two. Three."))
    text = "A heading\n \nOne. Two"
    assert [text[a:b] for a, b in splitter.spans(text, 0, len(text))] == [
        "A heading",
        "One.",
        "Two",
    ]
