"""Shards on processes, on a Dask cluster and on Ray: the digests of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prefect import flow

from flows.prefect_api import api_at
from tasks.count import CountSettings, count
from tasks.encode import EncodeSettings, encode
from tasks.read import ReadSettings, read
from tasks.seams.run_context import RunContext
from tasks.seams.shards import Shard, at_hand, shard_task, work_on
from tasks.seams.workers import Workers
from tasks.tokenise import TokeniseSettings, tokenise
from tests.flows.served_home import until

ALLOCATOR = "jemalloc" if sys.platform == "linux" else "mimalloc"


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
    return shelf_flow(
        str(tmp_path_factory.mktemp("alone")), str(miniature_shelf), Workers(num_workers=1)
    )


@pytest.mark.parametrize("runner", ["processes", "dask", "ray"])
def test_others_make_the_same(
    alone: dict[str, str], miniature_shelf: Path, tmp_path: Path, runner: Any
) -> None:
    if runner != "processes":
        pytest.importorskip(f"prefect_{runner}", reason=f"prefect-{runner} is an extra")
    workers = Workers(runner=runner, num_workers=2)
    assert shelf_flow(str(tmp_path), str(miniature_shelf), workers) == alone


def test_shards_are_shown_within_their_steps(
    prefect_url: str, miniature_shelf: Path, tmp_path: Path
) -> None:
    """Also those of later steps, whose workers were there already."""
    api = api_at(prefect_url)
    state = shelf_flow(
        str(tmp_path), str(miniature_shelf), Workers(num_workers=2), return_state=True
    )
    of_run = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}}

    def all_written() -> list[dict[str, Any]]:
        found = list(api.every("task_runs", of_run))
        return found if {one["state_type"] for one in found} == {"COMPLETED"} else []

    until(lambda: len(all_written()) == 4 + 5 * 5, "all tasks are recorded", 60)
    names = {one["id"]: one["name"] for one in all_written()}
    parents = {
        one["name"]: [names[parent["id"]] for parent in one["task_inputs"].get("__parents__", [])]
        for one in all_written()
    }
    steps = ("read", "split", "tokenise", "count", "encode")
    assert parents == {step: [] for step in steps if step != "split"} | {
        f"{step} shard {number}": [step.replace("split", "read")]
        for step in steps
        for number in range(5)
    }


@shard_task
def _tell(shard: Shard) -> None:
    told = {"imported": [*sys.modules], "allocator": pa.default_memory_pool().backend_name}
    Path(shard.store, str(shard.number)).write_text(json.dumps(told), encoding="utf-8")


@flow(name="telling", persist_result=False)
def telling_flow(store: str) -> None:
    shards = [Shard(store=store, folder="", number=n, inputs={}, lineage={}) for n in range(2)]
    for _ in work_on(shards, _tell, {}, Workers(num_workers=2)):
        pass


def test_workers_hold_what_shards_need(prefect_url: str, tmp_path: Path) -> None:
    """Prefect would import all its extras for them, and Kubernetes' client with one of them."""
    for name in ("prefect_kubernetes", "prefect_dask"):
        pytest.importorskip(name, reason=f"{name} is an extra")
    telling_flow(str(tmp_path))
    for number in range(2):
        told = json.loads((tmp_path / str(number)).read_text(encoding="utf-8"))
        assert "prefect.task_runners" in told["imported"]
        assert not {"kubernetes_asyncio", "distributed", "torch", "mlflow"} & {*told["imported"]}
        assert told["allocator"] == ALLOCATOR


@pytest.mark.parametrize("module", ["flows.command_line", "flows.pipeline", "tasks.tokenise"])
def test_arrow_is_told_how_to_allocate_before_it_begins(module: str) -> None:
    """As it is imported first, be it by the command, by Prefect or by another machine's worker."""
    code = f"import {module}, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    own = {name: value for name, value in os.environ.items() if not name.startswith("ARROW_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=own
    )
    assert done.stdout.strip() == ALLOCATOR
