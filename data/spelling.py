"""Names that are spelled much like one that isn't there."""

import difflib
from collections.abc import Iterable


def nearest_words(word: str, vocabulary: Iterable[str], n: int = 3) -> list[str]:
    """Return up to n words of a vocabulary that are spelled much like a word, the nearest first.

    The measure is Ratcliff and Obershelp's (difflib), at least 0.6 of 1. difflib counts letters
    before it aligns them, which keeps 15,000 words under a second.
    """
    return difflib.get_close_matches(word, vocabulary, n)
