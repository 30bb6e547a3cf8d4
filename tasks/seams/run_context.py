"""What all steps of a run share, and the MLflow run that is open while they work."""

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.seams.tracking import open_tracker

PROJECT_ROOT = Path(__file__).parents[2]
LOCK_FILE = "requirements.lock"


class RunContext(BaseModel):
    """Small and JSON, so that it can travel between processes."""

    store: str
    """Root of the store, a path or a URL."""
    seed: int
    num_threads: int
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
) -> Iterator[RunContext]:
    """A run of the pipeline: its context, and an MLflow run that ends as the block ends."""
    tracked = open_tracker(tracking_uri).start_run(name)
    provenance = _provenance()
    tracked.log_params(settings)
    tracked.set_tags(provenance)
    try:
        yield RunContext(
            store=store,
            seed=seed,
            num_threads=num_threads,
            tracking_uri=tracking_uri,
            mlflow_run_id=tracked.run_id,
            provenance=provenance,
        )
    except BaseException as error:
        tracked.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    tracked.end()


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
