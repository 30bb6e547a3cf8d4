"""By how much one model is better than another on the same sections, and how sure that is.

The paired bootstrap: sections are drawn with replacement, both models' costs of the same section
together, and the improvement is computed anew for each draw. What a section is like (how hard, how
long) touches both models and falls out; what stays is how the improvement varies over sections.

    Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3 (percentile interval)
    Koehn 2004, Statistical Significance Tests for Machine Translation Evaluation (paired draws)

Shapes: S sections.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Improvement:
    """The share of the incumbent's nats that the other model saves; below 0 it costs more."""

    share: float
    """Over all sections."""
    at_least: float
    """Its lower confidence bound."""


def paired_bootstrap(
    incumbent_nats_S: Floats,
    other_nats_S: Floats,
    *,
    confidence: float,
    num_resamples: int,
    seed: int,
) -> Improvement:
    """The improvement over all sections, and the one-sided lower bound that it has by chance.

    The text's length falls out of the share: it is the same in nats and in nats per character.

    Args:
        incumbent_nats_S: what each section costs the incumbent, in nats.
        other_nats_S: what it costs the other model.
        confidence: the share of draws that must lie above the bound, such as 0.95.
        num_resamples: how many draws.
        seed: of the draws.

    Raises:
        ValueError: no sections, costs that are not in pairs, not finite or of nothing, or a
            confidence outside 0 to 1.
    """
    if incumbent_nats_S.shape != other_nats_S.shape or incumbent_nats_S.ndim != 1:
        raise ValueError(
            f"costs of shapes {incumbent_nats_S.shape} and {other_nats_S.shape} are not of the "
            "same sections"
        )
    pairs_S2 = np.stack([incumbent_nats_S, other_nats_S], axis=1).astype(np.float64)
    num_sections = len(pairs_S2)
    if not num_sections:
        raise ValueError("there are no sections to draw from")
    if not (np.isfinite(pairs_S2).all() and (pairs_S2[:, 0] > 0).all()):
        raise ValueError("a section's cost is not finite, or the incumbent's is not above 0")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1")
    generator = np.random.default_rng(seed)
    draws = [
        _share(pairs_S2[generator.integers(num_sections, size=num_sections)])
        for _ in range(num_resamples)
    ]
    return Improvement(_share(pairs_S2), float(np.quantile(draws, 1 - confidence)))


def _share(pairs_S2: npt.NDArray[np.float64]) -> float:
    incumbent, other = pairs_S2.sum(axis=0)
    return float(1.0 - other / incumbent)
