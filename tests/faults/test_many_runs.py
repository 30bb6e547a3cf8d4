"""Two hundred runs in the queue: all end, none is lost, and the server's memory is bounded."""

import time
from collections.abc import Iterator

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)

from flows.environment import PATIENCE
from flows.prefect_api import api_at
from tests.flows.served_home import (
    ServedHome,
    processes_of,
    serve,
    until,
    write_tiny_deployment,
)

pytestmark = [pytest.mark.faults, pytest.mark.long]
NUM_RUNS = 200
RUN_SECONDS = 1500.0
BUSY_SECONDS = 300.0  # in which a server that has all the work to do answers a request
LOOKS_EVERY_SECONDS = 5.0
MOST_SERVER_BYTES = 1_000_000_000


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHome]:
    """A home that is served, with a deployment of a flow that does next to nothing."""
    home = tmp_path_factory.mktemp("served")
    write_tiny_deployment(home)
    served = serve(home, "--runs-at-once", "4")
    try:
        served.wait_until_ready()
        yield served
        assert served.stop() == 0, served.told
    finally:
        for process in processes_of(home).values():
            process.kill()


def test_all_of_two_hundred_queued_runs_end(served: ServedHome) -> None:
    url = f"http://127.0.0.1:{served.prefect_port}/api"
    own = {
        PREFECT_API_URL: url,
        PREFECT_CLIENT_MAX_RETRIES: int(PATIENCE["PREFECT_CLIENT_MAX_RETRIES"]),
    }
    with temporary_settings(own), get_client(sync_client=True) as client:
        [deployment] = client.read_deployments()
        asked = {
            str(
                client.create_flow_run_from_deployment(
                    deployment.id,
                    parameters={"number": number},
                    idempotency_key=f"number {number}",  # it may be asked again
                ).id
            )
            for number in range(NUM_RUNS)
        }
    assert len(asked) == NUM_RUNS
    api = api_at(url, BUSY_SECONDS)
    server = served.command_of("prefect")
    peak = 0

    def are_over() -> bool:
        nonlocal peak
        family = [server, *server.children(recursive=True)]
        peak = max(peak, sum(process.memory_info().rss for process in family))
        time.sleep(LOOKS_EVERY_SECONDS)
        try:
            found = [*api.every("flow_runs", {})]
        except httpx.HTTPStatusError:  # the server is busy
            return False
        return sum(run["state_type"] == "COMPLETED" for run in found) == NUM_RUNS

    until(are_over, "all runs have ended well", RUN_SECONDS)
    assert {run["id"] for run in api.every("flow_runs", {})} == asked
    written = {int(path.name) for path in (served.home / "done").iterdir()}
    assert written == set(range(NUM_RUNS))
    assert server.is_running(), "the same server from the first run to the last"
    assert peak < MOST_SERVER_BYTES
    print(f"{NUM_RUNS} runs, the server took {peak / 1e6:.0f} MB at the peak")
