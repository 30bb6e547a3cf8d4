"""Programs of ours in processes of their own, which tests can kill. Each is forked from a process
that has imported the large libraries, so that a test does not wait for them anew.
"""

import atexit
import importlib
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from prefect.context import refresh_global_settings_context
from prefect.logging.configuration import setup_logging

from flows.environment import prepare
from tests.servers.processes import die_with_parent

MODULES = (
    "flows.command_line",
    "flows.running",
    "flows.reproduce",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "sklearn.mixture",
)
LOOKS_EVERY_SECONDS = 0.02
SAYS_WITHIN_SECONDS = 300.0
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([*MODULES])


class Ended(NamedTuple):
    """How a program has ended."""

    exit_code: int
    output: str
    errors: str


class Fork:
    """A program that is under way.

    Args:
        module: whose `main` it is.
        arguments: as on its command line.
        environment: all of its environment.
        folder: where what it prints is kept.
    """

    def __init__(
        self, module: str, arguments: list[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{time.time_ns()}"
        self._output, self._errors = folder / f"{name}.out", folder / f"{name}.err"
        for path in (self._output, self._errors):
            path.touch()
        paths = (str(self._output), str(self._errors))
        self._process = _forks.Process(
            target=_become, args=(module, arguments, dict(environment), paths)
        )
        self._process.start()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    @property
    def errors(self) -> str:
        """What it has told so far on standard error."""
        return self._errors.read_text(errors="replace")

    def wait_for_output(self, text: str) -> None:
        """Wait until it has printed something."""
        self._wait_for(text, self._output)

    def wait_for_errors(self, text: str) -> None:
        """Wait until it has told something on standard error."""
        self._wait_for(text, self._errors)

    def _wait_for(self, text: str, path: Path) -> None:
        deadline = time.monotonic() + SAYS_WITHIN_SECONDS
        while text not in path.read_text(errors="replace"):
            assert self.is_running and time.monotonic() < deadline, self.errors
            time.sleep(LOOKS_EVERY_SECONDS)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()
        self._process.join()

    def ended(self, seconds: float = 600.0) -> Ended:
        """Wait for its end."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self.kill()
            raise AssertionError(f"not within {seconds:.0f} s: {self.errors}")
        output = self._output.read_text(errors="replace")
        return Ended(self._process.exitcode, output, self.errors)


def _become(
    module: str, arguments: list[str], environment: dict[str, str], paths: tuple[str, str]
) -> None:
    """Be that program, in a process that was forked for it."""
    die_with_parent()
    os.environ.clear()
    os.environ.update(environment)
    prepare()  # a command does so before it imports Prefect, which takes its settings from there
    refresh_global_settings_context()
    setup_logging(incremental=True)
    for stream, path in zip((1, 2), paths, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), stream)
    sys.argv = [module, *arguments]
    try:
        importlib.import_module(module).main()
    finally:  # as an interpreter ends, which a fork does not
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
