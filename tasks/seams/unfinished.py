"""Unfinished runs: noted in the store until they end well.

By its note a run that was killed, or failed, is gone on with; what it has made is kept; and a run
whose process has died is not said to be running for ever, in MLflow or in Prefect.

    unfinished/<digest of the run's identity>.json
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from data.store import Damaged, Store
from tasks.seams import flow_run
from tasks.seams.processes import Process
from tasks.seams.report import say
from tasks.seams.tracking import TrackedRun, Tracker, open_tracker

UNFINISHED = "unfinished"
_open_here: set[str] = set()  # the notes of what this process is at work on


class ClosedRun(NamedTuple):
    """A run that was said to be running, and whose process had died."""

    name: str
    mlflow_run_id: str | None
    flow_run_id: str | None
    was_running_in_prefect: bool
    """Whether it is this call that has set its flow run to Crashed."""


class Unfinished:
    """The note of one run.

    Args:
        store: where the note stands.
        identity: by which the run is known when it is started again.
        title: what people call it.
        goes_on: whether it is gone on with after a failure.
    """

    def __init__(self, store: Store, identity: str, title: str, *, goes_on: bool = True) -> None:
        self._store, self._name = store, f"{UNFINISHED}/{identity}.json"
        self._title, self._goes_on = title, goes_on
        self._folders: set[str] = set()

    def reopened(self, tracker: Tracker) -> TrackedRun | None:
        """The run to go on with, unless there is none or a living process is at work on it."""
        if not self._store.exists(self._name):
            return None
        try:
            note = self._store.read_json(self._name)
        except Damaged as damage:
            say(f"{damage.message} Its run is not gone on with.", logging.WARNING)
            return None
        if note["mlflow_run_id"] is None or is_at_work(note):
            return None
        self._folders = set(note.get("folders", []))
        # First the note: whoever closes dead runs then sees that this one lives.
        self.remember(note["mlflow_run_id"])
        reopened = tracker.reopen(note["mlflow_run_id"])
        if reopened is None:
            self._folders = set()
            return None
        say(f"going on with the unfinished MLflow run {reopened.run_id}")
        return reopened

    def remember(self, mlflow_run_id: str | None, folders: Sequence[str] = ()) -> None:
        """Note whose run it is, and the folders of the results that it needs."""
        here, process = flow_run.flow_run_here(), Process.here()
        self._folders |= set(folders)
        note = {
            "name": self._title,
            "mlflow_run_id": mlflow_run_id,
            "flow_run_id": here.flow_run_id if here else None,
            "host": process.host,
            "process": process.number,
            "process_began": process.began,
            "machine": process.machine,
            "unix_seconds": time.time(),
            "goes_on": self._goes_on,
            "folders": sorted(self._folders),
        }
        self._store.write_json(self._name, note)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While this process is at work on the run."""
        _open_here.add(self._key)
        try:
            yield
        finally:
            _open_here.discard(self._key)

    def forget(self) -> None:
        """The run has ended well."""
        self._store.delete(self._name)

    @property
    def _key(self) -> str:
        return self._store.path(self._name)


def read_note(store: Store, name: str) -> dict[str, Any]:
    """The note of an unfinished run.

    Raises:
        Damaged: it is not what was written.
        FileNotFoundError: it is not there, or no more.
    """
    note = store.read_json(name)
    if not {"mlflow_run_id", "host", "process"} <= set(note):
        raise store.damaged(name, "it is not what was written")
    return note


def is_at_work(note: Mapping[str, Any]) -> bool:
    """Whether another living process of this machine works on an unfinished run."""
    process = _process_of(note)
    return process.is_here and process.is_alive and not process.is_self


def close_dead_runs(
    store: str, tracking_uri: str | None, *, alone: bool = False
) -> list[ClosedRun]:
    """Say the truth of unfinished runs whose process has died: KILLED in MLflow, with their
    children, and Crashed in Prefect, with their tasks. They can be gone on with as before.

    Whether a process of another machine or container lives, Prefect is asked. Where a server does
    not answer, its part is left for the next time; so is what MLflow lets only others end.

    Args:
        store: root of the store that holds their notes.
        tracking_uri: MLflow's store.
        alone: whether the caller is the only one who works on the store, as `alone_in` says: then
            none of the runs that make its tables lives, wherever it ran.

    Returns:
        Those that were said to be running.

    Raises:
        MlflowException: MLflow does not answer, or refuses who asks.
    """
    root, tracker = Store(store), open_tracker(tracking_uri)
    closed = []
    for name in root.names(UNFINISHED):
        note = _note(root, name)
        if note is None:
            continue
        is_surely_dead = alone and note.get("goes_on", True) and not _is_own(root, name, note)
        if not is_surely_dead and _may_live(root, name, note):
            continue
        try:
            was_running = tracker.close(note["mlflow_run_id"], "KILLED")
        except PermissionError as refusal:
            say(str(refusal), logging.WARNING)
            continue
        if was_running and _note(root, name) not in (None, note):
            tracker.reopen(note["mlflow_run_id"])  # gone on with meanwhile
            continue
        flow_run_id = note.get("flow_run_id")
        was_running_in_prefect = flow_run_id is not None and flow_run.crash(flow_run_id)
        if was_running or was_running_in_prefect:
            told = (note.get("name", ""), note["mlflow_run_id"], flow_run_id)
            closed.append(ClosedRun(*told, was_running_in_prefect))
        if not note.get("goes_on", True):
            root.delete(name)
    return closed


def _note(store: Store, name: str) -> dict[str, Any] | None:
    """A note, unless it is gone or damaged, which `bookloom verify` tells."""
    if not name.endswith(".json"):
        return None
    try:
        return store.read_json(name)
    except (Damaged, FileNotFoundError):
        return None


def _may_live(store: Store, name: str, note: Mapping[str, Any]) -> bool:
    process = _process_of(note)
    if process.is_here:
        return _is_own(store, name, note) or is_at_work(note)
    flow_run_id = note.get("flow_run_id")
    return not (process.is_gone or (flow_run_id and flow_run.has_ended(flow_run_id)))


def _is_own(store: Store, name: str, note: Mapping[str, Any]) -> bool:
    """Whether this process is at work on a noted run."""
    return store.path(name) in _open_here and _process_of(note).is_self


def _process_of(note: Mapping[str, Any]) -> Process:
    """The process that wrote a note."""
    began, machine = note.get("process_began") or "", note.get("machine") or ""
    return Process(note["host"], note["process"], began, machine)
