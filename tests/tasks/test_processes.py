"""A process is told from every other one: of its number, its host's name, its machine."""

import os
import subprocess
import sys
from typing import Any

import pytest

from tasks.seams import processes
from tasks.seams.processes import Process, began, boot, machine

CONTAINER = f"{boot()} pid:[1]"


@pytest.fixture(scope="module")
def dead() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def told(process: Process) -> dict[str, bool]:
    names = ("is_here", "is_self", "is_alive", "is_gone")
    return {name: getattr(process, name) for name in names if getattr(process, name)}


def test_this_process_is_alive_until_it_ends(dead: int) -> None:
    here = Process.here()
    assert here == (os.uname().nodename, os.getpid(), began(os.getpid()), machine())
    assert told(here) == {"is_here": True, "is_self": True, "is_alive": True}
    assert told(here._replace(number=dead)) == {"is_here": True, "is_gone": True}
    parent = Process(here.host, os.getppid(), began(os.getppid()) or "", here.machine)
    assert told(parent) == {"is_here": True, "is_alive": True}


def test_a_later_process_of_its_number_is_another() -> None:
    before = Process.here()._replace(began=f"{boot()} 1")
    assert told(before) == {"is_here": True, "is_gone": True}


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"host": "elsewhere"},
        {"machine": CONTAINER},  # another container of this host's name
        {"host": "elsewhere", "machine": "another"},
    ],
    ids=str,
)
def test_of_one_that_is_not_seen_nothing_is_known(elsewhere: dict[str, Any], dead: int) -> None:
    for number in (dead, os.getpid()):
        process = Process.here()._replace(number=number, **elsewhere)
        assert not (process.is_here or process.is_self or process.is_gone)


def test_none_outlives_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a start of the machine its number may be another one's."""
    noted = [Process.here(), Process.here()._replace(machine="")]
    monkeypatch.setattr(processes, "boot", lambda: "another")
    for process in noted:
        assert (process.is_here, process.is_gone) == (False, True)


def test_older_notes_are_read_by_what_they_knew(dead: int) -> None:
    host, number, began_then, seen = Process.here()
    assert told(Process(host, number, began_then)).keys() == {"is_here", "is_self", "is_alive"}
    assert told(Process(host, number)).keys() == {"is_here", "is_self", "is_alive"}
    assert told(Process(host, number, "", seen)).keys() == {"is_here", "is_self", "is_alive"}
    assert told(Process(host, dead)).keys() == {"is_here", "is_gone"}
    assert told(Process(host, dead, "", seen)).keys() == {"is_here", "is_gone"}
    assert told(Process("elsewhere", dead)) == {}
