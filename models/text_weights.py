"""What each text is about, and how it speaks, in numbers: TF-IDF of its words or of pieces of its
words, or the use of its function words.

Shapes: N texts, V terms.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

TermKind = Literal["words", "characters", "function_words"]
TERM_KINDS: tuple[TermKind, ...] = get_args(TermKind)
PIECE_LENGTHS = (2, 3, 4)  # of words' pieces, in characters; the ends of a word, shown as _, count
MOST_PIECES = 500  # of one word: what is longer than a word is a text without blanks

Text = tuple[Sequence[str], frozenset[str]]
"""A text's tokens, and the case-folded function words of its language."""


@dataclass(frozen=True)
class TextWeights:
    """Texts as sparse rows of unit length, with the meaning of the columns.

    features_NV: float32; a text without any of the terms is a row of zeros.
    terms: the V terms in alphabetical order.
    inverse_document_frequency_V: float32, at least 1; 1 where it doesn't count.
    """

    features_NV: csr_matrix
    terms: list[str]
    inverse_document_frequency_V: npt.NDArray[np.float32]


def weigh_terms(
    texts: Iterable[Text], kind: TermKind, *, min_texts: int, max_terms: int
) -> TextWeights:
    """Find the terms of texts and weigh them; the texts are gone through once.

    Words, or pieces of words of two to four characters, are weighed by (1 + ln count) · idf with
    idf = 1 + ln((1 + N) / (1 + texts with the term)): Salton and Buckley, "Term-weighting
    approaches in automatic text retrieval" (1988), smoothed as in scikit-learn. The logarithm of
    the count keeps a long text's favourite name from drowning the rest. Function words and marks
    are weighed by their counts: they tell authors apart whatever the topic (Mosteller and Wallace,
    "Inference in an authorship problem", 1963), as pieces of words do (Kestemont, "Function words
    in authorship attribution", 2014). Each text is then scaled to length 1.

    Args:
        texts: each text's tokens, with the function words of its language: German *die* is one,
            English *die* is none. Tokens are case-folded here. Of words and pieces, function words
            and tokens without a letter are no terms; of function words, they alone are.
        kind: what a term is.
        min_texts: a term occurs in at least so many texts, or in half of fewer than twice as many.
        max_terms: only the so many most frequent terms are kept; of equals, the first by spelling.

    Raises:
        ValueError: there is no text, a limit is below 1, or no term is left.
    """
    if min_texts < 1 or max_terms < 1:
        raise ValueError(f"min_texts {min_texts} and max_terms {max_terms} must be at least 1")
    vectorizer = CountVectorizer(analyzer=_ANALYZERS[kind], dtype=np.float32)
    try:
        counts_NV = csr_matrix(vectorizer.fit_transform(texts))
    except ValueError as error:  # that there is no term
        raise _no_terms(kind) from error
    num_texts = counts_NV.shape[0]
    spread_V = np.bincount(counts_NV.indices, minlength=counts_NV.shape[1])
    total_V = np.asarray(counts_NV.sum(axis=0)).ravel()
    enough_V = spread_V >= min(min_texts, max(1, num_texts // 2))
    # By falling count, then by column, which is the order of spelling.
    kept = np.flatnonzero(enough_V)[np.argsort(-total_V[enough_V], kind="stable")][:max_terms]
    if not len(kept):
        raise _no_terms(kind)
    kept.sort()
    terms = vectorizer.get_feature_names_out()[kept].tolist()
    idf_V = np.ones(len(kept))
    if kind != "function_words":
        idf_V += np.log((1 + num_texts) / (1 + spread_V[kept]))
    return TextWeights(
        _weighed(csr_matrix(counts_NV[:, kept]), kind, idf_V), terms, idf_V.astype(np.float32)
    )


def weights_of_known_terms(
    texts: Iterable[Text],
    kind: TermKind,
    terms: Sequence[str],
    inverse_document_frequency_V: npt.NDArray[np.float32],
) -> csr_matrix:
    """Weigh other texts by terms that are known, as `weigh_terms` would have."""
    vectorizer = CountVectorizer(analyzer=_ANALYZERS[kind], vocabulary=terms, dtype=np.float32)
    counts_NV = csr_matrix(vectorizer.transform(texts))
    return _weighed(counts_NV, kind, inverse_document_frequency_V.astype(np.float64))


def _weighed(counts_NV: csr_matrix, kind: TermKind, idf_V: npt.NDArray[np.float64]) -> csr_matrix:
    counts_NV.sort_indices()
    data = counts_NV.data.astype(np.float64)
    if kind != "function_words":
        data = (1 + np.log(data)) * idf_V[counts_NV.indices]
    weights_NV = csr_matrix((data, counts_NV.indices, counts_NV.indptr), shape=counts_NV.shape)
    return csr_matrix(normalize(weights_NV), dtype=np.float32)


def _no_terms(kind: TermKind) -> ValueError:
    others = "content words" if kind == "function_words" else "stop words"
    return ValueError(f"no term is left: none but {others} occurs in enough texts")


def _content(text: Text) -> Iterator[str]:
    tokens, function_words = text
    for token in tokens:
        term = token.casefold().strip("_")  # _so_ plain texts print what was in italics
        if term not in function_words and any(map(str.isalpha, term)):
            yield term


def _pieces(text: Text) -> Iterator[str]:
    for word in _content(text):
        padded = f"_{word}_"[: MOST_PIECES + 2]
        for length in PIECE_LENGTHS:
            for start in range(len(padded) - length + 1):
                yield padded[start : start + length]


def _function_words(text: Text) -> Iterator[str]:
    tokens, function_words = text
    for token in tokens:
        term = token.casefold()
        term = term.strip("_") or term
        if term in function_words or not any(map(str.isalpha, term)):
            yield term


_ANALYZERS: Mapping[TermKind, Callable[[Text], Iterator[str]]] = {
    "words": _content,
    "characters": _pieces,
    "function_words": _function_words,
}
