"""Starts the parts of `bookloom serve`, keeps them running, and stops them as a whole."""

import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from data.errors import UserMistake
from flows.environment import PROJECT_ROOT
from flows.keeper import KILL_COMMAND, adopt_orphans, children, kept
from flows.serve_health import Health
from flows.serve_parts import Part

TICK_SECONDS = 0.2
LOOK_EVERY_SECONDS = 1.0  # while a part has yet to answer
LOOK_AGAIN_EVERY_SECONDS = 15.0
ILL_SECONDS = 240.0
"""After which a part that does not come to its work is given up: the first start sets up databases,
which takes a busy machine minutes. One that was well, and hangs, is started again."""
SOUND_SECONDS = 60.0
MOST_DEATHS = 5
"""In a row, each before it was well for so many seconds, and by no one's kill, after which all
stops. What is killed is always started again: for want of memory, it may be, which passes."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0
TELL_AGAIN_EVERY_SECONDS = 15.0
MOST_LOG_BYTES = 10_000_000
TOLD_LINES = 15
ORPHANS_SECONDS = 20.0
Look = Callable[[str], Health]
Say = Callable[[str, str], None]
WhenNew = Callable[[dict[str, int], bool, bool], None]
"""Told the parts' processes by name, whether all are at work, and whether the servers answer."""


class KeptPart:
    """A part at work: its process, and what became of earlier ones."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.health: Health | None = None
        self.is_done = False
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths = 0
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._started = self._look_at = self._start_at = 0.0
        self._well_since = self._ill_since = 0.0
        self._has_been_well = False

    @property
    def process(self) -> int | None:
        """The process that keeps the part, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def is_well(self) -> bool:
        """Whether it has done its work, or does it."""
        return self.is_done or (self.health is not None and self.health.is_well)

    def tend(self, look: Look, say: Say) -> None:
        """Start it if it is not running, look how it does, and say what is new.

        Raises:
            UserMistake: it dies again and again, or does not come to its work.
        """
        now = time.monotonic()
        if self.is_done:
            return
        if self._process is None:
            if now >= self._start_at:
                self._start(now)
            return
        code = self._process.poll()
        if code is not None:
            self._bury(code, now, say)
        elif now >= self._look_at and not self.part.once:
            self._look(look(self.part.name), now, say)

    def ask_to_stop(self) -> None:
        """Ask once for an end in good order; asked again, it is killed with all it has started."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def _start(self, now: float) -> None:
        self.part.log.parent.mkdir(parents=True, exist_ok=True)
        with self.part.log.open("ab") as log:
            self._process = subprocess.Popen(
                kept(self.part.command, self.part.stop_seconds, spare=self.part.spare),
                cwd=PROJECT_ROOT,
                env=self.part.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is heard here, and each is stopped in its turn
            )
        self._started = self._look_at = self._ill_since = now
        self._has_been_well = False

    def _bury(self, code: int, now: float, say: Say) -> None:
        assert self._process is not None
        _end_session(self._process.pid)
        seconds, self._process, self.health = now - self._started, None, None
        if code == 0 and self.part.once:
            self.is_done = True
            say(self.part.name, f"done in {seconds:.0f} s")
            return
        if self._has_been_well and now - self._well_since > SOUND_SECONDS:
            self._deaths, self._wait_seconds = 0, FIRST_WAIT_SECONDS
        number = -code if code < 0 else code - 128
        how = f"ended by signal {number}" if number > 0 else f"ended with exit code {code}"
        if number != signal.SIGKILL or self.part.once:
            self._deaths += 1
        if self._deaths >= MOST_DEATHS or (self.part.once and self._deaths > 1):
            raise self._given_up(f"{how}, {self._deaths} times in a row")
        wait = self._wait_seconds
        self._start_at, self._wait_seconds = now + wait, min(2 * wait, LONGEST_WAIT_SECONDS)
        say(self.part.name, f"{how}; it is started again in {wait:.0f} s")

    def _look(self, health: Health, now: float, say: Say) -> None:
        was_well = self.health is not None and self.health.is_well
        self._look_at = now + (LOOK_AGAIN_EVERY_SECONDS if health.is_well else LOOK_EVERY_SECONDS)
        self.health = health
        if health.is_well:
            if not was_well:
                say(self.part.name, f"{health.what}, after {now - self._ill_since:.0f} s")
                self._well_since = now
            self._has_been_well = True
            return
        if was_well:
            say(self.part.name, health.what)
        if was_well or not health.is_own_fault:
            self._ill_since = now
        seconds = now - self._ill_since
        if seconds > ILL_SECONDS and not self._has_been_well:
            raise self._given_up(f"{health.what} after {seconds:.0f} s")
        if seconds > ILL_SECONDS:
            say(self.part.name, f"{health.what} for {seconds:.0f} s: it is stopped")
            self._ill_since = now
            self._end_what_hangs()

    def _end_what_hangs(self) -> None:
        if self._process is not None and self.part.spare:
            self._process.send_signal(KILL_COMMAND)
        else:
            self.ask_to_stop()

    def _given_up(self, what: str) -> UserMistake:
        with self.part.log.open("rb") as log:
            lines = deque(log, TOLD_LINES)
        last = "".join(f"\n    {line.decode(errors='replace').rstrip()}" for line in lines)
        return UserMistake(
            f"{self.part.name} {what}. All is stopped. The last lines of {self.part.log}:{last}",
            "Mend what they say, and start again.",
        )


class Supervisor:
    """All parts, from the first start to the last stop."""

    def __init__(self, stages: Sequence[Sequence[Part]], look: Look, say: Say) -> None:
        self._stages = [[KeptPart(part) for part in stage] for stage in stages]
        self._look, self._say = look, say
        self._times_asked = 0
        self._tell_at = 0.0

    def run(self, when_new: WhenNew) -> None:
        """Serve until SIGTERM or SIGINT; a second one kills. Nothing is left running.

        Raises:
            UserMistake: a part dies again and again, or does not come to its work.
        """
        adopt_orphans()
        with self._heeding_signals():
            try:
                self._serve(when_new)
            finally:
                self._stop()

    def _serve(self, when_new: WhenNew) -> None:
        told = None
        num_up = 0
        while not self._times_asked:
            begun = [one for stage in self._stages[: num_up + 1] for one in stage]
            for one in begun:
                one.tend(self._look, self._say)
            if num_up < len(self._stages) and all(one.is_well for one in self._stages[num_up]):
                num_up += 1
            processes = {one.part.name: one.process for one in begun if one.process is not None}
            new = (processes, num_up)
            if told != new and time.monotonic() >= self._tell_at and self._tell(when_new, *new):
                told = new
            self._bury_orphans()
            for folder in {one.part.log.parent for one in begun}:
                _bound(folder)
            time.sleep(TICK_SECONDS)

    def _tell(self, when_new: WhenNew, processes: dict[str, int], num_up: int) -> bool:
        """Whether it could be told: a disk may be full."""
        try:
            when_new(processes, num_up == len(self._stages), num_up > 0)
        except OSError as error:
            if not self._tell_at:
                self._say("serving", f"what runs could not be noted: {error}; it is tried again")
            self._tell_at = time.monotonic() + TELL_AGAIN_EVERY_SECONDS
            return False
        self._tell_at = 0.0
        return True

    def _stop(self) -> None:
        """The last stage first: runs report to the servers how they ended."""
        for stage in reversed(self._stages):
            running = [one for one in stage if one.process is not None]
            if running:
                self._say("stopping", ", ".join(one.part.name for one in running))
            for one in running:
                one.ask_to_stop()
            has_killed = False
            while any(one.process is not None for one in running):
                if self._times_asked > 1 and not has_killed:
                    has_killed = True
                    for one in running:
                        one.ask_to_stop()
                time.sleep(TICK_SECONDS)
            self._end_orphans()

    @property
    def _orphans(self) -> set[int]:
        """Runs whose worker has died: they have gone on, as children of this process."""
        ours = {one.process for stage in self._stages for one in stage}
        return {child for child in children() if child not in ours}

    def _bury_orphans(self) -> None:
        for child in self._orphans:
            with suppress(ChildProcessError):
                os.waitpid(child, os.WNOHANG)

    def _end_orphans(self) -> None:
        asked: set[int] = set()
        until = time.monotonic() + ORPHANS_SECONDS
        while orphans := self._orphans:
            is_over = time.monotonic() > until or self._times_asked > 1
            for child in orphans if is_over else orphans - asked:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL if is_over else signal.SIGTERM)
            asked |= orphans
            self._bury_orphans()
            time.sleep(TICK_SECONDS)

    @contextmanager
    def _heeding_signals(self) -> Iterator[None]:
        def heed(number: int, frame: FrameType | None) -> None:
            self._times_asked += 1

        before = {number: signal.signal(number, heed) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _end_session(leader: int) -> None:
    """Kill what a part's keeper has left, if it was killed itself; runs have their own sessions."""
    for child in children():
        with suppress(ProcessLookupError):
            if os.getsid(child) == leader:
                os.kill(child, signal.SIGKILL)


def _bound(folder: Path) -> None:
    """Keep logs within bounds: what is older is one file more, or, on a full disk, is let go."""
    for log in folder.glob("*.log"):
        with suppress(OSError):
            if log.stat().st_size > MOST_LOG_BYTES:
                with suppress(OSError):
                    shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)  # its writers append
