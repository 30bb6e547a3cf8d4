"""A process as it is noted for others, who look whether it lives: in notes, leases and flow runs.

Its number alone tells little: there is one such in each container, and a later one after it.
"""

import os
import socket
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process, told from every other; what older notes did not know of is left empty."""

    host: str
    number: int
    began: str = ""
    """The boot and the clock ticks after it."""
    machine: str = ""
    """The boot, and the namespace of processes in which the number counts."""

    @classmethod
    def here(cls) -> "Process":
        """The process that asks."""
        number = os.getpid()
        return cls(socket.gethostname(), number, began(number) or "", machine())

    @property
    def is_here(self) -> bool:
        """Whether it is among those that this process sees: containers may share a host's name."""
        if self.host != socket.gethostname():
            return False
        if self.machine:
            return self.machine == machine()
        return not self.began or self._boot == boot()

    @property
    def is_self(self) -> bool:
        """Whether it is the process that asks."""
        return self.number == os.getpid() and self.is_here and self.is_alive

    @property
    def is_alive(self) -> bool:
        """Whether it still runs, where it is here."""
        now = began(self.number)
        return now is not None and now == (self.began or now)

    @property
    def is_gone(self) -> bool:
        """Whether it runs no more: where it is here one sees that; elsewhere it is known only of a
        host that has been started again since.
        """
        if self.is_here:
            return not self.is_alive
        return self.host == socket.gethostname() and self._boot != boot()

    @property
    def _boot(self) -> str:
        return (self.machine or self.began).partition(" ")[0]


def boot() -> str:
    """What tells this start of the machine from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def machine() -> str:
    """What tells the processes that this one sees from all others of the same numbers."""
    return f"{boot()} {os.readlink('/proc/self/ns/pid')}"


def began(process: int) -> str | None:
    """The boot and the clock ticks after it at which a process began; none of one that is dead,
    though its parent may not have asked how it ended.
    """
    try:
        told = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *numbers = told.rpartition(") ")[2].split()
    return None if state in "ZX" else f"{boot()} {numbers[18]}"
