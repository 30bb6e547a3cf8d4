"""Read the bytes of an EPUB: its pages in their order, cut where its table of contents says.

    archive --package--> pages --html_text--> text, blank lines between pages
               |                                |
               +-----table of contents----------+--> sections

Every page of the spine is read or the book is refused: a book with a chapter lost looks whole.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.archives import Archive, ArchiveLimits, open_archive
from data.documents import Document, Unreadable
from data.epub_navigation import Navigation, read_navigation
from data.epub_package import Kind, Package, Place, read_package
from data.epub_sections import Start, sections_from
from data.html_text import PageText, page_text

_FRONT_KINDS: tuple[Kind, ...] = ("cover", "contents", "title page", "copyright page")
_FRONT_WORDS = frozenset(
    {
        *("cover", "contents", "table of contents", "title", "title page", "titlepage"),
        *("copyright", "copyright page", "imprint", "colophon", "half title", "half-title page"),
    }
)
_LEFT_OUT: tuple[Kind, ...] = ("contents", "notes")
_BLANK_LINE = "\n\n"
_WHITE_SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class _Page:
    """A page of the archive; `char_start` is where it begins in the book's text."""

    member: str
    char_start: int
    content: PageText


def read_epub(raw: bytes, limits: ArchiveLimits) -> Document:
    """Read an EPUB 2 or 3 as a document; pages of notes and of the table of contents are left out.

    Sections are those of its table of contents, or, where it has fewer than two, what its headings
    tell.

    Args:
        raw: the file's bytes.
        limits: what it may cost to unpack.

    Raises:
        Unreadable: it is no EPUB, it is encrypted or damaged, beyond a limit, or holds no text.
    """
    archive = open_archive(raw, limits)
    package = read_package(archive)
    navigation = read_navigation(archive, package)
    pages = _read_pages(archive, package, navigation)
    text = "".join(page.content.text + _BLANK_LINE for page in pages if page.content.text).rstrip()
    if not any(map(str.isalpha, text)):
        raise Unreadable("It holds no text.", "Its pages may be pictures; give the book as text.")
    sections = sections_from(_starts(navigation, pages, text), text)
    return Document(
        text=text,
        encoding="utf-8",
        encoding_reason="",
        sections=sections,
        title=package.title,
        author=package.author,
        year=package.year,
        language=package.language,
        licence=package.licence,
    )


def _read_pages(archive: Archive, package: Package, navigation: Navigation) -> list[_Page]:
    """Every page but those left out, which are read too where most of the text is on them."""
    contents = {member: _page_text(archive, member) for member in package.pages}
    left_out = {
        landmark.place.member
        for landmark in navigation.landmarks
        if landmark.kind in _LEFT_OUT and landmark.place.fragment is None
    }
    left_out.add(package.navigation or "")
    num_left = sum(len(page.text) for member, page in contents.items() if member in left_out)
    if num_left > sum(len(page.text) for page in contents.values()) / 2:
        left_out = set()
    pages: list[_Page] = []
    length = 0
    for member, content in contents.items():
        if member not in left_out:
            pages.append(_Page(member, length, content))
            length += len(content.text) + len(_BLANK_LINE) if content.text else 0
    return pages


def _page_text(archive: Archive, member: str) -> PageText:
    try:
        return page_text(archive.read(member))
    except Unreadable as error:
        raise Unreadable(f"The page {member!r}: {error.reason}", error.remedy) from None


def _starts(navigation: Navigation, pages: Sequence[_Page], text: str) -> list[Start]:
    """Where the entries of the table of contents begin; one without a place, where the next does.

    An entry whose page lacks the named place begins with the page, unless an entry before it named
    the page.
    """
    by_member = {page.member: page for page in pages}
    fronts = {
        _offset(landmark.place, by_member)
        for landmark in navigation.landmarks
        if landmark.kind in _FRONT_KINDS and landmark.place.member in by_member
        if by_member[landmark.place.member].content.text
    }
    named: set[str] = set()
    offsets: list[int | None] = []
    for entry in navigation.entries:
        offset = entry.place and _offset(entry.place, by_member)
        if entry.place and entry.place.member in by_member:
            if offset is None and entry.place.member not in named:
                offset = by_member[entry.place.member].char_start
            named.add(entry.place.member)
        offsets.append(offset)
    starts: list[Start] = []
    for entry, offset in reversed(list(zip(navigation.entries, offsets, strict=True))):
        if offset is None and starts and starts[-1].level > entry.level:
            offset = starts[-1].char_start
        if offset is not None:
            is_front = offset in fronts or entry.words.casefold() in _FRONT_WORDS
            starts.append(Start(entry.level, entry.words, min(offset, len(text)), is_front))
    return starts[::-1]


def _offset(place: Place, pages: Mapping[str, _Page]) -> int | None:
    """Where a place is in the book's text: at the beginning of a block."""
    page = pages.get(place.member)
    if page is None:
        return None
    if place.fragment is None:
        return page.char_start
    if place.fragment not in page.content.anchors:
        return None
    return page.char_start + _block_start(page.content.text, page.content.anchors[place.fragment])


def _block_start(text: str, offset: int) -> int:
    """Of the block that an offset is in; the next one's, where only white space is before that."""
    white = _WHITE_SPACE.match(text, offset)
    if white and (white.end() == len(text) or _BLANK_LINE in white[0]):
        return white.end()
    before = text.rfind(_BLANK_LINE, 0, offset)
    return 0 if before < 0 else before + len(_BLANK_LINE)
