"""Champion and challenger on the true flow, in a registry of their own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pyarrow.compute as pc
import pytest
from prefect.client.orchestration import get_client

from data.book_schemas import SECTIONS
from data.errors import UserMistake
from data.model_schemas import PERPLEXITIES, SECTION_SCORES
from data.store import Store
from flows.running import run_pipeline
from flows.summary import summary_text
from tasks.generate import GenerateSettings, generate
from tasks.lineage import lineage
from tasks.prune import what_to_prune
from tasks.seams.champions import Champions
from tasks.seams.newest_run import RUNS
from tasks.seams.registry import models_in_use, read_bundle
from tasks.versions import roll_back
from tasks.why import why
from tests.flows.test_command_line import bookloom
from tests.flows.test_warm_start import warm_settings

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry of its own, for all tests of this file, which stand in the order of its life."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('registry') / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri


@pytest.fixture(scope="module")
def good(uri: str, miniature_run: Any) -> dict[str, Any]:
    """Settings of the model that learns for four epochs, as the miniature run did."""
    return {**miniature_run.settings, "name": "promotion"}


@pytest.fixture(scope="module")
def poor(good: dict[str, Any]) -> dict[str, Any]:
    """Settings of the model that learns for one."""
    return {**good, "train": {**good["train"], "num_epochs": 1}}


@pytest.fixture(scope="module")
def first(good: dict[str, Any]) -> dict[str, Any]:
    return run_pipeline(good)


@pytest.fixture(scope="module")
def refused(first: dict[str, Any], poor: dict[str, Any]) -> dict[str, Any]:
    return run_pipeline(poor)


@pytest.fixture(scope="module")
def forced(refused: dict[str, Any], poor: dict[str, Any]) -> dict[str, Any]:
    return run_pipeline({**poor, "promote": {"force": True}})


@pytest.fixture(scope="module")
def better(forced: dict[str, Any], good: dict[str, Any]) -> dict[str, Any]:
    return run_pipeline(good)


def record_of(store: Path, summary: dict[str, Any]) -> dict[str, Any]:
    [path] = (store / RUNS).glob(f"*{summary['mlflow_run_id']}*")
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def test_the_first_model_is_champion(uri: str, first: dict[str, Any], miniature_run: Any) -> None:
    promotion = first["promotion"]
    assert (promotion["verdict"], promotion["champion_before"]) == ("promoted", None)
    assert promotion["champion"] == first["model"]["uri"] == "models:/bookloom/1"
    assert record_of(miniature_run.store, first)["promotion"] == promotion
    assert "There was no champion." in summary_text(first)
    tags = mlflow.MlflowClient(uri).get_run(first["mlflow_run_id"]).data.tags
    assert tags["promotion"] == "promoted"


def test_a_worse_one_is_refused_with_both_figures(
    uri: str, first: dict[str, Any], refused: dict[str, Any], miniature_run: Any
) -> None:
    promotion = refused["promotion"]
    assert promotion["verdict"] == "refused"
    assert promotion["champion"] == promotion["champion_before"] == "models:/bookloom/1"
    assert promotion["nats_per_character"] > promotion["champion_nats_per_character"]
    assert promotion["improvement_at_least"] <= promotion["improvement"] < 0
    assert promotion["training_text_known"] is True
    client = mlflow.MlflowClient(uri)
    version = client.get_model_version_by_alias("bookloom", "challenger")
    assert f"models:/bookloom/{version.version}" == refused["model"]["uri"]
    run = client.get_run(refused["mlflow_run_id"])
    for tags in (version.tags, run.data.tags):
        assert tags["promotion"] == "refused"
        for name in ("nats_per_character", "champion_nats_per_character"):
            assert float(tags[f"promotion.{name}"]) == pytest.approx(promotion[name], rel=1e-5)
    assert record_of(miniature_run.store, refused)["promotion"] == promotion
    assert f"{promotion['champion_nats_per_character']:.4f}" in summary_text(refused)


def test_the_figures_are_those_of_the_perplexities(
    first: dict[str, Any], refused: dict[str, Any], miniature_run: Any
) -> None:
    """Both vocabularies are the same, and nobody has learned from test text: so each model costs
    here what its own run has found."""
    store = Store(str(miniature_run.store))

    def read(path: str) -> Any:
        return store.read_table(path.removeprefix(store.path("")).lstrip("/"))

    rows = read(refused["promotion"]["scores"]["path"])
    assert rows.schema.names == SECTION_SCORES.schema.names
    for run, column in ((refused, "nats"), (first, "champion_nats")):
        costs = read(run["tables"][PERPLEXITIES.name]["path"])
        test = costs.filter(pc.equal(costs["split"], "test"))
        assert pc.sum(rows[column]).as_py() == pytest.approx(pc.sum(test["nats"]).as_py(), rel=1e-6)
        for name in ("num_tokens", "num_characters"):
            assert pc.sum(rows[name]).as_py() == pc.sum(test[name]).as_py()
    sections = read(first["tables"][SECTIONS.name]["path"])
    assert len(rows) == pc.sum(pc.equal(sections["split"], "test")).as_py() > 2


def test_why_and_lineage_know_what_was_compared(
    refused: dict[str, Any], miniature_run: Any
) -> None:
    root = str(miniature_run.store)
    found = why(root, SECTION_SCORES.name)
    assert (found["step"], found["path"]) == ("compare", refused["promotion"]["scores"]["path"])
    assert found["run"]["mlflow_run_id"] == refused["mlflow_run_id"]
    assert not found["reused"]
    tree = lineage(root, SECTION_SCORES.name)
    assert tree["digest"] == refused["promotion"]["scores"]["digest"]
    made_from = {one["table"] for one in tree["inputs"]}
    assert made_from == {"sections", "sentences", "language_model.safetensors"}


def test_the_report_has_both(prefect_url: str, refused: dict[str, Any]) -> None:
    with get_client(sync_client=True) as client:
        shown = client.read_latest_artifacts()
    [report] = [one.data for one in shown if one.key == "promotion"]
    figures = refused["promotion"]
    assert "**refused**" in report
    for name in ("nats_per_character", "champion_nats_per_character"):
        assert f"{figures[name]:.4g}" in report


def test_commands_use_the_champion_and_not_the_newest(
    uri: str, first: dict[str, Any], refused: dict[str, Any], tmp_path: Path
) -> None:
    bags = tmp_path / "bags.txt"
    bags.write_text("the a\nking sea\nsees loves\n")
    assert generate(uri, GenerateSettings(bags=str(bags)))["model"] == first["model"]["uri"]
    assert read_bundle(uri, None)[0] == first["model"]["uri"]


def test_a_forced_one_is_marked_so(
    uri: str, refused: dict[str, Any], forced: dict[str, Any]
) -> None:
    assert forced["model"]["uri"] == refused["model"]["uri"]
    promotion = forced["promotion"]
    assert (promotion["verdict"], promotion["champion"]) == ("forced", forced["model"]["uri"])
    for name in ("nats_per_character", "champion_nats_per_character"):
        assert promotion[name] == refused["promotion"][name]
    version = mlflow.MlflowClient(uri).get_model_version_by_alias("bookloom", "champion")
    assert version.tags["promotion"] == "forced"
    assert Champions(uri).standing().aliases == {"champion": int(version.version)}


def test_a_better_one_takes_its_place(uri: str, better: dict[str, Any]) -> None:
    promotion = better["promotion"]
    assert (promotion["verdict"], promotion["champion"]) == ("promoted", "models:/bookloom/1")
    assert promotion["improvement_at_least"] > 0.002
    assert better["recomputed"] == []
    assert read_bundle(uri, None)[0] == "models:/bookloom/1"


def test_a_run_that_changes_nothing_leaves_its_record(
    better: dict[str, Any], good: dict[str, Any], miniature_run: Any
) -> None:
    again = run_pipeline(good)
    assert again["promotion"]["verdict"] == "champion already"
    assert record_of(miniature_run.store, again)["promotion"] == again["promotion"]


def test_prune_keeps_what_a_rollback_returns_to(
    uri: str, better: dict[str, Any], forced: dict[str, Any], miniature_run: Any
) -> None:
    used = models_in_use(uri)
    assert used[better["model"]["digest"]] == "models:/bookloom@champion"
    kept = what_to_prune(str(miniature_run.store), uri, 0)["kept_runs"]
    whys = {run["mlflow_run_id"]: run["why"] for run in kept}
    assert whys.pop(forced["mlflow_run_id"]).endswith("to which a rollback returns")
    # Of the champion's runs the one that has changed nothing is the newest.
    assert [*whys.values()] == ["its model is models:/bookloom@champion"]
    assert better["mlflow_run_id"] not in whys


def test_rollback_and_no_way_around_it(
    uri: str, better: dict[str, Any], forced: dict[str, Any], good: dict[str, Any]
) -> None:
    shown = bookloom("rollback", "--json", MLFLOW_TRACKING_URI=uri)
    assert shown.exit_code == 0, shown.errors
    assert json.loads(shown.output) == {
        "rolled_back": better["model"]["uri"],
        "champion": forced["model"]["uri"],
    }
    again = run_pipeline(good)
    assert again["promotion"]["verdict"] == "refused"
    assert "rolled back" in again["promotion"]["reason"]
    assert again["promotion"]["champion"] == forced["model"]["uri"]
    listed = bookloom("models", MLFLOW_TRACKING_URI=uri).output
    assert "@champion" in listed
    assert "rolled back" in listed
    with pytest.raises(UserMistake, match="no registered model was before it"):
        roll_back(uri)


def test_what_the_champion_has_seen_is_left_out(
    uri: str, better: dict[str, Any], good: dict[str, Any], miniature_run: Any, tmp_path: Path
) -> None:
    """A shelf on which the new model's test text is of two books: on one the champion was trained,
    on the other it was tuned."""
    store = Store(str(miniature_run.store))
    books = store.read_table(
        better["tables"]["books"]["path"].removeprefix(store.path("")).lstrip("/")
    ).to_pylist()
    for split in ("train", "validation"):
        seen = next(row for row in books if row["split"] == split)
        (tmp_path / f"{split}.txt").write_bytes(Path(seen["source"]).read_bytes())
    run = run_pipeline({**good, "read": {"books": [str(tmp_path)]}})
    promotion = run["promotion"]
    assert promotion["verdict"] == "refused"
    assert "0 are new to both models" in promotion["reason"]
    assert "Read books that neither" in promotion["remedy"]


def test_a_warm_start_from_a_champion_of_another_store(
    uri: str, better: dict[str, Any], second_shelf: Path, miniature_run: Any, tmp_path: Path
) -> None:
    """Its author says `admiral`, which the champion does not know."""
    settings = warm_settings(miniature_run, second_shelf, model="champion", compare=False)
    run = run_pipeline({**settings, "store": str(tmp_path)})
    assert run["promotion"]["training_text_known"] is False
    assert "not known in this store" in run["promotion"]["reason"]
    assert run["promotion"]["num_sections"] > 2
    store = Store(str(tmp_path))
    scores = store.read_table(
        run["promotion"]["scores"]["path"].removeprefix(store.path("")).lstrip("/")
    )
    unknown, champion_unknown = (
        pc.sum(scores[name]).as_py() for name in ("num_unknown", "champion_num_unknown")
    )
    assert unknown < champion_unknown
    with pytest.raises(UserMistake, match="no bookloom model"):
        run_pipeline({**settings, "warm_start": {"model": "models:/bookloom@nobody"}})
