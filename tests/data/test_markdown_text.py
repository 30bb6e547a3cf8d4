import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.documents import Unreadable
from data.markdown_text import read_markdown
from data.plays import play_paths

PROSE = "It was a dark and stormy night; the rain fell in torrents. " * 4


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("It *was* a\n**dark** `night`.", "It was a dark night."),
        ("# A #\nb\n\nC\n---\nd", "A\n\nb\n\nC\n\nd"),
        ("a  \nb\\\nc", "a\nb\nc"),
        ("> a\nb\n> > c", "a b\n\nc"),
        ("- a\n- b\n  1. c", "a\n\nb\n\nc"),
        ("- " * 30 + "a", "a"),
        ("a\n\n    one\n      two\n", "a\n\none\n  two"),
        ("```python\nx  =  1\n\n\ny\n```", "x  =  1\n\n\ny"),
        ("|a|b|\n|-|-|\n|c|d|", "a  b\nc  d"),
        ("[words](https://example.org) ![a picture](x.png) <https://x.org>", "words https://x.org"),
        ("&mdash; \\*a\\* &amp;", "— *a* &"),
        # inline HTML
        ("a<br>b <span hidden>c</span>d<sup>2</sup><!-- e -->", "a\nb d2"),
        ("<div>\n\n*a*\n\n</div>\n<script>\nb\n</script>\n", "a"),
        # what is no front matter
        ("---\na: [b\n---\nc", "a: [b\n\nc"),
        ("---\na\n---\nc", "a\n\nc"),
        ("a\n\n---\ntitle: b\n---\n", "a\n\ntitle: b"),
    ],
)
def test_markdown_as_it_is_read(markdown: str, text: str) -> None:
    assert read_markdown(markdown.encode()).text == text


def test_front_matter_tells_of_the_book_and_is_no_text() -> None:
    document = read_markdown(
        b"---\ntitle: 'Emma'\nauthor: [Jane Austen, A. N.  Other]\ndate: 1815-12-23\nlang: en-GB\n"
        b"rights: public domain\ndraft: yes\n---\n# I\n\nwords\n"
    )
    assert document.text == "I\n\nwords"
    assert (document.title, document.author) == ("Emma", "Jane Austen, A. N. Other")
    assert (document.year, document.language) == (1815, "en")
    assert document.licence == "public domain"


def test_headings_make_sections() -> None:
    document = read_markdown(f"# Book\n\n## One\n\n{PROSE}\n\n## Two\n\n{PROSE}".encode())
    assert [section.heading for section in document.sections] == ["One", "Two"]


def test_front_matter_that_multiplies_does_not() -> None:
    lines = ["---", "a: &a [x, x]"]
    lines += [f"{chr(b + 1)}: &{chr(b + 1)} [*{chr(b)}, *{chr(b)}]" for b in range(97, 121)]
    assert read_markdown("\n".join([*lines, "title: *y", "---", "text"]).encode()).text == "text"
    lines = ["---", "a: &a {x: y}"]
    lines += [f"{chr(b + 1)}: &{chr(b + 1)} {{<<: [*{chr(b)}, *{chr(b)}]}}" for b in range(97, 121)]
    assert read_markdown("\n".join([*lines, "---", "text"]).encode()).text == "text"
    deep = f"---\na: {'[' * 2_000}\n---\ntext"
    assert read_markdown(deep.encode()).text.endswith("text")


@pytest.mark.parametrize("unit", ["[", "*_", "![", "> > a\n", "> \na\n", "- - - a\n", "a\n\n"])
def test_what_would_take_long_is_not_read(unit: str) -> None:
    raw = (unit * (2_000_000 // len(unit))).encode()
    with pytest.raises(Unreadable, match=r"may take \d.* s to read; 8 are .* name it .txt"):
        read_markdown(raw)


def test_the_plays_in_one_file_are_no_hostile_text() -> None:
    raw = b"\n\n".join(path.read_bytes() for path in play_paths()[:16])
    assert len(raw) > 1_900_000
    assert len(read_markdown(raw).text) > 1_700_000


def test_blocks_that_lie_too_deep_to_be_parsed_are_told() -> None:
    assert read_markdown(f"{'> ' * 90}words".encode()).text == "words"
    with pytest.raises(Unreadable, match="more than 99 deep"):
        read_markdown(f"{'> ' * 120}words".encode())


def test_a_text_without_words_is_not_read() -> None:
    with pytest.raises(Unreadable, match="It holds no text"):
        read_markdown(b"---\ntitle: a\n---\n***\n")


pieces = [
    "#",
    "> ",
    "- ",
    "1. ",
    "`",
    "*",
    "_",
    "[",
    "](",
    ")",
    "<b>",
    "<!--",
    "|",
    "\n",
    "    ",
    "a",
]


@given(st.lists(st.sampled_from(["---\n", *pieces])).map("".join))
@settings(deadline=None)
def test_any_markdown_is_text_or_unreadable(markdown: str) -> None:
    try:
        text = read_markdown(markdown.encode()).text
    except Unreadable as error:
        assert error.remedy
    else:
        assert text.strip() == text
        assert text.count("a") <= markdown.count("a")


@pytest.mark.parametrize(
    ("front_matter", "title"),
    [
        (r'title: "\UFFFFFFFF"', None),  # no character has so high a number
        (r'title: "\U0011FFFF"', None),
        (f"%YAML {'1' * 5_000}.1", None),  # no version, and no number for Python
        (r'title: "A\uD800 \0\x1b[31mTale"', "A [31mTale"),  # half a character, controls
    ],
)
def test_what_front_matter_may_escape_is_no_title(front_matter: str, title: str | None) -> None:
    document = read_markdown(f"---\n{front_matter}\n---\nIt was night.\n".encode())
    assert document.title == title
    assert document.text.endswith("It was night.")


def test_links_are_found_whose_addresses_stand_below() -> None:
    markdown = b"A [dark][1] *night **and** \\_stormy_*.\n\n[1]: night.html\n"
    assert read_markdown(markdown).text == "A dark night and _stormy_."


def test_brackets_that_are_not_closed_are_text() -> None:
    assert read_markdown(b"[" * 2_000 + b"dark").text == "[" * 2_000 + "dark"


def test_a_title_may_name_the_author() -> None:
    document = read_markdown(b"# Emma, by Jane Austen\n\nEmma Woodhouse was handsome.\n")
    assert (document.title, document.author) == ("Emma", "Jane Austen")
