"""Texts as a language model sees them: means of its word vectors, or of its states."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np

from models.bundle import Bundle
from models.special_tokens import END, START, TokenIds
from models.text_averages import Owners, Vectors, mean_embeddings, mean_states

BOOKS_AT_ONCE = 16

Averaged = Literal["embeddings", "states"]


class BookTokens(NamedTuple):
    """A book as the model reads it, and which of its texts each token belongs to, or -1."""

    token_ids: TokenIds
    owners: Owners
    num_texts: int


def mean_vectors(bundle: Bundle, of: Averaged, books: Iterable[BookTokens]) -> Vectors:
    """The means of the books' texts, in order, one book at least; some books are read at a time."""
    shares_V = bundle.vocabulary.word_frequency()
    means: list[Vectors] = []
    coming = iter(books)
    while some := list(islice(coming, BOOKS_AT_ONCE)):
        token_ids = [one.token_ids for one in some]
        firsts = np.cumsum([0, *(one.num_texts for one in some)])
        owners = [
            np.where(one.owners < 0, -1, one.owners + first)
            for one, first in zip(some, firsts, strict=False)
        ]
        if of == "embeddings":
            means.append(
                mean_embeddings(bundle.model, shares_V, token_ids, owners, int(firsts[-1]))
            )
        else:
            means.append(mean_states(bundle.model, token_ids, owners, int(firsts[-1])))
    return np.concatenate(means)


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
    return BookTokens(
        np.array(token_ids, dtype=np.int32), np.array(owners, dtype=np.int64), len(edges)
    )
