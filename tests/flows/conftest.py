"""Runs that tests of flows share, beside the miniature one, and clients of the tests' Prefect."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client

from flows.prefect_api import PrefectApi, api_at
from flows.running import run_pipeline


@pytest.fixture(scope="session")
def character_run(miniature_run: Any) -> dict[str, Any]:
    """The summary of a run on characters, in the store of the run on words."""
    training = {"num_epochs": 2, "num_lanes": 8, "window_length": 32}
    return run_pipeline(
        {
            **miniature_run.settings,
            "name": "characters",
            "tokenise": {"unit": "character"},
            "train": {**miniature_run.settings["train"], **training},
        }
    )


@pytest.fixture
def client(prefect_url: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def api(prefect_url: str) -> Iterator[PrefectApi]:
    api = api_at(prefect_url)
    yield api
    api.close()
