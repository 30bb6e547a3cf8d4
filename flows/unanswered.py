"""Servers that do not answer, or refuse who asks, in a user's words."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty
from typing import Any

import httpx
from prefect.events.worker import EventsWorker
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from data.errors import UserMistake
from flows.environment import tracking_uri
from tasks.seams.tracking import without_password

REFUSED = (401, 403)
MLFLOW_ERRORS = "mlflow.exceptions"
AGAIN = "then run again: what was finished is kept."


@contextmanager
def silence_told() -> Iterator[None]:
    """What servers leave unanswered in the block, after they were waited for, is told.

    Raises:
        UserMistake: Prefect's or MLflow's server does not answer, or asks for a password.
    """
    try:
        yield
    except UserMistake:
        raise
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        _drop_events()
        raise _of_prefect(error) from error
    except Exception as error:
        # By its name, for MLflow's home is elsewhere.
        if type(error).__module__ != MLFLOW_ERRORS:
            raise
        mistake = _of_mlflow(error)
        if mistake is None:
            raise
        raise mistake from error


def _drop_events() -> None:
    """What no server takes any more: each would be tried for seconds before this process ends."""
    workers: dict[int, object] = getattr(EventsWorker, "_instances", {})
    for worker in list(workers.values()):
        if isinstance(worker, EventsWorker):
            with suppress(Empty):
                while True:
                    worker._queue.get_nowait()


def _of_prefect(error: httpx.TransportError | PrefectHTTPStatusError) -> UserMistake:
    server = f"Prefect's server {without_password(PREFECT_API_URL.value() or 'of this command')}"
    if isinstance(error, PrefectHTTPStatusError) and error.response.status_code in REFUSED:
        return UserMistake(
            f"{server} refuses: {_first_line(error)}.",
            "Set PREFECT_API_AUTH_STRING to its NAME:PASSWORD.",
        )
    return UserMistake(
        f"{server} does not answer: {_first_line(error)}.",
        f"See that it is up and that PREFECT_API_URL names it, {AGAIN}",
    )


def _of_mlflow(error: Any) -> UserMistake | None:
    """None for what has another reason."""
    server = f"MLflow's server {without_password(tracking_uri())}"
    if error.get_http_status_code() in REFUSED:
        return UserMistake(
            f"{server} refuses: {_first_line(error)}.",
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
        )
    if isinstance(error.__cause__ or error.__context__, OSError):  # those of requests are
        return UserMistake(
            f"{server} does not answer: {_first_line(error)}.",
            f"See that it is up and that MLFLOW_TRACKING_URI names it, {AGAIN}",
        )
    return None


def _first_line(error: BaseException) -> str:
    return without_password((str(error) or type(error).__name__).splitlines()[0].rstrip("."))
