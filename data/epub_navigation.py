"""The table of contents that an EPUB has for its reader's menu: EPUB 3's `nav`, or EPUB 2's NCX.

    <ol><li>Part One <ol><li>I</li>    -->    Entry(1, "Part One", ...), Entry(2, "I", ...),
        <li>II</li></ol></li></ol>            Entry(2, "II", ...)

A damaged one is read as far as it goes, for no words of the book are lost with it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from data.archives import Archive
from data.documents import Unreadable
from data.epub_package import Landmark, Package, Place, landmarks, place_of
from data.safe_xml import Element, all_named, attribute, parse_xml, words_of


class Entry(NamedTuple):
    """A line of a table of contents; `place` is None where it only names those below it."""

    level: int  # 1 is the outermost
    words: str
    place: Place | None


class Navigation(NamedTuple):
    """A book's table of contents, and what it calls its pages."""

    entries: tuple[Entry, ...]
    landmarks: tuple[Landmark, ...]


def read_navigation(archive: Archive, package: Package) -> Navigation:
    """The table of contents in EPUB 3's form where the book has it, or else in EPUB 2's.

    Lists of pages, figures and tables are none; entries without words, or whose place is not in the
    book, are left out unless others lie below them.

    Raises:
        Unreadable: it can't be unpacked, or declares entities.
    """
    entries: tuple[Entry, ...] = ()
    told = package.guide
    if package.navigation is not None and package.navigation in archive:
        root = _root(archive, package.navigation)
        navs = list(_typed_navs(root))
        entries = tuple(
            entry
            for nav in navs
            if "toc" in _types(nav)
            for entry in _listed(nav, 1, package.navigation)
        )
        told += tuple(
            landmark
            for nav in navs
            if "landmarks" in _types(nav)
            for landmark in landmarks(all_named(nav, "a"), package.navigation)
        )
    if not entries and package.ncx is not None and package.ncx in archive:
        root = _root(archive, package.ncx)
        maps = next(all_named(root, "navMap"), None)
        entries = () if maps is None else tuple(_points(maps, 1, package.ncx))
    return Navigation(entries, told)


def _root(archive: Archive, name: str) -> Element:
    return parse_xml(archive.read(name), name, forgiving=True)


def _typed_navs(element: Element) -> Iterator[Element]:
    """Those that say what they list; they may lie in others that do not."""
    for nav in all_named(element, "nav"):
        if _types(nav):
            yield nav
        else:
            for child in nav:
                yield from _typed_navs(child)


def _listed(parent: Element, level: int, base: str) -> Iterator[Entry]:
    for item in parent.iterfind("{*}ol/{*}li"):
        label = next(item.iterfind("{*}a"), None)
        if label is None:
            label = next(item.iterfind("{*}span"), None)
        below = list(_listed(item, level + 1, base))
        if label is not None:
            yield from _entry(level, words_of(label), attribute(label, "href"), base, below)
        yield from below


def _points(parent: Element, level: int, base: str) -> Iterator[Entry]:
    for point in parent.iterfind("{*}navPoint"):
        label = next(point.iterfind("{*}navLabel"), None)
        content = next(point.iterfind("{*}content"), None)
        below = list(_points(point, level + 1, base))
        href = "" if content is None else attribute(content, "src")
        words = "" if label is None else words_of(label)
        yield from _entry(level, words, href, base, below)
        yield from below


def _entry(level: int, words: str, href: str, base: str, below: list[Entry]) -> Iterator[Entry]:
    try:
        place = place_of(href, base) if href else None
    except Unreadable:
        place = None
    if words and (place or below):
        yield Entry(level, words, place)


def _types(nav: Element) -> list[str]:
    return attribute(nav, "type").split()
