"""Failure is told, once, whatever the webhook does; and a killed run leaves nothing "running"."""

import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import mlflow
import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelling, Crashed, Running

from data.errors import UserMistake
from flows import notices
from flows.notices import TOLD, WEBHOOK, send, tell_of_dead_runs
from flows.running import run_pipeline
from tasks.seams.unfinished import close_dead_runs
from tests.flows.webhook import webhook

ROOT = Path(__file__).parents[2]
NOTICE = {"text": "retrain plays failed in read: no such file\nCorrect the name."}
LOGGER = logging.getLogger("bookloom")


def test_a_notice_is_logged_and_posted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with webhook() as hook:
        monkeypatch.setenv(WEBHOOK, hook.address)
        send(NOTICE, LOGGER)
    assert hook.posted == [NOTICE]
    assert hook.content_types == {"application/json"}
    assert caplog.messages == [NOTICE["text"]]


def test_without_a_webhook_it_is_logged_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(WEBHOOK, raising=False)
    send(NOTICE, LOGGER)
    assert caplog.messages == [NOTICE["text"]]


@pytest.mark.parametrize(
    ("statuses", "num_posts", "reason"),
    [
        ((500, 503, 200), 3, None),
        ((429, 200), 2, None),
        ((500,), 3, "HTTP 500"),
        ((404,), 1, "HTTP 404"),
        ((0,), 3, "TimeoutError"),
    ],
)
def test_a_webhook_that_refuses_is_tried_again_where_that_may_help(
    statuses: tuple[int, ...],
    num_posts: int,
    reason: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(notices, "SECONDS_BETWEEN_TRIES", 0.01)
    monkeypatch.setattr(notices, "SECONDS_A_TRY", 0.2 if 0 in statuses else 10.0)
    with webhook(*statuses, slow_seconds=1.0) as hook:
        monkeypatch.setenv(WEBHOOK, hook.address)
        send(NOTICE, LOGGER)
    assert hook.posted == [NOTICE] * num_posts
    told = caplog.messages[1:]
    assert told == ([f"{WEBHOOK}, at 127.0.0.1, was not told: {reason}"] if reason else [])
    assert "secret" not in caplog.text


def test_a_webhook_that_is_not_there_or_is_no_address(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notices, "SECONDS_BETWEEN_TRIES", 0.01)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address, reason in (
        (f"http://127.0.0.1:{port}/secret", "ConnectionRefusedError"),
        ("file:///etc/secret", "its address begins with neither http:// nor https://"),
        ("secret", "its address begins with neither http:// nor https://"),
        ("http://", "no host given"),
        ("http://127.0.0.1:secret/", "InvalidURL"),
    ):
        caplog.clear()
        monkeypatch.setenv(WEBHOOK, address)
        send(NOTICE, LOGGER)
        assert caplog.messages[1].endswith(f"was not told: {reason}")
        assert "secret" not in caplog.text


def test_a_webhook_that_never_ends_does_not_hold_up_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notices, "MOST_SECONDS", 0.2)
    with webhook(0, slow_seconds=2.0) as hook:
        monkeypatch.setenv(WEBHOOK, hook.address)
        send(NOTICE, LOGGER)
        assert caplog.messages[1].endswith("was not told: it has not answered in time")


def test_a_run_that_fails_tells_the_step_the_cause_the_remedy_and_the_place(
    miniature_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**miniature_run.settings, "read": {"books": [str(tmp_path / "gone.txt")]}}
    with webhook() as hook:
        monkeypatch.setenv(WEBHOOK, hook.address)
        with pytest.raises(UserMistake) as mistake:
            run_pipeline(settings)
    [notice] = hook.posted
    assert notice["event"] == "failed"
    assert notice["run"].startswith("retrain gone.txt ") and notice["run"].endswith(" miniature")
    assert (notice["flow"], notice["steps"]) == ("bookloom", ["read"])
    assert (notice["cause"], notice["remedy"]) == (mistake.value.message, mistake.value.remedy)
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(UUID(notice["link"].rsplit("/", 1)[-1]))
    assert (flow_run.name, flow_run.state_type) == (notice["run"], StateType.FAILED)
    for part in (notice["run"], "failed in read", notice["cause"], notice["remedy"]):
        assert part in notice["text"]
    assert notice["text"].endswith(notice["link"])


def test_a_fault_of_the_code_is_told_without_passwords_and_a_part_of_a_run_is_told_once(
    prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @task(task_run_name="ask", persist_result=False)
    def ask() -> None:
        raise RuntimeError("no answer from postgresql://me:hush@db/x\x1b[31m\nat all")

    @flow(name="inner", persist_result=False, **TOLD)
    def inner() -> None:
        ask()

    @flow(name="outer", flow_run_name="the outer one", persist_result=False, **TOLD)
    def outer() -> None:
        inner()

    with webhook() as hook:
        monkeypatch.setenv(WEBHOOK, hook.address)
        with pytest.raises(RuntimeError):
            outer()
    [notice] = hook.posted
    assert (notice["run"], notice["flow"]) == ("the outer one", "outer")
    cause = "RuntimeError: no answer from postgresql://db/x [31m at all"
    assert notice["cause"] == cause


@pytest.mark.parametrize(
    ("before", "event", "state"),
    [
        (Cancelling(), "cancelled", StateType.CANCELLED),
        (Running(), "crashed", StateType.CRASHED),
    ],
)
def test_a_run_that_was_ended_as_it_was_to_be_cancelled_is_cancelled(
    prefect_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: State[Any],
    event: str,
    state: StateType,
) -> None:
    """Prefect takes a SIGTERM for a crash where no worker has announced it."""

    @flow
    def weaving(settings: dict[str, Any]) -> None: ...

    crashed: State[Any] = Crashed(message="Execution was aborted by a termination signal.")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with webhook() as hook, get_client(sync_client=True) as client:
        monkeypatch.setenv(WEBHOOK, hook.address)
        parameters = {"settings": {"store": str(tmp_path)}}
        made = client.create_flow_run(weaving, parameters=parameters, state=Running())
        for one in (before, crashed):
            client.set_flow_run_state(made.id, one, force=True)
        notices.tell(weaving, client.read_flow_run(made.id), crashed)
        assert client.read_flow_run(made.id).state_type == state
    [notice] = hook.posted
    assert notice["event"] == event


def test_a_run_is_crashed_in_prefect_though_mlflow_is_away(
    prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise RuntimeError("MLflow is away")

    @flow
    def weaving() -> None: ...

    @task
    def counting() -> None: ...

    monkeypatch.setattr(notices, "close_dead_runs", away)
    with get_client(sync_client=True) as client:
        made = client.create_flow_run(weaving, state=Crashed())
        step = client.create_task_run(counting, made.id, dynamic_key="1", state=Running())
        notices.tell(weaving, client.read_flow_run(made.id), Crashed())
        assert client.read_task_run(step.id).state_type == StateType.CRASHED


def test_a_killed_run_is_closed_and_told_of_once_someone_looks(
    prefect_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, uri = str(tmp_path / "store"), f"sqlite:///{tmp_path}/mlflow.db"
    run_itself = Path(__file__).with_name("dying_run.py")
    process = subprocess.Popen(
        [sys.executable, run_itself, store, uri],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": prefect_url},
    )
    assert process.stdout and process.stderr
    begun = process.stdout.readline().split()
    assert begun[:1] == ["BEGUN"], process.stderr.read()
    _, mlflow_run_id, flow_run_id = begun
    try:
        assert close_dead_runs(store, uri) == []  # it lives
        assert states(uri, mlflow_run_id, flow_run_id) == (
            {"dying": "RUNNING", "training": "RUNNING"},
            {"a run that dies": StateType.RUNNING, "hang": StateType.RUNNING},
        )
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with webhook() as hook:
        monkeypatch.setenv(WEBHOOK, hook.address)
        [closed] = tell_of_dead_runs(store, uri, LOGGER)
        assert tell_of_dead_runs(store, uri, LOGGER) == []
    assert closed == ("a run that dies", mlflow_run_id, flow_run_id, True)
    [notice] = hook.posted
    assert (notice["event"], notice["steps"]) == ("crashed", ["hang"])
    assert flow_run_id in notice["link"]
    assert states(uri, mlflow_run_id, flow_run_id) == (
        {"dying": "KILLED", "training": "KILLED"},
        {"a run that dies": StateType.CRASHED, "hang": StateType.CRASHED},
    )


def states(
    uri: str, mlflow_run_id: str, flow_run_id: str
) -> tuple[dict[str, str], dict[str, StateType | None]]:
    """Of a run and its child in MLflow, of its flow run and its task in Prefect."""
    client = mlflow.MlflowClient(uri)
    run = client.get_run(mlflow_run_id)
    own = f"tags.`mlflow.parentRunId` = '{mlflow_run_id}'"
    children = client.search_runs([run.info.experiment_id], own)
    in_mlflow = {child.data.tags["part"]: child.info.status for child in children}
    with get_client(sync_client=True) as prefect:
        flow_run = prefect.read_flow_run(UUID(flow_run_id))
        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id]))
        tasks = prefect.read_task_runs(flow_run_filter=only)
    in_prefect = {flow_run.name: flow_run.state_type, **{t.name: t.state_type for t in tasks}}
    return {"dying": run.info.status, **in_mlflow}, in_prefect
