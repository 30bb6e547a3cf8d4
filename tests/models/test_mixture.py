"""Mixtures of two models against plain probabilities, closed forms and a fine grid."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.mixture import best_weight, mix_nats

INF = math.inf


def test_three_targets_by_hand() -> None:
    nats_a_N = -np.log([0.5, 0.1, 0.2], dtype=np.float32)
    nats_b_N = -np.log([0.1, 0.3, 0.2])
    mixed_N = mix_nats(nats_a_N, nats_b_N, 0.25)
    np.testing.assert_allclose(np.exp(-mixed_N), [0.2, 0.25, 0.2], rtol=1e-6)
    assert mixed_N.dtype == np.float64


def test_probabilities_too_small_for_a_float() -> None:
    mixed_N = mix_nats(np.array([2000.0, 1.0]), np.array([2001.0, INF]), 0.5)
    expected = [2000 - math.log((1 + math.exp(-1)) / 2), 1 + math.log(2)]
    np.testing.assert_allclose(mixed_N, expected, rtol=1e-14)


def test_all_the_weight_on_one_model_is_that_model() -> None:
    nats_a_N, nats_b_N = np.array([1.0, INF, 3.0]), np.array([2.0, 5.0, INF])
    np.testing.assert_array_equal(mix_nats(nats_a_N, nats_b_N, 1.0), nats_a_N)
    np.testing.assert_array_equal(mix_nats(nats_a_N, nats_b_N, 0.0), nats_b_N)


@pytest.mark.parametrize(("num_right", "uniform"), [(6, 0.2), (3, 0.25), (9, 0.001), (5, 0.499)])
def test_a_model_that_is_sure_beside_one_that_knows_nothing(num_right: int, uniform: float) -> None:
    """a gives 1 to num_right of 10 targets and 0 to the rest, b gives u to all. The derivative of
    f log(w + (1 - w) u) + (1 - f) log((1 - w) u) is 0 at w = (f - u) / (1 - u)."""
    nats_a_N = np.array([0.0] * num_right + [INF] * (10 - num_right))
    nats_b_N = np.full(10, -math.log(uniform))
    expected = (num_right / 10 - uniform) / (1 - uniform)
    assert best_weight(nats_a_N, nats_b_N) == pytest.approx(expected, abs=1e-9)
    assert best_weight(nats_b_N, nats_a_N) == pytest.approx(1 - expected, abs=1e-9)


def test_the_better_model_takes_all_where_it_is_better_everywhere() -> None:
    better_N = np.array([0.5, 900.0, 2.0])
    worse_N = np.array([0.6, 1700.0, INF])
    assert best_weight(better_N, worse_N) == 1.0
    assert best_weight(worse_N, better_N) == 0.0
    assert best_weight(better_N, better_N) == 0.0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 100), st.floats(0.05, 3), st.floats(-2, 2))
def test_the_best_weight_is_that_of_a_fine_grid(
    seed: int, num_targets: int, spread: float, advantage: float
) -> None:
    rng = np.random.default_rng(seed)
    nats_a_N = rng.gamma(2.0, 2.0, num_targets)
    nats_b_N = np.maximum(nats_a_N + rng.normal(advantage, spread, num_targets), 0.0)
    grid = np.linspace(0, 1, 10_001)
    p_a_N, p_b_N = np.exp(-nats_a_N), np.exp(-nats_b_N)
    cost_of_grid = -np.log(p_b_N + np.outer(grid, p_a_N - p_b_N)).mean(axis=1)
    weight = best_weight(nats_a_N, nats_b_N)
    assert weight == pytest.approx(grid[int(np.argmin(cost_of_grid))], abs=1.01e-4)
    assert mix_nats(nats_a_N, nats_b_N, weight).mean() <= cost_of_grid.min() + 1e-12


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
def test_weights_outside_0_to_1_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="it must be 0 to 1"):
        mix_nats(np.ones(2), np.ones(2), weight)


@pytest.mark.parametrize(
    ("nats_a", "nats_b", "message"),
    [
        ([1.0, 2.0], [1.0], r"shapes \(2,\) and \(1,\)"),
        ([[1.0]], [[1.0]], r"shapes \(1, 1\) and \(1, 1\)"),
        ([], [], "no targets"),
        ([1.0, INF], [1.0, INF], "infinite in both"),
        ([1.0, math.nan], [1.0, 2.0], "NaN"),
    ],
)
def test_costs_that_no_weight_can_be_tuned_on(
    nats_a: list[float], nats_b: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        best_weight(np.array(nats_a), np.array(nats_b))
