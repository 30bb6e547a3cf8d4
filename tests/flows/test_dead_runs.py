"""Flow runs whose process is gone get a true state: on a real server, with real processes."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling, Pending, Running, State

from flows import dead_runs, run_process
from flows.dead_runs import settle_dead_runs, worker_name
from flows.prefect_api import PrefectApi
from flows.run_process import OUTPUT, process_of, settle_in
from tasks.seams.processes import Process, began, boot, machine

HERE = socket.gethostname()


@flow
def writing() -> None:
    """A flow to make runs of."""


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
    [told] = [one for one in settle_dead_runs(api, worker_name()) if one[0] == str(lost.id)]
    assert (told.name, told.state_type, told.store) == (lost.name, "CRASHED", None)
    state = state_of(client, lost)
    assert state.type == StateType.CRASHED
    assert state.message and str(dead) in state.message and "run it again" in state.message
    assert told.message == state.message
    assert not [one for one in settle_dead_runs(api, worker_name()) if one[0] == str(lost.id)]


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
    container = run(client, Running(), f"{HERE}:{dead}:{boot()} 1:{boot()} pid:[1]")
    unknown = run(client, Running(), None)
    settle_dead_runs(api, worker_name())
    noted = process_of(client.read_flow_run(here.id).infrastructure_pid)
    assert noted == Process.here()
    for one in (here, elsewhere, container, unknown):
        assert state_of(client, one).type == StateType.RUNNING


def test_a_run_that_was_to_be_cancelled_is_cancelled(
    client: SyncPrefectClient, api: PrefectApi, dead: int
) -> None:
    lost = run(client, Cancelling(), f"{HERE}:{dead}:12345")
    settle_dead_runs(api, worker_name())
    assert state_of(client, lost).type == StateType.CANCELLED


def test_a_process_that_works_on_though_its_run_was_to_be_cancelled_is_ended(
    client: SyncPrefectClient, api: PrefectApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["sleep", "600"]) as going_on, subprocess.Popen(["sleep", "9"]) as other:
        noted = [f"{HERE}:{one.pid}:{began(one.pid)}:{machine()}" for one in (going_on, other)]
        run_of = run(client, Cancelling(), noted[0])
        run(client, Running(), noted[1])
        settle_dead_runs(api, worker_name())
        assert going_on.poll() is None, "its worker may be about to end it"
        monkeypatch.setattr(dead_runs, "CANCELLING_SECONDS", 0.0)
        settle_dead_runs(api, worker_name())
        assert going_on.wait(timeout=30) == -signal.SIGTERM
        assert other.poll() is None
        other.kill()
    settle_dead_runs(api, worker_name())
    assert state_of(client, run_of).type == StateType.CANCELLED


@pytest.mark.parametrize(
    ("noted", "is_ours"),
    [
        (None, True),
        ("4711", True),
        (f"{HERE}:4711:12345", True),
        ("http+docker://localhost:0123456789ab", False),
        ("3fa85f64:books:bookloom-4711", False),
        ("3fa85f64:bookloom-4711", False),
    ],
)
def test_by_what_other_workers_have_noted_they_find_their_run(
    client: SyncPrefectClient, noted: str | None, is_ours: bool
) -> None:
    begun = run(client, Running(), noted)
    settle_in(writing, begun, None)
    own = ":".join(map(str, Process.here()))
    wanted = own if is_ours else noted
    assert client.read_flow_run(begun.id).infrastructure_pid == wanted


def test_a_run_prints_into_its_file_though_prefect_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: Any) -> None:
        raise ConnectionError

    printed_into: list[str | None] = []
    monkeypatch.setattr(run_process, "_print_into", printed_into.append)
    monkeypatch.setattr("prefect.client.orchestration.get_client", away)
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "7")
    monkeypatch.setenv(OUTPUT, str(tmp_path / "runs.log"))
    with pytest.raises(ConnectionError):
        settle_in(writing, SimpleNamespace(id="7"), None)
    assert printed_into == [str(tmp_path / "runs.log")]


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
