"""Who serves a home: a lock that dies with its holder, and a note of where everything is."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from data.errors import UserMistake
from data.settings import Settings

LEFT_SECONDS = 30.0


class Served(Settings):
    """What `bookloom serve` says of itself; it holds no secret."""

    host: str
    process: int
    since_unix_seconds: float
    prefect_url: str
    mlflow_url: str
    shelf: str
    is_up: bool
    """Whether both servers have answered."""
    parts: Mapping[str, int] = {}
    """The process that keeps each part."""

    @property
    def prefect_api_url(self) -> str:
        """Where Prefect's clients ask."""
        return f"{self.prefect_url}/api"


def serving(home: Path) -> Served | None:
    """Who serves a home from this machine now, if anybody."""
    try:
        note = json.loads(_note(home).read_text(encoding="utf-8"))
        with _lock(home).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        served = Served.model_validate(note)
        return served if served.host == socket.gethostname() else None
    except (OSError, ValueError):
        return None
    return None  # whoever wrote it is dead


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Serve a home as the only one, once what a killed one has left is gone.

    Raises:
        UserMistake: somebody serves it already.
    """
    home.mkdir(parents=True, exist_ok=True)
    with _lock(home).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserMistake(_who(serving(home), home), "Stop that first, or use it.") from None
        _wait_for_what_is_left(home)
        try:
            yield
        finally:
            _note(home).unlink(missing_ok=True)


def write_note(home: Path, served: Served) -> None:
    """Tell those who come where everything is."""
    new = _note(home).with_suffix(".new")
    new.write_text(served.model_dump_json(indent=1), encoding="utf-8")
    os.replace(new, _note(home))


def _wait_for_what_is_left(home: Path) -> None:
    """Keepers that were orphaned end what they keep within seconds; until then ports are taken.

    Their note goes first: who reads it while the lock is held takes it for ours.
    """
    until = time.monotonic() + LEFT_SECONDS
    left: list[int] = []
    with suppress(OSError, ValueError):
        note = Served.model_validate_json(_note(home).read_text(encoding="utf-8"))
        left += note.parts.values()
    _note(home).unlink(missing_ok=True)
    while any(map(_is_keeper, left)) and time.monotonic() < until:
        time.sleep(0.1)


def _is_keeper(process: int) -> bool:
    try:
        return b"keeper.py" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def _who(served: Served | None, home: Path) -> str:
    if served is None:
        return f"{home} is being served already, by a process that is just starting or elsewhere."
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(served.since_unix_seconds))
    return (
        f"{home} is being served already, by process {served.process} since {since}: "
        f"Prefect {served.prefect_url}, MLflow {served.mlflow_url}."
    )


def _note(home: Path) -> Path:
    return home / "serving.json"


def _lock(home: Path) -> Path:
    return home / "serving.lock"
