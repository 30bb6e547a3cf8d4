"""Books: sources -> what they hold, and what would be read, removed or refused.

in    the sources that a user names
does  finds and reads each of their books, as `read` would
out   for people what `bookloom books` prints; no table is written
"""

from dataclasses import asdict
from typing import Any

from data.books import Refusal
from data.languages import LanguageDetector, language_sample
from data.reading import Reading, words_digest
from data.repeats import Repeats
from data.sources import Finding
from tasks.seams.user_books import read_sources


def books(sources: list[str], finding: Finding, reading: Reading) -> dict[str, Any]:
    """`books`, each with what is known of it and its `receipt`, and `refusals`.

    Raises:
        UserMistake: a catalogue that is none, or plays that are not installed.
    """
    held: list[dict[str, Any]] = []
    refusals: list[dict[str, Any]] = []
    repeats = Repeats()
    detector = LanguageDetector()
    for item in read_sources(sources, finding, reading):
        if isinstance(item, Refusal):
            refusals.append(asdict(item))
            continue
        book = item.book
        repeat = repeats.take(book.book_id, book.sha256, words_digest(book.text))
        known = ("book_id", "title", "author", "year", "genre", "source", "licence")
        held.append(
            {
                **{name: getattr(book, name) for name in known},
                "gutenberg_number": book.gutenberg_number,
                "language": book.language or detector.detect(language_sample(book.text)),
                "encoding": book.encoding,
                "encoding_reason": book.encoding_reason,
                "num_characters": len(book.text),
                "sections": [section.heading for section in book.sections],
                "repeats": repeat.book_id if repeat else None,
                "receipt": asdict(item.receipt),
            }
        )
    return {"books": held, "refusals": refusals}
