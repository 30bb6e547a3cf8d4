"""Read the bytes of a plain text: decode them, refuse what is no text."""

from data.documents import Document, Unreadable
from data.encodings import decode


def read_text(raw: bytes, declared: str | None = None) -> Document:
    """Read the bytes of a plain text as a document: nothing removed, no sections, no names.

    The text keeps the book's own characters; only line ends and form feeds become newlines.

    Args:
        raw: the file's bytes.
        declared: the encoding its sender names, if any; see `data.encodings.decode`.

    Raises:
        Unreadable: the bytes are binary or damaged, or hold no words.
    """
    text, encoding, encoding_reason = decode(raw, declared=declared)
    if not any(map(str.isalpha, text)):
        reason = "It holds no letters." if text.strip() else "It is empty or only white space."
        raise Unreadable(reason, "Give a file with a book's text in it.")
    return Document(text, encoding, encoding_reason)
