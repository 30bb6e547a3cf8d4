"""The files in a folder that are books by their names, at any depth.

    the folder, what is really in it --> folders that are linked into it, each once

So a book has the name of the place where it really is, and links in a circle come to an end.
"""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

from data.raw_book import SUFFIXES


def book_files(folder: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield the files of the kinds that are read, in no order.

    Args:
        folder: where to look.
        on_error: told of each folder that can't be looked into, which is then passed over.
    """
    # A link to what is around the folder leads back into it.
    seen = set(map(str, Path(os.path.realpath(folder)).parents))
    tops = [str(folder)]
    for top in tops:  # to which links are added on the way
        for here, inner, names in os.walk(top, onerror=on_error):
            real = os.path.realpath(here)
            if real in seen:
                inner.clear()
                continue
            seen.add(real)
            inner.sort()  # which of two links to one folder is followed is no matter of chance
            paths = (os.path.join(here, name) for name in inner)
            tops += [path for path in paths if os.path.islink(path)]
            for name in names:
                if PurePath(name).suffix.lower() in SUFFIXES:
                    path = os.path.join(here, name)
                    if _may_be_file(path):
                        yield Path(path)


def _may_be_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:  # a link that leads nowhere
        return False
    except OSError:
        return True  # reading it will say why it can't be read
