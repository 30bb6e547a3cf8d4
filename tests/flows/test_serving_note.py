"""One serves a home at a time, and its note holds no longer than it lives."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from data.errors import UserMistake
from flows import environment
from flows.serving_note import Served, alone, serving, write_note

ROOT = Path(__file__).parents[2]


def note(**changes: Any) -> Served:
    about: dict[str, Any] = {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "since_unix_seconds": time.time(),
        "prefect_url": "http://127.0.0.1:4242",
        "mlflow_url": "http://127.0.0.1:5252",
        "shelf": "/books",
        "is_up": True,
    }
    return Served(**{**about, **changes})


def test_a_note_holds_while_its_writer_serves(tmp_path: Path) -> None:
    assert serving(tmp_path) is None
    with alone(tmp_path):
        assert serving(tmp_path) is None
        write_note(tmp_path, note())
        assert serving(tmp_path) == note(since_unix_seconds=serving(tmp_path).since_unix_seconds)
    assert serving(tmp_path) is None


def test_a_second_one_is_told_who_serves(tmp_path: Path) -> None:
    with alone(tmp_path):
        write_note(tmp_path, note())
        with (
            pytest.raises(UserMistake, match=f"process {os.getpid()} since .*4242"),
            alone(tmp_path),
        ):
            pass
        assert serving(tmp_path), "who serves goes on"


def test_a_note_whose_writer_was_killed_says_nothing(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from flows.serving_note import alone
with alone(Path(sys.argv[1])):
    print("serving", flush=True)
    time.sleep(600)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert server.stdout is not None and server.stdout.readline()
    write_note(tmp_path, note(process=server.pid))
    assert serving(tmp_path)
    server.send_signal(signal.SIGKILL)
    server.wait()
    assert serving(tmp_path) is None
    with alone(tmp_path):
        pass


def test_the_next_one_waits_for_what_a_killed_one_has_left(tmp_path: Path) -> None:
    keeper = subprocess.Popen([sys.executable, "-c", "input()", "keeper.py"], stdin=subprocess.PIPE)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_note(tmp_path, note(parts={"prefect": keeper.pid, "mlflow": other.pid, "worker": 2**22}))
    seen: list[Served | None] = []

    def end() -> None:
        seen.append(serving(tmp_path))
        keeper.communicate(b"\n")

    threading.Timer(1.0, end).start()
    with alone(tmp_path):
        assert seen == [None], "nobody is sent to servers that are dead"
        assert keeper.wait(10) == 0  # asked at once, it may not have been buried yet
        assert other.poll() is None, "its number is another's now"
    other.communicate(b"\n")


def test_a_note_of_another_machine_is_not_for_this_one(tmp_path: Path) -> None:
    with alone(tmp_path):
        write_note(tmp_path, note(host="elsewhere"))
        assert serving(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", '{"host": 1}'])
def test_a_note_that_is_damaged_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "serving.lock").touch()
    (tmp_path / "serving.json").write_text(content)
    assert serving(tmp_path) is None


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """This process's environment, with a home of its own, for the test alone."""
    with patch.dict(os.environ) as environ:
        for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
            environ.pop(name, None)
        environ |= {"BOOKLOOM_HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path / "prefect")}
        yield environ


def test_commands_use_who_serves(tmp_path: Path, environ: dict[str, str]) -> None:
    with alone(tmp_path):
        write_note(tmp_path, note(is_up=False))
        environment.prepare()
        assert "PREFECT_API_URL" not in environ, "its servers are only starting"
        assert environment.tracking_uri().startswith("sqlite:")
        write_note(tmp_path, note())
        environment.prepare()
        assert environ["PREFECT_API_URL"] == "http://127.0.0.1:4242/api"
        assert environment.tracking_uri() == "http://127.0.0.1:5252"
        assert environment.ui_commands()["MLflow"] == "http://127.0.0.1:5252"


def test_the_command_that_opens_mlflow_has_no_password(environ: dict[str, str]) -> None:
    environ["MLFLOW_TRACKING_URI"] = "postgresql+psycopg2://weaver:hush@db:5432/mlflow"
    command = environment.ui_commands()["MLflow"]
    assert command.endswith(" --backend-store-uri postgresql+psycopg2://db:5432/mlflow")


def test_a_users_own_servers_are_kept(tmp_path: Path, environ: dict[str, str]) -> None:
    environ["PREFECT_API_URL"] = "http://prefect.example/api"
    environ["MLFLOW_TRACKING_URI"] = "http://mlflow.example"
    with alone(tmp_path):
        write_note(tmp_path, note())
        environment.prepare()
        assert environ["PREFECT_API_URL"] == "http://prefect.example/api"
        assert environment.tracking_uri() == "http://mlflow.example"
