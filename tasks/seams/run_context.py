"""What all steps of a run share, and the MLflow run that is open while they work."""

import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from data.store import Damaged, Store
from tasks.seams.making_again import remembering
from tasks.seams.report import say
from tasks.seams.shards import Workers, at_hand
from tasks.seams.surroundings import provenance
from tasks.seams.tracking import TrackedRun, Tracker, ended_with, open_tracker

SETTINGS_FILE = "settings.json"
UNFINISHED = "unfinished"


class RunContext(BaseModel):
    """Small and JSON, so that it can travel between processes."""

    store: str
    """Root of the store, a path or a URL."""
    seed: int
    num_threads: int
    workers: Workers = Workers()
    """Who works on shards; no result depends on it."""
    downloads: str = "downloads"
    """Folder of what was downloaded, where the settings name none."""
    tracking_uri: str | None
    """MLflow's store; none tracks nothing."""
    mlflow_run_id: str | None
    provenance: dict[str, str]
    """The git commit and the lock's digest, for the tables' lineage."""
    settings: dict[str, Any] = {}
    """All of the run's settings, as its flow takes them: they go into the run's record."""


@contextmanager
def open_run(
    name: str,
    *,
    store: str,
    tracking_uri: str | None,
    seed: int,
    num_threads: int,
    settings: Mapping[str, Any],
    workers: Workers = Workers(),  # noqa: B008
    downloads: str = "downloads",
) -> Iterator[RunContext]:
    """A run of the pipeline: its context, and an MLflow run that ends as the block ends.

    A run that was killed, or failed, is gone on with by the next run of the same name, settings,
    seed and threads: in the same MLflow run, which the store remembers while it is unfinished.
    """
    tracker = open_tracker(tracking_uri)
    identity = [name, seed, num_threads, tracking_uri, settings]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    unfinished = _Unfinished(Store(store), f"{UNFINISHED}/{digest[:32]}.json")
    tracked = unfinished.reopened(tracker) or tracker.start_run(name)
    unfinished.remember(tracked.run_id)
    made_by = provenance()
    tracked.log_params(settings)
    tracked.log_file(SETTINGS_FILE, json.dumps(settings, indent=1, ensure_ascii=False).encode())
    tracked.set_tags(made_by)

    def note(folders: Sequence[str]) -> None:
        unfinished.remember(tracked.run_id, folders)

    with ended_with(tracked), at_hand(workers), remembering(note):
        yield RunContext(
            store=store,
            seed=seed,
            num_threads=num_threads,
            workers=workers,
            downloads=downloads,
            tracking_uri=tracking_uri,
            mlflow_run_id=tracked.run_id,
            provenance=made_by,
            settings=dict(settings),
        )
    unfinished.forget()


class _Unfinished:
    """The MLflow run of an unfinished run of the pipeline, remembered in the store."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
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
        reopened = tracker.reopen(note["mlflow_run_id"])
        if reopened:
            self._folders = set(note.get("folders", []))
            say(f"going on with the unfinished MLflow run {reopened.run_id}")
        return reopened

    def remember(self, mlflow_run_id: str | None, folders: Sequence[str] = ()) -> None:
        """Note whose run it is, and the folders of the results that it needs."""
        note = {
            "mlflow_run_id": mlflow_run_id,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "folders": sorted({*self._folders, *folders}),
        }
        self._store.write_json(self._name, note)

    def forget(self) -> None:
        self._store.delete(self._name)


def is_at_work(note: Mapping[str, Any]) -> bool:
    """Whether another living process of this machine works on an unfinished run."""
    return note["host"] == socket.gethostname() and _is_alive(note["process"])


def _is_alive(process: int) -> bool:
    """Whether another process of this number runs here."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()
