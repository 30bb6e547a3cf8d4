"""Whether a process of this machine lives: told from a later one of the same number."""

from pathlib import Path


def boot() -> str:
    """What tells this start of the machine from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


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
