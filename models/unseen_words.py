"""Words outside a vocabulary that may be picked all the same.

Each gets an id of its own, after those of the vocabulary, and a share of what the model gives to
`_unknown_`:

    log p(word | tokens before) = log p(_unknown_ | tokens before) + log p(word | unknown)

The model reads such a word as `_unknown_`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.beginnings import State, Step
from models.special_tokens import UNKNOWN
from models.tail_bounds import Matters


@dataclass(frozen=True)
class UnseenWords:
    """The words, by id from the vocabulary's size on, and log p(word | unknown) in nats."""

    words: tuple[str, ...]
    log_probabilities: tuple[float, ...]

    def step(self, step: Step, num_types: int) -> Step:
        """A step that knows the words too; num_types is the size of what `step` knows."""
        share_U = torch.tensor(self.log_probabilities, dtype=torch.float32)

        def with_unseen(
            token_ids_N: Tensor,
            state: State,
            row_N: Tensor,
            asked_NK: Tensor,
            matters: Matters | None = None,
        ) -> tuple[Tensor, State]:
            is_unseen_NK = asked_NK >= num_types
            share_NK = share_U[(asked_NK - num_types).clamp(min=0)]
            share_NK = share_NK.masked_fill(~is_unseen_NK, 0.0)
            log_probs_NK, state = step(
                token_ids_N.masked_fill(token_ids_N >= num_types, UNKNOWN),
                state,
                row_N,
                asked_NK.masked_fill(is_unseen_NK, UNKNOWN),
                matters and (lambda upper, exact: matters(upper + share_NK, exact)),
            )
            return log_probs_NK + share_NK, state

        return with_unseen
