"""What a user may get wrong about training, told with its remedy; through the true step."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from data.errors import UserMistake
from data.store import Store
from tasks.count import CountSettings, count
from tasks.embed import EmbedSettings, embed
from tasks.encode import EncodeSettings, encode
from tasks.read import ReadSettings, read
from tasks.seams.checkpoints import Checkpoints
from tasks.seams.run_context import RunContext
from tasks.seams.training_settings import TrainSettings
from tasks.tokenise import TokeniseSettings, tokenise
from tasks.train import train

TINY: dict[str, Any] = {
    "embedding_width": 6,
    "hidden_width": 8,
    "num_lanes": 4,
    "window_length": 16,
    "num_epochs": 1,
    "number_type": "fp32",
    "device": "cpu",
    "log_every_steps": 5,
}


def train_on(shelf: Path, store: Path, embed_settings: EmbedSettings, **changes: Any) -> Any:
    run = RunContext(
        store=str(store),
        seed=1,
        num_threads=1,
        tracking_uri=None,
        mlflow_run_id=None,
        provenance={},
    )
    books = read.fn(run, ReadSettings(books=[str(shelf)]))
    sentences = tokenise.fn(run, TokeniseSettings(), books)
    vocabulary = count.fn(run, CountSettings(), books, sentences)
    token_ids = encode.fn(run, EncodeSettings(), books, sentences, vocabulary)
    vectors = embed.fn(run, embed_settings, vocabulary, token_ids)
    settings = TrainSettings(**{**TINY, **changes})
    return train.fn(run, settings, sentences, vocabulary, token_ids, vectors)


def test_a_rate_that_is_too_high(miniature_shelf: Path, tmp_path: Path) -> None:
    changes = {"learning_rate": 1e38, "gradient_clip_norm": 1e9, "warmup_steps": 0}
    with pytest.raises(UserMistake, match=r"at step \d+ of \d+") as mistake:
        train_on(miniature_shelf, tmp_path, EmbedSettings(), **changes)
    assert "learning_rate" in mistake.value.remedy


def test_checkpoints_of_another_training(miniature_shelf: Path, tmp_path: Path) -> None:
    made = train_on(miniature_shelf, tmp_path, EmbedSettings())
    folder = f"steps/train/{made.key}"
    store = Store(str(tmp_path))
    store.delete(f"{folder}/manifest.json")
    values = {"training": {"recipe": {"num_lanes": 5}}, "rows": []}
    Checkpoints(store, f"{folder}/checkpoints").keep(3, {"a": torch.zeros(1)}, values)
    with pytest.raises(UserMistake, match=r"are of another training: .* another recipe") as mistake:
        train_on(miniature_shelf, tmp_path, EmbedSettings())
    assert "Delete that folder" in mistake.value.remedy


def test_nothing_to_leave_as_it_is(miniature_shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="no vectors to leave as they are") as mistake:
        train_on(miniature_shelf, tmp_path, EmbedSettings(), frozen_inputs=True)
    assert "word2vec" in mistake.value.remedy


def test_vectors_that_one_hot_inputs_leave_no_place_for(
    miniature_shelf: Path, tmp_path: Path
) -> None:
    settings = EmbedSettings(inputs="word2vec", width=7, num_epochs=1)
    with pytest.raises(UserMistake, match=r"one_hot_inputs is set.* embed.inputs") as mistake:
        train_on(miniature_shelf, tmp_path, settings, one_hot_inputs=True)
    assert mistake.value.remedy == "Set embed.inputs to learned, or leave one_hot_inputs out."


@pytest.mark.parametrize("cutoffs", [(3000, 500), (500, 500), (20, 500, 30)])
def test_cutoffs_that_do_not_rise_are_refused_beforehand(cutoffs: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match=r"\d+ comes after \d+: list .* in rising order"):
        TrainSettings(cutoffs=cutoffs)
    assert TrainSettings(cutoffs=()).cutoffs == ()


@pytest.mark.parametrize(
    ("num_gpus", "changes", "problem", "remedy"),
    [
        (0, {"device": "cuda"}, "torch finds no GPU here", "Set device to cpu, or to auto"),
        (1, {"num_processes": 2}, "torch finds 1 here", "Set num_processes to 1, or device to cpu"),
    ],
)
def test_gpus_that_are_not_there(
    num_gpus: int,
    changes: dict[str, Any],
    problem: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    with pytest.raises(UserMistake, match=problem) as mistake:
        TrainSettings(**changes).resolved_device()
    assert remedy in mistake.value.remedy
    assert TrainSettings(device="cpu", num_processes=2).resolved_device().type == "cpu"


@pytest.mark.parametrize("frozen", [False, True])
def test_vectors_of_word2vec_are_tuned_or_frozen(
    frozen: bool, miniature_shelf: Path, tmp_path: Path
) -> None:
    settings = EmbedSettings(inputs="word2vec", width=7, num_epochs=1)
    made = train_on(miniature_shelf, tmp_path, settings, frozen_inputs=frozen)
    store = Store(str(tmp_path))
    after = store.read_table(made.tables["embeddings"].name)["vector"].to_pylist()
    [name] = [f"{n}/input_vectors.parquet" for n in store.names("steps/embed")]
    before = store.read_table(name)["vector"].to_pylist()
    assert len(after[0]) == 7
    assert (after == before) == frozen


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "sentences", "equal_sentences": True},
        {"at_section": "reset", "initial_state": "learned"},
        {"at_book": "carry", "one_hot_inputs": True, "embedding_width": 9},
        {"minutes": 0.02, "cutoffs": (), "tied": True},
        {"num_processes": 2, "moving_lanes": True},
    ],
    ids=str,
)
def test_every_way_of_training_learns(
    changes: dict[str, Any], miniature_shelf: Path, tmp_path: Path
) -> None:
    """A model that knew only how frequent words are would stay above 2.6 nats a token."""
    made = train_on(
        miniature_shelf,
        tmp_path,
        EmbedSettings(),
        learning_rate=0.03,
        **{"num_epochs": 4, **changes},
    )
    log = Store(str(tmp_path)).read_table(made.tables["training_log"].name).to_pylist()
    validated = [row["loss_nats_per_token"] for row in log if row["split"] == "validation"]
    if "minutes" not in changes:
        assert min(validated) < 2.0
    assert [row["step"] for row in log] == sorted(row["step"] for row in log)
