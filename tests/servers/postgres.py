"""A Postgres cluster that lives as long as the tests, made of the distribution's programs."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.processes import HOST, STARTS_WITHIN_SECONDS, die_with_parent, free_port

USER = "bookloom"
HASTE = ("fsync=off", "full_page_writes=off", "shared_buffers=32MB", "unix_socket_directories=")


def programs() -> Path | None:
    """The folder of Postgres' programs, the newest of several; none where it is not installed."""
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    found = [folder for folder in debian if (folder / "initdb").exists()]
    if found:
        return max(found, key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class Postgres:
    """A cluster: what its databases are called from outside."""

    def __init__(self, folder: Path, password: str, port: int, as_user: dict[str, Any]) -> None:
        self._folder, self._password, self._port, self._as_user = folder, password, port, as_user

    def new_database(self, name: str) -> None:
        """Make an empty database."""
        self.run("createdb", "-h", HOST, "-p", str(self._port), "-U", USER, name)

    def url(self, name: str, driver: str = "postgresql+psycopg2") -> str:
        """SQLAlchemy's name for a database."""
        return f"{driver}://{USER}:{self._password}@{HOST}:{self._port}/{name}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of Postgres' programs to its end."""
        folder = programs()
        assert folder is not None
        environment = {**os.environ, "PGPASSWORD": self._password, "HOME": str(self._folder)}
        done = subprocess.run(
            [folder / program, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            cwd=self._folder,
            **self._as_user,
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def postgres_cluster() -> Iterator[Postgres]:
    """A new cluster on a free port of this machine. It does not run as root: Postgres refuses."""
    folder = Path(tempfile.mkdtemp(prefix="bookloom-postgres-"))
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    password, port = secrets.token_hex(16), free_port()
    cluster = Postgres(folder, password, port, as_user)
    try:
        (folder / "password").write_text(password)
        (folder / "password").chmod(0o644 if as_user else 0o600)
        signing = ("--auth", "scram-sha-256", "--pwfile", str(folder / "password"))
        own = ("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
        cluster.run("initdb", "-D", str(folder / "data"), "-U", USER, *signing, *own)
        options = [part for setting in HASTE for part in ("-c", setting)]
        server = subprocess.Popen(
            [
                str(Path(str(programs())) / "postgres"),
                *("-D", str(folder / "data"), "-h", HOST, "-p", str(port), *options),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            preexec_fn=die_with_parent,
            **as_user,
        )
        try:
            _wait(cluster, server, port)
            yield cluster
        finally:
            server.terminate()
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(cluster: Postgres, server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while True:
        try:
            cluster.run("pg_isready", "-h", HOST, "-p", str(port), "-U", USER)
        except AssertionError:
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return
