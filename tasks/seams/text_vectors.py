"""Texts as a language model sees them: means of its word vectors, or of its states."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np

from models.bundle import Bundle
from models.special_tokens import END, START, TokenIds
from models.text_averages import Owners, Vectors, mean_embeddings, mean_states

BOOKS_AT_ONCE = 16

Averaged = Literal["embeddings", "states"]


class BookTokens(NamedTuple):
    """A book as the model reads it, and the text that each token belongs to, or -1."""

    token_ids: TokenIds
    owners: Owners


def mean_vectors(
    bundle: Bundle, of: Averaged, books: Iterator[BookTokens], num_texts: int
) -> Vectors:
    """Each text's mean, some books at a time; a text stands in one book."""
    sums: Vectors | None = None
    while some := list(islice(books, BOOKS_AT_ONCE)):
        token_ids, owners = [one.token_ids for one in some], [one.owners for one in some]
        if of == "embeddings":
            shares_V = bundle.vocabulary.word_frequency()
            means = mean_embeddings(bundle.model, shares_V, token_ids, owners, num_texts)
        else:
            means = mean_states(bundle.model, token_ids, owners, num_texts)
        sums = means if sums is None else sums + means
    assert sums is not None, "there are no texts without books"
    return sums


def book_tokens(
    bundle: Bundle, sentences: Sequence[tuple[int, Sequence[str]]], edges: Sequence[tuple[int, int]]
) -> BookTokens:
    """A book of sentences, each with its place and tokens, that has texts between these edges."""
    starts = np.array([start for start, _ in edges], dtype=np.int64)
    token_ids, owners = [START], [-1]
    for char_start, tokens in sentences:
        text = int(np.searchsorted(starts, char_start, side="right")) - 1
        inside = text >= 0 and char_start < edges[text][1]
        own = [*bundle.vocabulary.encode(tokens), END]
        token_ids += own
        owners += [text if inside else -1] * len(own)
    return BookTokens(np.array(token_ids, dtype=np.int32), np.array(owners, dtype=np.int64))
