"""Memory that a process no longer uses, handed back to the system."""

import ctypes
from contextlib import suppress

import pyarrow as pa


def give_back_memory() -> None:
    """Hand back what Arrow and the C library keep for later: hundreds of megabytes, after a shard
    or a merge; some milliseconds. C libraries other than glibc decide for themselves.
    """
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
