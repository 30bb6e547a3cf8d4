"""Keeps a command: none of what it starts outlives whoever asked for it, however that ends.

    python keeper.py PARENT GRACE_SECONDS [--spare] COMMAND...

The keeper is a process between the one that asks and the command. Linux tells it when its parent
dies, even by kill -9, and hands it the processes whose own parents die, so that it can end them
all: first they are asked (SIGTERM), after the grace they are killed. A second SIGTERM or SIGINT
kills at once. With --spare, what a command that died by itself leaves running is left alone, and
what it has running is asked first, while the command rests: Prefect's worker kills its runs as it
ends, which then can't tell how they ended. SIGUSR1 kills the command alone, as if it had died by
itself.

Nothing but the standard library, and little of that: it starts in milliseconds.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
GRACE_OF_ORPHANS_SECONDS = 5.0
KILL_COMMAND = signal.SIGUSR1
HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, KILL_COMMAND)
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def kept(command: Sequence[str], grace_seconds: float, *, spare: bool = False) -> list[str]:
    """The command line that runs a command under a keeper, for a child of this process."""
    options = ["--spare"] if spare else []
    own = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(grace_seconds)]
    return [*own, *options, *command]


def adopt_orphans() -> None:
    """From now on, processes below this one whose parents die become its children."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(process: int | str = "self") -> list[int]:
    """The numbers of a process's children, by default of this one's."""
    return [
        int(number)
        for path in Path(f"/proc/{process}/task").glob("*/children")
        for number in path.read_text().split()
    ]


def end_children(grace_seconds: float) -> None:
    """End all children, and theirs as they fall to this process; kill them after the grace."""
    asked: set[int] = set()
    until = time.monotonic() + grace_seconds
    while reap().any_left:
        is_over = time.monotonic() >= until
        for child in children():
            if is_over or child not in asked:
                asked.add(child)
                _send(child, signal.SIGKILL if is_over else signal.SIGTERM)
        time.sleep(0.05)


class Reaped(NamedTuple):
    """What burying the dead among the children has found."""

    exit_codes: dict[int, int]
    """Of those that were dead, by their numbers; negative where a signal ended one."""
    any_left: bool


def reap() -> Reaped:
    """Bury the dead among this process's children."""
    exit_codes: dict[int, int] = {}
    while True:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return Reaped(exit_codes, any_left=False)
        if child == 0:
            return Reaped(exit_codes, any_left=True)
        exit_codes[child] = os.waitstatus_to_exitcode(status)


def main(parent: int, grace_seconds: float, spare: bool, command: Sequence[str]) -> int:
    """Run the command to its end; its exit code, 128 + the signal where one ended it."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        return 1
    adopt_orphans()
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    started = subprocess.Popen(command, preexec_fn=_die_with_parent)  # let go, it reaps the child
    child = started.pid
    is_asked, until = False, float("inf")
    exit_codes: dict[int, int] = {}
    while child not in exit_codes:
        # At the end of its grace a command may take a moment to die; a wait of nothing would spin.
        heard = signal.sigtimedwait(HEARD, min(1.0, max(0.05, until - time.monotonic())))
        exit_codes |= reap().exit_codes
        if heard and heard.si_signo == KILL_COMMAND:
            _send(child, signal.SIGKILL)
        elif heard and heard.si_signo != signal.SIGCHLD:
            most = grace_seconds if os.getppid() == parent else GRACE_OF_ORPHANS_SECONDS
            grace = 0.0 if is_asked else min(grace_seconds, most)
            until = time.monotonic() + grace
            if spare and grace and _hears_again_while_ending(child, grace / 2):
                until = time.monotonic()
            is_asked = True
            _send(child, signal.SIGTERM)
        if time.monotonic() >= until:
            _send(child, signal.SIGKILL)
    if is_asked or not spare:
        signal.signal(signal.SIGTERM, lambda *_: end_children(0.0))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        end_children(min(grace_seconds, max(0.0, until - time.monotonic())))
    code = exit_codes[child]
    return code if code >= 0 else 128 - code


def _hears_again_while_ending(command: int, seconds: float) -> bool:
    """End what a command has started, while it rests; whether a second request has cut that off."""
    _send(command, signal.SIGSTOP)
    started = children(command)
    for one in started:
        _send(one, signal.SIGTERM)
    until = time.monotonic() + seconds
    heard = None
    while any(map(_is_running, started)) and time.monotonic() < until and not heard:
        heard = signal.sigtimedwait((signal.SIGTERM, signal.SIGINT), 0.1)
    _send(command, signal.SIGCONT)
    return heard is not None


def _is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def _die_with_parent() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)


def _send(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    rest = sys.argv[3:]
    is_spared = rest[0] == "--spare"
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), is_spared, rest[is_spared:]))
