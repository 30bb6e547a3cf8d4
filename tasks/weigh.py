"""Weigh: books, sentences -> text_features, text_terms.

in    the sentences of every book
does  cuts books into texts; weighs each one's words, pieces of words or function words, whatever
      unit the language model works on
out   one sparse row a text, with what is known of its book as label, and what the columns mean
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix

from data.book_schemas import BOOKS, SENTENCES
from data.errors import UserMistake
from data.settings import Settings
from data.stop_words import stop_words_of
from data.text_schemas import TEXT_FEATURES, TEXT_TERMS
from models.text_weights import TermKind, TextWeights, weigh_terms
from tasks.seams.report import progress
from tasks.seams.step_cache import StepRun, step
from tasks.seams.texts import Level, Sentence, cut_texts
from tasks.seams.tokeniser import as_written, words_of

QUOTATION_TOKENS = 20

Label = Literal["genre", "author"]
Purpose = Literal["topic", "style"]


class WeighSettings(Settings):
    """What counts as a text and as a term."""

    purpose: Purpose = "topic"
    """What texts are to be told apart by: what they are about, or how they speak. It chooses
    `features` and `label` where these are not set."""
    level: Level = "section"
    """What a text is: a section (chapter, scene, letter), a whole book, or a passage."""
    passage_words: int = Field(500, ge=1)
    """Words of a passage, about: a section is cut into equal ones, at sentence ends."""
    features: TermKind | None = None
    """What texts are weighed by: words, pieces of words (`characters`), or function words. None:
    words for topic, function words for style."""
    label: Label | None = None
    """What clusters are held against. None: whichever of genre and author differs among the books,
    genre first for topic, author first for style."""
    minimum_tokens: int = Field(50, ge=0)
    """Shorter texts are none of their own: too few words to place them by."""
    minimum_texts: int = Field(5, ge=1)
    """A term stands in at least so many texts."""
    maximum_terms: int = Field(3000, ge=1)
    """Only so many terms are kept, the most frequent."""

    def kind(self) -> TermKind:
        """What a term is."""
        return self.features or ("words" if self.purpose == "topic" else "function_words")


class Text(NamedTuple):
    """A text that is clustered: a stretch of a book's characters."""

    book_id: str
    section_index: int
    char_start: int
    char_end: int
    num_tokens: int
    quotation: str


@step(
    reads=(BOOKS, SENTENCES),
    writes=(TEXT_FEATURES, TEXT_TERMS),
    libraries=("nltk", "scikit-learn", "scipy", "numpy", "stopwordsiso"),
)
def weigh(run: StepRun, settings: WeighSettings) -> None:
    """Write each text's weights."""
    names = ["book_id", "genre", "author", "language", "num_characters"]
    books = {row["book_id"]: row for row in run.read(BOOKS, names).to_pylist()}
    texts: list[Text] = []

    def tokens_of_texts() -> Iterator[tuple[Sequence[str], frozenset[str]]]:
        with progress("weigh texts", len(books), "books") as advance:
            for book_id, sections in groupby(_sections(run), key=lambda section: section[0]):
                own = ((index, sentences) for _, index, sentences in sections)
                for section_index, sentences in cut_texts(
                    own, settings.level, settings.passage_words
                ):
                    tokens = [word for sentence in sentences for word in sentence.words]
                    if len(tokens) < settings.minimum_tokens:
                        continue
                    texts.append(_text(book_id, section_index, sentences, tokens))
                    yield tokens, stop_words_of(books[book_id]["language"])
                advance(1)

    try:
        weights = weights_of(tokens_of_texts(), settings)
    except ValueError as error:
        raise UserMistake(
            f"The texts cannot be weighed: {error}.",
            f"{len(texts)} texts have {settings.minimum_tokens} tokens or more: add text, or lower "
            "weigh.minimum_tokens or weigh.minimum_texts.",
        ) from error
    run.write(TEXT_FEATURES, _columns(texts, books, settings, weights.features_NV))
    run.write(
        TEXT_TERMS,
        {
            "term_id": range(len(weights.terms)),
            "term": weights.terms,
            "kind": [settings.kind()] * len(weights.terms),
            "inverse_document_frequency": weights.inverse_document_frequency_V,
        },
    )


def weights_of(
    texts: Iterable[tuple[Sequence[str], frozenset[str]]], settings: WeighSettings
) -> TextWeights:
    """What tells texts apart, given as tokens with the stop words of their language.

    Raises:
        ValueError: no term is left.
    """
    return weigh_terms(
        texts,
        settings.kind(),
        min_texts=settings.minimum_texts,
        max_terms=settings.maximum_terms,
    )


def chosen_label(wanted: Label | None, purpose: Purpose, books: Iterable[dict[str, Any]]) -> Label:
    """Which fact of the books is the texts' label."""
    first: tuple[Label, Label] = ("genre", "author")
    order = first if purpose == "topic" else first[::-1]
    rows = list(books)
    differing = [name for name in order if len({row[name] for row in rows} - {None}) > 1]
    return wanted or (differing or list(order))[0]


def _sections(run: StepRun) -> Iterator[tuple[str, int, list[Sentence]]]:
    """Every section's sentences, in order."""
    names = ["book_id", "section_index", "char_start", "char_end", "unit", "tokens"]

    def rows() -> Iterator[tuple[str, int, Sentence]]:
        for group in run.row_groups(SENTENCES, names):
            for row in group.to_pylist():
                words = words_of(row["tokens"], row["unit"])
                sentence = Sentence(row["char_start"], row["char_end"], words)
                yield row["book_id"], row["section_index"], sentence

    for (book_id, section_index), own in groupby(rows(), key=lambda row: row[:2]):
        yield book_id, section_index, [sentence for *_, sentence in own]


def _text(
    book_id: str, section_index: int, sentences: Sequence[Sentence], tokens: Sequence[str]
) -> Text:
    quotation = as_written(tokens[:QUOTATION_TOKENS])
    start, end = sentences[0].char_start, sentences[-1].char_end
    return Text(book_id, section_index, start, end, len(tokens), quotation)


def _columns(
    texts: Sequence[Text],
    books: dict[str, dict[str, Any]],
    settings: WeighSettings,
    features_NV: csr_matrix,
) -> dict[str, Any]:
    label = chosen_label(settings.label, settings.purpose, books.values())
    edges = features_NV.indptr
    middles = [
        (text.char_start + text.char_end) / 2 / books[text.book_id]["num_characters"]
        for text in texts
    ]
    return {
        "text_id": range(len(texts)),
        "book_id": [text.book_id for text in texts],
        "section_index": [text.section_index for text in texts],
        "char_start": [text.char_start for text in texts],
        "char_end": [text.char_end for text in texts],
        "num_tokens": [text.num_tokens for text in texts],
        "place": middles,
        "label": [books[text.book_id][label] for text in texts],
        "quotation": [text.quotation for text in texts],
        "term_ids": np.split(features_NV.indices, edges[1:-1]),
        "weights": np.split(features_NV.data, edges[1:-1]),
    }
