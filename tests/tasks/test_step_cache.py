"""Steps: reused when nothing has changed, run with the reason when something has."""

import importlib.metadata
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from data.book_schemas import REFUSALS
from data.errors import UserMistake
from data.model_schemas import METRICS
from data.settings import Settings
from data.store import Store
from data.table import Column, Table
from tasks.seams import code_key, step_cache
from tasks.seams.run_context import RunContext
from tasks.seams.step_cache import StepOutcome, StepRun, step

CALLS: list[str] = []
OUTSIDE = {"file": "1"}


class DoubleSettings(Settings):
    """Settings of the two steps below."""

    factor: int = 2
    fails: bool = False
    unasked: int = 0


def doubled(value: float) -> float:
    return value * 2.0


@step(writes=(METRICS,), outside=lambda settings, context: OUTSIDE)
def first(run: StepRun, settings: DoubleSettings) -> None:
    CALLS.append("first")
    values = [1.0, 2.0] if settings.factor < 10 else [3.0, 4.0]
    run.write(METRICS, {"metric": ["a", "b"], "value": values, "clocked": [None, None]})
    if settings.fails:
        raise RuntimeError("the power went")


@step(reads=(METRICS,), writes=(REFUSALS,), seeded=True)
def second(run: StepRun, settings: DoubleSettings) -> None:
    CALLS.append("second")
    reasons = [str(doubled(value)) for value in run.read(METRICS)["value"].to_pylist()]
    run.write(
        REFUSALS,
        {
            "source": reasons,
            "step": reasons,
            "reason": reasons,
            "remedy": reasons,
            "offset": [run.context.seed] * 2,
        },
    )


def context(folder: Path, seed: int = 1, num_threads: int = 1) -> RunContext:
    return RunContext(
        store=str(folder),
        seed=seed,
        num_threads=num_threads,
        tracking_uri=None,
        mlflow_run_id=None,
        provenance={"git_commit": "x", "lock_digest": "y"},
    )


def both(folder: Path, settings: DoubleSettings | None = None, **chosen: int) -> list[StepOutcome]:
    CALLS.clear()
    made = first.fn(context(folder, **chosen), settings or DoubleSettings())
    return [made, second.fn(context(folder, **chosen), DoubleSettings(), made)]


def test_nothing_changed_runs_nothing(tmp_path: Path) -> None:
    before = both(tmp_path)
    assert [outcome.reasons for outcome in before] == [["first time"], ["first time"]]
    after = both(tmp_path)
    assert CALLS == []
    assert all(outcome.reused for outcome in after)
    assert [o.tables for o in after] == [o.tables for o in before]


def test_a_setting_runs_its_step_and_says_so(tmp_path: Path) -> None:
    both(tmp_path)
    [made, after] = both(tmp_path, DoubleSettings(factor=20))
    assert made.reasons == ["setting factor: 2 -> 20"]
    assert after.reasons == ["input metrics changed"]
    assert CALLS == ["first", "second"]


def test_equal_tables_stop_the_change(tmp_path: Path) -> None:
    both(tmp_path)
    [_, after] = both(tmp_path, DoubleSettings(factor=3))
    assert CALLS == ["first"]
    assert after.reused


def test_seed_and_threads_count_where_a_step_is_seeded(tmp_path: Path) -> None:
    both(tmp_path)
    assert both(tmp_path, seed=5)[1].reasons == ["seed: 1 -> 5"]
    assert CALLS == ["second"]
    assert both(tmp_path, num_threads=2)[1].reasons == ["number of threads: 1 -> 2"]
    assert CALLS == ["second"]


def test_code_libraries_and_sources_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both(tmp_path)
    monkeypatch.setitem(OUTSIDE, "file", "2")
    assert both(tmp_path)[0].reasons == ["source file changed"]
    true_digests = step_cache.code_digests

    def edited(module: str, name: str) -> dict[str, str]:
        found = true_digests(module, name)
        return {key: "edited" if key.endswith(".doubled") else v for key, v in found.items()}

    monkeypatch.setattr(step_cache, "code_digests", edited)
    monkeypatch.setattr(step_cache.platform, "python_version", lambda: "3.11.99")
    [made, after] = both(tmp_path)
    assert [reason.split(":")[0] for reason in made.reasons] == ["library python"]
    [code, library] = after.reasons
    assert code.startswith("code ")
    assert code.endswith("doubled changed")
    assert library.startswith("library python: 3.11")


def test_code_that_changes_meanwhile_makes_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Functions stay as they were imported, and a key tells of what stands on the disk."""
    path = code_key._origin("data.settings")
    monkeypatch.setattr(code_key, "PLUMBING", frozenset())
    with monkeypatch.context() as patched:
        patched.setitem(code_key._AT_START, path, "another")
        with pytest.raises(UserMistake, match=r"The code has changed .*: data\.settings\."):
            both(tmp_path)
        assert CALLS == []

    def begun(_: str) -> None:
        patched.setitem(code_key._AT_START, path, "another")

    with monkeypatch.context() as patched:
        patched.setattr(step_cache, "say", begun)
        with pytest.raises(UserMistake, match="The code has changed since this run began"):
            both(tmp_path)
    assert CALLS == ["first"]
    assert not list(tmp_path.rglob("manifest.json"))


@step(reads=(METRICS,), asks_settings_of=((METRICS, "factor"),), writes=(REFUSALS,))
def asking(run: StepRun, settings: DoubleSettings) -> None:
    told = [str(run.settings_of(METRICS)["factor"])]
    text = dict.fromkeys(("source", "step", "reason", "remedy"), told)
    run.write(REFUSALS, {**text, "offset": [None]})


def test_settings_that_are_asked_for_count(tmp_path: Path) -> None:
    """Of the step before, though its table is the same."""
    run = context(tmp_path)
    for factor in (2, 3):
        made = first.fn(run, DoubleSettings(factor=factor))
        asked = asking.fn(run, DoubleSettings(), made)
        rows = Store(str(tmp_path)).read_table(asked.tables["refusals"].name).to_pylist()
        assert [row["reason"] for row in rows] == [str(factor)]
    assert asked.reasons == ["settings of metrics changed"]
    assert first.fn(run, DoubleSettings(factor=3, fails=False)).reused
    made = first.fn(run, DoubleSettings(factor=3, unasked=1))
    assert not made.reused
    assert asking.fn(run, DoubleSettings(), made).reused


def test_a_step_that_breaks_leaves_no_result(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        both(tmp_path, DoubleSettings(fails=True))
    assert not list(tmp_path.rglob("manifest.json"))
    assert both(tmp_path)[0].reasons == ["first time"]


def test_a_missing_table_is_made_again(tmp_path: Path) -> None:
    before = both(tmp_path)
    (tmp_path / before[0].tables["metrics"].name).unlink()
    after = both(tmp_path)
    assert after[0].reasons == [f"{before[0].tables['metrics'].name} is missing"]
    assert after[0].tables == before[0].tables
    assert CALLS == ["first"]


def test_tables_carry_their_lineage(tmp_path: Path) -> None:
    made, after = both(tmp_path)
    lineage: dict[str, Any] = Store(str(tmp_path)).lineage(after.tables["refusals"].name)
    assert lineage["inputs"]["metrics"]["digest"] == made.tables["metrics"].digest
    assert (lineage["step"], lineage["seed"], lineage["git_commit"]) == ("second", 1, "x")
    assert lineage["digest"] == after.tables["refusals"].digest


NUMBERS = Table("numbers", "a number", "lettered", (Column("number", pa.int64(), "it"),))
MANIFESTS_SEEN: list[bool] = []


@step(writes=(NUMBERS,), libraries=("numpy", "nltk"))
def lettered(run: StepRun, settings: DoubleSettings) -> None:
    run.write_file("letters.txt", b"abc", digest="abc")
    run.write(NUMBERS, {"number": [1]})
    folder = run.tables["numbers"].name.rpartition("/")[0]
    MANIFESTS_SEEN.append(run.store.exists(f"{folder}/manifest.json"))


@step(reads=(NUMBERS,), reads_files=("letters.txt",), writes=(METRICS,))
def reader(run: StepRun, settings: DoubleSettings) -> None:
    assert run.read_file("letters.txt") == b"abc"
    run.write(METRICS, {"metric": ["n"], "value": [1.0], "clocked": [None]})


@step(writes=(NUMBERS, METRICS))
def forgetful(run: StepRun, settings: DoubleSettings) -> None:
    run.write(NUMBERS, {"number": [1]})


def test_a_step_without_seed_does_not_depend_on_it(tmp_path: Path) -> None:
    both(tmp_path)
    assert both(tmp_path, seed=5, num_threads=3)[0].reused


def test_the_manifest_is_written_last(tmp_path: Path) -> None:
    MANIFESTS_SEEN.clear()
    made = lettered.fn(context(tmp_path), DoubleSettings())
    assert MANIFESTS_SEEN == [False]
    folder = made.tables["numbers"].name.rpartition("/")[0]
    assert folder == f"steps/lettered/{made.key}"
    assert (tmp_path / folder / "manifest.json").exists()
    assert made.files == {f"{folder}/letters.txt": "abc"}


def test_a_library_of_another_version_runs_the_steps_that_compute_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.fn(context(tmp_path), DoubleSettings())
    lettered.fn(context(tmp_path), DoubleSettings())
    true_version = importlib.metadata.version
    old = true_version("nltk")

    def version(name: str) -> str:
        return "99.0" if name == "nltk" else true_version(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert lettered.fn(context(tmp_path), DoubleSettings()).reasons == [
        f"library nltk: {old} -> 99.0"
    ]
    assert first.fn(context(tmp_path), DoubleSettings()).reused


def test_files_count_like_tables(tmp_path: Path) -> None:
    made = lettered.fn(context(tmp_path), DoubleSettings())
    reader.fn(context(tmp_path), DoubleSettings(), made)
    assert reader.fn(context(tmp_path), DoubleSettings(), made).reused
    (name,) = made.files
    other = made.model_copy(update={"files": {name: "another digest"}})
    again = reader.fn(context(tmp_path), DoubleSettings(), other)
    assert again.reasons == ["input letters.txt changed"]
    (tmp_path / name).unlink()
    assert lettered.fn(context(tmp_path), DoubleSettings()).reasons == [f"{name} is missing"]


def test_an_edited_helper_runs_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both(tmp_path)
    copy = tmp_path / "edited.py"
    text = Path(__file__).read_text(encoding="utf-8")
    copy.write_text(text.replace("return value * 2.0", "return 2.0 * value"), encoding="utf-8")
    true_origin = code_key._origin
    edited = {__name__: str(copy)}
    monkeypatch.setattr(code_key, "_origin", lambda name: edited.get(name) or true_origin(name))
    [made, after] = both(tmp_path)
    assert made.reused
    assert after.reasons == [f"code {__name__}.doubled changed"]
    assert CALLS == ["second"]
    # Equal to what was there before, so that the old result is found again.
    copy.write_text(text + "\n# a comment\n", encoding="utf-8")
    assert all(outcome.reused for outcome in both(tmp_path))


def test_the_reason_is_the_smallest_difference_to_any_earlier_run(tmp_path: Path) -> None:
    first.fn(context(tmp_path), DoubleSettings(factor=1))
    first.fn(context(tmp_path), DoubleSettings(factor=2))
    third = first.fn(context(tmp_path), DoubleSettings(factor=3))
    assert third.reasons == ["setting factor: 2 -> 3"]  # the newest of equals
    assert first.fn(context(tmp_path), DoubleSettings(factor=1)).reused


def test_a_step_that_forgets_a_table_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"did not write \{'metrics'\}"):
        forgetful.fn(context(tmp_path), DoubleSettings())
    assert not list(tmp_path.rglob("manifest.json"))


def test_a_step_that_is_not_given_what_it_reads_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"no earlier step was handed in .*'metrics'"):
        second.fn(context(tmp_path), DoubleSettings())


def test_a_damaged_manifest_undoes_its_result_and_is_no_reason_to_stop(tmp_path: Path) -> None:
    before = both(tmp_path)
    for path in tmp_path.rglob("manifest.json"):
        path.write_bytes(path.read_bytes()[:-9])
    after = both(tmp_path)
    assert CALLS == ["first", "second"]
    for one, other in zip(before, after, strict=True):
        [reason] = other.reasons
        assert reason.startswith(f"steps/{one.step}/{one.key}/manifest.json is damaged: ")
        assert other.tables == one.tables
    assert all(outcome.reused for outcome in both(tmp_path))
    manifest = next((tmp_path / "steps" / "first").rglob("manifest.json"))
    manifest.write_text(manifest.read_text().replace('"store format": "2"', '"store format": "1"'))
    # Another result than the damaged one: there is none to hold it against.
    assert both(tmp_path, DoubleSettings(factor=3))[0].reasons == ["first time"]


def test_an_object_store_does_as_well(tmp_path: Path) -> None:
    root = f"memory://{uuid.uuid4().hex}"
    here = context(tmp_path).model_copy(update={"store": root})
    made = first.fn(here, DoubleSettings())
    assert made.tables == first.fn(context(tmp_path), DoubleSettings()).tables
    assert second.fn(here, DoubleSettings(), made).reasons == ["first time"]
    assert first.fn(here, DoubleSettings()).reused
    fsspec.filesystem("memory").rm(root, recursive=True)


def test_an_outcome_travels_as_json(tmp_path: Path) -> None:
    [made, _] = both(tmp_path)
    assert StepOutcome.model_validate_json(made.model_dump_json()) == made


def test_an_outcome_hides_its_parts_from_whoever_looks_through_models(tmp_path: Path) -> None:
    made, other = both(tmp_path)
    assert list(made) == []  # so Prefect draws a line for the outcome alone
    assert made == made.model_copy(deep=True) != other
    assert made.model_dump()["step"] == "first"
