"""Read a catalogue: a TOML file that says which books there are, and what is known of each.

    [[books]]
    source = "gutenberg:1342"      # needed; any source, a path is relative to the catalogue
    title = "Pride and Prejudice"  # these are told where they are known
    author = "Jane Austen"
    year = 1813                    # of first publication
    genre = "novel"
    language = "en"

What a catalogue says of a book counts more than what the book's file says of itself.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from glob import escape, has_magic
from pathlib import Path
from typing import Any

from data.books import YEARS
from data.errors import UserMistake

_NO_PATH = re.compile(r"plays|(?i:(?:gutenberg|nltk):|[a-z][a-z0-9+.-]+://).*", re.DOTALL)
_PATH = re.compile(r"(?P<prefix>(?i:parquet:)|)(?P<path>.+)", re.DOTALL)
_LANGUAGE = re.compile("[a-z]{2}")


@dataclass(frozen=True)
class CatalogueBook:
    """A source and what is known of its book. What the catalogue does not say is None."""

    source: str
    title: str | None = None
    author: str | None = None
    year: int | None = None
    genre: str | None = None
    language: str | None = None  # two-letter code


_KEYS = tuple(key.name for key in fields(CatalogueBook))


def read_catalogue(path: Path) -> tuple[CatalogueBook, ...]:
    """The books of a catalogue, in its order; paths are joined to the catalogue's own folder.

    Raises:
        UserMistake: there is no such file, it is no TOML, or it has an unknown key, a value of the
            wrong type, a year that is none, a book without a source, or a source twice.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserMistake(f"{path} can't be read: {error.strerror}.", "Check the path.") from None
    except UnicodeDecodeError as error:
        message = f"{path} is no UTF-8: byte {error.start} begins no character."
        raise UserMistake(message, "Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise UserMistake(f"{path} is no TOML: {error}.", "Mend it there.") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits; [[[[[...
        message = f"{path} is TOML that can't be read: {error}."
        raise UserMistake(message, "Mend it there.") from None
    if unknown := set(content) - {"books"}:
        raise UserMistake(
            f"{path} has the unknown key {min(unknown)!r}.", "Begin each book with [[books]]."
        )
    entries = content.get("books")
    if not isinstance(entries, list) or not entries:
        raise UserMistake(f"{path} has no list of books.", "Begin each book with [[books]].")
    books = tuple(
        _read_book(entry, f"{path}, book {number}", path.parent)
        for number, entry in enumerate(entries, start=1)
    )
    numbers: dict[str, int] = {}
    for number, book in enumerate(books, start=1):
        if (first := numbers.setdefault(book.source, number)) != number:
            message = f"{path}, book {number} has the source of book {first}: {book.source!r}."
            raise UserMistake(message, "Leave one of them out.")
    return books


def _read_book(entry: object, place: str, folder: Path) -> CatalogueBook:
    if not isinstance(entry, Mapping):
        raise UserMistake(f"{place} is {entry!r}.", "Begin each book with [[books]].")
    place = f"{place} ({entry['title']})" if isinstance(entry.get("title"), str) else place
    for key, value in entry.items():
        _check_value(key, value, place)
    if "source" not in entry:
        raise UserMistake(f"{place} has no source.", 'Add one, such as source = "emma.txt".')
    if entry["source"].lower().endswith(".toml") and not _NO_PATH.fullmatch(entry["source"]):
        raise UserMistake(
            f"{place} has a catalogue as its source, {entry['source']!r}.",
            "Name that catalogue itself where you name this one.",
        )
    return CatalogueBook(**{**entry, "source": _placed(entry["source"], folder)})


def _check_value(key: str, value: Any, place: str) -> None:
    if key not in _KEYS:
        raise UserMistake(f"{place} has the unknown key {key!r}.", f"Known are {', '.join(_KEYS)}.")
    if key == "year":
        if type(value) is not int:  # true is an int, too
            message = f"{place} has the year {value!r}, which is no whole number."
            raise UserMistake(message, "Write it like year = 1813.")
        if value not in YEARS:
            message = f"{place} has the year {value}."
            raise UserMistake(message, f"Give one from {YEARS[0]} to {YEARS[-1]}, or none.")
    elif not isinstance(value, str) or not value.strip():
        message = f"{place} has the {key} {value!r}, which is no text."
        raise UserMistake(message, f'Write it in quotation marks, {key} = "...", or leave it out.')
    elif key == "language" and not _LANGUAGE.fullmatch(value):
        message = f"{place} has the language {value!r}."
        raise UserMistake(message, "Write it as two small letters, such as en or de.")


def _placed(source: str, folder: Path) -> str:
    """The source as anyone may read it: a path or pattern is joined to the catalogue's folder."""
    if _NO_PATH.fullmatch(source):
        return source
    found = _PATH.fullmatch(source)
    assert found is not None  # a source is never empty
    is_pattern = has_magic(found["path"]) and not os.path.exists(folder / found["path"])
    base = Path(escape(str(folder))) if is_pattern else folder
    placed = str(base / found["path"])
    if _NO_PATH.fullmatch(placed):  # a folder "plays" beside a catalogue of this folder
        placed = f"{os.curdir}{os.sep}{placed}"
    return found["prefix"] + placed
