"""A Prefect server for one command, where there is no other: it never outlives the command.

Prefect starts one by itself, but that one stays behind when its command is killed.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import prefect
import prefect.context
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_API_HOST,
    PREFECT_SERVER_API_PORT,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    PREFECT_UI_URL,
    get_current_settings,
    temporary_settings,
)

from data.errors import UserMistake
from flows.keeper import kept
from flows.ports import HOST
from flows.prefect_api import PrefectApi, api_at

STOP_SECONDS = ANSWER_SECONDS = 5.0
DRAIN_SECONDS = 30.0
T = TypeVar("T")
SETTLED_SECONDS, UNSETTLED_SECONDS = 0.3, 2.0
ENDED = {"state": {"type": {"any_": [state.value for state in TERMINAL_STATES]}}}
TRIES = 3  # a port that was free may be somebody's a moment later


@contextmanager
def prefect_server(meanwhile: Callable[[], T]) -> Iterator[T]:
    """A server for the block, unless the settings name one.

    To be entered from the main thread: the server ends with the thread that started it.

    Args:
        meanwhile: what is to be done while the server starts; the block is given what it gives.

    Raises:
        UserMistake: it does not start; whatever `meanwhile` raises.
    """
    if PREFECT_API_URL.value():
        yield meanwhile()
        return
    print("starting a Prefect server for this command", file=sys.stderr, flush=True)
    server, url, done = _started(meanwhile)
    # Links are to be good later: they go where `prefect server start` shows this command's runs.
    pages = f"http://{PREFECT_SERVER_API_HOST.value()}:{PREFECT_SERVER_API_PORT.value()}"
    own = {PREFECT_API_URL: url, PREFECT_UI_URL: PREFECT_UI_URL.value() or pages}
    begun = datetime.now(UTC)
    try:
        with temporary_settings(own), _seen_by_threads():
            try:
                yield done
            finally:  # what is still to be told; later it would be told to nobody, for minutes
                for worker in (APILogWorker, EventsWorker):
                    worker.drain_all(timeout=DRAIN_SECONDS, at_exit=False)
                _wait_until_written_down(url, begun)
    finally:
        server.terminate()
        server.wait()


@contextmanager
def _seen_by_threads() -> Iterator[None]:
    """Make these settings the process's own: a thread that Prefect starts knows no others, and the
    one that passes on what workers tell would start a second server, which nobody needs.
    """
    before = prefect.context.GLOBAL_SETTINGS_CONTEXT
    prefect.context.GLOBAL_SETTINGS_CONTEXT = prefect.context.get_settings_context()
    try:
        yield
    finally:
        prefect.context.GLOBAL_SETTINGS_CONTEXT = before


def _wait_until_written_down(url: str, begun: datetime) -> None:
    """Wait for what the server was told of tasks to stand in its database, which takes it longer
    than to hear it; what does not when it ends is lost, and a task would be running for ever.

    That all is written shows in that nothing more comes, sooner where no task is left open.
    """
    until = time.monotonic() + DRAIN_SECONDS
    before: tuple[int, int] | None = None
    since = time.monotonic()
    api = api_at(url, timeout_seconds=ANSWER_SECONDS)
    with suppress(httpx.HTTPError), closing(api):
        while (now := time.monotonic()) < until:
            known, ended = (_num_tasks(api, begun, only) for only in ({}, ENDED))
            if (known, ended) != before:
                before, since = (known, ended), now
            elif now - since >= (SETTLED_SECONDS if known == ended else UNSETTLED_SECONDS):
                return
            time.sleep(SETTLED_SECONDS / 3)


def _num_tasks(api: PrefectApi, begun: datetime, only: dict[str, Any]) -> int:
    """How many tasks, of which kind, the flow runs have that began since."""
    flow_runs = {"start_time": {"after_": begun.isoformat()}}
    return int(api.post("/task_runs/count", {"flow_runs": flow_runs, "task_runs": only}))


def _started(meanwhile: Callable[[], T]) -> tuple[subprocess.Popen[bytes], str, T]:
    until = time.monotonic() + PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    for _ in range(TRIES):
        port = _free_port()
        url = f"http://{HOST}:{port}/api"
        server = subprocess.Popen(
            kept(_command(port), STOP_SECONDS),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),  # --json promises one object and nothing else
            start_new_session=True,  # Ctrl-C is the command's, which still has to tell how it ended
        )
        try:
            done = meanwhile()
            while server.poll() is None and time.monotonic() < until:
                if _answers(url):
                    return server, url, done
                time.sleep(0.1)
        except BaseException:
            server.terminate()
            server.wait()
            raise
        if server.poll() is None:
            server.terminate()
            server.wait()
            break
    raise UserMistake(
        f"Prefect's temporary server on port {port} did not come to answer.",
        "See above why, or start one with `bookloom serve`; "
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS is how long it may take.",
    )


def _command(port: int) -> list[str]:
    """As Prefect starts it, but for its own folder, whose `docker` would hide the package."""
    folder = str(Path(prefect.__file__).parents[1])
    command = [sys.executable, "-m", "uvicorn", "--app-dir", folder, "--factory"]
    command += ["prefect.server.api.server:create_app", "--host", HOST, "--port", str(port)]
    return [*command, "--log-level", "error", "--lifespan", "on"]


def _environment() -> dict[str, str]:
    own = {
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    chosen = get_current_settings().to_environment_variables(exclude_unset=True)
    return {**os.environ, **own, **chosen}


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        return int(taken.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
