"""Prefect's database as its server makes it at its first start. That takes ten seconds of a
processor, so it is made once for all tests, and copied to where the others find it.
"""

import fcntl
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

NAME = "prefect.db"
SHARED = "BOOKLOOM_TESTS"
"""Names, in the environment, the folder that all processes of the tests share."""


def put_database(folder: Path) -> Path:
    """Have an empty database in Prefect's folder, unless there is one."""
    database = folder / NAME
    if not database.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = _made(Path(os.environ[SHARED]))
        with closing(sqlite3.connect(made)) as of_all, closing(sqlite3.connect(database)) as own:
            of_all.backup(own)
    return database


def _made(shared: Path) -> Path:
    with (shared / "prefect.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = shared / "prefect" / "ready"
        if not ready.exists():
            own = {"PREFECT_HOME": str(ready.parent)}
            command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
            kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
            subprocess.run(command, env={**kept, **own}, capture_output=True, check=True)
            ready.touch()
    return ready.with_name(NAME)
