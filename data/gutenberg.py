"""What Project Gutenberg added to a book, since 1991, and what its header says of the book.

A text that would lose too much is kept whole: a receipt tells what was taken, or why nothing was.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pydantic import Field

from data.documents import Removal, merged
from data.gutenberg_marks import (
    FIELD,
    SIGN,
    ZONE,
    credits_below,
    find_footer,
    find_header,
    illustrations,
    notes,
    notices,
    parts_of_footer,
    parts_of_header,
    with_its_lines,
)
from data.settings import Settings

_NUMBER = re.compile(r"\[e-?(?:text|book) ?#[ ]?(\d{1,9})\]", re.IGNORECASE)
# 'The Project Gutenberg Etext of Moby Dick, by Herman Melville', where no field says it
_FIRST_LINE = re.compile(
    r"^\W{0,12}(?:this is )?(?:the )?project gutenberg(?:['’]s| e-?(?:text|book),? of) "
    r"(?P<title>[^*\n]{1,120}?)(?:,? by (?P<author>[^*,\n]{1,60}))?[* ]*$",
    re.IGNORECASE | re.MULTILINE,
)
_LANGUAGE_CODES = {
    "catalan": "ca",
    "chinese": "zh",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "esperanto": "eo",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hungarian": "hu",
    "italian": "it",
    "japanese": "ja",
    "latin": "la",
    "norwegian": "no",
    "polish": "pl",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
    "tagalog": "tl",
}


class BoilerplateSettings(Settings):
    """What of Project Gutenberg's goes, and when a text is rather kept as it is."""

    most_share_removed: float = Field(0.3, ge=0, le=1)
    """A text that would lose more is kept whole, unless what goes is few characters."""
    few_characters: int = Field(35_000, ge=0)
    """This much may always go: an old header and a licence, more than many a story has."""
    least_characters: int = Field(2_000, ge=0)
    """A text of which fewer characters would stay is kept whole."""
    remove_illustrations: bool = True
    """Take out '[Illustration: caption]', the place of a picture in the printed book."""
    remove_notes: bool = True
    """Take out the notes of whoever transcribed the book."""


@dataclass(frozen=True)
class Fields:
    """What a header says of its book; None where it does not."""

    title: str | None = None
    author: str | None = None
    language: str | None = None  # two-letter code
    number: int | None = None  # in Project Gutenberg's catalogue


@dataclass(frozen=True)
class Receipt:
    """What was taken from a text.

    Attributes:
        head_characters: taken before the first word that stays.
        tail_characters: taken after the last word that stays.
        inside_characters: taken between them.
        page_characters: taken then as the printed page's: its numbers, running heads, hyphens.
        notes_characters: left out before, as footnotes, endnotes and pages that an EPUB holds
            apart; not in `share_removed`.
        start_marker: the line that the header ends with, as far as one was found.
        end_marker: the line that the footer begins with, likewise.
        share_removed: from 0 to 1, of what was Project Gutenberg's.
        kept_whole: whether something was found, and left in for the reason given.
        reason: why this much was taken, or nothing, as a person would say it.
    """

    head_characters: int = 0
    tail_characters: int = 0
    inside_characters: int = 0
    page_characters: int = 0
    notes_characters: int = 0
    start_marker: str | None = None
    end_marker: str | None = None
    share_removed: float = 0.0
    kept_whole: bool = False
    reason: str = "no sign of Project Gutenberg"


@dataclass(frozen=True)
class Boilerplate:
    """What of a text is not the book, what it says of the book, and a receipt."""

    removals: tuple[Removal, ...]
    fields: Fields
    receipt: Receipt


def boilerplate(text: str, settings: BoilerplateSettings) -> Boilerplate:
    """Find what Project Gutenberg added to a book; nothing, at once, in a text without its name.

    Removals are of the kinds header, small print, credits, transcriber's note, illustration,
    footer and licence, in their order.

    Args:
        text: a whole text, newlines its only line ends.
        settings: what may go.
    """
    if not (SIGN.search(text[:ZONE]) or SIGN.search(text[-ZONE:])):
        return Boilerplate((), Fields(), Receipt())
    fields = header_fields(text)
    head_end, start_marker = find_header(text)
    tail_start, end_marker = find_footer(text, head_end)
    if head_end == 0 and tail_start == len(text):
        return Boilerplate((), fields, Receipt(reason="named, but with no header or footer"))

    found = [*parts_of_header(text, head_end), *parts_of_footer(text, tail_start), *notices(text)]
    if head_end > 0:
        found += credits_below(text, head_end, tail_start)
    if settings.remove_notes:
        found += notes(text, head_end, tail_start)
    if settings.remove_illustrations:
        found += illustrations(text, head_end, tail_start)
    removals = _ordered(with_its_lines(text, one) for one in found if one.start < one.end)
    receipt = _receipt(text, merged(removals), settings)
    receipt = replace(receipt, start_marker=start_marker, end_marker=end_marker)
    return Boilerplate(() if receipt.kept_whole else removals, fields, receipt)


def header_fields(text: str) -> Fields:
    """What the first 100 lines say of the book, if they name Project Gutenberg.

    A field counts where it comes first; it may go on over indented lines. Headers of the 1990s
    have no fields, but a first line with the title and the author.
    """
    beginning = "\n".join(text[:ZONE].split("\n", 100)[:100])
    if not SIGN.search(beginning):
        return Fields()
    fields = reversed(FIELD.findall(beginning))
    named = {key.lower(): " ".join(value.split()) for key, value in fields}
    first_line = _FIRST_LINE.search(beginning)
    number = _NUMBER.search(beginning)
    title, author = first_line.group("title", "author") if first_line else (None, None)
    return Fields(
        title=named.get("title", title),
        author=named.get("author", author),
        language=_LANGUAGE_CODES.get(named.get("language", "").lower()),
        number=int(number[1]) if number else None,
    )


def _ordered(removals: Iterable[Removal]) -> tuple[Removal, ...]:
    return tuple(sorted(removals, key=lambda one: (one.start, one.end)))


def _receipt(text: str, spans: Sequence[tuple[int, int]], settings: BoilerplateSettings) -> Receipt:
    removed = sum(end - start for start, end in spans)
    stays, share = len(text) - removed, removed / len(text)
    if stays < settings.least_characters:
        too_little = f"only {stays:,} of {len(text):,} characters would stay"
        return Receipt(kept_whole=True, reason=f"{too_little}; {settings.least_characters:,} must")
    if removed > settings.few_characters and share > settings.most_share_removed:
        too_much = f"{removed:,} of {len(text):,} characters would go, {share:.0%} of them"
        return Receipt(kept_whole=True, reason=f"{too_much}; {settings.most_share_removed:.0%} may")
    head = tail = position = 0
    for start, end in spans:
        if text[position:start].strip():
            break
        head, position = head + end - start, end
    position = len(text)
    for start, end in reversed(spans):
        if text[end:position].strip():
            break
        tail, position = tail + end - start, start
    return Receipt(
        head_characters=head,
        tail_characters=tail,
        inside_characters=removed - head - tail,
        share_removed=share,
        reason="what was found was taken out",
    )
