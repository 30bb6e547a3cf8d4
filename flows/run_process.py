"""The process that works on a flow run: how it settles in, and how others see whether it lives."""

import os
import socket
from typing import Any, NamedTuple

from tasks.seams.processes import began

OUTPUT = "BOOKLOOM_RUN_OUTPUT"
"""The variable that names the file into which a worker's runs print."""


class RunProcess(NamedTuple):
    """A process, told from later ones of the same number by when it began."""

    host: str
    number: int
    began: str
    """See `tasks.seams.processes`."""

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """Whether it still runs, where it is here."""
        return began(self.number) == self.began


def settle_in(flow: Any, flow_run: Any, state: Any) -> None:
    """A hook of Prefect, called when a flow begins to run: what lets it outlive its worker.

    Prefect takes down this process, of which a worker notes a number alone, and a run from the
    command line nothing. What a run of `bookloom serve` prints goes into a file of its own: the
    worker's pipe breaks when the worker dies, and would break the run.
    """
    from prefect.client.orchestration import get_client

    process = RunProcess(socket.gethostname(), os.getpid(), began(os.getpid()) or "")
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, infrastructure_pid=":".join(map(str, process)))
    if os.environ.get("PREFECT__FLOW_RUN_ID") == str(flow_run.id):
        _print_into(os.environ.get(OUTPUT))


def process_of(infrastructure_pid: str | None) -> RunProcess | None:
    """The process that a flow run has noted, unless it is for others to say where it runs."""
    host, number, began = f"{infrastructure_pid}::".split(":")[:3]
    return RunProcess(host, int(number), began) if number.isdigit() else None


def _print_into(path: str | None) -> None:
    if path:
        output = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.close(output)
