"""XML from strangers: no entities of its own, no files or addresses looked up, of bounded depth.

lxml with these options reads 1 MB in some 20 ms. Names are matched without their namespaces, for
old books have several of each.
"""

import re
from collections.abc import Iterator
from html.entities import name2codepoint
from typing import Any

from lxml import etree

from data.documents import Unreadable

Element = Any  # lxml has no types

_DAMAGED = "Get the book again, or give it as plain text."
_CHARACTER_NAME = re.compile(rb"&([A-Za-z][A-Za-z0-9]{1,7});")
_XML_NAMES = (b"amp", b"lt", b"gt", b"quot", b"apos")


def parse_xml(raw: bytes, name: str, *, forgiving: bool = False) -> Element:
    """Parse a document; HTML's names of characters, `&eacute;`, are known though XML lacks them.

    Args:
        raw: the document.
        name: what it is called, for messages.
        forgiving: read what can be read of a damaged document.

    Raises:
        Unreadable: it declares entities, which can expand to gigabytes and which no book needs, or
            it is not well-formed.
    """
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        recover=forgiving,
    )
    try:
        root = etree.fromstring(_CHARACTER_NAME.sub(_as_number, raw), parser)
    except (etree.LxmlError, ValueError) as error:
        if b"<!ENTITY" in raw:
            raise _declares_entities(name) from None
        # What libxml2 says of some faults ends in a line end.
        reason = " ".join(str(error).split())
        raise Unreadable(f"{name!r} is no well-formed XML: {reason}.", _DAMAGED) from None
    if root is None:
        raise Unreadable(f"{name!r} is no XML.", _DAMAGED)
    declarations = root.getroottree().docinfo.internalDTD
    if declarations is not None and any(True for _ in declarations.iterentities()):
        raise _declares_entities(name)
    return root


def all_named(element: Element, *names: str) -> Iterator[Element]:
    """The element, where it has one of the names, or those of them inside it, in order.

    Not those inside one of them, whose words would be read once for each.
    """
    walk = etree.iterwalk(element, events=("start",), tag=[f"{{*}}{name}" for name in names])
    for _, found in walk:
        walk.skip_subtree()
        yield found


def attribute(element: Element, name: str) -> str:
    """An attribute by its name, in whichever namespace; empty where it is missing."""
    for key, value in element.items():
        if key.rpartition("}")[2] == name:
            return str(value).strip()
    return ""


def words_of(element: Element) -> str:
    """An element's words on one line."""
    return " ".join("".join(element.itertext()).split())


def _as_number(found: re.Match[bytes]) -> bytes:
    code = name2codepoint.get(found[1].decode())
    return found[0] if code is None or found[1] in _XML_NAMES else b"&#%d;" % code


def _declares_entities(name: str) -> Unreadable:
    return Unreadable(
        f"{name!r} declares entities, which can expand without end.",
        "If you trust it, give the book as plain text.",
    )
