"""One at a time works on a store: processes that wait, die and are asleep; folders and objects."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from data.errors import UserMistake
from data.store import Store
from tasks.prune import prune
from tasks.seams import store_lease, store_lock
from tasks.seams.processes import boot
from tasks.seams.store_lease import Holder, Lease
from tasks.seams.store_lock import alone_in, must_be_held
from tasks.seams.tracking import NO_TRACKING
from tasks.verify import verify
from tests.tasks.small_runs import small_run, table_path

ROOT = Path(__file__).parents[2]
HOLDING = """
import sys
from tasks.seams.store_lock import alone_in
with alone_in(sys.argv[1], "run 'nightly'"):
    print("HELD", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def held_by_another(store: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that works on a store until it is told to stop, by a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, store],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "HELD\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def may_go_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_who_does_not_wait_is_told_who_is_at_work(tmp_path: Path) -> None:
    with (
        held_by_another(str(tmp_path)) as other,
        pytest.raises(UserMistake) as caught,
        alone_in(str(tmp_path), "bookloom prune"),
    ):
        pytest.fail("two at once")
    told = f"{tmp_path} is being worked on by run 'nightly' (process {other.pid} on {os.uname()[1]}"
    assert caught.value.message.startswith(told)
    assert ", since 20" in caught.value.message


def test_of_one_who_has_not_said_who_it_is_nothing_is_made_up(tmp_path: Path) -> None:
    held = tmp_path / "lock" / "held"
    held.parent.mkdir()
    with (
        held.open("w") as file,
        pytest.raises(UserMistake) as caught,
    ):
        fcntl.flock(file, fcntl.LOCK_EX)
        with alone_in(str(tmp_path), "run 'quick'"):
            pytest.fail("two at once")
    assert caught.value.message == (
        f"{tmp_path} is being worked on by another process, which does not say yet who it is."
    )


@pytest.mark.parametrize("how", ["it ends", "it is killed"])
def test_who_waits_goes_on_when_the_other_has_gone(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with held_by_another(str(tmp_path)) as other:
        gone = threading.Event()

        def go() -> None:
            gone.set()
            may_go_on(other) if how == "it ends" else other.send_signal(signal.SIGKILL)

        timer = threading.Timer(0.7, go)
        timer.start()
        with caplog.at_level("INFO", "bookloom"), alone_in(str(tmp_path), "run 'quick'", 60):
            assert gone.is_set()
        timer.join()
    assert f"waiting for run 'nightly' (process {other.pid} on" in caplog.text
    assert "0 minutes so far, at most 1" in caplog.text
    assert "is free: going on after" in caplog.text


def test_a_wait_has_an_end(tmp_path: Path) -> None:
    started = time.monotonic()
    with (
        held_by_another(str(tmp_path)),
        pytest.raises(UserMistake, match=r"by run 'nightly' .* Waited 0 minutes for it\."),
        alone_in(str(tmp_path), "run 'quick'", 1.0),
    ):
        pytest.fail("two at once")
    assert time.monotonic() - started >= 1.0


def test_blocks_within_blocks_are_free_and_other_stores_are_apart(tmp_path: Path) -> None:
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    with alone_in(one, "run"):
        with alone_in(one, "run within it"), alone_in(other, "repetition"):
            must_be_held(one)
        with pytest.raises(UserMistake, match="being worked on by run "):
            in_another_thread(one)
    in_another_thread(one)


def in_another_thread(store: str) -> None:
    """Work on a store as somebody else; raises what that raises."""
    errors: list[Exception] = []

    def work() -> None:
        try:
            with alone_in(store, "somebody else"):
                pass
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def test_nothing_is_removed_while_a_run_is_at_work(tmp_path: Path) -> None:
    summary = small_run(tmp_path)
    damaged = table_path(summary, "refusals")
    damaged.write_bytes(b"PAR1")
    folder = damaged.parent.relative_to(tmp_path).as_posix()
    with held_by_another(str(tmp_path)) as other:
        for remove in (
            lambda: prune(str(tmp_path), NO_TRACKING, {"remove": [folder], "stale_runs": []}),
            lambda: verify(str(tmp_path), repair=True),
        ):
            with pytest.raises(UserMistake, match="run 'nightly'"):
                remove()
        assert not verify(str(tmp_path))["sound"], "looking is free"
        assert damaged.exists()
        may_go_on(other)
        other.wait()
    assert verify(str(tmp_path), repair=True)["repaired"]
    assert not damaged.exists()


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> str:
    """An object store in memory, and leases that are soon stale."""
    monkeypatch.setattr(store_lease, "SETTLES_IN_SECONDS", 0.05)
    monkeypatch.setattr(store_lease, "RENEWED_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(store_lease, "STALE_AFTER_SECONDS", 0.5)
    monkeypatch.setattr(Lease, "look_every_seconds", 0.05)
    return f"memory://{uuid.uuid4().hex}"


def test_a_lease_is_renewed_and_given_back(in_memory: str) -> None:
    with alone_in(in_memory, "run 'one'"):
        time.sleep(1.0)  # twice as long as it takes to go stale
        with pytest.raises(UserMistake, match="by run 'one'"):
            in_another_thread(in_memory)
        must_be_held(in_memory)
    in_another_thread(in_memory)
    assert Store(in_memory).names("lock") == ["lock/00000002.json"]


def test_a_lease_that_nobody_renews_is_taken_over(in_memory: str) -> None:
    asleep = Lease(Store(in_memory))
    elsewhere = Holder.here("run 'asleep'").model_copy(update={"host": "b", "machine": "another"})
    assert asleep.taken_by_another(elsewhere) is None
    asleep._ended.set()
    with pytest.raises(UserMistake, match=r"by run 'asleep' \(process \d+ on b, since"):
        in_another_thread(in_memory)
    started = time.monotonic()
    with alone_in(in_memory, "run 'awake'", 60):
        assert time.monotonic() - started >= 0.5
    assert Store(in_memory).names("lock") == ["lock/00000002.json"]


def test_the_lease_of_a_process_that_is_seen_to_be_dead_is_taken_over_at_once(
    in_memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_lease, "STALE_AFTER_SECONDS", 1e9)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    lease = Lease(Store(in_memory))
    me = Holder.here("run 'killed'").model_copy(update={"process": dead.pid})
    assert lease.taken_by_another(me) is None
    lease._ended.set()
    with alone_in(in_memory, "run 'next'"):
        pass


def test_a_number_that_another_process_has_now_is_a_dead_holder() -> None:
    me = Holder.here("run 'killed'")
    assert not me.is_seen_dead()
    assert me.model_copy(update={"process_began": f"{boot()} 1"}).is_seen_dead()
    older = Holder.model_validate(me.model_dump(exclude={"process_began"}))
    assert not older.is_seen_dead()
    other_boot = me.model_copy(update={"machine": "another pid:[1]"})
    assert not other_boot.is_seen_dead(), "that is for the lease's time to tell"


def test_a_renewal_under_way_does_not_take_back_that_a_lease_is_over(
    in_memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(Store(in_memory))
    assert lease.taken_by_another(Holder.here("run 'one'")) is None
    write, under_way, is_released = Store.write_bytes, threading.Event(), threading.Event()

    def slow(store: Store, name: str, content: bytes) -> None:
        if threading.current_thread().name == "lease":
            under_way.set()
            is_released.wait(0.5)
        write(store, name, content)

    monkeypatch.setattr(Store, "write_bytes", slow)
    assert under_way.wait(30)
    lease.release()
    is_released.set()
    for thread in threading.enumerate():
        if thread.name == "lease":
            thread.join()
    _, newest = lease._newest()
    assert newest is not None and newest.is_over


def test_of_a_lease_that_is_not_readable_nothing_is_made_up(
    in_memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(store: Store, name: str, content: bytes) -> bool:
        store.write_bytes(name, b"{")
        return False

    monkeypatch.setattr(Store, "create_bytes", lost)
    with (
        pytest.raises(UserMistake, match="by another process, which does not say yet who it is"),
        alone_in(in_memory, "run 'quick'"),
    ):
        pytest.fail("two at once")


def test_a_run_that_has_lost_its_lease_stops(in_memory: str) -> None:
    with alone_in(in_memory, "run 'asleep'"):
        [own] = store_lock._held.get().values()
        assert isinstance(own, Lease)
        own._ended.set()  # no renewal comes through
        other = Lease(Store(in_memory))
        while other.taken_by_another(Holder.here("run 'awake'")):
            time.sleep(0.05)
        own._ended.clear()
        threading.Thread(target=own._renew, daemon=True).start()
        deadline = time.monotonic() + 30
        while own.lost_to() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(UserMistake, match="was taken over by run 'awake'"):
            must_be_held(in_memory)
    _, newest = other._newest()
    assert newest is not None
    assert (newest.name, newest.is_over) == ("run 'awake'", False)
    other.release()


def test_of_many_who_come_at_once_one_goes_in(
    in_memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the object store lets all of them believe that they have made the object."""

    def weak(store: Store, name: str, content: bytes) -> bool:
        store.write_bytes(name, content)
        return True

    monkeypatch.setattr(Store, "create_bytes", weak)
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        start.wait()
        with alone_in(in_memory, f"run {number}", 60):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.05)
            inside.remove(number)

    start = threading.Barrier(6)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6
