"""Memory that a process holds, and what it no longer uses handed back to the system."""

import ctypes
import resource
from contextlib import suppress

import pyarrow as pa


def give_back_memory() -> None:
    """Hand back what Arrow and the C library keep for later: hundreds of megabytes, after a shard
    or a merge; some milliseconds. C libraries other than glibc decide for themselves.
    """
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def take_little_memory() -> None:
    """Have Arrow give back at once what it no longer needs, by jemalloc where it has that.

    Two workers that tokenise hold 100 MB less so in the mean; they take 5 to 8% more time.
    """
    with suppress(NotImplementedError):
        pa.set_memory_pool(pa.jemalloc_memory_pool())
        pa.jemalloc_set_decay_ms(0)


def peak_memory_bytes() -> int:
    """The most that this process has held at once, since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
