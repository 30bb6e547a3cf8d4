"""Kill -9 of a retraining, its worker, Prefect's server or MLflow's at twenty random moments.

In the end it has finished, by itself or after it was started once more, with the digests of one
that nobody disturbed, and nothing is said to be running that is not.
"""

import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import mlflow
import psutil
import pytest

from flows.serve_health import health_of_all
from flows.serving_note import serving
from tests.conftest import miniature_book
from tests.flows.served_home import (
    ServedHome,
    processes_of,
    serve,
    until,
    write_deployments,
)
from tests.miniature import digests, tiny_settings

pytestmark = pytest.mark.faults
VICTIMS = ("run", "worker", "prefect", "mlflow")
FINISHED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
RUN_SECONDS = 300.0
FLOW_RUN_ID = "PREFECT__FLOW_RUN_ID"
Settings = dict[str, Any]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHome]:
    """A home that is served, whose deployment runs the pipeline on three miniature books."""
    home = tmp_path_factory.mktemp("served")
    books = home / "books"
    books.mkdir()
    for seed in range(3):
        (books / f"tale_{seed}.txt").write_text(miniature_book(seed))
    write_deployments(home, tiny_settings(books, home / "undisturbed"))
    served = serve(home)
    try:
        served.wait_until_ready()
        yield served
        assert served.stop() == 0, served.told
    finally:
        if served.process.poll() is None:
            served.process.kill()
        for process in processes_of(home).values():
            process.kill()


def start(served: ServedHome, store: Path) -> str:
    """One command: the deployment, in a store of its own. The flow run's id."""
    parameters = {"settings": tiny_settings(served.home / "books", store)}

    def is_taken() -> Any:
        try:
            [deployment] = served.prefect.post("/deployments/filter", {})
            path = f"/deployments/{deployment['id']}/create_flow_run"
            return served.prefect.post(path, {"parameters": parameters})
        except httpx.HTTPError:
            return None

    return str(until(is_taken, "Prefect takes the run")["id"])


def state(served: ServedHome, flow_run: str) -> str:
    """The type of its state; none where Prefect does not answer."""
    try:
        return str(served.prefect.get(f"/flow_runs/{flow_run}")["state_type"])
    except httpx.HTTPError:
        return ""


def finished(served: ServedHome, store: Path, flow_run: str) -> dict[str, Any]:
    """The record of a run; where it has not ended well, it is started once more."""
    until(lambda: state(served, flow_run) in FINISHED, "the run ends", RUN_SECONDS)
    if state(served, flow_run) != "COMPLETED":
        flow_run = start(served, store)
        until(lambda: state(served, flow_run) in FINISHED, "it ends, started again", RUN_SECONDS)
    assert state(served, flow_run) == "COMPLETED", served.prefect.get(f"/flow_runs/{flow_run}")
    records = sorted((store / "runs").glob("*.json"))
    record: dict[str, Any] = json.loads(records[-1].read_text())
    return record


def kill(served: ServedHome, victim: str, flow_run: str) -> None:
    if victim != "run":
        served.command_of(victim).kill()
        return
    family = {process.pid: process for process in runs_at_work(served, flow_run)}
    for process in family.values():
        if process.ppid() not in family:
            process.send_signal(signal.SIGKILL)


def all_are_well(served: ServedHome) -> bool:
    assert served.process.poll() is None, served.told
    return all(one.is_well for one in health_of_all(serving(served.home)).values())


def is_over_within(served: ServedHome, flow_run: str, seconds: float) -> bool:
    """Whether it comes to its end so soon; else so much time has passed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if state(served, flow_run) in FINISHED:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("num_kills", [4, pytest.param(20, marks=pytest.mark.long)])
def test_whatever_is_killed_it_ends_as_one_that_nobody_disturbed(
    num_kills: int, served: ServedHome
) -> None:
    kept = served.home / f"{num_kills}_kills"
    undisturbed = start(served, kept / "undisturbed")
    until(lambda: state(served, undisturbed) == "RUNNING", "it has begun", RUN_SECONDS)
    began = time.monotonic()
    wanted = digests(finished(served, kept / "undisturbed", undisturbed))
    seconds = time.monotonic() - began

    draw = random.Random(num_kills)
    left = [*VICTIMS] * (num_kills // len(VICTIMS))
    draw.shuffle(left)
    number = 0
    while left:
        number += 1
        store = kept / f"store_{number}"
        flow_run = start(served, store)
        until(lambda: state(served, flow_run) == "RUNNING", "it has begun", RUN_SECONDS)  # noqa: B023
        while left and not is_over_within(served, flow_run, draw.uniform(0.0, seconds / 2)):
            until(lambda: all_are_well(served), "all is well again")
            if state(served, flow_run) not in FINISHED:
                kill(served, left.pop(), flow_run)
        assert digests(finished(served, store, flow_run)) == wanted
        assert not [*store.rglob("checkpoints/*"), *store.rglob("unfinished/*")]
    until(lambda: all_are_well(served), "all is well again")
    assert_nothing_is_said_to_run(served, num_runs=number + 1)


def assert_nothing_is_said_to_run(served: ServedHome, num_runs: int) -> None:
    """No flow run in Prefect and no run in MLflow is open, now that none is at work."""
    open_states = {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}}
    until(
        lambda: not [*served.prefect.every("flow_runs", open_states)],
        "Prefect knows of no open run",
    )
    client = mlflow.MlflowClient(f"http://127.0.0.1:{served.mlflow_port}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    found = client.search_runs(experiments, max_results=1000)
    assert {run.info.status for run in found} <= {"FINISHED", "KILLED", "FAILED"}
    pipelines = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    assert len(pipelines) >= num_runs
    assert {run.info.status for run in pipelines} == {"FINISHED"}, "each was gone on with"
    until(lambda: not runs_at_work(served), "the processes of all runs have ended", 60.0)


def runs_at_work(served: ServedHome, flow_run: str = "") -> list[psutil.Process]:
    """Living processes of flow runs, or of one."""
    found = []
    for process in processes_of(served.home).values():
        try:
            own = process.environ().get(FLOW_RUN_ID)
        except psutil.Error:  # it has just ended
            continue
        if own and (not flow_run or UUID(own) == UUID(flow_run)):
            found.append(process)
    return found
