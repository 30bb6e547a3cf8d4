"""What the sources that are no plain files hand to the readers: a book's bytes, not yet read."""

from dataclasses import dataclass

PLAIN_TEXT = "text/plain"
EPUB = "application/epub+zip"


@dataclass(frozen=True)
class RawBook:
    """A book's bytes and what its source tells of them.

    `source` names it again, on its own; `name` is what a file of it would be called. `charset` is
    what a server said, which need not be so.
    """

    source: str
    name: str
    media_type: str
    content: bytes
    charset: str | None = None
