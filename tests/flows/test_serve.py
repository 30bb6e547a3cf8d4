"""`bookloom serve` for real: servers, worker, a shelf that changes, parts that are killed.

The tests go on from one another, in the order in which they stand: starting all takes long.
"""

import json
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from flows.serving_note import serving
from flows.silent_runs import HEARTBEAT, NAME, SILENCE_SECONDS, crash_silent_runs
from tests.conftest import miniature_book
from tests.flows.served_home import ServedHome, processes_of, serve, until, write_deployments
from tests.miniature import tiny_settings

RUN_SECONDS = 240.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHome]:
    """A home that is served, with two books on its shelf from the start."""
    home = tmp_path_factory.mktemp("served")
    (home / "shelf").mkdir()
    for seed in range(2):
        (home / "shelf" / f"tale_{seed}.txt").write_text(miniature_book(seed))
    settings = {**tiny_settings(home / "shelf", home / "store"), "read": {"books": ["watched"]}}
    write_deployments(home, settings)
    served = serve(home, is_first=True)
    try:
        served.wait_until_ready()
        yield served
    finally:
        if served.process.poll() is None:
            served.process.kill()
        left = processes_of(home)
        for process in left.values():
            process.kill()


def runs(served: ServedHome) -> list[dict[str, Any]]:
    """Flow runs of the pipeline, the oldest first."""
    found = [*served.prefect.every("flow_runs", {})]
    return sorted(found, key=lambda run: str(run["created"]))


def finished(served: ServedHome, number: int) -> dict[str, Any]:
    """The record of a run, once it has ended; the first has number 0."""

    def is_over() -> bool:
        made = runs(served)
        return len(made) > number and made[number]["state_type"] in (
            "COMPLETED",
            "FAILED",
            "CRASHED",
        )

    until(is_over, f"run {number} is over", RUN_SECONDS)
    run = runs(served)[number]
    assert run["state_type"] == "COMPLETED", run["state"]
    records = sorted((served.home / "store" / "runs").glob("*.json"))
    record: dict[str, Any] = json.loads(records[number].read_text())
    return record


def test_books_that_were_there_are_trained_on_even_if_the_worker_dies_meanwhile(
    served: ServedHome,
) -> None:
    """The first of all, for their run begins by itself."""

    def is_running() -> bool:
        made = runs(served)
        return bool(made) and made[0]["state_type"] == "RUNNING"

    until(is_running, "the first run has begun", RUN_SECONDS)
    worker = served.command_of("worker")
    worker.kill()
    record = finished(served, 0)
    assert record["tables"]["books"]["num_rows"] == 2
    assert record["mlflow_run_id"]
    until(lambda: served.is_well("worker"), "the worker is back")
    assert "worker       ended by signal 9; it is started again" in served.told


def test_all_parts_are_well_and_said_so(served: ServedHome) -> None:
    checked = served.ask("serve", "--check", "--json")
    assert checked.exit_code == 0, checked.output
    answer = json.loads(checked.output)
    assert answer["process"] == served.process.pid
    assert set(answer["parts"]) == {"prefect", "mlflow", "worker", "watcher", "caretaker"}
    assert served.ask("serve", "--check").output.count("well") == 5
    for url in (
        f"http://127.0.0.1:{served.prefect_port}",
        f"http://127.0.0.1:{served.mlflow_port}",
    ):
        assert url in served.told
    assert {"prefect.log", "mlflow.log", "worker.log", "watcher.log", "caretaker.log"} <= {
        path.name for path in (served.home / "logs").iterdir()
    }


def test_a_second_one_is_refused(served: ServedHome) -> None:
    second = served.ask("serve")
    assert second.exit_code == 2
    assert f"process {served.process.pid} since" in second.errors


def test_all_listens_to_this_machine_alone(served: ServedHome) -> None:
    addresses = {
        connection.laddr
        for process in processes_of(served.home).values()
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert {served.prefect_port, served.mlflow_port} <= {address.port for address in addresses}
    assert {address.ip for address in addresses} == {"127.0.0.1"}
    others = [
        one.address
        for each in psutil.net_if_addrs().values()
        for one in each
        if one.family == socket.AF_INET and not one.address.startswith("127.")
    ]
    for address in others:
        for port in (served.prefect_port, served.mlflow_port):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, port), timeout=5).close()


def test_pages_elsewhere_get_nothing(served: ServedHome) -> None:
    mlflow = f"http://127.0.0.1:{served.mlflow_port}"
    search = f"{mlflow}/api/2.0/mlflow/experiments/search"
    assert httpx.post(search, json={"max_results": 1}).status_code == 200
    renamed = httpx.post(search, json={"max_results": 1}, headers={"Host": "evil.example"})
    assert renamed.status_code == 403
    foreign = {"Origin": "http://evil.example"}
    assert httpx.post(search, json={"max_results": 1}, headers=foreign).status_code == 403
    prefect = f"http://127.0.0.1:{served.prefect_port}/api/health"
    own = {"Origin": f"http://localhost:{served.prefect_port}"}
    assert "access-control-allow-origin" in httpx.get(prefect, headers=own).headers
    assert "access-control-allow-origin" not in httpx.get(prefect, headers=foreign).headers


def test_prefects_page_asks_the_right_server(served: ServedHome) -> None:
    prefect = f"http://127.0.0.1:{served.prefect_port}"
    assert "<html" in httpx.get(prefect, follow_redirects=True).text.lower()
    settings = httpx.get(f"{prefect}/ui-settings").json()
    assert settings["api_url"] == f"{prefect}/api"


def test_a_new_book_retrains_by_itself_and_is_there_in_mlflow(served: ServedHome) -> None:
    (served.home / "shelf" / "new.txt").write_text(miniature_book(9))
    record = finished(served, 1)
    assert record["tables"]["books"]["num_rows"] == 3
    assert {"read", "tokenise", "train"} <= set(record["recomputed"])
    assert len(runs(served)) == 2, "one run a change"
    mlflow = f"http://127.0.0.1:{served.mlflow_port}/api/2.0/mlflow/runs/get"
    found = httpx.get(mlflow, params={"run_id": record["mlflow_run_id"]}).json()
    assert found["run"]["info"]["status"] == "FINISHED"


def test_a_run_that_nothing_has_changed_for_recomputes_nothing(served: ServedHome) -> None:
    [deployment] = served.prefect.post("/deployments/filter", {})
    served.prefect.post(f"/deployments/{deployment['id']}/create_flow_run", {})
    assert finished(served, 2)["recomputed"] == []


def test_a_run_elsewhere_that_falls_silent_is_crashed(served: ServedHome) -> None:
    api = served.prefect
    [made] = api.post("/automations/filter", {"automations": {"name": {"any_": [NAME]}}})
    assert made["enabled"] and made["trigger"]["within"] == SILENCE_SECONDS
    crash_silent_runs(api, 10)
    running = {"type": "RUNNING", "name": "Running"}
    run = api.post("/flow_runs/", {"flow_id": runs(served)[0]["flow_id"], "state": running})
    sign = {"prefect.resource.id": f"prefect.flow-run.{run['id']}"}
    beat = {"event": HEARTBEAT, "resource": sign, "occurred": datetime.now(UTC).isoformat()}
    api.post("/events", [{**beat, "id": str(uuid4())}])

    def state() -> dict[str, Any]:
        found: dict[str, Any] = api.get(f"/flow_runs/{run['id']}")["state"]
        return found

    until(lambda: state()["type"] == "CRASHED", "the silence is noticed")
    assert "No sign of life" in state()["message"]
    crash_silent_runs(api)


def test_a_part_that_is_killed_comes_back(served: ServedHome) -> None:
    """The servers and the worker are killed in tests/faults."""
    before = served.part("watcher")
    served.command_of("watcher").kill()

    def is_back() -> bool:
        note = serving(served.home)
        return note is not None and note.parts.get("watcher", before) != before

    until(is_back, "it is started again")
    until(lambda: served.is_well("watcher"), "it is well again")
    assert served.part("watcher") != before


def test_sigterm_stops_all_and_leaves_nothing_that_seems_to_run(served: ServedHome) -> None:
    [deployment] = served.prefect.post("/deployments/filter", {})
    settings = deployment["parameters"]["settings"]
    endless = {**settings, "train": {**settings["train"], "num_epochs": 100_000}}
    parameters = {"parameters": {"settings": endless}}
    made = served.prefect.post(f"/deployments/{deployment['id']}/create_flow_run", parameters)
    steps = {"flow_runs": {"id": {"any_": [made["id"]]}}}
    until(lambda: len([*served.prefect.every("task_runs", steps)]) > 4, "it trains")
    assert len(processes_of(served.home)) > 10
    assert served.stop() == 0, served.told
    with closing(sqlite3.connect(served.home / "prefect" / "prefect.db")) as prefect:
        query = "SELECT state_type FROM flow_run WHERE id = ?"
        assert prefect.execute(query, [made["id"]]).fetchall() == [("CRASHED",)]
        assert not prefect.execute("SELECT 1 FROM task_run WHERE state_type = 'RUNNING'").fetchall()
    with closing(sqlite3.connect(served.home / "mlflow" / "mlflow.db")) as mlflow:
        assert mlflow.execute("SELECT status FROM runs WHERE status = 'KILLED'").fetchall()
        assert not mlflow.execute("SELECT status FROM runs WHERE status = 'RUNNING'").fetchall()
    assert "nothing is left running" in served.told
    assert processes_of(served.home) == {}
    checked = served.ask("serve", "--check")
    assert checked.exit_code == 1 and "nobody serves it" in checked.output


def test_when_it_is_killed_nothing_is_left_and_it_can_be_started_again(served: ServedHome) -> None:
    again = serve(served.home)
    until(lambda: (note := serving(again.home)) and note.is_up, "its servers answer")
    assert len(processes_of(again.home)) > 4
    again.process.send_signal(signal.SIGKILL)
    again.process.wait()
    until(lambda: not processes_of(again.home), "nothing is left", 60)
    assert serving(again.home) is None


@pytest.mark.parametrize("name", ["prefect", "mlflow"])
def test_a_port_in_use_is_named_before_anything_starts(name: str, tmp_path: Path) -> None:
    write_deployments(tmp_path, {})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = serve(tmp_path, **{f"{name}_port": port})
        assert refused.process.wait(timeout=60) == 2
    assert f"Port {port} of 127.0.0.1 cannot be had" in refused.told
    assert f"--{name}-port or BOOKLOOM_{name.upper()}_PORT" in refused.told
    assert not (tmp_path / "logs").exists()
