"""The paired bootstrap against every draw there is, exact shares, and what it is for."""

import math
from itertools import product

import numpy as np
import pytest

from models.paired_bootstrap import Improvement, paired_bootstrap


def drawn(
    incumbent: list[float], other: list[float], confidence: float = 0.95, num: int = 2000
) -> Improvement:
    return paired_bootstrap(
        np.array(incumbent),
        np.array(other),
        confidence=confidence,
        num_resamples=num,
        seed=3,
    )


def test_a_tenth_saved_everywhere_is_sure() -> None:
    """Whichever sections are drawn, the share is the same: chance has no part in it."""
    found = drawn([100.0, 700.0, 20.0], [90.0, 630.0, 18.0])
    assert found.share == pytest.approx(0.1)
    assert found.at_least == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("other", "is_skewed"), [([41.0, 83.0, 22.0, 60.0], False), ([48.0, 76.0, 29.0, 90.0], True)]
)
@pytest.mark.parametrize(("confidence", "z", "t"), [(0.9, 1.2816, 1.6377), (0.95, 1.6449, 2.3534)])
def test_the_bound_is_that_of_all_draws(
    other: list[float], is_skewed: bool, confidence: float, z: float, t: float
) -> None:
    """4 sections give 256 draws, each as likely: their own spread is what is estimated. z and t,
    for 3 degrees of freedom, are those of printed tables.
    """
    incumbent = [50.0, 80.0, 30.0, 65.0]
    shares = [
        1 - sum(other[i] for i in draw) / sum(incumbent[i] for i in draw)
        for draw in product(range(4), repeat=4)
    ]
    share = 1 - sum(other) / sum(incumbent)
    deviation = float(np.std(shares))
    down = (share - float(np.quantile(shares, 1 - confidence))) / z
    assert (down > deviation) == is_skewed, "one or the other counts"
    found = drawn(incumbent, other, confidence, 40_000)
    assert found.share == pytest.approx(share)
    bound = share - t * math.sqrt(4 / 3) * max(down, deviation)
    assert found.at_least == pytest.approx(bound, abs=0.02 * (share - bound))


def test_one_lucky_section_convinces_nobody() -> None:
    """It saves a third of all nats, all of them in one section of ten."""
    found = drawn([100.0] * 10, [101.0] * 9 + [0.0])
    assert found.share == pytest.approx(0.091)
    assert found.at_least < 0


def test_pairs_count_and_not_how_hard_a_section_is() -> None:
    """Sections differ a thousandfold, and each is 2 to 3% cheaper: unpaired, no one could tell."""
    sizes = [1.0, 1000.0, 3.0, 500.0, 20.0, 8.0]
    found = drawn(sizes, [size * (0.97 + 0.01 * (i % 2)) for i, size in enumerate(sizes)])
    assert 0.02 <= found.share <= 0.03
    assert 0.01 < found.at_least < found.share


def test_of_two_equal_models_about_as_many_are_taken_as_confidence_says() -> None:
    """200 pairs of models that differ by chance alone: 10 of the bounds are expected above 0. The
    plain quantile of these draws is so for 60, 35, 18 and 26 of them."""
    taken = {num_sections: num_taken(num_sections, 200, saved=0.0) for num_sections in (2, 3, 4, 5)}
    assert all(2 <= number <= 17 for number in taken.values()), taken


def test_what_is_better_by_more_than_the_noise_is_recognised() -> None:
    """3% with a noise of 2% in the costs of either model, by so much in 77 of 100 cases of 8
    sections, in 91 of 12 (docs/experiments.md)."""
    assert num_taken(8, 100, saved=0.03) >= 70
    assert num_taken(12, 100, saved=0.03) >= 85


def num_taken(num_sections: int, num_pairs: int, saved: float) -> int:
    """How many of so many models that save this share are taken as better."""
    draw = np.random.default_rng(8)
    taken = 0
    for _ in range(num_pairs):
        sizes = draw.uniform(50, 500, num_sections)
        first, second = (sizes * (1 + draw.normal(0, 0.02, num_sections)) for _ in range(2))
        taken += drawn([*first], [*(second * (1 - saved))], num=200).at_least > 0
    return taken


def test_the_same_seed_draws_the_same() -> None:
    assert drawn([5.0, 6.0, 9.0], [5.0, 5.0, 7.0]) == drawn([5.0, 6.0, 9.0], [5.0, 5.0, 7.0])


@pytest.mark.parametrize(
    ("incumbent", "other", "confidence", "complaint"),
    [
        ([], [], 0.9, "0 of at least 2 sections"),
        ([1.0], [1.0], 0.9, "1 of at least 2 sections"),
        ([1.0, 2.0], [1.0], 0.9, "not of the same sections"),
        ([1.0, 1.0], [1.0, float("nan")], 0.9, "not finite"),
        ([0.0, 1.0], [1.0, 1.0], 0.9, "not above 0"),
        ([1.0, 1.0], [1.0, 1.0], 1.0, "confidence is 1.0"),
        ([1.0, 1.0], [1.0, 1.0], 0.5, "confidence is 0.5"),
    ],
)
def test_what_cannot_be_drawn_from(
    incumbent: list[float], other: list[float], confidence: float, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        drawn(incumbent, other, confidence)
