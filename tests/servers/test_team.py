"""A member of a team runs the pipeline: Prefect and MLflow on Postgres, both behind passwords,
store and artifacts on S3. What comes out is what one machine's folders and SQLite give.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from data.errors import UserMistake
from flows.summary import summary_text
from flows.unanswered import silence_told
from tasks.lineage import lineage
from tasks.verify import verify
from tasks.why import why
from tests.miniature import MiniatureRun, digests, tiny_settings
from tests.servers.conftest import NAME, PASSWORD, PREFECT_SECRET, PROXIED, Team
from tests.servers.object_store import ObjectStore
from tests.servers.pipelines import Pipeline
from tests.servers.processes import free_port

BOOKLOOM = Path(sys.executable).with_name("bookloom")


@pytest.fixture
def as_member(team: Team, monkeypatch: pytest.MonkeyPatch) -> Team:
    """This process has the environment of a member, for MLflow's client."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, team.environment[name])
    return team


@pytest.fixture(scope="module")
def team_run(team: Team, miniature_shelf: Path) -> dict[str, Any]:
    """The summary of a member's run."""
    settings = tiny_settings(miniature_shelf, team.environment["BOOKLOOM_STORE"])
    ended = Pipeline(settings, team.environment, team.folder / "run").ended()
    assert ended.exit_code == 0, ended.log
    return ended.told


@pytest.mark.parametrize("secret", [None, "weaver:wrong"])
def test_prefect_refuses_who_has_no_password(team: Team, secret: str | None) -> None:
    asked = f"{team.prefect_url}/api/flows/count"
    auth = tuple(secret.split(":")) if secret else None
    assert httpx.post(asked, json={}, auth=auth).status_code == 401
    right = PREFECT_SECRET.split(":")
    assert httpx.post(asked, json={}, auth=(right[0], right[1])).status_code == 200


@pytest.mark.parametrize("password", [None, "wrong"])
def test_mlflow_refuses_who_has_no_password(team: Team, password: str | None) -> None:
    asked = f"{team.mlflow_url}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    auth = (NAME, password) if password else None
    assert httpx.get(asked, auth=auth).status_code == 401
    assert httpx.get(asked, auth=(NAME, PASSWORD)).status_code == 200


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        (PROXIED, f"https://{PROXIED}", 200),
        (PROXIED, "https://elsewhere.example.org", 403),
        (PROXIED, f"http://{PROXIED}", 403),
        ("elsewhere.example.org", f"https://{PROXIED}", 403),
    ],
)
def test_mlflow_answers_its_own_page_behind_a_proxy(
    team: Team, host: str, origin: str, status: int
) -> None:
    """With the headers that a proxy hands on; Prefect's page needs no leave to ask its own host."""
    asked = f"{team.mlflow_url}/ajax-api/2.0/mlflow/experiments/search"
    headers = {"Host": host, "Origin": origin, "X-Forwarded-Proto": "https"}
    body = {"max_results": 1}
    answer = httpx.post(asked, json=body, headers=headers, auth=(NAME, PASSWORD))
    assert answer.status_code == status


def test_who_is_refused_is_told_what_to_set(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.mlflow_url)
    with (
        pytest.raises(UserMistake, match=r"MLflow's server .* refuses: .*401") as caught,
        silence_told(),
    ):
        mlflow.MlflowClient(team.mlflow_url).search_experiments()
    assert "MLFLOW_TRACKING_USERNAME" in caught.value.remedy
    with (
        temporary_settings({PREFECT_API_URL: team.environment["PREFECT_API_URL"]}),
        pytest.raises(UserMistake, match=r"Prefect's server .* refuses: .*401") as caught,
        silence_told(),
        get_client(sync_client=True) as client,
    ):
        client.read_flows()
    assert "PREFECT_API_AUTH_STRING" in caught.value.remedy


def test_who_asks_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://user:hush@127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", nowhere)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    silent = r"server http://127\.0\.0\.1.* does not answer: .*refused"
    with pytest.raises(UserMistake, match=f"MLflow's {silent}") as caught, silence_told():
        mlflow.MlflowClient(nowhere).search_experiments()
    assert "hush" not in str(caught.value)
    with (
        temporary_settings({PREFECT_API_URL: f"{nowhere}/api"}),
        pytest.raises(UserMistake, match=f"Prefect's {silent}") as caught,
        silence_told(),
        get_client(sync_client=True) as client,
    ):
        client.read_flows()
    assert "hush" not in str(caught.value)
    assert "run again" in caught.value.remedy


def test_digests_are_those_of_folders_and_sqlite(
    team_run: dict[str, Any], miniature_run: MiniatureRun
) -> None:
    assert digests(team_run) == digests(miniature_run.summary)


def test_the_run_is_found_in_both_servers(
    as_member: Team, team_run: dict[str, Any], object_store: ObjectStore
) -> None:
    client = mlflow.MlflowClient(as_member.mlflow_url)
    run = client.get_run(team_run["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["train.hidden_width"] == "24"
    assert "map.png" in {item.path for item in client.list_artifacts(run.info.run_id)}
    auth = tuple(PREFECT_SECRET.split(":"))
    asked = f"{as_member.prefect_url}/api/flow_runs/filter"
    found = httpx.post(asked, json={}, auth=(auth[0], auth[1])).json()
    assert "COMPLETED" in {run["state_type"] for run in found}
    tasks = f"{as_member.prefect_url}/api/task_runs/filter"
    states = [
        one["state_type"] for one in httpx.post(tasks, json={}, auth=(auth[0], auth[1])).json()
    ]
    assert states.count("COMPLETED") >= 15


def test_the_model_loads_from_the_object_store(as_member: Team, team_run: dict[str, Any]) -> None:
    mlflow.set_tracking_uri(as_member.mlflow_url)
    bags = [["the", "my"], ["king", "lady"], ["sees", "loves"], ["the"], ["sea", "moon"], ["."]]
    model = mlflow.pyfunc.load_model(team_run["model"]["uri"])
    answer = model.predict(pd.DataFrame({"bags": [bags]}))
    assert answer["tokens"][0][-1] == "."


def test_the_store_is_sound_and_knows_where_things_came_from(
    team: Team, team_run: dict[str, Any]
) -> None:
    root = team.environment["BOOKLOOM_STORE"]
    found = verify(root)
    assert found["sound"]
    assert found["num_results"] == len(team_run["recomputed"])
    tree = lineage(root, "bag_sentences")
    assert tree["path"].startswith(f"{root}/steps/pick/")
    assert why(root, "bag_sentences")["own_reasons"] == ["first time"]
    assert f"map of the texts      {root}/steps/chart/" in summary_text(team_run)


def test_the_run_is_repeated_bit_by_bit(team: Team, team_run: dict[str, Any]) -> None:
    """From S3 into a folder."""
    done = subprocess.run(
        [BOOKLOOM, "reproduce", team_run["mlflow_run_id"], "--json"],
        env=team.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["equal"]
    assert report["num_tables"] == len(team_run["tables"])
