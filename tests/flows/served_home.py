"""`bookloom serve` as a process, on free ports and a home of its own, to be looked at."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from flows.prefect_api import PrefectApi
from flows.serving_note import serving
from tests.forks import Ended, Fork
from tests.servers.prefect_database import put_database

BOOKLOOM = str(Path(sys.executable).parent / "bookloom")
START_SECONDS = 240.0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until(condition: Callable[[], Any], what: str, seconds: float = START_SECONDS) -> Any:
    """What a condition gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


def processes_of(home: Path) -> dict[int, psutil.Process]:
    """All processes, whosever children, that work for a home."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get("BOOKLOOM_HOME") == str(home) and process.is_running():
                found[process.pid] = process
        except psutil.Error:
            continue
    return found


@dataclass
class ServedHome:
    """A home, and who serves it."""

    home: Path
    prefect_port: int
    mlflow_port: int
    process: subprocess.Popen[str]

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.home)

    @property
    def prefect(self) -> PrefectApi:
        return PrefectApi(f"http://127.0.0.1:{self.prefect_port}/api", None)

    @property
    def told(self) -> str:
        """What it has said on the terminal."""
        return (self.home / "terminal.log").read_text()

    def ask(self, *arguments: str) -> Ended:
        """Another command on the same home."""
        folder = self.home / "asked"
        return Fork("flows.command_line", [*arguments], self.environment, folder).ended()

    def part(self, name: str) -> int:
        """The process that keeps a part."""
        note = serving(self.home)
        assert note is not None
        return note.parts[name]

    def command_of(self, name: str) -> psutil.Process:
        """The process of a part itself, below its keeper; it may be just starting again."""

        def found() -> psutil.Process | None:
            try:
                [process] = psutil.Process(self.part(name)).children()
            except (KeyError, ValueError, psutil.Error):
                return None
            return process

        process = until(found, f"{name} runs")
        assert isinstance(process, psutil.Process)
        return process

    def is_well(self, *names: str) -> bool:
        answer = json.loads(self.ask("serve", "--check", "--json").output)
        return all(answer["parts"][name]["is_well"] for name in names)

    def wait_until_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, self.told
            return "  ready  " in self.told

        try:
            until(is_ready, "ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.told}") from None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=120)


def environment(home: Path) -> dict[str, str]:
    """Of commands on a home; its worker asks often for runs."""
    own = {
        "BOOKLOOM_HOME": str(home),
        "BOOKLOOM_DEPLOYMENTS": str(home / "deployments.yaml"),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "5",
    }
    others = ("PREFECT_API", "PREFECT_HOME", "MLFLOW_TRACKING")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**kept, "HOME": str(home), **own}


def write_deployments(home: Path, settings: dict[str, Any]) -> None:
    """One deployment, which runs the pipeline on the shelf whenever that changes."""
    trigger = {
        "name": "the shelf has changed",
        "type": "event",
        "posture": "Reactive",
        "match": {"prefect.resource.id": "bookloom.shelf"},
        "expect": ["bookloom.shelf.changed"],
    }
    _write_deployment(
        home,
        name="retrain-shelf",
        entrypoint="flows/pipeline.py:pipeline",
        triggers=[trigger],
        parameters={"settings": settings},
    )


def write_tiny_deployment(home: Path) -> None:
    """One deployment, of a flow that does next to nothing."""
    _write_deployment(home, name="tiny", entrypoint="tests/faults/tiny_flow.py:tiny")


def _write_deployment(home: Path, **deployment: Any) -> None:
    pool = {"name": "bookloom"}
    content = {
        "name": "bookloom",
        "pull": [{"flows.environment.checkout": {}}],
        "definitions": {
            "settings": {},
            "work_pools": {"process": {"type": "process", "work_pool": pool}},
        },
        "deployments": [{**deployment, "work_pool": pool}],
    }
    (home / "deployments.yaml").write_text(yaml.safe_dump(content))


def serve(
    home: Path, *options: str, prefect_port: int = 0, mlflow_port: int = 0, is_first: bool = False
) -> ServedHome:
    """Begin to serve a home, by default on free ports; `is_first`: as at a user's first start."""
    if not is_first:
        put_database(home / "prefect")
    ports = prefect_port or free_port(), mlflow_port or free_port()
    command = [BOOKLOOM, "serve", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    command += options
    with (home / "terminal.log").open("w") as log:
        process = subprocess.Popen(
            command,
            env=environment(home),
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    return ServedHome(home, *ports, process)
