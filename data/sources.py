"""Where books come from: what the user's sources name, found but not yet read.

    plays                         the packaged plays (a folder of that name is `./plays`)
    novel.epub shelf "shelf/*.md" files, folders with folders in them, patterns; in .zip too
    gutenberg:1342                a book of Project Gutenberg, by its number
    https://example.org/b.html    a book at an address
    nltk:gutenberg/emma.txt       a file of an NLTK corpus; all its texts are nltk:gutenberg
    parquet:shelf.parquet         a table with a column `text`
    shelf.toml                    a catalogue of such sources, with what is known of each book

`data.reading` reads what is found.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from glob import has_magic
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Literal

from data import gutenberg_source, nltk_corpora, parquet_source
from data.books import Refusal, escaped
from data.catalogue import CatalogueBook, read_catalogue
from data.documents import Unreadable
from data.download import Downloader, DownloadSettings
from data.gutenberg_source import MIRROR, cached_gutenberg, fetch_gutenberg
from data.nltk_corpora import read_nltk
from data.plays import play_paths
from data.raw_book import ARCHIVE_SUFFIX, SUFFIXES, RawBook, media_type_of
from data.settings import Settings
from data.shelf_files import book_files, pattern_files

PACKAGED_PLAYS = "plays"
CATALOGUE = ".toml"
WEB = ("http://", "https://")
NO_PATHS = (*WEB, gutenberg_source.PREFIX, nltk_corpora.PREFIX, parquet_source.PREFIX)
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")  # C:/ is a drive
Kind = Literal["play", "file", "gutenberg", "url", "nltk", "parquet"]

NO_MATCH = "No file matches the pattern."
_UNREADABLE: dict[type[Exception], tuple[str, str]] = {
    FileNotFoundError: ("There is no such file.", "Check the path."),
    IsADirectoryError: ("It is a folder, not a file.", "Name a text file inside it."),
    PermissionError: ("You are not permitted to read it.", "Change its permissions."),
}


class Finding(Settings):
    """How sources are looked for."""

    mirror: str = MIRROR
    """The mirror of Project Gutenberg that `gutenberg:` asks."""
    downloads: str = ""
    """Folder that keeps for good what was downloaded; by default `downloads` in bookloom's home."""
    download: DownloadSettings = DownloadSettings()
    folder_label: Literal["genre", "author"] | None = None
    """What the name of a file's folder tells of its book, where anything."""

    def downloader(self) -> Downloader:
        """What downloads."""
        return Downloader(Path(self.downloads), self.download)


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that holds a book, or several: `place` is a path, or what the source was; `source`
    names it to people, escaped.

    What is known of the book beforehand goes before what it says of itself. Of a large Parquet
    table it is the row groups from `first_group` on, up to `end_group`; None is the end.
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
    first_group: int = 0
    end_group: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", escaped(self.source))


Find = Callable[[str, Finding], Iterable[Entry | Refusal]]


def told_of(book: CatalogueBook | Entry) -> dict[str, Any]:
    """What is known of a book before it is read."""
    names = (field.name for field in fields(CatalogueBook) if field.name != "source")
    told = {name: getattr(book, name) for name in names}
    return {name: value for name, value in told.items() if value is not None}


def in_order(sources: Iterable[str]) -> list[str]:
    """Sources in an order that does not depend on how they were listed: by name, but catalogues
    first, for of a book that comes twice the first is taken, and they tell more of theirs.
    """
    return sorted(sources, key=lambda source: (not is_catalogue(source), source))


def find_entries(
    sources: Sequence[str], finding: Finding, find: Find | None = None
) -> Iterator[Entry | Refusal]:
    """Yield what the sources name, in their order, and a refusal for each that names nothing.

    What is to be downloaded is downloaded now, one at a time, unless it was before.

    Args:
        sources: as the user names them.
        finding: how they are looked for.
        find: in place of `find_source`; what it raises as `Unreadable` is a refusal, too.

    Raises:
        UserMistake: the packaged plays are asked for and not installed, or a catalogue is none.
    """
    for source in map(_with_small_scheme, sources):
        try:
            if is_catalogue(source):
                for book in read_catalogue(Path(source)):
                    for found in find_entries([book.source], finding, find):
                        is_refusal = isinstance(found, Refusal)
                        yield found if is_refusal else replace(found, **told_of(book))
            else:
                yield from (find or find_source)(source, finding)
        except Unreadable as error:
            yield Refusal(source, "read", error.reason, error.remedy, error.offset)


def why_missing(source: str) -> str | None:
    """Why a path or a pattern names nothing, from a look at the folder alone; None where something
    is there, or where the source is no path.
    """
    source = _with_small_scheme(source)
    if source == PACKAGED_PLAYS or not _is_path(source) or os.path.lexists(source):
        return None
    if not has_magic(source):
        return _UNREADABLE[FileNotFoundError][0]
    shut: list[OSError] = []  # what may be there is a run's to tell
    return None if any(pattern_files(source, shut.append)) or shut else NO_MATCH


def is_catalogue(source: str) -> bool:
    """Whether a source is a catalogue, by its name."""
    return _is_path(source) and source.lower().endswith(CATALOGUE)


def _is_path(source: str) -> bool:
    return not (source.startswith(NO_PATHS) or _SCHEME.match(source))


def _with_small_scheme(source: str) -> str:
    """`HTTPS://Example.org/A.txt` as `https://Example.org/A.txt`."""
    known = (prefix for prefix in NO_PATHS if source.lower().startswith(prefix))
    prefix = next(known, "")
    return prefix + source[len(prefix) :]


def needs_download(source: str, finding: Finding) -> bool:
    """Whether a source has to be fetched from the web, and has not been yet.

    Raises:
        Unreadable: it is no address, and no number of a book.
    """
    downloader = finding.downloader()
    if source.startswith(gutenberg_source.PREFIX):
        return cached_gutenberg(source, downloader, finding.mirror) is None
    return source.startswith(WEB) and downloader.cached(source) is None


def labelled(entry: Entry, path: Path, finding: Finding) -> Entry:
    """The entry with what its folder's name tells, if folders are said to tell anything and
    nothing was told before.
    """
    label = finding.folder_label
    if label is None or getattr(entry, label) is not None:
        return entry
    folders = (folder for folder in path.parents if folder.suffix.lower() != ARCHIVE_SUFFIX)
    name = next(folders).name
    if not name:
        return entry
    return replace(entry, genre=name) if label == "genre" else replace(entry, author=name)


def raw_books(entry: Entry, finding: Finding) -> Iterator[RawBook]:
    """The bytes of the books that an entry holds; of one that was found to be downloaded, what the
    cache has.

    Raises:
        Unreadable: they can't be had.
    """
    if entry.kind == "gutenberg":
        yield fetch_gutenberg(entry.place, finding.downloader(), finding.mirror)
    elif entry.kind == "url":
        fetched = finding.downloader().fetch(entry.place)
        name = entry.place.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
        media_type = media_type_of(name, fetched.content, fetched.content_type)
        yield RawBook(entry.source, name, media_type, fetched.content, fetched.charset)
    elif entry.kind == "nltk":
        yield from read_nltk(entry.place)
    else:
        path = Path(entry.place)
        try:
            content = path.read_bytes()
        except (OSError, ValueError) as error:
            raise _unreadable(error) from None
        yield RawBook(entry.source, path.name, media_type_of(path.name, content), content)


def _unreadable(error: Exception) -> Unreadable:
    otherwise = (f"It can't be read: {error}.", "Copy it to another place.")
    return Unreadable(*_UNREADABLE.get(type(error), otherwise))


def content_digest(entry: Entry, finding: Finding) -> str:
    """SHA-256 of an entry's bytes as they are now; empty where they can't be read."""
    try:
        if entry.kind in ("gutenberg", "url", "nltk"):
            parts = [sha256(raw.content).hexdigest() for raw in raw_books(entry, finding)]
            return sha256("".join(parts).encode()).hexdigest()
        with open(entry.place, "rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError, Unreadable):
        return ""


def find_source(source: str, finding: Finding) -> Iterator[Entry | Refusal]:
    """Yield what one source names that is no catalogue.

    Raises:
        Unreadable: it names nothing that can be had.
    """
    if source == PACKAGED_PLAYS:
        for path in play_paths():
            book_id = f"{path.parent.name}/{path.stem}"
            yield Entry("play", f"plays:{book_id}", str(path), path.stat().st_size)
    elif source.startswith(gutenberg_source.PREFIX):
        fetched = fetch_gutenberg(source, finding.downloader(), finding.mirror)
        yield Entry("gutenberg", source, source, len(fetched.content))
    elif source.startswith(WEB):
        yield Entry("url", source, source, len(finding.downloader().fetch(source).content))
    elif source.startswith(nltk_corpora.PREFIX):
        for raw in read_nltk(source):
            yield Entry("nltk", raw.source, raw.source, len(raw.content))
    elif source.startswith(parquet_source.PREFIX):
        path = Path(source.removeprefix(parquet_source.PREFIX))
        _refuse_streams(path)
        table = Entry("parquet", source, str(path), _size(path))
        runs = parquet_source.runs_of(path)
        if len(runs) < 2:
            yield table
            return
        for first, end, num_bytes in runs:
            yield replace(table, num_bytes=num_bytes, first_group=first, end_group=end)
    elif scheme := _SCHEME.match(source):
        raise Unreadable(
            f"Books are not fetched by {scheme[0]}.",
            "Give an address that begins with https:// or http://, or save the file and name its"
            " path.",
        )
    else:
        yield from _find_files(source, finding)


def _find_files(source: str, finding: Finding) -> Iterator[Entry | Refusal]:
    path = Path(source)
    shut: list[OSError] = []
    if os.path.isdir(path):
        paths = list(book_files(path, shut.append))
        reason = f"The folder holds no files of the kinds {', '.join(SUFFIXES)}."
    elif has_magic(source) and not os.path.exists(path):
        paths = list(set(pattern_files(source, shut.append)))
        reason = NO_MATCH
    else:
        _refuse_streams(path)
        yield _file_entry(path, source, finding)
        return
    if not (paths or shut):
        yield Refusal(source, "read", reason, "Check the path, or put books there.", None)
    for error in sorted(shut, key=lambda one: str(one.filename)):
        why = _unreadable(error)
        yield Refusal(str(error.filename), "read", why.reason, why.remedy, None)
    for found in sorted(paths):
        yield _file_entry(found, str(found), finding)


def _refuse_streams(path: Path) -> None:
    """Refuse what may have no end, and is not the same when it is read again.

    Raises:
        Unreadable: it is a pipe, a socket or a device.
    """
    with suppress(OSError, ValueError):  # reading it will say why
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise Unreadable(
                "It is no file but a pipe, a socket or a device.",
                "Save what it gives in a file, and name that.",
            )


def _file_entry(path: Path, source: str, finding: Finding) -> Entry:
    entry = Entry("file", source, str(path), _size(path))
    # What an archive holds has folders of its own.
    is_archive = path.suffix.lower() == ARCHIVE_SUFFIX
    return entry if is_archive else labelled(entry, Path(os.path.abspath(path)), finding)


def _size(path: Path) -> int:
    """0 where it can't be told: reading it will say why."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
