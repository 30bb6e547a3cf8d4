"""Runs that tests of flows share, beside the miniature one."""

from typing import Any

import pytest

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
