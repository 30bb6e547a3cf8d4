"""Bags around true sentences: what may be in them, by which law, and how recovery counts."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chisquare

from models import bag_recovery
from models.bag_recovery import Recovery, draw_bag_sets, eligible_sentences, recovery
from models.special_tokens import TokenIds

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


ANY_WORD_V = np.concatenate([np.zeros(4), np.ones(60)])


def run_of(*sentences: list[int]) -> TokenIds:
    return np.array([1, *(token for s in sentences for token in [*s, 2])], dtype=np.int32)


def test_eligible_sentences_by_hand() -> None:
    """Too short, too long, with an unknown word, unfinished: left out. The bounds are inclusive. So
    is a sentence with a word that the training text has not, such as an inherited one."""
    runs = [
        run_of([4, 5], [4, 5, 6], [4, 3, 6], [7, 7, 7, 7]),
        run_of([8] * 5, [], [8, 4, 7, 4, 6]),
        np.append(run_of([9] * 6, [5, 6, 4]), [4, 4, 4]).astype(np.int32),
    ]
    assert eligible_sentences(runs, 99, rng(), ANY_WORD_V, min_words=3, max_words=5) == [
        [4, 5, 6],
        [7, 7, 7, 7],
        [8, 8, 8, 8, 8],
        [8, 4, 7, 4, 6],
        [5, 6, 4],
    ]
    assert eligible_sentences(runs, 99, rng(), ANY_WORD_V, min_words=6, max_words=6) == [[9] * 6]
    assert eligible_sentences([], 99, rng(), ANY_WORD_V) == []
    without_seven_V = ANY_WORD_V.copy()
    without_seven_V[7] = 0.0
    assert eligible_sentences(runs, 99, rng(), without_seven_V, min_words=3, max_words=5) == [
        [4, 5, 6],
        [8, 8, 8, 8, 8],
        [5, 6, 4],
    ]


def test_five_to_twelve_words_unless_said_otherwise() -> None:
    found = eligible_sentences(
        [run_of(*([4] * length for length in range(1, 20)))], 99, rng(), ANY_WORD_V
    )
    assert [*map(len, found)] == [5, 6, 7, 8, 9, 10, 11, 12]


def test_eligible_sentences_keep_their_order_and_are_drawn_once_each() -> None:
    sentences = [[4, 5, 6, 7, 8, word] for word in range(10, 50)]
    runs = [run_of(*sentences[:13]), run_of(*sentences[13:])]
    drawn = eligible_sentences(runs, 11, rng(), ANY_WORD_V)
    assert len(drawn) == 11
    assert [sentence for sentence in sentences if sentence in drawn] == drawn
    assert eligible_sentences(runs, 11, rng(), ANY_WORD_V) == drawn
    assert eligible_sentences(runs, 11, rng(8), ANY_WORD_V) != drawn
    for enough in (40, 41):
        assert eligible_sentences(runs, enough, rng(), ANY_WORD_V) == sentences
    assert eligible_sentences(runs, 0, rng(), ANY_WORD_V) == []


def test_eligible_sentences_are_drawn_evenly() -> None:
    """Each of 8 is drawn 3 times in 8. Chi-squared of dependent counts is smaller than that of
    independent ones, so that a false alarm is rarer than once in 10,000; the seed is fixed."""
    runs = [run_of(*([4, 4, 4, 4, word] for word in range(10, 18)))]
    generator, num_draws = rng(), 2000
    words = [
        s[-1] for _ in range(num_draws) for s in eligible_sentences(runs, 3, generator, ANY_WORD_V)
    ]
    assert chisquare(np.bincount(words)[10:]).pvalue > 1e-4
    assert len(words) == 3 * num_draws
