"""What goes is what no kept run needs, whole, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.store import Store
from tasks import prune as prune_module
from tasks.lineage import lineage
from tasks.prune import prune, what_to_prune
from tasks.seams.run_context import open_run
from tasks.seams.tracking import NO_TRACKING
from tasks.verify import verify
from tests.tasks.small_runs import CALLS, WeightsSettings, small_run, weights


def steps_of(plan: dict[str, Any]) -> dict[str, int]:
    return {step: one["num_results"] for step, one in plan["steps"].items()}


def folders(folder: Path) -> set[str]:
    return {path.parent.relative_to(folder).as_posix() for path in folder.rglob("manifest.json")}


def test_only_what_no_kept_run_needs_goes(tmp_path: Path) -> None:
    small_run(tmp_path, factor=2)
    small_run(tmp_path, factor=3)
    small_run(tmp_path, factor=3, num_names=4)
    plan = what_to_prune(str(tmp_path), NO_TRACKING, 2)
    assert steps_of(plan) == {"weights": 1, "words": 1, "names": 1}
    assert (plan["num_results"], plan["num_kept_results"]) == (3, 4)
    sizes = {
        path: path.stat().st_size for path in (tmp_path / "steps").rglob("*") if path.is_file()
    }
    going = tuple(str(tmp_path / folder) for folder in plan["remove"])
    assert plan["num_bytes"] == sum(n for p, n in sizes.items() if str(p).startswith(going))
    assert plan["num_bytes"] + plan["num_kept_bytes"] == sum(sizes.values())
    before = folders(tmp_path)
    prune(str(tmp_path), plan["remove"])
    assert folders(tmp_path) == before - set(plan["remove"])
    assert not any((tmp_path / folder).exists() for folder in plan["remove"])
    assert verify(str(tmp_path))["sound"]
    for factor, num_names in ((3, 3), (3, 4)):
        assert small_run(tmp_path, factor=factor, num_names=num_names)["recomputed"] == []
    assert what_to_prune(str(tmp_path), NO_TRACKING, 2)["remove"] == []
    small_run(tmp_path, factor=2)
    assert CALLS == ["weights", "words", "names"]


def test_a_kept_table_has_its_whole_ancestry(tmp_path: Path) -> None:
    """The newest run may have reused what an older one made."""
    small_run(tmp_path)
    newest = small_run(tmp_path, num_names=4)
    before = lineage(str(tmp_path), "warm_start_sections")
    prune(str(tmp_path), what_to_prune(str(tmp_path), NO_TRACKING, 1)["remove"])
    assert lineage(str(tmp_path), newest["tables"]["warm_start_sections"]["path"]) == before
    assert len(folders(tmp_path)) == 3


def test_ancestors_that_a_record_leaves_out_are_kept(tmp_path: Path) -> None:
    small_run(tmp_path)
    [record] = (tmp_path / "runs").iterdir()
    value = json.loads(record.read_text())
    value["tables"] = {"warm_start_sections": value["tables"]["warm_start_sections"]}
    value["files"] = {}
    record.write_text(json.dumps(value))
    assert what_to_prune(str(tmp_path), NO_TRACKING, 1)["remove"] == []


def test_runs_of_registered_models_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_run(tmp_path, factor=2, model="champion's")
    small_run(tmp_path, factor=3, model="another")
    small_run(tmp_path, factor=4, model="newest")
    uris = {"champion's": "models:/bookloom@champion"}
    monkeypatch.setattr(prune_module, "models_in_use", lambda uri: uris)
    plan = what_to_prune(str(tmp_path), "asked", 1)
    assert plan["num_results"] == 3
    assert [run["why"] for run in plan["kept_runs"]] == [
        "one of the newest 1",
        "its model is models:/bookloom@champion",
    ]
    prune(str(tmp_path), plan["remove"])
    assert small_run(tmp_path, factor=2)["recomputed"] == []
    assert small_run(tmp_path, factor=3)["recomputed"] != []


def test_unfinished_runs_stay(tmp_path: Path) -> None:
    small_run(tmp_path, factor=2)
    [weights] = [folder for folder in folders(tmp_path) if "weights" in folder]
    small_run(tmp_path, factor=3)
    half_made = tmp_path / "steps" / "words" / "abc" / "refusals.parquet"
    half_made.parent.mkdir()
    half_made.write_bytes(b"PAR1")
    note = {"mlflow_run_id": "u", "host": "elsewhere", "process": 1, "folders": [weights]}
    path = tmp_path / "unfinished" / "1.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(note))
    plan = what_to_prune(str(tmp_path), NO_TRACKING, 1)
    assert steps_of(plan) == {"words": 1, "names": 1}
    assert plan["unfinished_runs"] == ["u"]
    path.unlink()
    assert steps_of(what_to_prune(str(tmp_path), NO_TRACKING, 1)) == {
        "names": 1,
        "weights": 1,
        "words": 2,
    }


def test_a_run_that_failed_has_noted_what_it_needs(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        open_run(
            "fails", store=str(tmp_path), tracking_uri=None, seed=1, num_threads=1, settings={}
        ) as context,
    ):
        made = weights.fn(context, WeightsSettings(factor=7))
        raise ZeroDivisionError
    [note] = (tmp_path / "unfinished").iterdir()
    folder = f"steps/weights/{made.key}"
    assert json.loads(note.read_text())["folders"] == [folder]
    small_run(tmp_path)
    assert what_to_prune(str(tmp_path), NO_TRACKING, 1)["remove"] == []
    note.unlink()
    assert what_to_prune(str(tmp_path), NO_TRACKING, 1)["remove"] == [folder]


def test_a_store_that_has_moved_is_known(tmp_path: Path) -> None:
    small_run(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    assert what_to_prune(str(tmp_path / "new"), NO_TRACKING, 1)["remove"] == []


def test_the_manifest_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_run(tmp_path)

    def killed(self: Store, name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "delete_folder", killed)
    plan = what_to_prune(str(tmp_path), NO_TRACKING, 0)
    with pytest.raises(KeyboardInterrupt):
        prune(str(tmp_path), plan["remove"])
    assert not (tmp_path / plan["remove"][0] / "manifest.json").exists()
    assert len(folders(tmp_path)) == 2


def test_downloads_and_records_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "1342.txt").write_text("It is a truth")
    small_run(tmp_path / "store")
    plan = what_to_prune(str(tmp_path / "store"), NO_TRACKING, 0)
    prune(str(tmp_path / "store"), plan["remove"])
    assert (tmp_path / "downloads" / "1342.txt").exists()
    assert len(list((tmp_path / "store" / "runs").iterdir())) == 1
    assert folders(tmp_path / "store") == set()
