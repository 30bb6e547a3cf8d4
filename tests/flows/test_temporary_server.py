"""The command line's own Prefect server: there for the block, and never longer than the command."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
from prefect.settings import PREFECT_API_URL

from flows.temporary_server import prefect_server
from tests.flows.served_home import environment, processes_of, until
from tests.forks import Fork
from tests.servers.prefect_database import NAME, put_database

ROOT = Path(__file__).parents[2]
PROGRAM = """
import time
from flows.environment import prepare
prepare()
from flows.temporary_server import prefect_server
from prefect.client.orchestration import get_client
with prefect_server(str):
    with get_client(sync_client=True) as client:
        print(client.hello().status_code, flush=True)
    time.sleep(600)
"""
MANY_TASKS = 200
RUN_OF_TASKS = f"""
from prefect import flow, task
from flows.environment import prepare
prepare()
from flows.temporary_server import prefect_server

@task
def nothing(number):
    pass

@flow
def many_tasks():
    for number in range({MANY_TASKS}):
        nothing(number)

with prefect_server(str):
    many_tasks()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    put_database(home / "prefect")
    yield home
    for process in processes_of(home).values():
        process.kill()


def program(home: Path, text: str = PROGRAM) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", text]
    return subprocess.Popen(
        command, env=environment(home), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_a_server_that_is_set_is_used(prefect_url: str) -> None:
    with prefect_server(str):
        assert PREFECT_API_URL.value() == prefect_url


def test_threads_that_know_nothing_else_use_it(prefect_url: str) -> None:
    """Prefect's own threads are such; one that knew of no server would start another."""
    found: list[str | None] = []
    thread = Thread(target=lambda: found.append(PREFECT_API_URL.value()))
    thread.start()
    thread.join()
    assert found == [prefect_url]


def test_how_tasks_ended_is_written_down_before_it_ends(home: Path) -> None:
    """The server takes longer to write than to hear; a task that is lost would run for ever."""
    command = program(home, RUN_OF_TASKS)
    command.communicate(timeout=300)
    with closing(sqlite3.connect(home / "prefect" / NAME)) as database:
        states = database.execute("SELECT state_type FROM task_run").fetchall()
    assert states == [("COMPLETED",)] * MANY_TASKS


@pytest.mark.faults
def test_it_is_gone_when_its_command_is_killed(home: Path) -> None:
    command = program(home)
    assert command.stdout is not None and command.stdout.readline() == "200\n"
    assert len(processes_of(home)) > 1
    command.kill()
    command.wait()
    until(lambda: not processes_of(home), "the server is gone", 30)


def test_sigterm_ends_a_run_as_ctrl_c_does(home: Path, miniature_shelf: Path) -> None:
    own = {"BOOKLOOM_DEPLOYMENTS": str(ROOT / "prefect.yaml"), "PREFECT_LOGGING_LEVEL": "INFO"}
    arguments = ["run", "--books", str(miniature_shelf)]
    command = Fork("flows.command_line", arguments, environment(home) | own, home / "run")
    command.wait_for_errors("tokenise: running")
    command.terminate()
    code, _, told = command.ended()
    assert code == 2
    assert "Stopped." in told and "What was finished is kept" in told and "Traceback" not in told
    until(lambda: not processes_of(home), "nothing is left", 30.0)
