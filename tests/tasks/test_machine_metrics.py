"""The machine is watched while a run works, and no longer; a run is none the worse for it."""

import logging
import threading
import time
from collections.abc import Callable

import mlflow
import pytest

from tasks.seams import machine_metrics as watching
from tasks.seams.machine_metrics import SWITCH, machine_metrics
from tasks.seams.tracking import NO_TRACKING, open_tracker

LONG_SECONDS = 60.0


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def watchers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "SystemMetricsMonitor"]


def test_processor_and_memory_are_logged_and_gone_on_with(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(uri)
    run_id = open_tracker(uri).start_run("watched").run_id
    assert run_id

    def steps(name: str) -> list[int]:
        return [one.step for one in client.get_metric_history(run_id, f"system/{name}")]

    for least in (2, 4):
        with machine_metrics(uri, run_id):
            until(lambda: len(steps("cpu_utilization_percentage")) >= least)  # noqa: B023
        assert watchers() == []
    seen = steps("system_memory_usage_megabytes")
    assert seen == list(range(len(seen))), "a run that is gone on with goes on with its figures"


def test_nothing_is_watched_without_tracking_or_where_it_is_switched_off(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for uri, run_id in ((None, "r"), (NO_TRACKING, "r"), (f"sqlite:///{tmp_path}/m.db", None)):
        with machine_metrics(uri, run_id):
            assert watchers() == []
    monkeypatch.setenv(SWITCH, "false")
    with machine_metrics(f"sqlite:///{tmp_path}/m.db", "r"):
        assert watchers() == []


def test_a_machine_that_cannot_be_watched_breaks_no_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="bookloom")
    with machine_metrics("no-such-store://x", "r"):
        pass
    assert caplog.messages and "the machine is not watched" in caplog.messages[0]

    class Monitor:
        def finish(self) -> None:
            threading.Event().wait(LONG_SECONDS)  # its server is away

    monkeypatch.setattr(watching, "_started", lambda *_: Monitor())
    monkeypatch.setattr(watching, "SECONDS_TO_STOP", 0.05)
    began = time.monotonic()
    with machine_metrics("sqlite:///x", "r"):
        pass
    assert time.monotonic() - began < LONG_SECONDS / 2
