"""Why a step worked: the difference of its key, and the change farther back that brought it."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserMistake
from data.model_schemas import SECTION_SCORES
from tasks.lineage import lineage
from tasks.prune import prune, what_to_prune
from tasks.seams import step_cache
from tasks.seams.manifests import sealed
from tasks.seams.newest_run import RUNS
from tasks.seams.run_context import RunContext
from tasks.seams.run_records import add_to_record
from tasks.seams.step_cache import StepRun, step
from tasks.seams.tracking import NO_TRACKING
from tasks.why import why
from tests.tasks.small_runs import NamesSettings, flip, small_run, table_path


def begun_by(folder: Path, table: str) -> list[tuple[str, list[str]]]:
    found = why(str(folder), table)
    return [(one["step"], one["reasons"]) for one in found["started_by"]]


def test_a_first_run_is_a_first_time(tmp_path: Path) -> None:
    small_run(tmp_path)
    found = why(str(tmp_path), "warm_start_sections")
    assert (found["step"], found["reused"]) == ("names", False)
    assert found["started_by"] == [{"step": "names", "reasons": ["first time"]}]
    assert found["compared_with"] is None


def test_a_setting_is_followed_to_what_depends_on_it(tmp_path: Path) -> None:
    first = small_run(tmp_path)
    small_run(tmp_path, factor=3)
    found = why(str(tmp_path), "warm_start_sections")
    assert not found["reused"]
    assert [one["text"] for one in found["differences"]] == ["input refusals changed"]
    assert found["own_reasons"] == []
    [words] = found["inputs"]
    assert (words["table"], words["step"]) == ("refusals", "words")
    assert {one["text"] for one in words["differences"]} == {"input metrics changed"}
    [weights] = words["inputs"]
    assert weights["own_reasons"] == ["setting factor: 2 -> 3"]
    assert weights["differences"] == [
        {
            "part": "setting factor",
            "before": "2",
            "now": "3",
            "text": "setting factor: 2 -> 3",
        }
    ]
    assert found["started_by"] == [{"step": "weights", "reasons": ["setting factor: 2 -> 3"]}]
    assert str(table_path(first, "metrics").parent).endswith(weights["compared_with"])


def test_several_changes_are_all_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_run(tmp_path)
    true_digests = step_cache.code_digests

    def edited(module: str, name: str) -> dict[str, str]:
        found = true_digests(module, name)
        return {key: "edited" if key.endswith(".words") else v for key, v in found.items()}

    monkeypatch.setattr(step_cache, "code_digests", edited)
    small_run(tmp_path, factor=3, num_names=4)
    assert begun_by(tmp_path, "warm_start_sections") == [
        ("weights", ["setting factor: 2 -> 3"]),
        ("words", ["code tests.tasks.small_runs.words changed"]),
        ("names", ["setting num_names: 3 -> 4"]),
    ]


def test_reused_is_said_with_the_reason_it_was_made_for(tmp_path: Path) -> None:
    small_run(tmp_path)
    small_run(tmp_path, greeting="farewell")
    small_run(tmp_path, greeting="farewell", num_names=5)
    found = why(str(tmp_path), "refusals")
    assert found["reused"]
    assert begun_by(tmp_path, "refusals") == [("words", ['setting greeting: "hail" -> "farewell"'])]
    assert begun_by(tmp_path, "warm_start_sections") == [("names", ["setting num_names: 3 -> 5"])]


def test_the_most_alike_result_is_held_against_it(tmp_path: Path) -> None:
    small_run(tmp_path, greeting="hail", num_names=3)
    small_run(tmp_path, greeting="hello", num_names=9)
    small_run(tmp_path, greeting="hello", num_names=3)
    # Of the first run one setting differs further back, of the second one here.
    assert begun_by(tmp_path, "warm_start_sections") == [("names", ["setting num_names: 9 -> 3"])]


def test_damage_is_a_reason(tmp_path: Path) -> None:
    first = small_run(tmp_path)
    flip(table_path(first, "metrics"))
    small_run(tmp_path, greeting="farewell")
    [(made_by, [reason])] = begun_by(tmp_path, "metrics")
    assert made_by == "weights"
    assert "metrics.parquet is damaged" in reason
    small_run(tmp_path, greeting="farewell")
    assert begun_by(tmp_path, "metrics") == [("weights", [reason])], "it is reused since then"


def test_what_is_gone_is_said_to_be(tmp_path: Path) -> None:
    first = small_run(tmp_path)
    small_run(tmp_path, factor=3)
    for path in table_path(first, "metrics").parent.iterdir():
        path.unlink()
    assert begun_by(tmp_path, "warm_start_sections") == [("weights", ["setting factor: 2 -> 3"])]
    newest = max((tmp_path / RUNS).iterdir())
    record = json.loads(newest.read_text())
    newest.write_text(json.dumps(sealed({k: v for k, v in record.items() if k != "steps"})))
    [(made_by, [reason])] = begun_by(tmp_path, "warm_start_sections")
    assert made_by == "weights"
    assert "gone" in reason


def test_records_tell_what_is_pruned(tmp_path: Path) -> None:
    small_run(tmp_path)
    small_run(tmp_path, factor=3, num_names=4)
    before = {table: begun_by(tmp_path, table) for table in ("metrics", "warm_start_sections")}
    prune(str(tmp_path), NO_TRACKING, what_to_prune(str(tmp_path), NO_TRACKING, 1))
    small_run(tmp_path, factor=3, num_names=4)
    assert {table: begun_by(tmp_path, table) for table in before} == before
    assert before["warm_start_sections"] == [
        ("weights", ["setting factor: 2 -> 3"]),
        ("names", ["setting num_names: 3 -> 4"]),
    ]
    found = why(str(tmp_path), "warm_start_sections")
    assert (found["reused"], found["compared_with"]) == (True, None)
    assert [one["table"] for one in found["inputs"]] == ["refusals"]


@step(writes=(SECTION_SCORES,))
def compare(run: StepRun, settings: NamesSettings) -> None:
    """As a run compares its model with the champion, after its record is written."""
    columns = SECTION_SCORES.schema.names
    run.write(SECTION_SCORES, {name: [] for name in columns})


def test_what_was_held_against_the_champion_is_found(tmp_path: Path) -> None:
    summary = small_run(tmp_path)
    [path] = (tmp_path / RUNS).iterdir()
    context = RunContext(
        store=str(tmp_path),
        seed=1,
        num_threads=1,
        tracking_uri=None,
        mlflow_run_id=None,
        provenance={"git_commit": "x", "lock_digest": "y"},
    )
    table = compare.fn(context, NamesSettings()).tables[SECTION_SCORES.name]
    scores = {"path": str(tmp_path / table.name), "digest": table.digest, "rows": table.num_rows}
    started = float(path.name.partition("-")[0])
    add_to_record(context, started, {"promotion": {"scores": scores}})
    small_run(tmp_path)  # whose model is the champion by now: it compares nothing
    found = why(str(tmp_path), SECTION_SCORES.name)
    assert (found["step"], found["reused"]) == ("compare", False)
    assert found["path"] == scores["path"]
    assert lineage(str(tmp_path), SECTION_SCORES.name)["digest"] == table.digest
    record = json.loads(path.read_text())
    assert SECTION_SCORES.name not in record["tables"], "what is reproduced is without registry"
    path.write_text(json.dumps(sealed({**record, "mlflow_run_id": "another"})))
    assert why(str(tmp_path), SECTION_SCORES.name)["reused"]
    assert summary["recomputed"] == ["weights", "words", "names"]


def test_a_file_has_reasons_as_a_table_has(tmp_path: Path) -> None:
    small_run(tmp_path)
    small_run(tmp_path, factor=3)
    assert begun_by(tmp_path, "weights.bin") == [("weights", ["setting factor: 2 -> 3"])]


def test_older_manifests_leave_it_to_the_tables(tmp_path: Path) -> None:
    small_run(tmp_path)
    small_run(tmp_path, factor=3)
    for path in tmp_path.rglob("manifest.json"):
        old: dict[str, Any] = json.loads(path.read_text())
        path.write_text(json.dumps({k: old[k] for k in ("outcome", "parts", "unix_seconds")}))
    assert begun_by(tmp_path, "warm_start_sections") == [("weights", ["setting factor: 2 -> 3"])]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("books", r"No run in .* has made a table books yet\. Make one first"),
        ("metrik", r"'metrik'.*metrics"),
        ("nonsense", r"'nonsense'.*metrics, refusals"),
    ],
)
def test_what_no_run_has_made(tmp_path: Path, table: str, message: str) -> None:
    small_run(tmp_path)
    with pytest.raises(UserMistake, match=message):
        why(str(tmp_path), table)


def test_a_removed_result_is_told(tmp_path: Path) -> None:
    first = small_run(tmp_path)
    for path in table_path(first, "metrics").parent.iterdir():
        path.unlink()
    with pytest.raises(UserMistake, match=r"metrics has left nothing in .*Run again"):
        why(str(tmp_path), "metrics")
