"""Publish: a run's tables -> Prefect's artifacts, MLflow's runs, and the run's record.

Never cached: a run whose steps were all reused still leaves its full record.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE

from data import schemas
from data.table import Table
from models.vocabulary import Unit
from tasks.seams import run_report
from tasks.seams.map_report import map_report, show_map
from tasks.seams.report import show_image, show_markdown, show_table
from tasks.seams.run_context import RunContext
from tasks.seams.run_records import (
    Made,
    child_run,
    log_clustering,
    log_figures,
    log_run,
    log_table,
    recorded,
)
from tasks.seams.step_cache import StepOutcome
from tasks.seams.tracking import TrackedRun, open_tracker, training_metrics

INPUTS = ("books", "sections", "sentences", "vocabulary", "token_ids")


@task(name="publish", task_run_name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish(
    context: RunContext, started_unix_seconds: float, outcomes: Sequence[StepOutcome]
) -> dict[str, Any]:
    """Show the run in Prefect, log it to MLflow, keep its record; gives `bookloom run --json`."""
    made = Made(context, outcomes)
    metrics = made.metrics()
    model_uri = _log_to_mlflow(context, made, metrics)
    _show_in_prefect(made, metrics)
    about = {
        "unit": _unit(made),
        "vocabulary_size": int(metrics["vocabulary_size"] or 0),
        "unknown_share": metrics["unknown_share"],
        "model": {"uri": model_uri, "digest": made.file_digest(schemas.LANGUAGE_MODEL_FILE)},
        "metrics": {
            name: value
            for name, value in metrics.items()
            if name not in ("vocabulary_size", "unknown_share")
        },
    }
    return recorded(context, made, started_unix_seconds, about)


@task(name="publish map", task_run_name="publish map", cache_policy=NO_CACHE, persist_result=False)
def publish_map(
    context: RunContext, started_unix_seconds: float, outcomes: Sequence[StepOutcome]
) -> dict[str, Any]:
    """The same for a run that only draws the map; gives `bookloom cluster --json`."""
    made = Made(context, outcomes)
    tracker = open_tracker(context.tracking_uri)
    log_run(tracker, context, made, ("books", "sections", "sentences"))
    log_clustering(tracker, context, made)
    report = ["# bookloom: the map of the texts", _books_report(made), map_report(made)]
    report.append(run_report.steps_report(list(made.outcomes.values())))
    show_markdown("report", "\n\n".join(report), "What this run read and made")
    _show_tables(made)
    show_map(made)
    return recorded(context, made, started_unix_seconds, {"metrics": made.metrics()})


def _unit(made: Made) -> Unit:
    unit: Unit = made.read(schemas.VOCABULARY, ["unit"])["unit"][0].as_py()
    return unit


def _log_to_mlflow(context: RunContext, made: Made, metrics: dict[str, float | None]) -> str | None:
    tracker = open_tracker(context.tracking_uri)
    log_run(tracker, context, made, INPUTS)

    training = child_run(tracker, context, made, "training")
    _log_curve(training, made, schemas.TRAINING_LOG)
    training.log_file(schemas.TRAINING_CURVE_FILE, made.file(schemas.TRAINING_CURVE_FILE))
    log_table(training, made, schemas.TRAINING_LOG)
    names = ("validation_perplexity", "test_perplexity", "test_bits_per_character")
    log_figures(training, metrics, names)
    uri = tracker.log_model(
        training.run_id,
        made.file(schemas.LANGUAGE_MODEL_FILE),
        made.file_digest(schemas.LANGUAGE_MODEL_FILE),
        # The two most frequent tokens: any vocabulary has them.
        [made.read(schemas.VOCABULARY, ["token"])["token"].to_pylist()[4:6]],
    )
    training.end()

    if schemas.AFRESH_LOG.name in made.tables:
        afresh = child_run(tracker, context, made, "training afresh")
        _log_curve(afresh, made, schemas.AFRESH_LOG)
        log_figures(afresh, metrics, ("afresh_test_perplexity",))
        afresh.end()

    generation = child_run(tracker, context, made, "generation")
    log_figures(generation, metrics, ("bag_words_recovered", "bag_sentences_recovered"))
    log_table(generation, made, schemas.BAG_SENTENCES)
    log_table(generation, made, schemas.BAG_RECOVERY)
    generation.end()

    log_clustering(tracker, context, made)
    return uri


def _log_curve(tracked: TrackedRun, made: Made, table: Table) -> None:
    """All of it is there already, unless the training was reused from another run."""
    rows = made.read(table).to_pylist()
    tracked.log_new_rows([(row["step"], training_metrics(row)) for row in rows])


def _books_report(made: Made) -> str:
    columns = ["book_id", "title", "author", "genre", "language", "split", "num_characters"]
    return run_report.books_report(
        made.read(schemas.BOOKS, columns),
        made.read(schemas.SECTIONS, ["book_id", "heading"]),
        made.read(schemas.RECEIPTS),
        made.read(schemas.REFUSALS),
    )


def _show_in_prefect(made: Made, metrics: dict[str, float | None]) -> None:
    books = made.read(schemas.BOOKS, ["book_id", "title", "language"])
    titles = dict(zip(books["book_id"].to_pylist(), books["title"].to_pylist(), strict=True))
    parts = [
        _books_report(made),
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
            _unit(made),
        ),
        run_report.sentences_report(
            made.read(schemas.BAG_SENTENCES),
            made.read(schemas.BAG_RECOVERY),
            made.read(schemas.RECOVERY_EXAMPLES),
            made.read(schemas.OPENINGS),
            _unit(made),
        ),
        map_report(made),
        run_report.steps_report(list(made.outcomes.values())),
    ]
    show_markdown("report", "\n\n".join(["# bookloom", *parts]), "What this run read and made")
    _show_tables(made)
    first = pc.equal(made.read(schemas.BAG_SENTENCES)["rank"], 1)
    best = made.read(schemas.BAG_SENTENCES, ["bag_set_id", "sentence", "score"]).filter(first)
    show_table("sentences", best.to_pylist(), "The best sentence of each bag set")
    show_map(made)
    curve = made.file(schemas.TRAINING_CURVE_FILE)
    show_image("training-curve", curve, "Perplexity while it trained")


def _show_tables(made: Made) -> None:
    figures = [{"figure": name, "value": value} for name, value in made.metrics().items()]
    show_table("metrics", figures, "The run's figures")
    show_table("refusals", made.read(schemas.REFUSALS).to_pylist(), "Inputs that were refused")
