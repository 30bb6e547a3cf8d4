"""Adaptive softmax: a full distribution over the vocabulary at a fraction of its cost.

Frequent words stand in the head; the rest in tails of growing size and shrinking width, each
reached through one head entry: p(w) = p(tail | h) p(w | tail, h) for a word of a tail.
Grave et al., Efficient softmax approximation for GPUs, ICML 2017 (arXiv:1609.04309).

PyTorch's own module gives the loss of targets and the distribution over all words; the decoder
wants exact log-probabilities of a few asked-for words a row, `_nothing_` and `_start_` must have
none at all, and its products should run in bf16 while sums stay in fp32. Hence this one.

Shapes: N rows, M of them whose target lies in a tail, H width of the hidden state, V vocabulary, K
asked-for words a row, F entries of the head, W words of a tail, D width of a tail's projection.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.devices import handed_to
from models.tail_bounds import Matters, TailBound

NEVER_PREDICTED = 2  # ids 0 and 1, _nothing_ and _start_
ROWS_AT_ONCE = 256  # of a tail's logits, which then stay in the processor's cache


class AdaptiveSoftmax(nn.Module):
    """Log-probabilities of tokens whose ids run by falling frequency.

    Args:
        hidden_width: H.
        num_types: V.
        cutoffs: first id of each tail, ascending, above the four special ids and below V; none
            makes a full softmax.
        width_divisor: each tail is this many times narrower than the one before it.
        tied_to: score words by these vectors, the ones they are read by (Press & Wolf 2017;
            Inan, Khosravi & Socher 2017); hidden states are first projected to their width, and
            tails are as wide as they.
    """

    _tied_to: nn.Embedding | None

    def __init__(
        self,
        hidden_width: int,
        num_types: int,
        cutoffs: Sequence[int],
        width_divisor: float = 4.0,
        tied_to: nn.Embedding | None = None,
    ) -> None:
        super().__init__()
        edges = [*cutoffs, num_types]
        if sorted(set(edges)) != edges or edges[0] <= NEVER_PREDICTED:
            raise ValueError(f"cutoffs {list(cutoffs)} do not ascend between 3 and {num_types}")
        self.edges = edges
        # Not registered here: the vectors are the language model's, and stand once in its weights.
        object.__setattr__(self, "_tied_to", tied_to)
        num_tails = len(cutoffs)
        self.projections = nn.ModuleList()
        self.tails = nn.ModuleList()
        if tied_to is not None:
            width = tied_to.embedding_dim
            self.projection = nn.Linear(hidden_width, width, bias=False)
            if num_tails:
                self.head = nn.Linear(width, num_tails)
            self.word_bias = nn.Parameter(torch.zeros(num_types))
            self.word_bias.data[:NEVER_PREDICTED] = -torch.inf
            return
        self.head = nn.Linear(hidden_width, edges[0] + num_tails)
        for index in range(num_tails):
            width = max(8, int(hidden_width // width_divisor ** (index + 1)))
            self.projections.append(nn.Linear(hidden_width, width, bias=False))
            self.tails.append(nn.Linear(width, edges[index + 1] - edges[index]))
        with torch.no_grad():
            self.head.bias.zero_()
            self.head.bias[:NEVER_PREDICTED] = -torch.inf  # p = 0 exactly, and so its gradient

    @torch.no_grad()
    def start_from(self, counts: Sequence[int]) -> None:
        """Let the biases say how frequent each token is, so that training need not learn it.

        On the plays this alone brings the perplexity after one epoch from 162 to 133.
        """
        counts_V = torch.tensor(counts, dtype=torch.float32) + 0.5
        counts_V[:NEVER_PREDICTED] = 0.0
        log_share_V = (counts_V / counts_V.sum()).log()  # -inf for what is never predicted
        low = self.edges[0]
        tail_share = [log_share_V[a:b].logsumexp(0) for a, b in self._tail_spans()]
        biases = [log_share_V[:low], *(share[None] for share in tail_share)]
        if self._tied_to is not None:
            self.word_bias.copy_(log_share_V)
            if tail_share:
                self.head.bias.copy_(torch.stack(tail_share))
        else:
            self.head.bias.copy_(torch.cat(biases))
        for index, (a, b) in enumerate(self._tail_spans()):
            # A uniform tail has biases of 0: those of others are held against it.
            bias = log_share_V[a:b] - tail_share[index] + math.log(b - a)
            if self._tied_to is not None:
                self.word_bias[a:b] = bias
            else:
                tail = self.tails[index]
                assert isinstance(tail, nn.Linear)
                tail.bias.copy_(bias)

    def nats(self, hidden_NH: Tensor, targets_N: Tensor) -> Tensor:
        """-log p of each row's target, nats_N in fp32. Targets may come from the CPU."""
        hidden_NH, blocks, device = self._projected(hidden_NH), self._blocks(), hidden_NH.device
        head_NF = self._head_logits(hidden_NH, blocks)
        entries_N = targets_N.clone()
        for index, (low, high) in enumerate(self._tail_spans()):
            entries_N[(targets_N >= low) & (targets_N < high)] = self.edges[0] + index
        entries_N = handed_to(device, entries_N)
        nats_N = functional.cross_entropy(head_NF, entries_N, reduction="none")
        for index, (low, high) in enumerate(self._tail_spans()):
            rows_M = torch.nonzero((targets_N >= low) & (targets_N < high)).flatten()
            if len(rows_M):
                words_M = handed_to(device, targets_N[rows_M] - low)
                rows_M = handed_to(device, rows_M)
                logits_MW = self._tail_logits(index, hidden_NH[rows_M], blocks)
                inside_M = functional.cross_entropy(logits_MW, words_M, reduction="none")
                nats_N = nats_N.index_add(0, rows_M, inside_M)
        return nats_N

    def log_probabilities(self, hidden_NH: Tensor) -> Tensor:
        """Log p of every token, log_probs_NV in fp32; -inf for `_nothing_` and `_start_`."""
        hidden_NH, blocks = self._projected(hidden_NH), self._blocks()
        head_NF = functional.log_softmax(self._head_logits(hidden_NH, blocks), dim=-1)
        parts = [head_NF[:, : self.edges[0]]]
        for index in range(len(self._tail_spans())):
            inside_NW = functional.log_softmax(self._tail_logits(index, hidden_NH, blocks), dim=-1)
            parts.append(head_NF[:, self.edges[0] + index, None] + inside_NW)
        return torch.cat(parts, dim=-1)

    def log_probabilities_of(
        self,
        hidden_NH: Tensor,
        asked_NK: Tensor,
        bounds: Sequence[TailBound | None] = (),
        matters: Matters | None = None,
    ) -> Tensor:
        """Log p of the asked-for tokens of each row, log_probs_NK in fp32.

        Normalised over the whole vocabulary; only tails that are asked for are computed.

        Args:
            hidden_NH: hidden states.
            asked_NK: token ids.
            bounds: `tail_bounds()`, for `matters`.
            matters: given log_probs_NK, some of which are upper bounds, and is_exact_NK, says which
                of the others must be exact, too. What does not matter stays an upper bound.
        """
        hidden_NH, blocks = self._projected(hidden_NH), self._blocks()
        head_NF = functional.log_softmax(self._head_logits(hidden_NH, blocks), dim=-1)
        log_probs_NK = head_NF.gather(1, asked_NK.clamp(max=self.edges[0] - 1))
        if matters is None:
            is_exact_NK = asked_NK < self.edges[0]
        else:
            is_exact_NK = self._bound(log_probs_NK, hidden_NH, head_NF, asked_NK, blocks, bounds)
        for index in range(len(self._tail_spans())):
            wanted_NK = ~is_exact_NK
            if matters is not None:
                # What is exact by then may outdo what is still but a bound.
                wanted_NK &= matters(log_probs_NK, is_exact_NK)
            is_exact_NK |= self._make_exact(
                index, wanted_NK, log_probs_NK, hidden_NH, head_NF, asked_NK, blocks
            )
        return log_probs_NK

    def _make_exact(
        self,
        index: int,
        wanted_NK: Tensor,
        log_probs_NK: Tensor,
        hidden_NH: Tensor,
        head_NF: Tensor,
        asked_NK: Tensor,
        blocks: list[tuple[Tensor, Tensor]],
    ) -> Tensor:
        """Write log p of the wanted words of a tail, and of those that come with them: which."""
        low, high = self._tail_spans()[index]
        written_NK = (asked_NK >= low) & (asked_NK < high)
        rows_M = (written_NK & wanted_NK).any(dim=1).nonzero()[:, 0]
        vectors_WD, bias_W = self._tail_weights(index, blocks)
        for rows_R in torch.split(rows_M, ROWS_AT_ONCE):
            inputs_RD = self._tail_inputs(index, hidden_NH[rows_R], blocks)
            logits_WR = torch.addmm(bias_W[:, None], vectors_WD, inputs_RD.T)
            r_C, column_C = written_NK[rows_R].nonzero(as_tuple=True)
            inside_C = logits_WR[asked_NK[rows_R[r_C], column_C] - low, r_C]
            inside_C = inside_C - logits_WR.logsumexp(dim=0)[r_C]
            row_C = rows_R[r_C]
            log_probs_NK[row_C, column_C] = head_NF[row_C, self.edges[0] + index] + inside_C
        return written_NK & (written_NK & wanted_NK).any(dim=1, keepdim=True)

    def tail_bounds(self) -> list[TailBound | None]:
        """For each tail what bounds its probabilities from above; None where it is small."""
        blocks = self._blocks()
        weights = (self._tail_weights(index, blocks) for index in range(len(self._tail_spans())))
        return [TailBound.of(vectors_WD, bias_W) for vectors_WD, bias_W in weights]

    def _bound(
        self,
        log_probs_NK: Tensor,
        hidden_NH: Tensor,
        head_NF: Tensor,
        asked_NK: Tensor,
        blocks: list[tuple[Tensor, Tensor]],
        bounds: Sequence[TailBound | None],
    ) -> Tensor:
        """Write upper bounds for words of tails into log_probs_NK; the others' is_exact_NK."""
        is_exact_NK = torch.ones_like(asked_NK, dtype=torch.bool)
        for index, (low, high) in enumerate(self._tail_spans()):
            asked_here_NK = (asked_NK >= low) & (asked_NK < high)
            row_M, column_M = asked_here_NK.nonzero(as_tuple=True)
            if not len(row_M):
                continue
            is_exact_NK &= ~asked_here_NK
            upper_M = head_NF[row_M, self.edges[0] + index]
            bound = bounds[index]
            if bound is not None:
                rows_R, of_M = torch.unique(row_M, return_inverse=True)
                projected_RD = self._tail_inputs(index, hidden_NH[rows_R], blocks)
                vectors_WD, bias_W = self._tail_weights(index, blocks)
                # Rows of a set ask for the same words.
                words_U, word_M = torch.unique(asked_NK[row_M, column_M], return_inverse=True)
                logits_RU = functional.linear(
                    projected_RD, vectors_WD[words_U - low], bias_W[words_U - low]
                )
                inside_M = logits_RU[of_M, word_M] - bound.floor(projected_RD)[of_M]
                upper_M = upper_M + inside_M.clamp(max=0.0)
            log_probs_NK[row_M, column_M] = upper_M
        return is_exact_NK

    def _tail_spans(self) -> list[tuple[int, int]]:
        return list(pairwise(self.edges))

    def _projected(self, hidden_NH: Tensor) -> Tensor:
        projected: Tensor = hidden_NH if self._tied_to is None else self.projection(hidden_NH)
        return projected

    def _blocks(self) -> list[tuple[Tensor, Tensor]]:
        """Tied: the (vectors, biases) of the head's words and of each tail's.

        Split once: the gradient of a slice is a tensor as large as the whole, and each block would
        have one of its own (a sixth of the time of a step with 33,000 types).
        """
        if self._tied_to is None:
            return []
        sizes = [high - low for low, high in pairwise([0, *self.edges])]
        vectors = self._tied_to.weight.split_with_sizes(sizes)
        return list(zip(vectors, self.word_bias.split_with_sizes(sizes), strict=True))

    def _head_logits(self, hidden_NH: Tensor, blocks: list[tuple[Tensor, Tensor]]) -> Tensor:
        if not blocks:
            logits_NF: Tensor = self.head(hidden_NH)
            return logits_NF.float()
        logits_NF = functional.linear(hidden_NH, *blocks[0])
        if len(blocks) > 1:
            logits_NF = torch.cat([logits_NF, self.head(hidden_NH)], dim=-1)
        return logits_NF.float()

    def _tail_logits(
        self, index: int, hidden_MH: Tensor, blocks: list[tuple[Tensor, Tensor]]
    ) -> Tensor:
        inputs_MD = self._tail_inputs(index, hidden_MH, blocks)
        return functional.linear(inputs_MD, *self._tail_weights(index, blocks)).float()

    def _tail_inputs(
        self, index: int, hidden_MH: Tensor, blocks: list[tuple[Tensor, Tensor]]
    ) -> Tensor:
        inputs_MD: Tensor = hidden_MH if blocks else self.projections[index](hidden_MH)
        return inputs_MD

    def _tail_weights(
        self, index: int, blocks: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        if blocks:
            return blocks[index + 1]
        tail = self.tails[index]
        assert isinstance(tail, nn.Linear)
        return tail.weight, tail.bias
