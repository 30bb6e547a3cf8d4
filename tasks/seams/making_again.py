"""Results that a step finds damaged while it reads them, made again within the run.

A run remembers how each of its results was made. A step that meets a damaged one has it made again,
whose own inputs may be damaged in turn, and begins anew; as steps repeat to the bit, it then finds
what it was promised.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar, cast

from data.errors import UserMistake
from data.store import Damaged, Store
from tasks.seams.manifests import (
    MISSING,
    STEPS,
    Damage,
    byte_damage,
    discard,
    folder_of,
    is_within,
    quick_damage,
    read_manifest,
)

T = TypeVar("T")
Again = Callable[[Sequence[str]], Any]


class _Made(NamedTuple):
    outcome: Any
    again: Again


class _Run:
    """What a run has made or found made, by the folder it stands in."""

    def __init__(self, note: Callable[[Sequence[str]], None]) -> None:
        self.note = note
        self.made: dict[str, _Made] = {}
        self.whole: set[str] = set()


_run: ContextVar[_Run | None] = ContextVar("what the run has made", default=None)


@contextmanager
def remembering(note: Callable[[Sequence[str]], None]) -> Iterator[None]:
    """Remember what is made in the block.

    Args:
        note: is told the folders of all results so far, whenever there is another one.
    """
    token = _run.set(_Run(note))
    try:
        yield
    finally:
        _run.reset(token)


def remember(folder: str, outcome: Any, again: Again) -> None:
    """That a step has made or found a result, and how to make it again, given the reasons why."""
    run = _run.get()
    if run is None:
        return
    is_new = folder not in run.made
    run.made[folder] = _Made(outcome, again)
    if not outcome.reused:
        run.whole |= {*(table.name for table in outcome.tables.values()), *outcome.files}
    if is_new:
        run.note(sorted(run.made))


def newest_outcome(outcome: T) -> T:
    """A step's outcome, or the later one if its result was made again."""
    run, one = _run.get(), cast(Any, outcome)
    made = run.made.get(f"{STEPS}/{one.step}/{one.key}") if run else None
    return made.outcome if made and not made.outcome.reused else outcome


def check(store: Store, names: Sequence[str]) -> None:
    """Hold tables and files that a step is about to read against their manifests, byte by byte.

    Once in a run, and not what the run itself has made. Parts in an object store are left to those
    who read them: Parquet's pages have checksums of their own.

    Raises:
        Damaged: one of them is not what was written.
    """
    run = _run.get()
    for name in names:
        if run and name in run.whole:
            continue
        is_result = name.startswith(f"{STEPS}/")
        manifest = read_manifest(store, folder_of(name)) if is_result else None
        if manifest is None:  # there is nothing to hold it against
            if not store.exists(name):
                raise store.damaged(name, MISSING)
            continue
        damage = [one for one in quick_damage(store, manifest) if is_within(one.name, name)]
        if store.is_local or name in manifest["outcome"]["files"]:
            damage = damage or byte_damage(store, manifest, [name])
        for one in damage:
            raise store.damaged(one.name, one.cause)
        if run:
            run.whole.add(name)


def make_again(store: Store, damage: Damaged) -> None:
    """Have a damaged result made again by the step that made it.

    Raises:
        Damaged: nothing of this run made it.
        UserMistake: it came out different, so that what was made of it no longer holds.
    """
    run = _run.get()
    folder = folder_of(damage.name)
    made = run.made.get(folder) if run else None
    if run is None or made is None:
        raise damage
    found = {damage.name, *(one.name for one in _all_damage(store, folder))}
    discard(store, folder, sorted(found))
    run.whole -= {*(table.name for table in made.outcome.tables.values()), *made.outcome.files}
    outcome = made.again([str(Damage(name)) for name in sorted(found)])
    remember(folder, outcome, made.again)
    if (outcome.key, outcome.tables, outcome.files) != (
        made.outcome.key,
        made.outcome.tables,
        made.outcome.files,
    ):
        raise UserMistake(
            f"{damage.path} was damaged: {damage.cause}. Made again, it is not what it was.",
            "Run again: what depends on it is made anew.",
        ) from damage


def whole(store: Store, read: Callable[[], T]) -> T:
    """What a reading of the store gives; what it finds damaged is made again first.

    Raises:
        Damaged: it is damaged still, or nothing of this run made it.
    """
    try:
        return read()
    except Damaged as damage:
        make_again(store, damage)
        return read()


def _all_damage(store: Store, folder: str) -> list[Damage]:
    try:
        manifest = read_manifest(store, folder)
    except Damaged:
        return []
    if manifest is None:
        return []
    outcome = manifest["outcome"]
    names = [*(table["name"] for table in outcome["tables"].values()), *outcome["files"]]
    return [*quick_damage(store, manifest), *byte_damage(store, manifest, names)]
