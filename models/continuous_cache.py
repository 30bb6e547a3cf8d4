"""A continuous cache as searches see it: words that came before in like places are more probable.

    p(w) = weight p_model(w) + (1 - weight) p_cache(w)
    p_cache(w) proportional to the sum of exp(flatness h . h_i) over places i that w came after

with h the model's uppermost hidden state: Grave, Joulin & Usunier 2017 (arXiv:1612.04426). It
remembers the text before the sentences, not the beginnings that are searched.

Shapes: N rows, K asked-for tokens, W remembered places, U different words that came after them, H
width of the hidden state.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.beginnings import State, Step
from models.tail_bounds import Matters


@dataclass(frozen=True)
class CacheSettings:
    """The weight of the model beside the cache, the flatness, the places remembered at most."""

    model_weight: float
    flatness: float
    num_places: int

    def __post_init__(self) -> None:
        if not (0.0 < self.model_weight < 1.0 and self.flatness > 0.0 and self.num_places > 0):
            raise ValueError(f"{self}: the weight is between 0 and 1, the others are above 0")


class CachedStep:
    """A `models.beginnings.Step` of a language model and what its cache remembers.

    Args:
        step: the language model's; its state's first part is h_LNH.
        remembered_WH: hidden states along the text before, one at least.
        words_W: the token that came after each.
        settings: how the two are weighed.
    """

    def __init__(
        self, step: Step, remembered_WH: Tensor, words_W: Tensor, settings: CacheSettings
    ) -> None:
        self._step, self._settings = step, settings
        self._remembered_WH = remembered_WH[-settings.num_places :]
        self._words_U, word_W = torch.unique(words_W[-settings.num_places :], return_inverse=True)
        self._is_word_WU = torch.nn.functional.one_hot(word_W).float()

    @torch.inference_mode()
    def __call__(
        self,
        token_ids_N: Tensor,
        state: State,
        row_N: Tensor,
        asked_NK: Tensor,
        matters: Matters | None = None,
    ) -> tuple[Tensor, State]:
        """See `models.beginnings.Step`; every log-probability is exact."""
        log_probs_NK, state = self._step(token_ids_N, state, row_N, asked_NK)
        alike_NW = self._settings.flatness * (state[0][-1].cpu() @ self._remembered_WH.T)
        share_NU = alike_NW.softmax(dim=1) @ self._is_word_WU
        at_NK = torch.searchsorted(self._words_U, asked_NK).clamp(max=len(self._words_U) - 1)
        share_NK = share_NU.gather(1, at_NK).masked_fill(self._words_U[at_NK] != asked_NK, 0.0)
        weight = self._settings.model_weight
        mixed_NK = torch.logaddexp(
            log_probs_NK + math.log(weight), share_NK.log() + math.log(1.0 - weight)
        )
        return mixed_NK, state
