"""Books of NLTK's corpora: `nltk:gutenberg/austen-emma.txt`, or `nltk:gutenberg` for all its texts.

The files are read as they are, from a folder or the zip file in which NLTK installs a corpus.
NLTK's own readers are not used: some unpickle.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.documents import Unreadable
from data.raw_book import PLAIN_TEXT, RawBook

PREFIX = "nltk:"
MOST_BYTES = 64 * 2**20
"""Largest file that is read, once it is unpacked."""

_Corpus = Path | zipfile.Path
_INSTALL = "Install it: python -m nltk.downloader {}"
_CORPUS_NAME = re.compile(r"[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*")


def read_nltk(source: str) -> Iterator[RawBook]:
    """Yield the file that a source names, or all `.txt` files of the corpus, sorted by name.

    Raises:
        Unreadable: the corpus is not installed or damaged, there is no such file in it, or the
            name leads out of it.
    """
    corpus_name, _, inner = source.removeprefix(PREFIX).partition("/")
    if not _CORPUS_NAME.fullmatch(corpus_name):
        raise Unreadable(
            f"{corpus_name!r} is no name of an NLTK corpus.", "Give one, as in nltk:gutenberg."
        )
    if inner and not _stays_inside(inner):
        raise Unreadable(
            f"{inner!r} leads out of the corpus.",
            f"Name a file of it, as in {PREFIX}gutenberg/austen-emma.txt.",
        )
    with _open_corpus(corpus_name) as corpus:
        names = [inner] if inner else [name for name in _names(corpus) if name.endswith(".txt")]
        if not names:
            raise Unreadable(
                f"The corpus {corpus_name} holds no .txt files.",
                f"If a file of it is plain text, name it: {PREFIX}{corpus_name}/FILE.",
            )
        for name in names:
            content = _read(corpus, corpus_name, name)
            last_name = name.rsplit("/", 1)[-1]
            yield RawBook(f"{PREFIX}{corpus_name}/{name}", last_name, PLAIN_TEXT, content)


def _stays_inside(name: str) -> bool:
    parts = name.split("/")  # an absolute path begins with an empty one
    return not {"", ".", ".."} & set(parts) and not re.search(r"[\\:\x00]", name)


@contextmanager
def _open_corpus(name: str) -> Iterator[_Corpus]:
    """Where a corpus is installed: the first of NLTK's folders that has it, unpacked or packed."""
    from nltk.data import path as data_folders  # takes seconds, so only where a corpus is read

    for folder in (Path(one) / "corpora" for one in data_folders):
        if (folder / name).is_dir():
            yield folder / name
            return
        packed = folder / f"{name}.zip"
        if packed.is_file():
            try:
                with zipfile.ZipFile(packed) as archive:
                    yield zipfile.Path(archive, f"{name}/")
                return
            except (OSError, zipfile.BadZipFile) as error:
                raise _damaged(name, error) from error
    raise Unreadable(
        f"The NLTK corpus {name} is not installed in any of {', '.join(map(str, data_folders))}.",
        _INSTALL.format(name),
    )


def _names(corpus: _Corpus) -> list[str]:
    """The files of a corpus, sorted; in a zip file, only those that stay inside the corpus."""
    if isinstance(corpus, Path):
        inside = (path for path in corpus.rglob("*") if path.is_file())
        return sorted(path.relative_to(corpus).as_posix() for path in inside)
    names = (
        name.removeprefix(corpus.at)
        for name in corpus.root.namelist()
        if name.startswith(corpus.at)
    )
    return sorted(filter(_stays_inside, names))


def _read(corpus: _Corpus, corpus_name: str, name: str) -> bytes:
    file = corpus.joinpath(name)
    if isinstance(corpus, Path) and not (corpus / name).resolve().is_relative_to(corpus.resolve()):
        raise Unreadable(
            f"{name} is a link that leads out of the corpus.", "Copy the file into it."
        )
    if not file.is_file():
        raise Unreadable(
            f"The NLTK corpus {corpus_name} has no file {name}.",
            f"Name one of it, or all its texts: {PREFIX}{corpus_name}.",
        )
    try:
        with file.open("rb") as opened:
            content = bytes(opened.read(MOST_BYTES + 1))
    # What zipfile raises of damage, encryption and methods of packing that it lacks.
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise _damaged(corpus_name, error) from error
    if len(content) > MOST_BYTES:
        raise Unreadable(f"{name} is larger than {MOST_BYTES:,} bytes.", "Cut it into books.")
    return content


def _damaged(corpus_name: str, error: Exception) -> Unreadable:
    reason = f"The installed NLTK corpus {corpus_name} can't be read: {error}."
    return Unreadable(reason, _INSTALL.format(corpus_name))
