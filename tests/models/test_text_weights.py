"""TF-IDF against figures worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from data.stop_words import ENGLISH_STOP_WORDS, stop_words_of
from models.text_weights import TermKind, TextWeights, weigh_terms, weights_of_known_terms

TEXTS = [
    ["The", "king", "KING", ",", "crown"],
    ["the", "king", "'s", "1599", "sea"],
    ["the", "...", "!"],
]


def tf_idf(
    texts: list[list[str]],
    stop_words: list[frozenset[str]],
    min_texts: int = 1,
    max_terms: int = 10,
) -> TextWeights:
    pairs = list(zip(texts, stop_words, strict=True))
    return weigh_terms(pairs, "words", min_texts=min_texts, max_terms=max_terms)


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
    four = [*TEXTS, ["the"]]
    in_two = tf_idf(four, stop_words=[frozenset({"the"})] * 4, min_texts=2, max_terms=10)
    most_frequent = tf_idf(TEXTS, stop_words=[frozenset({"the"})] * 3, min_texts=1, max_terms=1)
    assert in_two.terms == most_frequent.terms == ["king"]


def test_terms_of_any_script_and_only_those_with_a_letter() -> None:
    texts = [["Größe", "дом", "42", "--", "o'clock", "_"]]
    terms = tf_idf(texts, stop_words=[frozenset()], min_texts=1, max_terms=10).terms
    assert terms == ["grösse", "o'clock", "дом"]


@pytest.mark.parametrize(
    ("texts", "min_texts", "max_terms", "message"),
    [
        ([], 1, 1, "no term is left"),
        ([["king"]], 0, 1, "min_texts 0"),
        ([["king"]], 1, 0, "max_terms 0"),
        ([["the"], ["the"]], 1, 1, "no term is left"),
        ([["king"], ["queen"], ["sea"], ["ship"]], 2, 5, "no term is left"),
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
    function_words = frozenset({"the", "a"})
    texts = [
        (["The", "king", ",", "the", "sea"], function_words),
        (["A", "sea", ",", "a", "man", "."], function_words),
    ]
    weights = weigh_terms(texts, "function_words", min_texts=1, max_terms=9)
    assert weights.terms == [",", ".", "a", "the"]
    expected = np.array([[1, 0, 0, 2], [1, 1, 2, 0]]) / np.sqrt([[5], [6]])
    np.testing.assert_allclose(weights.features_NV.toarray(), expected, rtol=1e-6)
    assert weights.inverse_document_frequency_V.tolist() == [1, 1, 1, 1]
    with pytest.raises(ValueError, match="none but content words"):
        weigh_terms([(["king"], frozenset())], "function_words", min_texts=1, max_terms=9)


def test_italics_are_no_part_of_a_word() -> None:
    texts = [["_Alice_", "_the_", "_", "alice"]]
    the = [frozenset({"the"})]
    assert tf_idf(texts, the).terms == ["alice"]
    weights = weigh_terms([(texts[0], the[0])], "function_words", min_texts=1, max_terms=9)
    assert weights.terms == ["_", "the"]


def test_pieces_of_words_by_hand() -> None:
    weights = weigh_terms(
        [(["The", "Ox"], frozenset({"the"}))], "characters", min_texts=1, max_terms=9
    )
    assert weights.terms == ["_o", "_ox", "_ox_", "ox", "ox_", "x_"]
    np.testing.assert_allclose(weights.features_NV.toarray(), np.full((1, 6), 6**-0.5), rtol=1e-6)


@pytest.mark.parametrize("kind", ["words", "characters", "function_words"])
def test_known_terms_weigh_the_same_texts_alike(kind: TermKind) -> None:
    """And a text without any of them is a row of zeros."""
    texts = [(text, frozenset({"the"})) for text in TEXTS]
    weights = weigh_terms(iter(texts), kind, min_texts=1, max_terms=20)
    again = weights_of_known_terms(
        [*texts, (["дом"], frozenset())], kind, weights.terms, weights.inverse_document_frequency_V
    )
    np.testing.assert_allclose(again[:3].toarray(), weights.features_NV.toarray(), rtol=1e-6)
    assert again[3].nnz == 0


words = st.lists(st.text("abc dé", min_size=1, max_size=3), max_size=12)


@given(st.lists(words, min_size=1, max_size=8), st.integers(1, 3))
def test_as_scikit_learn_weighs_them(texts: list[list[str]], min_texts: int) -> None:
    vectorizer = TfidfVectorizer(
        analyzer=lambda text: [t.casefold() for t in text if any(map(str.isalpha, t))],
        min_df=min(min_texts, max(1, len(texts) // 2)),
        sublinear_tf=True,
    )
    pairs = [(text, frozenset[str]()) for text in texts]
    try:
        expected = vectorizer.fit_transform(texts)
    except ValueError:
        with pytest.raises(ValueError, match="no term is left"):
            weigh_terms(pairs, "words", min_texts=min_texts, max_terms=99)
        return
    found = weigh_terms(pairs, "words", min_texts=min_texts, max_terms=99)
    assert found.terms == vectorizer.get_feature_names_out().tolist()
    np.testing.assert_allclose(found.features_NV.toarray(), expected.toarray(), rtol=1e-5)
