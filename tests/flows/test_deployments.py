"""What prefect.yaml deploys is there, takes its settings, and can run in each pool."""

import importlib
import inspect
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
import yaml
from prefect import Flow
from prefect.cli.deploy._triggers import DeploymentTriggerAdapter
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.steps.core import run_steps
from prefect.events.schemas.events import ReceivedEvent
from prefect.server.events.schemas.automations import EventTrigger
from prefect.server.schemas.schedules import CronSchedule as ServersSchedule
from prefect.utilities.asyncutils import run_coro_as_sync

from data.errors import UserMistake
from flows import deploy_commands
from flows.command_line import app
from flows.deployments import (
    MAP_ENTRYPOINT,
    PIPELINE_ENTRYPOINT,
    Pool,
    as_yaml,
    deployment_settings,
    deployments_file,
    job_template,
    pool_section,
    rendered,
)
from flows.environment import LONGEST_RUN_SECONDS, PROJECT_ROOT, shelf, with_shelf
from flows.watch import EVENT, RESOURCE

CONTENT = yaml.safe_load(deployments_file().read_text(encoding="utf-8"))
DEPLOYMENTS = {entry["name"]: entry for entry in CONTENT["deployments"]}
RETRAININGS = ["retrain-nightly", "retrain-quick", "retrain-shelf"]
IMAGE = "registry.example.org/books/bookloom:7"


@pytest.mark.parametrize("deployment", DEPLOYMENTS.values(), ids=lambda one: one["name"])
def test_a_deployments_flow_takes_its_settings(deployment: dict[str, Any]) -> None:
    path, name = deployment["entrypoint"].split(":")
    flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(flow, Flow)
    kind = inspect.signature(flow.fn).parameters["settings"].annotation
    kind.model_validate(deployment["parameters"]["settings"])  # unknown names are refused
    # A repetition is bounded by that of the pipeline within it.
    is_bounded = flow.timeout_seconds == LONGEST_RUN_SECONDS
    assert is_bounded != (deployment["name"] == "reproduce")
    assert deployment["description"].endswith(".")
    assert deployment["tags"][0] == "bookloom"
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert deployment["version"] == project["project"]["version"]
    assert deployment["work_pool"] == {"name": "bookloom"}


def test_every_flow_is_deployed_once() -> None:
    names = [entry["name"] for entry in CONTENT["deployments"]]
    assert sorted(names) == sorted([*RETRAININGS, "cluster", "generate", "reproduce"])
    assert {name for name in names if "retrain" in DEPLOYMENTS[name]["tags"]} == {*RETRAININGS}


@pytest.mark.parametrize("name", RETRAININGS)
def test_retrainings_wait_for_each_other(name: str) -> None:
    assert DEPLOYMENTS[name]["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


def test_settings_stand_in_one_place() -> None:
    """Two names for them, as a deployment's and as their own, and for the shelf other books."""
    assert deployment_settings("standard") is not None
    assert deployment_settings("standard") == deployment_settings("retrain-nightly")
    assert deployment_settings("quick") == deployment_settings("retrain-quick")
    own = {"name": "shelf", "read": {"books": ["watched"]}}
    assert deployment_settings("retrain-shelf") == {**deployment_settings("quick"), **own}
    assert deployment_settings("cluster", MAP_ENTRYPOINT)["read"] == {"books": ["plays"]}
    with pytest.raises(UserMistake, match="Choose one of: cluster"):
        deployment_settings("quick", MAP_ENTRYPOINT)
    text = deployments_file().read_text(encoding="utf-8")
    assert text.count("learning_rate") == text.count("embedding_width") == 1


def test_the_night_is_where_its_clock_says() -> None:
    [schedule] = DEPLOYMENTS["retrain-nightly"]["schedules"]
    assert schedule["active"] is True
    zone = ZoneInfo(schedule["timezone"])
    cron = CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
    for month, offset_hours in ((1, 0), (7, 1)):
        start = datetime(2026, month, 1, tzinfo=UTC)
        [first, second] = run_coro_as_sync(_dates(cron, start))
        assert (first.astimezone(zone).hour, first.astimezone(zone).minute) == (2, 30)
        assert first.utcoffset() is not None
        assert first.astimezone(zone).utcoffset() == timedelta(hours=offset_hours)
        assert second - first == timedelta(days=1)
    assert not [name for name, entry in DEPLOYMENTS.items() if "schedules" in entry][1:]


async def _dates(cron: CronSchedule, start: datetime) -> list[datetime]:
    dates = await ServersSchedule(**cron.model_dump()).get_dates(2, start=start)
    return list(dates)


def test_the_event_of_the_watched_folder_fires_the_trigger() -> None:
    [spec] = DEPLOYMENTS["retrain-shelf"]["triggers"]
    trigger = DeploymentTriggerAdapter.validate_python(spec)
    trigger.set_deployment_id(uuid4())
    automation = trigger.as_automation()
    servers = EventTrigger.model_validate(automation.trigger.model_dump(exclude={"id"}))
    event = {
        "occurred": datetime.now(UTC),
        "received": datetime.now(UTC),
        "event": EVENT,
        "resource": {"prefect.resource.id": RESOURCE},
        "id": "5a1d5c1e-6f0b-4d0e-9d0c-0b00c1005e1f",
    }
    assert servers.covers(ReceivedEvent.model_validate(event))
    assert not servers.covers(ReceivedEvent.model_validate({**event, "event": "another"}))
    other = {"resource": {"prefect.resource.id": "another"}}
    assert not servers.covers(ReceivedEvent.model_validate({**event, **other}))


def test_settings_can_name_the_watched_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert with_shelf(("plays", "watched")) == ("plays", str(shelf()))
    monkeypatch.setenv("BOOKLOOM_SHELF", str(tmp_path))
    assert with_shelf(("watched", "./watched")) == (str(tmp_path), "./watched")


def test_code_is_where_bookloom_is_installed(
    prefect_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = run_coro_as_sync(run_steps(CONTENT["pull"]))
    assert outputs["directory"] == str(PROJECT_ROOT)
    assert all((PROJECT_ROOT / one["entrypoint"].split(":")[0]).exists() for one in RENDERED)


RENDERED = rendered()["deployments"]


def test_for_processes_the_file_is_deployed_as_it_is() -> None:
    content = rendered()
    assert content["deployments"] == CONTENT["deployments"]
    assert content["pull"] == CONTENT["pull"]
    assert yaml.safe_load(as_yaml(content)) == content
    assert [one["name"] for one in rendered(names=["generate"])["deployments"]] == ["generate"]


@pytest.mark.parametrize("pool", ["docker", "kubernetes"])
def test_in_containers_the_image_is_built_once(pool: Pool) -> None:
    first, *others = rendered(pool, IMAGE)["deployments"]
    [build] = first["build"]
    [(function, arguments)] = build.items()
    assert function == "prefect_docker.deployments.steps.build_docker_image"
    assert arguments["image_name"] == "registry.example.org/books/bookloom"
    assert arguments["tag"] == "7"
    assert (PROJECT_ROOT / arguments["dockerfile"]).exists()
    assert len(arguments["buildargs"]["GIT_COMMIT"]) == 40
    [push] = first["push"]
    assert list(push) == ["prefect_docker.deployments.steps.push_docker_image"]
    for entry in (first, *others):
        assert entry["work_pool"]["name"] == f"bookloom-{pool}"
        assert entry["work_pool"]["job_variables"]["image"] == IMAGE
        assert entry["parameters"] == DEPLOYMENTS[entry["name"]]["parameters"]
        assert not {"build", "push"} & set(entry) or entry is first
    assert "{{" not in as_yaml(rendered(pool, IMAGE))


def test_prefects_steps_take_what_they_are_given() -> None:
    steps = pytest.importorskip(
        "prefect_docker.deployments.steps", reason="it is in the extra `docker`"
    )
    first = rendered("docker", IMAGE)["deployments"][0]
    for action in (*first["build"], *first["push"]):
        [(function, arguments)] = action.items()
        takes = inspect.signature(getattr(steps, function.rsplit(".", 1)[1]))
        bound = takes.bind(**arguments)  # fails where it takes no such argument
        assert {**bound.arguments, **bound.kwargs} == {**bound.arguments, **arguments}


@pytest.mark.parametrize(
    ("image", "is_pushed"),
    [
        ("bookloom:1", False),
        ("books/bookloom:1", False),
        ("localhost/bookloom:1", True),
        ("127.0.0.1:5001/bookloom:1", True),
        ("ghcr.io/books/bookloom:1", True),
    ],
)
def test_only_a_name_with_a_registry_is_pushed(image: str, is_pushed: bool) -> None:
    first = rendered("docker", image)["deployments"][0]
    assert bool(first["push"]) == is_pushed
    assert first["build"][0]["prefect_docker.deployments.steps.build_docker_image"]["tag"] == "1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("process", IMAGE, ()), "runs no image"),
        (("docker", "bookloom", ()), "'bookloom' has no tag"),
        (("docker", "127.0.0.1:5001/bookloom", ()), "has no tag"),
        (("process", None, ("retrain-nihgtly",)), "Choose among: retrain-nightly"),
    ],
)
def test_what_cannot_be_rendered(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UserMistake, match=message):
        rendered(*arguments)


def test_docker_runs_what_was_asked_for(prefect_url: str) -> None:
    worker = pytest.importorskip("prefect_docker.worker", reason="it is in the extra `docker`")
    [entry] = rendered("docker", IMAGE, ["retrain-quick"])["deployments"]
    prefects = worker.DockerWorker.get_default_base_job_template()
    template = job_template(pool_section("docker"), prefects)
    unknown = set(entry["work_pool"]["job_variables"]) - set(template["variables"]["properties"])
    assert not unknown
    job = run_coro_as_sync(
        worker.DockerWorkerJobConfiguration.from_template_and_values(
            template, entry["work_pool"]["job_variables"]
        )
    )
    assert (job.image, job.image_pull_policy) == (IMAGE, "IfNotPresent")
    assert (job.networks, job.mem_limit, job.memswap_limit) == (["bookloom"], "4g", "4g")
    assert job.auto_remove
    assert not job.privileged
    assert "bookloom-home:/var/lib/bookloom" in job.volumes
    assert [one for one in job.volumes if "secrets" in one and not one.endswith(":ro")] == []
    assert job.env["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert not [name for name in job.env if "SECRET" in name or "PASSWORD" in name]


def test_kubernetes_runs_what_was_asked_for(prefect_url: str) -> None:
    worker = pytest.importorskip(
        "prefect_kubernetes.worker", reason="it is in the extra `kubernetes`"
    )
    [entry] = rendered("kubernetes", IMAGE, ["retrain-quick"])["deployments"]
    prefects = worker.KubernetesWorker.get_default_base_job_template()
    template = job_template(pool_section("kubernetes"), prefects)
    unknown = set(entry["work_pool"]["job_variables"]) - set(template["variables"]["properties"])
    assert not unknown
    job = run_coro_as_sync(
        worker.KubernetesWorkerJobConfiguration.from_template_and_values(
            template, entry["work_pool"]["job_variables"]
        )
    ).job_manifest
    assert (job["kind"], job["metadata"]["namespace"]) == ("Job", "bookloom")
    assert job["spec"]["ttlSecondsAfterFinished"] == 24 * 3600
    assert job["spec"]["backoffLimit"] == 0
    pod = job["spec"]["template"]["spec"]
    assert (pod["restartPolicy"], pod["serviceAccountName"]) == ("Never", "bookloom")
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    [container] = pod["containers"]
    assert (container["image"], container["imagePullPolicy"]) == (IMAGE, "Always")
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi"},
        "limits": {"cpu": "4", "memory": "8Gi"},
    }
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert mounted == {"home": "/var/lib/bookloom", "scratch": "/tmp"}
    assert {one["name"] for one in pod["volumes"]} == set(mounted)
    assert {"secretRef": {"name": "bookloom-credentials"}} in container["envFrom"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    user = f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert user in (PROJECT_ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()


def test_what_would_be_deployed_can_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    app(["deploy", "generate", "--show"], exit_on_error=False)
    shown = capsys.readouterr().out
    assert shown.startswith("# Work pool bookloom of type process; its template of jobs:\n#   job_")
    assert yaml.safe_load(shown) == rendered(names=["generate"])
    app(["deploy", "--show", "--json"], exit_on_error=False)
    told = json.loads(capsys.readouterr().out)
    assert told["prefect_yaml"] == rendered()
    assert told["job_template"]["job_configuration"]["command"] == "{{ command }}"


def test_every_pool_has_a_section() -> None:
    assert list(CONTENT["definitions"]["work_pools"]) == list(get_args(Pool))
    for pool in get_args(Pool):
        assert pool_section(pool)["type"] == pool
    assert deploy_commands._worker_class("process").type == "process"
    with pytest.raises(UserMistake, match=r"worker for balloon is not installed"):
        deploy_commands._worker_class("balloon")


@pytest.fixture(scope="module")
def deployed_twice(prefect_url: str) -> Iterator[list[str]]:
    """What our command and then Prefect's own said, on the same server; undone at the end."""
    environment = {**os.environ, "PREFECT_API_URL": prefect_url}
    bookloom = "from flows.command_line import main; main()"
    commands = [
        [sys.executable, "-c", bookloom, "deploy", "--json"],
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
    ]
    said = []
    for command in commands:
        done = subprocess.run(
            command,
            cwd=PROJECT_ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    yield said
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            if deployment.name in DEPLOYMENTS:
                client.delete_deployment(deployment.id)


def test_what_is_deployed_twice_is_there_once(deployed_twice: list[str]) -> None:
    ours, _ = deployed_twice
    assert json.loads(ours) == {
        "pool": "bookloom",
        "type": "process",
        "image": None,
        "deployments": list(DEPLOYMENTS),
    }
    with get_client(sync_client=True) as client:
        found = {one.name: one for one in client.read_deployments() if one.name in DEPLOYMENTS}
        automations = client._client.post("/automations/filter", json={}).json()
    assert sorted(found) == sorted(DEPLOYMENTS)
    for name, deployment in found.items():
        assert deployment.work_pool_name == "bookloom"
        assert deployment.parameters == DEPLOYMENTS[name]["parameters"]
        assert deployment.pull_steps == CONTENT["pull"]
        limit = deployment.global_concurrency_limit
        assert (limit.limit if limit else None) == (1 if name in RETRAININGS else None)
    [schedule] = found["retrain-nightly"].schedules
    assert schedule.active
    assert schedule.schedule == CronSchedule(cron="30 2 * * *", timezone="Europe/London")
    [automation] = [one for one in automations if "shelf" in one["name"]]
    assert automation["enabled"]
    assert automation["trigger"]["expect"] == [EVENT]
    assert automation["actions"][0]["deployment_id"] == str(found["retrain-shelf"].id)


def test_the_server_schedules_the_nights(deployed_twice: list[str]) -> None:
    """As its scheduler does: with SQLAlchemy 2.1, Prefect 3.8 fails at it, and no night comes."""
    with get_client(sync_client=True) as client:
        nightly = client.read_deployment_by_name("bookloom/retrain-nightly")
        client._client.post(f"/deployments/{nightly.id}/schedule", json={}).raise_for_status()
        only = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[nightly.id]))
        runs = client.read_flow_runs(flow_run_filter=only)
    expected = [one.expected_start_time for one in runs]
    assert len(expected) >= 3
    for moment in expected:
        assert moment is not None
        at_home = moment.astimezone(ZoneInfo("Europe/London"))
        assert (at_home.hour, at_home.minute) == (2, 30)


def test_a_pool_of_another_type_is_not_taken(deployed_twice: list[str]) -> None:
    section = {**pool_section("kubernetes"), "work_pool": {"name": "bookloom"}}
    with pytest.raises(UserMistake, match="is there already, and is of type process"):
        deploy_commands._make_pool(section, {})


def test_a_server_that_is_not_there_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(*_: Any) -> None:
        raise httpx.ConnectError("Connection refused")

    monkeypatch.setattr(deploy_commands, "_make_pool", away)
    with pytest.raises(UserMistake, match=r"Prefect's server .* does not answer"):
        deploy_commands.deploy()


def test_the_file_of_deployments_is_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOOKLOOM_DEPLOYMENTS", "mine.yaml")
    with pytest.raises(UserMistake, match=f"There is no file {tmp_path}/mine.yaml"):
        deployment_settings("quick")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**CONTENT, "deployments": []}))
    assert rendered()["deployments"] == []
    with pytest.raises(UserMistake, match=r"mine\.yaml has no deployment 'retrain-nightly'"):
        deployment_settings("retrain-nightly")


def test_settings_alone_are_a_file_of_deployments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKLOOM_DEPLOYMENTS", str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text("definitions: {settings: {mine: {name: mine}}}")
    assert deployment_settings("mine") == {"name": "mine"}
    assert deployment_settings("quick") == CONTENT["definitions"]["settings"]["quick"]
    assert list(DEPLOYMENTS) == [one["name"] for one in rendered()["deployments"]]


def test_deployments_of_ones_own_take_the_place_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKLOOM_DEPLOYMENTS", str(tmp_path / "mine.yaml"))
    mine = {"name": "mine", "entrypoint": MAP_ENTRYPOINT, "parameters": {"settings": {"seed": 2}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"deployments": [mine]}))
    assert deployment_settings("mine", MAP_ENTRYPOINT) == {"seed": 2}
    assert [one["name"] for one in rendered()["deployments"]] == ["mine"]
    (tmp_path / "mine.yaml").write_text("deployments: []")
    with pytest.raises(UserMistake, match="no deployment 'mine'") as caught:
        deployment_settings("mine", MAP_ENTRYPOINT)
    assert caught.value.remedy == f"Copy one of bookloom's own, {PROJECT_ROOT / 'prefect.yaml'}."


@pytest.mark.parametrize("text", ["", "- a\n", "a: [", "definitions: 5", "\udcff"])
def test_what_is_no_file_of_deployments_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("BOOKLOOM_DEPLOYMENTS", str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserMistake, match=r"mine\.yaml describes no deployments") as caught:
        deployment_settings("mine")
    assert "Copy bookloom's own" in caught.value.remedy


def test_a_retraining_is_found_by_its_entrypoint() -> None:
    assert {one["entrypoint"] for one in DEPLOYMENTS.values()} >= {
        PIPELINE_ENTRYPOINT,
        MAP_ENTRYPOINT,
    }
