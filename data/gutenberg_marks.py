"""Where Project Gutenberg's additions to a book lie: header, credits, notes, pictures, footer.

A mark is only believed where it can be true: the header's in a text that names Project Gutenberg in
its first lines, the footer's where nothing follows but more of the licence. So a text that quotes
one, or a *Complete Works* whose single works each have theirs, is not cut there.
"""

import re
from collections.abc import Iterator
from itertools import islice, pairwise

from data.documents import Removal
from data.headings import is_heading

ZONE = 40_000  # characters at either end; the longest header has 18,000, the licence 20,000
_LINES = re.IGNORECASE | re.MULTILINE
_LEAD = r"^[^\w\n]{0,12}"  # stars and brackets

SIGN = re.compile(r"proje[ck]t[ \n]gutenberg", re.IGNORECASE)
_START = re.compile(
    _LEAD + r"(?:start|beginning) of (?:the |this )?(?:copyrighted )?project gutenberg\b.*", _LINES
)
_SMALL_PRINT_START = re.compile(_LEAD + r"start\W{1,8}the small print.*", _LINES)
_SMALL_PRINT_END = re.compile(_LEAD + r"end\W{1,8}the small print.*", _LINES)
_END = re.compile(
    _LEAD + r"(?:end|ende|fin|fine|einde|slut|loppu)\b.{0,60}?\bproje[ck]t gutenberg.*", _LINES
)
_LICENCE = re.compile(
    _LEAD + r"(?:start:? full licen[sc]e|the full project gutenberg licen[sc]e|start\W{1,8}the "
    r"small print).*",
    _LINES,
)
_LONGEST_SILENCE = 3_000  # characters; the licences since 2003 have one of 2,280
# Words of licences and old headers, and of no novel.
_STRONG = re.compile(
    r"proje[ck]t[ \n]gutenberg|\be-?texts?\b|gutenberg\.(?:org|net)|electronic works|small print"
    r"|this file should be named|updated editions will|distributed[ \n]proofread|pgdp\.net",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"project gutenberg(?:['’]s\b| e-?(?:text|book))|for the use of anyone anywhere", re.IGNORECASE
)
_FIELDS = (
    r"(?:title|author|editor|translator|illustrator|release date|posting date|first posted"
    r"|(?:last|most recently) updated|language|edition|credits|produced by|(?:character set )?"
    r"encoding)"
)
# An indented line goes on with a small letter, or where the line above had no room: others are a
# subtitle or another author.
_GOES_ON = rf"\n(?![ \t]+{_FIELDS} ?:)(?:(?<=.{{60}}\n)[ \t]+\S|[ \t]+(?-i:[a-zß-öø-ÿ])).*"
FIELD = re.compile(rf"^({_FIELDS}) ?:[ \t]*(\S.*(?:{_GOES_ON})*)$", _LINES)
_MADE = r"(?:produced|prepared|transcribed|scanned|typed|digiti[sz]ed|proofread)"
_CREDITS = re.compile(
    rf"[^\w\n]{{0,6}}(?:(?:(?:text|html|file|e-?text|e-?book) )?(?:was )?(?:{_MADE}(?: and \w+)?"
    rf"|version) (?:by|from)\b|credits?:|this (?:\S+ ){{1,3}}(?:was|is|has been) (?:\w+ ){{0,2}}"
    rf"{_MADE}\b)",
    re.IGNORECASE,
)
_CREDITS_PERHAPS = re.compile(
    r"\W{0,6}(?:this|note|html|images?|updated?|thanks|(?:online )?distributed|https?"
    r"|dieses buch|dieser text|dieses werk|ce document|ce livre|ce texte|este libro)\b",
    re.IGNORECASE,
)
_SCANNING = re.compile(
    r"gutenberg|\be-?texts?\b|https?:|www\.|\bscan(?:s|ned|ning)\b|proofread|num[ée]ris|internet"
    r"|présenté en lecture|gallica|zur Verfügung gestellt",
    re.IGNORECASE,
)
_NOTE = re.compile(
    r"(?:^[^\w\n]{0,6}|\[[^\w\n]{0,3})(?:transcriber['’]?s?['’]? notes?"
    r"|anmerkung(?:en)? zur transkription|notes? (?:du transcripteur|de transcription))\b",
    _LINES,
)
# What notes speak of, each in a few words or in several.
_OF_FILES = re.compile(
    r"\b(?:transcri\w*|errors?|correct\w*|chang\w*|spell\w*|hyphen\w*|punctuat\w*|inconsisten\w*"
    r"|archaic|typograph\w*|typos?|print\w*|original\w*|edition|magazine|copyright\w*|public domain"
    r"|e-?texts?|html|utf|ascii|unicode|scan\w*|images?|illustrations?|footnotes?|covers?|quotation"
    r"|italics?|italici[sz]ed|bold|underscores?|quotes?|diacritic\w*|accent\w*|paragraphs?|lines?"
    r"|pages?|pp?(?=\. ?\d)|fehler\w*|druck\w*|schreibweise\w*|rechtschreib\w*|verbessert"
    r"|korrigiert|seiten?|gesperrt\w*|antiqua|kursiv|erreurs?|corrig\w*|orthographe|typographi\w*|ponctuation"
    r")\b",
    re.IGNORECASE,
)
# Headings before the first chapter's.
_OPENS_BOOK = re.compile(
    r"\W*(?:author['’]?s (?:note|preface)|to (?:the|my) reader|foreword|preface|introduction"
    r"|introductory|prolog(?:ue)?|dedication|(?:table of )?contents|vorwort|einleitung|inhalt"
    r"|préface|avant-propos|table des matières)\W*",
    re.IGNORECASE,
)
_MOST_UNLIKE = 600  # characters of a note that might be of the book
_ILLUSTRATION = re.compile(r"\[illustrations?\b", re.IGNORECASE)
_NOTICE = re.compile(r"<<THIS ELECTRONIC VERSION OF\b[^<>]{0,2000}>>")  # inside 1990s Shakespeares
_PARAGRAPH = re.compile(r"\S.*(?:\n.*\S.*)*")
_BRACKET = re.compile(r"[\[\]]")
_BLANK_LINES = re.compile(r"(?:[^\S\n]*\n)+")
_DEEPEST_INDENT = 100
_TWO_BLANK_LINES = re.compile(r"\n[^\S\n]*\n[^\S\n]*\n")


def find_header(text: str) -> tuple[int, str | None]:
    """Where the header ends (0 where there is none), and the line that ends it, if one does."""
    lines = (line for line in text[: ZONE // 4].split("\n") if line.strip())
    top = "\n".join(islice(lines, 12))
    if not (SIGN.search(top) or FIELD.match(top)):
        return 0, None
    start, small_print = _START.search(text, 0, ZONE), _SMALL_PRINT_END.search(text, 0, ZONE)
    marker = start or small_print
    if start and small_print:
        # The later one, where only small print or a title page lies between them.
        first, second = sorted((start, small_print), key=lambda one: one.start())
        between = text[first.end() : second.start()]
        is_one_header = len(between) < 1_500 or _SMALL_PRINT_START.search(between[:12_000])
        marker = second if is_one_header else first
    if marker:
        return _end_of_marker(text, marker), " ".join(marker[0].split())
    end = 0
    if _OPENING.search("\n".join(top.split("\n", 3)[:3])):
        for paragraph in _PARAGRAPH.finditer(text, 0, ZONE):
            if not (_STRONG.search(paragraph[0]) or FIELD.match(paragraph[0])):
                break
            end = paragraph.end()
    return end, None


def _end_of_marker(text: str, marker: re.Match[str]) -> int:
    """A marker with a long title is closed by stars on one of the next lines."""
    end_of_paragraph = text.find("\n\n", marker.end(), marker.end() + 300)
    closing = text.rfind("***", marker.end(), max(end_of_paragraph, marker.end()))
    is_open = "***" in marker[0] and not marker[0].rstrip().endswith("*")
    return closing + len("***") if is_open and closing != -1 else marker.end()


def find_footer(text: str, after: int) -> tuple[int, str | None]:
    """Where the footer begins (the text's end where there is none), and its first line.

    The last marker counts, and those above it with nothing but the footer between: 'End of the
    Project Gutenberg EBook of ...', '*** END OF ...', '*** START: FULL LICENSE ***'.
    """
    zone = max(after, len(text) - ZONE)
    markers = [*_END.finditer(text, zone), *_LICENCE.finditer(text, zone)]
    markers.sort(key=lambda one: one.start())
    if not markers:
        return len(text), None
    first = markers.pop()
    if not _is_licence(_after_title(text[first.end() :])):
        return len(text), None
    while markers:
        between = text[markers[-1].end() : first.start()]
        if not _is_licence(_after_title(between)):
            break
        first = markers.pop()
    begin = first.start()
    # 'This etext was prepared by ...' may stand above.
    for paragraph in reversed(list(_PARAGRAPH.finditer(text, max(after, begin - 1_500), begin))):
        if not _is_credit(paragraph[0]):
            break
        begin = paragraph.start()
    return begin, " ".join(first[0].split())


def _after_title(text: str) -> str:
    """What follows a marker whose title and author go on over a line or two."""
    title, _, below = text.partition("\n\n")
    return below if len(title) < 300 else text


def _is_licence(text: str) -> bool:
    """Whether a text is blank or speaks of Project Gutenberg at once and all along."""
    if not text.strip():
        return True
    words = [0, *(one.start() for one in _STRONG.finditer(text)), len(text.rstrip())]
    gaps = [after - before for before, after in pairwise(words)]
    return len(gaps) > 1 and gaps[0] < 1_500 and max(gaps) < _LONGEST_SILENCE


def parts_of_header(text: str, end: int) -> Iterator[Removal]:
    """The header, and the small print in it."""
    small_print = _SMALL_PRINT_START.search(text, 0, end)
    begin = small_print.start() if small_print else end
    yield Removal(0, begin, "header")
    yield Removal(begin, end, "small print")


def parts_of_footer(text: str, begin: int) -> Iterator[Removal]:
    """The footer, and the licence in it."""
    licence = _LICENCE.search(text, begin)
    end = licence.start() if licence else len(text)
    yield Removal(begin, end, "footer")
    yield Removal(end, len(text), "licence")


def credits_below(text: str, begin: int, end: int) -> Iterator[Removal]:
    """Who produced the file: at once below the header, or in brackets on the title page."""
    is_at_once = True
    for paragraph in _PARAGRAPH.finditer(text, begin, min(end, begin + 4_000)):
        words = paragraph[0]
        is_bracketed = words[0] in "[(" and words.rstrip()[-1] in "])" and _STRONG.search(words)
        if len(words) < 1_500 and (is_bracketed or (is_at_once and _is_credit(words))):
            yield Removal(*paragraph.span(), "credits")
        elif not (_ILLUSTRATION.match(words) or _NOTE.match(words)):
            is_at_once = False


def _is_credit(paragraph: str) -> bool:
    is_perhaps = _CREDITS_PERHAPS.match(paragraph) and _SCANNING.search(paragraph)
    return bool(_CREDITS.match(paragraph) or is_perhaps)


def notes(text: str, begin: int, end: int) -> Iterator[Removal]:
    """What a transcriber says: in brackets anywhere, else near the book's beginning or end."""
    head, tail = begin + 10_000, end - 15_000
    position = begin
    while found := _NOTE.search(text, position, end):
        position = found.end()
        bracket = text.find("[", found.start(), found.end())
        if bracket != -1:
            if closing := _closing_bracket(text, bracket, end, 5_000):
                yield Removal(bracket, closing, "transcriber's note")
        elif not head < found.start() < tail:
            # What follows one at the end is of it.
            most_unlike = _MOST_UNLIKE if found.start() <= head else 6_000
            position = _end_of_note(text, found, end, most_unlike)
            yield Removal(found.start(), position, "transcriber's note")


def _end_of_note(text: str, found: re.Match[str], end: int, most_unlike: int) -> int:
    """A note goes on to a gap of two blank lines or a heading, unless there is much before that
    which does not speak of files and prints; then, and where no end is in sight, it ends with what
    does, lest the book go with it. One with its text beside its name is one paragraph.
    """
    limit = min(end, found.start() + 6_000)
    paragraphs = _PARAGRAPH.finditer(text, found.start(), limit)
    name = next(paragraphs)
    if "\n" in name[0] or len(name[0].strip()) > 40:
        return name.end()
    body = next(paragraphs, name)
    end_of_note = sure_end = body.end()
    unlike = 0
    for paragraph in paragraphs:
        gap = text[end_of_note : paragraph.start()]
        is_opening = is_heading(paragraph[0]) or _OPENS_BOOK.fullmatch(paragraph[0])
        if is_opening or _TWO_BLANK_LINES.match(gap):
            return end_of_note
        end_of_note = paragraph.end()
        if _is_of_files(paragraph[0]):
            if not unlike:
                sure_end = end_of_note
        else:
            unlike += len(paragraph[0])
        if unlike > most_unlike or end_of_note == limit < end:  # cut off, it may pass for a heading
            return sure_end
    return end_of_note if limit == end else sure_end


def _is_of_files(paragraph: str) -> bool:
    """Whether a paragraph speaks of how a text was typed and printed."""
    words = {found[0].casefold() for found in _OF_FILES.finditer(paragraph)}
    return len(words) > 1 or (bool(words) and len(paragraph) < 200)


def illustrations(text: str, begin: int, end: int) -> Iterator[Removal]:
    """'[Illustration: caption]', also over several lines and with brackets inside."""
    for found in _ILLUSTRATION.finditer(text, begin, end):
        closing = _closing_bracket(text, found.start(), end, 1_500)
        if closing:
            yield Removal(found.start(), closing, "illustration")


def notices(text: str) -> Iterator[Removal]:
    """The licence that a *Complete Works* of the 1990s repeats above each of its works."""
    for found in _NOTICE.finditer(text):
        yield Removal(*found.span(), "licence")


def _closing_bracket(text: str, opening: int, end: int, longest: int) -> int | None:
    """One past the bracket that closes the one at `opening`, if it does so soon."""
    depth = 0
    for bracket in _BRACKET.finditer(text, opening, min(end, opening + longest)):
        depth += 1 if bracket[0] == "[" else -1
        if depth == 0:
            return bracket.end()
        if depth > 3:
            break
    return None


def with_its_lines(text: str, removal: Removal) -> Removal:
    """With the blank lines below, where the removal fills its lines."""
    before = text[max(0, removal.start - _DEEPEST_INDENT) : removal.start]
    indent = len(before) - len(before.rstrip(" \t"))
    begin = removal.start - indent
    below = _BLANK_LINES.match(text, removal.end)
    if below and (begin == 0 or text[begin - 1] == "\n"):
        return Removal(begin, below.end(), removal.kind)
    return removal
