"""A part of serving: every minute, Prefect and MLflow are told which runs' processes are gone."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from flows.dead_runs import settle_dead_runs, worker_name
from flows.environment import home_store, tracking_uri
from flows.notices import tell_of_dead_runs, tell_of_settled_runs
from flows.prefect_api import PrefectApi, api_of_environment
from flows.silent_runs import crash_silent_runs

EVERY_SECONDS = 60.0
logger = logging.getLogger("bookloom")


def main() -> None:
    """Go on until it is stopped; what does not answer is asked again."""
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    api = api_of_environment()
    is_automated = False
    stores: set[str] = set()
    while True:
        with _later_if_not_now():
            if not is_automated:
                crash_silent_runs(api)
                is_automated = True
        take_care(api, stores)
        time.sleep(EVERY_SECONDS)


def take_care(api: PrefectApi, stores: set[str]) -> None:
    """Look once after runs whose process is gone; one server may be away, the other is told.

    Args:
        api: the Prefect server.
        stores: those beside the home's in which MLflow runs may be open that are dead. Those of
            runs that have died come in, and go once MLflow has been told.
    """
    with _later_if_not_now():
        settled = settle_dead_runs(api, worker_name())
        stores |= {run.store for run in settled if run.store}
        tell_of_settled_runs(settled, logger)
    for store in {home_store(), *stores}:
        with _later_if_not_now():
            tell_of_dead_runs(store, tracking_uri(), logger)
            stores.discard(store)


@contextmanager
def _later_if_not_now() -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        logger.warning("Prefect does not answer: %r", error)
    except Exception:
        logger.exception("what is left of dead runs could not be settled")


if __name__ == "__main__":
    main()
