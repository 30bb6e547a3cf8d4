"""Processes that work for another end when that one is killed: by itself a pool's wait for ever."""

import os
from functools import cache
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread

KILLED_EXIT_CODE = 1


@cache
def end_with_parent() -> None:
    """From now on this process, if another one has started it, ends when that one is gone."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(KILLED_EXIT_CODE)

    Thread(target=watch, name="end with parent", daemon=True).start()
