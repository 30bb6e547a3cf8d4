"""Work in shards: a table comes in parts, each part is worked on by itself, parts come out.

    books/00000.parquet --tokenise--> sentences/00000.parquet --encode--> token_ids/00000.parquet
    books/00001.parquet --tokenise--> sentences/00001.parquet --encode--> token_ids/00001.parquet

Parts are published whole. A step that was killed goes on from those that stand; the digest of a
table does not depend on how it was cut, by whom or in which order its parts were made.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from contextvars import ContextVar
from functools import cache
from multiprocessing import parent_process
from typing import Any

import pyarrow as pa
from prefect import Task
from prefect import task as prefect_task
from prefect.cache_policies import NO_CACHE
from prefect.context import SettingsContext
from pydantic import BaseModel

from data.store import PARQUET, Store, TableWriter
from data.table import Table
from tasks.seams.end_with_parent import end_with_parent
from tasks.seams.kept import turn_to
from tasks.seams.memory import give_back_memory, take_little_memory
from tasks.seams.workers import Workers, known_to_workers, new_runner

MANY_SHARDS = 64  # 1 GB of text: what a library takes beyond that is what it takes at 1 GB
MANY_TASKS = 64  # of a step: Prefect remembers each, and people look at them
TASKS_A_WORKER = 4  # at work or waiting for it: more than one, for some take longer than others


class Shard(BaseModel):
    """One part of a step's work. Small and JSON, so that it can travel between machines."""

    store: str
    """Root of the store."""
    folder: str
    """Where the step's tables stand."""
    number: int
    """Parts of this number are read and written."""
    inputs: dict[str, str]
    """Names of the tables that are read, or of their parts."""
    lineage: dict[str, Any]
    """What the parts say of where they came from."""

    def row_groups(
        self, table: Table, columns: Sequence[str] | None = None, coded: Sequence[str] = ()
    ) -> Iterator[pa.Table]:
        """An input, one row group at a time; see `Store.row_groups`."""
        return Store(self.store).row_groups(self.inputs[table.name], columns, coded)

    def read(self, table: Table, columns: Sequence[str] | None = None) -> pa.Table:
        """A whole input."""
        return Store(self.store).read_table(self.inputs[table.name], columns)

    @contextmanager
    def writer(self, table: Table) -> Iterator[TableWriter]:
        """Write this shard's part of a table; it is published when the block ends well."""
        name = part_name(self.folder, table, self.number)
        with Store(self.store).table_writer(name, table, self.lineage) as writer:
            yield writer


class Share(BaseModel):
    """Shards that one task works on, one after the other."""

    shards: list[Shard]

    def __str__(self) -> str:
        """As Prefect shows it: `shard 4`, `shards 4-7` (without those that a killed run made)."""
        first, last = self.shards[0].number, self.shards[-1].number
        return f"shard {first}" if first == last else f"shards {first}-{last}"


def part_name(folder: str, table: Table, number: int) -> str:
    """Where a part of a table stands in the store."""
    return f"{folder}/{table.name}/{number:05}{PARQUET}"


def shard_task(work: Callable[..., None]) -> "Task[..., None]":
    """A Prefect task that does some work, whose first argument is a shard, for each of a share."""
    name = work.__name__.strip("_").replace("_", " ")

    def working(share: Share, arguments: dict[str, Any]) -> None:
        turn_to(name)
        if parent_process():
            _settle_in()
        for shard in share.shards:
            work(shard, **arguments)
            give_back_memory()

    return prefect_task(
        name=name,
        task_run_name=f"{name.removesuffix(' shard')} {{share}}",
        cache_policy=NO_CACHE,
        persist_result=False,
    )(working)


@cache
def _settle_in() -> None:
    """What a worker does once."""
    end_with_parent()
    take_little_memory()


@contextmanager
def at_hand(workers: Workers) -> Iterator[None]:
    """Keep workers at hand for all that is worked on in the block: starting them takes seconds.

    None are started before there is something to share; see also `let_workers_go`.
    """
    with closing(_Kept(workers)) as kept:
        token = _kept.set(kept)
        try:
            yield
        finally:
            _kept.reset(token)


def work_on(
    shards: Sequence[Shard],
    task: "Task[..., None]",
    arguments: Mapping[str, Any],
    workers: Workers,
) -> Iterator[Shard]:
    """Have every shard worked on, and yield each as it is done, in order.

    Raises:
        UserMistake: the runner's package is not installed; whatever the work raises.
    """
    give_back_memory()  # of what came before: 80 MB that would stay while others work
    if workers.runner == "processes" and min(workers.num_workers, len(shards)) < 2:
        for shard in shards:
            task.fn(Share(shards=[shard]), arguments)
            yield shard
        return
    # Of a cluster nobody knows how many workers it has: all of them are to have something to do.
    most = math.ceil(len(shards) / MANY_TASKS) if workers.address is None else 1
    at_once = MANY_SHARDS if workers.runner == "processes" else max(1, len(shards))
    for first in range(0, len(shards), at_once):
        shares = list(_shares(shards[first : first + at_once], most, workers.num_workers))
        yield from _shared_out(shares, task, arguments, workers)


def _shares(shards: Sequence[Shard], most: int, num_workers: int) -> Iterator[Share]:
    """Cut shards into shares of at most so many, smaller ones towards the end: all workers are to
    be busy to the last (guided self-scheduling, Polychronopoulos and Kuck 1987).
    """
    while shards:
        length = max(1, min(most, len(shards) // (2 * num_workers)))
        yield Share(shards=list(shards[:length]))
        shards = shards[length:]


def _shared_out(
    shares: Sequence[Share],
    task: "Task[..., None]",
    arguments: Mapping[str, Any],
    workers: Workers,
) -> Iterator[Shard]:
    kept = _kept.get()
    known = known_to_workers()
    num_shards = sum(len(share.shards) for share in shares)
    with ExitStack() as stack:
        if kept and kept.workers == workers:
            runner = kept.runner(num_shards, known)
        else:
            runner = stack.enter_context(new_runner(workers, known))

        def handed_over(share: Share) -> Any:
            with known:
                return runner.submit(task, {"share": share, "arguments": dict(arguments)})

        # What waits in a queue takes memory, the more the larger the library.
        at_once = TASKS_A_WORKER * workers.num_workers if workers.address is None else len(shares)
        futures = deque(map(handed_over, shares[:at_once]))
        for number, share in enumerate(shares):
            futures.popleft().result(raise_on_failure=True)
            give_back_memory()  # of what was told of it
            futures.extend(map(handed_over, shares[number + at_once : number + at_once + 1]))
            yield from share.shards
    if kept and not kept.can_take(num_shards):
        kept.close()  # at once: what comes before the next step's shards is worked on in one piece


def let_workers_go() -> None:
    """End those at hand, for what comes is worked on in one piece: they hold 200 MB each."""
    if kept := _kept.get():
        kept.close()


class _Kept:
    """Workers, and what has them work."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self._num_shards = 0
        self._runner: Any = None
        self._open = ExitStack()

    def runner(self, num_shards: int, known: SettingsContext) -> Any:
        """What takes so many shards: the workers that are there, or new ones after much work.

        A process never gives back all that its work has taken, and remembers more and more: 70 MB
        after reading 1 GB. To start another takes seconds.
        """
        if not self.can_take(num_shards):
            self.close()
        if self._runner is None:
            self._runner = self._open.enter_context(new_runner(self.workers, known))
            self._num_shards = 0
        self._num_shards += num_shards
        self._runner._cached_context = None  # the shards would pass for parts of the first step
        return self._runner

    def can_take(self, num_shards: int) -> bool:
        """Whether the workers that are there are still to be given so many shards."""
        return self.workers.runner != "processes" or self._num_shards + num_shards <= MANY_SHARDS

    def close(self) -> None:
        """Let the workers go."""
        self._open.close()
        self._runner = None


_kept: ContextVar[_Kept | None] = ContextVar("workers at hand", default=None)
