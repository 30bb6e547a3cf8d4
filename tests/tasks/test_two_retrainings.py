"""Two retrainings that start in the same second on one store: one runs, one waits; the second makes
nothing again."""

import re
from pathlib import Path

import pytest

from tests.tasks.test_killed_runs import finish, histories, start

pytestmark = pytest.mark.faults


def test_two_that_start_in_the_same_second(miniature_shelf: Path, tmp_path: Path) -> None:
    (first, first_words), (second, second_words) = sorted(
        map(finish, [start(miniature_shelf, tmp_path, 1000.0) for _ in range(2)]),
        key=lambda one: "waiting for" in one[1],
    )
    assert "waiting for" not in first_words
    assert re.search(
        r"waiting for run 'killed' \(process \d+ on \S+, since .*\), which", second_words
    )
    assert first["digests"] == second["digests"]
    assert first["mlflow_run_id"] != second["mlflow_run_id"]
    made = re.findall(r"^(\w+): running", first_words, re.MULTILINE)
    reused = re.findall(r"^(\w+): reused", second_words, re.MULTILINE)
    assert made == reused == ["read", "tokenise", "count", "encode", "embed", "train"]
    assert not re.findall(r"^(\w+): running", second_words, re.MULTILINE)
    histories(tmp_path, num_runs=2)  # both are finished, the first with one training
