"""The benchmark of ways to cluster, on a shelf whose answer is known."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.cluster_scores import DEFAULT_METHOD

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "clustering.py"
WORDS = {"sea": "ship wave sail storm anchor", "court": "king crown queen throne duke"}


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    for label, words in WORDS.items():
        (tmp_path / label).mkdir()
        for number in range(8):
            text = f"The {words}. A {words} of the {words.split()[number % 5]}."
            (tmp_path / label / f"{number}.txt").write_text(text)
    return tmp_path


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, BENCHMARK, *arguments]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def test_each_method_is_scored_in_a_process_of_its_own(shelf: Path) -> None:
    done = run(shelf, "--seeds", 2, "--json", "--methods", DEFAULT_METHOD, "NMF")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["num_texts"], found["num_labels"]) == (16, 2)
    assert [row["method"] for row in found["results"]] == [DEFAULT_METHOD, "NMF"]
    assert [row["is_default"] for row in found["results"]] == [True, False]
    for row in found["results"]:
        for figure in ("accuracy", "nmi", "ari"):
            assert row[f"{figure}_mean"] == pytest.approx(1)
            assert row[f"{figure}_sd"] == pytest.approx(0)
        assert row["seconds"] > 0 and row["peak_memory_bytes"] > 1e7


def test_a_shelf_without_labels_and_unknown_methods_are_refused(shelf: Path) -> None:
    done = run(shelf / "sea")
    assert done.returncode == 1 and "give label/text.txt files" in done.stderr
    done = run(shelf, "--methods", "magic")
    assert done.returncode == 2 and "magic" in done.stderr
