"""A command that has a Prefect server of its own tells it first which runs were killed."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running

from data.settings import Settings
from flows import running
from flows.running import run_flow


class NoSettings(Settings):
    """Of a flow that does nothing."""


@flow
def writing() -> None:
    """A flow to make a run of."""


@pytest.mark.parametrize("is_temporary", [True, False])
def test_killed_runs_are_told_of_where_nobody_else_does(
    prefect_url: str, monkeypatch: pytest.MonkeyPatch, is_temporary: bool
) -> None:
    @contextmanager
    def server(meanwhile: Callable[[], object]) -> Iterator[object]:
        with temporary_settings({PREFECT_API_URL: prefect_url}):
            yield meanwhile()

    monkeypatch.setattr(running, "prefect_server", server)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with get_client(sync_client=True) as client:
        killed = client.create_flow_run(writing, state=Running())
        noted = f"{socket.gethostname()}:{dead.pid}:12345"
        client.update_flow_run(killed.id, infrastructure_pid=noted)
        there = {} if is_temporary else {PREFECT_API_URL: prefect_url}
        with temporary_settings(there, restore_defaults={PREFECT_API_URL}):
            assert run_flow(lambda: (lambda settings: {"ran": settings}, NoSettings), {})
        state = client.read_flow_run(killed.id).state_type
    assert state == (StateType.CRASHED if is_temporary else StateType.RUNNING)
