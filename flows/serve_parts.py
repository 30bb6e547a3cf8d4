"""What `bookloom serve` consists of: each part's command, environment and log."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from data.settings import Settings
from flows.dead_runs import worker_name
from flows.mlflow_users import CONFIG_PATH, users_file
from flows.ports import HOST
from flows.run_process import OUTPUT

POOL = "bookloom"
PREFECT, MLFLOW, DEPLOYMENTS = "prefect", "mlflow", "deployments"
WORKER, WATCHER, CARETAKER = "worker", "watcher", "caretaker"
LOGS = "logs"
PLACES = ("BOOKLOOM_STORE", "BOOKLOOM_DEPLOYMENTS", "PREFECT_SERVER_DATABASE_CONNECTION_URL")
SQLITE_FILE = re.compile(r"(sqlite(?:\+\w+)?:///)(.+)")
ALLOWED_HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"


class ServeSettings(Settings):
    """How to serve a home."""

    home: Path
    """Bookloom's home: databases, artifacts and logs stand below it."""
    shelf: Path
    """The watched folder."""
    prefect_port: int = Field(4200, ge=1, le=65535)
    mlflow_port: int = Field(5000, ge=1, le=65535)
    num_runs_at_once: int = Field(2, ge=1)
    """Runs that the worker has under way at the same time; the others wait in Prefect."""
    mlflow_database: str | None = None
    """MLflow's backend store URI; by default SQLite, the file that `bookloom run` writes."""
    mlflow_artifacts: str | None = None
    """Where MLflow's server puts artifacts, a URL; by default a folder beside that file."""
    mlflow_auth: bool = False
    """Whether MLflow asks for a name and a password: its app `basic-auth`."""

    @property
    def prefect_url(self) -> str:
        """Prefect's user interface."""
        return f"http://{HOST}:{self.prefect_port}"

    @property
    def mlflow_folder(self) -> Path:
        """Where MLflow's database, artifacts and users are, unless told otherwise."""
        return self.home / "mlflow"

    @property
    def mlflow_url(self) -> str:
        """MLflow's user interface, and its tracking URI."""
        return f"http://{HOST}:{self.mlflow_port}"


@dataclass(frozen=True)
class Part:
    """A command that is kept running, or, once, run to its end."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    stop_seconds: float
    """How long it may take to stop before it is killed."""
    spare: bool = False
    """Whether what it has started lives on if it dies by itself."""
    once: bool = False


def stages(settings: ServeSettings) -> list[list[Part]]:
    """The parts, in the order in which they start; those of a stage start together."""
    ours = _environment(settings)
    bookloom = str(Path(sys.executable).parent / "bookloom")

    def part(name: str, *command: str, stop_seconds: float = 5, **more: Any) -> Part:
        log = settings.home / LOGS / f"{name}.log"
        own = {**ours, **(_mlflow_environment(settings) if name == MLFLOW else {})}
        return Part(name, command, own, log, stop_seconds, **more)

    python = sys.executable
    worker = [python, "-m", "prefect", "worker", "start", "--type", "process", "--pool", POOL]
    worker += ["--name", worker_name(), "--limit", str(settings.num_runs_at_once)]
    worker += ["--install-policy", "never"]
    return [
        [
            part(PREFECT, *_prefect_command(settings), stop_seconds=15),
            part(MLFLOW, *_mlflow_command(settings), stop_seconds=15),
        ],
        [part(DEPLOYMENTS, bookloom, "deploy", once=True)],
        [
            # Runs are asked to stop, and say so to Prefect and MLflow.
            part(WORKER, *worker, stop_seconds=30, spare=True),
            part(WATCHER, bookloom, "watch", str(settings.shelf)),
            part(CARETAKER, python, "-m", "flows.caretaker"),
        ],
    ]


def _environment(settings: ServeSettings) -> dict[str, str]:
    """Of all parts, and of the runs that the worker starts."""
    own = {
        "BOOKLOOM_HOME": str(settings.home),
        "BOOKLOOM_SHELF": str(settings.shelf),
        "MLFLOW_TRACKING_URI": settings.mlflow_url,
        OUTPUT: str(settings.home / LOGS / "runs.log"),
        "PREFECT_API_URL": f"{settings.prefect_url}/api",
        "PYTHONUNBUFFERED": "1",
    }
    # A page elsewhere, open in the same browser, gets nothing from the servers.
    pages = [f"http://{host}:{settings.prefect_port}" for host in (HOST, "localhost")]
    usual = {
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(pages),
        # What Prefect's page asks: behind a proxy, another address. PREFECT_SERVER_UI_API_URL,
        # the newer name, comes before this one.
        "PREFECT_UI_API_URL": f"{settings.prefect_url}/api",
        # Jobs are MLflow's for language model services; bookloom has none.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    secret = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    clients = {"PREFECT_API_AUTH_STRING": secret} if secret else {}
    places = {name: seen_from_here(os.environ[name]) for name in PLACES if os.environ.get(name)}
    return {**usual, **clients, **os.environ, **places, **own}


def seen_from_here(place: str) -> str:
    """A path, also that of a SQLite database, as the parts need it, which work in another folder;
    an address in a network stays as it is.
    """
    database = SQLITE_FILE.fullmatch(place)
    if database:
        return f"{database[1]}{Path(database[2]).resolve()}"
    return place if ":/" in place else str(Path(place).resolve())


def _prefect_command(settings: ServeSettings) -> tuple[str, ...]:
    port = str(settings.prefect_port)
    return (sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", port)


def _mlflow_command(settings: ServeSettings) -> tuple[str, ...]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST]
    command += ["--port", str(settings.mlflow_port), "--workers", "1"]
    command += ["--uvicorn-opts", "--no-access-log"]
    if settings.mlflow_auth:
        command += ["--app-name", "basic-auth"]
    return tuple(command)


def _mlflow_environment(settings: ServeSettings) -> dict[str, str]:
    """Addresses may hold passwords, and everybody on a machine can read command lines."""
    folder = settings.mlflow_folder
    database = seen_from_here(settings.mlflow_database or f"sqlite:///{folder / 'mlflow.db'}")
    if settings.mlflow_artifacts:
        kept = {"MLFLOW_ARTIFACTS_DESTINATION": seen_from_here(settings.mlflow_artifacts)}
    else:  # in the open, so that runs without this server find them
        kept = {"MLFLOW_DEFAULT_ARTIFACT_ROOT": (folder / "artifacts").as_uri()}
    users = {CONFIG_PATH: str(users_file(folder))} if settings.mlflow_auth else {}
    # By these names the parts and their runs ask; who adds a proxy's needs not think of them.
    names = [f"{host}:{settings.mlflow_port}" for host in (HOST, "localhost")]
    names += filter(None, [os.environ.get(ALLOWED_HOSTS)])
    return {
        "MLFLOW_BACKEND_STORE_URI": database,
        ALLOWED_HOSTS: ",".join(names),
        **kept,
        **users,
    }
