"""What a run's steps made, and how it is put on record: in MLflow, and in the store."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from data.errors import UserMistake
from data.model_schemas import METRICS
from data.store import Store
from data.table import Table
from data.text_schemas import (
    BOOK_LINES_PICTURE_FILE,
    CLUSTER_CONFOUNDS,
    CLUSTER_PROBES,
    CLUSTER_SCORES,
    CONFUSION_PICTURE_FILE,
    MAP_MODEL_FILE,
    MAP_PAGE_FILE,
    MAP_PICTURE_FILE,
)
from tasks.seams.making_again import check, newest_outcome, whole
from tasks.seams.manifests import STEPS, folder_of, read_manifest, sealed, settled_in
from tasks.seams.newest_run import RUNS, paths_of, read_record
from tasks.seams.run_context import RunContext
from tasks.seams.step_cache import StepOutcome, TableReference
from tasks.seams.surroundings import surroundings
from tasks.seams.tracking import TrackedRun, Tracker

PARTS = {
    "training": ("warm_start", "train", "tune", "evaluate"),
    "training afresh": ("train_afresh",),
    "generation": ("pick", "recover"),
    "clustering": ("weigh", "average", "cluster", "judge", "chart"),
}
"""MLflow's child runs, and the steps that each stands for, as far as they ran."""
T = TypeVar("T")

CLUSTER_FIGURES = (
    "num_clusters",
    "cluster_accuracy",
    "cluster_nmi",
    "cluster_ari",
    "cluster_silhouette",
    "cluster_stability",
    "reconstruction_error",
)


class Made:
    """What a run's steps made, by table and by file; what proves damaged is made again."""

    def __init__(self, context: RunContext, outcomes: Sequence[StepOutcome]) -> None:
        self.store = Store(context.store)
        self.outcomes = {outcome.step: newest_outcome(outcome) for outcome in outcomes}
        self.tables: dict[str, TableReference] = {}
        self.files: dict[str, str] = {}
        for outcome in outcomes:
            self.tables |= outcome.tables
            self.files |= outcome.files

    def read(self, table: Table, columns: Sequence[str] | None = None) -> Any:
        """A table, or some of its columns."""
        return self._whole(lambda: self.store.read_table(self.tables[table.name].name, columns))

    def table_file(self, table: Table) -> bytes:
        """The Parquet file of a table that is one file."""
        return self._checked(self.tables[table.name].name)

    def file(self, file_name: str) -> bytes:
        """The content of a file."""
        return self._checked(self._file_name(file_name))

    def has_file(self, file_name: str) -> bool:
        """Whether a step made it."""
        return any(name.endswith(f"/{file_name}") for name in self.files)

    def file_digest(self, file_name: str) -> str:
        """The digest of what a file holds."""
        return self.files[self._file_name(file_name)]

    def metrics(self) -> dict[str, float | None]:
        """The run's figures by name."""
        rows = self.read(METRICS).to_pylist()
        return {
            row["metric"]: row["value"] if row["clocked"] is None else row["clocked"]
            for row in rows
        }

    def num_bytes(self, step: str) -> int:
        """The length of all that a step has written, by its manifest; 0 where that does not tell,
        as older ones do not.
        """
        folder = f"{STEPS}/{step}/{self.outcomes[step].key}"
        manifest = self._whole(lambda: read_manifest(self.store, folder)) or {}
        return sum(file["bytes"] for file in manifest.get("files", {}).values())

    def lineage(self, name: str) -> dict[str, Any]:
        """What a table says of where it came from, by its name in the store."""
        return self._whole(lambda: self.store.lineage(name))

    def _checked(self, name: str) -> bytes:
        def read() -> bytes:
            check(self.store, [name])
            return self.store.read_bytes(name)

        return self._whole(read)

    def _whole(self, read: Callable[[], T]) -> T:
        found = whole(self.store, read)
        self.outcomes = {step: newest_outcome(made) for step, made in self.outcomes.items()}
        return found

    def _file_name(self, file_name: str) -> str:
        found = [name for name in self.files if name.endswith(f"/{file_name}")]
        if not found:
            raise UserMistake(f"No step made {file_name}.", "Run the pipeline again.")
        return found[0]


def log_run(tracker: Tracker, context: RunContext, made: Made, inputs: Sequence[str]) -> TrackedRun:
    """Log a run's figures, its steps' costs, the digests of its tables, its inputs and the map.

    Returns:
        The run itself.
    """
    parent = tracker.run(context.mlflow_run_id)
    log_figures(parent, made.metrics())
    for step, outcome in made.outcomes.items():
        if not outcome.reused:
            costs = {f"seconds/{step}": outcome.seconds, f"bytes/{step}": made.num_bytes(step)}
            parent.log_metrics(costs)
    for name in inputs:
        table = made.tables[name]
        parent.log_input(name, table.digest, made.store.path(table.name))
    parent.set_tags({f"digest.{name}": table.digest for name, table in made.tables.items()})
    parent.log_file(MAP_PICTURE_FILE, made.file(MAP_PICTURE_FILE))
    return parent


def child_run(tracker: Tracker, context: RunContext, made: Made, name: str) -> TrackedRun:
    """The child run for a part: the one that a step opened while it ran, or a new one."""
    outcomes = [made.outcomes[step] for step in PARTS[name] if step in made.outcomes]
    child = tracker.child(context.mlflow_run_id, name)
    for outcome in outcomes:
        written = [made.lineage(t.name) for t in outcome.tables.values()][:1]
        for lineage in written:
            child.log_params({outcome.step: lineage["settings"]})
            for table_name, table in lineage["inputs"].items():
                child.log_input(table_name, table["digest"], made.store.path(table["name"]))
    child.set_tags({"reused": ",".join(o.step for o in outcomes if o.reused)})
    return child


def log_clustering(tracker: Tracker, context: RunContext, made: Made) -> None:
    """Log the map's pictures, page and model, and how far to believe it, as a child run."""
    clustering = child_run(tracker, context, made, "clustering")
    log_figures(clustering, made.metrics(), CLUSTER_FIGURES)
    for name in (
        MAP_PICTURE_FILE,
        MAP_PAGE_FILE,
        CONFUSION_PICTURE_FILE,
        BOOK_LINES_PICTURE_FILE,
        MAP_MODEL_FILE,
    ):
        if made.has_file(name):
            clustering.log_file(name, made.file(name))
    for table in (CLUSTER_SCORES, CLUSTER_PROBES, CLUSTER_CONFOUNDS):
        log_table(clustering, made, table)
    clustering.end()


def log_table(tracked: TrackedRun, made: Made, table: Table) -> None:
    """Log a small table as a Parquet file."""
    tracked.log_file(f"{table.name}.parquet", made.table_file(table))


def log_figures(
    tracked: TrackedRun, metrics: Mapping[str, float | None], names: Sequence[str] | None = None
) -> None:
    """Log figures, all or some, of those that have a meaning in this run."""
    chosen = {name: metrics.get(name) for name in names or metrics}
    tracked.log_metrics({name: value for name, value in chosen.items() if value is not None})


def recorded(
    context: RunContext, made: Made, started_unix_seconds: float, about: Mapping[str, Any]
) -> dict[str, Any]:
    """The summary of a run, with what it says of itself.

    It is kept in the store, together with what it takes to explain the run and to repeat it.
    """
    outcomes = made.outcomes.values()
    summary = {
        "mlflow_run_id": context.mlflow_run_id,
        "seconds": time.time() - started_unix_seconds,
        "recomputed": [outcome.step for outcome in outcomes if not outcome.reused],
        "reused": [outcome.step for outcome in outcomes if outcome.reused],
        "tables": {
            name: {
                "path": made.store.path(table.name),
                "digest": table.digest,
                "num_rows": table.num_rows,
            }
            for name, table in made.tables.items()
        },
        "files": {name.rsplit("/", 1)[-1]: made.store.path(name) for name in made.files},
        "num_refusals": made.tables["refusals"].num_rows,
        **about,
    }
    record = {
        **summary,
        "unix_seconds": time.time(),
        "settings": context.settings,
        "working_folder": os.getcwd(),  # books may be named from there
        "surroundings": {**surroundings(context.num_threads), **context.provenance},
        "steps": {outcome.step: _of_step(made, outcome) for outcome in outcomes},
        "file_digests": {name.rsplit("/", 1)[-1]: digest for name, digest in made.files.items()},
    }
    made.store.write_json(_record_name(context, started_unix_seconds), sealed(record))
    return summary


def add_to_record(
    context: RunContext, started_unix_seconds: float, about: Mapping[str, Any]
) -> None:
    """Add to a run's record what became of the run after it was written.

    Raises:
        DamagedRecord: it is not what was written: a new seal would hide that.
    """
    store, name = Store(context.store), _record_name(context, started_unix_seconds)
    store.write_json(name, sealed({**read_record(store, name), **about}))


def folders_of_run(record: Mapping[str, Any]) -> set[str]:
    """The folders of the results that a run has made or reused, wherever its store stands now."""
    return {folder_of_path(path) for path in paths_of(record).values()}


def folder_of_path(path: str) -> str:
    """The folder, in its store, of the result that a path is of."""
    return folder_of(path[path.rindex(f"/{STEPS}/") + 1 :])


def _record_name(context: RunContext, started_unix_seconds: float) -> str:
    return f"{RUNS}/{started_unix_seconds:.3f}-{context.mlflow_run_id or 'untracked'}.json"


def _of_step(made: Made, outcome: StepOutcome) -> dict[str, Any]:
    store, folder = made.store, f"{STEPS}/{outcome.step}/{outcome.key}"
    return {
        "folder": folder,
        "reused": outcome.reused,
        "reasons": outcome.reasons,
        "seconds": outcome.seconds,
        "bytes": made.num_bytes(outcome.step),
        "settled": {
            name.rsplit("/", 1)[-1]: store.read_json(name) for name in settled_in(store, folder)
        },
    }
