"""The lines and paragraphs of a text, found by tables and arrays: by regular expressions and
strings they took half of the time of reading a book.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.letters import codes_of, looked_up, text_of

Places = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

_NEWLINE = ord("\n")
_GONE = 0
_AT_ONCE = 1 << 20  # characters: what arrays hold of a long text at one time


class Lines(NamedTuple):
    """A text's lines; of each, one item of every array."""

    starts: Places
    ends: Places  # where its newline stands, or the text ends
    first: Places  # its first character that is no white space; -1 where there is none
    widths: Places  # from its first to its last character that is neither white space nor a digit
    keys: list[str]  # it in lower case, without white space and digits


def find_lines(text: str) -> Lines:
    """The lines of a text, those between its newlines."""
    pieces = [_lines_of_piece(text[start:end], start) for start, end in _pieces(text)]
    columns = [np.concatenate([piece[index] for piece in pieces]) for index in range(4)]
    keys = [key for piece in pieces for key in piece.keys]
    return Lines(columns[0], columns[1], columns[2], columns[3], keys)


def paragraphs(lines: Lines) -> tuple[Places, Places]:
    """The first and the last line of each run of lines that are not blank."""
    has_text = np.concatenate([[False], lines.first >= 0, [False]])
    turns = np.flatnonzero(has_text[1:] != has_text[:-1])
    return turns[::2], turns[1::2] - 1


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Parts of whole lines; between two of them stands a newline."""
    start = 0
    while (end := text.find("\n", start + _AT_ONCE)) >= 0:
        yield start, end
        start = end + 1
    yield start, len(text)


def _lines_of_piece(piece: str, offset: int) -> Lines:
    codes = codes_of(piece)
    folded = looked_up(codes, _folded)
    newlines = np.flatnonzero(codes == _NEWLINE)
    starts = np.concatenate([[0], newlines + 1])
    ends = np.concatenate([newlines, [len(codes)]])
    first, _ = _extremes(looked_up(codes, _is_text) > 0, starts, ends)
    left, right = _extremes((folded != _GONE) & (folded != _NEWLINE), starts, ends)
    return Lines(
        starts + offset,
        ends + offset,
        np.where(first < 0, -1, first + offset),
        np.where(left < 0, 0, right - left + 1),
        text_of(folded[folded != _GONE]).split("\n"),
    )


def _folded(character: str) -> int:
    """Of a line's key; the one letter that two stand for in lower case is its first."""
    is_gone = character in "0123456789" or (character.isspace() and character != "\n")
    return _GONE if is_gone else ord(character.lower()[0])


def _is_text(character: str) -> int:
    return not character.isspace()


def _extremes(is_there: Truths, starts: Places, ends: Places) -> tuple[Places, Places]:
    """The first and the last true place from each start to its end; -1 where there is none."""
    places = np.flatnonzero(is_there)
    low, high = np.searchsorted(places, starts), np.searchsorted(places, ends)
    padded = np.append(places, -1)
    return np.where(low < high, padded[low], -1), np.where(low < high, padded[high - 1], -1)
