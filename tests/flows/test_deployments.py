"""What prefect.yaml deploys is there, and takes the settings that it is given."""

import importlib
import inspect
from typing import Any

import pytest
import yaml
from prefect import Flow

from flows.deployments import DEPLOYMENTS_FILE

DEPLOYMENTS = yaml.safe_load(DEPLOYMENTS_FILE.read_text(encoding="utf-8"))["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
def test_a_deployments_flow_takes_its_settings(deployment: dict[str, Any]) -> None:
    path, name = deployment["entrypoint"].split(":")
    flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(flow, Flow)
    kind = inspect.signature(flow.fn).parameters["settings"].annotation
    kind.model_validate(deployment["parameters"]["settings"])  # unknown names are refused
    assert deployment["description"].endswith(".")


def test_no_two_deployments_share_a_name() -> None:
    names = [deployment["name"] for deployment in DEPLOYMENTS]
    assert len(names) == len(set(names))
    assert {"quick", "standard", "cluster", "generate", "reproduce"} <= set(names)
