"""Runs of several processes on one store of an object store: one at a time, whoever dies."""

import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.servers.object_store import ObjectStore

ROOT = Path(__file__).parents[2]
WORKING = """
import os, sys, time
from tasks.seams.store_lock import alone_in
store, notes, seconds = sys.argv[1:]
def note(word):
    with open(notes, "ab", buffering=0) as file:
        file.write(f"{word} {os.getpid()}\\n".encode())
with alone_in(store, "run", 300):
    note("in")
    time.sleep(float(seconds))
    note("out")
"""


def working(store: str, notes: Path, seconds: float) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", WORKING, store, str(notes), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT)


def test_processes_that_start_at_once_take_turns(object_store: ObjectStore, tmp_path: Path) -> None:
    store = object_store.new_bucket(f"b{uuid.uuid4().hex}") + "/store"
    notes = tmp_path / "notes"
    processes = [working(store, notes, 0.2) for _ in range(3)]
    assert [process.wait(timeout=300) for process in processes] == [0] * 3
    words = [line.split() for line in notes.read_text().splitlines()]
    assert [word for word, _ in words] == ["in", "out"] * 3
    assert {process for _, process in words} == {str(process.pid) for process in processes}
    assert [words[i][1] for i in (0, 2, 4)] == [words[i][1] for i in (1, 3, 5)]


@pytest.mark.faults
def test_who_is_killed_is_not_waited_for(object_store: ObjectStore, tmp_path: Path) -> None:
    store = object_store.new_bucket(f"b{uuid.uuid4().hex}") + "/store"
    notes = tmp_path / "notes"
    notes.touch()
    killed = working(store, notes, 300)
    while not notes.read_bytes():
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert working(store, notes, 0).wait(timeout=120) == 0
    words = [line.split()[0] for line in notes.read_text().splitlines()]
    assert words == ["in", "in", "out"]
