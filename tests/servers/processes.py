"""Servers in processes of their own, which tests can kill and start again."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from flows.keeper import kept

HOST = "127.0.0.1"
STARTS_WITHIN_SECONDS = 240.0
STOPS_WITHIN_SECONDS = 10.0
PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl


def die_with_parent() -> None:
    """In a child: be killed where the tests are."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        return int(taken.getsockname()[1])


class Server:
    """A command that serves until it is stopped, with all processes that it starts. It does not
    outlive the tests.

    Args:
        command: its command line.
        environment: all of its environment.
        folder: where it runs, and where its log stands.
        health: an address that it answers once it is up.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, health: str
    ) -> None:
        self._command, self._environment = list(command), dict(environment)
        self._folder, self._health = folder, health
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "server.log"
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self) -> None:
        """Start it without waiting."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                kept(self._command, STOPS_WITHIN_SECONDS),
                env=self._environment,
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it answers, whatever it answers."""
        assert self._process is not None
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while True:
            try:
                if httpx.get(self._health, timeout=5.0, trust_env=False).status_code < 500:
                    return
            except httpx.HTTPError:
                pass
            is_alive = self._process.poll() is None and time.monotonic() < deadline
            assert is_alive, self._log.read_text(errors="replace")
            time.sleep(0.2)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.begin()
        self.wait()

    def kill(self) -> None:
        """Kill -9, with all that it has started."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=2.0 * STOPS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def running(*servers: Server) -> Iterator[None]:
    """The servers, started side by side, for as long as the block."""
    try:
        for server in servers:
            server.begin()
        for server in servers:
            server.wait()
        yield
    finally:
        for server in servers:
            server.stop()
