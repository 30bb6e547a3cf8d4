"""TF-IDF and the use of function words: what each text is about, and how it speaks, in numbers.

Shapes: N texts, V terms.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer


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


def tf_idf(
    texts: Sequence[Sequence[str]],
    *,
    stop_words: Sequence[frozenset[str]],
    min_texts: int,
    max_terms: int,
) -> TextWeights:
    """Weigh each term of each text by (1 + ln count) · idf, then scale each text to length 1.

    idf = 1 + ln((1 + N) / (1 + texts with the term)): Salton and Buckley, "Term-weighting
    approaches in automatic text retrieval" (1988), smoothed as in scikit-learn. The logarithm of
    the count keeps a long text's favourite name from drowning the rest.

    Args:
        texts: the tokens of each of the N texts. Tokens are case-folded; those without a letter
            are no terms.
        stop_words: of each text, case-folded tokens that are no terms in it: German *die* is one,
            English *die* is none.
        min_texts: a term occurs in at least so many texts.
        max_terms: only the so many most frequent terms are kept.

    Raises:
        ValueError: if there is no text, a limit is below 1, or no term is left.
    """
    return _weights(texts, stop_words, min_texts, max_terms, of_topic=True)


def function_word_weights(
    texts: Sequence[Sequence[str]],
    *,
    stop_words: Sequence[frozenset[str]],
    min_texts: int,
    max_terms: int,
) -> TextWeights:
    """Weigh function words and marks by their counts, then scale each text to length 1.

    They tell authors apart whatever the topic: Mosteller and Wallace, "Inference in an authorship
    problem" (1963). Arguments and errors as `tf_idf`'s; here stop words and tokens without a letter
    are the terms.
    """
    return _weights(texts, stop_words, min_texts, max_terms, of_topic=False)


def _weights(
    texts: Sequence[Sequence[str]],
    stop_words: Sequence[frozenset[str]],
    min_texts: int,
    max_terms: int,
    *,
    of_topic: bool,
) -> TextWeights:
    if not texts:
        raise ValueError("there are no texts to weigh")
    if min_texts < 1 or max_terms < 1:
        raise ValueError(f"min_texts {min_texts} and max_terms {max_terms} must be at least 1")

    def terms_of(text: tuple[Sequence[str], frozenset[str]]) -> Iterator[str]:
        tokens, function_words = text
        for term in map(str.casefold, tokens):
            is_content = term not in function_words and any(map(str.isalpha, term))
            if is_content == of_topic:
                yield term

    vectorizer = TfidfVectorizer(
        analyzer=terms_of,
        min_df=min_texts,
        max_features=max_terms,
        use_idf=of_topic,
        sublinear_tf=of_topic,
        dtype=np.float32,
    )
    try:
        features_NV = vectorizer.fit_transform(list(zip(texts, stop_words, strict=True)))
    except ValueError as error:
        raise ValueError(
            f"no term is left of {len(texts)} texts: none but "
            f"{'stop words' if of_topic else 'content words'} "
            f"occurs in {min_texts} of them; lower min_texts or give more texts"
        ) from error
    terms = vectorizer.get_feature_names_out().tolist()
    return TextWeights(
        features_NV=csr_matrix(features_NV),
        terms=terms,
        inverse_document_frequency_V=vectorizer.idf_
        if of_topic
        else np.ones(len(terms), dtype=np.float32),
    )
