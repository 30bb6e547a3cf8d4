"""Real servers, started by the tests that need them and shared by all of these."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from flows.serve_parts import ServeSettings, stages
from tests.servers.object_store import ObjectStore
from tests.servers.pipelines import environment_at
from tests.servers.postgres import Postgres, postgres_cluster, programs
from tests.servers.processes import Server, free_port, running

NAME, PASSWORD = "admin", "a long test password"
USERS = """
[mlflow]
database_uri = {database}
default_permission = READ
admin_username = {name}
auth_cache_ttl_seconds = 60
"""
PREFECT_SECRET = "weaver:a-test's"
PROXIED = "mlflow.example.org"
OF_PROXY = {
    "MLFLOW_SERVER_ALLOWED_HOSTS": f"{PROXIED},127.0.0.1:*",  # some tests ask through a plug
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"https://{PROXIED}",
}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A Postgres cluster."""
    if programs() is None:
        pytest.skip("Postgres is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg2", reason="psycopg2-binary is not installed: see the extra `test`")
    with postgres_cluster() as cluster:
        yield cluster


@dataclass(frozen=True)
class Team:
    """The servers of a team, and how one of its members reaches them."""

    prefect_port: int
    mlflow_port: int
    folder: Path
    servers: dict[str, Server]
    """`prefect` and `mlflow`."""
    environment: dict[str, str]
    """Of a member's processes."""

    @property
    def prefect_url(self) -> str:
        return f"http://127.0.0.1:{self.prefect_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    def artifacts(self, key: str) -> list[Any]:
        """What Prefect's page shows under a key."""
        name, password = PREFECT_SECRET.split(":")
        asked = f"{self.prefect_url}/api/artifacts/filter"
        found = httpx.post(asked, json={"limit": 200}, auth=(name, password)).json()
        return [one["data"] for one in found if one["key"] == key]


@pytest.fixture(scope="session")
def team(
    postgres: Postgres, object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Team]:
    """Prefect and MLflow as `bookloom serve` starts them, on Postgres, artifacts on S3, both behind
    their own basic authentication.
    """
    pytest.importorskip("flask_wtf", reason="Flask-WTF is not installed: see the extra `test`")
    folder = tmp_path_factory.mktemp("team")
    for name in ("prefect", "mlflow", "users"):
        postgres.new_database(name)
    (folder / "users.ini").write_text(USERS.format(database=postgres.url("users"), name=NAME))
    settings = ServeSettings(
        home=folder,
        shelf=folder / "shelf",
        prefect_port=free_port(),
        mlflow_port=free_port(),
        mlflow_database=postgres.url("mlflow"),
        mlflow_artifacts=object_store.new_bucket("artifacts"),
        mlflow_auth=True,
    )
    secrets = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres.url("prefect", "postgresql+asyncpg"),
        "PREFECT_SERVER_API_AUTH_STRING": PREFECT_SECRET,
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "users.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a test's",
        "PREFECT_SERVER_UI_ENABLED": "false",
    }
    of_servers = {**environment_at(folder), **object_store.environment, **secrets}
    with patch.dict(os.environ, OF_PROXY):
        prefect, mlflow = stages(settings)[0]
    servers = {
        "prefect": Server(
            prefect.command,
            {**prefect.environment, **of_servers},
            folder / "prefect-server",
            f"{settings.prefect_url}/api/health",
        ),
        "mlflow": Server(
            mlflow.command,
            {**mlflow.environment, **of_servers},
            folder / "mlflow-server",
            f"{settings.mlflow_url}/health",
        ),
    }
    member = {
        "PREFECT_API_URL": f"{settings.prefect_url}/api",
        "PREFECT_API_AUTH_STRING": PREFECT_SECRET,
        "MLFLOW_TRACKING_URI": settings.mlflow_url,
        "MLFLOW_TRACKING_USERNAME": NAME,
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
        "BOOKLOOM_STORE": object_store.new_bucket("team") + "/store",
        "PATH": os.environ["PATH"],
    }
    home = folder / "member"
    with running(*servers.values()):
        environment = {**environment_at(home), **object_store.environment, **member}
        yield Team(settings.prefect_port, settings.mlflow_port, folder, servers, environment)
