"""The ONNX graph, run by ONNX Runtime, against the model: over windows, rows and lengths."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession
from torch import nn

from models.bundle import Bundle
from models.language_model import Architecture, LanguageModel
from models.onnx_export import INPUTS, OUTPUTS, to_onnx
from models.special_tokens import SPECIAL_TOKENS
from models.vocabulary import Vocabulary

WORDS = ("the", "königin", '"', *(f"word{index}" for index in range(30)))
TOKENS = (*SPECIAL_TOKENS, *WORDS)


def tiny_bundle(num_layers: int, cutoffs: tuple[int, ...], **more: Any) -> Bundle:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        width = 44 if more.get("inputs") == "one_hot" else 6
        model = LanguageModel(Architecture(len(TOKENS), width, 11, num_layers, cutoffs, **more))
        with torch.no_grad():
            for weights in model.parameters():
                weights.add_(torch.randn(weights.shape) * 0.5)  # biases too, -inf stays
    return Bundle(model.eval(), Vocabulary(TOKENS, (1,) * len(TOKENS), True), "_end_", {})


@pytest.mark.parametrize(
    "more",
    [{}, {"tied": True}, {"initial_state": "learned"}, {"inputs": "one_hot"}],
    ids=str,
)
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("cutoffs", [(), (9,), (7, 20)])
def test_runtime_agrees_over_windows_with_carried_state(
    num_layers: int, cutoffs: tuple[int, ...], more: dict[str, Any]
) -> None:
    bundle = tiny_bundle(num_layers, cutoffs, **more)
    session = InferenceSession(to_onnx(bundle))
    generator = torch.Generator().manual_seed(8)
    shape = (num_layers, 3, 11)
    state = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    carried = [part.numpy() for part in state]
    for length in (5, 2, 1):  # windows of different length, the state carried from each to the next
        token_ids_BT = torch.randint(len(TOKENS), (3, length), generator=generator)
        with torch.inference_mode():
            hidden_BTH, state = bundle.model(token_ids_BT, state)
            expected_BTV = torch.stack(
                [bundle.model.softmax.log_probabilities(h) for h in hidden_BTH]
            )
        log_probs_BTV, *carried = session.run(
            OUTPUTS, dict(zip(INPUTS, [token_ids_BT.numpy(), *carried], strict=True))
        )
        assert log_probs_BTV.dtype == np.float32
        assert log_probs_BTV.shape == (3, length, len(TOKENS))
        np.testing.assert_allclose(log_probs_BTV, expected_BTV.numpy(), atol=1e-4, rtol=0)
        assert np.isneginf(log_probs_BTV[..., :2]).all()
        for after, part in zip(carried, state, strict=True):
            np.testing.assert_allclose(after, part.numpy(), atol=1e-4, rtol=0)


def test_one_row_one_token_and_many() -> None:
    bundle = tiny_bundle(2, (9,))
    session = InferenceSession(to_onnx(bundle))
    for num_rows, length in ((1, 1), (1, 40), (17, 1)):
        state = [part.numpy() for part in bundle.model.initial_state(num_rows)]
        token_ids = np.full((num_rows, length), 5, dtype=np.int64)
        outputs = session.run(None, dict(zip(INPUTS, [token_ids, *state], strict=True)))
        assert [output.shape for output in outputs] == [
            (num_rows, length, len(TOKENS)), (2, num_rows, 11), (2, num_rows, 11),
        ]  # fmt: skip


def test_axes_are_named_and_metadata_says_the_rest() -> None:
    bundle = tiny_bundle(2, (9,))
    session = InferenceSession(to_onnx(bundle))
    state = [2, "batch", 11]
    assert {value.name: value.shape for value in session.get_inputs()} == {
        "token_ids": ["batch", "time"], "hidden": state, "cell": state,
    }  # fmt: skip
    assert {value.name: value.shape for value in session.get_outputs()} == {
        "log_probabilities": ["batch", "time", len(TOKENS)],
        "hidden_after": state, "cell_after": state,
    }  # fmt: skip
    metadata = session.get_modelmeta().custom_metadata_map
    facts = {name: json.loads(value) for name, value in metadata.items()}
    assert facts == {
        "tokens": list(TOKENS),
        "lower_case": True,
        "opening_id": 2,
        "at_sentence": "carry",
        "initial_hidden": [[0.0] * 11] * 2,
        "initial_cell": [[0.0] * 11] * 2,
    }


def test_a_learned_initial_state_stands_in_the_metadata() -> None:
    bundle = tiny_bundle(2, (), initial_state="learned")
    metadata = InferenceSession(to_onnx(bundle)).get_modelmeta().custom_metadata_map
    for name, part in zip(
        ("initial_hidden", "initial_cell"), bundle.model.initial_state(1), strict=True
    ):
        assert torch.equal(torch.tensor(json.loads(metadata[name])), part[:, 0].detach())


def test_tied_vectors_stand_once_in_the_file() -> None:
    graph = onnx.load_from_string(to_onnx(tiny_bundle(1, (7, 20), tied=True))).graph
    as_wide = [tuple(c.dims) for c in graph.initializer if len(c.dims) == 2 and 6 in c.dims]
    assert as_wide.count((len(TOKENS), 6)) == 1
    assert sum(rows * columns for rows, columns in as_wide) == 6 * (len(TOKENS) + 11 + 2)


def test_the_same_bundle_gives_the_same_bytes_and_stays_as_it_was() -> None:
    bundle = tiny_bundle(2, (7, 20))
    digest = bundle.digest()
    assert to_onnx(bundle) == to_onnx(bundle) != to_onnx(replace(bundle, opening="_start_"))
    assert bundle.digest() == digest
    onnx.checker.check_model(onnx.load_from_string(to_onnx(bundle)), full_check=True)


def test_weights_without_a_place_are_no_silent_loss() -> None:
    bundle = tiny_bundle(1, ())
    bundle.model.extra = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"no place for the weights extra\.bias, extra\.weight"):
        to_onnx(bundle)
