"""Books that are downloaded in a run: Prefect tries again what may pass, and only that."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter

from data.books import Refusal
from data.download import DownloadSettings
from data.sources import Entry, Finding
from tasks.seams.finding_sources import find_for_run
from tests.conftest import miniature_book
from tests.local_server import QuietHandler, serving


class Handler(QuietHandler):
    asked: ClassVar[list[str]] = []

    def get(self) -> None:
        self.asked.append(self.path)
        if self.path == "/gone.txt":
            self.answer(404, b"")
        elif self.path.endswith("_busy.txt") or self.asked.count(self.path) < 4:
            self.answer(503, b"")
        else:
            self.answer(200, miniature_book(1).encode())


@pytest.fixture
def address() -> Iterator[str]:
    Handler.asked.clear()
    with serving(Handler) as address:
        yield address


@flow(name="find", persist_result=False)
def find_flow(sources: list[str], downloads: str) -> dict[str, Any]:
    finding = Finding(
        downloads=downloads,
        download=DownloadSettings(
            allow_private=True,
            num_tries=2,
            first_wait_seconds=0,
            pause_seconds=0,
            num_later_tries=2,
            later_wait_seconds=0,
        ),
    )
    from prefect.runtime import flow_run

    found = list(find_for_run(sources, finding))
    assert (
        list(find_for_run(sources, finding)) == found
    )  # a step does so; nothing is asked for again
    return {"found": found, "flow_run_id": flow_run.id}


def test_what_may_pass_is_tried_again_by_prefect(
    prefect_url: str, address: str, tmp_path: Path
) -> None:
    names = ["gone.txt", "slow.txt", "too_busy.txt", "very_busy.txt"]
    sources = [f"{address}/{name}" for name in names]
    result = find_flow(sources, str(tmp_path))
    gone, slow, busy, very_busy = result["found"]
    assert isinstance(busy, Refusal) and "in 2 tries; at the last, it answered with status 503" in (
        busy.reason
    )
    assert isinstance(gone, Refusal) and "nothing at this address" in gone.reason
    assert isinstance(slow, Entry)
    assert isinstance(very_busy, Refusal)
    # Two tries each time: three times for what stays away, once for what is not there, and once
    # where the host was waited for in vain before.
    counts = {name: Handler.asked.count(f"/{name}") for name in names}
    assert counts == {"gone.txt": 1, "slow.txt": 4, "too_busy.txt": 6, "very_busy.txt": 2}
    with get_client(sync_client=True) as client:
        its = FlowRunFilter(id={"any_": [result["flow_run_id"]]})
        runs = {run.name: run for run in client.read_task_runs(flow_run_filter=its)}
    states = {name: runs[f"download {address}/{name}"].state_name for name in names}
    assert states == {name: "Completed" if name == "slow.txt" else "Failed" for name in names}
    assert runs[f"download {address}/slow.txt"].run_count == 2

    # What is there is never asked for again, and is no task any more.
    again = find_flow([sources[1]], str(tmp_path))
    assert again["found"] == [slow]
    assert Handler.asked.count("/slow.txt") == 4
