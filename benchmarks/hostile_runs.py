r"""Runs of text that are cheap to write and may be dear to read, or that mean more than they say.

A run is one idea repeated, up to some 200,000 characters: a tag that is never closed, a hyphen at
every line's end, Project Gutenberg's footer a thousand times. `data`'s regular expressions, the
parsers behind it and NLTK's are all meant.
"""

from collections.abc import Callable, Mapping
from encodings.aliases import aliases
from random import Random

LONGEST_RUN = 200_000  # characters; a repeated line of a real book may be longer

_MARKDOWN = (
    *("*", "**a", "_a ", "*a_ ", "[", "]", "![", "[a](", "[a][", "[a]: <", "[a]: b\n", "`"),
    *("`` ` ", "<!A ", "<?", "<!--", "<![CDATA[", "<a ", "<a b='", "</", "&", "&#1", "&a", "\\"),
    *("~~~\n", "|", "a|b\n-|-\n", "|a\n", "# ", "#\n", "===\n", "- - ", "1. ", "1.\n", "* a\n\n"),
    *(">a\nb\n", "> > ", "<http://", "http://a.b", "a@b.", "(", "()", "[[]", "[](<", '[](a "'),
    *("<div>\n", "\t- a\n", "$", "\n    a", "-\n", "+ a\n", "a  \n", "\\\n", "***a ", "_*_*"),
    *("[^a]", "<x:", "{", "  - a\n"),
)  # fmt: skip
_MARKUP = (
    *("<b>", "</b>", "<div>", "<p>", "<i><b></i></b>", "<h1>", "<h2>I</h2>a", "<table><tr><td>"),
    *("<ul><li>", "<a id='a'>", "<pre>\n", "<br>", "<!-- ", "<!DOCTYPE a [", "<![CDATA["),
    *("<script>", "<style>", "<title>", "<textarea>", "<svg>", "<nav>", "<ruby>", "<select>"),
    *("<form>", "<font>", "&amp;", "&#0;", "&#xD800;", "&#1114112;", "&#x1F;", "&nbsp;", "&a;"),
    *("<a b=", "<a b='", "< ", "<frameset>", "<body>", "</body>", "<html>", "<p hidden>"),
    *("<img alt='A'>", "<?xml ", "<x y z>", "<h1><h2><h3>", "</p>", "<td>a", "<math><mi>"),
    *("<p class='footnote'>", "<base href='//a'>"),
)  # fmt: skip
_BOILERPLATE = (
    "*** START OF THE PROJECT GUTENBERG EBOOK EMMA ***\n\n",
    "*** END OF THE PROJECT GUTENBERG EBOOK EMMA ***\n\n",
    "End of the Project Gutenberg EBook of Emma\n",
    "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n",
    "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\n",
    "The Project Gutenberg EBook of Emma, by Jane Austen\n\n",
    "Title: Emma\nAuthor: Jane Austen\nLanguage: English\n[eBook #158]\n",
    "Produced by An Anonymous Volunteer\n\n",
    "[Transcriber's note: [] ",
    "Transcriber's Note\n\n",
    "[Illustration: [a] ",
    "[Illustration]\n\n",
    "<<THIS ELECTRONIC VERSION OF ",
    "START: FULL LICENSE\n\n",
    "gutenberg.org ",
)  # fmt: skip
_HEADINGS = (
    *("CHAPTER I\n\n", "I\n\n", "I.\n", "Chapter ", "chapter one-", "BOOK THE teen", "C. "),
    *("II. ", "PROLOGUE\n\n", "Part ty-", "ZWEIUNDZWANZIGSTES KAPITEL\n\n", "1. Kapitel\n\n"),
    *("chapter 1", "ACT I\nSCENE I\n\n", "Chapter teen", "chapter xx", "PREFACE. ", "Letter tie"),
    "Epilogue:\n\n",
)  # fmt: skip
_HYPHENS = (
    *("foo-\nbar ", "-\n", "a-\nb", "a\xad\n", "-‐", "a-", "foo-\n \n", "foo-\n      ", "-\n-\n"),
    "a-b-\nc",
)  # fmt: skip
_PAGES = (
    *("\n\n{n}\n\n", "\n\n- {n} -\n\nthe ", "[Pg {n}]", "{{{n}}}\n\n", "\n\nPage {n}\n\nand"),
    *("[Page {n}", "{n}\n", "\n\nTHE TITLE\n\nand so", "\n\nTHE TITLE {n}\n\nand so"),
    *("\n\nA\n\na", "\n\n{n}\nA\n{n}\n\n"),
)  # fmt: skip
_DOTS = (
    *(".", ". ", "...", ". . ", ".)", '." ', "Mr. ", "A. ", "?!", "?) ", "!\n", "a.b.", ".\xa0"),
    *("1. ", "'", '"', "''", "``", "' ", "'s ", "it's' ", "a,", ":", ",a", "--", "(", "cannot"),
    *("gonna ", "%", "”", "“a", "$.", ".]", "a.'\n", "\u3002", "\uff0e", "\xa0. ", "'t)(is", "@."),
    *("&.", ".. ."),
)  # fmt: skip
_SPACES = (
    *(" ", "\t", "\n", "\n \n", " \n", "\xa0", "\u2028", "\u2029", "\x85", "\u3000", "\r", "\f"),
    *("\u200b", "\ufeff", "\xad", "\x1c", "\v", "\u202e", "\u0301", "\u1680", "a\n\n"),
    *("\n\n\n\na", " a", "\ta\n"),
)  # fmt: skip
_LETTERS = (
    *("a", "A", "é", "ß", "İ", "ﬁ", "中", "😀", "\U0010ffff", "\ue000", "\u0130", "1", "²", "٣"),
    *("Ⅷ", "teen", "Σς", "ǆ", "\ud800", "\ufffe", "क्ष", "a1", "_", "x-", "0" * 50, "ty-"),
)  # fmt: skip
_FRONT_MATTER = (
    *('title: "\\UFFFFFFFF"', 'title: "\\uD800"', "title: &a [*a]", "a: &a [x]\nb: [*a, *a]"),
    *("? a", "title: [[[[", "title: {a: {b: {", "date: 99999", "<<: [{a: 1}]", "- a", "%YAML 1.1"),
    *("'", "!!int a", "title: !!python/object:os.system x", "title: |\n a\n", "\ttitle: a"),
    *("title: \x07", "lang: [en]", "title:", "author: {a: b}", "title: 'a", "date: ٣٣٣٣", "*a"),
    *("title: >\n\n\n", "{", "--- a"),
)  # fmt: skip


def repeats(draw: Random, most_digits: float = 5.3) -> int:
    """1 to 200,000, small numbers as often as large ones."""
    return int(10 ** draw.uniform(0, most_digits))


def _of(units: tuple[str, ...]) -> Callable[[Random, str], str]:
    """Runs of one of the units, or of a few in turn."""

    def run(draw: Random, text: str) -> str:
        unit = "".join(draw.sample(units, draw.choice((1, 1, 1, 2, 3))))
        return unit * min(repeats(draw), LONGEST_RUN // len(unit) + 1)

    return run


def _mixed(units: tuple[str, ...]) -> Callable[[Random, str], str]:
    """Some of the units in any order, words of the book between them."""

    def run(draw: Random, text: str) -> str:
        words = (text[:3_000] + " and so on").split()
        some = draw.sample(units, min(len(units), 6))
        number = repeats(draw, 4)
        return "".join(
            draw.choice(some) + (draw.choice(words) + draw.choice((" ", "\n")))
            if draw.random() < 0.5
            else draw.choice(some)
            for _ in range(number)
        )

    return run


def _repeated_line(draw: Random, text: str) -> str:
    lines = text[: LONGEST_RUN * 5].split("\n")
    return (draw.choice(lines)[:150] + draw.choice(("\n", "\n\n", ""))) * 10_000


def _nested(draw: Random, text: str) -> str:
    """Opened so many times, then closed as often or not at all."""
    opening, closing = draw.choice(
        [
            *(("<div>", "</div>"), ("<b>", "</b>"), ("<ul><li>", "</li></ul>"), ("> ", "")),
            *(("[", "]"), ("(", ")"), ("*a **b ", "c** d*"), ("<h1>", "</h1>"), ("- ", "")),
            *(("[a](", ")"), ("![", "](a)"), ("<table><tr><td>", "</table>"), ("“", "”")),
            ("<nav epub:type='landmarks toc'><ol><li><a href='a'>a", "</a></li></ol></nav>"),
            *(("<dc:creator>", "</dc:creator>"), ("<navPoint>", "</navPoint>"), ("1. ", "")),
        ]
    )
    depth = min(repeats(draw), LONGEST_RUN // len(opening))
    return opening * depth + "deep" + draw.choice(("", closing * depth, closing * (depth // 2)))


def _indented(draw: Random, text: str) -> str:
    """A list or a quotation that goes one level deeper with every line: the square of its depth."""
    mark = draw.choice(("- a", "> a", "1. a", "a", "* - a"))
    depth = draw.choice((10, 100, 600))
    return "\n".join("  " * level + mark for level in range(depth)) + "\n"


def _pages(draw: Random, text: str) -> str:
    unit = draw.choice(_PAGES)
    first = draw.choice((0, 1, 9_990))
    number = min(repeats(draw), LONGEST_RUN // len(unit))
    return "".join(unit.replace("{n}", str(first + n)) for n in range(number))


def _front_matter(draw: Random, text: str) -> str:
    lines = draw.sample(_FRONT_MATTER, draw.choice((1, 2, 3)))
    return "---\n" + "\n".join(lines * draw.choice((1, 1, 1, 500))) + "\n---\n"


def _declared(draw: Random, text: str) -> str:
    name = draw.choice(
        [*sorted({*aliases, *aliases.values()}), "utf-7", "idna", "undefined", "\x00"]
    )
    return draw.choice(
        (
            f'<meta charset="{name}">',
            f'<?xml version="1.0" encoding="{name}"?>',
            f'<meta http-equiv="content-type" content="text/html; charset={name}">',
        )
    )


def _entities(draw: Random, text: str) -> str:
    depth = draw.choice((3, 30))
    levels = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, depth))
    declared = f'<!ENTITY e0 "ha">{levels}<!ENTITY f SYSTEM "file:///etc/passwd">'
    return f"<!DOCTYPE a [{declared}]><a>&e2;&f;</a>"


def _numbers(draw: Random, text: str) -> str:
    digits = "9" * draw.choice((5, 50, 5_000))
    return draw.choice(
        (
            f"The Project Gutenberg EBook of Emma [eBook #{digits}]\n\nTitle: {digits}\n\n",
            f"Chapter {digits}\n\n",
            f"[Pg {digits}]\n\n",
            f"<dc:date>{digits}</dc:date>",
            f"&#{digits};",
            f"{digits}. a\n",
        )
    )


RUNS: Mapping[str, Callable[[Random, str], str]] = {
    "Markdown": _of(_MARKDOWN),
    "Markdown mixed": _mixed(_MARKDOWN),
    "markup": _of(_MARKUP),
    "markup mixed": _mixed(_MARKUP),
    "nested": _nested,
    "indented": _indented,
    "boilerplate": _of(_BOILERPLATE),
    "boilerplate mixed": _mixed(_BOILERPLATE),
    "headings": _of(_HEADINGS),
    "headings mixed": _mixed(_HEADINGS),
    "hyphens": _of(_HYPHENS),
    "pages": _pages,
    "dots": _of(_DOTS),
    "dots mixed": _mixed(_DOTS),
    "spaces": _of(_SPACES),
    "letters": _of(_LETTERS),
    "line repeated": _repeated_line,
    "one line": lambda draw, text: text[:1_000_000].replace("\n", " "),
    "no line ends": lambda draw, text: "".join(text[:300_000].split()),
    "front matter": _front_matter,
    "declared encoding": _declared,
    "entities": _entities,
    "numbers": _numbers,
}
