"""One round of the caretaker: Prefect, MLflow and people hear of runs that nobody else tells of."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed, Running, State

from flows import caretaker, silent_runs
from flows.caretaker import take_care
from flows.notices import WEBHOOK
from flows.prefect_api import PrefectApi
from flows.silent_runs import SILENCE_SECONDS, automation, crash_silent_runs
from tasks.seams.tracking import TrackedRun, open_tracker
from tests.flows.webhook import Webhook, webhook
from tests.tasks.test_unfinished import dead_process, note, status

HERE = socket.gethostname()


@flow
def weaving(settings: dict[str, Any]) -> None:
    """A flow to make runs of."""


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of MLflow's store, which the caretaker finds by its environment, as the home's store."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("BOOKLOOM_STORE", str(tmp_path / "store"))
    return uri


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook() as hook:
        monkeypatch.setenv(WEBHOOK, hook.address)
        yield hook


def lost_run(
    client: SyncPrefectClient, uri: str, store: Path, state: State, host: str = HERE
) -> tuple[FlowRun, TrackedRun]:
    """A run as a process that was killed has left it: in Prefect, in MLflow, in its store."""
    settings = {"settings": {"store": str(store)}}
    made = client.create_flow_run(weaving, parameters=settings, name="lost", state=state)
    process = dead_process()
    client.update_flow_run(made.id, infrastructure_pid=f"{host}:{process}:12345")
    run = open_tracker(uri).start_run("lost")
    note(store, run, host=host, process=process, flow_run_id=str(made.id), machine="")
    return made, run


def notices_of(hook: Webhook, run: FlowRun) -> list[dict[str, Any]]:
    return [one for one in hook.posted if one["link"] and str(run.id) in one["link"]]


def test_a_run_lost_with_its_worker_is_told_and_closed_in_a_store_of_its_own(
    client: SyncPrefectClient, api: PrefectApi, uri: str, hook: Webhook, tmp_path: Path
) -> None:
    lost, run = lost_run(client, uri, tmp_path / "own", Running())
    stores: set[str] = set()
    for _ in range(2):
        take_care(api, stores)
    [notice] = notices_of(hook, lost)
    assert (notice["event"], notice["run"]) == ("crashed", "lost")
    assert notice["cause"].startswith("Its process ") and notice["cause"].endswith(" went down.")
    assert notice["remedy"].endswith("run it again with the same settings, and it goes on.")
    assert client.read_flow_run(lost.id).state_type == StateType.CRASHED
    assert status(uri, run) == "KILLED"
    assert stores == set()


@pytest.mark.parametrize("error", [RuntimeError("MLflow is away"), httpx.ConnectError("away")])
def test_a_server_that_is_away_is_told_later_and_the_other_now(
    client: SyncPrefectClient,
    api: PrefectApi,
    uri: str,
    hook: Webhook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def away(*_: Any) -> None:
        raise error

    lost, run = lost_run(client, uri, tmp_path / "own", Running())
    stores: set[str] = set()
    with monkeypatch.context() as patched:
        patched.setattr(caretaker, "tell_of_dead_runs", away)
        take_care(api, stores)
    assert client.read_flow_run(lost.id).state_type == StateType.CRASHED
    assert (status(uri, run), stores) == ("RUNNING", {str(tmp_path / "own")})
    with monkeypatch.context() as patched:
        patched.setattr(caretaker, "settle_dead_runs", away)
        take_care(api, stores)
    assert (status(uri, run), stores) == ("KILLED", set())
    assert len(notices_of(hook, lost)) == 1


def test_a_run_lost_with_its_machine_is_told_once_its_silence_is_noticed(
    client: SyncPrefectClient, api: PrefectApi, uri: str, hook: Webhook
) -> None:
    home = Path(os.environ["BOOKLOOM_STORE"])
    lost, run = lost_run(client, uri, home, Running(), "elsewhere")
    take_care(api, set())
    assert (status(uri, run), notices_of(hook, lost)) == ("RUNNING", [])
    [action] = automation()["actions"]
    client.set_flow_run_state(lost.id, Crashed(message=action["message"]))
    for _ in range(2):
        take_care(api, set())
    [notice] = notices_of(hook, lost)
    assert notice["cause"] == f"No sign of life for {SILENCE_SECONDS} seconds."
    assert notice["remedy"].endswith("run it again with the same settings, and it goes on.")
    assert status(uri, run) == "KILLED"


def test_of_a_run_elsewhere_that_has_told_itself_nothing_is_told_again(
    client: SyncPrefectClient, api: PrefectApi, uri: str, hook: Webhook
) -> None:
    home = Path(os.environ["BOOKLOOM_STORE"])
    lost, run = lost_run(client, uri, home, Running(), "elsewhere")
    client.set_flow_run_state(lost.id, Crashed(message="Execution was cut off."))
    take_care(api, set())
    assert (status(uri, run), notices_of(hook, lost)) == ("KILLED", [])


@pytest.mark.parametrize("is_enabled", [True, False])
def test_an_automation_that_was_turned_off_stays_so(is_enabled: bool) -> None:
    made = {"id": "7", "enabled": is_enabled}
    put: dict[str, Any] = {}

    class Api:
        def post(self, path: str, content: Any) -> list[dict[str, Any]]:
            assert path == "/automations/filter"
            assert content == {"automations": {"name": {"any_": [silent_runs.NAME]}}}
            return [made]

        def put(self, path: str, content: dict[str, Any]) -> None:
            put[path] = content

    crash_silent_runs(cast(PrefectApi, Api()))
    assert put == {"/automations/7": {**automation(), "enabled": is_enabled}}


def test_silence_is_longer_than_four_of_prefects_own_signs_of_life() -> None:
    assert SILENCE_SECONDS > 4 * 180
