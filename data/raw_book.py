"""What sources hand to the readers: a book's bytes, unread, and what kind of file they are."""

from dataclasses import dataclass
from pathlib import PurePath

PLAIN_TEXT = "text/plain"
MARKDOWN = "text/markdown"
HTML = "text/html"
EPUB = "application/epub+zip"
ARCHIVE = "application/zip"

ARCHIVE_SUFFIX = ".zip"
_MEDIA_TYPES = {
    ".txt": PLAIN_TEXT,
    ".md": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".epub": EPUB,
    ARCHIVE_SUFFIX: ARCHIVE,
}
_SENT_AS = {
    "text/markdown": MARKDOWN,
    "text/html": HTML,
    "application/xhtml+xml": HTML,
    "application/epub+zip": EPUB,
    "application/zip": ARCHIVE,
    "application/x-zip-compressed": ARCHIVE,
}
SUFFIXES = tuple(_MEDIA_TYPES)
TEXT_SUFFIXES = tuple(suffix for suffix, kind in _MEDIA_TYPES.items() if kind != ARCHIVE)


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


def media_type_of(name: str, content: bytes, sent_as: str | None = None) -> str:
    """What kind of file this is: as its server says, as its name says, or as it begins.

    "text/plain" is what many servers say of all they do not know; and pages that were saved as
    .txt are pages.

    Args:
        name: the file's, with or without a suffix.
        content: its bytes.
        sent_as: the server's Content-Type, if there is one.
    """
    told = _SENT_AS.get((sent_as or "").split(";")[0].strip().lower())
    told = told or _MEDIA_TYPES.get(PurePath(name).suffix.lower(), PLAIN_TEXT)
    beginning = content[:1000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if told in (PLAIN_TEXT, ARCHIVE) and beginning.startswith(b"pk\x03\x04"):
        return EPUB if b"mimetypeapplication/epub+zip" in beginning else ARCHIVE
    if told == PLAIN_TEXT and beginning.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return HTML
    return told
