"""A language model as an ONNX graph: tokens and state in, log-probabilities and state out.

    token_ids [batch, time] int64                log_probabilities [batch, time, V] fp32
    hidden    [L, batch, H] fp32          ->     hidden_after      [L, batch, H]    fp32
    cell      [L, batch, H] fp32                 cell_after        [L, batch, H]    fp32

`log_probabilities` at a place are those of the token after it. Whoever runs the graph carries the
state: `hidden_after` and `cell_after` of one call are `hidden` and `cell` of the next.

The graph is built by hand. PyTorch's exporter (2.13) fixes the number of columns of an LSTM to that
of its example: `torch.export` says so, `torch.onnx.export` keeps silent and falls back.

Shapes: B rows, T columns, L layers, E width of an embedding, H width of the hidden state, V
vocabulary, F entries of the softmax's head, X whatever comes.
"""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from models.bundle import Bundle
from models.language_model import LanguageModel

OPERATOR_SET, FILE_FORMAT = 17, 8  # of ONNX 1.12, 2022; most programs of today read them
INPUTS = ("token_ids", "hidden", "cell")
OUTPUTS = ("log_probabilities", "hidden_after", "cell_after")


def to_onnx(bundle: Bundle) -> bytes:
    """The bundle's model as the bytes of an ONNX file; the same bundle gives the same bytes.

    Its metadata, each a JSON value: `tokens` by id; `lower_case`, whether text is folded before it
    is looked up; `opening_id`, read first where no text comes before; `initial_hidden` and
    `initial_cell`, the state to begin with, a row a layer; `at_sentence`: where it is reset, a
    caller does not read `_end_`, but `_start_` from the state to begin with.

    Raises:
        ValueError: the model has weights that this graph has no place for.
    """
    model = bundle.model
    graph = _Graph(model)
    hidden_BTH = graph.lstm(graph.add("Gather", [graph.weight("embedding.weight"), "token_ids"]))
    graph.log_probabilities(hidden_BTH)
    # The state to begin with is no part of the graph: it goes in, and stands in the metadata.
    unused = sorted(set(model.state_dict()) - graph.used - {"learned_state"})
    if unused:
        raise ValueError(f"the ONNX graph has no place for the weights {', '.join(unused)}")
    hidden_L1H, cell_L1H = model.initial_state(1)
    facts = {
        "tokens": bundle.vocabulary.tokens,
        "lower_case": bundle.vocabulary.lower_case,
        "opening_id": bundle.opening_id,
        "at_sentence": model.architecture.at_sentence,
        "initial_hidden": hidden_L1H[:, 0].tolist(),
        "initial_cell": cell_L1H[:, 0].tolist(),
    }
    return bytes(graph.as_model(facts).SerializeToString())


class _Graph:
    """Nodes and weights in the making; a value is known by its name."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._weights = model.state_dict()
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._constant_of: dict[str, str] = {}
        self.used: set[str] = set()

    def lstm(self, embedded_BTE: str) -> str:
        """The layers, from the state that comes in to the state that goes out: hidden_BTH."""
        architecture = self._model.architecture
        below_TBX = self.add("Transpose", [embedded_BTE], perm=[1, 0, 2])
        hidden_parts, cell_parts = [], []
        for layer in range(architecture.num_layers):
            index = self.constant(np.array([layer]))
            states = [self.add("Gather", [name, index]) for name in ("hidden", "cell")]
            kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ih, hh, *biases = (self._gates(f"lstm.{kind}_l{layer}") for kind in kinds)
            weights = [self.constant(x[None]) for x in (ih, hh, np.concatenate(biases))]
            no_lengths = ""
            output_T1BH, hidden_1BH, cell_1BH = self.add_many(
                "LSTM",
                [below_TBX, *weights, no_lengths, *states],
                num_outputs=3,
                hidden_size=architecture.hidden_width,
            )
            below_TBX = self.add("Squeeze", [output_T1BH, self.constant(np.array([1]))])
            hidden_parts.append(hidden_1BH)
            cell_parts.append(cell_1BH)
        self.add("Concat", hidden_parts, output="hidden_after", axis=0)
        self.add("Concat", cell_parts, output="cell_after", axis=0)
        return self.add("Transpose", [below_TBX], perm=[1, 0, 2])

    def log_probabilities(self, hidden_BTH: str) -> None:
        """The adaptive softmax: the head's words, then each tail's through its head entry."""
        edges = self._model.softmax.edges
        tied = self._model.architecture.tied
        if tied:
            hidden_BTH = self._linear(hidden_BTH, "softmax.projection", bias=False)
            head_BTF = self._tied(hidden_BTH, 0, edges[0])
            if len(edges) > 1:
                entries = self._linear(hidden_BTH, "softmax.head")
                head_BTF = self.add("Concat", [head_BTF, entries], axis=-1)
        else:
            head_BTF = self._linear(hidden_BTH, "softmax.head")
        head_BTF = self._log_softmax(head_BTF)
        parts = [self._slice(head_BTF, 0, edges[0], axis=-1)]
        for index, (low, high) in enumerate(pairwise(edges)):
            if tied:
                inside = self._log_softmax(self._tied(hidden_BTH, low, high))
            else:
                projected = self._linear(hidden_BTH, f"softmax.projections.{index}", bias=False)
                inside = self._log_softmax(self._linear(projected, f"softmax.tails.{index}"))
            entry = edges[0] + index
            reached = self._slice(head_BTF, entry, entry + 1, axis=-1)
            parts.append(self.add("Add", [reached, inside]))
        self.add("Concat", parts, output="log_probabilities", axis=-1)

    def as_model(self, facts: dict[str, Any]) -> ModelProto:
        """The finished model, checked, with its metadata."""
        a = self._model.architecture
        state: list[str | int | None] = [a.num_layers, "batch", a.hidden_width]
        shapes: dict[str, list[str | int | None]] = {
            "token_ids": ["batch", "time"],
            "log_probabilities": ["batch", "time", a.num_types],
        }
        inputs, outputs = (
            [
                helper.make_tensor_value_info(
                    name,
                    TensorProto.INT64 if name == "token_ids" else TensorProto.FLOAT,
                    shapes.get(name, state),
                )
                for name in names
            ]
            for names in (INPUTS, OUTPUTS)
        )
        graph = helper.make_graph(
            self._nodes, "language_model", inputs, outputs, initializer=self._constants
        )
        model = helper.make_model(
            graph,
            producer_name="bookloom",
            ir_version=FILE_FORMAT,
            opset_imports=[helper.make_opsetid("", OPERATOR_SET)],
        )
        helper.set_model_props(
            model, {name: json.dumps(value, ensure_ascii=False) for name, value in facts.items()}
        )
        checker.check_model(model, full_check=True)
        return model

    def weight(self, name: str) -> str:
        """A weight of the model as a constant, the same one however often it is asked for."""
        if name not in self._constant_of:
            self._constant_of[name] = self.constant(self._value(name))
        return self._constant_of[name]

    def constant(self, value: npt.NDArray[Any]) -> str:
        """A constant of the graph."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, inputs: list[str], *, output: str = "", **settings: Any) -> str:
        """A node with one output, which is named for its place unless it is an output's name."""
        output = output or f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **settings))
        return output

    def add_many(
        self, operator: str, inputs: list[str], *, num_outputs: int, **settings: Any
    ) -> list[str]:
        """A node with several outputs."""
        outputs = [f"value_{len(self._nodes)}_{index}" for index in range(num_outputs)]
        self._nodes.append(helper.make_node(operator, inputs, outputs, **settings))
        return outputs

    def _value(self, name: str) -> npt.NDArray[np.float32]:
        self.used.add(name)
        return np.asarray(self._weights[name].float().numpy())

    def _gates(self, name: str) -> npt.NDArray[np.float32]:
        """A weight of an LSTM with its gates in ONNX's order, i o f c; PyTorch's is i f c o."""
        i, f, c, o = np.split(self._value(name), 4)
        return np.concatenate([i, o, f, c])

    def _linear(self, values: str, name: str, *, bias: bool = True) -> str:
        product = self.add("MatMul", [values, self.constant(self._value(f"{name}.weight").T)])
        return self.add("Add", [product, self.weight(f"{name}.bias")]) if bias else product

    def _tied(self, projected: str, first: int, last: int) -> str:
        """Scores of some words by the vectors that they are read by, which stand once in a file."""
        vectors = self._slice(self.weight("embedding.weight"), first, last, axis=0)
        product = self.add("MatMul", [projected, self.add("Transpose", [vectors], perm=[1, 0])])
        bias_W = self._value("softmax.word_bias")[first:last]
        return self.add("Add", [product, self.constant(bias_W)])

    def _log_softmax(self, values: str) -> str:
        return self.add("LogSoftmax", [values], axis=-1)

    def _slice(self, values: str, first: int, last: int, *, axis: int) -> str:
        bounds = [self.constant(np.array([bound])) for bound in (first, last, axis)]
        return self.add("Slice", [values, *bounds])
