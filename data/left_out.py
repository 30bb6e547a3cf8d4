"""Import a package without those of its optional requirements that are not wanted here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_out(*packages: str) -> Iterator[None]:
    """Within the block, importing these fails as if they were not installed.

    Those that are imported already stay.
    """
    finder = _NotFound(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _NotFound:
    def __init__(self, packages: tuple[str, ...]) -> None:
        self._packages = packages

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """None where others may look for the module."""
        if name in self._packages:
            raise ModuleNotFoundError(f"{name} is left out here", name=name)
