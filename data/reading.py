"""Reading: an entry of a source becomes books, or refusals with their reasons."""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from data.books import Book, Refusal
from data.plain_text import Refused, read_plain_text
from data.plays import read_play
from data.sources import Entry

_WORD = re.compile(r"[^\W_]+")


def read_entry(entry: Entry) -> Iterator[Book | Refusal]:
    """Yield the books that an entry holds, and refusals of what is none."""
    if entry.kind == "play":
        yield read_play(Path(entry.place))
        return
    try:
        yield read_plain_text(Path(entry.place), entry.source)
    except Refused as refused:
        yield refused.refusal


def words_digest(text: str) -> str:
    """SHA-256 of a text's words, folded to lower case: the same in every encoding and layout."""
    total = sha256()
    for match in _WORD.finditer(text.casefold()):
        total.update(match[0].encode() + b" ")
    return total.hexdigest()
