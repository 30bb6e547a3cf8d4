"""Adaptive softmax: a full distribution over the vocabulary at a fraction of its cost.

Frequent words stand in the head; the rest in tails of growing size and shrinking width, each
reached through one head entry: p(w) = p(tail | h) p(w | tail, h) for a word of a tail.
Grave et al., Efficient softmax approximation for GPUs, ICML 2017 (arXiv:1609.04309).

PyTorch's own module gives the loss of targets and the distribution over all words; the decoder
wants exact log-probabilities of a few asked-for words a row, `_nothing_` and `_start_` must have
none at all, and its products should run in bf16 while sums stay in fp32. Hence this one.

Shapes: N rows, H width of the hidden state, V vocabulary, K asked-for words a row, F entries of
the head, W words of a tail, D width of a tail's projection.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

NEVER_PREDICTED = 2  # ids 0 and 1, _nothing_ and _start_


class AdaptiveSoftmax(nn.Module):
    """Log-probabilities of tokens whose ids run by falling frequency.

    Args:
        hidden_width: H.
        num_types: V.
        cutoffs: first id of each tail, ascending, above the four special ids and below V; none
            makes a full softmax.
        width_divisor: each tail is this many times narrower than the one before it.
    """

    def __init__(
        self,
        hidden_width: int,
        num_types: int,
        cutoffs: Sequence[int],
        width_divisor: float = 4.0,
    ) -> None:
        super().__init__()
        edges = [*cutoffs, num_types]
        if sorted(set(edges)) != edges or edges[0] <= NEVER_PREDICTED:
            raise ValueError(f"cutoffs {list(cutoffs)} do not ascend between 3 and {num_types}")
        self.edges = edges
        num_tails = len(cutoffs)
        self.head = nn.Linear(hidden_width, edges[0] + num_tails)
        self.projections = nn.ModuleList()
        self.tails = nn.ModuleList()
        for index in range(num_tails):
            width = max(8, int(hidden_width // width_divisor ** (index + 1)))
            self.projections.append(nn.Linear(hidden_width, width, bias=False))
            self.tails.append(nn.Linear(width, edges[index + 1] - edges[index]))
        with torch.no_grad():
            self.head.bias.zero_()
            self.head.bias[:NEVER_PREDICTED] = -torch.inf  # p = 0 exactly, and so its gradient

    def nats(self, hidden_NH: Tensor, targets_N: Tensor) -> Tensor:
        """-log p of each row's target, nats_N in fp32."""
        head_NF = self.head(hidden_NH).float()
        entries_N = targets_N.clone()
        for index, (low, high) in enumerate(self._tail_spans()):
            entries_N[(targets_N >= low) & (targets_N < high)] = self.edges[0] + index
        nats_N = functional.cross_entropy(head_NF, entries_N, reduction="none")
        for index, (low, high) in enumerate(self._tail_spans()):
            rows = torch.nonzero((targets_N >= low) & (targets_N < high)).flatten()
            if len(rows):
                logits_MW = self._tail_logits(index, hidden_NH[rows])
                inside_M = functional.cross_entropy(
                    logits_MW, targets_N[rows] - low, reduction="none"
                )
                nats_N = nats_N.index_add(0, rows, inside_M)
        return nats_N

    def log_probabilities(self, hidden_NH: Tensor) -> Tensor:
        """Log p of every token, log_probs_NV in fp32; -inf for `_nothing_` and `_start_`."""
        head_NF = functional.log_softmax(self.head(hidden_NH).float(), dim=-1)
        parts = [head_NF[:, : self.edges[0]]]
        for index in range(len(self.tails)):
            inside_NW = functional.log_softmax(self._tail_logits(index, hidden_NH), dim=-1)
            parts.append(head_NF[:, self.edges[0] + index, None] + inside_NW)
        return torch.cat(parts, dim=-1)

    def log_probabilities_of(self, hidden_NH: Tensor, asked_NK: Tensor) -> Tensor:
        """Log p of the asked-for tokens of each row, log_probs_NK in fp32.

        Normalised over the whole vocabulary; only tails that are asked for are computed.
        """
        head_NF = functional.log_softmax(self.head(hidden_NH).float(), dim=-1)
        log_probs_NK = head_NF.gather(1, asked_NK.clamp(max=self.edges[0] - 1))
        for index, (low, high) in enumerate(self._tail_spans()):
            asked_here_NK = (asked_NK >= low) & (asked_NK < high)
            rows = torch.nonzero(asked_here_NK.any(dim=1)).flatten()
            if not len(rows):
                continue
            inside_MW = functional.log_softmax(self._tail_logits(index, hidden_NH[rows]), dim=-1)
            inside_MK = inside_MW.gather(1, (asked_NK[rows] - low).clamp(0, high - low - 1))
            inside_MK = inside_MK + head_NF[rows, self.edges[0] + index, None]
            log_probs_NK[rows] = torch.where(asked_here_NK[rows], inside_MK, log_probs_NK[rows])
        return log_probs_NK

    def _tail_spans(self) -> list[tuple[int, int]]:
        return list(zip(self.edges, self.edges[1:], strict=False))

    def _tail_logits(self, index: int, hidden_MH: Tensor) -> Tensor:
        logits: Tensor = self.tails[index](self.projections[index](hidden_MH))
        return logits.float()
