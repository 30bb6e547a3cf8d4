"""Steps: reused when nothing has changed, run with the reason when something has."""

from pathlib import Path
from typing import Any

import pytest

from data.schemas import METRICS, REFUSALS
from tasks.seams import step_cache
from tasks.seams.run_context import RunContext
from tasks.seams.settings import Settings
from tasks.seams.step_cache import StepOutcome, StepRun, step

CALLS: list[str] = []
OUTSIDE = {"file": "1"}


class DoubleSettings(Settings):
    """Settings of the two steps below."""

    factor: int = 2
    fails: bool = False


def doubled(value: float) -> float:
    return value * 2.0


@step(writes=(METRICS,), outside=lambda settings: OUTSIDE)
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
    from data.store import Store

    made, after = both(tmp_path)
    lineage: dict[str, Any] = Store(str(tmp_path)).lineage(after.tables["refusals"].name)
    assert lineage["inputs"]["metrics"]["digest"] == made.tables["metrics"].digest
    assert (lineage["step"], lineage["seed"], lineage["git_commit"]) == ("second", 1, "x")
    assert lineage["digest"] == after.tables["refusals"].digest
