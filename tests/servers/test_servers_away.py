"""Prefect's or MLflow's server is away for seconds: what a run needs is waited for, what is only
shown on a page is not. And the object store, of which one request in ten fails from the first to
the last: the run's store and MLflow's artifacts are both there.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest
from prefect import flow
from prefect.events.worker import EventsWorker
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)

from tasks.seams import report
from tasks.seams.run_context import open_run
from tasks.verify import verify
from tests.miniature import MiniatureRun, digests, tiny_settings
from tests.servers.conftest import NAME, PASSWORD, PREFECT_SECRET, Team
from tests.servers.object_store import RESET, ObjectStore
from tests.servers.pipelines import Pipeline
from tests.servers.plug import Plug, plugged

pytestmark = pytest.mark.faults


@pytest.fixture(autouse=True)
def as_never_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process remembers of servers that were away it forgets, before and after."""
    monkeypatch.setattr(report._Server, "no_bars_before", 0.0)
    monkeypatch.setattr(report._Server, "no_waiting_before", 0.0)


@contextmanager
def prefect_behind(plug: Plug) -> Iterator[None]:
    """Prefect's client in this process asks the server that a plug leads to."""
    EventsWorker.drain_all()  # what is for the server before goes there
    url = f"http://127.0.0.1:{plug.port}/api"
    with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: PREFECT_SECRET}):
        yield
        EventsWorker.drain_all()


def test_nobody_waits_for_a_bar(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "SECONDS_BETWEEN_UPDATES", -1.0)
    with plugged(team.prefect_port) as plug, prefect_behind(plug):

        @flow(name="weave", persist_result=False)
        def weave() -> str:
            with report.progress("weave", 100, "threads") as advance:
                advance(1)
                plug.pull_out()  # nobody puts it in again before all is woven
                for _ in range(99):
                    advance(1)
            plug.put_in()
            report.show_markdown("woven", "# woven", "It is done")
            return "done"

        assert weave() == "done"
    assert team.artifacts("woven") == ["# woven"]


def test_a_report_waits(team: Team) -> None:
    with plugged(team.prefect_port) as plug, prefect_behind(plug):

        @flow(name="tell", persist_result=False)
        def tell() -> str:
            plug.pull_out()
            back = threading.Timer(3.0, plug.put_in)
            back.start()
            report.show_markdown("waited-for", "# patience", "It was waited for")
            back.join()
            return "done"

        assert tell() == "done"
    assert team.artifacts("waited-for") == ["# patience"]


def test_a_report_that_waited_in_vain_is_told(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(report, "say", lambda message, level: told.append(message))
    with (
        plugged(team.prefect_port) as plug,
        prefect_behind(plug),
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}),
    ):

        @flow(name="in vain", persist_result=False)
        def in_vain() -> str:
            plug.pull_out()
            report.show_markdown("in-vain", "# vain", "Nobody sees it")
            plug.put_in()
            return "done"

        assert in_vain() == "done"
    assert [line.endswith("it does not show in-vain.") for line in told] == [True]
    assert team.artifacts("in-vain") == []


def test_mlflow_is_waited_for(team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", NAME)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    with plugged(team.mlflow_port) as plug:
        uri = f"http://127.0.0.1:{plug.port}"
        with open_run(
            "patient", store=str(tmp_path), tracking_uri=uri, seed=1, num_threads=1, settings={}
        ) as context:
            plug.pull_out()
            threading.Timer(2.0, plug.put_in).start()
        run = mlflow.MlflowClient(uri).get_run(context.mlflow_run_id or "")
        assert run.info.status == "FINISHED"


def test_one_request_in_ten_to_the_object_store_fails(
    team: Team,
    object_store: ObjectStore,
    miniature_run: MiniatureRun,
    miniature_shelf: Path,
    tmp_path: Path,
) -> None:
    store = object_store.new_bucket("failing") + "/store"
    settings = {**tiny_settings(miniature_shelf, store), "name": "one in ten"}
    object_store.failures.clear()
    with object_store.failing(0.1):
        ended = Pipeline(settings, team.environment, tmp_path / "run").ended()
        assert ended.exit_code == 0, ended.log
        again = Pipeline(settings, team.environment, tmp_path / "again").ended()
        assert again.exit_code == 0, again.log
    assert set(object_store.failures) == {"500", "503", RESET}
    assert digests(ended.told) == digests(again.told) == digests(miniature_run.summary)
    assert again.told["recomputed"] == []
    assert verify(store)["damage"] == []
