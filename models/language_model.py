"""The stateful LSTM language model.

State is an explicit value, never kept inside: `forward(token_ids, state) -> (hidden, state)`.

Shapes: B lanes (rows), T columns, L layers, E width of an embedding, H width of the hidden state,
N rows of a single step, K asked-for words a row, V vocabulary. A state is (h_LBH, c_LBH).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.adaptive_softmax import AdaptiveSoftmax
from models.batching import NOTHING, Window

State = tuple[Tensor, ...]


@dataclass(frozen=True)
class Architecture:
    """What it takes to build a model before its weights are loaded."""

    num_types: int
    embedding_width: int
    hidden_width: int
    num_layers: int
    cutoffs: tuple[int, ...]
    dropout_probability: float

    def as_json(self) -> dict[str, Any]:
        """Plain values, from which `Architecture(**values)` makes it again."""
        return asdict(self)


class LanguageModel(nn.Module):
    """Embedding, LSTM, adaptive softmax; dropout on both sides of the LSTM while it trains."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        a = architecture
        # No padding index: the loss never counts what _nothing_ leads to.
        self.embedding = nn.Embedding(a.num_types, a.embedding_width)
        self.lstm = nn.LSTM(
            a.embedding_width,
            a.hidden_width,
            a.num_layers,
            batch_first=True,
            dropout=a.dropout_probability if a.num_layers > 1 else 0.0,
        )
        self.softmax = AdaptiveSoftmax(a.hidden_width, a.num_types, tuple(a.cutoffs))
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)  # Zaremba et al. 2014, medium LSTM
        with torch.no_grad():
            for layer in range(a.num_layers):
                # Remember by default: Jozefowicz, Zaremba & Sutskever 2015, section 3.2.
                getattr(self.lstm, f"bias_ih_l{layer}")[a.hidden_width : 2 * a.hidden_width] = 1.0

    def initial_state(self, num_rows: int) -> State:
        """The state before any token: zeros."""
        shape = (self.architecture.num_layers, num_rows, self.architecture.hidden_width)
        return torch.zeros(shape), torch.zeros(shape)

    def forward(self, token_ids_BT: Tensor, state: State) -> tuple[Tensor, State]:
        """Read tokens: (hidden_BTH, state after the last column)."""
        embedded_BTE = self._dropped(self.embedding(token_ids_BT))
        hidden_BTH, after = self.lstm(embedded_BTE, state)
        return self._dropped(hidden_BTH), after

    def _dropped(self, values_BTX: Tensor) -> Tensor:
        """Variational dropout, one mask for all columns: Gal & Ghahramani 2016. It is also a
        fifteenth of the training time cheaper than a mask for each.
        """
        p = self.architecture.dropout_probability
        if not self.training or p == 0.0:
            return values_BTX
        rows, _, width = values_BTX.shape
        mask_B1X = torch.empty(rows, 1, width).bernoulli_(1.0 - p).div_(1.0 - p)
        return values_BTX * mask_B1X

    def read_window(self, window: Window, state: State) -> tuple[Tensor, State]:
        """Read a window in pieces, each row reset where a book opens: (hidden_BTH, state)."""
        hidden = []
        for token_ids_BP, fresh_B in window.pieces():
            state = reset(state, fresh_B)
            hidden_BPH, state = self(token_ids_BP, state)
            hidden.append(hidden_BPH)
        return torch.cat(hidden, dim=1), state

    def nats(self, window: Window, state: State) -> tuple[Tensor, State]:
        """Cross-entropy of each target: (nats_BT in fp32, 0 where not counted; state after it)."""
        hidden_BTH, state = self.read_window(window, state)
        nats_N = self.softmax.nats(
            hidden_BTH[window.counted_BT], window.targets_BT[window.counted_BT]
        )
        nats_BT = torch.zeros(window.targets_BT.shape)
        return nats_BT.masked_scatter(window.counted_BT, nats_N), state

    @torch.inference_mode()
    def step(self, token_ids_N: Tensor, state: State, asked_NK: Tensor) -> tuple[Tensor, State]:
        """Feed one token a row: (log_probs_NK of the asked-for next tokens, state after it)."""
        hidden_N1H, state = self(token_ids_N[:, None], state)
        return self.softmax.log_probabilities_of(hidden_N1H[:, 0], asked_NK), state


def reset(state: State, fresh_B: Tensor) -> State:
    """The state with the marked rows set back to the initial one. The one place of resets."""
    if not bool(fresh_B.any()):
        return state
    return tuple(part.masked_fill(fresh_B[None, :, None], 0.0) for part in state)


def detach(state: State) -> State:
    """The same values, cut from the gradient's past. The one place where it is cut."""
    return tuple(part.detach() for part in state)


def usable_cutoffs(cutoffs: Sequence[int], num_types: int) -> tuple[int, ...]:
    """Those cut-offs that a vocabulary of this size has room for."""
    return tuple(cutoff for cutoff in cutoffs if NOTHING + 4 <= cutoff < num_types)
