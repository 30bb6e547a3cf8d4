"""The benchmark of ways to cluster, on a shelf whose answer is known."""

import json
import os
import sys
from pathlib import Path

import pytest

from benchmarks import clustering
from models.cluster_scores import DEFAULT_METHOD
from tests.forks import Fork

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


def test_each_method_is_scored_in_a_process_of_its_own(shelf: Path) -> None:
    arguments = [str(shelf), "--seeds", "2", "--json", "--methods", DEFAULT_METHOD, "NMF"]
    done = Fork("benchmarks.clustering", arguments, os.environ, shelf / "told").ended()
    assert done.exit_code == 0, done.errors
    found = json.loads(done.output)
    assert (found["num_texts"], found["num_labels"]) == (16, 2)
    assert [row["method"] for row in found["results"]] == [DEFAULT_METHOD, "NMF"]
    assert [row["is_default"] for row in found["results"]] == [True, False]
    for row in found["results"]:
        for figure in ("accuracy", "nmi", "ari"):
            assert row[f"{figure}_mean"] == pytest.approx(1)
            assert row[f"{figure}_sd"] == pytest.approx(0)
        assert row["seconds"] > 0 and row["peak_memory_bytes"] > 1e7


def test_what_can_not_be_measured_is_refused(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [str(BENCHMARK), *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            clustering.main()
        return f"{caught.value.code} {capsys.readouterr().err}"

    assert "give label/text.txt files" in refusal(shelf / "sea")
    assert "magic" in refusal(shelf, "--methods", "magic")
    assert "--seeds 0" in refusal(shelf, "--seeds", 0)
    binary = shelf / "sea" / "binary.txt"
    binary.write_bytes(b"ship\0" * 40)
    assert f"{binary}: It is binary" in refusal(shelf)
