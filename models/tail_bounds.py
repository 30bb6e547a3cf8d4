"""Lower bounds on what a tail of the adaptive softmax is normalised by, at a part of its cost.

Words of a tail are put into groups of like vectors. By Jensen's inequality, with S the sum of
exp(b) over a group, b the biases, and w the mean of its vectors weighted by exp(b),

    log sum over the group of exp(w_v h + b_v)  >=  log S + w h

and the log of the sum of these over all groups bounds the tail's normaliser from below: the
probability of each of its words from above. A search need not know exactly what is too improbable
to be kept.

Shapes: N rows, W words of a tail, D width of its vectors, G groups.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Matters = Callable[[Tensor, Tensor], Tensor]
"""(log_probs_NK, is_exact_NK) -> which of those that are but upper bounds must be exact."""

WORDS_A_GROUP = 16
NUM_ROUNDS = 5
SLACK_NATS = 1e-4  # for the rounding of two ways to the same product
FEWEST_WORDS = 256  # a smaller tail costs too little to be bounded


@dataclass(frozen=True)
class TailBound:
    """The groups of a tail."""

    vectors_GD: Tensor
    log_mass_G: Tensor

    @staticmethod
    @torch.no_grad()  # else the groups would hold on to all that they were made from
    def of(vectors_WD: Tensor, bias_W: Tensor) -> "TailBound | None":
        """Groups of a tail's words, by k-means (Lloyd 1982) from words evenly spaced by frequency;
        the same words give the same groups. None where the tail is small.
        """
        num_words = len(bias_W)
        if num_words < FEWEST_WORDS:
            return None
        mass_W = bias_W.double().exp()
        vectors_WD64 = vectors_WD.double()
        centre_GD = vectors_WD[::WORDS_A_GROUP].clone()
        for _ in range(NUM_ROUNDS):
            group_W = torch.cdist(vectors_WD, centre_GD).argmin(dim=1)
            mass_G = mass_W.new_zeros(len(centre_GD)).index_add(0, group_W, mass_W)
            total_GD = mass_W.new_zeros(centre_GD.shape).index_add(
                0, group_W, vectors_WD64 * mass_W[:, None]
            )
            filled_G = mass_G > 0
            centre_GD[filled_G] = (total_GD[filled_G] / mass_G[filled_G, None]).float()
        # Empty groups have mass 0, and drop out.
        return TailBound(centre_GD[filled_G], mass_G[filled_G].log().float())

    def floor(self, projected_ND: Tensor) -> Tensor:
        """A lower bound on the tail's log-normaliser of each row, floor_N."""
        floor_N = torch.addmm(self.log_mass_G, projected_ND, self.vectors_GD.T).logsumexp(dim=1)
        return floor_N - SLACK_NATS
