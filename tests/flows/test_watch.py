"""What is told of a watched folder: by a clock of the test's own, files that are really written."""

import json
import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from flows import serve_commands
from flows.prefect_api import PrefectApi
from flows.watch import REST_SECONDS, ShelfChange, WatchedShelf, tell_what_is_new


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shelf" / "novels").mkdir(parents=True)
    return tmp_path / "shelf"


def watcher(folder: Path) -> WatchedShelf:
    return WatchedShelf(folder, folder.parent / "home" / "shelf.json")


@pytest.fixture
def clock() -> Iterator[int]:
    """Moments that are further apart than a book must rest."""
    return count(1000, int(REST_SECONDS) + 1)


def seen(shelf: WatchedShelf, clock: Any) -> ShelfChange | None:
    """What is to be told once all has rested."""
    shelf.change(next(clock))
    return shelf.change(next(clock))


def names(shelf: WatchedShelf, change: ShelfChange | None) -> dict[str, list[str]]:
    assert change is not None
    payload = change.event(shelf.folder)["payload"]
    return {kind: payload[kind] for kind in ("added", "removed", "changed")}


def test_an_empty_folder_is_nothing_to_tell(folder: Path, clock: Any) -> None:
    assert seen(watcher(folder), clock) is None


def test_changes_are_told_by_name(folder: Path, clock: Any) -> None:
    shelf = watcher(folder)
    (folder / "one.txt").write_text("One.")
    (folder / "novels" / "two.epub").write_bytes(b"two")
    (folder / "notes.pdf").write_bytes(b"no book that can be read")
    change = seen(shelf, clock)
    assert names(shelf, change) == {
        "added": ["novels/two.epub", "one.txt"],
        "removed": [],
        "changed": [],
    }
    shelf.remember(change)
    assert seen(shelf, clock) is None

    (folder / "one.txt").write_text("One, again.")
    (folder / "novels" / "two.epub").unlink()
    (folder / "three.md").write_text("# Three")
    change = seen(shelf, clock)
    assert names(shelf, change) == {
        "added": ["three.md"],
        "removed": ["novels/two.epub"],
        "changed": ["one.txt"],
    }


def test_books_of_a_linked_folder_are_told_as_they_are_read(folder: Path, clock: Any) -> None:
    shelf = watcher(folder)
    (folder.parent / "elsewhere").mkdir()
    (folder.parent / "elsewhere" / "one.txt").write_text("One.")
    (folder / "linked").symlink_to(folder.parent / "elsewhere")
    (folder / "linked" / "back").symlink_to(folder)
    assert names(shelf, seen(shelf, clock))["added"] == ["linked/one.txt"]


def test_a_shelf_that_is_gone_is_told_of_when_it_has_books_again(folder: Path, clock: Any) -> None:
    shelf = watcher(folder)
    (folder / "one.txt").write_text("One.")
    shelf.remember(seen(shelf, clock))
    (folder / "one.txt").unlink()
    (folder / "novels").rmdir()
    assert seen(shelf, clock) is None
    folder.rmdir()
    assert seen(shelf, clock) is None
    folder.mkdir()
    (folder / "two.txt").write_text("Two.")
    assert names(shelf, seen(shelf, clock)) == {
        "added": ["two.txt"],
        "removed": ["one.txt"],
        "changed": [],
    }


def test_what_is_still_being_written_is_left_alone(folder: Path) -> None:
    shelf = watcher(folder)
    book = folder / "book.txt"
    for second in range(20):
        with book.open("a") as file:
            file.write("One more line.\n")
        assert shelf.change(float(second)) is None
    assert shelf.change(19 + REST_SECONDS - 0.1) is None
    assert shelf.change(19 + REST_SECONDS + 0.1) is not None


def test_the_same_words_written_anew_are_no_change(folder: Path, clock: Any) -> None:
    shelf = watcher(folder)
    (folder / "one.txt").write_text("One.")
    shelf.remember(seen(shelf, clock))
    (folder / "one.txt").unlink()
    (folder / "one.txt").write_text("One.")
    assert seen(shelf, clock) is None


def test_restarts_lose_nothing_and_repeat_nothing(folder: Path, clock: Any) -> None:
    (folder / "one.txt").write_text("One.")
    change = seen(watcher(folder), clock)  # and it dies before that was told
    again = seen(watcher(folder), clock)
    assert change and again
    ids = [one.event(folder)["id"] for one in (change, again)]
    assert ids[0] == ids[1], "Prefect takes an id once"
    watcher(folder).remember(again)
    assert seen(watcher(folder), clock) is None

    (folder / "two.txt").write_text("Two.")  # while nobody watches
    later = watcher(folder)
    change = seen(later, clock)
    assert names(later, change)["added"] == ["two.txt"]


def test_a_change_there_and_back_is_told_three_times(folder: Path, clock: Any) -> None:
    shelf = watcher(folder)
    ids = set()
    for words in ("One.", "Two.", "One."):
        (folder / "one.txt").write_text(words)
        change = seen(shelf, clock)
        assert change is not None
        ids.add(change.event(folder)["id"])
        shelf.remember(change)
    assert len(ids) == 3


def test_another_folder_is_told_whole(folder: Path, clock: Any) -> None:
    (folder / "one.txt").write_text("One.")
    (folder / "novels" / "two.txt").write_text("Two.")
    shelf = watcher(folder)
    shelf.remember(seen(shelf, clock))
    other = WatchedShelf(folder / "novels", shelf.memory)
    assert names(other, seen(other, clock))["added"] == ["two.txt"]


class Prefect:
    """Takes what is posted, as its client writes it."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def post(self, path: str, content: Any) -> None:
        assert path == "/events"
        self.events += json.loads(httpx.Request("POST", "http://prefect", json=content).content)


def look(shelf: WatchedShelf, prefect: Prefect, clock: Any) -> None:
    """Twice, so that all has rested."""
    for _ in range(2):
        tell_what_is_new(shelf, cast(PrefectApi, prefect), float(next(clock)))


def test_a_name_that_is_no_unicode_is_told_and_remembered(folder: Path, clock: Any) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    (folder / name).write_text("One.")
    (folder / "\u00e9t\u00e9.txt").write_text("Two.")
    shelf, prefect = watcher(folder), Prefect()
    look(shelf, prefect, clock)
    [event] = prefect.events
    assert event["payload"]["added"] == ["caf\\udce9.txt", "\u00e9t\u00e9.txt"]
    look(watcher(folder), prefect, clock)
    assert len(prefect.events) == 1, "it is remembered"


@pytest.mark.parametrize("content", ["", '{"folder": "', "[]", "7", '{"number": 1}', "\x00"])
def test_a_damaged_memory_is_none(folder: Path, clock: Any, content: str) -> None:
    (folder / "one.txt").write_text("One.")
    shelf, prefect = watcher(folder), Prefect()
    shelf.memory.parent.mkdir()
    shelf.memory.write_text(content)
    look(shelf, prefect, clock)
    assert [event["payload"]["added"] for event in prefect.events] == [["one.txt"]]
    look(shelf, prefect, clock)
    assert len(prefect.events) == 1


def test_a_full_disk_is_waited_for(
    folder: Path, clock: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    (folder / "one.txt").write_text("One.")
    shelf, prefect = watcher(folder), Prefect()
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        look(shelf, prefect, clock)
    assert "No space left on device" in caplog.messages[-1]
    look(shelf, prefect, clock)
    look(shelf, prefect, clock)
    assert len({event["id"] for event in prefect.events}) == 1, "Prefect takes an id once"
    assert shelf.memory.exists()


def test_a_folder_that_goes_while_it_is_looked_at_is_looked_at_again(
    folder: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(folder / "novels"))

    (folder / "one.txt").write_text("One.")
    shelf, prefect = watcher(folder), Prefect()
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", gone)
        look(shelf, prefect, clock)
    assert prefect.events == []
    look(shelf, prefect, clock)
    assert len(prefect.events) == 1


def test_a_folder_that_is_not_there_yet_is_waited_for(
    folder: Path, clock: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class HasWaited(Exception):
        pass

    def wait(_: float) -> None:
        raise HasWaited

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(time, "sleep", wait)
    with pytest.raises(HasWaited):
        serve_commands.watch(folder / "later")
    assert caplog.messages == [f"{folder / 'later'} is no folder: it is waited for"]
    shelf, prefect = watcher(folder / "later"), Prefect()
    look(shelf, prefect, clock)
    (folder / "later").mkdir()
    (folder / "later" / "one.txt").write_text("One.")
    look(shelf, prefect, clock)
    assert len(prefect.events) == 1
