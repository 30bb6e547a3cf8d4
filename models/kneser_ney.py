"""An n-gram model of token ids: interpolated Kneser-Ney smoothing with three discounts an order.

 stream   S a b . a c . S a b .      S = _start_, where a book opens; . = _end_
 place    0 1 2 3 4 5 6 0 1 2 3      how many tokens of its book stand before a position

 The context of a token is what stands before it, back to its book's _start_ and over _end_, at
 most order - 1 tokens: `. a` before the c at order 3, but only `S` before the second book's a.

The n-grams of each order are one sorted array of keys. A key is made of the place, among the
n-grams one shorter, of all but the last token, and of the last token:

    key = (index of the context) * V + token

so that an n-gram of any length is found by as many binary searches as it has tokens, and the
n-grams that share a context stand side by side.

Shapes: I positions of a stream, J some of them, G n-grams of one order, C contexts of that order
(the n-grams one shorter), N rows, K asked-for ids a row, V vocabulary.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.special_tokens import END, NOTHING, START, TokenIds

MAX_ORDER = 6
FALLBACK_DISCOUNTS = (0.0, 0.5, 1.0, 1.5)  # those of KenLM where counts of counts give none

Indices = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Level:
    """The n-grams of one order and what they give to a probability.

    p(token | context) = share_G of the n-gram + backoff_C of its context * p at the order below;
    share is 0 for an n-gram that was never seen, backoff is 1 for a context without any.
    """

    keys_G: Indices
    counts_G: Counts
    share_G: Floats
    backoff_C: Floats

    def find(self, keys: Indices) -> Indices:
        """The index of each key's n-gram, -1 where there is none."""
        index = np.searchsorted(self.keys_G, keys)
        index[index == len(self.keys_G)] = 0
        return np.where(self.keys_G[index] == keys, index, -1)


@dataclass(frozen=True, eq=False)
class KneserNey:
    """An interpolated modified Kneser-Ney model: Chen & Goodman 1999, section 3.

    Under the unigrams lies the uniform distribution over all ids but `_nothing_` and `_start_`,
    so that these two have probability 0 and no other id has. `levels` are the orders from 1;
    those that no book is long enough for are left out.
    """

    num_types: int
    levels: tuple[Level, ...]

    @staticmethod
    def fit(
        runs: Sequence[TokenIds], num_types: int, order: int = 5, *, raw_counts: bool = False
    ) -> "KneserNey":
        """Count the n-grams of runs, one a book.

        Below the highest order an n-gram counts once for each different token that stands before
        it, and once for each book that begins with it, where nothing can (Heafield et al. 2013,
        section 3.2, for n-grams that begin with the opening token).

        Args:
            runs: token ids; each `_start_` opens a book, and so does a run without one.
            num_types: V, the vocabulary's size with its special tokens.
            order: the length in tokens of the longest n-grams, 1 to 6.
            raw_counts: count below the highest order, too, how often an n-gram stands in the text:
                absolute discounting (Ney, Essen & Kneser 1994). It costs perplexity, but says how
                frequent a word is rather than in how many places it is new.

        Raises:
            ValueError: an order out of range, an id outside the vocabulary, `_nothing_` in a
                run, or no token to count.
        """
        if not 1 <= order <= MAX_ORDER:
            raise ValueError(f"order is {order}; it must be 1 to {MAX_ORDER}")
        stream_I = _checked(np.concatenate([np.empty(0, np.int64), *runs]), START, num_types)
        place_I = _places(stream_I, [len(run) for run in runs])
        if not place_I.any():
            raise ValueError(f"{len(runs)} runs hold no token to count: nothing follows _start_")
        counted = _count(stream_I, place_I, num_types, order, raw_counts)
        return KneserNey(num_types, tuple(_levels(counted, num_types)))

    @property
    def order(self) -> int:
        """The length in tokens of the longest n-grams."""
        return len(self.levels)

    def nats(self, run: TokenIds) -> Floats:
        """The cost in nats of each counted target of one run, in order.

        Counted is every word and every `_end_` but a run's first token, which nothing foretells:
        the targets of `models.batching.Window.counted_BT` in a single lane.

        Raises:
            ValueError: an id outside the vocabulary, or `_nothing_`.
        """
        stream_I = _checked(run, START, self.num_types)
        place_I = _places(stream_I, [len(run)])
        at_J = np.flatnonzero(place_I)
        context_by_order = [ids_I[at_J - 1] for ids_I in self._ids_by_length(stream_I, place_I)]
        nats_J: Floats = -np.log(self._probabilities(context_by_order, stream_I[at_J]))
        return nats_J

    def log_probabilities_of(
        self, contexts: Sequence[Sequence[int]], asked_NK: npt.NDArray[np.integer]
    ) -> Floats:
        """The log-probability in nats of each asked-for id to come after its row's context.

        Args:
            contexts: N rows of ids, the latest last. Of each, order - 1 matter at most and none
                before `_start_`; `_nothing_` may pad rows on the left.
            asked_NK: ids; -inf is the answer to `_nothing_` and `_start_`.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        width = max(1, self.order - 1)
        latest_NC = np.full((len(contexts), width), NOTHING, dtype=np.int64)
        for row, context in zip(latest_NC, contexts, strict=True):
            latest = context[-width:]
            row[width - len(latest) :] = latest
        ids_NL = self.nothing_read(len(contexts))
        for tokens_N in _checked(latest_NC, NOTHING, self.num_types).T:
            ids_NL = self.read(ids_NL, tokens_N)
        return self.log_probabilities_after(ids_NL, _checked(asked_NK, NOTHING, self.num_types))

    def nothing_read(self, num_rows: int) -> Indices:
        """What `read` begins with, ids_NL: which n-gram of each length below the order stands
        before the next token, -1 for none. The empty one is always there.
        """
        ids_NL = np.full((num_rows, self.order), -1, dtype=np.int64)
        ids_NL[:, 0] = 0
        return ids_NL

    def read(self, ids_NL: Indices, tokens_N: Indices) -> Indices:
        """What stands before the next token when each row has read one more, ids_NL."""
        longer_NL = self.nothing_read(len(tokens_N))
        for length in range(1, self.order):
            # Nothing was counted across `_start_`, so that nothing before it is found.
            keys_N = ids_NL[:, length - 1] * self.num_types + tokens_N
            longer_NL[:, length] = self.levels[length - 1].find(keys_N)
        return longer_NL

    def log_probabilities_after(self, ids_NL: Indices, asked_NK: Indices) -> Floats:
        """The log-probability in nats of each asked-for id to come next, as above."""
        with np.errstate(divide="ignore"):
            log_probs_NK: Floats = np.log(
                self._probabilities(np.split(ids_NL, self.order, axis=1), asked_NK)
            )
        return log_probs_NK

    def _ids_by_length(self, stream_I: Indices, place_I: Indices) -> Iterator[Indices]:
        """For each length from 0, which n-gram of that length ends at each position; -1: none."""
        yield np.zeros_like(stream_I)
        if self.order > 1:
            ids_I = stream_I
            yield ids_I
        for length, level in enumerate(self.levels[1:-1], start=2):
            at_J = np.flatnonzero(place_I >= length - 1)
            found_J = level.find(ids_I[at_J - 1] * self.num_types + stream_I[at_J])
            ids_I = np.full_like(stream_I, -1)
            ids_I[at_J] = found_J
            yield ids_I

    def _probabilities(self, context_by_order: Sequence[Indices], tokens: Indices) -> Floats:
        """The probabilities of tokens, of any shape that the contexts' indices broadcast to."""
        predicted_V = np.ones(self.num_types)
        predicted_V[[NOTHING, START]] = 0.0
        probabilities: Floats = (predicted_V / predicted_V.sum())[tokens]
        found = tokens
        for level, context in zip(self.levels, context_by_order, strict=True):
            # No n-gram was seen whose end was not.
            may_be = (context >= 0) & (found >= 0)
            found = np.full(tokens.shape, -1)
            found[may_be] = level.find((context * self.num_types + tokens)[may_be])
            probabilities *= np.where(context >= 0, level.backoff_C[context], 1.0)
            seen = found >= 0
            probabilities[seen] += level.share_G[found[seen]]
        return probabilities

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that was counted, by name, 12 bytes an n-gram; `from_arrays` takes it back."""
        named: dict[str, npt.NDArray[Any]] = {}
        for length, level in enumerate(self.levels, start=1):
            named |= {f"keys_{length}": level.keys_G, f"counts_{length}": level.counts_G}
        return named

    @staticmethod
    def from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> "KneserNey":
        """The model that `arrays` came from, to the bit; other names are passed over.

        Raises:
            ValueError: arrays that are not whole or no model's.
        """
        counted: list[tuple[Indices, Counts]] = []
        while f"keys_{len(counted) + 1}" in arrays:
            length = len(counted) + 1
            keys_G, counts_G = arrays[f"keys_{length}"], arrays.get(f"counts_{length}")
            if counts_G is None or counts_G.shape != keys_G.shape or keys_G.ndim != 1:
                raise ValueError(f"keys_{length} and counts_{length} must be of one length")
            counted.append((keys_G.astype(np.int64), counts_G.astype(np.int32)))
        if not counted:
            raise ValueError("there is no array keys_1")
        num_types = len(counted[0][0])
        num_contexts = 1
        for length, (keys_G, counts_G) in enumerate(counted, start=1):
            edges = np.concatenate([[-1], keys_G, [num_contexts * num_types]])
            foretold_G = keys_G[counts_G > 0] % num_types
            if (
                not len(foretold_G)
                or (np.diff(edges) < 1).any()
                or foretold_G.min() < END
                or counts_G.min() < min(length - 1, 1)
            ):
                raise ValueError(f"keys_{length} or counts_{length} are not those of n-grams")
            num_contexts = len(keys_G)
        return KneserNey(num_types, tuple(_levels(counted, num_types)))


def discounts_of(counts_G: npt.NDArray[np.integer]) -> Floats:
    """What is taken from the count of an n-gram: by counts 0, 1, 2 and 3 or more.

    With n_j the number of n-grams of count j and Y = n_1 / (n_1 + 2 n_2), the discount of j is
    j - (j + 1) Y n_{j+1} / n_j: Chen & Goodman 1999, section 3. Where one of n_1 to n_4 is 0, as
    in tiny corpora and for unigrams of characters, or a discount is not in (0, j], the constants
    `FALLBACK_DISCOUNTS` stand for all three.
    """
    n = np.bincount(np.minimum(counts_G, 5), minlength=6).astype(np.float64)
    if (n[1:5] == 0).any():
        return np.array(FALLBACK_DISCOUNTS)
    j = np.arange(1, 4)
    discounts = j - (j + 1) * n[1] / (n[1] + 2 * n[2]) * n[2:5] / n[1:4]
    if (discounts <= 0).any():  # none is larger than j, since all that is subtracted is positive
        return np.array(FALLBACK_DISCOUNTS)
    return np.concatenate([[0.0], discounts])


def _checked(ids: npt.NDArray[np.integer], least: int, num_types: int) -> Indices:
    outside = ids[(ids < least) | (ids >= num_types)]
    if len(outside):
        raise ValueError(f"id {outside[0]} is not one from {least} to {num_types - 1}")
    return ids.astype(np.int64)


def _places(stream_I: Indices, lengths: Sequence[int]) -> Indices:
    """How many tokens of its book stand before each position of a stream of runs."""
    opens_I = stream_I == START
    starts = np.cumsum([0, *lengths[:-1]])
    opens_I[starts[starts < len(stream_I)]] = True
    position_I = np.arange(len(stream_I))
    return position_I - np.maximum.accumulate(np.where(opens_I, position_I, 0))


def _count(
    stream_I: Indices, place_I: Indices, num_types: int, order: int, raw_counts: bool
) -> Iterator[tuple[Indices, Counts]]:
    """Keys and counts of the n-grams of each order from 1."""
    ids_I = stream_I  # which n-gram of the order at hand ends at each position
    keys_G: Indices = np.arange(num_types)
    raw_G = np.bincount(stream_I[place_I > 0], minlength=num_types)
    for length in range(2, order + 1):
        at_J = np.flatnonzero(place_I >= length - 1)
        if not len(at_J):
            break
        longer_keys_J = ids_I[at_J - 1] * num_types + stream_I[at_J]
        longer_keys_G, first_G, longer_ids_J, longer_raw_G = np.unique(
            longer_keys_J, return_index=True, return_inverse=True, return_counts=True
        )
        # A different longer n-gram that ends like this one is a different token before it.
        preceded = ids_I[at_J[first_G]]
        opening = ids_I[(place_I == length - 2) & (place_I > 0)]
        counts_G = np.bincount(np.concatenate([preceded, opening]), minlength=len(keys_G))
        yield keys_G, (raw_G if raw_counts else counts_G).astype(np.int32)
        ids_I = np.full_like(stream_I, -1)
        ids_I[at_J] = longer_ids_J
        keys_G, raw_G = longer_keys_G, longer_raw_G
    yield keys_G, raw_G.astype(np.int32)


def _levels(counted: Iterable[tuple[Indices, Counts]], num_types: int) -> Iterator[Level]:
    num_contexts = 1  # the empty one
    for keys_G, counts_G in counted:
        context_G = keys_G // num_types
        discount_G = discounts_of(counts_G)[np.minimum(counts_G, 3)]
        total_C = np.bincount(context_G, weights=counts_G, minlength=num_contexts)
        taken_C = np.bincount(context_G, weights=discount_G, minlength=num_contexts)
        seen_C = total_C > 0
        backoff_C = np.divide(taken_C, total_C, out=np.ones(num_contexts), where=seen_C)
        share_G = (counts_G - discount_G) / total_C[context_G]
        yield Level(keys_G, counts_G, share_G, backoff_C)
        num_contexts = len(keys_G)
