"""Runs whose process has died are not said to be running, and can be gone on with."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest

from data.store import Store
from tasks.seams.processes import boot
from tasks.seams.run_context import open_lone_run, open_run
from tasks.seams.tracking import NO_TRACKING, TrackedRun, Tracker, open_tracker
from tasks.seams.unfinished import UNFINISHED, Unfinished, close_dead_runs, is_at_work


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def begun(uri: str) -> tuple[TrackedRun, TrackedRun]:
    """A run that has begun, and its child."""
    run = open_tracker(uri).start_run("begun")
    return run, open_tracker(uri).child(run.run_id, "training")


def status(uri: str, run: TrackedRun) -> str:
    return str(mlflow.MlflowClient(uri).get_run(run.run_id).info.status)


def note(store: Path, run: TrackedRun, **changes: Any) -> Path:
    """The note of a run of this process, changed."""
    Unfinished(Store(str(store)), "0", "begun").remember(run.run_id)
    path = store / UNFINISHED / "0.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def dead_process() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


@contextmanager
def living_process() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def test_a_dead_run_is_killed_with_its_children_and_can_be_gone_on_with(
    uri: str, begun: tuple[TrackedRun, TrackedRun], tmp_path: Path
) -> None:
    run, child = begun
    note(tmp_path, run, process=dead_process())
    [closed] = close_dead_runs(str(tmp_path), uri)
    assert closed == ("begun", run.run_id, None, False)
    assert (status(uri, run), status(uri, child)) == ("KILLED", "KILLED")
    assert close_dead_runs(str(tmp_path), uri) == []
    tracker = open_tracker(uri)
    again = Unfinished(Store(str(tmp_path)), "0", "begun").reopened(tracker)
    assert again and again.run_id == run.run_id
    assert tracker.child(run.run_id, "training").run_id == child.run_id
    assert (status(uri, run), status(uri, child)) == ("RUNNING", "RUNNING")


def test_a_number_that_is_another_process_s_by_now_is_known(
    uri: str, begun: tuple[TrackedRun, TrackedRun], tmp_path: Path
) -> None:
    run, _ = begun
    with living_process() as process:
        path = note(tmp_path, run, process=process)
        assert not is_at_work(json.loads(path.read_text()))  # it began when this process did
        assert [one.mlflow_run_id for one in close_dead_runs(str(tmp_path), uri)] == [run.run_id]


def test_what_may_live_is_let_be(
    uri: str, begun: tuple[TrackedRun, TrackedRun], tmp_path: Path
) -> None:
    run, child = begun
    with living_process() as process:
        path = note(tmp_path, run, process=process)
        old = json.loads(path.read_text())
        for name in ("process_began", "machine", "unix_seconds"):  # as older notes lack them
            del old[name]
        path.write_text(json.dumps(old))
        assert is_at_work(old)
        assert close_dead_runs(str(tmp_path), uri) == []
        note(tmp_path, run, host="elsewhere", process=process)
        assert close_dead_runs(str(tmp_path), uri) == []
    assert (status(uri, run), status(uri, child)) == ("RUNNING", "RUNNING")
    # Whoever has the store for itself knows that nobody else is at work.
    assert [one.name for one in close_dead_runs(str(tmp_path), uri, alone=True)] == ["begun"]


def test_a_container_of_the_same_host_name_is_another_machine(
    uri: str, begun: tuple[TrackedRun, TrackedRun], tmp_path: Path
) -> None:
    run, _ = begun
    container = f"{boot()} pid:[1]"
    note(tmp_path, run, machine=container, process=dead_process())
    assert close_dead_runs(str(tmp_path), uri) == []
    assert status(uri, run) == "RUNNING"
    own = Unfinished(Store(str(tmp_path)), "0", "begun")
    with own.at_work():  # in which it has this process's number
        note(tmp_path, run, machine=container)
        assert close_dead_runs(str(tmp_path), uri) == []
        [closed] = close_dead_runs(str(tmp_path), uri, alone=True)
    assert closed.mlflow_run_id == run.run_id


def test_a_note_tells_when_it_was_written(tmp_path: Path) -> None:
    before = time.time()
    Unfinished(Store(str(tmp_path)), "0", "begun").remember(None)
    written = json.loads((tmp_path / UNFINISHED / "0.json").read_text())["unix_seconds"]
    assert before <= written <= time.time()


def test_a_run_of_this_process_is_dead_once_it_is_left(uri: str, tmp_path: Path) -> None:
    opened: dict[str, Any] = {"tracking_uri": uri, "settings": {"at": tmp_path.name}}
    inside = {**opened, "store": str(tmp_path), "seed": 1, "num_threads": 1}
    with open_run("opened", **inside) as run:
        assert close_dead_runs(str(tmp_path), uri, alone=True) == []
        open_tracker(uri).child(run.mlflow_run_id, "training")
    client = mlflow.MlflowClient(uri)
    assert run.mlflow_run_id
    assert client.get_run(run.mlflow_run_id).info.status == "FINISHED"
    with pytest.raises(ZeroDivisionError), open_run("fails", **inside) as run:
        child = open_tracker(uri).child(run.mlflow_run_id, "training")
        raise ZeroDivisionError
    assert run.mlflow_run_id and client.get_run(run.mlflow_run_id).info.status == "FAILED"
    assert status(uri, child) == "FAILED"
    assert close_dead_runs(str(tmp_path), uri) == []


def test_a_lone_run_is_closed_and_forgotten(uri: str, tmp_path: Path) -> None:
    notes = tmp_path / UNFINISHED
    with open_lone_run("generate", store=str(tmp_path), tracking_uri=uri, settings={}) as run:
        [path] = notes.iterdir()
        written = json.loads(path.read_text())
        assert close_dead_runs(str(tmp_path), uri, alone=True) == []
    assert (status(uri, run), list(notes.iterdir())) == ("FINISHED", [])
    tracker = open_tracker(uri)
    assert tracker.reopen(run.run_id)
    path.write_text(json.dumps({**written, "process": dead_process()}))
    assert [one.mlflow_run_id for one in close_dead_runs(str(tmp_path), uri)] == [run.run_id]
    assert (status(uri, run), list(notes.iterdir())) == ("KILLED", [])


def test_one_who_goes_on_meanwhile_is_not_closed(
    uri: str,
    begun: tuple[TrackedRun, TrackedRun],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, _ = begun
    note(tmp_path, run, process=dead_process())
    tracker = open_tracker(uri)

    def close(self: Tracker, run_id: str | None, status: str) -> bool:
        note(tmp_path, run, process=os.getpid())  # taken over just before
        tracker.run(run_id).end(status)
        return True

    monkeypatch.setattr(type(tracker), "close", close)
    assert close_dead_runs(str(tmp_path), uri) == []
    assert status(uri, run) == "RUNNING"


def test_a_damaged_note_and_a_store_without_notes(uri: str, tmp_path: Path) -> None:
    assert close_dead_runs(str(tmp_path), uri) == []
    (tmp_path / UNFINISHED).mkdir()
    (tmp_path / UNFINISHED / "0.json").write_text("{")
    (tmp_path / UNFINISHED / "0.json.tmp").write_text("{")
    assert close_dead_runs(str(tmp_path), uri) == []
    assert close_dead_runs(str(tmp_path), NO_TRACKING) == []
