"""Runs that go on from another run's model, on miniature books."""

from pathlib import Path
from typing import Any

import mlflow
import pytest

from data.errors import UserMistake
from data.model_schemas import AFRESH_LOG, WARM_START_SECTIONS
from data.store import Store
from flows.running import run_pipeline
from flows.summary import summary_text
from tasks.lineage import lineage
from tasks.seams import training_loop


def warm_settings(run: Any, shelf: Path, **warm_start: Any) -> dict[str, Any]:
    train = {**run.settings["train"], "num_epochs": 1}
    model = {"model": run.summary["model"]["uri"], **warm_start}
    read = {"books": [str(shelf)]}
    return {**run.settings, "read": read, "train": train, "warm_start": model}


@pytest.fixture(scope="module")
def warm_run(miniature_run: Any, second_shelf: Path) -> dict[str, Any]:
    return run_pipeline(warm_settings(miniature_run, second_shelf))


def test_it_knows_more_than_one_that_began_afresh(warm_run: dict[str, Any]) -> None:
    """After one epoch of two small books there is much that the first shelf has taught."""
    metrics = warm_run["metrics"]
    assert metrics["test_perplexity"] < 0.7 * metrics["afresh_test_perplexity"]
    assert "trained afresh" in summary_text(warm_run)


def test_by_the_clock_too_one_that_began_afresh_takes_as_many_steps(
    miniature_run: Any, second_shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter((6, 9))
    monkeypatch.setattr(training_loop, "steps_within", lambda *_: next(measured))
    settings = warm_settings(miniature_run, second_shelf)
    settings["train"] = {**settings["train"], "minutes": 0.5}
    run = run_pipeline(settings)
    store = Store(str(miniature_run.store))
    steps = [
        store.read_table(run["tables"][table]["path"].removeprefix(store.path("")))["step"]
        for table in ("training_log", AFRESH_LOG.name)
    ]
    assert [own.to_pylist()[-1] for own in steps] == [6, 6]
    assert next(measured) == 9


def test_old_words_keep_their_ids_and_new_ones_follow(
    miniature_run: Any, warm_run: dict[str, Any]
) -> None:
    store = Store(str(miniature_run.store))
    old, new = (
        store.read_table(run["tables"]["vocabulary"]["path"].removeprefix(store.path("")))
        for run in (miniature_run.summary, warm_run)
    )
    assert new["token"].to_pylist()[: len(old)] == old["token"].to_pylist()
    assert new["token"].to_pylist()[len(old) :] == ["admiral"]
    counts = dict(zip(new["token"].to_pylist(), new["count"].to_pylist(), strict=True))
    assert counts["captain"] == 0
    assert counts["admiral"] > 10


def test_it_is_repeatable_and_its_ancestry_is_told(
    miniature_run: Any, second_shelf: Path, warm_run: dict[str, Any]
) -> None:
    assert {WARM_START_SECTIONS.name, AFRESH_LOG.name} <= set(warm_run["tables"])
    again = run_pipeline(warm_settings(miniature_run, second_shelf))
    assert again["recomputed"] == []
    assert {"warm_start", "train_afresh"} <= set(again["reused"])
    tree = lineage(str(miniature_run.store), warm_run["tables"]["training_log"]["path"])
    [model] = [entry for entry in tree["inputs"] if entry["step"] == "warm_start"]
    assert model["sources"]["model"] == miniature_run.summary["model"]["digest"]


def test_what_was_learned_from_is_never_held_out(
    miniature_run: Any, miniature_shelf: Path, second_shelf: Path, tmp_path: Path
) -> None:
    """Both shelves together: whatever is held out is new, or was held out before."""
    for book in (*miniature_shelf.iterdir(), *second_shelf.iterdir()):
        (tmp_path / book.name).write_bytes(book.read_bytes())
    both = run_pipeline(warm_settings(miniature_run, tmp_path, compare=False))
    store = Store(str(miniature_run.store))
    before, now = (
        {
            row["title"]: row["split"]
            for row in store.read_table(
                run["tables"]["books"]["path"].removeprefix(store.path(""))
            ).to_pylist()
        }
        for run in (miniature_run.summary, both)
    )
    assert "train" in before.values()
    assert {"validation", "test"} <= set(now.values())
    assert all(now[title] == "train" for title, split in before.items() if split == "train")
    assert both["metrics"]["afresh_test_perplexity"] is None


def test_a_book_that_was_learned_from_cannot_be_tested_on(
    miniature_run: Any, miniature_shelf: Path, tmp_path: Path
) -> None:
    store = Store(str(miniature_run.store))
    books = store.read_table(
        miniature_run.summary["tables"]["books"]["path"].removeprefix(store.path(""))
    ).to_pylist()
    learned = next(row for row in books if row["split"] == "train")
    alone = tmp_path / "alone.txt"
    alone.write_bytes(Path(learned["source"]).read_bytes())
    with pytest.raises(UserMistake, match="the model to go on from has learned from it") as mistake:
        run_pipeline(warm_settings(miniature_run, alone))
    assert "two books that it has not seen" in mistake.value.remedy


@pytest.mark.parametrize(
    ("section", "values", "message", "remedy"),
    [
        ("train", {"hidden_width": 25}, "another model", "train.hidden_width to 24"),
        ("tokenise", {"unit": "character"}, "tokenise.unit is character", "to word"),
        ("count", {"lower_case": False}, "count.lower_case is False", "to True"),
        ("embed", {"inputs": "word2vec"}, "vectors of its own", "embed.inputs to learned"),
        ("warm_start", {"model": "models:/nothing/1"}, "no bookloom model", "models:/bookloom/1"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_settings_that_do_not_fit(
    section: str,
    values: dict[str, Any],
    message: str,
    remedy: str,
    miniature_run: Any,
    second_shelf: Path,
) -> None:
    settings = warm_settings(miniature_run, second_shelf)
    settings[section] = {**settings.get(section, {}), **values}
    with pytest.raises(UserMistake, match=message) as mistake:
        run_pipeline(settings)
    assert remedy in mistake.value.remedy


def test_mlflow_has_both_trainings(miniature_run: Any, warm_run: dict[str, Any]) -> None:
    client = mlflow.MlflowClient(miniature_run.tracking_uri)
    parent = client.get_run(warm_run["mlflow_run_id"])
    assert parent.data.params["warm_start.model"] == miniature_run.summary["model"]["uri"]
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    assert {child.info.status for child in children} == {"FINISHED"}
    last_loss = {
        child.data.tags["part"]: child.data.metrics["validation_loss_nats_per_token"]
        for child in children
        if child.data.tags["part"].startswith("training")
    }
    assert last_loss["training"] < last_loss["training afresh"]
