"""Linear interpolation of two models that give probabilities to the same targets.

    p = weight * p_a + (1 - weight) * p_b,        nats = -log p

Shapes: N targets.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_NUM_HALVINGS = 40  # of [0, 1]: the weight is known to 1e-12


def mix_nats(
    nats_a_N: npt.NDArray[np.floating], nats_b_N: npt.NDArray[np.floating], weight: float
) -> Floats:
    """The cost in nats of each target under the mixture, `weight` being that of a.

    Raises:
        ValueError: a weight outside 0 to 1, or costs that are not in pairs.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight is {weight}; it must be 0 to 1")
    a_N, b_N = _pairs(nats_a_N, nats_b_N)
    with np.errstate(divide="ignore"):  # log 0 = -inf leaves the other model alone
        log_weight_a, log_weight_b = np.log([weight, 1 - weight])
    mixed_N: Floats = -np.logaddexp(log_weight_a - a_N, log_weight_b - b_N)
    return mixed_N


def best_weight(nats_a_N: npt.NDArray[np.floating], nats_b_N: npt.NDArray[np.floating]) -> float:
    """The weight of a with the lowest mean cost over targets that neither model learned from.

    The mean is convex in the weight, for minus a logarithm is and p is linear in it: where its
    slope changes sign is the minimum, and halving finds it. Where any weight does, as for equal
    models, 0 is returned.

    Raises:
        ValueError: no targets, costs that are not in pairs or are NaN, or a target that both
            models think impossible.
    """
    a_N, b_N = _pairs(nats_a_N, nats_b_N)
    if not len(a_N):
        raise ValueError("there are no targets to tune a weight on")
    if not np.minimum(a_N, b_N).max() < np.inf:  # NaN, too, is not less
        raise ValueError("a target's cost is NaN, or infinite in both models")
    log_ratio_N = b_N - a_N  # log(p_a / p_b)
    # Both divided by the larger of the two, so that nothing overflows.
    p_a_N, p_b_N = np.exp(np.minimum(log_ratio_N, 0)), np.exp(-np.maximum(log_ratio_N, 0))

    def slope(weight: float) -> float:
        with np.errstate(divide="ignore"):
            return float(-np.mean((p_a_N - p_b_N) / (weight * p_a_N + (1 - weight) * p_b_N)))

    if slope(0.0) >= 0:
        return 0.0
    if slope(1.0) <= 0:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_NUM_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2


def _pairs(
    nats_a_N: npt.NDArray[np.floating], nats_b_N: npt.NDArray[np.floating]
) -> tuple[Floats, Floats]:
    if nats_a_N.shape != nats_b_N.shape or nats_a_N.ndim != 1:
        raise ValueError(
            f"costs of shapes {nats_a_N.shape} and {nats_b_N.shape} are not of the same targets"
        )
    return nats_a_N.astype(np.float64), nats_b_N.astype(np.float64)
