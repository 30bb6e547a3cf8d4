"""The commands that serve: all parts on this machine, their health, the watched folder."""

import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from data.errors import UserMistake
from flows.command_tools import AsJson, Flag, examples, print_answer, validated
from flows.environment import home, shelf
from flows.serving_note import Served, alone, serving, write_note

SERVE_EXAMPLES = examples(
    "bookloom serve",
    "bookloom serve --prefect-port 4300 --mlflow-port 5300",
    "bookloom serve --shelf my-books --runs-at-once 1",
    "bookloom serve --check",
)
WATCH_EXAMPLES = examples(
    "bookloom watch",
    "bookloom watch my-books",
)
NOT_WELL_EXIT_CODE = 1


def serve(
    *,
    prefect_port: Annotated[int, Parameter(env_var="BOOKLOOM_PREFECT_PORT")] = 4200,
    mlflow_port: Annotated[int, Parameter(env_var="BOOKLOOM_MLFLOW_PORT")] = 5000,
    runs_at_once: Annotated[int, Parameter(env_var="BOOKLOOM_RUNS_AT_ONCE")] = 2,
    shelf_folder: Annotated[
        Path | None, Parameter(name="--shelf", env_var="BOOKLOOM_SHELF")
    ] = None,
    mlflow_database: Annotated[str | None, Parameter(env_var="BOOKLOOM_MLFLOW_DATABASE")] = None,
    mlflow_artifacts: Annotated[str | None, Parameter(env_var="BOOKLOOM_MLFLOW_ARTIFACTS")] = None,
    mlflow_auth: Annotated[bool, Parameter(env_var="BOOKLOOM_MLFLOW_AUTH", negative="")] = False,
    check: Flag = False,
    as_json: AsJson = False,
) -> None:
    """Serve on this machine: Prefect, MLflow, a worker, the deployments, the watched folder.

    All listens to this machine alone, and stops as a whole by Ctrl-C or SIGTERM. Exit codes: 0
    stopped, or with --check all is well; 1 with --check something is not; 2 it could not go on.

    Args:
        prefect_port: the port of Prefect's server, its user interface and API.
        mlflow_port: the port of MLflow's server.
        runs_at_once: how many runs the worker has under way at the same time.
        shelf_folder: the watched folder; by default shelf under bookloom's home.
        mlflow_database: MLflow's backend store URI, such as postgresql+psycopg2://…; by default
            SQLite under bookloom's home.
        mlflow_artifacts: where MLflow's server keeps artifacts, such as s3://bucket/path; by
            default a folder under bookloom's home.
        mlflow_auth: MLflow asks for a name and a password: see docs/team.md.
        check: tell the health of what is being served, and serve nothing.
        as_json: with --check, print one JSON object.
    """
    if check:
        _check(as_json)
        return
    from flows.mlflow_users import prepare_users
    from flows.ports import listening
    from flows.serve_health import health
    from flows.serve_parts import LOGS, ServeSettings, stages
    from flows.serve_supervisor import Supervisor

    settings: ServeSettings = validated(
        ServeSettings,
        {
            "home": home(),
            "shelf": shelf_folder.resolve() if shelf_folder else shelf(),
            "prefect_port": prefect_port,
            "mlflow_port": mlflow_port,
            "num_runs_at_once": runs_at_once,
            "mlflow_database": mlflow_database,
            "mlflow_artifacts": mlflow_artifacts,
            "mlflow_auth": mlflow_auth,
        },
    )
    with alone(settings.home):
        with (
            listening(prefect_port, "--prefect-port or BOOKLOOM_PREFECT_PORT"),
            listening(mlflow_port, "--mlflow-port or BOOKLOOM_MLFLOW_PORT"),
        ):
            settings.shelf.mkdir(parents=True, exist_ok=True)
            if mlflow_auth:
                prepare_users(settings.mlflow_folder)
        _say("serving", f"{settings.home}; logs in {settings.home / LOGS}")
        look = partial(health, prefect_url=settings.prefect_url, mlflow_url=settings.mlflow_url)
        Supervisor(stages(settings), look, _say).run(_Teller(settings))
    _say("stopped", "nothing is left running")


def watch(folder: Path | None = None, /) -> None:
    """Tell Prefect of every change of a folder of books, so that it is retrained. For good.

    bookloom serve does so by itself. The server is PREFECT_API_URL, or that of bookloom serve.

    Args:
        folder: by default BOOKLOOM_SHELF, or shelf under bookloom's home.
    """
    from flows.prefect_api import api_of_environment
    from flows.watch import WatchedShelf
    from flows.watch import watch as tell_of_changes

    watched = folder.resolve() if folder else shelf()
    if not os.environ.get("PREFECT_API_URL"):
        raise UserMistake(
            "There is no Prefect server to tell.", "Set PREFECT_API_URL, or start bookloom serve."
        )
    tell_of_changes(WatchedShelf(watched, home() / "shelf.json"), api_of_environment())


class _Teller:
    """Tells, in the home and on the terminal, what is being served."""

    def __init__(self, settings: Any) -> None:
        self._settings, self._since, self._is_told = settings, time.time(), False

    def __call__(self, processes: Mapping[str, int], is_complete: bool, is_up: bool) -> None:
        note = Served(
            host=socket.gethostname(),
            process=os.getpid(),
            since_unix_seconds=self._since,
            prefect_url=self._settings.prefect_url,
            mlflow_url=self._settings.mlflow_url,
            shelf=str(self._settings.shelf),
            is_up=is_up,
            parts=processes,
        )
        write_note(self._settings.home, note)
        if is_complete and not self._is_told:
            self._is_told = True
            _say(
                "ready",
                f"after {time.time() - self._since:.0f} s (Ctrl-C stops all)\n"
                f"  Prefect  {note.prefect_url}\n  MLflow   {note.mlflow_url}\n"
                f"  books    put them into {note.shelf}",
            )


def _check(as_json: bool) -> None:
    from flows.serve_health import health_of_all

    served = serving(home())
    found = health_of_all(served)
    is_well = all(one.is_well for one in found.values())
    answer = {
        "home": str(home()),
        "is_well": is_well,
        "process": served.process if served else None,
        "parts": {name: {"is_well": one.is_well, "what": one.what} for name, one in found.items()},
    }
    print_answer(answer, as_json, _check_text)
    if not is_well:
        sys.exit(NOT_WELL_EXIT_CODE)


def _check_text(answer: Mapping[str, Any]) -> str:
    head = f"process {answer['process']}" if answer["process"] else "nobody serves it"
    marks = {True: "well", False: "DOWN"}
    return "\n".join(
        [
            f"{answer['home']}: {head}",
            *(
                f"  {marks[one['is_well']]}  {name:<9}  {one['what']}"
                for name, one in answer["parts"].items()
            ),
        ]
    )


def _say(name: str, what: str) -> None:
    with suppress(OSError):  # a full disk, say, where it is written to a file
        print(f"{time.strftime('%H:%M:%S')}  {name:<11}  {what}", flush=True)
