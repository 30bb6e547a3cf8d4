"""Who works on a store; and a lease on an object store, which knows no locks.

    lock/00000001.json    made only if it is not there (If-None-Match), renewed by its holder alone

The highest number counts. A lease is over when its holder says so, or when it was not renewed for
a while, by the clock of the one who waits; or when the holder's process is dead, where one can see
that. Then the next number is taken. Numbers only grow, so that a holder that was asleep sees that
it has lost its lease, and none can be mistaken for another.
"""

import logging
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pydantic

from data.errors import UserMistake
from data.filesystems import StoreTrouble
from data.store import Damaged, Store
from tasks.seams.processes import Process

FOLDER = "lock"
RENEWED_EVERY_SECONDS = 20.0
STALE_AFTER_SECONDS = 180.0
# Before it is read again: not every object store lets only one of several make an object.
SETTLES_IN_SECONDS = 1.0
SOMEBODY = "another process, which does not say yet who it is"


class Holder(pydantic.BaseModel):
    """Who works on a store."""

    name: str
    """What it is at: a run's name, or a command."""
    host: str
    process: int
    process_began: str = ""
    machine: str
    """See `tasks.seams.processes`."""
    since_unix_seconds: float

    @classmethod
    def here(cls, name: str) -> "Holder":
        """The process that asks."""
        me = Process.here()
        return cls(
            name=name,
            host=me.host,
            process=me.number,
            process_began=me.began,
            machine=me.machine,
            since_unix_seconds=time.time(),
        )

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since_unix_seconds))
        return f"{self.name} (process {self.process} on {self.host}, since {since})"

    def is_seen_dead(self) -> bool:
        """Whether its process is one of those that we see, and is gone."""
        process = Process(self.host, self.process, self.process_began, self.machine)
        return process.is_here and not process.is_alive


class Leased(Holder):
    """What a lease says."""

    token: str
    """Of this lease alone."""
    num_renewals: int = 0
    is_over: bool = False


class Lease:
    """A lease on an object store."""

    look_every_seconds = 3.0

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: tuple[str, int] | None = None
        self._seen_at = 0.0
        self._ended = threading.Event()
        self._lost_to: Holder | None = None

    def taken_by_another(self, me: Holder) -> Holder | str | None:
        """Take it, or say who has it."""
        name, lease = self._newest()
        if lease is not None and not self._is_over(lease):
            return lease
        number = int(Path(name).stem) + 1 if name else 1
        self._name = f"{FOLDER}/{number:08}.json"
        self._lease = Leased(**me.model_dump(), token=uuid.uuid4().hex)
        self._store.create_bytes(self._name, self._lease.model_dump_json().encode())
        time.sleep(SETTLES_IN_SECONDS)
        _, now = self._newest()
        if now is None or now.token != self._lease.token:
            return now or SOMEBODY
        for old in self._store.names(FOLDER):
            if old < self._name:
                self._store.delete(old)
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewing.start()
        return None

    def lost_to(self) -> Holder | None:
        """Who has taken it over, if anybody has."""
        return self._lost_to

    def release(self) -> None:
        """Let the next have it."""
        self._ended.set()
        self._renewing.join()  # a renewal under way would take back what is said now
        if self._lost_to is None:
            over = self._lease.model_copy(update={"is_over": True})
            with suppress(StoreTrouble):  # then it goes stale
                self._store.write_bytes(self._name, over.model_dump_json().encode())

    def _newest(self) -> tuple[str | None, Leased | None]:
        """The lease that counts, and its name; none where there is none, or it can't be read."""
        names = self._store.names(FOLDER)
        if not names:
            return None, None
        try:
            return names[-1], Leased.model_validate(self._store.read_json(names[-1]))
        except FileNotFoundError:  # its successor has removed it
            return self._newest()
        except (Damaged, pydantic.ValidationError):
            return names[-1], None

    def _is_over(self, lease: Leased) -> bool:
        seen = (lease.token, lease.num_renewals)
        if seen != self._seen:
            self._seen, self._seen_at = seen, time.monotonic()
        is_stale = time.monotonic() - self._seen_at > STALE_AFTER_SECONDS
        return lease.is_over or is_stale or lease.is_seen_dead()

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED_EVERY_SECONDS):
            try:
                _, newest = self._newest()
                if newest is not None and newest.token != self._lease.token:
                    self._lost_to = newest
                    return
                self._lease.num_renewals += 1
                self._store.write_bytes(self._name, self._lease.model_dump_json().encode())
            except UserMistake as error:  # the store is away; it may be back in time
                logging.getLogger("bookloom").debug("the lease is not renewed: %s", error)
