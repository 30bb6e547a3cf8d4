"""One run at a time works on a store; whoever comes meanwhile waits, and says for whom.

    a folder          flock on lock/held: the kernel lets go of it when its process dies
    an object store   a lease; see `store_lease`

Reading needs no lock: what stands in a store is whole.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol

import pydantic

from data.errors import UserMistake
from data.filesystems import told
from data.store import Store
from tasks.seams.report import say
from tasks.seams.store_lease import FOLDER, SOMEBODY, Holder, Lease

HELD = f"{FOLDER}/held"
SECONDS_BETWEEN_WORDS = 60.0
LONGEST_WAIT_MINUTES = 720.0
"""For another run, unless settings say otherwise: longer than a night's."""


class Lock(Protocol):
    """What keeps others out of a store."""

    look_every_seconds: float
    """How often one who waits looks again."""

    def taken_by_another(self, me: Holder) -> Holder | str | None:
        """Take it, or say who has it, as far as one can tell."""
        ...

    def lost_to(self) -> Holder | None:
        """Who has taken it over, if anybody has."""
        ...

    def release(self) -> None:
        """Let the next have it."""
        ...


@contextmanager
def alone_in(store_root: str, name: str, longest_wait_seconds: float = 0.0) -> Iterator[None]:
    """Be the only one who works on a store. Within the block, blocks for the same store are free.

    Args:
        store_root: root of the store.
        name: what this is, for those who wait: `run 'quick'`, `bookloom prune`.
        longest_wait_seconds: how long to wait for another; 0 does not wait.

    Raises:
        UserMistake: another works on it, and does so for longer than that.
    """
    store = Store(store_root)
    place = store.path("")
    if place in _held.get():
        yield
        return
    lock: Lock = _Flock(Path(store.path(HELD))) if store.is_local else Lease(store)
    _wait_for(lock, Holder.here(name), place, longest_wait_seconds)
    token = _held.set({**_held.get(), place: lock})
    try:
        yield
    finally:
        _held.reset(token)
        lock.release()


def must_be_held(store_root: str) -> None:
    """Stop where another has taken over the store that this run works on.

    Raises:
        UserMistake: another has.
    """
    if not (held := _held.get()):
        return
    place = Store(store_root).path("")
    holder = held[place].lost_to() if place in held else None
    if holder:
        raise UserMistake(
            f"{place} was taken over by {holder}: this run had not been heard of for minutes.",
            "Run it again when that has ended: it goes on from what was finished.",
        )


_held: ContextVar[Mapping[str, Lock]] = ContextVar("locks on stores", default={})  # noqa: B039


def _wait_for(lock: Lock, me: Holder, place: str, longest_wait_seconds: float) -> None:
    started = time.monotonic()
    said = float("-inf")
    while holder := lock.taken_by_another(me):
        waited = time.monotonic() - started
        if waited >= longest_wait_seconds:
            after = f" Waited {waited / 60:.0f} minutes for it." if longest_wait_seconds else ""
            raise UserMistake(
                f"{place} is being worked on by {holder}.{after}",
                "Wait until that has ended, or stop it; then try again.",
            )
        if waited - said >= SECONDS_BETWEEN_WORDS:
            said = waited
            say(
                f"waiting for {holder}, which works on {place}: {waited / 60:.0f} minutes so far, "
                f"at most {longest_wait_seconds / 60:.0f}"
            )
        time.sleep(lock.look_every_seconds)
    if said >= 0:
        say(f"{place} is free: going on after {time.monotonic() - started:.0f} s")


class _Flock:
    """A lock on a folder, which the kernel keeps."""

    look_every_seconds = 0.5

    def __init__(self, path: Path) -> None:
        self._path = path

    def taken_by_another(self, me: Holder) -> Holder | str | None:
        with told(str(self._path), is_local=True):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._file)
                return self._holder()
            if not self._is_there():  # another has just had it, and removed it
                os.close(self._file)
                return self.taken_by_another(me)
            try:
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, me.model_dump_json().encode(), 0)
            except OSError:
                self.release()
                raise
        return None

    def lost_to(self) -> Holder | None:
        return None

    def release(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        finally:
            os.close(self._file)

    def _is_there(self) -> bool:
        """Whether what is locked is what others will find."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _holder(self) -> Holder | str:
        try:
            return Holder.model_validate_json(self._path.read_bytes())
        except (OSError, pydantic.ValidationError):  # it is just being written
            return SOMEBODY
