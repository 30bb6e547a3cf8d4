"""Shards on processes, on a Dask cluster and on Ray: the digests of one process."""

from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from tasks.count import CountSettings, count
from tasks.encode import EncodeSettings, encode
from tasks.read import ReadSettings, read
from tasks.seams.run_context import RunContext
from tasks.seams.shards import Workers, at_hand
from tasks.tokenise import TokeniseSettings, tokenise


@flow(name="shelf", persist_result=False)
def shelf_flow(store: str, shelf: str, workers: Workers) -> dict[str, str]:
    run = RunContext(
        store=store,
        seed=1,
        num_threads=1,
        workers=workers,
        tracking_uri=None,
        mlflow_run_id=None,
        provenance={},
    )
    with at_hand(workers):
        books = read(run, ReadSettings(books=(shelf,), shard_megabytes=1e-6))
        sentences = tokenise(run, TokeniseSettings(), books)
        vocabulary = count(run, CountSettings(), books, sentences)
        token_ids = encode(run, EncodeSettings(), books, sentences, vocabulary)
    made = (books, sentences, vocabulary, token_ids)
    return {name: table.digest for one in made for name, table in one.tables.items()}


@pytest.fixture(scope="module")
def alone(
    prefect_url: str, miniature_shelf: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    return shelf_flow(str(tmp_path_factory.mktemp("alone")), str(miniature_shelf), Workers())


@pytest.mark.parametrize("runner", ["processes", "dask", "ray"])
def test_others_make_the_same(
    alone: dict[str, str], miniature_shelf: Path, tmp_path: Path, runner: Any
) -> None:
    if runner != "processes":
        pytest.importorskip(f"prefect_{runner}", reason=f"prefect-{runner} is an extra")
    workers = Workers(runner=runner, num_workers=2)
    assert shelf_flow(str(tmp_path), str(miniature_shelf), workers) == alone
