"""Two hundred runs in the queue: all end, none is lost, and the server's memory is bounded."""

from collections.abc import Iterator

import pytest

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
    [deployment] = served.prefect.post("/deployments/filter", {})
    path = f"/deployments/{deployment['id']}/create_flow_run"
    asked = {
        served.prefect.post(path, {"parameters": {"number": number}})["id"]
        for number in range(NUM_RUNS)
    }
    assert len(asked) == NUM_RUNS
    server = served.command_of("prefect")
    peak = 0

    def are_over() -> bool:
        nonlocal peak
        family = [server, *server.children(recursive=True)]
        peak = max(peak, sum(process.memory_info().rss for process in family))
        found = [*served.prefect.every("flow_runs", {})]
        return sum(run["state_type"] == "COMPLETED" for run in found) == NUM_RUNS

    until(are_over, "all runs have ended well", RUN_SECONDS)
    assert {run["id"] for run in served.prefect.every("flow_runs", {})} == asked
    written = {int(path.name) for path in (served.home / "done").iterdir()}
    assert written == set(range(NUM_RUNS))
    assert server.is_running(), "the same server from the first run to the last"
    assert peak < MOST_SERVER_BYTES
    print(f"{NUM_RUNS} runs, the server took {peak / 1e6:.0f} MB at the peak")
