"""Which elements of a page a reader does not see, or does not read as part of the text."""

import re
from collections.abc import Mapping

_HIDING_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_UNREAD_TAGS = (
    "annotation annotation-xml audio button canvas datalist embed iframe input meter noembed"
    " noframes noscript object progress rp rt rtc script select style svg template textarea title"
    " video"
)
_HIDDEN_TAGS = frozenset(_UNREAD_TAGS.split())
_HIDDEN_TYPES = frozenset({"noteref", "backlink", "pagebreak"})
_HIDDEN_CLASSES = frozenset(
    {"fnanchor", "noteref", "footnote-ref", "pagenum", "pageno", "pagenumber", "page-number"}
)
_NOTES = frozenset({"footnote", "footnotes", "endnote", "endnotes", "rearnote", "rearnotes"})


def is_navigation(tag: str, attributes: Mapping[str, str]) -> bool:
    """Whether an element leads to other pages, or about this one."""
    return tag == "nav" or ("role" in attributes and "navigation" in tokens(attributes, "role"))


def is_hidden(tag: str, attributes: Mapping[str, str]) -> bool:
    """Whether an element is hidden, a script, a form's, a picture, a page number or a note's mark.

    A whole page that is hidden is one that a script is to show.
    """
    if tag in _HIDDEN_TAGS:
        return True
    if not attributes or tag in ("html", "body"):
        return False
    if "hidden" in attributes or attributes.get("aria-hidden", "").lower() == "true":
        return True
    if "style" in attributes and _HIDING_STYLE.search(attributes["style"]):
        return True
    is_of_type = not _HIDDEN_TYPES.isdisjoint(_types(attributes))
    return is_of_type or not _HIDDEN_CLASSES.isdisjoint(tokens(attributes, "class"))


def is_note(attributes: Mapping[str, str]) -> bool:
    """Whether an element holds footnotes or endnotes, or is one."""
    if not attributes:
        return False
    return not _NOTES.isdisjoint(_types(attributes) | tokens(attributes, "class"))


def tokens(attributes: Mapping[str, str], name: str) -> set[str]:
    """The words of an attribute that holds several, in lower case."""
    return set(attributes.get(name, "").lower().split())


def _types(attributes: Mapping[str, str]) -> set[str]:
    """What an element is in EPUB's words, which ARIA's roles repeat."""
    roles = {role.removeprefix("doc-") for role in tokens(attributes, "role")}
    return roles | tokens(attributes, "epub:type")
