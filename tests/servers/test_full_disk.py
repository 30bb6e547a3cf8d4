"""A full disk and a read-only one: the cause is told, nothing half written is taken for whole, and
the next run ends as if nothing had been.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.filesystems import StoreTrouble
from tasks.verify import verify
from tests.miniature import MiniatureRun, digests, tiny_settings
from tests.servers.pipelines import Pipeline, environment_at
from tests.tasks.small_runs import small_run

SIZE_BYTES = 64 * 2**20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class SmallDisk:
    """A file system of its own, whose room and rights tests change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def leave(self, num_bytes: int) -> None:
        """Leave so much room and no more."""
        self._ballast.unlink(missing_ok=True)
        free = os.statvfs(self.path)
        size = max(0, free.f_bavail * free.f_frsize - num_bytes)
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, size))

    def empty(self) -> None:
        """Take the ballast away."""
        self._ballast.unlink()

    def remount(self, option: str) -> None:
        """`ro` or `rw`."""
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.path)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    options = f"size={SIZE_BYTES},mode=0755"
    mounting = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    try:
        done = subprocess.run(mounting, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def table_digests(summary: dict[str, Any]) -> dict[str, str]:
    return {name: table["digest"] for name, table in summary["tables"].items()}


def test_a_run_on_a_full_disk_stops_and_the_next_one_ends_well(
    small_disk: SmallDisk, tmp_path: Path
) -> None:
    whole = small_run(tmp_path / "whole")
    stopped = 0
    for pages in range(40):
        root = small_disk.path / f"store-{pages}"
        small_disk.leave(pages * PAGE_BYTES)
        try:
            summary = small_run(root)
        except StoreTrouble as trouble:
            stopped += 1
            assert trouble.cause == "No space left on device"
            assert trouble.path.startswith(str(root))
            assert "Free some space" in trouble.remedy
            found = verify(str(root))
            assert (found["damage"], found["left_over"]) == ([], [])
            small_disk.empty()
            summary = small_run(root)
        assert table_digests(summary) == table_digests(whole)
        assert verify(str(root))["sound"]
        subprocess.run(["rm", "-r", root], check=True)
    assert 5 < stopped < 40, "somewhere in between a run has room enough"


def test_a_run_on_a_read_only_store_stops_with_the_cause(
    small_disk: SmallDisk, tmp_path: Path
) -> None:
    root = small_disk.path / "store"
    whole = small_run(root)
    small_disk.remount("ro")
    try:
        with pytest.raises(StoreTrouble, match="Read-only file system") as caught:
            small_run(root, greeting="farewell")
        assert caught.value.path.startswith(str(root))
        assert "Make it writable" in caught.value.remedy
        assert verify(str(root))["sound"]
    finally:
        small_disk.remount("rw")
    assert small_run(root)["recomputed"] == []
    farewell = small_run(root, greeting="farewell")
    assert farewell["recomputed"] == ["words", "names"]
    assert table_digests(farewell) == table_digests(small_run(tmp_path, greeting="farewell"))
    assert table_digests(small_run(root)) == table_digests(whole)


@pytest.mark.faults
@pytest.mark.parametrize("megabytes_left", [0.5, 1.5, 3.0])
def test_the_pipeline_on_a_full_disk(
    megabytes_left: float,
    small_disk: SmallDisk,
    miniature_run: MiniatureRun,
    miniature_shelf: Path,
    tmp_path: Path,
) -> None:
    environment = environment_at(tmp_path / "home")
    settings = tiny_settings(miniature_shelf, small_disk.path / "store")
    small_disk.leave(int(megabytes_left * 2**20))
    ended = Pipeline(settings, environment, tmp_path / "full").ended()
    assert ended.exit_code == 2, ended.log
    assert "No space left on device" in ended.told["message"]
    assert "Free some space" in ended.told["remedy"]
    assert verify(settings["store"])["damage"] == []
    small_disk.empty()
    ended = Pipeline(settings, environment, tmp_path / "free").ended()
    assert ended.exit_code == 0, ended.log
    assert digests(ended.told) == digests(miniature_run.summary)
    assert verify(settings["store"])["sound"]


@pytest.mark.faults
def test_the_databases_on_a_full_disk(
    small_disk: SmallDisk, miniature_run: MiniatureRun, miniature_shelf: Path, tmp_path: Path
) -> None:
    """Prefect's and MLflow's SQLite files have no room; the store has."""
    environment = environment_at(small_disk.path / "home")
    settings = tiny_settings(miniature_shelf, tmp_path / "store")
    run = Pipeline(settings, environment, tmp_path / "full")
    run.wait_until(lambda: any((tmp_path / "store").rglob("steps/count/*/manifest.json")))
    small_disk.leave(0)
    ended = run.ended()
    assert ended.exit_code != 0
    assert "disk is full" in ended.log + str(ended.told) or "disk I/O error" in ended.log
    assert verify(settings["store"])["damage"] == []
    small_disk.empty()
    ended = Pipeline(settings, environment, tmp_path / "free").ended()
    assert ended.exit_code == 0, ended.log
    assert digests(ended.told) == digests(miniature_run.summary)
