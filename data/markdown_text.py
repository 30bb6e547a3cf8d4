"""Read a text in Markdown: its front matter as what it says of itself, the rest as a page.

markdown-it renders CommonMark and tables to HTML, of which `data.markup` makes text: 1.5 s a
megabyte. It costs at most 60 µs a line, again at each level of quotations and lists, 20 µs a
character that may open emphasis, 100 µs one that may open a link, 5 µs one that may be a tag, an
entity or an escape, and half a microsecond any other. A quotation is parsed again for every line
that continues it without '>': quadratic, 3 µs a pair of lines at each level. The sum is an upper
bound, twice the time of lists of single words. A text of which it is 8 s, and more than a megabyte
of any book takes, is refused.
"""

import re
from dataclasses import replace
from typing import NamedTuple

import yaml
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from data.documents import Document, Unreadable
from data.encodings import decode
from data.html_text import as_document
from data.markup import text_of_markup

MOST_SECONDS = 8.0
MOST_SECONDS_A_MEGABYTE = 4.0  # plays: 2.9

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.{0,20000}?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")  # which YAML's strings may escape
_YEAR = re.compile(r"\b\d{4}\b")
_LANGUAGE = re.compile(r"([A-Za-z]{2})(?:[-_]|$)")
_MARK = re.compile(r"[*_]")
_SIGN = re.compile(r"[<&\\\]!]")
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n")
_BEGINNING_OF_LINE = re.compile(r"^[ \t>*+.)\d-]*", re.MULTILINE)
_ITEM = re.compile(r"[-*+] ")
_DEEPEST_LEVEL = 100  # of blocks in blocks
_DEEPEST_INLINE = 20  # of emphasis and links in one another; what is deeper is text
_REMEDY = "Split it into several files, or name it .txt to have it read as plain text."


class _Named(NamedTuple):
    """What front matter says, and the text below it."""

    text: str
    title: str | None = None
    author: str | None = None
    year: int | None = None
    language: str | None = None
    licence: str | None = None


def read_markdown(raw: bytes, charset: str | None = None) -> Document:
    """Read a whole book in CommonMark, with tables and inline HTML.

    Front matter in YAML tells title, author, date, language and licence; what is no valid YAML is
    text.

    Args:
        raw: the file's bytes.
        charset: the encoding that a server names, if any.

    Raises:
        Unreadable: it is binary, damaged or over a limit, or holds no text.
    """
    decoded = decode(raw, declared=charset)
    named = _named(decoded.text)
    _refuse_slow(named.text)
    document = as_document(text_of_markup(_rendered(named.text)), decoded)
    return replace(
        document,
        title=named.title or document.title,
        author=named.author or document.author,
        year=named.year,
        language=named.language,
        licence=named.licence,
    )


def _rendered(text: str) -> str:
    """A text as HTML.

    In two passes, for blocks may lie deep, while each bracket that is not closed is tried again at
    every level of what lies within a line.
    """
    references: dict[str, object] = {}
    parser = MarkdownIt("commonmark", {"maxNesting": _DEEPEST_LEVEL}).enable("table")
    blocks: list[Token] = parser.disable(["inline", "text_join"]).parse(text, references)
    # The parser leaves out what is deeper without a word.
    if any(block.level >= _DEEPEST_LEVEL - 1 for block in blocks):
        raise Unreadable(f"Its blocks lie more than {_DEEPEST_LEVEL - 1} deep.", _REMEDY)
    parser = MarkdownIt("commonmark", {"maxNesting": _DEEPEST_INLINE})
    parser.disable(["normalize", "block"])
    parser.core.process(StateCore(text, parser, references, blocks))
    return str(parser.renderer.render(blocks, parser.options, references))


def _named(text: str) -> _Named:
    found = _FRONT_MATTER.match(text)
    if found is None:
        return _Named(text)
    try:
        # Every value a string: no dates that are none, and no merge keys, which may multiply.
        values = yaml.load(found[1], Loader=yaml.BaseLoader)
    # Its escapes may name what is no character, its version have more digits than a number may.
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError):
        return _Named(text)
    if not isinstance(values, dict):
        return _Named(text)
    year = _YEAR.search(_value(values, "date", "year") or "")
    language = _LANGUAGE.match(_value(values, "lang", "language") or "")
    return _Named(
        text[found.end() :],
        title=_value(values, "title"),
        author=_value(values, "author", "authors", "creator"),
        year=int(year[0]) if year else None,
        language=language[1].lower() if language else None,
        licence=_value(values, "licence", "license", "rights"),
    )


def _value(values: dict[object, object], *keys: str) -> str | None:
    """The first of the keys that has a string, or a list of strings."""
    for key in keys:
        value = values.get(key)
        several = value if isinstance(value, list) else [value]
        words = [" ".join(_UNSEEN.sub(" ", one).split()) for one in several if isinstance(one, str)]
        if any(words):
            return ", ".join(filter(None, words))
    return None


def _refuse_slow(text: str) -> None:
    num_lines = num_pairs = 0  # of lines without '>' and with it in one block; at all levels
    for block in _BLANK_LINES.split(text):
        beginnings = _BEGINNING_OF_LINE.findall(block)
        levels = [beginning.count(">") for beginning in beginnings]
        num_quoted = sum(level > 0 for level in levels)
        num_lines += len(levels) + sum(levels) + len(_ITEM.findall("".join(beginnings)))
        num_pairs += num_quoted * (len(levels) - num_quoted) * max(levels)
    seconds = (
        60e-6 * num_lines
        + 20e-6 * len(_MARK.findall(text))
        + 100e-6 * text.count("[")
        + 5e-6 * len(_SIGN.findall(text))
        + 3e-6 * num_pairs
        + 0.5e-6 * len(text)
    )
    allowed = max(MOST_SECONDS, MOST_SECONDS_A_MEGABYTE * len(text) / 1e6)
    if seconds > allowed:
        raise Unreadable(
            f"As Markdown it may take {seconds:,.0f} s to read; {allowed:,.0f} are allowed for its"
            f" {len(text):,} characters.",
            _REMEDY,
        )
