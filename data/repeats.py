"""A book is taken once: which of the books before it a book repeats, and how."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Repeat:
    """The book that is repeated, and how: `word for word`."""

    book_id: str
    how: str


class _Taken(NamedTuple):
    book_id: str
    sha256: str
    words_sha256: str


class Repeats:
    """The books that were taken so far, by their words and by their names with their bytes."""

    def __init__(self) -> None:
        self._taken: dict[str, _Taken] = {}

    def take(self, book_id: str, sha256: str, words_sha256: str) -> Repeat | None:
        """Take a book, unless it repeats one that was taken; then, what it repeats.

        Args:
            book_id: made of the book's name and its bytes.
            sha256: of its bytes.
            words_sha256: of its words, as `data.reading.words_digest` has it.
        """
        keys = (words_sha256, book_id)
        first = next((self._taken[key] for key in keys if key in self._taken), None)
        if first is None:
            self._taken |= dict.fromkeys(keys, _Taken(book_id, sha256, words_sha256))
            return None
        how = (
            "word for word" if sha256 != first.sha256
            else "byte for byte" if words_sha256 == first.words_sha256
            else "byte for byte, in another format"
        )  # fmt: skip
        return Repeat(first.book_id, how)
