"""Which failures of a step may pass by themselves, so that trying again can help.

    may pass      a connection refused or cut, a time-out, HTTP 408, 429 and 5xx, a database locked
    never passes  mistakes in settings or books, a full or read-only disk, faults in the code

Clients are known by the names of their errors: to import boto3 or MLflow takes seconds.
"""

import errno
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from prefect.tasks import exponential_backoff

from data.filesystems import StoreTrouble

NUM_LATER_TRIES = 2  # before each, clients have been patient for minutes with who is away
FIRST_WAIT_SECONDS = 10.0
PASSING_KINDS = {
    "builtins.ConnectionError",
    "builtins.TimeoutError",
    "httpx.TransportError",
    "requests.exceptions.ConnectionError",
    "requests.exceptions.RetryError",  # 429 or 5xx, each time that it was tried
    "requests.exceptions.Timeout",
    "botocore.exceptions.ConnectionError",
    "botocore.exceptions.HTTPClientError",
    "aiohttp.client_exceptions.ClientConnectionError",
    "psycopg2.OperationalError",
}
PASSING_NUMBERS = {
    errno.EAGAIN, errno.EBUSY, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
    errno.ENETUNREACH, errno.EREMOTEIO, errno.ETIMEDOUT,
}  # fmt: skip
LASTING_NUMBERS = {errno.EDQUOT, errno.ENOSPC, errno.EROFS}
PASSING_CODES = {"REQUEST_LIMIT_EXCEEDED", "TEMPORARILY_UNAVAILABLE"}  # MLflow's
PASSING_STATUSES = {408, 429, 500, 502, 503, 504}


def tried_again(first_wait_seconds: float = FIRST_WAIT_SECONDS) -> dict[str, Any]:
    """How a Prefect task is tried again where that can help: twice, first after so many seconds,
    then after twice as many.
    """
    return {
        "retries": NUM_LATER_TRIES,
        "retry_delay_seconds": exponential_backoff(first_wait_seconds),
        "retry_condition_fn": _is_worth_it,
    }


def may_pass(error: BaseException) -> bool:
    """Whether an error, or what it comes from, may be gone when one tries again."""
    chain = list(_chain(error))
    if any(isinstance(one, OSError) and one.errno in LASTING_NUMBERS for one in chain):
        return False
    return any(map(_passes, chain))


def _is_worth_it(task: Any, task_run: Any, state: Any) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and may_pass(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        context = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or context


def _passes(error: BaseException) -> bool:
    if type(error).__module__.startswith("prefect.") and http_status(error) is None:
        return False  # its time-outs: that a run took too long does not pass
    if isinstance(error, StoreTrouble):  # from another process it comes without its cause
        return error.may_pass
    if isinstance(error, sqlite3.OperationalError):
        return "locked" in str(error)
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return (
        bool(kinds & PASSING_KINDS)
        or (isinstance(error, OSError) and error.errno in PASSING_NUMBERS)
        or getattr(error, "error_code", None) in PASSING_CODES
        or http_status(error) in PASSING_STATUSES
    )


def http_status(error: BaseException) -> int | None:
    """The HTTP status of a server's answer: as httpx and requests, boto3, and MLflow tell it."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    elif isinstance(getattr(error, "json", None), Mapping):
        status = error.get_http_status_code()  # type: ignore[attr-defined]
    else:
        status = getattr(response, "status_code", None)
    return int(status) if status is not None else None
