"""How parts do, as servers tell that answer, refuse, or are not there."""

import json
import socket
from typing import Any

import pytest

from flows.dead_runs import worker_name
from flows.serve_health import Health, health
from flows.serve_parts import MLFLOW, POOL, PREFECT, WATCHER, WORKER
from tests.local_server import QuietHandler, serving


def answering(status: int, content: Any = None) -> type[QuietHandler]:
    """A server that answers every request so."""

    class Handler(QuietHandler):
        def get(self) -> None:
            self.answer(status, json.dumps(content).encode(), "application/json")

        def do_POST(self) -> None:  # noqa: N802  # as http.server wants it
            self.get()

    return Handler


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ("ONLINE", Health(True, f"takes runs from the work pool {POOL}")),
        ("OFFLINE", Health(False, f"has not been heard of by the work pool {POOL}")),
    ],
)
def test_of_a_worker_prefect_tells(status: str, what: Health) -> None:
    with serving(answering(200, [{"name": worker_name(), "status": status}])) as url:
        assert health(WORKER, url, "") == what


def test_a_server_that_fails_is_its_own_fault_and_not_the_worker_s() -> None:
    """Prefect's health does not ask its database, its workers do."""
    with serving(answering(503)) as url:
        servers = [health(PREFECT, url, ""), health(MLFLOW, "", url)]
        worker = health(WORKER, url, "")
    assert [(one.is_well, one.is_own_fault) for one in servers] == [(False, True)] * 2
    assert servers[1].what == f"answers 503 at {url}/health"
    assert (worker.is_well, worker.is_own_fault) == (False, False)
    assert worker.what.startswith(f"is not to be seen: Prefect answers 503 at {url}/api/work_pools")


def test_a_server_that_is_not_there_is_its_own_fault_and_not_the_worker_s() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        found = {part: health(part, url, url) for part in (PREFECT, MLFLOW, WORKER)}
    assert not any(one.is_well for one in found.values())
    assert {part: one.is_own_fault for part, one in found.items()} == {
        PREFECT: True,
        MLFLOW: True,
        WORKER: False,
    }
    assert health(WATCHER, url, url) == Health(True, "runs")
