"""A part of serving: every minute, Prefect and MLflow are told which runs' processes are gone."""

import logging
import sys
import time

import httpx

from flows.dead_runs import settle_dead_runs, worker_name
from flows.environment import home_store, tracking_uri
from flows.notices import tell_of_dead_runs
from flows.prefect_api import api_of_environment
from flows.silent_runs import crash_silent_runs

EVERY_SECONDS = 60.0
logger = logging.getLogger("bookloom")


def main() -> None:
    """Go on until it is stopped; what does not answer is asked again."""
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    api = api_of_environment()
    is_automated = False
    while True:
        try:
            if not is_automated:
                crash_silent_runs(api)
                is_automated = True
            tell_of_dead_runs(home_store(), tracking_uri(), logger)
            settle_dead_runs(api, worker_name())
        except httpx.HTTPError as error:
            logger.warning("Prefect does not answer: %r", error)
        except Exception:
            logger.exception("what is left of dead runs could not be settled")
        time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main()
