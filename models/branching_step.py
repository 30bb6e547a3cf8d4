"""The language model as searches see it: many tokens read from one state.

Most beginnings in a beam differ from another only in their last word. What a state brings to the
gates is computed once for all words that are read from it, and what a word brings once for all
states that read it:

    gates of row n = W_hh h[row_N[n]] + W_ih embedding[token_ids_N[n]] + biases

Shapes: N tokens to be read, R rows of the state, L layers, H width of the hidden state, G = 4H, the
gates, U distinct ones, K asked-for tokens.
"""

import torch
from torch import Tensor
from torch.nn import functional

from models.beginnings import State, take_rows
from models.language_model import LanguageModel
from models.special_tokens import END, START
from models.tail_bounds import Matters


class BranchingStep:
    """A `models.beginnings.Step`: equal to `LanguageModel.step` on each row by itself.

    The state stays on the model's device, everything else on the CPU.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._bounds = model.softmax.tail_bounds()

    @torch.inference_mode()
    def __call__(
        self,
        token_ids_N: Tensor,
        state: State,
        row_N: Tensor,
        asked_NK: Tensor,
        matters: Matters | None = None,
    ) -> tuple[Tensor, State]:
        """See `models.beginnings.Step`."""
        model = self._model
        token_ids_N, row_N = token_ids_N.to(model.device), row_N.to(model.device)
        if model.architecture.at_sentence == "reset" and bool((token_ids_N == END).any()):
            state = model.reset(take_rows(state, row_N), token_ids_N == END)
            row_N = torch.arange(len(row_N), device=model.device)
            token_ids_N = token_ids_N.masked_fill(token_ids_N == END, START)
        hidden_LRH, cell_LRH = state
        rows_U, row_N = torch.unique(row_N, return_inverse=True)
        types_U, type_N = torch.unique(token_ids_N, return_inverse=True)
        values_UX, value_N = model.embedding(types_U), type_N
        hidden, cell = [], []
        for layer in range(model.architecture.num_layers):
            inward, recurrent, bias_in, bias_over = (
                getattr(model.lstm, f"{kind}_l{layer}")
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            over_UG = functional.linear(hidden_LRH[layer, rows_U], recurrent, bias_in + bias_over)
            gates_NG = functional.linear(values_UX, inward).index_select(0, value_N)
            gates_NG.add_(over_UG.index_select(0, row_N))
            in_NH, forget_NH, new_NH, out_NH = gates_NG.chunk(4, dim=1)
            cell_NH = cell_LRH[layer].index_select(0, rows_U[row_N]).mul_(forget_NH.sigmoid_())
            cell_NH.addcmul_(in_NH.sigmoid_(), new_NH.tanh_())
            hidden_NH = cell_NH.tanh().mul_(out_NH.sigmoid_())
            hidden.append(hidden_NH)
            cell.append(cell_NH)
            values_UX, value_N = hidden_NH, torch.arange(len(hidden_NH), device=model.device)
        on_cpu = matters and (
            lambda upper, exact: matters(upper.cpu(), exact.cpu()).to(upper.device)
        )
        log_probs_NK = model.softmax.log_probabilities_of(
            hidden[-1], asked_NK.to(model.device), self._bounds, on_cpu
        )
        return log_probs_NK.cpu(), (torch.stack(hidden), torch.stack(cell))
