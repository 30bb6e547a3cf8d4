"""On a GPU: what holds on the CPU holds there, with the CPU's numbers within rounding; a training
goes on with the same bits; and a step never makes the program wait for the device."""

import copy
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from models.adaptive_evaluation import cache_log_probabilities, dynamic_nats
from models.batching import cut_lanes, windows
from models.devices import keep_fp32_whole
from models.evaluation import evaluate, loss_after_context, loss_of_blocks, target_nats
from models.language_model import Architecture, Dropout, LanguageModel, Masks, State
from models.recipe import Recipe
from models.special_tokens import END, START, UNKNOWN
from models.speed import steps_within
from models.text_averages import mean_states
from models.training import Training
from models.twin import Twin
from tests.models.made_up_books import bits, made_up_books, unclocked

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")

CUDA = torch.device("cuda", 0)
NUM_TYPES = 29
KINDS: dict[str, dict[str, Any]] = {
    "one layer": {},
    "three layers": {"num_layers": 3},
    "tied": {"tied": True, "num_layers": 2},
    "no tail": {"cutoffs": ()},
    "tied, no tail": {"cutoffs": (), "tied": True},
    "one-hot": {"inputs": "one_hot", "embedding_width": 64},
    "learned state": {"initial_state": "learned"},
    "sentences": {"at_sentence": "reset"},
    "wide": {"hidden_width": 128, "embedding_width": 128, "num_layers": 2},
}
every_kind = pytest.mark.parametrize("kind", KINDS)
EVERYTHING_DROPPED = Dropout(0.2, 0.2, 0.2, 0.2, 0.2)
RECIPE = Recipe(
    num_lanes=8,
    window_length=7,
    num_epochs=2,
    learning_rate=0.03,
    warmup_steps=4,
    log_every_steps=3,
)
RECIPES = {
    "plain": RECIPE,
    "everything": replace(
        RECIPE,
        dropout=EVERYTHING_DROPPED,
        state_drop_probability=0.3,
        window_spread=2.0,
        moving_lanes=True,
        activation_penalty=0.1,
        change_penalty=0.1,
        average_decay=0.9,
    ),
    "sentences": replace(RECIPE, separate_sentences=True, equal_sentences=True),
}


@pytest.fixture(autouse=True)
def _as_a_run_has_it() -> Iterator[None]:
    """fp32 is fp32, and nothing is warned of, such as weights that cuDNN finds in pieces."""
    keep_fp32_whole()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def model_of(kind: str, device: torch.device = CUDA, seed: int = 1) -> LanguageModel:
    values = {"embedding_width": 8, "hidden_width": 16, "cutoffs": (9, 17), **KINDS[kind]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LanguageModel(Architecture(NUM_TYPES, **values))
        with torch.no_grad():
            model.embedding.weight.normal_()
    return model.to(device).eval()


def both(kind: str) -> tuple[LanguageModel, LanguageModel]:
    """The same model on the GPU and on the CPU."""
    return model_of(kind), model_of(kind, torch.device("cpu"))


STREAM = np.concatenate(made_up_books(NUM_TYPES, 160, 73, 178))
SHELF = made_up_books(NUM_TYPES, 17, 9, 330, 45, seed=7)


def moved(masks: Masks, device: torch.device) -> Masks:
    def there(mask: Tensor | None) -> Tensor | None:
        return None if mask is None else mask.to(device)

    return Masks(
        there(masks.inputs_B1E),
        tuple(map(there, masks.layers_B1H)),
        there(masks.output_B1H),
        there(masks.types_V),
        tuple(map(there, masks.recurrent_GH)),
    )


def gradients(model: LanguageModel, masks: Masks) -> tuple[Tensor, State, dict[str, Tensor]]:
    """Nats, state and gradients of one window in which books open, all on the CPU."""
    model.train()
    [window] = windows(cut_lanes(STREAM, 6), [60])
    hidden_BTH, state = model.read_window(window, model.initial_state(6), masks)
    nats_BT = model.nats_of(hidden_BTH, window, masks)
    nats_BT.sum().backward()  # type: ignore[no-untyped-call]
    found = {
        name: p.grad.to_dense().cpu() for name, p in model.named_parameters() if p.grad is not None
    }
    return nats_BT.detach().cpu(), tuple(part.detach().cpu() for part in state), found


@every_kind
@pytest.mark.parametrize("cut", [1, 20])
def test_two_windows_with_carried_state_equal_one_long_pass(kind: str, cut: int) -> None:
    model = model_of(kind)
    [window] = windows(cut_lanes(STREAM, 6), [60])
    token_ids_BT = window.inputs_BT
    with torch.inference_mode():
        hidden_BTH, after = model(token_ids_BT, model.initial_state(6))
        first_BTH, between = model(token_ids_BT[:, :cut], model.initial_state(6))
        second_BTH, then = model(token_ids_BT[:, cut:], between)
    assert hidden_BTH.device == CUDA
    assert_close(torch.cat([first_BTH, second_BTH], dim=1), hidden_BTH)
    assert_close(then, after)


@every_kind
@pytest.mark.parametrize("window_length", [5, 8, 100])
def test_a_lanes_loss_equals_its_batch_of_one_twins(kind: str, window_length: int) -> None:
    model = model_of(kind)

    def nats_of(lanes: list[Any], length: int) -> Tensor:
        state, parts = model.initial_state(len(lanes)), []
        for window in windows(lanes, length):
            nats_BT, state = model.nats(window, state)
            parts.append(nats_BT)
        return torch.cat(parts, dim=1)

    lanes = list(cut_lanes(STREAM, 4))
    with torch.inference_mode():
        together_BT = nats_of(lanes, window_length)
        for lane, nats_T in zip(lanes, together_BT, strict=True):
            alone_1T = nats_of([lane], 1000)
            assert_close(nats_T[: alone_1T.shape[1]], alone_1T[0], atol=2e-5, rtol=1e-5)


@every_kind
def test_evaluation_is_that_of_the_cpu(kind: str) -> None:
    on_gpu, on_cpu = both(kind)
    for found, expected in zip(target_nats(on_gpu, SHELF), target_nats(on_cpu, SHELF), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    twin, book = Twin(on_gpu), SHELF[0]
    by_step = [-twin.step(int(token))[following] for token, following in pairwise(book)]
    np.testing.assert_allclose(by_step, target_nats(on_cpu, [book])[0], rtol=2e-5, atol=2e-5)


def test_what_is_measured_of_state_is_what_the_cpu_measures() -> None:
    on_gpu, on_cpu = both("three layers")
    for context in (0, 16, 256):
        found, expected = (loss_after_context(m, SHELF, context, 50) for m in (on_gpu, on_cpu))
        assert found.num_tokens == expected.num_tokens > 0
        assert found.nats == pytest.approx(expected.nats, rel=1e-5)
    found, expected = (loss_of_blocks(m, SHELF, 50) for m in (on_gpu, on_cpu))
    assert found.nats == pytest.approx(expected.nats, rel=1e-5)
    owners = [np.arange(len(book)) // 20 for book in SHELF]
    np.testing.assert_allclose(
        mean_states(on_gpu, SHELF, owners, 17), mean_states(on_cpu, SHELF, owners, 17), atol=1e-5
    )


def test_cache_and_dynamic_evaluation_are_those_of_the_cpu() -> None:
    on_gpu, on_cpu = both("tied")
    for found, expected in zip(
        cache_log_probabilities(on_gpu, SHELF[2], (0.3, 2.0), 50),
        cache_log_probabilities(on_cpu, SHELF[2], (0.3, 2.0), 50),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    read_by = [
        dynamic_nats(model, SHELF[2], learning_rate=0.1, decay=0.01, window_length=7)
        for model in (on_gpu, on_cpu)
    ]
    np.testing.assert_allclose(*read_by, rtol=1e-3, atol=1e-3)


@every_kind
@pytest.mark.parametrize("dropout", [Dropout(), EVERYTHING_DROPPED], ids=["whole", "dropped"])
def test_gradients_are_those_of_the_cpu(kind: str, dropout: Dropout) -> None:
    """With the same masks: each device draws its own."""
    on_gpu, on_cpu = both(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        masks = on_cpu.draw_masks(6, dropout)
    nats_BT, state, found = gradients(on_gpu, moved(masks, CUDA))
    expected_BT, expected_state, expected = gradients(on_cpu, masks)
    assert_close(nats_BT, expected_BT, rtol=2e-5, atol=2e-5)
    assert_close(state, expected_state, rtol=2e-5, atol=2e-5)
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        assert_close(found[name], gradient, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("kind", ["one layer", "three layers", "tied", "one-hot", "wide"])
@pytest.mark.parametrize("dropout", [Dropout(), EVERYTHING_DROPPED], ids=["whole", "dropped"])
def test_bf16_is_bf16_and_near_the_cpu(kind: str, dropout: Dropout) -> None:
    """Autocast alone runs cuDNN's LSTM in fp16, whose small gradients vanish."""
    on_gpu, on_cpu = both(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        masks = on_cpu.draw_masks(6, dropout)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        [window] = windows(cut_lanes(STREAM, 6), [60])
        _, state = on_gpu.read_window(window, on_gpu.initial_state(6), moved(masks, CUDA))
        assert {part.dtype for part in state} == {torch.bfloat16}
        nats_BT, _, found = gradients(on_gpu, moved(masks, CUDA))
    expected_BT, _, expected = gradients(on_cpu, masks)
    assert float((nats_BT - expected_BT).norm() / expected_BT.norm()) < 0.02
    assert {gradient.dtype for gradient in found.values()} == {torch.float32}
    for name, gradient in expected.items():
        error = (found[name] - gradient).norm() / gradient.norm()
        assert float(error) < 0.05, name


@pytest.mark.parametrize("number_type", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["tied", "one layer", "wide"])
@pytest.mark.parametrize("name", RECIPES)
def test_from_every_snapshot_the_training_ends_with_the_same_bits(
    name: str, kind: str, number_type: Any, tmp_path: Path
) -> None:
    """Snapshots go through a file, and into a training that has drawn other random numbers."""
    recipe, snapshots, whole = replace(RECIPES[name], number_type=number_type), [], []
    model = model_of(kind)
    torch.manual_seed(3)
    training = Training(model, STREAM, SHELF, recipe, seed=3)
    for record in training.run():
        whole.append(record)
        tensors, values = training.snapshot()
        path = tmp_path / f"{len(whole)}.safetensors"
        save_file(tensors, path)
        snapshots.append((path, values))
    assert len(whole) >= 4
    for number, (path, values) in enumerate(snapshots, 1):
        again = model_of(kind)
        torch.manual_seed(100 + number)
        resumed = Training(again, STREAM, SHELF, recipe, seed=3)
        resumed.restore(load_file(path), values)
        assert unclocked(list(resumed.run())) == unclocked(whole[number:])
        assert bits(again) == bits(model)


def test_the_same_seed_gives_the_same_bits_at_full_width() -> None:
    """Sizes at which cuDNN and cuBLAS take the kernels of real trainings."""
    rng = np.random.default_rng(3)
    stream = rng.integers(UNKNOWN + 1, 5000, 64 * 16 * 6 + 1).astype(np.int32)
    stream[0], stream[20::20] = START, END
    ends = []
    for _ in range(2):
        torch.manual_seed(5)
        model = LanguageModel(Architecture(5000, 512, 1024, 2, tied=True)).to(CUDA)
        recipe = Recipe(64, 16, dropout=EVERYTHING_DROPPED, number_type="bf16")
        records = list(Training(model, stream, [stream[:300]], recipe, seed=5).run())
        ends.append((bits(model), unclocked(records)))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("number_type", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["one layer", "tied", "no tail"])
@pytest.mark.parametrize("name", ["plain", "everything"])
def test_a_cycle_is_learned_as_on_the_cpu(name: str, kind: str, number_type: Any) -> None:
    """Each token of the cycle has one successor: the best loss is 0."""
    stream = np.array([4, 11, 7, 19, 28] * 100, dtype=np.int32)
    recipe = replace(RECIPES[name], number_type=number_type, num_epochs=20, average_decay=0.0)
    model = model_of(kind)
    torch.manual_seed(3)
    list(Training(model, stream, [stream[:50]], recipe, seed=3).run())
    [found] = evaluate(model, [stream])
    [on_cpu] = evaluate(copy.deepcopy(model).cpu(), [stream])
    assert found.nats == pytest.approx(on_cpu.nats, rel=1e-3, abs=1e-2)
    assert found.nats_per_token < 0.1


def waits(recipe: Recipe, kind: str) -> int:
    """How often the program waits for the device in a training."""
    training = Training(model_of(kind), STREAM, [], recipe, seed=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            records = list(training.run())
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert len(records) == 2
    return sum("called a synchronizing" in str(warning.message) for warning in caught)


@pytest.mark.parametrize("number_type", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["one layer", "three layers", "tied", "learned state"])
@pytest.mark.parametrize("name", ["plain", "everything", "sentences"])
def test_only_a_record_waits_for_the_device(name: str, kind: str, number_type: Any) -> None:
    """Thrice the steps between two records wait no more often."""
    recipe = replace(RECIPES[name], number_type=number_type, log_every_steps=1000)
    recipe = replace(recipe, validate_every_steps=1000)
    few, many = (waits(replace(recipe, num_steps=n), kind) for n in (8, 24))
    assert 0 < few == many


def test_a_time_budget_becomes_steps_and_changes_nothing() -> None:
    model = model_of("three layers")
    before, state = bits(model), torch.cuda.get_rng_state(CUDA)
    assert steps_within(5.0, model, STREAM, SHELF, RECIPES["everything"]) >= 1
    assert bits(model) == before
    assert torch.equal(torch.cuda.get_rng_state(CUDA), state)
