"""A training restored from a snapshot ends with the bits of one never stopped; one shared among
processes ends as one process does."""

import math
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import multiprocessing

from models.batching import split_sentences
from models.evaluation import evaluate
from models.language_model import Architecture, Dropout, LanguageModel
from models.recipe import Recipe
from models.special_tokens import END, START
from models.training import OtherTraining, Training
from tests.models.made_up_books import bits, made_up_books, unclocked

NUM_TYPES = 13
PLAIN = Recipe(
    num_lanes=4,
    window_length=5,
    num_epochs=2,
    learning_rate=0.03,
    warmup_steps=4,
    log_every_steps=3,
)
EVERYTHING = replace(
    PLAIN,
    dropout=Dropout(0.2, 0.2, 0.2, 0.2, 0.2),
    state_drop_probability=0.3,
    window_spread=2.0,
    moving_lanes=True,
    activation_penalty=0.1,
    change_penalty=0.1,
    average_decay=0.9,
    patience=9,
)
RECIPES = {
    "plain": PLAIN,
    "everything": EVERYTHING,
    "sentences": replace(PLAIN, separate_sentences=True, equal_sentences=True),
    "often validated": replace(PLAIN, validate_every_steps=4, log_every_steps=1, resets=False),
    "steps": replace(PLAIN, num_steps=17),
}


def tiny_model() -> LanguageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return LanguageModel(
            Architecture(NUM_TYPES, 6, 16, 2, (7, 10), tied=True, initial_state="learned")
        )


STREAM = np.concatenate(made_up_books(NUM_TYPES, 60, 23, 78))
VALIDATION = made_up_books(NUM_TYPES, 17, 9, 30, seed=7)


@pytest.mark.parametrize("name", RECIPES)
def test_from_every_snapshot_the_training_ends_with_the_same_bits(
    name: str, tmp_path: Path
) -> None:
    """Snapshots go through a file, and into a training that has drawn other random numbers."""
    recipe, snapshots, whole = RECIPES[name], [], []
    model = tiny_model()
    torch.manual_seed(3)
    training = Training(model, STREAM, VALIDATION, recipe, seed=3)
    for record in training.run():
        whole.append(record)
        tensors, values = training.snapshot()
        path = tmp_path / f"{len(whole)}.safetensors"
        save_file(tensors, path)
        snapshots.append((path, values))
    assert len(whole) >= 4
    for number, (path, values) in enumerate(snapshots, 1):
        again = tiny_model()
        torch.manual_seed(100 + number)
        resumed = Training(again, STREAM, VALIDATION, recipe, seed=3)
        resumed.restore(load_file(path), values)
        assert unclocked(list(resumed.run())) == unclocked(whole[number:])
        assert bits(again) == bits(model)


def test_a_snapshot_changes_nothing() -> None:
    ends = []
    for looks in (False, True):
        model = tiny_model()
        torch.manual_seed(3)
        training = Training(model, STREAM, VALIDATION, EVERYTHING, seed=3)
        for _ in training.run():
            if looks:
                training.snapshot()
        ends.append(bits(model))
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.02}, "the snapshot is of another recipe"),
        ({"num_epochs": 3}, "the snapshot is of another recipe"),
    ],
)
def test_a_snapshot_of_another_recipe_is_refused(change: dict[str, Any], message: str) -> None:
    training = Training(tiny_model(), STREAM, VALIDATION, PLAIN)
    next(training.run())
    other = Training(tiny_model(), STREAM, VALIDATION, replace(PLAIN, **change))
    with pytest.raises(OtherTraining, match=message):
        other.restore(*training.snapshot())


def test_patience_ends_a_training_that_learns_nothing() -> None:
    recipe = replace(PLAIN, learning_rate=0.0, num_epochs=50, patience=3)
    records = list(Training(tiny_model(), STREAM, VALIDATION, recipe).run())
    validations = [record for record in records if record.split == "validation"]
    assert len(validations) == 4  # the first one is the best, then three that are no better


def _train_a_share(rank: int, size: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=size
    )
    _train_and_save(Path(folder) / f"{rank}.safetensors")
    torch.distributed.destroy_process_group()


def _train_and_save(path: Path) -> None:
    torch.manual_seed(3)
    model = tiny_model()
    training = Training(model, STREAM, VALIDATION, replace(EVERYTHING, average_decay=0.0), seed=3)
    losses = [record.loss.nats_per_token for record in training.run()]
    tensors, _ = training.snapshot()
    assert tensors["state.hidden"].shape == (2, 4, 16), "the state of all lanes"
    save_file({**model.state_dict(), "losses": torch.tensor(losses)}, path)


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """Masks, dropped states and lanes are those of the whole; sums differ in rounding alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_train_a_share, (2, port, str(tmp_path)), nprocs=2)
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    _train_and_save(tmp_path / "alone.safetensors")
    alone = load_file(tmp_path / "alone.safetensors")
    for name, value in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=2e-4, atol=2e-5)


def test_lanes_that_cannot_be_shared_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    with pytest.raises(ValueError, match="4 lanes cannot be shared evenly among 3 processes"):
        Training(tiny_model(), STREAM, VALIDATION, PLAIN)


def test_separate_sentences_cost_what_each_costs_alone() -> None:
    """Without a rate nothing is learned: the training loss is the mean over sentences of each
    sentence's mean."""
    model = tiny_model()
    recipe = replace(RECIPES["sentences"], learning_rate=0.0, num_epochs=1, log_every_steps=100)
    [trained, _] = Training(model, STREAM, VALIDATION, recipe).run()
    rows = [np.array([START, *words, END], dtype=np.int32) for words in split_sentences(STREAM)]
    means = [loss.nats_per_token for loss in evaluate(model, rows)]
    assert trained.loss.nats_per_token == pytest.approx(math.fsum(means) / len(means), rel=1e-5)
