"""Figures of a run, from tables that were written by hand."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data.bag_schemas import BAG_RECOVERY
from data.book_schemas import VOCABULARY
from data.model_schemas import EVALUATIONS, PERPLEXITIES, TRAINING_LOG
from data.store import Store
from data.table import Table
from data.text_schemas import CLUSTER_SCORES, TEXT_CODES
from tasks.measure import MeasureSettings, measure
from tasks.seams.run_context import RunContext
from tasks.seams.step_cache import StepOutcome, TableReference


def figures(
    folder: Path, perplexities: list[dict[str, Any]], evaluations: Sequence[dict[str, Any]] = ()
) -> dict[str, float | None]:
    """What `measure` makes of these rows; the other tables are empty."""
    store = Store(str(folder))
    references = {}
    for table in (
        BAG_RECOVERY,
        CLUSTER_SCORES,
        TEXT_CODES,
        EVALUATIONS,
        TRAINING_LOG,
        VOCABULARY,
        PERPLEXITIES,
    ):
        rows = {"perplexities": perplexities, "evaluations": evaluations}.get(table.name, [])
        references[table.name] = written(store, table, rows)
    return measured(store, folder, references)


def measured(
    store: Store, folder: Path, references: dict[str, TableReference]
) -> dict[str, float | None]:
    """What `measure` makes of these tables."""
    made = StepOutcome(
        step="by hand", key="", tables=references, files={}, reused=False, reasons=[], seconds=0.0
    )
    run = RunContext(
        store=str(folder),
        seed=1,
        num_threads=1,
        tracking_uri=None,
        mlflow_run_id=None,
        provenance={},
    )
    outcome = measure.fn(run, MeasureSettings(), made)
    metrics = store.read_table(outcome.tables["metrics"].name).to_pylist()
    return {row["metric"]: row["value"] for row in metrics}


def written(store: Store, table: Table, rows: Sequence[dict[str, Any]]) -> TableReference:
    with store.table_writer(table.name, table, {}) as writer:
        writer.write({name: [row[name] for row in rows] for name in table.schema.names})
    return TableReference(name=table.name, digest=writer.digest, num_rows=len(rows))


def held_out(split: str, nats: float, num_tokens: int, num_characters: int) -> dict[str, Any]:
    return {
        "book_id": f"{split} {num_tokens}",
        "split": split,
        "nats": nats,
        "num_tokens": num_tokens,
        "num_unknown": 1,
        "num_characters": num_characters,
    }


@pytest.mark.parametrize(("num_tokens", "perplexity"), [((5, 7), 4.0), ((10, 14), 2.0)])
def test_bits_per_character_by_hand(
    tmp_path: Path, num_tokens: tuple[int, int], perplexity: float
) -> None:
    """Two books, `So be it.` and `So, be it so!`, are 9 + 1 and 13 + 1 characters with `_end_`.

    Each of their 5 and 7 words (signs and `_end_` among them) is told from four as likely ones, or
    each character from two: 24 bits either way, one a character.
    """
    numbers = zip(num_tokens, (10, 14), strict=True)
    books = [held_out("test", n * math.log(perplexity), n, m) for n, m in numbers]
    found = figures(tmp_path, [*books, held_out("validation", 99.0, 9, 1)])
    assert found["test_perplexity"] == pytest.approx(perplexity)
    assert found["test_bits_per_character"] == pytest.approx(1.0)


def test_nothing_held_out_has_no_figures(tmp_path: Path) -> None:
    found = figures(tmp_path, [])
    assert found["test_perplexity"] is None
    assert found["test_bits_per_character"] is None
    assert found["ngram_test_perplexity"] is None
    assert found["training_tokens_per_second"] is None


def evaluation(method: str, split: str, nats: float) -> dict[str, Any]:
    return {"method": method, "split": split, "nats": nats, "num_tokens": 10, "tuned": "{}"}


def test_the_figures_of_the_baseline_are_those_on_test_text(tmp_path: Path) -> None:
    ways = [("lstm", 3.0), ("n-gram", 5.0), ("lstm + n-gram", 2.0)]
    rows = [evaluation(m, "test", 10 * math.log(p)) for m, p in ways]
    rows += [evaluation(m, "validation", 99.0) for m, _ in ways]
    found = figures(tmp_path, [], rows)
    assert found["ngram_test_perplexity"] == pytest.approx(5.0)
    assert found["mixture_test_perplexity"] == pytest.approx(2.0)


def test_a_run_without_a_language_model_has_the_figures_of_its_map(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    codes = [
        {
            "text_id": number,
            "book_id": "b",
            "section_index": number,
            "code": [1.0],
            "map_x": 0.0,
            "map_y": 0.0,
            "cluster": number % 2,
            "membership": 1.0,
            "reconstruction_error": float(number),
            "strange_terms": [],
        }
        for number in range(3)
    ]
    tables = {
        table.name: written(store, table, rows)
        for table, rows in ((TEXT_CODES, codes), (CLUSTER_SCORES, []))
    }
    found = measured(store, tmp_path, tables)
    assert found["num_clusters"] == 2
    assert found["reconstruction_error"] == 1.0
    assert "test_perplexity" not in found
