"""What all steps of a run share, and the MLflow run that is open while they work."""

import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from data.store import Store
from tasks.seams.report import say
from tasks.seams.shards import Workers, at_hand
from tasks.seams.tracking import TrackedRun, Tracker, ended_with, open_tracker

PROJECT_ROOT = Path(__file__).parents[2]
LOCK_FILE = "requirements.lock"


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
    unfinished = _Unfinished(Store(store), f"unfinished/{digest[:32]}.json")
    tracked = unfinished.reopened(tracker) or tracker.start_run(name)
    unfinished.remember(tracked.run_id)
    provenance = _provenance()
    tracked.log_params(settings)
    tracked.set_tags(provenance)
    with ended_with(tracked), at_hand(workers):
        yield RunContext(
            store=store,
            seed=seed,
            num_threads=num_threads,
            workers=workers,
            downloads=downloads,
            tracking_uri=tracking_uri,
            mlflow_run_id=tracked.run_id,
            provenance=provenance,
        )
    unfinished.forget()


class _Unfinished:
    """The MLflow run of an unfinished run of the pipeline, remembered in the store."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name

    def reopened(self, tracker: Tracker) -> TrackedRun | None:
        """The run to go on with, unless there is none or a living process is at work on it."""
        if not self._store.exists(self._name):
            return None
        note = self._store.read_json(self._name)
        is_here = note["host"] == socket.gethostname()
        if note["mlflow_run_id"] is None or (is_here and _is_alive(note["process"])):
            return None
        reopened = tracker.reopen(note["mlflow_run_id"])
        if reopened:
            say(f"going on with the unfinished MLflow run {reopened.run_id}")
        return reopened

    def remember(self, mlflow_run_id: str | None) -> None:
        note = {
            "mlflow_run_id": mlflow_run_id,
            "host": socket.gethostname(),
            "process": os.getpid(),
        }
        self._store.write_json(self._name, note)

    def forget(self) -> None:
        self._store.delete(self._name)


def _is_alive(process: int) -> bool:
    """Whether another process of this number runs here."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def _provenance() -> dict[str, str]:
    lock = PROJECT_ROOT / LOCK_FILE
    git = ["git", "-C", str(PROJECT_ROOT), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {
        "git_commit": commit,
        "lock_digest": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else "none",
    }
