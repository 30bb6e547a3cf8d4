"""Read the bytes of an EPUB: its pages in their order, cut where its table of contents says.

    archive --package--> pages --markup--> text, a blank line between pages
               |                             |
               +------table of contents------+--> sections

Every page of the spine is read or the book is refused: a book that has lost a chapter looks whole.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from data.archives import Archive, ArchiveLimits, open_archive
from data.books import Section
from data.documents import Document, Unreadable
from data.encodings import decode
from data.epub_navigation import Navigation, read_navigation
from data.epub_package import Kind, Package, Place, read_package
from data.epub_sections import Start, sections_from
from data.headings import FRONT_MATTER
from data.markup import Effort, PageText, text_of_markup
from data.page_encoding import declared_encoding
from data.page_sections import sections_of

_FRONT_KINDS: tuple[Kind, ...] = ("cover", "contents", "title page", "copyright page")
_FRONT_WORDS = frozenset(
    {
        *("cover", "contents", "table of contents", "title", "title page", "titlepage"),
        *("copyright", "copyright page", "imprint", "half title", "half-title page"),
    }
)
_LEFT_OUT: tuple[Kind, ...] = ("contents", "notes")
_BLANK_LINE = "\n\n"
_LONGEST_HEADING = 200  # characters
_LONGEST_LISTED = 300  # of an entry in a table of contents, with a summary


@dataclass(frozen=True)
class _Page:
    """A page of the archive; `char_start` is where it begins in the book's text."""

    member: str
    content: PageText
    encoding: str
    encoding_reason: str
    is_of_notes: bool
    char_start: int = 0


def read_epub(raw: bytes, limits: ArchiveLimits) -> Document:
    """Read an EPUB 2 or 3 as a document.

    Pages of notes, those that hold the table of contents and nothing else, and those that the spine
    holds apart are left out; how many characters notes and pages apart have is counted.

    Sections are those of its table of contents, or, where that has fewer than two, those of its
    headings. A novel takes about 50 ms.

    Args:
        raw: the file's bytes.
        limits: what it may cost to unpack.

    Raises:
        Unreadable: it is no EPUB, it is encrypted or damaged, beyond a limit, or holds no text.
    """
    archive = open_archive(raw, limits)
    package = read_package(archive)
    navigation = read_navigation(archive, package)
    pages, notes_characters = _pages(archive, package, navigation)
    text = _BLANK_LINE.join(page.content.text for page in pages if page.content.text)
    if not any(map(str.isalpha, text)):
        raise Unreadable("It holds no text.", "Its pages may be pictures; give the book as text.")
    encoding, encoding_reason = _encoding(pages)
    languages = (page.content.language for page in pages if page.content.language)
    return Document(
        text=text,
        encoding=encoding,
        encoding_reason=encoding_reason,
        sections=_sections(navigation, pages, text),
        title=package.title,
        author=package.author,
        year=package.year,
        language=package.language or next(languages, None),
        licence=package.licence,
        notes_characters=notes_characters,
    )


def _pages(archive: Archive, package: Package, navigation: Navigation) -> tuple[list[_Page], int]:
    """The pages that are read; all, where most of the text is on those left out. And how many
    characters notes and pages apart have that are not read.
    """
    effort = Effort()
    pages = [_read_page(archive, member, effort) for member in package.pages]
    left_out = {
        landmark.place.member: landmark.kind
        for landmark in navigation.landmarks
        if landmark.kind in _LEFT_OUT and landmark.place.fragment is None
    }
    if package.navigation is not None:
        left_out[package.navigation] = "contents"
    for page in pages:  # a page is called so that has a preface or the first chapters below, too
        if left_out.get(page.member) == "contents" and not _is_list(page.content.text):
            del left_out[page.member]
    kept = [page for page in pages if page.member not in left_out and not page.is_of_notes]
    if _num_characters(kept) < _num_characters(pages) / 2:
        kept = pages
    read = {page.member for page in kept}
    unread = [
        page
        for page in (*pages, *_pages_apart(archive, package, effort))
        if page.member not in read and left_out.get(page.member) != "contents"
    ]
    notes_characters = _num_characters(unread) + sum(
        page.content.notes_characters for page in (*kept, *unread)
    )
    placed: list[_Page] = []
    char_start = 0
    for page in kept:
        placed.append(replace(page, char_start=char_start))
        if page.content.text:
            char_start += len(page.content.text) + len(_BLANK_LINE)
    return placed, notes_characters


def _pages_apart(archive: Archive, package: Package, effort: Effort) -> list[_Page]:
    """The pages that the spine holds apart, as far as they can be read."""
    pages = []
    for member in package.apart:
        with suppress(Unreadable):
            pages.append(_read_page(archive, member, effort))
    return pages


def _read_page(archive: Archive, member: str, effort: Effort) -> _Page:
    raw = archive.read(member)
    try:
        decoded = decode(raw, declared=declared_encoding(raw))
        content = text_of_markup(decoded.text, effort=effort)
    except Unreadable as error:
        raise Unreadable(f"The page {member!r}: {error.reason}", error.remedy) from None
    is_of_notes = _is_of_notes(content)
    return _Page(member, content, decoded.encoding, decoded.reason, is_of_notes)


def _is_list(text: str) -> bool:
    """Whether a text has lines as a table of contents has, and no paragraph."""
    return all(len(line) <= _LONGEST_LISTED for line in text.split("\n"))


def _is_of_notes(content: PageText) -> bool:
    """Whether a page has no more than headings without its notes."""
    words = "".join(heading.words for heading in content.headings)
    has_only_headings = "".join(words.split()) == "".join(content.text.split())
    return bool(words) and has_only_headings and content.notes_characters > 0


def _num_characters(pages: Sequence[_Page]) -> int:
    return sum(len(page.content.text) for page in pages)


def _encoding(pages: Sequence[_Page]) -> tuple[str, str]:
    """The encoding of most pages with words, and why they were read in it."""
    told = [(page.encoding, page.encoding_reason) for page in pages if page.content.text]
    [((encoding, reason), count)] = Counter(told).most_common(1)
    which = "each page" if count == len(told) else f"{count} of {len(told)} pages"
    return encoding, f"{which}: {reason}"


def _sections(navigation: Navigation, pages: Sequence[_Page], text: str) -> tuple[Section, ...]:
    sections = sections_from(_starts(navigation, pages, text), text)
    if sum(section.heading != FRONT_MATTER for section in sections) >= 2:
        return sections
    headings = tuple(
        replace(heading, char_start=page.char_start + heading.char_start)
        for page in pages
        for heading in page.content.headings
    )
    return sections_of(PageText(text, headings, anchors={}))


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
        # At a cover without words begins what comes after it.
        if by_member[landmark.place.member].content.text
    }
    named: set[str] = set()
    offsets: list[int | None] = []
    for entry in navigation.entries:
        offset = None
        if entry.place and entry.place.member in by_member:
            offset = _offset(entry.place, by_member)
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
    """Where a place is in the book's text.

    Some books name the middle of a heading, 'CHAPTER <a id="i"/>I': what is so near to its block's
    beginning means that.
    """
    page = pages[place.member]
    if place.fragment is None:
        return page.char_start
    offset = page.content.anchors.get(place.fragment)
    if offset is None:
        return None
    if offset < len(page.content.text):
        nearest = max(0, offset - _LONGEST_HEADING)
        before = page.content.text.rfind(_BLANK_LINE, nearest, offset)
        if before >= 0:
            offset = before + len(_BLANK_LINE)
        elif nearest == 0:
            offset = 0
    return page.char_start + offset
