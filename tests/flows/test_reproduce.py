"""A store watched, on the true flows: runs repeated, damage mended, results pruned."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
import pytest

from data.errors import UserMistake
from data.model_schemas import TRAINED_WEIGHTS_FILE
from data.store import Store
from flows import repetition
from flows.environment import home
from flows.pipeline import PipelineSettings
from flows.reproduce import ReproduceSettings, reproduce, reproduced_text
from flows.running import run_pipeline, run_texts_map
from tasks.place import place
from tasks.prune import prune, what_to_prune
from tasks.seams import surroundings
from tasks.seams.registry import models_in_use
from tasks.seams.tracking import NO_TRACKING
from tasks.verify import verify
from tasks.why import why
from tests.conftest import miniature_book
from tests.flows.test_command_line import bookloom, mistake
from tests.flows.test_warm_start import warm_settings
from tests.tasks.small_runs import flip


@pytest.fixture(scope="module", autouse=True)
def one_look_at_the_checkout() -> Iterator[None]:
    """Who edits a file while the tests run changes no code that runs in them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(surroundings, "git", cache(surroundings.git))
        yield


@pytest.fixture
def store(miniature_run: Any, tmp_path: Path) -> Path:
    """A copy of the store of the miniature run, to be spoilt, without what other tests have run."""
    copied = tmp_path / "store"
    shutil.copytree(miniature_run.store, copied)
    shutil.rmtree(copied / "unfinished", ignore_errors=True)
    records = sorted((copied / "runs").iterdir())
    [own] = [r for r in records if miniature_run.summary["mlflow_run_id"] in r.name]
    for record in records:
        if record != own:
            record.unlink()
    prune(str(copied), NO_TRACKING, what_to_prune(str(copied), NO_TRACKING, 1))
    return copied


def test_a_run_gives_the_same_bits_again(miniature_run: Any, second_shelf: Path) -> None:
    """All steps at once: of a run that went on from a model, by the code and the books of then."""
    told = warm_settings(miniature_run, second_shelf, compare=False)
    summary = run_pipeline(told)
    assert summary["tables"]["warm_start_sections"]["num_rows"] > 0
    before = {**os.environ}
    client = mlflow.MlflowClient(miniature_run.tracking_uri)
    registered = len(client.search_model_versions())
    report = reproduce(
        ReproduceSettings(run=summary["mlflow_run_id"], store=str(miniature_run.store))
    )
    assert report["equal"], reproduced_text(report)
    assert report["restored_commit"] is None
    assert report["num_tables"] == len(summary["tables"])
    assert report["num_files"] == len(summary["files"])
    assert "gives the same bits again" in reproduced_text(report)
    assert not list((home() / "reproduced").iterdir())
    assert len(client.search_model_versions()) == registered
    with tempfile.TemporaryDirectory() as folder:
        kept = client.download_artifacts(report["run"], "settings.json", folder)
        settings = json.loads(Path(kept).read_text())
    assert settings["train"]["hidden_width"] == 24
    assert settings == PipelineSettings(**told).model_dump(mode="json")
    assert dict(os.environ) == before


def test_a_map_of_what_a_model_knows_is_made_again(
    miniature_run: Any, miniature_shelf: Path, tmp_path: Path
) -> None:
    settings = {
        "name": "map of states",
        "store": str(tmp_path / "store"),
        "workers": {"num_workers": 1},
        "read": {"books": [str(miniature_shelf)]},
        "average": {"of": "states"},
        "model": miniature_run.summary["model"]["uri"],
        "judge": {"num_seeds": 2},
        "cluster": {
            "num_clusters": 2,
            "recipe": {"epochs": 2, "hidden_widths": [8], "code_width": 4},
        },
    }
    summary = run_texts_map(settings)
    assert "warm_start_model.safetensors" in summary["files"]
    asked = ReproduceSettings(run=summary["mlflow_run_id"], store=str(tmp_path / "store"))
    report = reproduce(asked)
    assert report["equal"], reproduced_text(report)
    new = tmp_path / "new.txt"
    new.write_text(miniature_book(7), encoding="utf-8")
    placed = place(settings["store"], [str(new)], str(tmp_path), summary["mlflow_run_id"], None)
    assert placed["texts"]


def test_a_changed_book_stops_it_unless_it_is_to_go_on_anyway(
    prefect_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that draws the map alone; then a book is another one."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for seed in range(4):
        (shelf / f"tale {seed}.txt").write_text(miniature_book(seed), encoding="utf-8")
    settings = {
        "name": "map to repeat",
        "store": str(tmp_path / "store"),
        "seed": 3,
        "num_threads": 1,
        "workers": {"num_workers": 1},
        "read": {"books": [str(shelf)]},
        "judge": {"num_seeds": 2},
        "cluster": {
            "num_clusters": 2,
            "recipe": {"epochs": 2, "hidden_widths": [8], "code_width": 4},
        },
    }
    summary = run_texts_map(settings)
    asked = ReproduceSettings(store=str(tmp_path / "store"))
    assert reproduce(asked)["equal"]
    book = shelf / "tale 2.txt"
    book.write_text(book.read_text().replace("captain", "admiral", 1), encoding="utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(repetition, "texts_map", lambda settings: pytest.fail("it went on"))
        with pytest.raises(UserMistake, match=r"not those that run .* read: .*tale 2.txt changed"):
            reproduce(asked)
    assert not list((home() / "reproduced").iterdir())
    anyway = {"anyway": True, "keep": True}
    with pytest.raises(UserMistake, match="does NOT give the same bits") as caught:
        reproduce(asked.model_copy(update=anyway))
    text = caught.value.message
    assert f"run {summary['mlflow_run_id']} does NOT" in text
    assert "first              books, made by read" in text
    assert "first row          2, column book_id" in text
    assert re.search(r"cause +source .*tale 2.txt changed", text)
    [kept] = re.findall(r"kept +(.*)", text)
    assert Store(kept).names("steps")
    shutil.rmtree(Path(kept).parent)


def test_damage_is_mended_by_the_run_that_meets_it(miniature_run: Any, store: Path) -> None:
    digests = {n: t["digest"] for n, t in miniature_run.summary["tables"].items()}
    for name in ("token_ids/00000.parquet", TRAINED_WEIGHTS_FILE):
        [path] = store.rglob(name)
        flip(path)
    settings = {**miniature_run.settings, "store": str(store)}
    settings["tune"] = {**settings["tune"], "num_sentences": 9}
    again = run_pipeline(settings)
    assert {"encode", "train", "tune"} <= set(again["recomputed"])
    assert {"read", "tokenise", "count", "weigh"} <= set(again["reused"])
    for name in ("token_ids", "training_log"):
        assert again["tables"][name]["digest"] == digests[name]


def test_verify_repairs_so_that_just_that_is_recomputed(miniature_run: Any, store: Path) -> None:
    found = verify(str(store))
    assert found["sound"]
    assert found["not_checkable"] == []
    for name in ("vocabulary.parquet", "map.png"):
        [path] = store.rglob(name)
        flip(path)
    assert len(verify(str(store))["damage"]) == 2
    assert verify(str(store), repair=True)["sound"]
    again = run_pipeline({**miniature_run.settings, "store": str(store)})
    assert set(again["recomputed"]) == {"count", "chart"}
    assert verify(str(store))["sound"]


def test_why_goes_back_to_the_setting(miniature_run: Any, store: Path) -> None:
    settings = {**miniature_run.settings, "store": str(store)}
    settings["weigh"] = {**settings["weigh"], "features": "characters"}
    run_pipeline(settings)
    found = why(str(store), "text_codes")
    assert not found["reused"]
    assert found["started_by"] == [
        {"step": "weigh", "reasons": ['setting features: null -> "characters"']}
    ]
    assert why(str(store), "token_ids")["reused"]


def test_prune_keeps_the_runs_of_models_in_use(miniature_run: Any, store: Path) -> None:
    """Of two models that are refused the first is used by nobody, until somebody names it."""
    settings = {**miniature_run.settings, "store": str(store), "promote": {"margin": 0.99}}
    other = run_pipeline({**settings, "seed": 9})
    newest = run_pipeline({**settings, "seed": 10})
    uri = miniature_run.tracking_uri
    assert models_in_use(uri)[newest["model"]["digest"]] == "models:/bookloom@challenger"
    assert other["model"]["digest"] not in models_in_use(uri)
    client = mlflow.MlflowClient(uri)
    version = other["model"]["uri"].rsplit("/", 1)[-1]
    client.set_registered_model_alias("bookloom", "liked", version)
    try:
        assert models_in_use(uri)[other["model"]["digest"]] == "models:/bookloom@liked"
        kept = what_to_prune(str(store), uri, 1)
    finally:
        client.delete_registered_model_alias("bookloom", "liked")
    plan = what_to_prune(str(store), uri, 1)
    assert len(kept["kept_runs"]) == len(plan["kept_runs"]) + 1
    assert plan["num_results"] > kept["num_results"]
    prune(str(store), uri, plan)
    assert verify(str(store))["sound"]
    assert run_pipeline({**settings, "seed": 10})["recomputed"] == []


def test_the_commands(miniature_run: Any, store: Path) -> None:
    here = {"BOOKLOOM_HOME": str(store.parent), "MLFLOW_TRACKING_URI": miniature_run.tracking_uri}
    shown = bookloom("why", "bag_sentences", **here)
    assert shown.exit_code == 0, shown.errors
    assert "made by pick: recomputed" in shown.output
    assert "first time" in shown.output
    assert json.loads(bookloom("why", "map.png", "--json", **here).output)["step"] == "chart"
    assert bookloom("verify", **here).output.splitlines()[-1].startswith("sound: ")
    [path] = store.rglob("vocabulary.parquet")
    flip(path)
    found = bookloom("verify", "--json", **here)
    assert found.exit_code == 1
    [damage] = json.loads(found.output)["damage"]
    assert damage["where"] == str(path)
    shown = bookloom("verify", "--repair", **here)
    assert shown.exit_code == 0
    assert str(path) in shown.output
    error = mistake(bookloom("prune", "--keep", "0", "--json", **here))
    assert "--yes" in error["remedy"]
    error = mistake(bookloom("prune", "--keep", "-1", "--json", **here))
    assert "-1" in error["message"]
    assert "to remove" in bookloom("prune", "--keep", "0", "--dry-run", **here).output
    plan = json.loads(bookloom("prune", "--keep", "1", "--yes", "--json", **here).output)
    assert plan["removed"]
    error = mistake(bookloom("reproduce", "nonsense", "--json", **here))
    assert "'nonsense'" in error["message"]
    assert miniature_run.summary["mlflow_run_id"] in error["remedy"]
