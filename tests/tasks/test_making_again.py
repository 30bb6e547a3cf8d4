"""What is damaged is made again by whoever finds it; what can't be is told."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data.errors import UserMistake
from data.store import Damaged, Store
from tasks.seams.making_again import newest_outcome, remembering
from tasks.seams.run_context import open_run
from tasks.seams.run_records import Made
from tasks.seams.step_cache import StepOutcome
from tasks.verify import verify
from tests.tasks.small_runs import (
    CALLS,
    SHIFT,
    WeightsSettings,
    WordsSettings,
    flip,
    small_run,
    table_path,
    weights,
    words,
)
from tests.tasks.test_shards import TINY_SHARD, outcomes


def digests(summary: dict[str, Any]) -> dict[str, str]:
    return {name: table["digest"] for name, table in summary["tables"].items()}


def record(folder: Path) -> dict[str, Any]:
    """The record of the newest run."""
    newest = max((folder / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    found: dict[str, Any] = json.loads(newest.read_text())
    return found


@pytest.mark.parametrize("place", [0.0, 0.2, 0.5, 0.8, 0.97])
def test_a_flipped_bit_in_a_table_is_found_by_the_step_that_reads_it(
    tmp_path: Path, place: float
) -> None:
    fresh = small_run(tmp_path / "fresh", greeting="farewell")
    first = small_run(tmp_path / "one")
    flip(table_path(first, "metrics"), place)
    again = small_run(tmp_path / "one", greeting="farewell")
    assert sorted(CALLS) == ["names", "weights", "words"]
    assert digests(again) == digests(fresh)
    assert set(again["recomputed"]) == {"weights", "words", "names"}
    [reason] = record(tmp_path / "one")["steps"]["weights"]["reasons"]
    assert "metrics.parquet is damaged" in reason
    assert small_run(tmp_path / "one", greeting="farewell")["recomputed"] == []


def test_a_flipped_bit_in_a_file_is_found_by_the_step_that_reads_it(tmp_path: Path) -> None:
    first = small_run(tmp_path)
    path = Path(first["files"]["weights.bin"])
    whole = path.read_bytes()
    flip(path)
    again = small_run(tmp_path, greeting="farewell")
    assert path.read_bytes() == whole
    assert again["recomputed"] == ["weights", "words", "names"]


def test_what_no_step_reads_is_left_alone(tmp_path: Path) -> None:
    first = small_run(tmp_path)
    flip(table_path(first, "metrics"))
    assert small_run(tmp_path)["recomputed"] == []


def test_the_damage_may_lie_two_steps_back(tmp_path: Path) -> None:
    first = small_run(tmp_path)
    flip(table_path(first, "refusals"))
    flip(table_path(first, "metrics"))
    again = small_run(tmp_path, num_names=4)
    assert CALLS == ["weights", "words", "names"]
    assert set(again["recomputed"]) == {"weights", "words", "names"}
    assert digests(again)["refusals"] == digests(first)["refusals"]


@pytest.mark.parametrize("change", ["cut", "gone", "exchanged"])
def test_what_a_glance_tells_is_found_at_once(tmp_path: Path, change: str) -> None:
    first = small_run(tmp_path)
    other = small_run(tmp_path, factor=3)
    path = table_path(first, "refusals")
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif change == "gone":
        path.unlink()
    else:
        path.write_bytes(table_path(other, "refusals").read_bytes())
    again = small_run(tmp_path)
    assert CALLS == ["words"]
    assert digests(again) == digests(first)
    [reason] = record(tmp_path)["steps"]["words"]["reasons"]
    assert ("is missing" if change == "gone" else "is damaged: ") in reason


def test_a_manifest_without_sums_leaves_it_to_the_pages(tmp_path: Path) -> None:
    """As bookloom wrote them once: what reading finds is made again."""
    first = small_run(tmp_path)
    for path in tmp_path.rglob("manifest.json"):
        old = json.loads(path.read_text())
        path.write_text(json.dumps({k: old[k] for k in ("outcome", "parts", "unix_seconds")}))
    assert small_run(tmp_path)["recomputed"] == []
    flip(table_path(first, "metrics"))
    again = small_run(tmp_path, greeting="farewell")
    assert "weights" in again["recomputed"]
    assert digests(again)["metrics"] == digests(first)["metrics"]
    for path in tmp_path.rglob("manifest.json"):
        old = json.loads(path.read_text())
        path.write_text(json.dumps({k: old[k] for k in ("outcome", "parts", "unix_seconds")}))
    path = table_path(again, "refusals")
    column = pq.read_metadata(path).row_group(0).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    flip(path, (start + column.total_compressed_size - 0.5) / path.stat().st_size)
    with pytest.raises(Damaged):
        Store(str(tmp_path)).read_table(path.relative_to(tmp_path).as_posix())
    assert small_run(tmp_path, greeting="farewell", num_names=4)["recomputed"] == ["words", "names"]


def test_of_a_table_in_parts_the_damaged_one_is_made_again(
    miniature_shelf: Path, tmp_path: Path
) -> None:
    with remembering(lambda folders: None):
        first = outcomes(tmp_path, miniature_shelf, TINY_SHARD)
    sentences = first[1].tables["sentences"]
    parts = [tmp_path / part for part in Store(str(tmp_path)).parts(sentences.name)]
    contents = [path.read_bytes() for path in parts]
    times = [path.stat().st_mtime_ns for path in parts]
    flip(parts[2])
    shutil.rmtree(tmp_path / "steps" / "encode")
    found = verify(str(tmp_path))
    assert [one["where"] for one in found["damage"]] == [str(parts[2])]
    with remembering(lambda folders: None):
        again = outcomes(tmp_path, miniature_shelf, TINY_SHARD)
        assert not newest_outcome(again[1]).reused
    assert [outcome.tables for outcome in again] == [outcome.tables for outcome in first]
    assert [path.read_bytes() for path in parts] == contents
    changed = [path.stat().st_mtime_ns != time for path, time in zip(parts, times, strict=True)]
    assert changed == [False, False, True, False, False]
    assert verify(str(tmp_path))["sound"]
    (parts[2].parent / "00005.parquet").write_bytes(contents[1])
    assert [one["where"] for one in verify(str(tmp_path))["damage"]] == [
        str(parts[2].parent / "00005.parquet")
    ]
    again = outcomes(tmp_path, miniature_shelf, TINY_SHARD)
    assert [outcome.reused for outcome in again] == [True, False, True, True]


def test_what_comes_out_different_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = small_run(tmp_path)
    flip(table_path(first, "metrics"))
    monkeypatch.setitem(SHIFT, "by", 1.0)
    with pytest.raises(UserMistake, match=r"metrics\.parquet was damaged.*Made again, it is not"):
        small_run(tmp_path, greeting="farewell")
    assert small_run(tmp_path, greeting="farewell")["recomputed"] == ["words", "names"]


def test_what_a_run_reports_is_made_again_too(tmp_path: Path) -> None:
    def steps() -> tuple[Made, list[StepOutcome]]:
        one = weights.fn(context, WeightsSettings())
        two = words.fn(context, WordsSettings(), one)
        return Made(context, [one, two]), [one, two]

    opened = {"store": str(tmp_path), "tracking_uri": None, "seed": 1, "num_threads": 1}
    with open_run("small", settings={}, **opened) as context:  # type: ignore[arg-type]
        made, outcomes = steps()
        whole = made.file("weights.bin")
    [name] = outcomes[0].files
    flip(tmp_path / name)
    with open_run("small", settings={}, **opened) as context:  # type: ignore[arg-type]
        made, outcomes = steps()
        assert all(outcome.reused for outcome in outcomes)
        assert made.file("weights.bin") == whole
        assert not made.outcomes["weights"].reused
    flip(tmp_path / name)
    with pytest.raises(Damaged, match=r"weights\.bin is damaged"):  # nobody remembers how
        Made(context, outcomes).file("weights.bin")


def test_damage_travels_between_processes(tmp_path: Path) -> None:
    damage = Store(str(tmp_path)).damaged("steps/a/b/c.parquet", "why not")
    other = pickle.loads(pickle.dumps(damage))
    assert (other.name, other.message, other.remedy) == (
        damage.name,
        damage.message,
        damage.remedy,
    )
