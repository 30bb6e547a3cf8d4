"""N-gram models as searches see them, alone or mixed with a language model.

The state of an n-gram model is which of its n-grams of each length stand before the next token:
ids_RL, as in `KneserNey.read`.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.beginnings import State, Step
from models.kneser_ney import KneserNey
from models.tail_bounds import Matters


class NgramStep:
    """A `models.beginnings.Step` of a Kneser-Ney model."""

    def __init__(self, ngram: KneserNey) -> None:
        self._ngram = ngram

    def state_after(self, token_ids: Sequence[int]) -> State:
        """The state after these tokens, of one row."""
        ids_1L = self._ngram.nothing_read(1)
        for token_id in token_ids[-self._ngram.order :]:
            ids_1L = self._ngram.read(ids_1L, np.array([token_id]))
        return (torch.from_numpy(ids_1L),)

    def __call__(
        self,
        token_ids_N: Tensor,
        state: State,
        row_N: Tensor,
        asked_NK: Tensor,
        matters: Matters | None = None,
    ) -> tuple[Tensor, State]:
        """See `models.beginnings.Step`; every log-probability is exact."""
        (ids_RL,) = state
        ids_NL = self._ngram.read(ids_RL[row_N].numpy(), token_ids_N.numpy())
        log_probs_NK = self._ngram.log_probabilities_after(ids_NL, asked_NK.numpy())
        return torch.from_numpy(log_probs_NK.astype(np.float32)), (torch.from_numpy(ids_NL),)


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
        """See `models.beginnings.Step`; bounds of a are bounds of the mixture."""
        state_a, state_b = state[: self._num_parts], state[self._num_parts :]
        log_probs_b, state_b = self._step_b(token_ids_N, state_b, row_N, asked_NK)
        share_b_NK = log_probs_b + math.log(1.0 - self._weight)

        def mixed(log_probs_a: Tensor) -> Tensor:
            return torch.logaddexp(log_probs_a + math.log(self._weight), share_b_NK)

        matters_a = matters and (lambda upper_NK, exact_NK: matters(mixed(upper_NK), exact_NK))
        log_probs_a, state_a = self._step_a(token_ids_N, state_a, row_N, asked_NK, matters_a)
        return mixed(log_probs_a), (*state_a, *state_b)
