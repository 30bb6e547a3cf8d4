"""The watched folder: Prefect is told, by an event, when the books in it are no longer the same.

    bookloom.shelf.changed   of the resource bookloom.shelf, with
        shelf, digest, num_books, added, removed, changed

The folder is looked at, not listened to, so that it may be anywhere. A book that is still being
written is left alone until it has rested. What was told last is remembered in bookloom's home, so
that nothing is lost however often the watcher dies, and nothing happens twice: the event's id
follows from what it says, and Prefect takes an id once.
"""

import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from data.shelf_files import book_files
from flows.prefect_api import PrefectApi

EVENT = "bookloom.shelf.changed"
RESOURCE = "bookloom.shelf"
EVENT_IDS = uuid.UUID("5a1d5c1e-6f0b-4d0e-9d0c-0b00c1005e1f")
LOOK_EVERY_SECONDS = 2.0
REST_SECONDS = 5.0
MOST_NAMES = 200  # of each kind, in an event
logger = logging.getLogger("bookloom")
Stamp = tuple[int, int]
"""A file's size in bytes and the time of its last change in ns."""


@dataclass(frozen=True)
class ShelfChange:
    """What is to be told of a shelf."""

    number: int
    """How many changes were told before."""
    before: Mapping[str, str]
    """Digests of the books' files, by name."""
    now: Mapping[str, str]

    def event(self, shelf: Path) -> dict[str, Any]:
        """The event, as Prefect takes it."""
        digest = hashlib.sha256(json.dumps(self.now, sort_keys=True).encode()).hexdigest()
        both = self.before.keys() & self.now.keys()
        kinds = {
            "added": self.now.keys() - self.before.keys(),
            "removed": self.before.keys() - self.now.keys(),
            "changed": {name for name in both if self.before[name] != self.now[name]},
        }
        names = {
            kind: [_shown(name) for name in sorted(some)[:MOST_NAMES]]
            for kind, some in kinds.items()
        }
        folder = _shown(str(shelf))
        told = {"shelf": folder, "digest": digest, "num_books": len(self.now), **names}
        return {
            "id": str(uuid.uuid5(EVENT_IDS, f"{folder} {self.number} {digest}")),
            "event": EVENT,
            "occurred": datetime.now(UTC).isoformat(),
            "resource": {"prefect.resource.id": RESOURCE, "prefect.resource.name": folder},
            "payload": told,
        }


@dataclass
class WatchedShelf:
    """A folder of books, and what was told of it."""

    folder: Path
    memory: Path
    """A file of what was told last."""
    _stamps: dict[str, Stamp] = field(default_factory=dict)
    _same_since: float = float("-inf")
    _digests: dict[tuple[str, Stamp], str] = field(default_factory=dict)

    def change(self, now_seconds: float) -> ShelfChange | None:
        """What is to be told, once all has rested.

        A shelf without books is nothing to train on, and may be a drive that is not there.

        Args:
            now_seconds: a clock that only goes forward.
        """
        stamps = _stamps(self.folder)
        if stamps != self._stamps:
            self._stamps, self._same_since = stamps, now_seconds
        if not stamps or now_seconds - self._same_since < REST_SECONDS:
            return None
        try:
            books = {name: self._digest(name, stamp) for name, stamp in stamps.items()}
            self._digests = {(name, stamps[name]): digest for name, digest in books.items()}
        except OSError as error:  # it went away, or may not be read yet
            logger.warning("%s: %s", error.filename, error.strerror)
            return None
        told = self._told()
        if books == told["books"]:
            return None
        return ShelfChange(told["number"], told["books"], books)

    def remember(self, change: ShelfChange) -> None:
        """A change was told."""
        self.memory.parent.mkdir(parents=True, exist_ok=True)
        note = {"folder": str(self.folder), "number": change.number + 1, "books": change.now}
        new = self.memory.with_suffix(".new")
        # In ASCII, for a name may hold what is no Unicode.
        new.write_text(json.dumps(note, indent=1), encoding="ascii")
        os.replace(new, self.memory)

    def _told(self) -> dict[str, Any]:
        try:
            note = json.loads(self.memory.read_text(encoding="utf-8"))
            is_same = note["folder"] == str(self.folder)
            return {"number": int(note["number"]), "books": dict(note["books"]) if is_same else {}}
        except FileNotFoundError:
            return {"number": 0, "books": {}}
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("%s is damaged, as if nothing had been told: %r", self.memory, error)
            return {"number": 0, "books": {}}

    def _digest(self, name: str, stamp: Stamp) -> str:
        if (name, stamp) not in self._digests:
            with open(self.folder / name, "rb") as file:
                self._digests[name, stamp] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[name, stamp]


def watch(shelf: WatchedShelf, api: PrefectApi) -> None:
    """Tell Prefect of every change, for good. What can't be done now is done later: a server does
    not answer, the folder is not there, the disk is full.
    """
    if not shelf.folder.is_dir():
        logger.warning("%s is no folder: it is waited for", _shown(str(shelf.folder)))
    while True:
        tell_what_is_new(shelf, api, time.monotonic())
        time.sleep(LOOK_EVERY_SECONDS)


def tell_what_is_new(shelf: WatchedShelf, api: PrefectApi, now_seconds: float) -> None:
    """Tell Prefect of a change, if there is one; whatever is in the way of it is logged."""
    try:
        change = shelf.change(now_seconds)
        if change is not None:
            event = change.event(shelf.folder)
            api.post("/events", [event])
            shelf.remember(change)
            logger.info("told Prefect of %s", json.dumps(event["payload"], ensure_ascii=False))
    except httpx.HTTPError as error:
        logger.warning("Prefect does not take the event yet: %r", error)
    except (OSError, ValueError) as error:
        logger.warning("the shelf is looked at again: %r", error)


def _shown(name: str) -> str:
    """A name as it can be sent: what of it is no Unicode, by its number."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _stamps(folder: Path) -> dict[str, Stamp]:
    """The files that are books by their name, as `data.sources` finds them in a folder."""
    stamps = {}
    for path in book_files(folder, _unless_forbidden) if folder.is_dir() else ():
        with suppress(OSError):
            status = path.stat()
            stamps[path.relative_to(folder).as_posix()] = (status.st_size, status.st_mtime_ns)
    return stamps


def _unless_forbidden(error: OSError) -> None:
    """A folder that goes while it is looked at is no sign that its books went with it."""
    if not isinstance(error, PermissionError):
        raise error
