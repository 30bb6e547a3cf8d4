"""Publish: a run's tables -> Prefect's artifacts, MLflow's runs, and the run's record.

Never cached: a run whose steps were all reused still leaves its full record.
"""

import time
from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.bag_schemas import BAG_RECOVERY, BAG_SENTENCES, OPENINGS, RECOVERY_EXAMPLES
from data.book_schemas import BOOKS, RECEIPTS, REFUSALS, SECTIONS, VOCABULARY
from data.model_schemas import (
    AFRESH_LOG,
    EMBEDDINGS,
    EVALUATIONS,
    LANGUAGE_MODEL_FILE,
    PERPLEXITIES,
    TRAINING_CURVE_FILE,
    TRAINING_LOG,
)
from data.table import Table
from models.special_tokens import SPECIAL_TOKENS
from models.vocabulary import Unit
from tasks.seams import run_report
from tasks.seams.flow_run import flow_run_here, title_here
from tasks.seams.map_report import map_report, show_map
from tasks.seams.memory import peak_memory_bytes
from tasks.seams.registry import log_model
from tasks.seams.report import picture, show_image, show_markdown, show_table
from tasks.seams.retrying import tried_again
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
from tasks.seams.tracking import NOTE, TrackedRun, open_tracker, training_metrics

INPUTS = ("books", "sections", "sentences", "vocabulary", "token_ids")


@task(
    name="publish",
    task_run_name="publish",
    cache_policy=NO_CACHE,
    persist_result=False,
    **tried_again(),
)
def publish(
    context: RunContext, started_unix_seconds: float, outcomes: Sequence[StepOutcome]
) -> dict[str, Any]:
    """Show the run in Prefect, log it to MLflow, keep its record; gives `bookloom run --json`."""
    began = time.monotonic()
    made = Made(context, outcomes)
    metrics = made.metrics()
    model_uri = _log_to_mlflow(context, made, metrics)
    _show_in_prefect(context, made, metrics, began)
    about = {
        "unit": _unit(made),
        "vocabulary_size": int(metrics["vocabulary_size"] or 0),
        "unknown_share": metrics["unknown_share"],
        "model": {"uri": model_uri, "digest": made.file_digest(LANGUAGE_MODEL_FILE)},
        "metrics": {
            name: value
            for name, value in metrics.items()
            if name not in ("vocabulary_size", "unknown_share")
        },
    }
    return recorded(context, made, started_unix_seconds, about)


@task(
    name="publish map",
    task_run_name="publish map",
    cache_policy=NO_CACHE,
    persist_result=False,
    **tried_again(),
)
def publish_map(
    context: RunContext, started_unix_seconds: float, outcomes: Sequence[StepOutcome]
) -> dict[str, Any]:
    """The same for a run that only draws the map; gives `bookloom cluster --json`."""
    began = time.monotonic()
    made = Made(context, outcomes)
    tracker = open_tracker(context.tracking_uri)
    parent = log_run(tracker, context, made, ("books", "sections", "sentences"))
    log_clustering(tracker, context, made)
    parent.set_tags({NOTE: _headline(made, None)})
    parts = [_books_report(made), map_report(made)]
    _show_report(context, made, parts, began)
    _show_tables(made)
    show_map(made)
    return recorded(context, made, started_unix_seconds, {"metrics": made.metrics()})


def _unit(made: Made) -> Unit:
    unit: Unit = made.read(VOCABULARY, ["unit"])["unit"][0].as_py()
    return unit


def _log_to_mlflow(context: RunContext, made: Made, metrics: dict[str, float | None]) -> str | None:
    tracker = open_tracker(context.tracking_uri)
    parent = log_run(tracker, context, made, INPUTS)

    training = child_run(tracker, context, made, "training")
    _log_curve(training, made, TRAINING_LOG)
    training.log_file(TRAINING_CURVE_FILE, made.file(TRAINING_CURVE_FILE))
    log_table(training, made, TRAINING_LOG)
    # Not that of the validation text: its curve has this name here.
    log_figures(training, metrics, ("test_perplexity", "test_bits_per_character"))
    uri = log_model(
        context.tracking_uri,
        training.run_id,
        made.file(LANGUAGE_MODEL_FILE),
        made.file_digest(LANGUAGE_MODEL_FILE),
        # The two most frequent tokens: any vocabulary has them.
        [made.read(VOCABULARY, ["token"])["token"].to_pylist()[len(SPECIAL_TOKENS) :][:2]],
    )
    training.end()

    if AFRESH_LOG.name in made.tables:
        afresh = child_run(tracker, context, made, "training afresh")
        _log_curve(afresh, made, AFRESH_LOG)
        log_figures(afresh, metrics, ("afresh_test_perplexity",))
        afresh.end()

    generation = child_run(tracker, context, made, "generation")
    log_figures(generation, metrics, ("bag_words_recovered", "bag_sentences_recovered"))
    log_table(generation, made, BAG_SENTENCES)
    log_table(generation, made, BAG_RECOVERY)
    generation.end()

    log_clustering(tracker, context, made)
    parent.set_tags({NOTE: _headline(made, uri)})
    return uri


def _headline(made: Made, model_uri: str | None) -> str:
    here, books = flow_run_here(), made.tables[BOOKS.name].num_rows
    return run_report.headline(made.metrics(), books, model_uri, here.address if here else None)


def _log_curve(tracked: TrackedRun, made: Made, table: Table) -> None:
    """All of it is there already, unless the training was reused from another run."""
    rows = made.read(table).to_pylist()
    tracked.log_new_rows([(row["step"], training_metrics(row)) for row in rows])


def _books_report(made: Made) -> str:
    columns = ["book_id", "title", "author", "genre", "language", "split", "num_characters"]
    return run_report.books_report(
        made.read(BOOKS, columns),
        made.read(SECTIONS, ["book_id", "heading"]),
        made.read(RECEIPTS),
        made.read(REFUSALS),
    )


def _show_in_prefect(
    context: RunContext, made: Made, metrics: dict[str, float | None], began: float
) -> None:
    curve = made.file(TRAINING_CURVE_FILE)
    books = made.read(BOOKS, ["book_id", "title", "language"])
    titles = dict(zip(books["book_id"].to_pylist(), books["title"].to_pylist(), strict=True))
    parts = [
        _books_report(made),
        run_report.vocabulary_report(
            made.read(VOCABULARY),
            made.read(EMBEDDINGS),
            set(books["language"].to_pylist()),
        ),
        run_report.training_report(
            made.read(PERPLEXITIES),
            made.read(EVALUATIONS),
            metrics,
            titles,
            _unit(made),
        ),
        picture(curve, "Perplexity while it trained"),
        run_report.sentences_report(
            made.read(BAG_SENTENCES),
            made.read(BAG_RECOVERY),
            made.read(RECOVERY_EXAMPLES),
            made.read(OPENINGS),
            _unit(made),
        ),
        map_report(made),
    ]
    _show_report(context, made, parts, began)
    _show_tables(made)
    first = pc.equal(made.read(BAG_SENTENCES)["rank"], 1)
    best = made.read(BAG_SENTENCES, ["bag_set_id", "sentence", "score"]).filter(first)
    show_table("sentences", best.to_pylist(), "The best sentence of each bag set")
    show_map(made)
    show_image("training-curve", curve, "Perplexity while it trained")


def _show_report(context: RunContext, made: Made, parts: Sequence[str], began: float) -> None:
    page = open_tracker(context.tracking_uri).page(context.mlflow_run_id)
    outcomes = list(made.outcomes.values())
    sizes = {outcome.step: made.num_bytes(outcome.step) for outcome in outcomes}
    seconds = time.monotonic() - began
    report = [
        run_report.opening(title_here("bookloom"), page),
        *parts,
        run_report.steps_report(outcomes, sizes, seconds, peak_memory_bytes()),
    ]
    show_markdown("report", "\n\n".join(report), "What this run read and made")


def _show_tables(made: Made) -> None:
    figures = [{"figure": name, "value": value} for name, value in made.metrics().items()]
    show_table("metrics", figures, "The run's figures")
    show_table("refusals", made.read(REFUSALS).to_pylist(), "Inputs that were refused")
