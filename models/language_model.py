"""The stateful LSTM language model.

State is an explicit value, never kept inside: `forward(token_ids, state) -> (hidden, state)`. So
are the masks of dropout: `draw_masks` draws them, whoever trains hands them in, and without them
nothing is dropped.

State and masks are on the model's device; token ids may come from the CPU (models/devices.py).

Shapes: B lanes (rows), T columns, L layers, E width of an embedding, H width of the hidden state,
N rows of a single step, K asked-for words a row, V vocabulary. A state is (h_LBH, c_LBH).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.adaptive_softmax import AdaptiveSoftmax
from models.batching import Window
from models.devices import autocast_type, handed_to
from models.special_tokens import END, NOTHING, START

State = tuple[Tensor, ...]


@dataclass(frozen=True)
class Architecture:
    """What it takes to build a model before its weights are loaded.

    A model that was trained on separate sentences knows no state from before a sentence: with
    `at_sentence` reset, it reads `_end_` as the `_start_` of the next one, from the initial state.

    With `inputs` one_hot the LSTM reads a token as a unit vector: its input weights' row for the
    token. These rows, 4H wide, are the embedding then, and the LSTM's own input matrix stays the
    identity; `embedding_width` must be 4H.
    """

    num_types: int
    embedding_width: int
    hidden_width: int
    num_layers: int = 1
    cutoffs: tuple[int, ...] = ()
    tied: bool = False
    initial_state: Literal["zeros", "learned"] = "zeros"
    inputs: Literal["vectors", "one_hot"] = "vectors"
    at_sentence: Literal["carry", "reset"] = "carry"

    def as_json(self) -> dict[str, Any]:
        """Plain values, from which `Architecture(**values)` makes it again."""
        return asdict(self)


@dataclass(frozen=True)
class Dropout:
    """Probabilities of dropping, each with its source.

    inputs, layers, output: one mask for all columns of a window (Gal & Ghahramani 2016, variational
    dropout); types: whole token types' vectors (same paper, embedding dropout); recurrent: weights
    from hidden state to hidden state (Wan et al. 2013; Merity, Keskar & Socher 2017).
    """

    inputs: float = 0.0
    layers: float = 0.0
    output: float = 0.0
    types: float = 0.0
    recurrent: float = 0.0


@dataclass(frozen=True)
class Masks:
    """What is dropped in one window; values are 0 or 1 / (1 - p). None drops nothing."""

    inputs_B1E: Tensor | None = None
    layers_B1H: tuple[Tensor | None, ...] = ()
    output_B1H: Tensor | None = None
    types_V: Tensor | None = None
    recurrent_GH: tuple[Tensor | None, ...] = field(default=())

    def rows(self, first: int, last: int) -> "Masks":
        """Those of some lanes: what all lanes share stays."""
        return Masks(
            _rows(self.inputs_B1E, first, last),
            tuple(_rows(mask, first, last) for mask in self.layers_B1H),
            _rows(self.output_B1H, first, last),
            self.types_V,
            self.recurrent_GH,
        )


class LanguageModel(nn.Module):
    """Embedding, LSTM, adaptive softmax."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        a = architecture
        # No padding index: the loss never counts what _nothing_ leads to.
        self.embedding = nn.Embedding(a.num_types, a.embedding_width)
        self.lstm = nn.LSTM(a.embedding_width, a.hidden_width, a.num_layers, batch_first=True)
        tied_to = self.embedding if a.tied else None
        self.softmax = AdaptiveSoftmax(
            a.hidden_width, a.num_types, tuple(a.cutoffs), tied_to=tied_to
        )
        # Thrice as far as Zaremba et al. 2014: after an epoch of the plays, tied, perplexity 102
        # instead of 106 (docs/experiments.md).
        nn.init.uniform_(self.embedding.weight, -0.3, 0.3)
        with torch.no_grad():
            for layer in range(a.num_layers):
                # Remember by default: Jozefowicz, Zaremba & Sutskever 2015, section 3.2.
                getattr(self.lstm, f"bias_ih_l{layer}")[a.hidden_width : 2 * a.hidden_width] = 1.0
        if a.inputs == "one_hot":
            if a.embedding_width != 4 * a.hidden_width:
                raise ValueError(
                    f"one-hot inputs need an embedding width of {4 * a.hidden_width}, "
                    f"four times the hidden width; it is {a.embedding_width}"
                )
            bound = a.hidden_width**-0.5  # as the matrix would be drawn, whose rows these are
            nn.init.uniform_(self.embedding.weight, -bound, bound)
            identity = torch.eye(a.embedding_width)
            self.lstm.weight_ih_l0 = nn.Parameter(identity, requires_grad=False)
        if a.initial_state == "learned":
            shape = (2, a.num_layers, 1, a.hidden_width)
            self.learned_state = nn.Parameter(torch.zeros(shape))

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.embedding.weight.device

    def initial_state(self, num_rows: int) -> State:
        """The state before any token: zeros, or what was learned."""
        a = self.architecture
        if a.initial_state == "learned":
            hidden, cell = self.learned_state.expand(-1, -1, num_rows, -1)
            return hidden.contiguous(), cell.contiguous()
        shape = (a.num_layers, num_rows, a.hidden_width)
        return torch.zeros(shape, device=self.device), torch.zeros(shape, device=self.device)

    def reset(self, state: State, fresh_B: Tensor) -> State:
        """The state with the marked rows set back to the initial one. The one place of resets."""
        if not bool(fresh_B.any()):
            return state
        initial = self.initial_state(len(fresh_B))
        fresh_1B1 = handed_to(self.device, fresh_B)[None, :, None]
        return tuple(
            torch.where(fresh_1B1, new, old) for new, old in zip(initial, state, strict=True)
        )

    def forward(
        self, token_ids_BT: Tensor, state: State, masks: Masks | None = None
    ) -> tuple[Tensor, State]:
        """Read tokens: (hidden_BTH, state after the last column)."""
        masks = masks or Masks()
        if self.architecture.at_sentence == "carry":
            return self._read(token_ids_BT, state, masks)
        ends_BT = token_ids_BT == END
        edges = sorted({0, *torch.nonzero(ends_BT.any(dim=0))[:, 0].tolist(), ends_BT.shape[1]})
        hidden = []
        for first, last in pairwise(edges):
            state = self.reset(state, ends_BT[:, first])
            piece_BP = token_ids_BT[:, first:last].masked_fill(ends_BT[:, first:last], START)
            hidden_BPH, state = self._read(piece_BP, state, masks)
            hidden.append(hidden_BPH)
        return torch.cat(hidden, dim=1), state

    def _read(self, token_ids_BT: Tensor, state: State, masks: Masks) -> tuple[Tensor, State]:
        token_ids_BT = handed_to(self.device, token_ids_BT)
        on_gpu = token_ids_BT.is_cuda
        # Tied, the gradient of the rows that are read is added to that of all rows as they are
        # scored; otherwise the optimiser wants it whole. A GPU would add them in any order.
        embedded_BTE = functional.embedding(
            token_ids_BT, self.embedding.weight, sparse=self.architecture.tied and not on_gpu
        )
        if masks.types_V is not None:
            embedded_BTE = embedded_BTE * masks.types_V[token_ids_BT][..., None]
        embedded_BTE = _masked(embedded_BTE, masks.inputs_B1E)
        number_type = autocast_type(self.device) if on_gpu else torch.float32
        if masks.recurrent_GH or masks.layers_B1H or number_type != torch.float32:
            return self._layer_by_layer(embedded_BTE, state, masks, number_type)
        hidden_BTH, after = self.lstm(embedded_BTE, state)
        return hidden_BTH, after

    def read_window(
        self,
        window: Window,
        state: State,
        masks: Masks | None = None,
        *,
        resets: bool = True,
    ) -> tuple[Tensor, State]:
        """Read a window in pieces, each row reset where a book opens: (hidden_BTH, state)."""
        if not resets:
            hidden_BTH, state = self(window.inputs_BT, state, masks)
            return hidden_BTH, state
        hidden = []
        for token_ids_BP, fresh_B in window.pieces():
            state = self.reset(state, fresh_B)
            hidden_BPH, state = self(token_ids_BP, state, masks)
            hidden.append(hidden_BPH)
        return torch.cat(hidden, dim=1), state

    def nats_of(self, hidden_BTH: Tensor, window: Window, masks: Masks | None = None) -> Tensor:
        """Cross-entropy of each target, nats_BT in fp32; 0 where not counted."""
        hidden_BTH = _masked(hidden_BTH, masks.output_B1H if masks else None)
        row_N, column_N = window.counted_BT.nonzero(as_tuple=True)
        targets_N = window.targets_BT[row_N, column_N]
        places_N = handed_to(self.device, row_N), handed_to(self.device, column_N)
        nats_N = self.softmax.nats(hidden_BTH[places_N], targets_N)
        return nats_N.new_zeros(window.targets_BT.shape).index_put(places_N, nats_N)

    def nats(self, window: Window, state: State) -> tuple[Tensor, State]:
        """Cross-entropy of each target as `nats_of` gives it, nothing dropped; state after it."""
        hidden_BTH, state = self.read_window(window, state)
        return self.nats_of(hidden_BTH, window), state

    @torch.inference_mode()
    def step(self, token_ids_N: Tensor, state: State, asked_NK: Tensor) -> tuple[Tensor, State]:
        """Feed one token a row: (log_probs_NK of the asked-for next tokens, state after it)."""
        hidden_N1H, state = self(token_ids_N[:, None], state)
        return self.softmax.log_probabilities_of(hidden_N1H[:, 0], asked_NK), state

    def draw_masks(self, num_rows: int, dropout: Dropout) -> Masks:
        """Masks for a window of so many lanes, from the global random state."""
        a = self.architecture
        gates_by_units = (4 * a.hidden_width, a.hidden_width)
        between = [
            self._mask((num_rows, 1, a.hidden_width), dropout.layers)
            for _ in range(a.num_layers - 1)
        ]
        recurrent = [self._mask(gates_by_units, dropout.recurrent) for _ in range(a.num_layers)]
        return Masks(
            self._mask((num_rows, 1, a.embedding_width), dropout.inputs),
            tuple(between) if dropout.layers else (),
            self._mask((num_rows, 1, a.hidden_width), dropout.output),
            self._mask((a.num_types,), dropout.types),
            tuple(recurrent) if dropout.recurrent else (),
        )

    def _mask(self, shape: tuple[int, ...], probability: float) -> Tensor | None:
        if not probability:
            return None
        kept = 1.0 - probability
        return torch.empty(shape, device=self.device).bernoulli_(kept).div_(kept)

    def _layer_by_layer(
        self, values_BTX: Tensor, state: State, masks: Masks, number_type: torch.dtype
    ) -> tuple[Tensor, State]:
        """Read with masks between layers or of recurrent weights, on a GPU in a number type.

        There autocast would run the LSTM in fp16, whatever type it is asked for, without a scale
        that keeps small gradients from vanishing.
        """
        after: list[tuple[Tensor, Tensor]] = []
        for layer in range(self.architecture.num_layers):
            names = (
                f"{kind}_l{layer}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            inward, recurrent, *biases = (getattr(self.lstm, name) for name in names)
            if masks.recurrent_GH:
                recurrent = recurrent * masks.recurrent_GH[layer]
            weights = [inward, recurrent, *biases]
            before = [part[layer : layer + 1].contiguous() for part in state]
            if values_BTX.is_cuda:
                values_BTX = values_BTX.to(number_type)
                weights = _in_one_piece([weight.to(number_type) for weight in weights])
                before = [part.to(number_type) for part in before]
            with _without_autocast(values_BTX):
                values_BTX, hidden, cell = torch.lstm(
                    values_BTX,
                    before,
                    weights,
                    has_biases=True,
                    num_layers=1,
                    dropout=0.0,
                    train=torch.is_grad_enabled(),
                    bidirectional=False,
                    batch_first=True,
                )
            after.append((hidden, cell))
            if layer < len(masks.layers_B1H):
                values_BTX = _masked(values_BTX, masks.layers_B1H[layer])
        hidden_LBH, cell_LBH = (torch.cat(parts) for parts in zip(*after, strict=True))
        return values_BTX, (hidden_LBH, cell_LBH)


def detach(state: State) -> State:
    """The same values, cut from the gradient's past. The one place where it is cut."""
    return tuple(part.detach() for part in state)


def usable_cutoffs(cutoffs: Sequence[int], num_types: int) -> tuple[int, ...]:
    """Those cut-offs that a vocabulary of this size has room for."""
    return tuple(cutoff for cutoff in cutoffs if NOTHING + 4 <= cutoff < num_types)


def _in_one_piece(weights: Sequence[Tensor]) -> list[Tensor]:
    """The same weights side by side in memory: else cuDNN copies them, and warns."""
    parts = torch.cat([weight.flatten() for weight in weights]).split_with_sizes(
        [weight.numel() for weight in weights]
    )
    return [part.view(weight.shape) for part, weight in zip(parts, weights, strict=True)]


def _without_autocast(values: Tensor) -> AbstractContextManager[object]:
    """A block without autocast where the values are on a GPU; elsewhere autocast goes on."""
    return torch.autocast("cuda", enabled=False) if values.is_cuda else nullcontext()


def _masked(values_BTX: Tensor, mask_B1X: Tensor | None) -> Tensor:
    return values_BTX if mask_B1X is None else values_BTX * mask_B1X


def _rows(mask: Tensor | None, first: int, last: int) -> Tensor | None:
    return None if mask is None else mask[first:last]
