"""Runs are named for what they are, in Prefect and in MLflow alike, and tagged."""

import re
from datetime import datetime
from typing import Any
from uuid import UUID

import mlflow
import pytest
from prefect.client.orchestration import get_client

from flows.run_names import in_short


@pytest.mark.parametrize(
    ("books", "short"),
    [
        (["plays"], "plays"),
        (["/shelf/of/austen.txt"], "austen.txt"),
        (["shelf/", "shelf/*.txt"], "shelf, *.txt"),
        (["a.txt", "b.epub", "c.txt", "d.txt"], "a.txt, b.epub and 2 more"),
        (["gutenberg:1342", "nltk:gutenberg/austen-emma.txt"],
         "gutenberg:1342, nltk:gutenberg/austen-emma.txt"),
        (["parquet:/data/shelf.parquet"], "shelf.parquet"),
        (["https://me:hush@example.org/a/novel.html?token=hush#x"], "example.org/novel.html"),
        (["https://example.org/"], "example.org"),
        (["/"], "/"),
        (["bad\x1b[31m\u202ename.txt"], "bad [31m name.txt"),
        (["x" * 200], "x" * 59 + "…"),
    ],
)  # fmt: skip
def test_books_in_short(books: list[str], short: str) -> None:
    assert in_short(books) == short


def test_a_run_has_one_name_in_both_places_with_its_day(miniature_run: Any) -> None:
    client = mlflow.MlflowClient(miniature_run.tracking_uri)
    run = client.get_run(miniature_run.summary["mlflow_run_id"])
    with get_client(sync_client=True) as prefect:
        flow_run = prefect.read_flow_run(UUID(run.data.tags["prefect.flow_run_id"]))
    assert flow_run.name == run.info.run_name
    found = re.fullmatch(r"retrain shelf\d* (\d{4}-\d\d-\d\d) miniature", flow_run.name)
    assert found and flow_run.expected_start_time
    day = datetime.fromisoformat(found[1]).date()
    assert day == flow_run.expected_start_time.astimezone().date()
    assert {"command line", "words", "miniature"} < set(flow_run.tags)
    assert run.data.tags["prefect.tags"] == ", ".join(sorted(flow_run.tags))
    assert run.data.tags["prefect.flow_run_url"].endswith(f"/runs/flow-run/{flow_run.id}")
    assert re.fullmatch("[0-9a-f]{40}", run.data.tags["mlflow.source.git.commit"])
