"""A few of the ten thousand files of benchmarks/hostile.py, which tells more of what they are."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.hostile import Watch, examine
from benchmarks.hostile_files import DAMAGES, File, hostile_file, packaged_shelf

NUM_FILES = 60
MOST_BYTES = 60_000


@pytest.fixture(scope="module")
def shelf() -> list[File]:
    return packaged_shelf(num_plays=2)


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


def test_hostile_files_are_read_or_refused_and_nothing_else_happens(
    shelf: Sequence[File], watch: Watch
) -> None:
    outcomes = [examine(shelf, 1, index, watch, MOST_BYTES) for index in range(NUM_FILES)]
    # How long they take is a matter for the benchmark.
    failures = {one.index: [f for f in one.failures if "it takes" not in f] for one in outcomes}
    assert {index: own for index, own in failures.items() if own} == {}
    assert sum(one.num_read for one in outcomes) > NUM_FILES / 4
    assert sum(one.num_refused for one in outcomes) > NUM_FILES / 10


def test_a_file_follows_from_its_seed_and_index(shelf: Sequence[File]) -> None:
    files = [hostile_file(shelf, 1, index, MOST_BYTES) for index in range(200)]
    assert files[7] == hostile_file(shelf, 1, 7, MOST_BYTES)
    assert files[7] != hostile_file(shelf, 2, 7, MOST_BYTES)
    assert max(len(one.content) for one in files) <= MOST_BYTES
    assert all(any(name in one.damage for one in files) for name in DAMAGES)


def test_what_a_reader_may_not_do_is_seen(tmp_path: Path, watch: Watch) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    watch.start(inside)
    (inside / "a.txt").write_text("a")
    (inside / "a.txt").read_text()
    assert watch.stop() == []
    watch.start(inside)
    outside.write_text("a")
    (inside / ".." / "folder").mkdir()
    noted = watch.stop()
    assert [act.split()[0] for act in noted] == ["open", "os.mkdir"]
