"""The machine while a run works: processor, memory, disk, network, as MLflow's system metrics."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tasks.seams.report import say
from tasks.seams.tracking import NO_TRACKING

SECONDS_BETWEEN_SAMPLES = 10  # unless MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL says otherwise
SECONDS_TO_STOP = 10.0  # a server that is away must not hold up a run's end
SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"


@contextmanager
def machine_metrics(tracking_uri: str | None, run_id: str | None) -> Iterator[None]:
    """Log how busy the machine is to a run while the block works; one that is gone on with goes on
    with its figures. It never fails: what cannot be measured or told is left out. MLflow's switch
    turns it off.
    """
    is_wanted = os.environ.get(SWITCH, "true").lower() not in ("false", "0")
    if tracking_uri in (None, NO_TRACKING) or run_id is None or not is_wanted:
        yield
        return
    monitor = _started(tracking_uri, run_id)
    try:
        yield
    finally:
        if monitor is not None:
            stopping = threading.Thread(target=monitor.finish, daemon=True)
            stopping.start()
            stopping.join(SECONDS_TO_STOP)


def _started(tracking_uri: str | None, run_id: str) -> Any:
    logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
    try:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        monitor = SystemMetricsMonitor(
            run_id, SECONDS_BETWEEN_SAMPLES, resume_logging=True, tracking_uri=tracking_uri
        )
        monitor.start()
    except Exception as error:  # whatever a machine or a server comes up with
        say(f"the machine is not watched: {error}", logging.WARNING)
        return None
    return monitor
