"""Publish: a run's tables -> Prefect's artifacts, MLflow's runs, and the run's record.

Never cached: a run whose steps were all reused still leaves its full record.
"""

import time
from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE

from data import schemas
from data.errors import UserMistake
from data.schemas import Table
from data.store import Store
from models.vocabulary import Unit
from tasks.seams import run_report
from tasks.seams.report import show_image, show_markdown, show_table
from tasks.seams.run_context import RunContext
from tasks.seams.step_cache import StepOutcome, TableReference
from tasks.seams.tracking import TrackedRun, Tracker, open_tracker, training_metrics

PARTS = {
    "training": ("warm_start", "train", "tune", "evaluate"),
    "training afresh": ("train_afresh",),
    "generation": ("pick", "recover"),
    "clustering": ("weigh", "cluster"),
}
"""MLflow's child runs, and the steps that each stands for, as far as they ran."""


@task(name="publish", task_run_name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish(
    context: RunContext, started_unix_seconds: float, outcomes: Sequence[StepOutcome]
) -> dict[str, Any]:
    """Show the run in Prefect, log it to MLflow, keep its record; gives `bookloom run --json`."""
    made = _Made(context, outcomes)
    metrics = made.metrics()
    model_uri = _log_to_mlflow(context, made, metrics)
    _show_in_prefect(made, metrics)
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
        "unit": made.unit(),
        "vocabulary_size": int(metrics["vocabulary_size"] or 0),
        "unknown_share": metrics["unknown_share"],
        "model": {"uri": model_uri, "digest": made.file_digest(schemas.LANGUAGE_MODEL_FILE)},
        "metrics": {
            name: value
            for name, value in metrics.items()
            if name not in ("vocabulary_size", "unknown_share")
        },
    }
    record = f"runs/{started_unix_seconds:.3f}-{context.mlflow_run_id or 'untracked'}.json"
    made.store.write_json(record, {**summary, "unix_seconds": time.time()})
    return summary


class _Made:
    """What a run's steps made, by table and by file."""

    def __init__(self, context: RunContext, outcomes: Sequence[StepOutcome]) -> None:
        self.store = Store(context.store)
        self.outcomes = {outcome.step: outcome for outcome in outcomes}
        self.tables: dict[str, TableReference] = {}
        self.files: dict[str, str] = {}
        for outcome in outcomes:
            self.tables |= outcome.tables
            self.files |= outcome.files

    def read(self, table: Table, columns: Sequence[str] | None = None) -> Any:
        return self.store.read_table(self.tables[table.name].name, columns)

    def file(self, file_name: str) -> bytes:
        return self.store.read_bytes(self._file_name(file_name))

    def file_digest(self, file_name: str) -> str:
        return self.files[self._file_name(file_name)]

    def metrics(self) -> dict[str, float | None]:
        rows = self.read(schemas.METRICS).to_pylist()
        return {
            row["metric"]: row["value"] if row["clocked"] is None else row["clocked"]
            for row in rows
        }

    def unit(self) -> Unit:
        unit: Unit = self.read(schemas.VOCABULARY, ["unit"])["unit"][0].as_py()
        return unit

    def _file_name(self, file_name: str) -> str:
        found = [name for name in self.files if name.endswith(f"/{file_name}")]
        if not found:
            raise UserMistake(f"No step made {file_name}.", "Run the pipeline again.")
        return found[0]


def _log_to_mlflow(
    context: RunContext, made: _Made, metrics: dict[str, float | None]
) -> str | None:
    tracker = open_tracker(context.tracking_uri)
    parent = tracker.run(context.mlflow_run_id)
    parent.log_metrics({name: value for name, value in metrics.items() if value is not None})
    for name in ("books", "sections", "sentences", "vocabulary", "token_ids"):
        table = made.tables[name]
        parent.log_input(name, table.digest, made.store.path(table.name))
    parent.set_tags({f"digest.{name}": table.digest for name, table in made.tables.items()})
    parent.log_file(schemas.MAP_PICTURE_FILE, made.file(schemas.MAP_PICTURE_FILE))

    training = _child(tracker, context, made, "training")
    _log_curve(training, made, schemas.TRAINING_LOG)
    training.log_file(schemas.TRAINING_CURVE_FILE, made.file(schemas.TRAINING_CURVE_FILE))
    _log_table(training, made, schemas.TRAINING_LOG)
    _log_some(
        training, metrics, ("validation_perplexity", "test_perplexity", "test_bits_per_character")
    )
    uri = tracker.log_model(
        training.run_id,
        made.file(schemas.LANGUAGE_MODEL_FILE),
        made.file_digest(schemas.LANGUAGE_MODEL_FILE),
        # The two most frequent tokens: any vocabulary has them.
        [made.read(schemas.VOCABULARY, ["token"])["token"].to_pylist()[4:6]],
    )
    training.end()

    if schemas.AFRESH_LOG.name in made.tables:
        afresh = _child(tracker, context, made, "training afresh")
        _log_curve(afresh, made, schemas.AFRESH_LOG)
        _log_some(afresh, metrics, ("afresh_test_perplexity",))
        afresh.end()

    generation = _child(tracker, context, made, "generation")
    _log_some(generation, metrics, ("bag_words_recovered", "bag_sentences_recovered"))
    _log_table(generation, made, schemas.BAG_SENTENCES)
    _log_table(generation, made, schemas.BAG_RECOVERY)
    generation.end()

    clustering = _child(tracker, context, made, "clustering")
    _log_some(clustering, metrics, ("cluster_accuracy", "cluster_nmi", "cluster_ari"))
    for name in (schemas.MAP_PICTURE_FILE, schemas.MAP_PAGE_FILE):
        clustering.log_file(name, made.file(name))
    _log_table(clustering, made, schemas.CLUSTER_SCORES)
    clustering.end()
    return uri


def _child(tracker: Tracker, context: RunContext, made: _Made, name: str) -> TrackedRun:
    """The child run for a part: the one that a step opened while it ran, or a new one."""
    outcomes = [made.outcomes[step] for step in PARTS[name] if step in made.outcomes]
    child = tracker.child(context.mlflow_run_id, name)
    for outcome in outcomes:
        written = [made.store.lineage(t.name) for t in outcome.tables.values()][:1]
        for lineage in written:
            child.log_params({outcome.step: lineage["settings"]})
            for table_name, table in lineage["inputs"].items():
                child.log_input(table_name, table["digest"], made.store.path(table["name"]))
    child.set_tags({"reused": ",".join(o.step for o in outcomes if o.reused)})
    return child


def _log_curve(tracked: TrackedRun, made: _Made, table: Table) -> None:
    """All of it is there already, unless the training was reused from another run."""
    rows = made.read(table).to_pylist()
    tracked.log_new_rows([(row["step"], training_metrics(row)) for row in rows])


def _log_table(tracked: TrackedRun, made: _Made, table: Table) -> None:
    tracked.log_file(f"{table.name}.parquet", made.store.read_bytes(made.tables[table.name].name))


def _log_some(tracked: TrackedRun, metrics: dict[str, float | None], names: Sequence[str]) -> None:
    chosen = {name: metrics.get(name) for name in names}
    tracked.log_metrics({name: value for name, value in chosen.items() if value is not None})


def _show_in_prefect(made: _Made, metrics: dict[str, float | None]) -> None:
    columns = ["book_id", "title", "author", "genre", "language", "split", "num_characters"]
    books = made.read(schemas.BOOKS, columns)
    titles = dict(zip(books["book_id"].to_pylist(), books["title"].to_pylist(), strict=True))
    parts = [
        run_report.books_report(
            books,
            made.read(schemas.SECTIONS, ["book_id", "heading"]),
            made.read(schemas.RECEIPTS),
            made.read(schemas.REFUSALS),
        ),
        run_report.vocabulary_report(
            made.read(schemas.VOCABULARY),
            made.read(schemas.EMBEDDINGS),
            set(books["language"].to_pylist()),
        ),
        run_report.training_report(
            made.read(schemas.PERPLEXITIES),
            made.read(schemas.EVALUATIONS),
            metrics,
            titles,
            made.unit(),
        ),
        run_report.sentences_report(
            made.read(schemas.BAG_SENTENCES),
            made.read(schemas.BAG_RECOVERY),
            made.read(schemas.RECOVERY_EXAMPLES),
            made.read(schemas.OPENINGS),
            made.unit(),
        ),
        run_report.clusters_report(
            made.read(schemas.CLUSTER_SCORES),
            made.read(schemas.CLUSTER_TERMS),
            made.read(schemas.TEXT_CODES, ["cluster"]),
        ),
        run_report.steps_report(list(made.outcomes.values())),
    ]
    show_markdown("report", "\n\n".join(["# bookloom", *parts]), "What this run read and made")
    figures = [{"figure": name, "value": value} for name, value in metrics.items()]
    show_table("metrics", figures, "The run's figures")
    show_table("refusals", made.read(schemas.REFUSALS).to_pylist(), "Inputs that were refused")
    first = pc.equal(made.read(schemas.BAG_SENTENCES)["rank"], 1)
    best = made.read(schemas.BAG_SENTENCES, ["bag_set_id", "sentence", "score"]).filter(first)
    show_table("sentences", best.to_pylist(), "The best sentence of each bag set")
    show_image("map", made.file(schemas.MAP_PICTURE_FILE), "The map of the texts")
    curve = made.file(schemas.TRAINING_CURVE_FILE)
    show_image("training-curve", curve, "Perplexity while it trained")
