"""Import a package without those of its optional requirements that are not wanted here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_out(*packages: str) -> Iterator[None]:
    """Within the block, importing these fails as if they were not installed.

    Those that are imported already stay.
    """
    absent = [package for package in packages if package not in sys.modules]
    sys.modules |= dict.fromkeys(absent)  # type: ignore[arg-type]  # None: there is no such module
    try:
        yield
    finally:
        for package in absent:
            del sys.modules[package]
