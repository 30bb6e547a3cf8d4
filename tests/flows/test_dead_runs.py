"""Flow runs whose process is gone get a true state: on a real server, with real processes."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling, Pending, Running, State

from flows import dead_runs
from flows.dead_runs import settle_dead_runs, worker_name
from flows.prefect_api import PrefectApi, api_at
from flows.run_process import process_of, settle_in

HERE = socket.gethostname()


@flow
def writing() -> None:
    """A flow to make runs of."""


@pytest.fixture
def client(prefect_url: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def api(prefect_url: str) -> Iterator[PrefectApi]:
    api = api_at(prefect_url)
    yield api
    api.close()


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that was."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def run(
    client: SyncPrefectClient, state: State, process: str | None, *, worker: str | None = None
) -> FlowRun:
    """A flow run as its process, or its worker, has left it."""
    made = client.create_flow_run(writing, state=state)
    if process is not None:
        client.update_flow_run(made.id, infrastructure_pid=process)
    if worker is not None:
        client.update_flow_run_labels(made.id, {"prefect.worker.name": worker})
    return client.read_flow_run(made.id)


def state_of(client: SyncPrefectClient, run: FlowRun) -> State:
    state = client.read_flow_run(run.id).state
    assert state is not None
    return state


def test_a_run_whose_process_is_gone_is_crashed_and_says_how_to_go_on(
    client: SyncPrefectClient, api: PrefectApi, dead: int
) -> None:
    lost = run(client, Running(), f"{HERE}:{dead}:12345")
    told = settle_dead_runs(api, worker_name())
    assert [line for line in told if str(lost.id) in line]
    state = state_of(client, lost)
    assert state.type == StateType.CRASHED
    assert state.message and str(dead) in state.message and "run it again" in state.message
    assert not [one for one in settle_dead_runs(api, worker_name()) if str(lost.id) in one]


def test_its_tasks_are_crashed_with_it(
    client: SyncPrefectClient, api: PrefectApi, dead: int
) -> None:
    @task
    def counting() -> None: ...

    lost = run(client, Running(), f"{HERE}:{dead}:12345")
    step = client.create_task_run(counting, lost.id, dynamic_key="1", state=Running())
    settle_dead_runs(api, worker_name())
    assert client.read_task_run(step.id).state_type == StateType.CRASHED


def test_a_number_that_another_process_has_now_is_a_dead_run(
    client: SyncPrefectClient, api: PrefectApi
) -> None:
    lost = run(client, Running(), f"{HERE}:{os.getpid()}:1")
    settle_dead_runs(api, worker_name())
    assert state_of(client, lost).type == StateType.CRASHED


def test_runs_that_go_on_here_or_elsewhere_are_let_be(
    client: SyncPrefectClient, api: PrefectApi, dead: int
) -> None:
    here = run(client, Running(), None)
    settle_in(writing, here, None)
    elsewhere = run(client, Running(), f"elsewhere:{dead}:12345")
    unknown = run(client, Running(), None)
    settle_dead_runs(api, worker_name())
    noted = process_of(client.read_flow_run(here.id).infrastructure_pid)
    assert noted and noted.is_here and noted.is_alive and noted.number == os.getpid()
    for one in (here, elsewhere, unknown):
        assert state_of(client, one).type == StateType.RUNNING


def test_a_run_that_was_to_be_cancelled_is_cancelled(
    client: SyncPrefectClient, api: PrefectApi, dead: int
) -> None:
    lost = run(client, Cancelling(), f"{HERE}:{dead}:12345")
    settle_dead_runs(api, worker_name())
    assert state_of(client, lost).type == StateType.CANCELLED


@pytest.mark.parametrize("is_numbered", [False, True])
def test_a_run_that_its_worker_took_and_never_began_is_scheduled_again(
    client: SyncPrefectClient,
    api: PrefectApi,
    dead: int,
    is_numbered: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = str(dead) if is_numbered else None
    taken = run(client, Pending(), number, worker=worker_name())
    others = run(client, Pending(), number, worker="one elsewhere")
    settle_dead_runs(api, worker_name())
    assert state_of(client, taken).type == StateType.PENDING, "it may be starting"
    monkeypatch.setattr(dead_runs, "STARTING_SECONDS", 0.0)
    settle_dead_runs(api, worker_name())
    assert state_of(client, taken).type == StateType.SCHEDULED
    assert state_of(client, others).type == StateType.PENDING


@pytest.mark.parametrize(
    "noted", [None, "", "4711", "docker-container-4711", "host:", "host:word:1"]
)
def test_what_is_not_noted_by_a_run_names_no_process(noted: str | None) -> None:
    found: Any = process_of(noted)
    assert found is None
