"""Runs of the pipeline in processes of their own, whose servers tests take away and give back."""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.forks import Fork
from tests.servers.prefect_database import put_database

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
        program = "tests.servers.run_miniature"
        self._fork = Fork(program, [str(folder / "settings.json")], environment, folder)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds while it runs."""
        deadline = time.monotonic() + ENDS_WITHIN_SECONDS
        while not holds():
            assert self._fork.is_running, self._fork.errors
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def ended(self) -> Ended:
        """Wait for its end."""
        ended = self._fork.ended(ENDS_WITHIN_SECONDS)
        lines = ended.output.splitlines()
        return Ended(ended.exit_code, json.loads(lines[-1]) if lines else {}, ended.errors)


def environment_at(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user whose bookloom lives in a folder."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    own = {"BOOKLOOM_HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "HOME": str(home)}
    put_database(home / "prefect")
    return {**inherited, **own, "DO_NOT_TRACK": "1", **more}
