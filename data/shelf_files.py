"""The files that are books: in a folder by their names, at any depth, or by a pattern.

    the folder, what is really in it --> folders that are linked into it, each once

So a book has the name of the place where it really is, and links in a circle come to an end. A
folder that can't be looked into is told of in either case.
"""

import os
import stat
from collections.abc import Callable, Iterator
from glob import has_magic, iglob
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


def pattern_files(pattern: str, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield the files that match a pattern, and those in folders that do, in no order; some twice.

    Args:
        pattern: as `glob` has it; `**` is any number of folders.
        on_error: told of each folder on the way that can't be looked into: `glob` passes it over.
    """
    goes_into_all = PurePath(pattern).name == "**"
    for found in iglob(pattern, recursive=True):
        if _may_be_file(found):
            yield Path(found)
        elif not goes_into_all and os.path.isdir(found):
            yield from book_files(Path(found), on_error)
    told = set()
    for folder, error in _shut_on_the_way(PurePath(pattern).parts):
        if folder not in told:
            told.add(folder)
            error.filename = folder
            on_error(error)


def _shut_on_the_way(parts: tuple[str, ...]) -> Iterator[tuple[str, OSError]]:
    for depth, part in enumerate(parts):
        way = str(PurePath(*parts[: depth + (part == "**")]))  # ** looks into all that it passes
        for folder in iglob(way, recursive=True) if has_magic(way) else [way]:
            try:
                if not has_magic(part):
                    os.lstat(os.path.join(folder, part))
                elif os.path.isdir(folder):
                    os.scandir(folder).close()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                yield str(PurePath(folder)), error


def _may_be_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:  # a link that leads nowhere
        return False
    except OSError:
        return True  # reading it will say why it can't be read
