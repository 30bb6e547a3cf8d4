"""Records of runs: the newest is found first, and a damaged one is told for what it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.store import Store
from tasks.seams.manifests import sealed
from tasks.seams.newest_run import (
    RUNS,
    DamagedRecord,
    newest_run,
    paths_of,
    read_record,
    record_names,
)
from tasks.seams.run_context import RunContext
from tasks.seams.run_records import add_to_record, folders_of_run
from tests.tasks.small_runs import small_run


def write(store: Store, name: str, **about: Any) -> None:
    record = {"mlflow_run_id": None, "unix_seconds": 9.0, "tables": {}, "files": {}, **about}
    store.write_json(f"{RUNS}/{name}.json", sealed(record))


def flip_digit(path: Path) -> None:
    text = path.read_text()
    assert '"digest": "m1"' in text
    path.write_text(text.replace('"digest": "m1"', '"digest": "m0"'))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def without_tables(path: Path) -> None:
    record = json.loads(path.read_text())
    del record["tables"], record["seal"]
    path.write_text(json.dumps(sealed(record)))


SPOILT = [flip_digit, cut, without_tables]


def test_the_newest_is_who_started_last(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for name in ("999.500-b", "1000.250-a", "before", "1000.000-c"):
        write(store, name, mlflow_run_id=name[-1], unix_seconds=1.0)
    assert record_names(store) == [
        f"runs/{name}.json" for name in ("1000.250-a", "1000.000-c", "999.500-b", "before")
    ]
    newest = newest_run(store)
    assert newest and newest["mlflow_run_id"] == "a"


def test_no_more_records_are_read_than_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    for number in range(9):
        write(store, f"{1000 + number}.000-{number}", model={"digest": f"m{number // 3}"})
    read: list[str] = []
    true_read = Store.read_json

    def counted(self: Store, name: str) -> dict[str, Any]:
        read.append(name)
        return true_read(self, name)

    monkeypatch.setattr(Store, "read_json", counted)
    assert newest_run(store)
    assert read == ["runs/1008.000-8.json"]
    read.clear()
    assert newest_run(store, model_digest="m1")
    assert read[-1] == "runs/1005.000-5.json"
    assert newest_run(store, made="nothing") is None


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_damaged_record_is_passed_over_with_a_warning(
    tmp_path: Path, spoil: Any, caplog: pytest.LogCaptureFixture
) -> None:
    small_run(tmp_path, factor=2, model="m1")
    small_run(tmp_path, factor=3, model="m1")
    store = Store(str(tmp_path))
    newest, older = record_names(store)
    spoil(tmp_path / newest)
    assert newest_run(store, model_digest="m1") == read_record(store, older)
    assert newest_run(store, model_digest="m0") is None
    assert f"{store.path(newest)} is damaged" in caplog.text


@pytest.mark.parametrize("spoil", SPOILT)
def test_its_remedy_is_its_own(tmp_path: Path, spoil: Any) -> None:
    small_run(tmp_path, model="m1")
    [path] = (tmp_path / RUNS).iterdir()
    spoil(path)
    with pytest.raises(DamagedRecord, match="is damaged") as caught:
        read_record(Store(str(tmp_path)), f"{RUNS}/{path.name}")
    assert "run again with the same settings" in caught.value.remedy
    assert "Delete it" not in str(caught.value)


@pytest.mark.parametrize("spoil", SPOILT)
def test_damage_is_not_sealed_anew(tmp_path: Path, spoil: Any) -> None:
    small_run(tmp_path, model="m1")
    [path] = (tmp_path / RUNS).iterdir()
    spoil(path)
    damaged = path.read_bytes()
    context = RunContext(
        store=str(tmp_path),
        seed=1,
        num_threads=1,
        tracking_uri=None,
        mlflow_run_id=None,
        provenance={},
    )
    started = float(path.name.partition("-")[0])
    with pytest.raises(DamagedRecord):
        add_to_record(context, started, {"promotion": None})
    assert path.read_bytes() == damaged


def test_what_was_held_against_the_champion_is_of_the_run() -> None:
    record: dict[str, Any] = {
        "tables": {"books": {"path": "/s/steps/read/1/books.parquet"}},
        "files": {"map.png": "/s/steps/chart/2/map.png"},
    }
    assert [*paths_of({**record, "promotion": None})] == ["books", "map.png"]
    scores = "/s/steps/compare/3/section_scores.parquet"
    record = {**record, "promotion": {"scores": {"path": scores}}}
    assert paths_of(record)["section_scores"] == scores
    assert folders_of_run(record) == {"steps/read/1", "steps/chart/2", "steps/compare/3"}
