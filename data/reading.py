"""Reading: an entry of a source becomes books, or refusals with their reasons.

    bytes --(plain text, HTML, Markdown, EPUB; in archives too)--> document
           --boilerplate, layout--> text --headings--> book with sections

`data.sources` finds the entries.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from data.archives import ArchiveLimits, RefusedMember, text_members
from data.books import Book, Refusal, escaped
from data.documents import Document, Unreadable, without
from data.encodings import with_newlines
from data.epub import read_epub
from data.gutenberg import BoilerplateSettings, Fields, Receipt, boilerplate
from data.gutenberg_source import book_number
from data.headings import find_sections
from data.html_text import read_html
from data.layout import Layout, tidy
from data.letters import codes_of, looked_up
from data.markdown_text import read_markdown
from data.parquet_source import ParquetRow, read_parquet
from data.plain_text import read_text
from data.plays import read_play
from data.raw_book import ARCHIVE, EPUB, HTML, MARKDOWN, PLAIN_TEXT, RawBook, media_type_of
from data.settings import Settings
from data.sources import Entry, Finding, labelled, raw_books

_NO_LETTER, _SEVERAL = 0, 0xFFFFFFFF


class Reading(Settings):
    """What is done to a book's text before it is learned from."""

    boilerplate: BoilerplateSettings | None = BoilerplateSettings()
    """What of Project Gutenberg's own text is taken out; none: it all stays."""
    layout: Layout = Layout()
    """What of the printed page is undone."""
    archives: ArchiveLimits = ArchiveLimits()
    """What a .zip, an EPUB or a row of a Parquet table may cost."""


@dataclass(frozen=True)
class ReadBook:
    """A book, and what was taken from it."""

    book: Book
    receipt: Receipt


def read_entry(entry: Entry, finding: Finding, reading: Reading) -> Iterator[ReadBook | Refusal]:
    """Yield the books that an entry holds, and refusals of what is none."""
    if entry.kind == "play":
        yield ReadBook(read_play(Path(entry.place)), Receipt(reason="a packaged play"))
        return
    if entry.kind == "parquet":
        groups = (entry.first_group, entry.end_group)
        for row in read_parquet(Path(entry.place), reading.archives, *groups):
            yield row if isinstance(row, Refusal) else _read_row(row, entry, reading)
        return
    try:
        for raw in raw_books(entry, finding):
            yield from _read_raw(raw, entry, finding, reading)
    except Unreadable as error:
        yield _refusal(entry.source, error)


def words_digest(text: str) -> str:
    """SHA-256 of a text's words, folded to lower case: the same in every encoding and layout."""
    letters = looked_up(codes_of(text), _letter_of_word)
    if (letters == _SEVERAL).any():
        letters = looked_up(codes_of(text.casefold()), _letter_of_word)
    is_of_word = letters != _NO_LETTER
    ends_word = np.zeros_like(is_of_word)
    ends_word[1:] = is_of_word[:-1] & ~is_of_word[1:]
    words = np.where(is_of_word, letters, ord(" "))[is_of_word | ends_word]
    if ends_word.any() and not is_of_word[np.flatnonzero(ends_word)[-1] :].any():
        words = words[:-1]
    return sha256(words.tobytes()).hexdigest()


def _letter_of_word(character: str) -> int:
    """A letter or digit in lower case; _NO_LETTER of others, _SEVERAL of a letter such as ß."""
    folded = character.casefold()
    if len(folded) > 1:
        return _SEVERAL
    return ord(folded) if folded.isalnum() else _NO_LETTER


def _read_raw(
    raw: RawBook, entry: Entry, finding: Finding, reading: Reading
) -> Iterator[ReadBook | Refusal]:
    """The book, or those in an archive."""
    try:
        if raw.media_type != ARCHIVE:
            yield _read_one(raw, entry, reading)
            return
        for member in text_members(raw.content, reading.archives):
            source = f"{raw.source}/{member.name}"
            if isinstance(member, RefusedMember):
                yield _refusal(source, member.error)
                continue
            media_type = media_type_of(member.name, member.content)
            inner = RawBook(source, member.name, media_type, member.content)
            try:
                # An archive's own folder tells of it where it is a file.
                folder = (
                    Path(os.path.abspath(entry.place)).parent if entry.kind == "file" else Path()
                )
                known = labelled(entry, folder / member.name, finding)
                yield _read_one(inner, known, reading)
            except Unreadable as error:
                yield _refusal(source, error)
    except Unreadable as error:
        yield _refusal(raw.source, error)


def _read_one(raw: RawBook, entry: Entry, reading: Reading) -> ReadBook:
    if raw.media_type == ARCHIVE:
        raise Unreadable("It is an archive with the name of a text.", "Give it the ending .zip.")
    if raw.media_type == EPUB:
        document = read_epub(raw.content, reading.archives)
    else:
        read = {HTML: read_html, MARKDOWN: read_markdown, PLAIN_TEXT: read_text}[raw.media_type]
        document = read(raw.content, raw.charset)
    return _as_book(document, entry, reading, raw.source, escaped(Path(raw.name).stem), raw.content)


def _refusal(source: str, error: Unreadable) -> Refusal:
    return Refusal(source, "read", error.reason, error.remedy, error.offset)


def _read_row(row: ParquetRow, entry: Entry, reading: Reading) -> ReadBook | Refusal:
    document = Document(
        with_newlines(row.text),
        "utf-8",
        "Parquet's strings",
        title=row.title,
        author=row.author,
        year=row.year,
        language=row.language,
        licence=row.licence,
    )
    source = row.source or f"{entry.source}, row {row.row}"
    known = replace(entry, genre=entry.genre or row.genre)
    stem = row.book_id or row.title or f"{Path(entry.place).stem}-{row.row}"
    try:
        return _as_book(document, known, reading, source, stem, row.text.encode())
    except Unreadable as error:
        return _refusal(source, error)


def _as_book(
    document: Document, entry: Entry, reading: Reading, source: str, stem: str, raw: bytes
) -> ReadBook:
    """What is known beforehand goes before what the document says, then its header, then its
    name.

    Raises:
        Unreadable: nothing is left of it.
    """
    receipt, header = Receipt(reason="boilerplate was not looked for"), Fields()
    if reading.boilerplate is not None:
        found = boilerplate(document.text, reading.boilerplate)
        receipt, header = found.receipt, found.fields
        document = without(document, found.removals)
    num_characters = len(document.text)
    document = tidy(document, reading.layout)
    receipt = replace(
        receipt,
        page_characters=num_characters - len(document.text),
        notes_characters=document.notes_characters,
    )
    if not any(map(str.isalpha, document.text)):
        raise Unreadable(
            "It holds nothing but page numbers and the like.",
            "Give a book with a text, or change read.reading.layout.",
        )
    digest = sha256(raw).hexdigest()
    author = entry.author or document.author or header.author
    number = book_number(entry.place) if entry.kind == "gutenberg" else header.number
    book = Book(
        book_id=f"{_slug(stem)}-{digest[:12]}",
        title=escaped(
            entry.title
            or document.title
            or header.title
            or re.sub(r"[\s_-]+", " ", stem).strip()
            or stem
        ),
        author=escaped(author) if author else None,
        # Of a book of Project Gutenberg, EPUBs tell when it was put there.
        year=entry.year or (document.year if number is None else None),
        genre=escaped(entry.genre) if entry.genre else None,
        language=entry.language or document.language or header.language,
        source=escaped(source),
        licence=escaped(document.licence) if document.licence else None,
        encoding=document.encoding,
        encoding_reason=document.encoding_reason,
        sha256=digest,
        text=document.text,
        sections=document.sections or find_sections(document.text),
        gutenberg_number=number,
    )
    return ReadBook(book, receipt)


def _slug(stem: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-") or "book"
