"""Whether the parts of `bookloom serve` do their work, as one who asks from outside sees it."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from flows.dead_runs import worker_name
from flows.prefect_api import api_at
from flows.serve_parts import CARETAKER, MLFLOW, POOL, PREFECT, WATCHER, WORKER
from flows.serving_note import Served

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Health:
    """Of a part."""

    is_well: bool
    what: str
    """What it does, or what is wrong with it."""
    is_own_fault: bool = True
    """Of a worker Prefect's server tells, which may itself be away."""


def health(part: str, prefect_url: str, mlflow_url: str) -> Health:
    """Whether a server answers, or a worker polls; of other parts, that they run says all."""
    try:
        if part == PREFECT:
            _ask(f"{prefect_url}/api/health")
            return Health(True, f"answers at {prefect_url}")
        if part == MLFLOW:
            _ask(f"{mlflow_url}/health")
            return Health(True, f"answers at {mlflow_url}")
        if part == WORKER:
            return _of_worker(prefect_url)
    except httpx.HTTPError as error:
        what = _what_is_wrong(error)
        if part == WORKER:
            return Health(False, f"is not to be seen: Prefect {what}", is_own_fault=False)
        return Health(False, what)
    return Health(True, "runs")


def health_of_all(served: Served | None) -> dict[str, Health]:
    """The health of every part of who serves, by name."""
    wanted = (PREFECT, MLFLOW, WORKER, WATCHER, CARETAKER)
    if served is None:
        return {part: Health(False, "is not running") for part in wanted}
    return {
        part: health(part, served.prefect_url, served.mlflow_url)
        if Path(f"/proc/{served.parts.get(part, -1)}").exists()
        else Health(False, "is not running")
        for part in wanted
    }


def _of_worker(prefect_url: str) -> Health:
    api = api_at(f"{prefect_url}/api", TIMEOUT_SECONDS)
    try:
        workers = api.post(f"/work_pools/{quote(POOL)}/workers/filter", {})
    finally:
        api.close()
    states = {worker["name"]: worker["status"] for worker in workers}
    if states.get(worker_name()) == "ONLINE":
        return Health(True, f"takes runs from the work pool {POOL}")
    return Health(False, f"has not been heard of by the work pool {POOL}")


def _what_is_wrong(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"answers {error.response.status_code} at {error.request.url}"
    return f"does not answer: {str(error) or type(error).__name__}"


def _ask(url: str) -> None:
    httpx.get(url, timeout=TIMEOUT_SECONDS, trust_env=False).raise_for_status()
