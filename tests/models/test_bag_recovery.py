"""Bags around true sentences: what may be in them, by which law, and how recovery counts."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chisquare

from models import bag_recovery
from models.bag_recovery import Recovery, draw_bag_sets, recovery

NEVER = [0, 1, 2, 3]
WORD_PROBABILITY_V = np.array([0.0, 0.0, 0.0, 0.0, 0.4, 0.3, 0.15, 0.1, 0.05])


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("bag_size", [1, 2, 5])
def test_a_bag_is_the_true_word_among_other_distinct_words_in_order(bag_size: int) -> None:
    sentences = [[8, 4, 4], [6], [], [5, 7, 8, 6] * 20]
    bag_sets = draw_bag_sets(
        sentences, bag_size=bag_size, word_probability_V=WORD_PROBABILITY_V, rng=rng()
    )
    assert [*map(len, bag_sets)] == [3, 1, 0, 80]
    for sentence, bags in zip(sentences, bag_sets, strict=True):
        for word, bag in zip(sentence, bags, strict=True):
            assert word in bag
            assert len(bag) == bag_size
            assert bag == sorted(set(bag))
            assert not set(bag) & set(NEVER)


def test_decoys_follow_frequency_drawn_one_after_the_other() -> None:
    """Chi-squared over the pairs of decoys of one true word: with a fresh seed, a false alarm
    once in 10,000 runs; the seed is fixed, so never."""
    num_bags, true_word = 20_000, 5
    [bags] = draw_bag_sets(
        [[true_word] * num_bags], bag_size=3, word_probability_V=WORD_PROBABILITY_V, rng=rng()
    )
    others = {word: WORD_PROBABILITY_V[word] / 0.7 for word in (4, 6, 7, 8)}
    expected: dict[frozenset[int], float] = {}
    for first, second in permutations(others, 2):
        pair = frozenset((first, second))
        law = others[first] * others[second] / (1 - others[first])
        expected[pair] = expected.get(pair, 0.0) + law
    seen = [frozenset(bag) - {true_word} for bag in bags]
    counts = [seen.count(pair) for pair in expected]
    assert chisquare(counts, np.array([*expected.values()]) * num_bags).pvalue > 1e-4


def test_scale_of_the_probabilities_and_size_of_blocks_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sentences = [[4, 5, 6], [7, 8], [4] * 10]
    whole = draw_bag_sets(sentences, bag_size=3, word_probability_V=WORD_PROBABILITY_V, rng=rng())
    monkeypatch.setattr(bag_recovery, "_DRAWS_AT_ONCE", 12)
    assert whole == draw_bag_sets(
        sentences, bag_size=3, word_probability_V=WORD_PROBABILITY_V * 1024, rng=rng()
    )


@pytest.mark.parametrize(
    ("sentence", "bag_size", "word_probability_V", "message"),
    [
        ([4], 6, WORD_PROBABILITY_V, "there are 1 to 5 words"),
        ([4], 0, WORD_PROBABILITY_V, "bag_size is 0"),
        ([4, 3], 2, WORD_PROBABILITY_V, r"\[3\]"),
        ([99], 2, WORD_PROBABILITY_V, r"\[99\]"),
        ([4], 2, -WORD_PROBABILITY_V, "negative"),
        ([4], 2, WORD_PROBABILITY_V * np.nan, "non-finite"),
    ],
)
def test_mistakes_are_refused(
    sentence: list[int], bag_size: int, word_probability_V: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        draw_bag_sets(
            [sentence], bag_size=bag_size, word_probability_V=word_probability_V, rng=rng()
        )


def test_recovery_by_hand() -> None:
    counted = recovery([[4, 5, 6], [7, 8], [5]], [(4, 9, 6), (7, 8), (6,)])
    assert counted == Recovery(
        num_words=6, num_words_right=4, num_sentences=3, num_sentences_right=1
    )
    assert counted.share_of_words == pytest.approx(4 / 6)
    assert counted.share_of_sentences == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("true", "picked"), [([[4, 5]], [[4]]), ([[4]], []), ([], []), ([[]], [[]])]
)
def test_recovery_refuses_what_it_can_not_compare(
    true: list[list[int]], picked: list[list[int]]
) -> None:
    with pytest.raises(ValueError, match="true"):
        recovery(true, picked)
