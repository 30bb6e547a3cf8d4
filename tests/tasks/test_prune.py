"""What goes is what no kept run needs, whole, and nothing else."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserMistake
from data.store import Store
from flows.store_commands import prune as prune_command
from tasks import prune as prune_module
from tasks.lineage import lineage
from tasks.prune import prune, what_to_prune
from tasks.seams.manifests import sealed
from tasks.seams.newest_run import DamagedRecord, newest_run, table_names
from tasks.seams.run_context import open_run
from tasks.seams.tracking import NO_TRACKING
from tasks.seams.unfinished import UNFINISHED
from tasks.verify import verify
from tests.tasks.small_runs import (
    CALLS,
    WeightsSettings,
    names_and_one_that_goes,
    small_run,
    weights,
)


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
    prune(str(tmp_path), NO_TRACKING, plan)
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
    prune(str(tmp_path), NO_TRACKING, what_to_prune(str(tmp_path), NO_TRACKING, 1))
    assert lineage(str(tmp_path), newest["tables"]["warm_start_sections"]["path"]) == before
    assert len(folders(tmp_path)) == 3


def test_ancestors_that_a_record_leaves_out_are_kept(tmp_path: Path) -> None:
    small_run(tmp_path)
    [record] = (tmp_path / "runs").iterdir()
    value = json.loads(record.read_text())
    value["tables"] = {"warm_start_sections": value["tables"]["warm_start_sections"]}
    value["files"] = {}
    record.write_text(json.dumps(sealed(value)))
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
    prune(str(tmp_path), NO_TRACKING, plan)
    assert small_run(tmp_path, factor=2)["recomputed"] == []
    assert small_run(tmp_path, factor=3)["recomputed"] != []


def test_unfinished_runs_stay(tmp_path: Path) -> None:
    small_run(tmp_path, factor=2)
    [weights] = [folder for folder in folders(tmp_path) if "weights" in folder]
    small_run(tmp_path, factor=3)
    half_made = tmp_path / "steps" / "words" / "abc" / "refusals.parquet"
    half_made.parent.mkdir()
    half_made.write_bytes(b"PAR1")
    path = note(tmp_path, unix_seconds=time.time(), folders=[weights])
    plan = what_to_prune(str(tmp_path), NO_TRACKING, 1)
    assert steps_of(plan) == {"words": 1, "names": 1}
    assert plan["unfinished_runs"] == ["u"]
    path.unlink()
    assert steps_of(what_to_prune(str(tmp_path), NO_TRACKING, 1)) == {
        "names": 1,
        "weights": 1,
        "words": 2,
    }


def note(folder: Path, **about: Any) -> Path:
    """The note of a run elsewhere that has not ended well."""
    path = folder / UNFINISHED / "1.json"
    path.parent.mkdir(exist_ok=True)
    unfinished = {"mlflow_run_id": "u", "host": "elsewhere", "process": 1, "folders": []}
    path.write_text(json.dumps({**unfinished, **about}))
    return path


def failed_run(folder: Path) -> str:
    """A run that fails when it has made its weights, whose folder is given."""
    with (
        pytest.raises(ZeroDivisionError),
        open_run(
            "fails", store=str(folder), tracking_uri=None, seed=1, num_threads=1, settings={}
        ) as context,
    ):
        made = weights.fn(context, WeightsSettings(factor=7))
        raise ZeroDivisionError
    return f"steps/weights/{made.key}"


def test_a_run_that_failed_has_noted_what_it_needs(tmp_path: Path) -> None:
    small_run(tmp_path)
    folder = failed_run(tmp_path)
    [path] = (tmp_path / UNFINISHED).iterdir()
    assert json.loads(path.read_text())["folders"] == [folder]
    for num_kept in (0, 1, 5):
        assert folder not in what_to_prune(str(tmp_path), NO_TRACKING, num_kept)["remove"]
    path.unlink()
    assert what_to_prune(str(tmp_path), NO_TRACKING, 1)["remove"] == [folder]


def test_a_failed_run_is_forgotten_when_it_is_older_than_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user has mended a setting, so that no run will ever go on with it."""
    closed: list[bool] = []

    def close(store: str, tracking_uri: str, *, alone: bool) -> None:
        closed.append(alone and any((tmp_path / UNFINISHED).iterdir()))

    folder = failed_run(tmp_path)
    half_made = tmp_path / "steps" / "words" / "abc" / "refusals.parquet"
    half_made.parent.mkdir(parents=True)
    half_made.write_bytes(b"PAR1")
    small_run(tmp_path)
    small_run(tmp_path)
    plan = what_to_prune(str(tmp_path), NO_TRACKING, 3)
    assert (plan["remove"], plan["stale_runs"]) == ([], [])
    plan = what_to_prune(str(tmp_path), NO_TRACKING, 2)
    [stale] = plan["stale_runs"]
    assert (tmp_path / stale["note"]).exists()
    assert time.time() - 60 < stale["unix_seconds"] < time.time()
    assert plan["unfinished_runs"] == []
    assert plan["remove"] == sorted([folder, "steps/words/abc"])
    monkeypatch.setattr(prune_module, "close_dead_runs", close)
    prune(str(tmp_path), NO_TRACKING, plan)
    assert closed == [True]  # while its note was there
    assert not any((tmp_path / UNFINISHED).iterdir())
    assert len(folders(tmp_path)) == 3
    found = verify(str(tmp_path))
    assert (found["sound"], found["unfinished"]) == (True, [])


def test_a_run_at_work_and_an_old_note_without_a_time(tmp_path: Path) -> None:
    path = note(tmp_path)
    assert what_to_prune(str(tmp_path), NO_TRACKING, 0)["unfinished_runs"] == ["u"]
    small_run(tmp_path)
    [stale] = what_to_prune(str(tmp_path), NO_TRACKING, 1)["stale_runs"]
    assert stale == {"mlflow_run_id": "u", "unix_seconds": 0.0, "note": f"{UNFINISHED}/1.json"}
    note(tmp_path, host=os.uname().nodename, process=os.getppid())
    assert what_to_prune(str(tmp_path), NO_TRACKING, 1)["unfinished_runs"] == ["u"]
    assert path.exists()


def test_the_command_tells_of_forgotten_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOOKLOOM_STORE", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NO_TRACKING)
    small_run(tmp_path)
    path = note(tmp_path)
    prune_command(keep=1, dry_run=True)
    told = capsys.readouterr().out
    assert "to forget  unfinished run u, not gone on with\n" in told
    assert told.endswith("Nothing was removed: --dry-run.\n")
    note(tmp_path, unix_seconds=1.0)
    with pytest.raises(UserMistake, match="0 results and the notes of 1 unfinished runs"):
        prune_command(keep=1, as_json=True)
    assert path.exists()
    prune_command(keep=1, yes=True)
    assert "not gone on with since 1970-01-0" in capsys.readouterr().out
    assert not path.exists()


@pytest.mark.parametrize("damage", [('"champion\'s"', '"champion\'r"'), ("}", "")])
def test_nothing_is_planned_on_a_damaged_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: tuple[str, str]
) -> None:
    """A changed digest would take the champion's run from those that are kept."""
    small_run(tmp_path, factor=2, model="champion's")
    [path] = (tmp_path / "runs").iterdir()
    small_run(tmp_path, factor=3, model="another")
    monkeypatch.setattr(prune_module, "models_in_use", lambda uri: {"champion's": "champion"})
    path.write_text(path.read_text().replace(*damage))
    with pytest.raises(DamagedRecord, match=f"{path} is damaged"):
        what_to_prune(str(tmp_path), "asked", 1)


def test_of_each_model_in_use_the_newest_run_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each night's run that finds nothing changed has the champion's model."""
    small_run(tmp_path, factor=2, greeting="hail", model="champion's")
    small_run(tmp_path, factor=2, greeting="farewell", model="champion's")
    small_run(tmp_path, factor=3, model="another")
    monkeypatch.setattr(prune_module, "models_in_use", lambda uri: {"champion's": "champion"})
    plan = what_to_prune(str(tmp_path), "asked", 1)
    assert steps_of(plan) == {"names": 1, "words": 1}
    assert [run["why"] for run in plan["kept_runs"]] == [
        "one of the newest 1",
        "its model is champion",
    ]
    prune(str(tmp_path), NO_TRACKING, plan)
    maker = newest_run(Store(str(tmp_path)), model_digest="champion's")
    assert maker
    assert all(Path(table["path"]).exists() for table in maker["tables"].values())
    # One that is among the newest is the newest run of its model.
    assert len(what_to_prune(str(tmp_path), "asked", 2)["kept_runs"]) == 2


def test_a_run_may_end_while_one_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_run(tmp_path)
    monkeypatch.setattr(Store, "names", names_and_one_that_goes(Store.names))
    assert what_to_prune(str(tmp_path), NO_TRACKING, 1)["remove"] == []


def test_a_store_that_has_moved_is_known(tmp_path: Path) -> None:
    small_run(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    assert what_to_prune(str(tmp_path / "new"), NO_TRACKING, 1)["remove"] == []
    store = Store(str(tmp_path / "new"))
    record = newest_run(store)
    assert record is not None
    assert set(table_names(store, record)) == set(record["tables"])
    assert lineage(store.root, "warm_start_sections")["path"].startswith(f"{tmp_path}/new/steps/")


def test_a_table_whose_origin_is_gone_says_so(tmp_path: Path) -> None:
    small_run(tmp_path)
    [gone] = (tmp_path / "steps" / "weights").glob("*/metrics.parquet")
    gone.unlink()
    with pytest.raises(UserMistake, match=r"warm_start_sections came from .* any more") as caught:
        lineage(str(tmp_path), "warm_start_sections")
    assert "Run again" in caught.value.remedy


def test_the_manifest_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_run(tmp_path)

    def killed(self: Store, name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "delete_folder", killed)
    plan = what_to_prune(str(tmp_path), NO_TRACKING, 0)
    with pytest.raises(KeyboardInterrupt):
        prune(str(tmp_path), NO_TRACKING, plan)
    assert not (tmp_path / plan["remove"][0] / "manifest.json").exists()
    assert len(folders(tmp_path)) == 2


def test_downloads_and_records_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "1342.txt").write_text("It is a truth")
    small_run(tmp_path / "store")
    plan = what_to_prune(str(tmp_path / "store"), NO_TRACKING, 0)
    prune(str(tmp_path / "store"), NO_TRACKING, plan)
    assert (tmp_path / "downloads" / "1342.txt").exists()
    assert len(list((tmp_path / "store" / "runs").iterdir())) == 1
    assert folders(tmp_path / "store") == set()
