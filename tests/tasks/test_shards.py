"""Work in shards: the cut changes no digest, and a killed step goes on from whole parts."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from data.book_schemas import BOOKS, DECISIONS, ENTRIES, SECTIONS
from data.errors import UserMistake
from data.store import Store
from tasks.count import CountSettings, count
from tasks.encode import EncodeSettings, encode
from tasks.read import ReadSettings, read
from tasks.seams import shards
from tasks.seams.shards import Shard, at_hand, shard_task, work_on
from tasks.seams.step_cache import StepOutcome
from tasks.seams.workers import Workers
from tasks.tokenise import TokeniseSettings, tokenise
from tasks.weigh import WeighSettings, weigh
from tests.tasks.test_reading_steps import context

TINY_SHARD = 1e-6  # megabytes: a book each


def outcomes(store: Path, shelf: Path, shard_megabytes: float) -> list[StepOutcome]:
    run = context(store)
    settings = ReadSettings(books=(str(shelf),), shard_megabytes=shard_megabytes)
    made = [read.fn(run, settings)]
    made.append(tokenise.fn(run, TokeniseSettings(), *made))
    made.append(count.fn(run, CountSettings(), *made))
    made.append(encode.fn(run, EncodeSettings(), *made))
    return made


def tables(made: list[StepOutcome]) -> dict[str, Any]:
    return {name: table for outcome in made for name, table in outcome.tables.items()}


def test_the_cut_into_shards_changes_no_digest(miniature_shelf: Path, tmp_path: Path) -> None:
    whole = tables(outcomes(tmp_path / "whole", miniature_shelf, 16.0))
    cut = tables(outcomes(tmp_path / "cut", miniature_shelf, TINY_SHARD))
    assert {n: t.digest for n, t in cut.items()} == {n: t.digest for n, t in whole.items()}
    assert {n: t.num_rows for n, t in cut.items()} == {n: t.num_rows for n, t in whole.items()}
    assert (whole["books"].num_parts, cut["books"].num_parts, cut["token_ids"].num_parts) == (
        1,
        5,
        5,
    )
    for store, made in ((tmp_path / "whole", whole), (tmp_path / "cut", cut)):
        for name, table in made.items():
            assert Store(str(store)).lineage(table.name)["digest"] == table.digest, name
    left = {path.name for path in (tmp_path / "cut").rglob("*.parquet")}
    assert not [name for name in left if "draft" in name]


def test_another_cut_of_the_same_shelf_can_follow(miniature_shelf: Path, tmp_path: Path) -> None:
    """What was made of other parts is not mixed with it."""
    whole = tables(outcomes(tmp_path, miniature_shelf, 16.0))
    again = outcomes(tmp_path, miniature_shelf, TINY_SHARD)
    assert [outcome.reused for outcome in again] == [False] * 4
    assert {n: t.digest for n, t in tables(again).items()} == {
        n: t.digest for n, t in whole.items()
    }
    assert all(outcome.reused for outcome in outcomes(tmp_path, miniature_shelf, TINY_SHARD))


def test_a_lost_part_is_made_again(miniature_shelf: Path, tmp_path: Path) -> None:
    first = outcomes(tmp_path, miniature_shelf, TINY_SHARD)
    [part, *_] = Store(str(tmp_path)).parts(first[1].tables["sentences"].name)
    (tmp_path / part).unlink()
    again = outcomes(tmp_path, miniature_shelf, TINY_SHARD)
    assert [outcome.reused for outcome in again] == [True, False, True, True]
    assert "a part of steps/tokenise" in again[1].reasons[0]
    assert (tmp_path / part).exists()


class Killed(BaseException):
    """Like a kill: nothing handles it."""


@pytest.mark.parametrize(
    "moment",
    ["book_drafts/00002", "/sections/00003", "sentences/00002", "token_counts/00001", "ids/00004"],
)
def test_a_killed_step_goes_on_from_the_parts_that_are_whole(
    miniature_shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    whole = tables(outcomes(tmp_path / "whole", miniature_shelf, TINY_SHARD))
    begun: list[str] = []
    table_writer = Store.table_writer

    def deadly(self: Store, name: str, *rest: Any) -> Any:
        begun.append(name)
        if moment in name and len([one for one in begun if moment in one]) == 1:
            raise Killed
        return table_writer(self, name, *rest)

    monkeypatch.setattr(Store, "table_writer", deadly)
    with pytest.raises(Killed):
        outcomes(tmp_path / "killed", miniature_shelf, TINY_SHARD)
    made = tables(outcomes(tmp_path / "killed", miniature_shelf, TINY_SHARD))
    assert {n: t.digest for n, t in made.items()} == {n: t.digest for n, t in whole.items()}
    twice = {name for name in begun if begun.count(name) > 1}
    told = {table.name for table in (ENTRIES, DECISIONS)}  # by the step itself, at each try
    parts = [name.split("/")[-2:] for name in twice if name.rsplit("/", 1)[-1][0].isdigit()]
    numbers = {number for table, number in parts if table not in told}
    assert len(numbers) == 1, "only the part that was begun"


def test_shards_are_yielded_in_order_and_errors_come_out(tmp_path: Path) -> None:
    shards = [
        Shard(store=str(tmp_path), folder="f", number=number, inputs={}, lineage={})
        for number in range(3)
    ]
    done = work_on(shards, _fail_at, {"number": 2}, Workers(num_workers=1))
    assert [next(done).number, next(done).number] == [0, 1]
    with pytest.raises(UserMistake, match="two"):
        next(done)


@pytest.mark.parametrize("address", [None, "tcp://cluster:8786"])
def test_few_shards_wait_at_once_unless_a_cluster_takes_them(
    prefect_url: str, monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    """What waits takes memory; how many workers a cluster has, nobody knows."""
    runner = StandIn()
    monkeypatch.setattr(shards, "new_runner", lambda *_: nullcontext(runner))
    workers = Workers(runner="dask", num_workers=2, address=address)
    ahead = []
    for done, shard in enumerate(work_on(shards_of(50), _fail_at, {"number": -1}, workers), 1):
        assert shard.number == done - 1
        ahead.append(len(runner.handed_over) - done)
    assert runner.handed_over == [*range(50)]
    assert max(ahead) == (8 if address is None else 49)


def test_a_large_library_has_few_tasks_and_the_last_are_small(
    prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect remembers every task; and all workers are to be busy to the end."""
    runner = StandIn()
    monkeypatch.setattr(shards, "new_runner", lambda *_: nullcontext(runner))
    monkeypatch.setattr(shards, "MANY_TASKS", 4)
    workers = Workers(num_workers=2)
    assert [s.number for s in work_on(shards_of(13), _fail_at, {}, workers)] == [*range(13)]
    assert runner.handed_over == [*range(13)]
    assert runner.shown == [
        "fail at shards 0-2",
        "fail at shards 3-4",
        "fail at shards 5-6",
        *(f"fail at shard {number}" for number in range(7, 13)),
    ]
    runner.shown.clear()
    cluster = Workers(runner="dask", address="tcp://cluster:8786")
    assert len([*work_on(shards_of(13), _fail_at, {}, cluster)]) == 13
    assert runner.shown == [f"fail at shard {number}" for number in range(13)], "a task each"


def test_workers_are_renewed_where_there_is_much_to_do(
    prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And go as soon as they have done it: what then comes in one piece has their memory."""
    told: list[str] = []

    @contextmanager
    def runner(*_: Any) -> Iterator[StandIn]:
        told.append("begin")
        yield StandIn()
        told.append("end")

    monkeypatch.setattr(shards, "new_runner", runner)
    workers = Workers(num_workers=2)
    many = shards.MANY_SHARDS
    with at_hand(workers):
        for number in (2, many - 2, 2, many + 1, 2):
            told.append(f"{len([*work_on(shards_of(number), _fail_at, {}, workers)])} shards")
    assert told == [
        *("begin", "2 shards", "end", f"{many - 2} shards"),
        *("begin", "2 shards", "end"),
        *("begin", "end", "begin", f"{many + 1} shards", "2 shards", "end"),
    ]


def test_workers_go_when_a_step_works_in_one_piece(
    prefect_url: str, miniature_shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    @contextmanager
    def runner(*_: Any) -> Iterator[StandIn]:
        yield StandIn()
        told.append("workers end")

    monkeypatch.setattr(shards, "new_runner", runner)
    workers = Workers(num_workers=2)
    with at_hand(workers):
        assert [*work_on(shards_of(2), _fail_at, {}, workers)]
        books, sentences, *_ = outcomes(tmp_path, miniature_shelf, 16.0)
        told.append("steps in parts are done")
        weigh.fn(context(tmp_path), WeighSettings(minimum_texts=2), books, sentences)
        told.append("a step in one piece is done")
    assert told == [
        "steps in parts are done",
        "workers end",
        "a step in one piece is done",
    ]


class StandIn:
    """Has nobody work."""

    def __init__(self) -> None:
        self.handed_over: list[int] = []
        self.shown: list[str] = []

    def submit(self, task: Any, parameters: dict[str, Any]) -> Any:
        self.handed_over += [shard.number for shard in parameters["share"].shards]
        self.shown.append(task.task_run_name.format(**parameters))
        return SimpleNamespace(result=lambda raise_on_failure: None)


def shards_of(count: int) -> list[Shard]:
    return [Shard(store="", folder="", number=n, inputs={}, lineage={}) for n in range(count)]


@shard_task
def _fail_at(shard: Shard, number: int) -> None:
    if shard.number == number:
        raise UserMistake("two", "Mend it.")


def test_a_missing_runner_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prefect_ray", None)
    shard = Shard(store=str(tmp_path), folder="f", number=0, inputs={}, lineage={})
    with pytest.raises(UserMistake, match=r"runner ray is not installed.*-e '\.\[ray\]'"):
        next(work_on([shard], _fail_at, {"number": 1}, Workers(runner="ray")))


def test_books_and_sections_come_in_the_same_parts(miniature_shelf: Path, tmp_path: Path) -> None:
    made = tables(outcomes(tmp_path, miniature_shelf, TINY_SHARD))
    store = Store(str(tmp_path))
    parts = zip(
        store.parts(made[BOOKS.name].name), store.parts(made[SECTIONS.name].name), strict=True
    )
    for books, sections in parts:
        ids = [set(store.read_table(name)["book_id"].to_pylist()) for name in (books, sections)]
        assert ids[0] == ids[1]
        assert len(ids[0]) == 1
