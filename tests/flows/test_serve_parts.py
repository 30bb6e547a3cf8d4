"""The commands and environments of what is served, as they are told to the parts."""

import os
from configparser import ConfigParser
from pathlib import Path
from unittest.mock import patch

import pytest
from prefect.settings import Settings

from data.errors import UserMistake
from flows.mlflow_users import (
    ADMIN_PASSWORD,
    CONFIG_PATH,
    PASSWORD,
    SECRET_KEY,
    USERNAME,
    prepare_users,
)
from flows.serve_parts import MLFLOW, PLACES, PREFECT, WORKER, Part, ServeSettings, stages

LOGIN = {USERNAME: "weaver", PASSWORD: "a password of hers"}


@pytest.fixture(autouse=True)
def _no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the environment nor in the file of whoever runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    for name in LOGIN:
        monkeypatch.delenv(name, raising=False)


def parts(home: Path, **settings: object) -> dict[str, Part]:
    made = stages(ServeSettings.model_validate({"home": home, "shelf": home / "s", **settings}))
    return {part.name: part for stage in made for part in stage}


def test_servers_come_first_and_know_their_ports(tmp_path: Path) -> None:
    made = parts(tmp_path, prefect_port=4301, mlflow_port=5301)
    assert [*made][:2] == [PREFECT, MLFLOW] and "worker" in [*made][3:]
    assert made[PREFECT].command[-4:] == ("--host", "127.0.0.1", "--port", "4301")
    for part in made.values():
        assert part.environment["PREFECT_API_URL"] == "http://127.0.0.1:4301/api"
        assert part.environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5301"
        assert part.environment["BOOKLOOM_HOME"] == str(tmp_path)


def test_no_command_line_shows_a_password(tmp_path: Path) -> None:
    database = "postgresql://bookloom:secret@127.0.0.1/mlflow"
    with patch.dict(os.environ, PREFECT_SERVER_API_AUTH_STRING="bookloom:secret"):
        made = parts(tmp_path, mlflow_database=database, mlflow_auth=True)
    assert not [word for part in made.values() for word in part.command if "secret" in word]
    assert made[MLFLOW].environment["MLFLOW_BACKEND_STORE_URI"] == database
    assert made[MLFLOW].command[-2:] == ("--app-name", "basic-auth")
    assert "MLFLOW_BACKEND_STORE_URI" not in made[WORKER].environment


def test_a_proxy_in_front_may_have_addresses_of_its_own(tmp_path: Path) -> None:
    own = "127.0.0.1:5301,localhost:5301"
    made = parts(tmp_path, prefect_port=4301, mlflow_port=5301)
    assert made[PREFECT].environment["PREFECT_UI_API_URL"] == "http://127.0.0.1:4301/api"
    assert made[MLFLOW].environment["MLFLOW_SERVER_ALLOWED_HOSTS"] == own
    proxy = {
        "PREFECT_UI_API_URL": "https://prefect.example.org/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "https://prefect.example.org",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "https://mlflow.example.org",
    }
    hosts = {"MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow.example.org"}
    with patch.dict(os.environ, {**proxy, **hosts}):
        made = parts(tmp_path, prefect_port=4301, mlflow_port=5301)
    for name in (PREFECT, MLFLOW):
        assert proxy.items() <= made[name].environment.items()
    # Runs go on asking by the loopback address, which they need not be told of.
    assert made[MLFLOW].environment["MLFLOW_SERVER_ALLOWED_HOSTS"] == f"{own},mlflow.example.org"
    assert "--allowed-hosts" not in made[MLFLOW].command  # it would hold against the variable


def test_prefect_takes_the_newer_name_of_its_pages_address(tmp_path: Path) -> None:
    named = {"PREFECT_SERVER_UI_API_URL": "https://prefect.example.org/api"}
    with patch.dict(os.environ, named):
        environment = parts(tmp_path)[PREFECT].environment
    assert "PREFECT_UI_API_URL" in environment
    with patch.dict(os.environ, environment, clear=True):
        assert Settings().server.ui.api_url == "https://prefect.example.org/api"


def test_mlflows_users_are_in_the_home_or_where_the_environment_says(tmp_path: Path) -> None:
    assert CONFIG_PATH not in parts(tmp_path)[MLFLOW].environment
    secrets = {SECRET_KEY: "long", ADMIN_PASSWORD: "twelve or more", **LOGIN}
    with patch.dict(os.environ, secrets):
        prepare_users(tmp_path / "mlflow")
        made = parts(tmp_path, mlflow_auth=True)
    users = ConfigParser()
    users.read(made[MLFLOW].environment[CONFIG_PATH])
    assert users["mlflow"]["database_uri"] == f"sqlite:///{tmp_path}/mlflow/users.db"
    with patch.dict(os.environ, {**secrets, CONFIG_PATH: "/etc/users.ini"}):
        prepare_users(tmp_path / "other")
        made = parts(tmp_path, mlflow_auth=True)
    assert made[MLFLOW].environment[CONFIG_PATH] == "/etc/users.ini"
    assert not (tmp_path / "other").exists()


def test_mlflows_authentication_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match=SECRET_KEY):
        prepare_users(tmp_path)
    secrets = {SECRET_KEY: "long", ADMIN_PASSWORD: "too short"}
    with patch.dict(os.environ, secrets), pytest.raises(UserMistake, match=ADMIN_PASSWORD):
        prepare_users(tmp_path)
    (tmp_path / "users.db").touch()
    with patch.dict(os.environ, {SECRET_KEY: "long", **LOGIN}):
        prepare_users(tmp_path)


def test_mlflow_asks_for_passwords_only_if_runs_have_them(tmp_path: Path) -> None:
    """Else all would be well but every run, which MLflow would refuse."""
    secrets = {SECRET_KEY: "long", ADMIN_PASSWORD: "twelve or more"}
    with patch.dict(os.environ, secrets), pytest.raises(UserMistake, match="none") as caught:
        prepare_users(tmp_path)
    assert USERNAME in caught.value.remedy and "admin" in caught.value.remedy
    assert not (tmp_path / "users.ini").exists()
    theirs = {SECRET_KEY: "long", CONFIG_PATH: "/etc/users.ini", USERNAME: "weaver"}
    with patch.dict(os.environ, theirs), pytest.raises(UserMistake, match="none") as caught:
        prepare_users(tmp_path)
    assert PASSWORD in caught.value.remedy and "admin" not in caught.value.remedy
    file = Path.home() / ".mlflow" / "credentials"
    file.parent.mkdir(parents=True)
    file.write_text("[mlflow]\nmlflow_tracking_password = hers\n")
    with patch.dict(os.environ, theirs):
        prepare_users(tmp_path)


def test_clients_get_the_password_that_the_server_asks_for(tmp_path: Path) -> None:
    with patch.dict(os.environ, PREFECT_SERVER_API_AUTH_STRING="bookloom:secret"):
        os.environ.pop("PREFECT_API_AUTH_STRING", None)
        assert parts(tmp_path)[WORKER].environment["PREFECT_API_AUTH_STRING"] == "bookloom:secret"
    assert "PREFECT_API_AUTH_STRING" not in parts(tmp_path)[WORKER].environment


def test_artifacts_are_in_the_open_unless_they_are_elsewhere(tmp_path: Path) -> None:
    here = parts(tmp_path)[MLFLOW].environment
    assert here["MLFLOW_DEFAULT_ARTIFACT_ROOT"] == (tmp_path / "mlflow" / "artifacts").as_uri()
    elsewhere = parts(tmp_path, mlflow_artifacts="s3://books/mlflow")[MLFLOW].environment
    assert elsewhere["MLFLOW_ARTIFACTS_DESTINATION"] == "s3://books/mlflow"
    assert "MLFLOW_DEFAULT_ARTIFACT_ROOT" not in elsewhere


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("store", "{here}/store"),
        ("./a/../store", "{here}/store"),
        ("/var/store", "/var/store"),
        ("sqlite:///x.db", "sqlite:///{here}/x.db"),
        ("sqlite+aiosqlite:///x.db", "sqlite+aiosqlite:///{here}/x.db"),
        ("sqlite:////var/x.db", "sqlite:////var/x.db"),
        ("postgresql://me:hush@db/x", "postgresql://me:hush@db/x"),
        ("s3://books/store", "s3://books/store"),
        ("mlflow-artifacts:/books", "mlflow-artifacts:/books"),
    ],
)
def test_parts_know_the_places_that_were_typed_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, meant: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in PLACES:
        monkeypatch.setenv(name, typed)
    made = parts(Path("/home"), mlflow_database=typed, mlflow_artifacts=typed)
    place = meant.format(here=tmp_path)
    for part in made.values():
        assert {part.environment[name] for name in PLACES} == {place}
    assert made[MLFLOW].environment["MLFLOW_BACKEND_STORE_URI"] == place
    assert made[MLFLOW].environment["MLFLOW_ARTIFACTS_DESTINATION"] == place


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_what_is_no_port_is_refused(tmp_path: Path, port: int) -> None:
    with pytest.raises(ValueError, match="prefect_port"):
        parts(tmp_path, prefect_port=port)
