"""Hide true sentences in bags, and count how much of them comes back.

Shapes, as suffixes of names:

    N  bags: the words of all sentences, one sentence after the other
    D  decoys of a bag              P  words that may be drawn: those of probability above 0
    V  vocabulary
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from models.batching import split_sentences
from models.special_tokens import TokenIds

_DRAWS_AT_ONCE = 1 << 21  # 16 bytes each: a block stays small whatever the vocabulary


def eligible_sentences(
    runs: Iterable[TokenIds],
    num_sentences: int,
    rng: np.random.Generator,
    word_probability_V: NDArray[np.float64],
    *,
    min_words: int = 5,
    max_words: int = 12,
) -> list[list[int]]:
    """At most so many sentences of these lengths, drawn evenly, of words that bags may hold.

    Those are the words of a probability above 0: never `_unknown_`, nor what a model of other books
    has learned and these books' training text has not. Punctuation counts as a word. The sentences
    keep the order in which they stand in the runs.
    """
    found = [
        sentence
        for run in runs
        for sentence in split_sentences(run)
        if min_words <= len(sentence) <= max_words and word_probability_V[sentence].all()
    ]
    if len(found) <= num_sentences:
        return found
    chosen = rng.choice(len(found), size=num_sentences, replace=False)
    return [found[index] for index in np.sort(chosen)]


def draw_bag_sets(
    sentences: Sequence[Sequence[int]],
    *,
    bag_size: int,
    word_probability_V: NDArray[np.float64],
    rng: np.random.Generator,
) -> list[list[list[int]]]:
    """Return a bag for each word of each sentence: the word among bag_size - 1 decoys.

    Decoys follow the corpus frequency, drawn one after the other without replacement; they differ
    from each other and from the true word. A bag is sorted by id, so that a word's place in it
    tells nothing.

    They are drawn all at once as the first arrivals of independent exponential clocks whose rates
    are the words' probabilities, which has the same law (Efraimidis and Spirakis, "Weighted random
    sampling with a reservoir", 2006).

    Args:
        sentences: token ids.
        bag_size: words of a bag, the true one included.
        word_probability_V: relative frequency by token id, of any scale; 0 for what must never be
            in a bag: special tokens and `_unknown_`.
        rng: where the draws come from.

    Raises:
        ValueError: for probabilities that are negative or not finite, too few words that may be
            drawn, a bag_size below 1, or a true word of probability 0.
    """
    if not (np.isfinite(word_probability_V).all() and (word_probability_V >= 0).all()):
        raise ValueError("word_probability_V holds negative or non-finite values.")
    drawable_P = np.flatnonzero(word_probability_V)
    if not 1 <= bag_size <= len(drawable_P):
        raise ValueError(f"bag_size is {bag_size}; there are 1 to {len(drawable_P)} words to draw.")
    true_words_N = np.fromiter(chain.from_iterable(sentences), dtype=np.int64)
    never = np.setdiff1d(true_words_N, drawable_P)
    if len(never):
        raise ValueError(f"token ids {never[:5].tolist()} of the sentences must never be in a bag.")
    bags = chain.from_iterable(
        _draw_bags(block_N, bag_size, drawable_P, word_probability_V[drawable_P], rng)
        for block_N in _blocks(true_words_N, max(1, _DRAWS_AT_ONCE // len(drawable_P)))
    )
    return [list(islice(bags, len(sentence))) for sentence in sentences]


def _blocks(words_N: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    return (words_N[start : start + size] for start in range(0, len(words_N), size))


def _draw_bags(
    true_words_N: NDArray[np.int64],
    bag_size: int,
    drawable_P: NDArray[np.int64],
    rate_P: NDArray[np.float64],
    rng: np.random.Generator,
) -> list[list[int]]:
    arrival_NP = rng.standard_exponential((len(true_words_N), len(drawable_P))) / rate_P
    # The true word is in its bag for certain, so it arrives before every decoy.
    arrival_NP[np.arange(len(true_words_N)), np.searchsorted(drawable_P, true_words_N)] = -1.0
    first_NB = np.argpartition(arrival_NP, bag_size - 1, axis=1)[:, :bag_size]
    bags: list[list[int]] = np.sort(drawable_P[first_NB], axis=1).tolist()
    return bags


@dataclass(frozen=True)
class Recovery:
    """How much of true sentences was picked from their bags."""

    num_words: int
    num_words_right: int
    num_sentences: int
    num_sentences_right: int

    @property
    def share_of_words(self) -> float:
        """Words that are the true ones, from 0 to 1."""
        return self.num_words_right / self.num_words

    @property
    def share_of_sentences(self) -> float:
        """Sentences whose every word is the true one, from 0 to 1."""
        return self.num_sentences_right / self.num_sentences


def recovery(
    true_sentences: Sequence[Sequence[int]], picked_sentences: Sequence[Sequence[int]]
) -> Recovery:
    """Count the words, and the whole sentences, that were picked as they truly are.

    Args:
        true_sentences: token ids, at least one word.
        picked_sentences: token ids, of the same lengths.

    Raises:
        ValueError: if there is no word, or the lengths differ.
    """
    if [*map(len, true_sentences)] != [*map(len, picked_sentences)]:
        raise ValueError("true_sentences and picked_sentences differ in number or in lengths.")
    if not sum(map(len, true_sentences)):
        raise ValueError("there are no true words to recover.")
    words_right = [
        [true == picked for true, picked in zip(*pair, strict=True)]
        for pair in zip(true_sentences, picked_sentences, strict=True)
    ]
    return Recovery(
        num_words=sum(map(len, words_right)),
        num_words_right=sum(map(sum, words_right)),
        num_sentences=len(words_right),
        num_sentences_right=sum(map(all, words_right)),
    )
