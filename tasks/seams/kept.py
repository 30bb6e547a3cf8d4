"""What a process keeps from shard to shard, and lets go of when it turns to other work."""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

Made = TypeVar("Made")


class _Process:
    work = ""
    letting_go: list[Callable[[], None]] = []  # noqa: RUF012  # one for all


def kept(make: Callable[[], Made]) -> Callable[[], Made]:
    """Make a thing once, and again after the process has turned to other work."""
    made = cache(make)
    _Process.letting_go.append(made.cache_clear)
    return made


def turn_to(work: str) -> None:
    """Forget what was kept for other work than this."""
    if work != _Process.work:
        _Process.work = work
        for forget in _Process.letting_go:
            forget()
