"""Where books come from: what the user's sources name, found but not yet read.

plays                         the packaged plays (a folder of that name is `./plays`)
novel.txt shelf "shelf/*.md"  files, folders with folders in them, patterns
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from glob import glob, has_magic
from hashlib import file_digest
from pathlib import Path
from typing import Literal

from data.books import Refusal
from data.plays import play_paths

PACKAGED_PLAYS = "plays"
SUFFIXES = (".txt",)
Kind = Literal["play", "file"]


@dataclass(frozen=True)
class Entry:
    """Something that holds a book, or several, at a `place`.

    What is known of the book beforehand goes before what it says of itself.
    """

    kind: Kind
    source: str
    place: str
    num_bytes: int
    title: str | None = None
    author: str | None = None
    year: int | None = None
    genre: str | None = None
    language: str | None = None


def find_entries(sources: Sequence[str]) -> Iterator[Entry | Refusal]:
    """Yield what the sources name, in their order, and a refusal for each that names nothing.

    Raises:
        UserMistake: the packaged plays are asked for and not installed.
    """
    for source in sources:
        if source == PACKAGED_PLAYS:
            for path in play_paths():
                book_id = f"{path.parent.name}/{path.stem}"
                yield Entry("play", f"plays:{book_id}", str(path), path.stat().st_size)
        else:
            yield from _find_files(source)


def content_digest(entry: Entry) -> str:
    """SHA-256 of an entry's bytes as they are now; empty where they can't be read."""
    try:
        status = Path(entry.place).stat()
        return _file_digest(entry.place, status.st_size, status.st_mtime_ns)
    except (OSError, ValueError):
        return ""


@lru_cache(maxsize=1 << 16)
def _file_digest(path: str, num_bytes: int, modified_ns: int) -> str:
    """What is looked at twice in one run is read once."""
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _find_files(source: str) -> Iterator[Entry | Refusal]:
    path = Path(source)
    if path.is_dir():
        inside = path.rglob("*")
        paths = [inner for inner in inside if inner.suffix.lower() in SUFFIXES and inner.is_file()]
        reason = f"The folder holds no files of the kinds {', '.join(SUFFIXES)}."
    elif has_magic(source) and not path.exists():
        paths = [found for found in map(Path, glob(source, recursive=True)) if found.is_file()]
        reason = "No file matches the pattern."
    else:
        yield Entry("file", source, source, _size(path))
        return
    if not paths:
        yield Refusal(source, "read", reason, "Check the path, or put books there.", None)
    for found in sorted(paths):
        yield Entry("file", str(found), str(found), _size(found))


def _size(path: Path) -> int:
    """0 where it can't be told: reading it will say why."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
