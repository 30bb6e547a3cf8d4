"""What a run stands on is named, and what a user chooses otherwise is seen."""

import subprocess

import pytest

from tasks.seams import surroundings as module
from tasks.seams.surroundings import PROJECT_ROOT, provenance, surroundings


def test_everything_known_to_matter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    found = surroundings(3)
    assert found["number of threads"] == "3"
    assert found["environment ATEN_CPU_CAPABILITY"] == "avx2"
    assert found["library python"].startswith("3.11")
    assert {"library torch", "library numpy", "processor", "lock_digest"} <= set(found)
    assert provenance().items() <= found.items()
    assert surroundings(3) == found
    git = ["git", "-C", str(PROJECT_ROOT), "rev-parse", "HEAD"]
    head = subprocess.run(git, capture_output=True, text=True)
    assert found["git_commit"] == (head.stdout.strip() or "unknown")


def test_without_git_or_lock_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(module, "PROJECT_ROOT", tmp_path_factory.mktemp("nowhere"))
    nothing = {"git_commit": "unknown", "changes since the commit": "none", "lock_digest": "none"}
    assert provenance() == nothing
    assert surroundings(1).items() >= nothing.items()
