"""Runs of the pipeline in processes of their own, whose servers tests take away and give back."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers.processes import die_with_parent

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("run_miniature.py")
ENDS_WITHIN_SECONDS = 600.0


class Ended(NamedTuple):
    """How a run has ended."""

    exit_code: int
    told: dict[str, Any]
    """Its summary, or its mistake; nothing where it said nothing."""
    log: str


class Pipeline:
    """A run that is under way.

    Args:
        settings: of the pipeline.
        environment: all of its environment.
        folder: for its settings and its log.
    """

    def __init__(
        self, settings: Mapping[str, Any], environment: Mapping[str, str], folder: Path
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "settings.json").write_text(json.dumps(settings))
        self._log = folder / f"{time.time_ns()}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, SCRIPT, folder / "settings.json"],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**environment, "PYTHONPATH": str(ROOT)},
                preexec_fn=die_with_parent,
            )

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds while it runs."""
        deadline = time.monotonic() + ENDS_WITHIN_SECONDS
        while not holds():
            assert self.process.poll() is None, self._log.read_text(errors="replace")
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def ended(self) -> Ended:
        """Wait for its end."""
        output, _ = self.process.communicate(timeout=ENDS_WITHIN_SECONDS)
        lines = output.decode().splitlines()
        told = json.loads(lines[-1]) if lines else {}
        return Ended(self.process.returncode, told, self._log.read_text(errors="replace"))


def environment_at(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user whose bookloom lives in a folder."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    own = {"BOOKLOOM_HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "HOME": str(home)}
    (home / "prefect").mkdir(parents=True, exist_ok=True)
    return {**inherited, **own, "DO_NOT_TRACK": "1", **more}
