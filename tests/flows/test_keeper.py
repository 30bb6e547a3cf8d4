"""Nothing that a kept command has started outlives whoever asked for it: real processes, killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.keeper import kept

ROOT = Path(__file__).parents[2]
# A command that starts another, tells both numbers, and minds no request to end.
FAMILY = """
import os, signal, subprocess, sys, time
stubborn = sys.argv[1] == "stubborn"
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(sleeping, start_new_session=True)
print(os.getpid(), child.pid, flush=True)
time.sleep(600 if sys.argv[2:] == [] else float(sys.argv[2]))
"""


# A keeper whose command is killed before the keeper has done starting it.
KILLED_AT_ONCE = """
import os, signal, subprocess, sys
from flows import keeper
class Popen(subprocess.Popen):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        os.kill(self.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
subprocess.Popen = Popen
sys.exit(keeper.main(os.getppid(), 5.0, False, [sys.executable, "-c", "input()"]))
"""


def family(*arguments: str) -> list[str]:
    return [sys.executable, "-c", FAMILY, *arguments]


def started(command: list[str]) -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    return process, [int(number) for number in process.stdout.readline().split()]


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state not in "ZX"


def soon(condition: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_it_ends_where_its_command_is_killed_as_it_starts() -> None:
    keeping = subprocess.run([sys.executable, "-c", KILLED_AT_ONCE], cwd=ROOT, timeout=60)
    assert keeping.returncode == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("ending", "code"),
    [("sys.exit(7)", 7), ("sys.exit(0)", 0), ("os.kill(os.getpid(), 9)", 137)],
)
def test_it_ends_as_its_command_does(ending: str, code: int) -> None:
    command = [sys.executable, "-c", f"import os, sys; {ending}"]
    assert subprocess.run(kept(command, 5), check=False).returncode == code


def test_what_a_command_leaves_behind_ends_with_it() -> None:
    keeper, (command, child) = started(kept(family("meek", "0.2"), 5))
    assert keeper.wait(timeout=20) == 0
    assert not is_running(command) and not is_running(child)


def test_what_a_spared_command_leaves_behind_lives_on() -> None:
    keeper, (command, child) = started(kept(family("meek"), 5, spare=True))
    os.kill(command, signal.SIGKILL)
    assert keeper.wait(timeout=20) == 137
    assert is_running(child)
    os.kill(child, signal.SIGKILL)


def test_a_keeper_that_is_asked_ends_all_spared_or_not() -> None:
    keeper, (command, child) = started(kept(family("meek"), 5, spare=True))
    keeper.terminate()
    assert keeper.wait(timeout=20) == 143
    assert not is_running(command) and not is_running(child)


def test_what_a_spared_command_has_running_is_asked_first_while_it_rests(tmp_path: Path) -> None:
    """As Prefect's worker does, the command kills what it has started as soon as it is asked."""
    said = tmp_path / "said"
    run = f"""
import pathlib, signal, sys, time
def end(*_):
    time.sleep(1)
    pathlib.Path({str(said)!r}).write_text("I was cut off.")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(600)
"""
    worker = f"""
import os, signal, subprocess, sys, time
run = subprocess.Popen([sys.executable, "-c", {run!r}], stdout=subprocess.PIPE)
run.stdout.readline()
def end(*_):
    run.kill()
    sys.exit()
signal.signal(signal.SIGTERM, end)
print(os.getpid(), run.pid, flush=True)
time.sleep(600)
"""
    keeper, (command, child) = started(kept([sys.executable, "-c", worker], 20, spare=True))
    keeper.terminate()
    assert keeper.wait(timeout=20) == 0
    assert said.read_text() == "I was cut off."
    assert not is_running(command) and not is_running(child)


def test_who_does_not_end_when_asked_is_killed_after_the_grace() -> None:
    keeper, (command, child) = started(kept(family("stubborn"), 1))
    keeper.terminate()
    assert keeper.wait(timeout=20) == 137
    assert not is_running(command) and not is_running(child)


def test_a_second_request_waits_for_no_grace() -> None:
    keeper, (command, child) = started(kept(family("stubborn"), 600))
    keeper.terminate()
    time.sleep(0.3)
    assert is_running(command)
    keeper.terminate()
    assert keeper.wait(timeout=20) == 137
    assert not is_running(command) and not is_running(child)


@pytest.mark.parametrize("manner", ["meek", "stubborn"])
def test_all_is_gone_when_who_asked_is_killed(manner: str) -> None:
    asking = f"""
import subprocess, sys
from flows.keeper import kept
subprocess.Popen(kept({family(manner)!r}, 60)).wait()
"""
    parent, (command, child) = started([sys.executable, "-c", asking])
    assert is_running(command) and is_running(child)
    parent.kill()
    parent.wait()
    assert soon(lambda: not is_running(command) and not is_running(child))


def test_all_is_gone_when_the_keeper_itself_is_killed_below_one_that_adopts() -> None:
    adopting = f"""
import subprocess
from flows.keeper import adopt_orphans, end_children, kept
adopt_orphans()
keeper = subprocess.Popen(kept({family("meek")!r}, 60))
keeper.wait()
end_children(5)
"""
    parent, (command, child) = started([sys.executable, "-c", adopting])
    [keeper] = [
        int(one)
        for one in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    ]
    os.kill(keeper, signal.SIGKILL)
    assert parent.wait(timeout=20) == 0
    assert not is_running(command) and not is_running(child)
