"""The settings of real runs, which live in `prefect.yaml` and nowhere else."""

from pathlib import Path
from typing import Any

import yaml

from data.errors import UserMistake
from data.spelling import nearest_words
from flows.environment import PROJECT_ROOT

PIPELINE_ENTRYPOINT = "flows/pipeline.py:pipeline"
MAP_ENTRYPOINT = "flows/texts_map.py:texts_map"
DEPLOYMENTS_FILE = PROJECT_ROOT / "prefect.yaml"


def deployment_settings(
    name: str, entrypoint: str = PIPELINE_ENTRYPOINT, path: Path = DEPLOYMENTS_FILE
) -> dict[str, Any]:
    """The settings of a deployment of a flow, by default of the pipeline, as plain values.

    Raises:
        UserMistake: there is no such deployment.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = {
        entry["name"]: entry
        for entry in content["deployments"]
        if entry["entrypoint"] == entrypoint
    }
    if name not in found:
        nearest = nearest_words(name, found) or sorted(found)
        raise UserMistake(
            f"{path.name} has no deployment {name!r} of {entrypoint}.",
            f"Choose one of: {', '.join(nearest)}.",
        )
    settings: dict[str, Any] = found[name]["parameters"]["settings"]
    return settings
