"""A run held against its repetition: what differs, where first, and why."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data.errors import UserMistake
from data.store import Store
from tasks.reproduce import (
    SHOWN_BOOKS,
    books_are_those_of_then,
    compared,
    first_difference,
    lay_out,
    run_to_repeat,
)
from tasks.seams import run_records
from tasks.seams.manifests import sealed
from tests.tasks.small_runs import SHIFT, flip, small_run, table_path


def record_of(folder: Path) -> dict[str, Any]:
    return run_to_repeat(str(folder), None)


def test_equal_runs_are_equal(tmp_path: Path) -> None:
    small_run(tmp_path / "then")
    small_run(tmp_path / "now")
    report = compared(str(tmp_path / "then"), record_of(tmp_path / "then"), str(tmp_path / "now"))
    assert report == {
        "equal": True,
        "num_tables": 3,
        "num_files": 1,
        "differing": [],
        "first_difference": None,
        "causes": [],
        "changes": [],
    }


def test_the_first_row_that_differs_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_run(tmp_path / "then")
    monkeypatch.setitem(SHIFT, "by", 1.0)
    small_run(tmp_path / "now")
    report = compared(str(tmp_path / "then"), record_of(tmp_path / "then"), str(tmp_path / "now"))
    assert not report["equal"]
    assert report["differing"] == ["metrics", "refusals", "warm_start_sections"]
    assert report["first_difference"] == {
        "table": "metrics",
        "step": "weights",
        "row": 0,
        "column": "value",
        "then": "0.0",
        "now": "1.0",
    }
    [cause] = report["causes"]
    assert cause.startswith("none is known")


def test_the_cause_is_told_where_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_surroundings = run_records.surroundings
    then = {"processor": "another one", "git_commit": "a" * 40}
    monkeypatch.setattr(
        run_records, "surroundings", lambda threads: {**true_surroundings(threads), **then}
    )
    small_run(tmp_path / "then")
    monkeypatch.undo()
    small_run(tmp_path / "now", factor=3)
    record = record_of(tmp_path / "then")
    report = compared(str(tmp_path / "then"), record, str(tmp_path / "now"))
    [change] = report["changes"]  # the commit is that of the run's provenance
    assert change.startswith("processor: another one -> ")
    assert report["causes"] == [change, "setting factor: 2 -> 3"]
    assert report["first_difference"]["row"] == 1


def test_rows_of_then_may_be_gone_or_damaged(tmp_path: Path) -> None:
    first = small_run(tmp_path / "then")
    small_run(tmp_path / "now", factor=3)
    args = (str(tmp_path / "then"), record_of(tmp_path / "then"), str(tmp_path / "now"))
    flip(table_path(first, "metrics"))
    assert "is damaged" in compared(*args)["first_difference"]["note"]
    table_path(first, "metrics").unlink()
    assert "is gone" in compared(*args)["first_difference"]["note"]


@pytest.mark.parametrize(
    ("then", "now", "row"),
    [
        ([1, 2, 3], [1, 2, 3], None),
        ([1.0, float("nan")], [1.0, float("nan")], None),
        ([0.0], [-0.0], 0),
        ([1, 2], [1, 2, 3], 2),
        ([1, None], [1, 2], 1),
        ([["a", "b"], ["c"]], [["a", "b"], ["d"]], 1),
        ([0] * 20_000 + [1], [0] * 20_000 + [2], 20_000),
    ],
)
def test_first_difference_of_columns(then: list[Any], now: list[Any], row: int | None) -> None:
    columns = [pa.chunked_array([values]) for values in (then, now)]
    assert first_difference(*columns) == row
    halves = pa.chunked_array([then[: len(then) // 2], then[len(then) // 2 :]], columns[0].type)
    assert first_difference(halves, columns[1]) == row


def test_what_was_measured_is_laid_out(tmp_path: Path) -> None:
    small_run(tmp_path / "then")
    record = record_of(tmp_path / "then")
    settings = lay_out(str(tmp_path / "then"), record, tmp_path / "again")
    assert settings == {**record["settings"], "store": str(tmp_path / "again" / "store")}
    [number] = (tmp_path / "again").rglob("settled_*")
    assert json.loads(number.read_text()) == {"num_steps": 101}
    small_run(tmp_path / "again" / "store")
    assert json.loads(number.read_text()) == {"num_steps": 101}


def read_books(root: Path, digest: str, sources: dict[str, str]) -> dict[str, Any]:
    """A store in which just the books have been read, and what its run would record."""
    tables = {name: {"digest": f"{digest} {name}"} for name in ("books", "sections", "receipts")}
    parts = {f"source {name}": value for name, value in sources.items()}
    manifest = {"outcome": {"tables": tables}, "parts": parts, "unix_seconds": 0.0}
    Store(str(root)).write_json("steps/read/0/manifest.json", sealed(manifest))
    steps = {"read": {"folder": "steps/read/0"}}
    return {"mlflow_run_id": "3f9c", "tables": tables, "file_digests": {}, "steps": steps}


def test_books_are_held_against_those_of_then_before_anything_is_learned(tmp_path: Path) -> None:
    then, now = tmp_path / "then", tmp_path / "now"
    same = {f"tale {number}.txt": "a" for number in range(3)}
    record = read_books(then, "1", same)
    assert not books_are_those_of_then(str(then), record, str(now)), "they are not read yet"
    read_books(now, "1", {**same, "tale 3.txt": "copy of another"})
    assert books_are_those_of_then(str(then), record, str(now))
    read_books(now, "2", {**same, "tale 1.txt": "b", "tale 3.txt": "c"})
    with pytest.raises(UserMistake) as caught:
        books_are_those_of_then(str(then), record, str(now))
    assert caught.value.message == (
        "The books are not those that run 3f9c has read: tale 1.txt changed; tale 3.txt is new."
    )
    assert "--anyway" in caught.value.remedy


def test_of_many_books_that_differ_some_are_named(tmp_path: Path) -> None:
    then, now = tmp_path / "then", tmp_path / "now"
    record = read_books(then, "1", {f"tale {n:02}": "a" for n in range(SHOWN_BOOKS + 3)})
    read_books(now, "2", {})
    with pytest.raises(UserMistake, match=r"tale 00 is gone; .*tale 07 is gone; and 3 more\."):
        books_are_those_of_then(str(then), record, str(now))
    (then / "steps" / "read" / "0" / "manifest.json").unlink()  # pruned
    with pytest.raises(UserMistake, match="the digests of books and sections differ"):
        books_are_those_of_then(str(then), record, str(now))


def test_which_run(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="There is no run in"):
        run_to_repeat(str(tmp_path), None)
    small_run(tmp_path, factor=2)
    small_run(tmp_path, factor=3)
    paths = sorted((tmp_path / "runs").iterdir())
    for path, run_id in zip(paths, ("abc1", "abd2"), strict=True):
        value = {**json.loads(path.read_text()), "mlflow_run_id": run_id}
        path.write_text(json.dumps(sealed(value)))
    assert run_to_repeat(str(tmp_path), None)["mlflow_run_id"] == "abd2"
    assert run_to_repeat(str(tmp_path), "abc")["mlflow_run_id"] == "abc1"
    assert run_to_repeat(str(tmp_path), "abd2")["settings"]["factor"] == 3
    with pytest.raises(UserMistake, match=r"2 runs of .* begin with 'ab'.*abd2, abc1"):
        run_to_repeat(str(tmp_path), "ab")
    with pytest.raises(UserMistake, match=r"No run of .* begins with 'x'.*abd2, abc1"):
        run_to_repeat(str(tmp_path), "x")
    value = json.loads(paths[0].read_text())
    del value["settings"]
    paths[0].write_text(json.dumps(sealed(value)))
    with pytest.raises(UserMistake, match="does not hold its settings"):
        run_to_repeat(str(tmp_path), "abc")


def test_a_damaged_record_is_not_repeated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small_run(tmp_path, factor=2)
    small_run(tmp_path, factor=3)
    path = max((tmp_path / "runs").iterdir())
    path.write_text(path.read_text().replace('"factor": 3', '"factor": 7'))
    assert run_to_repeat(str(tmp_path), None)["settings"]["factor"] == 2
    assert f"{path} is damaged" in caplog.text
