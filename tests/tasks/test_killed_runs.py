"""Kill -9 at random moments and run again: the tables, weights and metrics of a run never stopped,
in one MLflow run with contiguous steps."""

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tests.forks import Fork

pytestmark = pytest.mark.faults


def start(shelf: Path, folder: Path, checkpoint_seconds: float) -> Fork:
    uri = f"sqlite:///{folder}/mlflow.db"
    arguments = [str(shelf), str(folder / "store"), uri, str(checkpoint_seconds)]
    return Fork("tests.tasks.training_run", arguments, os.environ, folder / "printed")


def finish(run: Fork) -> tuple[dict[str, Any], str]:
    ended = run.ended()
    assert ended.exit_code == 0, ended.errors
    return json.loads(ended.output.splitlines()[-1]), ended.errors


def is_killed_at_work(run: Fork, seconds: float, folder: Path) -> bool:
    """Kill it so many seconds after its steps began; whether it had more to do then."""
    run.wait_for_output("BEGUN\n")
    time.sleep(seconds)
    run.kill()
    return any(folder.rglob("unfinished/*"))


def histories(folder: Path, num_runs: int = 1) -> dict[str, list[tuple[int, float]]]:
    """All that the first MLflow run has of the training, but for what a clock took; and that there
    are just so many runs, each finished, the first with one training."""
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    [experiment] = [e for e in client.search_experiments() if e.name == "bookloom"]
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    whole = [run for run in runs if run.info.run_name == "killed"]
    assert [run.info.status for run in whole] == ["FINISHED"] * num_runs
    first = whole[0].info.run_id
    [child] = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == first]
    assert child.info.run_name == "training (killed)"
    assert child.info.status == "FINISHED"
    clocked = ("tokens_per_second", "share_of_peak")
    return {
        name: [(m.step, m.value) for m in client.get_metric_history(child.info.run_id, name)]
        for name in sorted(child.data.metrics)
        if name not in clocked
    }


@pytest.fixture(scope="module")
def never_stopped(
    miniature_shelf: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, str], dict[str, list[tuple[int, float]]], float]:
    """Its digests, its metrics and the seconds that its steps took."""
    folder = tmp_path_factory.mktemp("whole")
    run = start(miniature_shelf, folder, 1000.0)
    run.wait_for_output("BEGUN\n")
    began = time.monotonic()
    result, _ = finish(run)
    seconds = time.monotonic() - began
    return result["digests"], histories(folder), seconds


@pytest.mark.parametrize(
    "num_kills",
    [2, pytest.param(20, marks=pytest.mark.long)],
    ids=["two", "twenty"],
)
def test_a_killed_run_ends_as_one_never_stopped(
    num_kills: int,
    miniature_shelf: Path,
    never_stopped: tuple[dict[str, str], dict[str, list[tuple[int, float]]], float],
    tmp_path: Path,
) -> None:
    digests, metrics, seconds = never_stopped
    draw = random.Random(num_kills)
    kills_left, num_runs = num_kills, 0
    while kills_left:
        num_runs += 1
        folder = tmp_path / str(num_runs)
        folder.mkdir()
        was_at_work = True
        while kills_left and was_at_work:
            run = start(miniature_shelf, folder, 0.0)
            moment = draw.uniform(0.0, min(seconds, 3.0))
            was_at_work = is_killed_at_work(run, moment, folder)
            kills_left -= was_at_work
        result, _ = finish(start(miniature_shelf, folder, 0.0))
        assert result["digests"] == digests
        # After a run that was done before it could be killed, the last one is another run.
        assert histories(folder, num_runs=1 if was_at_work else 2) == metrics
        for name, history in metrics.items():
            steps = [step for step, _ in history]
            assert steps == sorted(set(steps)), f"{name} has a step twice or out of order"
        left = [*folder.rglob("checkpoints/*"), *folder.rglob("unfinished/*")]
        assert not left, "they go when all is whole"


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(
    miniature_shelf: Path,
    never_stopped: tuple[dict[str, str], dict[str, list[tuple[int, float]]], float],
    tmp_path: Path,
) -> None:
    run = start(miniature_shelf, tmp_path, 0.0)
    deadline = time.monotonic() + 120.0
    while len(found := sorted((tmp_path / "store").rglob("checkpoints/*.safetensors"))) < 2:
        assert time.monotonic() < deadline
        assert run.is_running, run.errors
        time.sleep(0.02)
    run.kill()
    found = sorted((tmp_path / "store").rglob("checkpoints/*.safetensors"))
    content = bytearray(found[-1].read_bytes())
    content[len(content) // 2] ^= 1
    found[-1].write_bytes(content)
    result, errors = finish(start(miniature_shelf, tmp_path, 0.0))
    assert result["digests"] == never_stopped[0]
    assert f"{found[-1]} is damaged" in errors
    before = int(found[-2].name.split("-")[0])
    assert f"going on from the checkpoint after step {before}" in errors
