"""Distributions to draw from, worked by hand; draws, counted."""

import math
from typing import Any

import numpy as np
import pytest

from models.sampling import draw, narrowed

HALVES = np.log([0.5, 0.25, 0.125, 0.125])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1 / 2, 1 / 4, 1 / 8, 1 / 8]),
        # Squared: 16, 4, 1, 1 parts of 22. Square roots: 2, sqrt 2, 1, 1.
        ({"temperature": 0.5}, [16 / 22, 4 / 22, 1 / 22, 1 / 22]),
        ({"temperature": 2.0}, [part / (4 + math.sqrt(2)) for part in (2, math.sqrt(2), 1, 1)]),
        ({"top_k": 1}, [1, 0, 0, 0]),
        ({"top_k": 2}, [2 / 3, 1 / 3, 0, 0]),
        ({"top_k": 3}, [4 / 7, 2 / 7, 1 / 7, 0]),  # of equals, the lower id
        ({"top_k": 9}, [1 / 2, 1 / 4, 1 / 8, 1 / 8]),
        ({"nucleus": 0.3}, [1, 0, 0, 0]),  # the fewest that hold three tenths
        ({"nucleus": 0.5}, [1, 0, 0, 0]),
        ({"nucleus": 0.6}, [2 / 3, 1 / 3, 0, 0]),
        ({"nucleus": 0.8}, [4 / 7, 2 / 7, 1 / 7, 0]),
        ({"nucleus": 1.0}, [1 / 2, 1 / 4, 1 / 8, 1 / 8]),
        # After temperature 1/2 the first holds 16/22 = 0.73; without it, it took two.
        ({"temperature": 0.5, "nucleus": 0.7}, [1, 0, 0, 0]),
        # Of the two that top-k has left, the first holds 2/3.
        ({"top_k": 2, "nucleus": 0.6}, [1, 0, 0, 0]),
        ({"never": (0,)}, [0, 1 / 2, 1 / 4, 1 / 4]),
        ({"never": (0, 1), "top_k": 1}, [0, 0, 1, 0]),
        ({"never": (0,), "nucleus": 0.5}, [0, 1, 0, 0]),
    ],
)
def test_narrowed_by_hand(settings: dict[str, Any], expected: list[float]) -> None:
    before = HALVES.copy()
    assert narrowed(HALVES, **settings) == pytest.approx(expected, abs=1e-12)
    assert np.array_equal(HALVES, before)


def test_the_order_of_the_tokens_does_not_matter() -> None:
    order = np.array([2, 0, 3, 1])
    expected = narrowed(HALVES, temperature=0.7, nucleus=0.8)
    given = narrowed(HALVES[order], temperature=0.7, nucleus=0.8)
    # Tokens 2 and 3 are equals: whichever comes first is kept.
    assert sorted(given) == pytest.approx(sorted(expected))
    assert given[[1, 3]] == pytest.approx(expected[[0, 1]])


def test_tokens_of_no_probability_stay_so() -> None:
    log_probs = np.array([-np.inf, math.log(0.25), math.log(0.75)], dtype=np.float32)
    for temperature in (0.05, 1.0, 50.0):
        assert narrowed(log_probs, temperature=temperature)[0] == 0.0
    cold = narrowed(log_probs, temperature=1e-6)
    assert cold.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"temperature 0\.0 is not above 0"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"top_k": 0}, "top_k 0 keeps no token"),
        ({"nucleus": 0.0}, r"nucleus 0\.0 is not in"),
        ({"nucleus": 1.5}, r"nucleus 1\.5 is not in"),
        ({"never": (0, 1, 2, 3)}, "no token is left"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        narrowed(HALVES, **settings)


def test_draws_come_as_often_as_they_should() -> None:
    probabilities = np.array([0.0, 0.2, 0.0, 0.5, 0.3, 0.0])
    rng = np.random.default_rng(1)
    counts = np.bincount([draw(probabilities, rng) for _ in range(20_000)], minlength=6)
    assert counts[probabilities == 0.0].tolist() == [0, 0, 0]
    # Four standard deviations of a share of 20,000 draws are at most 0.015.
    assert counts / 20_000 == pytest.approx(probabilities, abs=0.015)


@pytest.mark.parametrize(
    ("point", "token"), [(0.0, 1), (0.2499, 1), (0.25, 2), (0.9999999, 2), (1 - 2**-53, 2)]
)
def test_draws_at_the_edges(point: float, token: int) -> None:
    class Fixed(np.random.Generator):
        def random(self, *_: Any, **__: Any) -> float:  # type: ignore[override]
            return point

    assert draw(np.array([0.0, 0.25, 0.75, 0.0]), Fixed(np.random.PCG64(0))) == token
