"""Sampling: which token comes next, drawn from a distribution that was narrowed first.

Temperature sharpens or flattens the whole distribution; top-k keeps its k most probable tokens
(Fan, Lewis & Dauphin, Hierarchical Neural Story Generation, ACL 2018); the nucleus keeps the fewest
tokens that hold a share of the probability (Holtzman et al., The Curious Case of Neural Text
Degeneration, ICLR 2020). In this order, each on what the one before it has left.

Shapes: V vocabulary.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def narrowed(
    log_probs_V: npt.NDArray[np.floating],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    nucleus: float | None = None,
    never: Sequence[int] = (),
) -> Floats:
    """The distribution to draw from, probabilities_V that sum to 1.

    Args:
        log_probs_V: the model's log-probabilities.
        temperature: above 0; p is made proportional to p ** (1 / temperature).
        top_k: keep so many of the most probable tokens; of equals the lower ids.
        nucleus: in (0, 1]; keep the most probable tokens, as few as hold this probability.
        never: tokens that are not drawn, whatever their probability.

    Raises:
        ValueError: a setting is out of its range, or no token is left to draw.
    """
    if not temperature > 0.0:
        raise ValueError(f"temperature {temperature} is not above 0")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k {top_k} keeps no token")
    if nucleus is not None and not 0.0 < nucleus <= 1.0:
        raise ValueError(f"nucleus {nucleus} is not in (0, 1]")
    scores_V: Floats = np.array(log_probs_V, dtype=np.float64)
    scores_V[list(never)] = -np.inf
    best = scores_V.max()
    if best == -np.inf:
        raise ValueError("no token is left to draw")
    weights_V = np.exp((scores_V - best) / temperature)
    order_V = np.argsort(-weights_V, kind="stable")
    num_kept = len(order_V) if top_k is None else min(top_k, len(order_V))
    if nucleus is not None:
        held = np.cumsum(weights_V[order_V[:num_kept]])
        # The first token that reaches the share is the last one kept.
        num_kept = 1 + int(np.searchsorted(held, nucleus * held[-1]))
    kept = order_V[:num_kept]
    probabilities_V: Floats = np.zeros(len(weights_V))
    probabilities_V[kept] = weights_V[kept] / weights_V[kept].sum()
    return probabilities_V


def draw(probabilities_V: Floats, rng: np.random.Generator) -> int:
    """A token drawn from a distribution, by one random number; never one of probability 0."""
    cumulative_V = np.cumsum(probabilities_V)
    point = rng.random() * cumulative_V[-1]  # below the sum, whatever rounding made of it
    return int(np.searchsorted(cumulative_V, point, side="right"))
