"""The paired bootstrap against every draw there is, exact shares, and what it is for."""

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


def test_the_bound_is_that_of_all_draws() -> None:
    """4 sections give 256 draws, each as likely: their own quantile is what is estimated."""
    incumbent, other = np.array([50.0, 80.0, 30.0, 65.0]), np.array([41.0, 83.0, 22.0, 60.0])
    shares = [
        1 - other[list(d)].sum() / incumbent[list(d)].sum() for d in product(range(4), repeat=4)
    ]
    for confidence in (0.6, 0.9, 0.95):
        found = drawn([*incumbent], [*other], confidence, 40_000)
        below = np.mean(np.array(shares) < found.at_least - 1e-12)
        at_most = np.mean(np.array(shares) <= found.at_least + 1e-12)
        assert below - 0.01 <= 1 - confidence <= at_most + 0.01
    assert drawn([*incumbent], [*other]).share == pytest.approx(1 - 206 / 225)


def test_one_lucky_section_convinces_nobody() -> None:
    """It saves a third of all nats, all of them in one section of ten."""
    found = drawn([100.0] * 10, [101.0] * 9 + [0.0])
    assert found.share == pytest.approx(0.091)
    assert found.at_least < 0


def test_pairs_count_and_not_how_hard_a_section_is() -> None:
    """Sections differ a thousandfold, and each is 2 to 3% cheaper: unpaired, no one could tell."""
    sizes = [1.0, 1000.0, 3.0, 500.0, 20.0, 8.0]
    found = drawn(sizes, [size * (0.97 + 0.01 * (i % 2)) for i, size in enumerate(sizes)])
    assert 0.02 <= found.at_least <= found.share <= 0.03


def test_of_two_equal_models_about_as_many_are_taken_as_confidence_says() -> None:
    """200 pairs of models that differ by chance alone: 5% of the bounds lie above 0, or some more,
    as the percentile interval is a little narrow with few sections."""
    draw = np.random.default_rng(8)
    sizes = draw.uniform(50, 500, 40)
    taken = 0
    for _ in range(200):
        first, second = (sizes * (1 + draw.normal(0, 0.02, 40)) for _ in range(2))
        taken += drawn([*first], [*second], num=400).at_least > 0
    assert 2 <= taken <= 24


def test_the_same_seed_draws_the_same() -> None:
    assert drawn([5.0, 6.0, 9.0], [5.0, 5.0, 7.0]) == drawn([5.0, 6.0, 9.0], [5.0, 5.0, 7.0])


@pytest.mark.parametrize(
    ("incumbent", "other", "confidence", "complaint"),
    [
        ([], [], 0.9, "no sections"),
        ([1.0, 2.0], [1.0], 0.9, "not of the same sections"),
        ([1.0], [float("nan")], 0.9, "not finite"),
        ([0.0, 1.0], [1.0, 1.0], 0.9, "not above 0"),
        ([1.0], [1.0], 1.0, "confidence is 1.0"),
    ],
)
def test_what_cannot_be_drawn_from(
    incumbent: list[float], other: list[float], confidence: float, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        drawn(incumbent, other, confidence)
