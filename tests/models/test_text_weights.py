"""TF-IDF against figures worked by hand."""

import math

import numpy as np
import pytest

from data.stop_words import ENGLISH_STOP_WORDS, stop_words_of
from models.text_weights import function_word_weights, tf_idf

TEXTS = [
    ["The", "king", "KING", ",", "crown"],
    ["the", "king", "'s", "1599", "sea"],
    ["the", "...", "!"],
]


def test_three_tiny_texts_by_hand() -> None:
    weights = tf_idf(TEXTS, stop_words=[frozenset({"the", "'s"})] * 3, min_texts=1, max_terms=10)
    assert weights.terms == ["crown", "king", "sea"]
    rare, common = 1 + math.log(4 / 2), 1 + math.log(4 / 3)
    np.testing.assert_allclose(
        weights.inverse_document_frequency_V, [rare, common, rare], rtol=1e-6
    )
    twice = (1 + math.log(2)) * common
    first, second = math.hypot(rare, twice), math.hypot(rare, common)
    np.testing.assert_allclose(
        weights.features_NV.toarray(),
        [[rare / first, twice / first, 0], [0, common / second, rare / second], [0, 0, 0]],
        rtol=1e-6,
    )
    assert weights.features_NV.dtype == np.float32


def test_limits_keep_the_spread_and_the_frequent() -> None:
    in_two = tf_idf(TEXTS, stop_words=[frozenset({"the"})] * 3, min_texts=2, max_terms=10)
    most_frequent = tf_idf(TEXTS, stop_words=[frozenset({"the"})] * 3, min_texts=1, max_terms=1)
    assert in_two.terms == most_frequent.terms == ["king"]


def test_terms_of_any_script_and_only_those_with_a_letter() -> None:
    texts = [["Größe", "дом", "42", "--", "o'clock", "_"]]
    terms = tf_idf(texts, stop_words=[frozenset()], min_texts=1, max_terms=10).terms
    assert terms == ["grösse", "o'clock", "дом"]


@pytest.mark.parametrize(
    ("texts", "min_texts", "max_terms", "message"),
    [
        ([], 1, 1, "no texts"),
        ([["king"]], 0, 1, "min_texts 0"),
        ([["king"]], 1, 0, "max_terms 0"),
        ([["the"], ["the"]], 1, 1, "no term is left of 2 texts"),
        ([["king"], ["queen"]], 2, 5, "occurs in 2 of them"),
        ([["king"]], 2, 5, "occurs in 2 of them"),
    ],
)
def test_errors_say_what_is_wrong(
    texts: list[list[str]], min_texts: int, max_terms: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tf_idf(
            texts,
            stop_words=[frozenset({"the"})] * len(texts),
            min_texts=min_texts,
            max_terms=max_terms,
        )


def test_each_text_leaves_out_its_own_languages_stop_words() -> None:
    texts = [["Die", "Katze", "will"], ["to", "die", "for", "a", "cat"]]
    stop_words = [stop_words_of("de"), stop_words_of("en")]
    terms = tf_idf(texts, stop_words=stop_words, min_texts=1, max_terms=10).terms
    assert terms == ["cat", "die", "katze"]
    assert stop_words_of(None) == stop_words_of("en") == ENGLISH_STOP_WORDS
    assert stop_words_of("xx") == frozenset()


def test_stop_words_are_folded_function_words_and_no_nouns() -> None:
    assert all(word == word.casefold() for word in ENGLISH_STOP_WORDS)
    assert {"the", "thou", "hath", "'tis", "n't", "'ll", "wherefore", "ye"} <= ENGLISH_STOP_WORDS
    assert ENGLISH_STOP_WORDS.isdisjoint({"king", "love", "man", "sea", "good", "come", "lord"})


def test_style_is_function_words_and_marks_by_their_counts() -> None:
    texts = [["The", "king", ",", "the", "sea"], ["A", "sea", ",", "a", "man", "."]]
    stop_words = [frozenset({"the", "a"})] * 2
    weights = function_word_weights(texts, stop_words=stop_words, min_texts=1, max_terms=9)
    assert weights.terms == [",", ".", "a", "the"]
    expected = np.array([[1, 0, 0, 2], [1, 1, 2, 0]]) / np.sqrt([[5], [6]])
    np.testing.assert_allclose(weights.features_NV.toarray(), expected, rtol=1e-6)
    assert weights.inverse_document_frequency_V.tolist() == [1, 1, 1, 1]
    with pytest.raises(ValueError, match="none but content words"):
        function_word_weights([["king"]], stop_words=[frozenset()], min_texts=1, max_terms=9)
