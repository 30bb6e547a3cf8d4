"""Where books come from: the packaged plays, files, folders and patterns."""

from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path

from data.books import Book, Refusal
from data.plain_text import Refused, read_plain_text
from data.plays import read_plays

PACKAGED_PLAYS = "plays"


def read_books(sources: Sequence[str]) -> Iterator[Book | Refusal]:
    """Yield the books of the sources, in their order, and a refusal for each that is no book.

    A source is `plays` (the packaged plays; a folder of that name is `./plays`), a file, a folder
    (its `.txt` files, also in folders inside it, sorted) or a pattern like `shelf/*.txt`. A book
    whose bytes were already read is refused as a repetition, so that every `book_id` is unique.

    Raises:
        UserMistake: the packaged plays are asked for and not installed.
    """
    first_ids: dict[str, str] = {}  # by content digest
    for source in sources:
        for book in _read_source(source):
            if isinstance(book, Refusal):
                yield book
            elif (first_id := first_ids.get(book.sha256)) is not None:
                yield Refusal(
                    source=book.source,
                    step="read",
                    reason=f"It repeats {first_id}, byte for byte; a book is taken once.",
                    remedy="Nothing needs doing; leave it out to silence this.",
                    offset=None,
                )
            else:
                first_ids[book.sha256] = book.book_id
                yield book


def _read_source(source: str) -> Iterator[Book | Refusal]:
    if source == PACKAGED_PLAYS:
        yield from read_plays()
        return
    path = Path(source)
    if path.is_dir():
        inside = path.rglob("*")
        paths = [inner for inner in inside if inner.suffix.lower() == ".txt" and inner.is_file()]
        reason = "The folder holds no .txt files."
    elif has_magic(source) and not path.exists():
        paths = [found for found in map(Path, glob(source, recursive=True)) if found.is_file()]
        reason = "No file matches the pattern."
    else:
        yield _read_file(path, source)
        return
    if not paths:
        yield Refusal(source, "read", reason, "Check the path, or put text files there.", None)
    for path in sorted(paths):
        yield _read_file(path, str(path))


def _read_file(path: Path, source: str) -> Book | Refusal:
    try:
        return read_plain_text(path, source)
    except Refused as refused:
        return refused.refusal
