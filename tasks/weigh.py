"""Weigh: books, sections, sentences -> text_features, text_terms.

in    the sentences of every section
does  weighs each section's words by TF-IDF, or counts its function words, whatever unit the
      language model works on
out   one sparse row a section, with its book's genre as label, and what the columns mean
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from data.errors import UserMistake
from data.schemas import BOOKS, SENTENCES, TEXT_FEATURES, TEXT_TERMS
from data.settings import Settings
from data.stop_words import stop_words_of
from models.text_weights import TextWeights, function_word_weights, tf_idf
from tasks.seams.step_cache import StepRun, step
from tasks.seams.tokeniser import as_written, words_of

QUOTATION_TOKENS = 20


class WeighSettings(Settings):
    """What counts as a text and as a term."""

    purpose: Literal["topic", "style"] = "topic"
    """What texts are to be told apart by: what they are about, by TF-IDF, or how they speak, by
    their function words and marks."""
    minimum_tokens: int = 50
    """Shorter sections are no texts of their own: too few words to place them by."""
    minimum_texts: int = 5
    """A term stands in at least so many texts."""
    maximum_terms: int = 3000
    """Only so many terms are kept, the most frequent."""


@step(
    reads=(BOOKS, SENTENCES),
    writes=(TEXT_FEATURES, TEXT_TERMS),
    libraries=("nltk", "scikit-learn", "scipy", "numpy", "stopwordsiso"),
)
def weigh(run: StepRun, settings: WeighSettings) -> None:
    """Write each section's TF-IDF weights."""
    books = run.read(BOOKS, ["book_id", "genre", "language"]).to_pylist()
    genre_of = {row["book_id"]: row["genre"] for row in books}
    language_of = {row["book_id"]: row["language"] for row in books}
    words_in: dict[tuple[str, int], list[str]] = defaultdict(list)
    for rows in run.row_groups(SENTENCES, ["book_id", "section_index", "unit", "tokens"]):
        for row in rows.to_pylist():
            section = row["book_id"], row["section_index"]
            words_in[section] += words_of(row["tokens"], row["unit"])
    texts = {key: t for key, t in words_in.items() if len(t) >= settings.minimum_tokens}
    try:
        languages = [language_of[book_id] for book_id, _ in texts]
        weights = weights_of(list(texts.values()), languages, settings)
    except ValueError as error:
        raise UserMistake(
            f"The texts cannot be weighed: {error}.", "Add text, or lower weigh.minimum_tokens."
        ) from error
    features_NV = weights.features_NV
    run.write(TEXT_FEATURES, _feature_columns(texts, genre_of, features_NV))
    run.write(
        TEXT_TERMS,
        {
            "term_id": range(len(weights.terms)),
            "term": weights.terms,
            "inverse_document_frequency": weights.inverse_document_frequency_V,
        },
    )


def weights_of(
    texts: Sequence[Sequence[str]], languages: Sequence[str | None], settings: WeighSettings
) -> TextWeights:
    """What tells texts apart, given as tokens, each with its language.

    Raises:
        ValueError: no term is left.
    """
    weigh_texts = {"topic": tf_idf, "style": function_word_weights}[settings.purpose]
    return weigh_texts(
        texts,
        stop_words=[stop_words_of(language) for language in languages],
        min_texts=min(settings.minimum_texts, max(1, len(texts) // 2)),
        max_terms=settings.maximum_terms,
    )


def _feature_columns(
    texts: dict[tuple[str, int], list[str]], genre_of: dict[str, str | None], features_NV: Any
) -> dict[str, Any]:
    features_NV = features_NV.sorted_indices()
    edges = features_NV.indptr
    return {
        "text_id": range(len(texts)),
        "book_id": [book_id for book_id, _ in texts],
        "section_index": [index for _, index in texts],
        "label": [genre_of[book_id] for book_id, _ in texts],
        "quotation": [as_written(tokens[:QUOTATION_TOKENS]) for tokens in texts.values()],
        "term_ids": np.split(features_NV.indices, edges[1:-1]),
        "weights": np.split(features_NV.data, edges[1:-1]),
    }
