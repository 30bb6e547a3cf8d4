"""A registered model is there, is not there, or cannot be had: three answers, whoever is asked."""

import errno
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from data.errors import UserMistake
from data.model_schemas import LANGUAGE_MODEL_FILE
from tasks import versions
from tasks.seams.champions import MODEL_NAME, Standing, Version
from tasks.seams.registry import NoModel, champion_model, models_in_use, read_bundle
from tasks.seams.retrying import may_pass
from tasks.seams.tracking import open_client, without_password
from tests.local_server import QuietHandler, serving
from tests.servers.object_store import ObjectStore
from tests.tasks.registries import registry

CONTENT = b"a model"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client asks once, and what it puts into the environment goes with the test."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///nowhere.db")


class MlflowServer(QuietHandler):
    """A registry whose every model lies beside it, where its artifacts are answered so."""

    status = 200

    def get(self) -> None:
        if "get-download-uri" in self.path:
            place = b'{"artifact_uri": "mlflow-artifacts:/models/m"}'
            self.answer(200, place, "application/json")
        elif "registered-models/get" in self.path:  # no prompt, is it?
            self.answer(200, b'{"registered_model": {"name": "bookloom"}}', "application/json")
        elif self.path.endswith(f"/models/m/artifacts/{LANGUAGE_MODEL_FILE}"):
            self.answer(self.status, CONTENT)
        else:
            self.answer(404, b"")


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The address of such a server, with who logs in."""
    with serving(type("Server", (MlflowServer,), {"status": status})) as url:
        yield url.replace("://", "://weaver:hush@")


@pytest.fixture
def local(tmp_path: Path) -> str:
    """A registry with a model in a folder, and one whose folder is gone."""
    uri = registry(tmp_path)
    for name in ("there", "gone"):
        open_client(uri).create_model_version(MODEL_NAME, str(tmp_path / name))
    (tmp_path / "there" / "artifacts").mkdir(parents=True)
    (tmp_path / "there" / "artifacts" / LANGUAGE_MODEL_FILE).write_bytes(CONTENT)
    return uri


def refusal(uri: str, model: str | None) -> UserMistake:
    """Why a model was not read; it must be told without passwords."""
    with pytest.raises(UserMistake) as raised:
        read_bundle(uri, model)
    assert "hush" not in str(raised.value)
    return raised.value


def test_a_model_that_is_there(local: str, tmp_path: Path) -> None:
    for uri in ("models:/bookloom/1", "models:/bookloom/1/"):
        assert read_bundle(local, uri) == (uri, CONTENT)
    folder = str(tmp_path / "there")
    assert read_bundle(local, folder) == (folder, CONTENT)
    with answering(200) as url:
        assert read_bundle(url, "models:/bookloom/1") == ("models:/bookloom/1", CONTENT)


@pytest.mark.parametrize(
    "model",
    [
        "models:/nothing/1",
        "models:/bookloom/9",
        "models:/bookloom@nobody",
        "models:/bookloom/2",
        "no/such/folder",
        "/no/such/folder",
    ],
)
def test_a_model_that_is_not_there(local: str, model: str) -> None:
    found = refusal(local, model)
    assert isinstance(found, NoModel)
    assert found.message.startswith("There is no bookloom model at ")
    assert model in found.message
    assert "--model" in found.remedy
    assert not may_pass(found)


def test_a_model_whose_file_is_gone_from_the_server() -> None:
    with answering(404) as url:
        assert isinstance(refusal(url, "models:/bookloom/1"), NoModel)


@pytest.mark.parametrize("model", ["models:/a/b/c", "models:/", "thread:/bookloom/1", "http://[::"])
def test_an_address_that_is_none_is_a_mistake_in_mlflows_words(local: str, model: str) -> None:
    found = refusal(local, model)
    assert found.message.startswith(f"The model {model} in sqlite:")
    assert "--model" in found.remedy
    assert not may_pass(found)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_server_that_fails_says_nothing_of_the_model(status: int) -> None:
    with answering(status) as url:
        found = refusal(url, "models:/bookloom/1")
    assert not isinstance(found, NoModel)
    assert found.message.startswith("The model models:/bookloom/1 in http://127.0.0.1:")
    assert "are up" in found.remedy
    assert may_pass(found)


def test_an_object_store_that_has_it_has_it_not_and_fails(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import boto3

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    bucket = object_store.new_bucket("models")
    uri = registry(tmp_path)
    for name in ("there", "gone"):
        open_client(uri).create_model_version(MODEL_NAME, f"{bucket}/{name}")
    key = f"there/artifacts/{LANGUAGE_MODEL_FILE}"
    boto3.client("s3").put_object(Bucket="models", Key=key, Body=CONTENT)
    assert read_bundle(uri, "models:/bookloom/1")[1] == CONTENT
    assert isinstance(refusal(uri, "models:/bookloom/2"), NoModel)
    with object_store.failing(1.0):
        found = refusal(uri, "models:/bookloom/1")
    assert not isinstance(found, NoModel)
    assert may_pass(found)


def test_a_server_that_refuses_will_refuse_again() -> None:
    with answering(403) as url:
        found = refusal(url, "models:/bookloom/1")
    assert not isinstance(found, NoModel)
    assert "403" in found.message
    assert not may_pass(found)


@pytest.mark.parametrize("model", ["models:/bookloom/1", None])
def test_a_registry_that_is_away(model: str | None) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        found = refusal(f"http://weaver:hush@127.0.0.1:{unused.getsockname()[1]}", model)
    assert not isinstance(found, NoModel)
    assert may_pass(found)


def test_a_full_disk_stops_with_that_cause(local: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    found = refusal(local, "models:/bookloom/1")
    assert not isinstance(found, NoModel)
    assert "No space left on device" in found.message
    assert not may_pass(found)


def test_no_place_for_temporary_files_is_no_missing_model(
    local: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert not isinstance(refusal(local, "models:/bookloom/1"), NoModel)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "postgresql+psycopg2://weaver:hush@db:5432/mlflow",
            "postgresql+psycopg2://db:5432/mlflow",
        ),
        ("postgresql://weaver:hu@sh@db/mlflow", "postgresql://db/mlflow"),
        ("postgresql://weaver:hu/sh@db/mlflow", "postgresql://db/mlflow"),
        (
            "postgresql:///m?user=w&password=hush&host=db",
            "postgresql:///m?user=w&password=…&host=db",
        ),
        ("GET https://weaver@mlflow:5000/api failed", "GET https://mlflow:5000/api failed"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("models:/bookloom@champion", "models:/bookloom@champion"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_addresses_are_shown_without_passwords(text: str, shown: str) -> None:
    assert without_password(text) == shown


def test_what_is_said_of_a_registry_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "postgresql+psycopg2://weaver:hush@db:5432/mlflow"

    class Registry:
        found: Any = Standing({}, {})

        def __init__(self, tracking_uri: str) -> None:
            assert tracking_uri == uri, "who asks needs the password"

        def standing(self) -> Any:
            if isinstance(self.found, Exception):
                raise self.found
            return self.found

    monkeypatch.setattr(versions, "Champions", Registry)
    monkeypatch.setattr("tasks.seams.registry.Champions", Registry)
    told = [refused(versions.versions, uri), refused(champion_model, uri)]
    Registry.found = MlflowException(f"no connection to {uri}")
    told += [refused(models_in_use, uri), str(refusal(uri, None))]
    Registry.found = Standing({1: Version(1, {}, (), 0.0, None)}, {})
    told += [versions.versions(uri)["registry"]]
    assert all("db:5432" in text and "hush" not in text for text in told), told


def refused(ask: Callable[[str], Any], uri: str) -> str:
    with pytest.raises(UserMistake) as raised:
        ask(uri)
    return str(raised.value)
