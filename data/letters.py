"""A text's characters as numbers, and what each stands for by a table: half of the time of folding
a whole text beyond ASCII, and arrays can go on from there.
"""

import sys
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint32] | npt.NDArray[np.uint8]
Meanings = npt.NDArray[np.uint32]


def codes_of(text: str) -> Codes:
    """The code point of each character, in one byte where the text is ASCII, else in four."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def text_of(codes: Meanings) -> str:
    """The text of code points, four bytes each."""
    return codes.tobytes().decode("utf-32-le", "surrogatepass")


def looked_up(codes: Codes, meaning: Callable[[str], int]) -> Meanings:
    """What each character means; `meaning` is asked once of every character there may be."""
    return _table(meaning, int(codes.max(initial=0)).bit_length())[codes]


@cache
def _table(meaning: Callable[[str], int], num_bits: int) -> Meanings:
    """Of all characters of so many bits: few books need the million that there are."""
    last = min((1 << num_bits) - 1, sys.maxunicode)
    return np.array([meaning(chr(code)) for code in range(last + 1)], dtype=np.uint32)
