"""N-gram models as searches see them, alone or mixed with a language model.

The state of an n-gram model is what stands before the next token: C token ids a row, the latest
last, `_nothing_` on the left where less has been read.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.batching import NOTHING
from models.beginnings import State, Step
from models.kneser_ney import KneserNey
from models.tail_bounds import Matters


class NgramStep:
    """A `models.beginnings.Step` of a Kneser-Ney model."""

    def __init__(self, ngram: KneserNey) -> None:
        self._ngram = ngram

    def state_after(self, token_ids: Sequence[int]) -> State:
        """The state after these tokens, of one row."""
        width = max(1, self._ngram.order - 1)
        latest = [NOTHING] * width + list(token_ids)
        return (torch.tensor([latest[len(latest) - width :]]),)

    def __call__(
        self,
        token_ids_N: Tensor,
        state: State,
        row_N: Tensor,
        asked_NK: Tensor,
        matters: Matters | None = None,
    ) -> tuple[Tensor, State]:
        """See `models.beginnings.Step`; every log-probability is exact."""
        (context_RC,) = state
        context_NC = torch.cat([context_RC[row_N, 1:], token_ids_N[:, None]], dim=1)
        log_probs_NK = self._ngram.log_probabilities_of(context_NC.numpy(), asked_NK.numpy())
        return torch.from_numpy(log_probs_NK.astype(np.float32)), (context_NC,)


class MixedStep:
    """Linear interpolation: p = weight * p of a + (1 - weight) * p of b.

    The state is a's parts, then b's; `num_parts` says how many are a's.
    """

    def __init__(self, step_a: Step, num_parts: int, step_b: Step, weight: float) -> None:
        if not 0.0 < weight < 1.0:
            raise ValueError(f"weight is {weight}; it must be between 0 and 1")
        self._step_a, self._num_parts, self._step_b, self._weight = (
            step_a,
            num_parts,
            step_b,
            weight,
        )

    def __call__(
        self,
        token_ids_N: Tensor,
        state: State,
        row_N: Tensor,
        asked_NK: Tensor,
        matters: Matters | None = None,
    ) -> tuple[Tensor, State]:
        """See `models.beginnings.Step`; every log-probability is exact."""
        state_a, state_b = state[: self._num_parts], state[self._num_parts :]
        log_probs_a, state_a = self._step_a(token_ids_N, state_a, row_N, asked_NK)
        log_probs_b, state_b = self._step_b(token_ids_N, state_b, row_N, asked_NK)
        mixed_NK = torch.logaddexp(
            log_probs_a + math.log(self._weight), log_probs_b + math.log(1.0 - self._weight)
        )
        return mixed_NK, (*state_a, *state_b)
