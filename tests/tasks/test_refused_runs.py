"""What MLflow does not let be closed is told, kept in mind, and no reason to close nothing else."""

import json
import logging
from pathlib import Path
from typing import Any, NoReturn

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2

from data.store import Store
from tasks.seams import run_context
from tasks.seams.run_context import open_lone_run, open_run
from tasks.seams.tracking import TrackedRun, open_tracker
from tasks.seams.unfinished import UNFINISHED, Unfinished, close_dead_runs
from tests.tasks.test_unfinished import dead_process, status

LOGGER = "bookloom"


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def dead_note(store: Path, name: str, mlflow_run_id: str | None) -> Path:
    """The note of a `generate` run whose process has died: it is forgotten once it is closed."""
    Unfinished(Store(str(store)), name, name, goes_on=False).remember(mlflow_run_id)
    path = store / UNFINISHED / f"{name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "process": dead_process()}))
    return path


def refusing(monkeypatch: pytest.MonkeyPatch, code: str, run_id: str | None = None) -> None:
    """MLflow refuses to show a run, by default any."""
    shown = mlflow.MlflowClient.get_run

    def get_run(self: mlflow.MlflowClient, asked: str) -> Any:
        if run_id in (None, asked):
            raise MlflowException("No.", error_code=databricks_pb2.ErrorCode.Value(code))
        return shown(self, asked)

    monkeypatch.setattr(mlflow.MlflowClient, "get_run", get_run)


def started(uri: str) -> TrackedRun:
    return open_tracker(uri).start_run("begun")


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"])
def test_a_run_is_closed_later_if_mlflow_does_not_answer_now(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    run = started(uri)
    path = dead_note(tmp_path, "dead", run.run_id)
    with monkeypatch.context() as patched:
        refusing(patched, code)
        with pytest.raises(MlflowException):
            close_dead_runs(str(tmp_path), uri)
    assert path.exists() and status(uri, run) == "RUNNING"
    assert [one.mlflow_run_id for one in close_dead_runs(str(tmp_path), uri)] == [run.run_id]
    assert not path.exists() and status(uri, run) == "KILLED"


def test_a_run_that_others_own_is_left_to_them(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others, own = started(uri), started(uri)
    paths = [dead_note(tmp_path, "a", others.run_id), dead_note(tmp_path, "b", own.run_id)]
    with monkeypatch.context() as patched:
        refusing(patched, "PERMISSION_DENIED", others.run_id)
        assert [one.mlflow_run_id for one in close_dead_runs(str(tmp_path), uri)] == [own.run_id]
    assert [path.exists() for path in paths] == [True, False]
    assert (status(uri, others), status(uri, own)) == ("RUNNING", "KILLED")


def test_what_mlflow_knows_no_longer_or_never_did_is_forgotten(uri: str, tmp_path: Path) -> None:
    deleted = started(uri)
    mlflow.MlflowClient(uri).delete_run(str(deleted.run_id))
    for name, run_id in (("deleted", deleted.run_id), ("unknown", "0" * 32), ("untracked", None)):
        path = dead_note(tmp_path, name, run_id)
        assert close_dead_runs(str(tmp_path), uri) == []
        assert not path.exists()


def test_a_run_begins_though_those_that_died_cannot_be_closed(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: Any, **__: Any) -> NoReturn:
        raise MlflowException("API request to http://weaver:hush@mlflow:5000/api failed")

    monkeypatch.setattr(run_context, "close_dead_runs", refused)
    opened: dict[str, Any] = {"store": str(tmp_path), "tracking_uri": uri, "settings": {}}
    with caplog.at_level(logging.WARNING, LOGGER):
        with open_run("begins", **opened, seed=1, num_threads=1) as run:
            assert run.mlflow_run_id
        with open_lone_run("generate", **opened) as lone:
            assert lone.run_id
    warned = [one for one in caplog.messages if "runs that have died" in one]
    assert len(warned) == 2
    assert "hush" not in caplog.text
