"""Flow runs whose process is gone, though Prefect believes that they go on: it is told."""

import logging
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from flows.prefect_api import PrefectApi
from flows.run_process import process_of

OPEN_STATES = ("PENDING", "RUNNING", "CANCELLING")
STARTING_SECONDS = 120.0
CANCELLING_SECONDS = 30.0
"""Then a run's worker, if it has one, would have ended it."""
CRASHED = (
    "Its process {process} is gone: killed, out of memory, or the machine went down. "
    "Nothing that was finished is lost: run it again with the same settings, and it goes on."
)
CANCELLED = "It was to be cancelled, and its process {process} is gone."
NEVER_BEGUN = "Its worker died before it had begun: it is scheduled again."
logger = logging.getLogger("bookloom")


class SettledRun(NamedTuple):
    """A flow run that has been given the state that it is in."""

    flow_run_id: str
    name: str
    state_type: str
    message: str
    store: str | None
    """Where its tables are, if its settings say so."""


def settle_dead_runs(api: PrefectApi, worker: str) -> list[SettledRun]:
    """Give open runs of this machine whose process is gone the state that they are in.

    Those that ran are Crashed, with their tasks; those that were to be cancelled are Cancelled;
    those that a worker had taken but not begun are Scheduled again. A process that lives on though
    its run was to be cancelled, for it has no worker, or has outlived it, is asked to end.

    Args:
        api: the Prefect server.
        worker: the name of this machine's worker.

    Returns:
        Those that were given a state.

    Raises:
        httpx.HTTPError: Prefect's server does not answer.
    """
    settled = []
    wanted = {"flow_runs": {"state": {"type": {"any_": list(OPEN_STATES)}}}}
    for run in list(api.every("flow_runs", wanted)):
        _end_if_cancelled(run)
        state = _true_state(run, worker)
        if state is None or api.get(f"/flow_runs/{run['id']}")["state"] != run["state"]:
            continue
        if state["type"] == "CRASHED":
            for task_run in _open_task_runs(api, run["id"]):
                api.post(f"/task_runs/{task_run['id']}/set_state", {"state": state})
        api.post(f"/flow_runs/{run['id']}/set_state", {"state": state})
        about = (run["id"], run["name"], state["type"], state["message"])
        settled.append(SettledRun(*about, _store_of(run)))
        logger.warning("flow run %s (%s) is %s: %s", run["name"], run["id"], *about[2:])
    return settled


def _store_of(run: Mapping[str, Any]) -> str | None:
    settings = run["parameters"].get("settings")
    return settings.get("store") if isinstance(settings, Mapping) else None


def _end_if_cancelled(run: Mapping[str, Any]) -> None:
    if run["state_type"] != "CANCELLING" or _seconds_in_state(run) < CANCELLING_SECONDS:
        return
    process = process_of(run["infrastructure_pid"])
    if process is not None and process.is_here and process.is_alive:
        logger.warning("flow run %s (%s) was to be cancelled: it is ended", run["name"], run["id"])
        try:
            os.kill(process.number, signal.SIGTERM)
        except OSError as error:  # it has just ended, or is another user's
            logger.warning("process %d: %s", process.number, error.strerror)


def _true_state(run: dict[str, Any], worker: str) -> dict[str, str] | None:
    """The state to give a run, where that is not the one it has."""
    process = process_of(run["infrastructure_pid"])
    if process is None:
        return _state_of_taken(run, worker)
    return _gone(run, f"{process.number} on {process.host}") if process.is_gone else None


def _state_of_taken(run: dict[str, Any], worker: str) -> dict[str, str] | None:
    """Of a run that has noted no process itself: its worker may have noted a number."""
    is_new = _seconds_in_state(run) < STARTING_SECONDS
    number = run["infrastructure_pid"] or ""
    if run["labels"].get("prefect.worker.name") != worker or is_new or _is_prefects(number):
        return None
    if run["state_type"] == "PENDING":
        return _state("SCHEDULED", "Scheduled", NEVER_BEGUN)
    return _gone(run, number) if number else None


def _seconds_in_state(run: Mapping[str, Any]) -> float:
    since = datetime.fromisoformat(run["state"]["timestamp"])
    return (datetime.now(UTC) - since).total_seconds()


def _gone(run: dict[str, Any], process: str) -> dict[str, str]:
    if run["state_type"] == "CANCELLING":
        return _state("CANCELLED", "Cancelled", CANCELLED.format(process=process))
    return _state("CRASHED", "Crashed", CRASHED.format(process=process))


def _is_prefects(process: str) -> bool:
    """Whether a process of this number works for Prefect."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as line:
            return b"prefect" in line.read()
    except OSError:
        return False


def _open_task_runs(api: PrefectApi, flow_run_id: str) -> Iterator[dict[str, Any]]:
    wanted = {
        "flow_runs": {"id": {"any_": [flow_run_id]}},
        "task_runs": {"state": {"type": {"any_": list(OPEN_STATES)}}},
    }
    return api.every("task_runs", wanted)


def _state(kind: str, name: str, message: str) -> dict[str, str]:
    return {"type": kind, "name": name, "message": message}


def worker_name() -> str:
    """What this machine's worker is called."""
    return f"bookloom on {socket.gethostname()}"
