"""What an EPUB says of itself: its metadata, its pages in reading order, and what each is.

    META-INF/container.xml --> the package document (.opf) --> Package

EPUB 2 (OPF 2.0.1) and EPUB 3.3 (https://www.w3.org/TR/epub-33/) are read the same way.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from data.archives import Archive
from data.documents import Unreadable
from data.safe_xml import Element, all_named, attribute, parse_xml, words_of

Kind = Literal["cover", "contents", "title page", "copyright page", "notes"]
# What `guide` (EPUB 2) and landmarks (EPUB 3) call them.
KINDS: Mapping[str, Kind] = {
    "cover": "cover",
    "toc": "contents",
    "title-page": "title page",
    "titlepage": "title page",
    "copyright-page": "copyright page",
    "notes": "notes",
    "footnotes": "notes",
    "endnotes": "notes",
    "rearnotes": "notes",
}

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_SCHEMES = {
    "META-INF/license.lcpl": "LCP of Readium",
    "META-INF/rights.xml": "ADEPT of Adobe",
    "META-INF/sinf.xml": "FairPlay of Apple",
}
# Fonts are obfuscated in books that are free; nobody reads the fonts here.
_OBFUSCATIONS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_PAGE_TYPES = (
    "application/xhtml+xml",
    "text/html",
    "application/xml",
    "text/xml",
    "text/x-oeb1-document",
    "application/x-dtbook+xml",
)
_NCX_TYPE = "application/x-dtbncx+xml"
_GET_AGAIN = "Get the book again, or give it as plain text."
_GIVE_TEXT = "Give the book as plain text."
_LATER_DATES = ("conversion", "modification")  # of the file, not of the book
_UNKNOWN_DATE = "0101-01-01"  # what Calibre writes where it knows none
_YEAR = re.compile(r"-?\d{4}")
_LANGUAGE = re.compile(r"([A-Za-z]{2})(?:[-_].*)?")


class Place(NamedTuple):
    """A page of the archive, or what has the id `fragment` there."""

    member: str
    fragment: str | None


@dataclass(frozen=True)
class Landmark:
    """What begins at a place of a book, or, without a fragment, what the page is."""

    kind: Kind
    place: Place


@dataclass(frozen=True)
class Package:
    """What an EPUB's package document tells; members are named by their paths in the archive.

    `pages` are those of the spine that are read one after the other, `apart` those that it holds
    apart (`linear="no"`), as far as there are such. `navigation` is EPUB 3's document of it, `ncx`
    EPUB 2's.
    """

    title: str | None
    author: str | None
    year: int | None
    language: str | None  # two-letter code
    licence: str | None
    pages: tuple[str, ...]
    apart: tuple[str, ...]
    navigation: str | None
    ncx: str | None
    guide: tuple[Landmark, ...]


class _Item(NamedTuple):
    href: str
    media_type: str
    properties: str


def read_package(archive: Archive) -> Package:
    """Read the package document of an EPUB.

    Pictures are left out; a page that the spine has twice is read once.

    Raises:
        Unreadable: it is no EPUB, it is encrypted, or its spine names no page that is in it.
    """
    if _CONTAINER not in archive:
        raise Unreadable(
            f"It is no EPUB: the archive holds no {_CONTAINER}.",
            "Check that it is the file you mean; an archive of texts has the ending .zip.",
        )
    _refuse_encrypted(archive)
    path = _package_path(parse_xml(archive.read(_CONTAINER), _CONTAINER))
    package = parse_xml(archive.read(path), path)
    items = {
        attribute(item, "id"): _Item(
            attribute(item, "href"), attribute(item, "media-type"), attribute(item, "properties")
        )
        for item in all_named(package, "item")
    }
    pages = _pages(package, items, path, archive)
    navigation = next((item for item in items.values() if "nav" in item.properties.split()), None)
    return Package(
        title=_first(package, "title"),
        author=_author(package),
        year=_year(package),
        language=_language(package),
        licence=_first(package, "rights"),
        pages=pages,
        apart=tuple(one for one in _apart(package, items, path, archive) if one not in pages),
        navigation=navigation and place_of(navigation.href, path).member,
        ncx=_ncx(package, items, path),
        guide=landmarks(all_named(package, "reference"), path),
    )


def place_of(href: str, base: str) -> Place:
    """Where a reference on the page `base` leads.

    Raises:
        Unreadable: out of the archive.
    """
    try:
        parts = urlsplit(href)
    except ValueError:
        raise Unreadable(f"{base!r} names {href!r}, which is no address.", _GET_AGAIN) from None
    if parts.scheme or parts.netloc:
        raise Unreadable(
            f"{base!r} names {href!r}, which is not in the book; nothing is fetched.", _GIVE_TEXT
        )
    path = unquote(parts.path)
    member = posixpath.normpath(posixpath.join(posixpath.dirname(base), path)) if path else base
    if member.startswith(("/", "../")) or member in (".", ".."):
        raise Unreadable(f"{base!r} names {href!r}, which leads out of the archive.", _GIVE_TEXT)
    return Place(member, unquote(parts.fragment) or None)


def landmarks(references: Iterable[Element], base: str) -> tuple[Landmark, ...]:
    """What references of `guide` or of EPUB 3's landmarks tell; those out of the book, nothing."""
    found = []
    for reference in references:
        kinds = [KINDS[one] for one in attribute(reference, "type").lower().split() if one in KINDS]
        if kinds:
            try:
                found.append(Landmark(kinds[0], place_of(attribute(reference, "href"), base)))
            except Unreadable:
                continue
    return tuple(found)


def _refuse_encrypted(archive: Archive) -> None:
    if _ENCRYPTION not in archive:
        return
    encrypted = [
        [attribute(reference, "URI") for reference in all_named(data, "CipherReference")]
        for data in all_named(parse_xml(archive.read(_ENCRYPTION), _ENCRYPTION), "EncryptedData")
        if not any(
            attribute(method, "Algorithm") in _OBFUSCATIONS
            for method in all_named(data, "EncryptionMethod")
        )
    ]
    if not encrypted:
        return
    schemes = [scheme for path, scheme in _SCHEMES.items() if path in archive]
    scheme = schemes[0] if schemes else "by a scheme that it does not name"
    first = next((uri for uris in encrypted for uri in uris), _ENCRYPTION)
    raise Unreadable(
        f"It is encrypted ({scheme}): {len(encrypted)} of its members, {first!r} first.",
        "Ask its publisher for a copy without protection.",
    )


def _package_path(container: Element) -> str:
    paths = [
        (attribute(rootfile, "media-type") != "application/oebps-package+xml", path)
        for rootfile in all_named(container, "rootfile")
        if (path := attribute(rootfile, "full-path"))
    ]
    if not paths:
        raise Unreadable(f"{_CONTAINER!r} names no package document.", _GET_AGAIN)
    return min(paths, key=lambda one: one[0])[1]


def _pages(
    package: Element, items: Mapping[str, _Item], path: str, archive: Archive
) -> tuple[str, ...]:
    pages: dict[str, None] = {}
    for itemref in all_named(package, "itemref"):
        item_id = attribute(itemref, "idref")
        if attribute(itemref, "linear").lower() == "no":
            continue
        if item_id not in items:
            raise Unreadable(
                f"The spine of {path!r} names {item_id!r}, which its manifest lacks.", _GET_AGAIN
            )
        item = items[item_id]
        member = place_of(item.href, path).member
        if item.media_type.startswith("image/"):
            continue
        if item.media_type not in _PAGE_TYPES:
            raise Unreadable(
                f"The page {member!r} is of the type {item.media_type!r}, which is not read.",
                _GIVE_TEXT,
            )
        if member not in archive:
            raise Unreadable(f"The page {member!r} is missing in the archive.", _GET_AGAIN)
        pages[member] = None
    if not pages:
        raise Unreadable(f"The spine of {path!r} names no pages of text.", _GIVE_TEXT)
    return tuple(pages)


def _apart(
    package: Element, items: Mapping[str, _Item], path: str, archive: Archive
) -> dict[str, None]:
    """The pages with `linear="no"`, in order; nothing is refused for what they are."""
    apart: dict[str, None] = {}
    for itemref in all_named(package, "itemref"):
        item = items.get(attribute(itemref, "idref"))
        if attribute(itemref, "linear").lower() != "no" or item is None:
            continue
        with suppress(Unreadable):
            member = place_of(item.href, path).member
            if item.media_type in _PAGE_TYPES and member in archive:
                apart[member] = None
    return apart


def _ncx(package: Element, items: Mapping[str, _Item], path: str) -> str | None:
    """What the spine names as such, or has the type of it."""
    named = [attribute(spine, "toc") for spine in all_named(package, "spine")]
    found = [items[one] for one in named if one in items]
    found += [item for item in items.values() if item.media_type == _NCX_TYPE]
    return place_of(found[0].href, path).member if found else None


def _first(package: Element, name: str) -> str | None:
    """The first Dublin Core element of a name that has words."""
    return next(filter(None, map(words_of, all_named(package, name))), None)


def _author(package: Element) -> str | None:
    """The first creator whose role is author, or else the first."""
    roles = {
        attribute(meta, "refines").removeprefix("#"): words_of(meta)
        for meta in all_named(package, "meta")
        if attribute(meta, "property") == "role"
    }
    creators = [
        (attribute(creator, "role") or roles.get(attribute(creator, "id")), words_of(creator))
        for creator in all_named(package, "creator")
        if words_of(creator)
    ]
    authors = [words for role, words in creators if role == "aut"]
    return next(iter([*authors, *(words for _, words in creators)]), None)


def _year(package: Element) -> int | None:
    for date in all_named(package, "date"):
        words = words_of(date)
        found = None if words.startswith(_UNKNOWN_DATE) else _YEAR.match(words)
        if found and attribute(date, "event") not in _LATER_DATES:
            return int(found[0])
    return None


def _language(package: Element) -> str | None:
    found = _LANGUAGE.fullmatch(_first(package, "language") or "")
    return found[1].lower() if found else None
