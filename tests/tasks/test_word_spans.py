"""Words cut by what was remembered of them: NLTK's own cut, on anything."""

import os
import random
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.tokenize import NLTKWordTokenizer

from data.plays import read_plays
from tasks.seams import word_spans as module
from tasks.seams.tokeniser import (
    PunktModel,
    SentenceSplitter,
    cut,
    nltk_word_spans,
    tokens_of,
)
from tasks.seams.word_spans import WordCutter

TEST_DATA = Path(
    os.environ.get("BOOKLOOM_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
NLTK = NLTKWordTokenizer()
PIECES = [
    *"ab1.,;:'\"`”’“‘()[]{}<>!?-—…$%&@#*/ \n\t中é\u0301\u00a0\u2028\u200b\x1c\x1f",
    "''", "``", "...", "--", "can't", "cannot", "Gonna", "gim me", "'tis", "'Twas", "it's", "it's'",
    "Mr.", "3,000", "1.5", "d'ye", "more'n", "wan na", "end.”)", "U.S.", " ", "  ",
]  # fmt: skip


def assert_as_nltk(sentence: str) -> None:
    expected = nltk_word_spans(NLTK, sentence)
    # Between others, one of which stands at its very edge.
    text = f"It's (so). {sentence}Is it?"
    spans = [(0, 10), (11, 11 + len(sentence)), (11 + len(sentence), len(text))]
    sentences = cut(text, spans, "word")
    assert sentences.tokens.to_pylist() == [
        ["It", "'s", "(", "so", ")", "."],
        [sentence[start:end] for start, end in expected],
        ["Is", "it", "?"],
    ]
    assert tokens_of(sentence, "word") == [sentence[start:end] for start, end in expected]
    starts = [start for start, _ in expected]
    assert sentences.starts.to_pylist()[1] == [11 + start for start in starts]
    assert sentences.num_characters.to_pylist() == [10, len(" ".join(sentence.split())), 6]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=40))
@example("")
@example(" \n")
@example("He said: 'it's' \nand 'twas done.\")")
@settings(deadline=None, max_examples=1500)
def test_wild_strings_are_cut_as_nltk_cuts_them(sentence: str) -> None:
    assert_as_nltk(sentence)


def sentences_of(text: str) -> list[str]:
    splitter = SentenceSplitter(PunktModel((), (), (), ()))
    return [text[start:end] for start, end in splitter.spans(text)]


def test_sentences_of_the_plays_are_cut_as_nltk_cuts_them() -> None:
    sentences = [one for book in list(read_plays())[::6] for one in sentences_of(book.text)]
    for sentence in random.Random(1).sample(sentences, 4000):
        assert_as_nltk(sentence)


@pytest.mark.skipif(
    not TEST_DATA.is_dir(), reason=f"{TEST_DATA} is not here; set BOOKLOOM_TEST_DATA"
)
@pytest.mark.parametrize(
    "name", ["books/carroll_alice.txt", "books/dickens_twocities.txt", "books_awkward/blns.txt"]
)
def test_sentences_of_real_books_are_cut_as_nltk_cuts_them(name: str) -> None:
    text = (TEST_DATA / name).read_text(encoding="utf-8", errors="replace")
    sentences = sentences_of(text)
    for sentence in random.Random(1).sample(sentences, min(1500, len(sentences))):
        assert_as_nltk(sentence)


def tokens_by(cutter: WordCutter, sentence: str) -> list[str]:
    [tokens] = cutter.cut(sentence, [(0, len(sentence))]).tokens.to_pylist()
    return list(tokens)


def test_new_words_without_end_are_forgotten_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CUTS", 50)
    cutter = WordCutter(lambda sentence: nltk_word_spans(NLTK, sentence))
    for number in range(40):
        sentence = " ".join(f"w{number}x{other}, it's" for other in range(10)) + "."
        assert tokens_by(cutter, sentence) == NLTK.tokenize(sentence)
        assert len(cutter._number_of) + len(cutter._number_at_end_of) <= 50


def test_a_text_is_cut_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "It's one. (And \x1f two.) 'Tis three's'. " * 30
    spans = [(m.start(), m.end()) for m in re.finditer(r"\S.*?\.\S* ", text)]
    whole = cut(text, spans, "word")
    for size in (1, 20, 100):
        monkeypatch.setattr(module, "CHARACTERS_AT_ONCE", size)
        assert cut(text, spans, "word") == whole
    assert cut(text, [], "word").tokens.to_pylist() == []


def test_what_is_between_sentences_is_no_part_of_them() -> None:
    assert cut("ab cd", [(0, 1), (3, 5)], "word").tokens.to_pylist() == [["a"], ["cd"]]
    assert cut("ab cd", [(1, 2), (4, 4), (4, 5)], "word").tokens.to_pylist() == [["b"], [], ["d"]]
    with pytest.raises(AssertionError, match="overlap"):
        cut("ab cd", [(0, 3), (2, 5)], "word")


def test_each_distinct_word_goes_to_nltk_once() -> None:
    asked = []

    def slow(sentence: str) -> list[tuple[int, int]]:
        asked.append(sentence)
        return nltk_word_spans(NLTK, sentence)

    cutter = WordCutter(slow)
    tokens_by(cutter, "It's the king's, isn't it?")
    assert len(asked) == 1
    for _ in range(3):
        tokens_by(cutter, "the king's, isn't It's it?")
    assert len(asked) == 1


def test_what_arrow_refuses_leaves_no_trace() -> None:
    cutter = WordCutter(lambda sentence: nltk_word_spans(NLTK, sentence))
    with pytest.raises(UnicodeEncodeError):
        cutter.words("half\ud83d known it's so")
    assert cutter.words("what is known") == ["what", "is", "known"]
    assert cutter.words("it's so") == ["it", "'s", "so"]
