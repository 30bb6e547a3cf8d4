"""Prefect's or MLflow's server is killed in mid-run: the run waits for it and ends as one that
nobody disturbed, or says why it stops and ends well when it is started again.
"""

import time
from pathlib import Path

import pytest

from tests.miniature import MiniatureRun, digests, tiny_settings
from tests.servers.conftest import Team
from tests.servers.pipelines import Pipeline

pytestmark = pytest.mark.faults

AWAY_SECONDS = 60.0


@pytest.mark.parametrize("which", ["prefect", "mlflow"])
def test_a_server_killed_in_mid_run_and_back_after_a_minute(
    which: str, team: Team, miniature_run: MiniatureRun, miniature_shelf: Path, tmp_path: Path
) -> None:
    settings = {**tiny_settings(miniature_shelf, tmp_path / "store"), "name": f"{which} away"}
    run = Pipeline(settings, team.environment, tmp_path / "run")
    run.wait_until(lambda: any((tmp_path / "store").rglob("steps/encode/*/manifest.json")))
    server = team.servers[which]
    server.kill()
    time.sleep(AWAY_SECONDS)
    server.start()
    ended = run.ended()
    assert ended.exit_code == 0, ended.log
    assert digests(ended.told) == digests(miniature_run.summary)
    assert any(f"{which} away" in text.splitlines()[0] for text in team.artifacts("report"))


@pytest.mark.parametrize("which", ["prefect", "mlflow"])
def test_a_server_that_does_not_come_back(
    which: str, team: Team, miniature_run: MiniatureRun, miniature_shelf: Path, tmp_path: Path
) -> None:
    settings = {**tiny_settings(miniature_shelf, tmp_path / "store"), "name": f"{which} gone"}
    hasty = {"PREFECT_CLIENT_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
    run = Pipeline(settings, {**team.environment, **hasty}, tmp_path / "run")
    run.wait_until(lambda: any((tmp_path / "store").rglob("steps/encode/*/manifest.json")))
    server = team.servers[which]
    server.kill()
    try:
        ended = run.ended()
        assert ended.exit_code == 2, ended.log
        assert which.lower() in ended.told["message"].lower()
        assert "run again" in ended.told["remedy"]
    finally:
        server.start()
    ended = Pipeline(settings, team.environment, tmp_path / "again").ended()
    assert ended.exit_code == 0, ended.log
    assert digests(ended.told) == digests(miniature_run.summary)
