"""Read a page of HTML or XHTML: decode it, take its text, cut it at its headings."""

import re

from data.documents import Document, Unreadable
from data.encodings import Decoded, decode
from data.markup import PageText, text_of_markup
from data.page_encoding import declared_encoding
from data.page_sections import sections_of

# 'The Project Gutenberg eBook of Emma, by Jane Austen', 'Emma | Project Gutenberg'
_TITLE = re.compile(
    r"(?:(?:the )?project gutenberg(?:['’]s)? (?:e-?(?:book|text),? (?:of )?)?)?(?P<title>.+?)"
    r"(?:, by (?P<author>[^|]+?))?(?: \| project gutenberg)?",
    re.IGNORECASE,
)
_LONGEST_TITLE = 300  # characters; a longer one is kept as it is


def read_html(raw: bytes, charset: str | None = None) -> Document:
    """Read a whole book that is one page; see `data.markup` for what of it is text.

    Args:
        raw: the file's bytes.
        charset: the encoding that a server names, if any; it goes before what the page declares.

    Raises:
        Unreadable: the page is binary, damaged or over a limit, or holds no text.
    """
    decoded = decode(raw, declared=declared_encoding(raw, charset))
    return as_document(text_of_markup(decoded.text), decoded)


def as_document(page: PageText, decoded: Decoded) -> Document:
    """A page that is a whole book, with its sections.

    Raises:
        Unreadable: it holds no letters.
    """
    if not any(map(str.isalpha, page.text)):
        raise Unreadable(
            "It holds no text.",
            "Give a page with a book's text in it; one that a script fills in is empty as a file.",
        )
    title, author = page.title or _only_first_heading(page), page.author
    if title and len(title) <= _LONGEST_TITLE and (found := _TITLE.fullmatch(title)):
        title, author = found["title"], author or found["author"]
    return Document(
        page.text,
        decoded.encoding,
        decoded.reason,
        sections=sections_of(page),
        title=title,
        author=author,
        language=page.language,
        notes_characters=page.notes_characters,
    )


def _only_first_heading(page: PageText) -> str | None:
    """The book's title where one heading stands above all others."""
    highest = [one.words for one in page.headings if one.level == 1]
    is_first = bool(highest) and page.headings[0].words == highest[0]
    return highest[0] if is_first and len(highest) == 1 else None
