"""Every kind of damage is found, told with its place and remedy, and repaired."""

import json
import random
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest

from data.store import Store
from tasks import verify as verify_module
from tasks.prune import prune, what_to_prune
from tasks.seams.manifests import quick_damage, read_manifest, sealed
from tasks.seams.tracking import NO_TRACKING
from tasks.verify import verify
from tests.tasks.small_runs import (
    CALLS,
    SHIFT,
    flip,
    names_and_one_that_goes,
    small_run,
    table_path,
)

Spoil = Callable[[Path, dict[str, Any]], Path]


ELSEWHERE = {"mlflow_run_id": "x", "host": "elsewhere", "process": 1, "folders": []}
"""The note of a run that may be at work on another machine."""


def manifest_of(run: dict[str, Any], table: str) -> Path:
    return table_path(run, table).with_name("manifest.json")


def flipped(_: Path, run: dict[str, Any]) -> Path:
    flip(table_path(run, "metrics"))
    return table_path(run, "metrics")


def flipped_footer(_: Path, run: dict[str, Any]) -> Path:
    path = table_path(run, "metrics")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"git_commit", b"git_cOmmit"))
    assert path.read_bytes() != content
    return path


def flipped_weights(_: Path, run: dict[str, Any]) -> Path:
    path = Path(run["files"]["weights.bin"])
    flip(path)
    return path


def missing(_: Path, run: dict[str, Any]) -> Path:
    table_path(run, "metrics").unlink()
    return table_path(run, "metrics")


def missing_file(_: Path, run: dict[str, Any]) -> Path:
    path = Path(run["files"]["weights.bin"])
    path.unlink()
    return path


def cut(_: Path, run: dict[str, Any]) -> Path:
    path = table_path(run, "metrics")
    path.write_bytes(path.read_bytes()[:-1])
    return path


def without_manifest(_: Path, run: dict[str, Any]) -> Path:
    manifest_of(run, "metrics").unlink()
    return table_path(run, "metrics").parent


def other_manifest(_: Path, run: dict[str, Any]) -> Path:
    path = manifest_of(run, "metrics")
    path.write_text(path.read_text().replace('"num_rows": 5000', '"num_rows": 5001'))
    return path


def no_manifest_at_all(_: Path, run: dict[str, Any]) -> Path:
    path = manifest_of(run, "metrics")
    path.write_bytes(path.read_bytes()[:-2])
    return path


def other_digest(_: Path, run: dict[str, Any]) -> Path:
    """A digest that is wrong from the start: the manifest and the table agree on it."""
    path = table_path(run, "metrics")
    table = pq.read_table(path)
    lineage = json.loads(pq.read_metadata(path).metadata[b"bookloom.lineage"])
    values = table.column("value").to_pylist()
    table = table.set_column(1, table.schema.field(1), [[0.5, *values[1:]]])
    with pq.ParquetWriter(path, table.schema, write_page_checksum=True) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"bookloom.lineage": json.dumps(lineage)})
    manifest = json.loads(manifest_of(run, "metrics").read_text())
    del manifest["files"], manifest["seal"]
    manifest_of(run, "metrics").write_text(json.dumps(sealed(manifest)))
    return path


def record(folder: Path, _: dict[str, Any]) -> Path:
    [path] = (folder / "runs").iterdir()
    path.write_text(path.read_text().replace('"num_rows": 5000', '"num_rows": 5001'))
    return path


def settled(_: Path, run: dict[str, Any]) -> Path:
    path = table_path(run, "metrics").with_name("settled_num_steps.json")
    path.write_text(path.read_text().replace("101", "201"))
    return path


def note(folder: Path, _: dict[str, Any]) -> Path:
    path = folder / "unfinished" / "0.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text("{")
    return path


SPOILT = {
    flipped: ["weights"],
    flipped_footer: ["weights"],
    flipped_weights: ["weights"],
    missing: ["weights"],
    missing_file: ["weights"],
    cut: ["weights"],
    without_manifest: ["weights"],
    other_manifest: ["weights"],
    no_manifest_at_all: ["weights"],
    other_digest: ["weights"],
    settled: ["weights"],
    record: [],
    note: [],
}


def test_a_sound_store_is_sound(tmp_path: Path) -> None:
    small_run(tmp_path)
    found = verify(str(tmp_path))
    assert found["sound"]
    assert (found["damage"], found["not_checkable"], found["unfinished"]) == ([], [], [])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (found["num_results"], found["num_files"]) == (3, len(files))
    assert found["num_bytes"] == sum(path.stat().st_size for path in files)


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_damage_is_found_and_repaired(tmp_path: Path, spoil: Spoil) -> None:
    first = small_run(tmp_path)
    path = spoil(tmp_path, first)
    found = verify(str(tmp_path))
    assert not found["sound"]
    [damage] = found["damage"]
    assert damage["where"] == str(path)
    assert damage["what"]
    assert "--repair" in damage["remedy"]
    assert verify(str(tmp_path))["damage"] == [damage]  # looking changes nothing
    repaired = verify(str(tmp_path), repair=True)
    assert repaired["sound"]
    assert len(repaired["repaired"]) == 1
    assert verify(str(tmp_path))["sound"]
    again = small_run(tmp_path)
    assert SPOILT[spoil] == CALLS
    assert {k: t["digest"] for k, t in again["tables"].items()} == {
        k: t["digest"] for k, t in first["tables"].items()
    }
    [number] = tmp_path.rglob("settled_*")
    assert json.loads(number.read_text()) == {"num_steps": 101}
    assert verify(str(tmp_path))["sound"]


def test_any_flipped_bit_of_any_file_is_found(tmp_path: Path) -> None:
    small_run(tmp_path)
    draw = random.Random(1)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    for path in files:
        whole = path.read_bytes()
        for _ in range(12):
            content = bytearray(whole)
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            path.write_bytes(content)
            places = {one["where"] for one in verify(str(tmp_path))["damage"]}
            assert str(path) in places, path
        path.write_bytes(whole)
    assert verify(str(tmp_path))["sound"]


def test_files_of_older_manifests_are_not_checkable(tmp_path: Path) -> None:
    first = small_run(tmp_path)
    for path in tmp_path.rglob("manifest.json"):
        old = json.loads(path.read_text())
        path.write_text(json.dumps({k: old[k] for k in ("outcome", "parts", "unix_seconds")}))
    found = verify(str(tmp_path))
    assert found["sound"]
    assert found["not_checkable"] == [first["files"]["weights.bin"]]
    flip(table_path(first, "metrics"))
    assert not verify(str(tmp_path))["sound"]


def test_what_a_run_will_go_on_with_is_no_damage(tmp_path: Path) -> None:
    first = small_run(tmp_path)
    without_manifest(tmp_path, first)
    (tmp_path / "unfinished").mkdir(exist_ok=True)
    (tmp_path / "unfinished" / "1.json").write_text(json.dumps(ELSEWHERE))
    found = verify(str(tmp_path))
    assert found["sound"]
    assert found["unfinished"] == [str(table_path(first, "metrics").parent)]


def test_what_a_killed_process_was_writing_is_left_over_and_no_damage(tmp_path: Path) -> None:
    first = small_run(tmp_path)
    beside = table_path(first, "metrics").with_name(f"metrics.parquet.{'0' * 32}.tmp")
    alone = tmp_path / "steps" / "names" / "0" / f"metrics.parquet.{'1' * 32}.tmp"
    alone.parent.mkdir()
    for path in (beside, alone):
        path.write_bytes(b"PAR1")
    found = verify(str(tmp_path))
    assert found["sound"]
    assert (found["damage"], found["unfinished"]) == ([], [])
    assert found["left_over"] == sorted([str(beside), str(alone)])
    assert small_run(tmp_path)["recomputed"] == []
    assert verify(str(tmp_path), repair=True)["repaired"] == sorted([str(beside), str(alone)])
    assert verify(str(tmp_path))["left_over"] == []


def test_checkpoints_of_a_whole_result_are_left_over(tmp_path: Path) -> None:
    """Its run was killed just before it would have removed them."""
    first = small_run(tmp_path)
    checkpoint = table_path(first, "metrics").parent / "checkpoints" / "000000400-1f3a.safetensors"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"tensors")
    found = verify(str(tmp_path))
    assert (found["sound"], found["left_over"]) == (True, [str(checkpoint)])
    assert verify(str(tmp_path), repair=True)["repaired"] == [str(checkpoint)]
    assert verify(str(tmp_path))["left_over"] == []
    assert small_run(tmp_path)["recomputed"] == []
    checkpoint.write_bytes(b"tensors")
    without_manifest(tmp_path, first)
    (tmp_path / "unfinished" / "1.json").write_text(json.dumps(ELSEWHERE))
    assert verify(str(tmp_path))["left_over"] == []


def test_what_a_run_does_meanwhile_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_run(tmp_path)
    monkeypatch.setattr(Store, "names", names_and_one_that_goes(Store.names))
    assert verify(str(tmp_path))["sound"]


@pytest.mark.parametrize("part", [".", "metrics.parquet", "weights.bin"])
def test_a_result_that_is_removed_meanwhile_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Its manifest is read; then it goes, or the first file of it that does."""
    folder = table_path(small_run(tmp_path), "metrics").parent

    def pruned(store: Store, manifest: Any) -> Any:
        if manifest["outcome"]["step"] != "weights" or not folder.exists():
            return quick_damage(store, manifest)
        (folder / "manifest.json").unlink()
        if (folder / part).is_file():
            (folder / part).unlink()
            found = quick_damage(store, manifest)
            shutil.rmtree(folder)
            return found
        shutil.rmtree(folder)
        return []

    monkeypatch.setattr(verify_module, "quick_damage", pruned)
    found = verify(str(tmp_path))
    assert (found["sound"], found["damage"]) == (True, [])


def test_a_file_that_goes_while_it_is_read_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = table_path(small_run(tmp_path), "metrics").parent
    true_groups = Store.row_groups

    def pruned(self: Store, name: str, *args: Any) -> Any:
        if name.endswith("metrics.parquet") and folder.exists():
            shutil.rmtree(folder)
        return true_groups(self, name, *args)

    monkeypatch.setattr(Store, "row_groups", pruned)
    assert verify(str(tmp_path))["damage"] == []


def test_a_result_that_is_made_again_meanwhile_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = table_path(small_run(tmp_path), "metrics").parent
    looks: list[int] = []

    def made_again(store: Store, manifest: Any) -> Any:
        if manifest["outcome"]["step"] == "weights":
            looks.append(len(looks))
            if len(looks) == 1:
                shutil.rmtree(folder)
                monkeypatch.setitem(SHIFT, "by", 1.0)
                small_run(tmp_path)
        return quick_damage(store, manifest)

    monkeypatch.setattr(verify_module, "quick_damage", made_again)
    assert verify(str(tmp_path))["damage"] == []
    assert looks == [0, 1], "damage is looked at a second time, and what is whole is not"


def test_a_run_that_begins_meanwhile_is_at_work_on_what_is_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = small_run(tmp_path)

    def begun(store: Store, folder: str) -> Any:
        if "weights" in folder and not any((tmp_path / "unfinished").iterdir()):
            without_manifest(tmp_path, first)
            (tmp_path / "unfinished" / "1.json").write_text(json.dumps(ELSEWHERE))
        return read_manifest(store, folder)

    monkeypatch.setattr(verify_module, "read_manifest", begun)
    found = verify(str(tmp_path))
    assert found["damage"] == []
    assert found["unfinished"] == [str(table_path(first, "metrics").parent)]


def test_an_object_store_is_looked_at_and_pruned_too() -> None:
    root = f"memory://{uuid.uuid4().hex}"
    small_run(root)
    small_run(root, factor=3)
    assert verify(root)["sound"]
    assert verify(root)["num_results"] == 6
    prune(root, NO_TRACKING, what_to_prune(root, NO_TRACKING, 1))
    assert verify(root)["sound"]
    assert verify(root)["num_results"] == 3
    store = Store(root)
    [name] = [name for name in store.files("") if name.endswith("metrics.parquet")]
    store.write_bytes(name, store.read_bytes(name)[:-1])
    assert not verify(root)["sound"]
    assert small_run(root, factor=3)["recomputed"] == ["weights"]
    assert verify(root)["sound"]
    fsspec.filesystem("memory").rm(root, recursive=True)


def test_an_empty_store_is_sound(tmp_path: Path) -> None:
    assert verify(str(tmp_path / "none"))["sound"]
