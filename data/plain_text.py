"""Read a plain text file: find out its encoding, refuse what is no text, cut it into sections."""

import codecs
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from data.books import Book, Refusal, Section

SHORTEST_SECTION = 200  # characters below a heading; an entry in a table of contents has fewer
FRONT_MATTER = "front matter"

# UTF-32 first: its little-endian mark begins with UTF-16's.
_WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# C1 controls (U+0080 to U+009F) pass: they are quotation marks that someone converted wrongly in
# an otherwise good text, not a sign of a program or a picture.
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_END_OF_FILE = "\x1a"  # MS-DOS closed its texts with it

_UNREADABLE: dict[type[Exception], tuple[str, str]] = {
    FileNotFoundError: ("There is no such file.", "Check the path."),
    IsADirectoryError: ("It is a folder, not a file.", "Name a text file inside it."),
    PermissionError: ("You are not permitted to read it.", "Change its permissions."),
}

_SAVE_AS_UTF8 = "Save it as UTF-8 from a program that shows it correctly."

_GUTENBERG_FIELD = re.compile(r"^(Title|Author|Language):[ \t]*(\S.*)$", re.MULTILINE)
_LANGUAGE_CODES = {
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "italian": "it",
    "latin": "la",
    "norwegian": "no",
    "polish": "pl",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
}

_PARAGRAPH = re.compile(r"\S.*(?:\n.*\S.*)*")
_NUMBER = (
    r"(?:[0-9]+|[ivxlc]+|(?:the[ ])?(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven"
    r"|twelve|\w+teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?:-\w+)?|first|second|third|last"
    r"|(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|\w+teen|\w+tie)th))"
)
_ROMAN_NUMERAL = r"(?=[CLXVI])C{0,3}(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_HEADING = re.compile(
    rf"""
      (?:
        (?i: book|volume|part|chapter|letter|stave|canto|adventure|act|scene ) [ ] (?i:{_NUMBER}) \b
        (?! [ ]?[a-z] ) .{{0,80}}           # but not 'Part two of the plan'
      | (?i: prologue|epilogue|preface|introduction|conclusion ) (?: [.:] .{{0,80}} )?
      | {_ROMAN_NUMERAL}
        (?: [.]? | [.][ ][^a-z]{{1,80}} | [.][ ][A-Z].{{0,80}}[^\W_] )  # but not 'C. Dupin bowed.'
      )
      (?: \n [^a-z] .{{0,60}} )?            # its title on a second line
    """,
    re.VERBOSE,
)
# A part ends at the first blank line past 6,000 characters; where none comes in time, at a line's
# end, for in some files every line is a paragraph.
_PART = re.compile(r"\S(?:.{5999,11999}?\n[^\S\n]*\n|.{5999,}?\n|.*)", re.DOTALL)


class Refused(Exception):
    """A file that is not read as a book; `refusal` says why and what to do."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.source}: {refusal.reason} {refusal.remedy}")
        self.refusal = refusal


def read_plain_text(path: Path, source: str) -> Book:
    """Read a text file as a book; `source` is what its owner calls it.

    The encoding is the one of the byte-order mark, else UTF-8, else latin-1 or Windows-1252. The
    text keeps the book's own characters; only line ends and form feeds become newlines.

    Raises:
        Refused: the file can't be read, is binary or damaged, or holds no words.
    """
    # A file name need not be valid UTF-8; what tables and messages say of it must be.
    source, stem = (
        name.encode("utf-8", "backslashreplace").decode("utf-8") for name in (source, path.stem)
    )
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        reason, remedy = _UNREADABLE.get(
            type(error), (f"It can't be read: {error}.", "Copy it to another place.")
        )
        raise _refused(source, reason, remedy) from None

    text, encoding = _decode(raw, source)
    text = re.sub(r"\r\n?|\f", "\n", text.rstrip(_END_OF_FILE))
    if not any(map(str.isalpha, text)):
        reason = "It holds no letters." if text.strip() else "It is empty or only white space."
        raise _refused(source, reason, "Give a file with a book's text in it.")

    fields = _gutenberg_fields(text)
    digest = sha256(raw).hexdigest()
    return Book(
        book_id=f"{_slug(stem)}-{digest[:8]}",
        title=fields.get("Title") or re.sub(r"[\s_-]+", " ", stem).strip() or stem,
        author=fields.get("Author"),
        year=None,
        genre=None,
        language=_LANGUAGE_CODES.get(fields.get("Language", "").lower()),
        source=source,
        licence=None,
        encoding=encoding,
        encoding_reason="",
        sha256=digest,
        text=text,
        sections=find_sections(text),
    )


def find_sections(text: str) -> tuple[Section, ...]:
    """Cut a text at its headings, or, with fewer than two, into parts of about 6,000 characters.

    Every character but white space is in exactly one section, its heading included. A section of
    fewer than 200 characters goes into the next one: so a table of contents makes no sections.
    """
    chapters = _merge_short([_Start(FRONT_MATTER, 0, 0), *_headings(text)], text)
    if sum(chapter.heading != FRONT_MATTER for chapter in chapters) >= 2:
        return chapters
    parts = [
        _Start(f"part {number}", part.start(), part.start())
        for number, part in enumerate(_PART.finditer(text), start=1)
    ]
    return _merge_short(parts, text)


class _Start(NamedTuple):
    heading: str
    char_start: int
    body_start: int


def _headings(text: str) -> Iterator[_Start]:
    for paragraph in _PARAGRAPH.finditer(text):
        lines = [" ".join(line.split()) for line in paragraph[0].split("\n", 2)]
        if len(lines) < 3 and _HEADING.fullmatch("\n".join(lines)):
            yield _Start(" ".join(lines), *paragraph.span())


def _merge_short(starts: Sequence[_Start], text: str) -> tuple[Section, ...]:
    sections: list[Section] = []
    merged_from: int | None = None
    for start, next_start in pairwise([*starts, _Start("", len(text), len(text))]):
        end = next_start.char_start
        merged_from = start.char_start if merged_from is None else merged_from
        is_all_there_is = end == len(text) and not sections
        if is_all_there_is or _is_long_enough(text[start.body_start : end]):
            sections.append(_trimmed(Section(start.heading, merged_from, end), text))
            merged_from = None
    if merged_from is not None:  # nothing follows the last one
        sections[-1] = _trimmed(replace(sections[-1], char_end=len(text)), text)
    return tuple(sections)


def _is_long_enough(body: str) -> bool:
    """Whether a section's body is more than a few words and entries of a table of contents."""
    lines = (" ".join(line.split()) for line in body.split("\n"))
    prose = "\n".join(line for line in lines if not _HEADING.fullmatch(line))
    return len(prose.strip()) >= SHORTEST_SECTION


def _trimmed(section: Section, text: str) -> Section:
    inside = text[section.char_start : section.char_end]
    return replace(
        section,
        char_start=section.char_end - len(inside.lstrip()),
        char_end=section.char_start + len(inside.rstrip()),
    )


def _decode(raw: bytes, source: str) -> tuple[str, str]:
    """Return the text without byte-order mark, and its encoding."""
    for mark, encoding in _WIDE_MARKS.items():
        if raw.startswith(mark):
            try:
                text = raw[len(mark) :].decode(encoding)
            except UnicodeDecodeError as error:
                raise _damaged(source, encoding, len(mark) + error.start) from None
            if (at := _first_control_character(text)) is not None:
                raise _binary(source, text[at], len(mark) + len(text[:at].encode(encoding)))
            return text, encoding

    one_per_byte = raw.decode("latin-1")
    if (at := _first_control_character(one_per_byte)) is not None:
        raise _binary(source, one_per_byte[at], at)
    try:
        return raw.decode("utf-8").removeprefix("\ufeff"), "utf-8"
    except UnicodeDecodeError as error:
        if raw.startswith(codecs.BOM_UTF8) or _is_mostly_utf8(raw):
            raise _damaged(source, "utf-8", error.start) from None
    if not re.search(rb"[\x80-\x9f]", raw):
        return one_per_byte, "latin-1"
    try:
        return raw.decode("windows-1252"), "windows-1252"
    except UnicodeDecodeError as error:
        raise _refused(
            source,
            f"Its encoding is unknown: byte {error.start} fits neither UTF-8 nor Windows-1252.",
            _SAVE_AS_UTF8,
            error.start,
        ) from None


def _first_control_character(text: str) -> int | None:
    found = _CONTROL_CHARACTER.search(text.rstrip(_END_OF_FILE))
    return found.start() if found else None


def _is_mostly_utf8(raw: bytes) -> bool:
    """Whether more characters beyond ASCII are valid UTF-8 than bytes are not."""
    text = raw.decode("utf-8", "surrogateescape")  # a bad byte becomes one of U+DC80 to U+DCFF
    num_bad_bytes = len(re.findall("[\udc80-\udcff]", text))
    return len(re.findall("[^\x00-\x7f\udc80-\udcff]", text)) > num_bad_bytes


def _gutenberg_fields(text: str) -> dict[str, str]:
    """Return the first title, author and language that a Project Gutenberg header names."""
    beginning = "\n".join(text.split("\n", 100)[:100])
    if "project gutenberg" not in beginning.lower():
        return {}
    return {key: value.strip() for key, value in reversed(_GUTENBERG_FIELD.findall(beginning))}


def _slug(stem: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-") or "book"


def _binary(source: str, character: str, offset: int) -> Refused:
    return _refused(
        source,
        f"It is binary, not plain text: control character U+{ord(character):04X} at byte {offset}.",
        "Save it as UTF-8 plain text from the program that made it.",
        offset,
    )


def _damaged(source: str, encoding: str, offset: int) -> Refused:
    return _refused(
        source,
        f"It is damaged: byte {offset} begins no valid {encoding} character.",
        f"Fetch a whole copy of it. {_SAVE_AS_UTF8}",
        offset,
    )


def _refused(source: str, reason: str, remedy: str, offset: int | None = None) -> Refused:
    return Refused(Refusal(source, "read", reason, remedy, offset))
