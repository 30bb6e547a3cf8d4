"""What all steps of a run share, and the MLflow run that is open while they work."""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from data.store import Store
from tasks.seams.flow_run import flow_run_here, title_here
from tasks.seams.machine_metrics import machine_metrics
from tasks.seams.making_again import remembering
from tasks.seams.report import say, show_link
from tasks.seams.shards import at_hand
from tasks.seams.store_lock import LONGEST_WAIT_MINUTES, alone_in
from tasks.seams.surroundings import provenance
from tasks.seams.tracking import (
    TrackedRun,
    Tracker,
    ended_with,
    is_trackers,
    open_tracker,
    without_password,
)
from tasks.seams.unfinished import Unfinished, close_dead_runs
from tasks.seams.workers import Workers

SETTINGS_FILE = "settings.json"


class RunContext(BaseModel):
    """Small and JSON, so that it can travel between processes."""

    store: str
    """Root of the store, a path or a URL."""
    seed: int
    num_threads: int
    workers: Workers = Workers(num_workers=1)
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
    workers: Workers = Workers(num_workers=1),  # noqa: B008
    downloads: str = "downloads",
    longest_wait_minutes: float = LONGEST_WAIT_MINUTES,
) -> Iterator[RunContext]:
    """A run of the pipeline: its context, and an MLflow run that ends as the block ends.

    While another run works on the store, it waits, and begins nothing. A run that was killed, or
    failed, is gone on with by the next run of the same name, settings, seed and threads: in the
    same MLflow run, which the store remembers while it is unfinished. In MLflow it is called what
    its flow run is called in Prefect, which may tell a date; each has a link to the other. Of other
    runs whose process has died, the truth is told first.
    """
    identity = [name, seed, num_threads, tracking_uri, settings]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    unfinished = Unfinished(Store(store), digest[:32], title_here(name))
    made_by = provenance()
    alone = alone_in(store, f"run {title_here(name)!r}", 60 * longest_wait_minutes)
    with alone, unfinished.at_work():
        tracker = open_tracker(tracking_uri)
        _tell_of_others(store, tracking_uri, alone=True)
        tracked = unfinished.reopened(tracker) or tracker.start_run(title_here(name))
        unfinished.remember(tracked.run_id)

        def note(folders: Sequence[str]) -> None:
            unfinished.remember(tracked.run_id, folders)

        with (
            ended_with(tracked),
            machine_metrics(tracking_uri, tracked.run_id),
            at_hand(workers),
            remembering(note),
        ):
            _tell(tracker, tracked, settings, made_by)
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


@contextmanager
def open_lone_run(
    name: str, *, store: str, tracking_uri: str | None, settings: Mapping[str, Any]
) -> Iterator[TrackedRun]:
    """An MLflow run of a flow that has no steps: after a failure it is begun anew. It ends as the
    block ends, and is closed where its process dies; the store remembers it until then.
    """
    _tell_of_others(store, tracking_uri)
    tracker = open_tracker(tracking_uri)
    tracked = tracker.start_run(title_here(name))
    note = Unfinished(Store(store), f"lone-{tracked.run_id}", title_here(name), goes_on=False)
    with note.at_work():
        note.remember(tracked.run_id)
        with ended_with(tracked):
            _tell(tracker, tracked, settings, provenance())
            yield tracked
    note.forget()


def _tell_of_others(store: str, tracking_uri: str | None, *, alone: bool = False) -> None:
    """Close runs whose process has died. What MLflow does not take is told, and left for the next
    time: it may be the fault of one of those runs. If it is MLflow's, this run hears of it next.
    """
    try:
        close_dead_runs(store, tracking_uri, alone=alone)
    except Exception as error:
        if not is_trackers(error):
            raise
        reason = without_password(str(error))
        say(f"runs that have died are not ended in MLflow yet: {reason}", logging.WARNING)


def _tell(
    tracker: Tracker, tracked: TrackedRun, settings: Mapping[str, Any], made_by: Mapping[str, str]
) -> None:
    """Put on record at once what a run is, and in either interface where the other shows it."""
    here, page = flow_run_here(), tracker.page(tracked.run_id)
    tags = {
        **made_by,
        "mlflow.source.name": "bookloom",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": made_by["git_commit"],
    }
    if here:
        tags |= {
            "prefect.flow_run_id": here.flow_run_id,
            "prefect.flow_run_url": here.address,
            "prefect.tags": ", ".join(here.tags),
        }
    tracked.set_tags(tags)
    tracked.log_params(settings)
    written = json.dumps(settings, indent=1, ensure_ascii=False)
    tracked.log_file(SETTINGS_FILE, written.encode())
    if page:
        show_link("mlflow", page.address, page.command, "This run in MLflow")
