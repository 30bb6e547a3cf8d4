r"""From HTML or XHTML to what a reader would read: its text, its headings, where its anchors are.

    <h2 id="c1">I</h2><p>It <i>was</i>  a<br>dark night.</p>  -->  "I\n\nIt was a\ndark night."
                                                                c1 ^

libxml2's HTML parser tells of elements as they begin and end, and a writer turns them into text: no
tree is built and nothing recurses, so that depth costs no more than length. It closes what XHTML
closes (`<a id="x"/>`, `<title/>`), knows the named characters, and has no entities to expand and
no network.

A page costs 2 to 4 µs an element or run of text and 20 ns a character, read once. An end tag that
closes nothing is compared with every open element; so both together are limited, over all pages of
a book.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from lxml import etree

from data.documents import Unreadable
from data.unread_markup import is_hidden, is_navigation, is_note, tokens

MOST_CHARACTERS = 100_000_000
MOST_PARTS = 2_000_000  # elements and runs of text of a book, at most 8 s; long ones have 200,000
MOST_COMPARISONS = 1_000_000_000  # end tags times open elements, in a book; 3 ns each

_CHUNK_CHARACTERS = 16_384  # between looks at the limits
_DOCTYPE = re.compile(r"<!DOCTYPE", re.IGNORECASE)
_REST_OF_DOCTYPE = re.compile(r"[^\[>]*(?:\[[^\]]*\]\s*)?>")
_LANGUAGE = re.compile(r"\s*([A-Za-z]{2})(?:[-_]|\s*$)")
# Controls that came by number (`&#1;`), soft hyphens and other places to break a line: no one reads
# them, and they would split words.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1b\x7f\xad\u200b\u2060\ufeff]")

# What stands between two words; the widest of what was asked for since the last one.
_NOTHING, _BLANK, _CELL, _LINE, _PARAGRAPH = range(5)
_GAPS = ("", " ", "  ", "\n", "\n\n")
_PARAGRAPH_TAGS = (
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset"
    " figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu"
    " nav ol p pre section summary table ul"
)
_BLOCKS = dict.fromkeys(_PARAGRAPH_TAGS.split(), _PARAGRAPH)
_BLOCKS |= {"tbody": _LINE, "tfoot": _LINE, "thead": _LINE, "tr": _LINE}
_HEADING_LEVELS = {f"h{level}": level for level in range(1, 7)}
_DROP_CAPS = frozenset({"dropcap", "drop-cap", "drop_cap"})


@dataclass(frozen=True)
class Heading:
    """An h1 to h6 that has words: its level, they on one line, and where they begin in the text."""

    level: int
    words: str
    char_start: int


@dataclass(frozen=True)
class PageText:
    """A page as it is read. Whatever it does not tell is None.

    `anchors` has, for each id and each name of an `<a>`, the offset of the first word from there on
    (the text's length, if none follows), also of elements that are themselves not read.
    """

    text: str
    headings: tuple[Heading, ...]
    anchors: Mapping[str, int]
    title: str | None = None
    author: str | None = None
    language: str | None = None  # two-letter code
    notes_characters: int = 0  # of the bodies of its notes, which are left out


@dataclass
class Effort:
    """What the pages of a book have cost so far: their parts, and comparisons of end tags."""

    num_parts: int = 0
    num_comparisons: int = 0

    def add(self, num_parts: int, num_comparisons: int, depth: int) -> None:
        """Count what was done, `depth` open elements deep.

        Raises:
            Unreadable: with it the book is over a limit.
        """
        self.num_parts += num_parts
        self.num_comparisons += num_comparisons
        if self.num_comparisons > MOST_COMPARISONS:
            raise _too_much("book", f"elements {depth:,} deep and many end tags", "fewer of either")
        if self.num_parts > MOST_PARTS:
            raise _too_much("book", f"over {MOST_PARTS:,} elements and runs of text", "no more")


def text_of_markup(markup: str, *, effort: Effort | None = None) -> PageText:
    """Read a page: blocks as paragraphs with one blank line between, `<br>` as a line's end.

    Left out: scripts, styles, forms, pictures, what is hidden, page numbers, ruby, notes with their
    marks, and navigation, unless the page has nothing else. Cells of a table are two blanks apart,
    rows a line. White space is one blank, but for the lines of a `<pre>`. A picture whose
    description is one capital is a drop cap, and read as that letter. The text may be empty.

    Args:
        markup: HTML or XHTML, decoded.
        effort: what the book's pages before this one have cost, to which its cost is added; None
            for a page that is a book.

    Raises:
        Unreadable: the page is over a limit, or the book with it: its length, its elements, how
            deep they nest.
    """
    if len(markup) > MOST_CHARACTERS:
        raise _too_much("page", f"{len(markup):,} characters", f"{MOST_CHARACTERS:,}")
    effort = effort or Effort()
    writer = _written(markup, effort, keep_navigation=False)
    if writer.has_navigation and not writer.num_written:
        writer = _written(markup, effort, keep_navigation=True)
    return writer.page()


def _written(markup: str, effort: Effort, *, keep_navigation: bool) -> "_Writer":
    effort.add(0, 0, 0)  # pages after one that was over a limit are not begun
    writer = _Writer(keep_navigation=keep_navigation)
    # A doctype's own entities would end it too early, at their first '>'.
    doctype = _DOCTYPE.search(markup)
    if doctype and (rest := _REST_OF_DOCTYPE.match(markup, doctype.end())):
        markup = markup[: doctype.start()] + markup[rest.end() :]
    parser = etree.HTMLParser(target=writer, encoding="utf-8", huge_tree=True)
    for start in range(0, len(markup), _CHUNK_CHARACTERS):
        chunk = markup[start : start + _CHUNK_CHARACTERS]
        num_parts = writer.num_parts
        parser.feed(chunk.encode())
        num_comparisons = chunk.count("</") * writer.depth
        effort.add(writer.num_parts - num_parts, num_comparisons, writer.depth)
    with suppress(etree.XMLSyntaxError):  # nothing but comments, or nothing at all
        parser.close()
    return writer


class _Writer:
    """Takes a parser's events and writes the text; every start has its end.

    Notes are written by a writer of their own, one after another.
    """

    def __init__(self, *, keep_navigation: bool, is_of_notes: bool = False) -> None:
        self.depth = self.num_parts = self.num_written = 0
        self.has_navigation = False
        self._keep_navigation = keep_navigation
        self._notes = (
            None if is_of_notes else _Writer(keep_navigation=keep_navigation, is_of_notes=True)
        )
        self._note: _Writer | None = None  # the same, while a note is open
        self._title: list[str] = []
        self._is_in_title = False
        self._author: str | None = None
        self._language: str | None = None
        self._pieces: list[str] = []
        self._gap = _NOTHING
        self._num_paragraphs = 0
        self._gaps_after: list[int] = []  # of the open elements that are read
        self._cells: list[tuple[int, int]] = []  # of the open cells, characters and paragraphs
        self._num_hidden = 0  # open elements from the first hidden one on
        self._num_pre = 0
        self._space_in_pre: list[str] = []  # since the last word
        self._outer_heading: tuple[int, int, int] | None = None  # depth, piece and character
        self._headings: list[Heading] = []
        self._waiting: list[str] = []  # anchors, for the next word
        self._anchors: dict[str, int] = {}

    def page(self) -> PageText:
        anchors = self._anchors | {
            name: self.num_written for name in self._waiting if name not in self._anchors
        }
        title = " ".join("".join(self._title).split())
        return PageText(
            "".join(self._pieces),
            tuple(self._headings),
            anchors,
            title=title or None,
            author=self._author,
            language=self._language,
            notes_characters=self._notes.num_written if self._notes else 0,
        )

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.depth += 1
        self.num_parts += 1
        if attributes:
            self._keep(tag, attributes)
        if self._num_hidden or self._is_unread(tag, attributes):
            self._num_hidden += 1
            if self._note:
                self._note.start(tag, attributes)
            self._is_in_title = tag == "title" and self._num_hidden == 1 and not self._title
            return
        gap = _BLOCKS.get(tag, _NOTHING)
        if gap and attributes and _DROP_CAPS & tokens(attributes, "class"):
            gap = _NOTHING
        self._gaps_after.append(gap)
        if gap:
            self._widen(gap)
        if tag == "br":
            self._break_line()
        elif tag == "td" or tag == "th":
            begins = self._num_paragraphs + (self._gap == _PARAGRAPH)
            self._cells.append((self.num_written, begins))
        elif tag == "pre":
            self._num_pre += 1
            self._space_in_pre.clear()
        elif tag == "img" and len(letter := attributes.get("alt", "")) == 1 and letter.isupper():
            self.data(letter)
        elif tag in _HEADING_LEVELS and self._outer_heading is None:
            self._outer_heading = self.depth, len(self._pieces), self.num_written

    def end(self, tag: str) -> None:
        self.depth -= 1
        if self._num_hidden:
            self._num_hidden -= 1
            self._is_in_title = False
            if self._note:
                self._note.end(tag)
                self._note = self._note if self._num_hidden else None
            return
        if tag in _HEADING_LEVELS:
            self._end_heading(_HEADING_LEVELS[tag])
        elif tag == "pre":
            self._num_pre -= 1
        elif tag == "td" or tag == "th":
            self._end_cell()
        if gap := self._gaps_after.pop():
            self._widen(gap)

    def data(self, text: str) -> None:
        self.num_parts += 1
        if self._num_hidden:
            if self._note:
                self._note.data(text)
            if self._is_in_title:
                self._title.append(text)
            return
        text = _UNSEEN.sub("", text)
        if self._num_pre:
            self._write_lines(text.replace("\xa0", " "))
            return
        words = text.split()
        if words:
            if text[0].isspace():
                self._gap = max(self._gap, _BLANK)
            self._write(_GAPS[self._gap], " ".join(words))
        if text and text[-1].isspace():
            self._gap = max(self._gap, _BLANK)

    def close(self) -> None:
        """What a parser's target must have."""

    def _keep(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Keep what an element says of the page or names in it."""
        for name in ("id", "name") if tag == "a" else ("id",):
            if attributes.get(name):
                self._waiting.append(attributes[name])
        if tag == "meta":
            name = attributes.get("name", "").lower()
            if name in ("author", "dc.creator", "dcterms.creator"):
                author = " ".join(attributes.get("content", "").split())
                self._author = self._author or author or None
        elif tag in ("html", "body") and self._language is None:
            language = attributes.get("lang") or attributes.get("xml:lang") or ""
            if found := _LANGUAGE.match(language):
                self._language = found[1].lower()

    def _is_unread(self, tag: str, attributes: Mapping[str, str]) -> bool:
        if is_navigation(tag, attributes):
            self.has_navigation = True
            return not self._keep_navigation
        if is_hidden(tag, attributes):
            return True
        if self._notes and is_note(attributes):
            self._note = self._notes
        return self._note is not None

    def _widen(self, gap: int) -> None:
        is_at_cell = bool(self._cells) and self._cells[-1][0] == self.num_written
        if not is_at_cell:  # a block that a cell begins with is no paragraph of its own
            self._gap = max(self._gap, gap)

    def _break_line(self) -> None:
        if self._num_pre:
            self._space_in_pre.append("\n")
        else:
            self._widen(_LINE if self._gap < _LINE else _PARAGRAPH)

    def _end_cell(self) -> None:
        num_written, num_paragraphs = self._cells.pop()
        if num_written == self.num_written:
            self._gap = max(self._gap, _CELL)
        else:  # several paragraphs are no cell of a table, but part of a page
            self._gap = _CELL if self._num_paragraphs <= num_paragraphs else _PARAGRAPH

    def _end_heading(self, level: int) -> None:
        if self._outer_heading is None or self._outer_heading[0] != self.depth + 1:
            return
        _, piece, char_start = self._outer_heading
        self._outer_heading = None
        written = "".join(self._pieces[piece:])
        if words := " ".join(written.split()):
            char_start += len(written) - len(written.lstrip())
            self._headings.append(Heading(level, words, char_start))

    def _write_lines(self, text: str) -> None:
        """A `<pre>`: white space stays, but for blank lines at its beginning and end."""
        words = text.strip()
        if not words:
            self._space_in_pre.append(text)
            return
        space = "".join([*self._space_in_pre, text[: len(text) - len(text.lstrip())]])
        if self._gap > _NOTHING or not self.num_written:
            space = _GAPS[self._gap] + space.rpartition("\n")[2]
        self._write(space, words)
        self._space_in_pre = [text[len(text.rstrip()) :]]

    def _write(self, space: str, words: str) -> None:
        space = space if self.num_written else space.lstrip("\n ")
        self._num_paragraphs += self._gap == _PARAGRAPH
        self._gap = _NOTHING
        self._pieces += (space, words)
        self.num_written += len(space)
        for name in self._waiting:
            self._anchors.setdefault(name, self.num_written)
        self._waiting.clear()
        self.num_written += len(words)


def _too_much(what: str, found: str, allowed: str) -> Unreadable:
    return Unreadable(
        f"The {what} has {found}; a {what} may have {allowed}.",
        "Split it into several books, or give it as plain text.",
    )
