"""One Prefect server for all flow tests, and one run of the true flow that most of them look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from flows.environment import tracking_uri
from flows.running import run_pipeline


@pytest.fixture(scope="session")
def prefect_url() -> Iterator[str]:
    """The address of a Prefect server that lives as long as the tests."""
    with prefect_test_harness(server_startup_timeout=180):
        yield str(PREFECT_API_URL.value())


def tiny_settings(shelf: Path, store: Path) -> dict[str, Any]:
    """Settings under which the whole pipeline takes seconds."""
    return {
        "name": "miniature",
        "store": str(store),
        "seed": 7,
        "num_threads": 1,
        "read": {"books": [str(shelf)]},
        "train": {
            "num_epochs": 4,
            "embedding_width": 16,
            "hidden_width": 24,
            "num_lanes": 4,
            "window_length": 16,
            "learning_rate": 0.01,
            "number_type": "fp32",
            "dropout": {"inputs": 0.1, "output": 0.1},
            "log_every_steps": 10,
        },
        "tune": {"num_sentences": 10, "beam_width": 8, "cache_flatness": (0.3, 1.0)},
        "recover": {"num_sentences": 30, "beam_width": 8, "num_examples": 5},
        "weigh": {"minimum_texts": 2},
        "cluster": {
            "num_clusters": 3,
            "recipe": {"epochs": 2, "hidden_widths": [8], "code_width": 4},
        },
        "judge": {"num_seeds": 2},
    }


@dataclass(frozen=True)
class MiniatureRun:
    """A finished run: what it was told and what it told."""

    settings: dict[str, Any]
    store: Path
    tracking_uri: str
    summary: dict[str, Any]


@pytest.fixture(scope="session")
def miniature_run(
    prefect_url: str, miniature_shelf: Path, tmp_path_factory: pytest.TempPathFactory
) -> MiniatureRun:
    """The whole pipeline, run once on the miniature shelf, in a store of its own."""
    store = tmp_path_factory.mktemp("store")
    settings = tiny_settings(miniature_shelf, store)
    return MiniatureRun(settings, store, tracking_uri(), run_pipeline(settings))


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
