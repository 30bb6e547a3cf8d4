"""The process that works on a flow run: how it settles in, and how others see whether it lives."""

import os
from typing import Any

from tasks.seams.processes import Process

OUTPUT = "BOOKLOOM_RUN_OUTPUT"
"""The variable that names the file into which a worker's runs print."""


def settle_in(flow: Any, flow_run: Any, state: Any) -> None:
    """A hook of Prefect, called when a flow begins to run: what lets it outlive its worker.

    Prefect takes down this process, of which a worker notes a number alone, and a run from the
    command line nothing. What a run of `bookloom serve` prints goes into a file of its own: the
    worker's pipe breaks when the worker dies, and would break the run. What a worker of Docker or
    Kubernetes has noted stays: by it the worker finds what it is to stop.
    """
    from prefect.client.orchestration import get_client

    if os.environ.get("PREFECT__FLOW_RUN_ID") == str(flow_run.id):
        _print_into(os.environ.get(OUTPUT))
    own = ":".join(map(str, Process.here()))
    with get_client(sync_client=True) as client:
        noted = client.read_flow_run(flow_run.id).infrastructure_pid
        if not noted or noted.isdigit() or process_of(noted):
            client.update_flow_run(flow_run.id, infrastructure_pid=own)


def process_of(infrastructure_pid: str | None) -> Process | None:
    """The process that a flow run has noted, unless it is for others to say where it runs."""
    noted = (infrastructure_pid or "").split(":", 3)
    host, number, began, machine = [*noted, "", "", ""][:4]  # older runs have noted less
    return Process(host, int(number), began, machine) if number.isdigit() else None


def _print_into(path: str | None) -> None:
    if path:
        output = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.close(output)
