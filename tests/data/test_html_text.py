import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.documents import Unreadable, without
from data.gutenberg import BoilerplateSettings, boilerplate
from data.headings import FRONT_MATTER
from data.html_text import read_html
from data.markup import text_of_markup
from data.page_sections import sections_of
from data.plain_text import read_text

TEST_DATA = Path(
    os.environ.get("BOOKLOOM_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
needs_test_data = pytest.mark.skipif(
    not TEST_DATA.is_dir(), reason=f"{TEST_DATA} is not here; set BOOKLOOM_TEST_DATA"
)
PROSE = f"<p>{'It was a dark and stormy night; the rain fell in torrents. ' * 4}</p>"


def headings_of(page: str) -> list[str]:
    return [section.heading for section in sections_of(text_of_markup(page))]


@pytest.mark.parametrize(
    ("page", "headings"),
    [
        (f"<h1>A</h1>{PROSE}<h1>B</h1>{PROSE}", ["A", "B"]),
        (f"<p>by me</p><h1>A</h1>{PROSE}<h1>B</h1>{PROSE}", [FRONT_MATTER, "A", "B"]),
        # the one heading of its level is a title page's
        (f"<h1>Book</h1><h2>A</h2>{PROSE}<h2>B</h2>{PROSE}", ["A", "B"]),
        # parts and chapters
        (
            f"<h1>PART ONE</h1><h2>A</h2>{PROSE}<h2>B</h2>{PROSE}"
            f"<h1>PART TWO</h1><h2>C</h2>{PROSE}",
            ["PART ONE: A", "B", "PART TWO: C"],
        ),
        # numbers and titles of chapters
        (f"<h2>I</h2><h3>A</h3>{PROSE}<h2>II</h2><h3>B</h3>{PROSE}", ["I: A", "II: B"]),
        # what divides a chapter
        (f"<h1>A</h1>{PROSE}<h2>1</h2>{PROSE}<h2>2</h2>{PROSE}<h1>B</h1>{PROSE}", ["A", "B"]),
        # a table of contents, though it is long
        (
            f"<h1>Contents</h1><p>{'One<br>Two<br>' * 40}</p>"
            f"<h1>One</h1>{PROSE}<h1>Two</h1>{PROSE}<h1>THE END</h1>",
            ["One", "Two"],
        ),
        (f"<h1>A</h1>{PROSE}", []),
        (f"<p>x</p><h1>A</h1>{PROSE}", []),
        ("<h1>A</h1>short<h1>B</h1>short", []),
        (PROSE, []),
        ("", []),
    ],
)
def test_sections_come_from_the_headings_that_structure_a_page(
    page: str, headings: list[str]
) -> None:
    assert headings_of(page) == headings


@given(
    st.lists(
        st.sampled_from(
            ["<h1>A</h1>", "<h2>B<br>C</h2>", "<h3>D</h3>", "<h2></h2>", "<p>x</p>", "B C", PROSE]
        )
    ).map("".join)
)
@settings(deadline=None)
def test_sections_hold_every_character_but_white_space_once(html: str) -> None:
    page = text_of_markup(html)
    sections = sections_of(page)
    outside, end = "", 0
    for section in sections:
        assert end <= section.char_start < section.char_end
        inside = page.text[section.char_start : section.char_end]
        assert inside == inside.strip()
        outside += page.text[end : section.char_start]
        end = section.char_end
    assert not sections or not (outside + page.text[end:]).strip()


def test_a_page_is_read_in_the_encoding_it_declares() -> None:
    page = "<meta charset=windows-1251><title>Анна</title><p>Все счастливые семьи</p>"
    document = read_html(page.encode("cp1251"))
    assert (document.text, document.title) == ("Все счастливые семьи", "Анна")
    assert document.encoding_reason == "declared as windows-1251"
    assert read_html(page.encode("koi8-r"), "koi8-r").text == document.text


@pytest.mark.parametrize(
    ("title", "book", "author"),
    [
        ("Emma", "Emma", None),
        ("Emma, by Jane Austen", "Emma", "Jane Austen"),
        ("The Project Gutenberg eBook of Emma, by Jane Austen", "Emma", "Jane Austen"),
        ("The Project Gutenberg E-text of Emma, by Jane Austen", "Emma", "Jane Austen"),
        ("Emma | Project Gutenberg", "Emma", None),
        ("Stand by Me", "Stand by Me", None),
        ("x" * 400 + ", by Me", "x" * 400 + ", by Me", None),
    ],
)
def test_titles_of_pages(title: str, book: str, author: str | None) -> None:
    document = read_html(f"<title>{title}</title><p>words".encode())
    assert (document.title, document.author) == (book, author)


@pytest.mark.parametrize(
    "raw", [b"", b" \n", b"<p hidden>words</p>", b"<p>&nbsp;</p><hr>", b"<p>1"]
)
def test_a_page_without_text_is_not_read(raw: bytes) -> None:
    with pytest.raises(Unreadable, match="It holds no text"):
        read_html(raw)


def test_what_is_no_page_says_so() -> None:
    with pytest.raises(Unreadable, match="binary"):
        read_html(b"<p>\0")


@needs_test_data
def test_a_novel_in_html_has_its_chapters_and_no_more_than_its_words() -> None:
    document = read_html((TEST_DATA / "books_awkward/alice_11-h.htm").read_bytes())
    assert document.title == "Alice's Adventures in Wonderland"
    assert (document.author, document.language) == ("Lewis Carroll", "en")
    assert "*** START OF THIS PROJECT GUTENBERG EBOOK ALICE'S" in document.text.split("ALICE’S")[0]

    found = boilerplate(document.text, BoilerplateSettings())
    document = without(document, found.removals)
    assert not found.receipt.kept_whole
    assert "gutenberg" not in document.text.lower()
    assert not set("<>{}") & set(document.text)
    assert "text-align" not in document.text

    sections = document.sections
    assert len(sections) == 12
    assert sections[0].heading == "CHAPTER I. Down the Rabbit-Hole"
    assert sections[-1].heading == "CHAPTER XII. Alice’s Evidence"
    first, last = (
        document.text[one.char_start : one.char_end] for one in (sections[0], sections[-1])
    )
    assert (
        "\n\nAlice was beginning to get very tired of sitting by her sister on the bank," in first
    )
    assert "remembering her own child-life, and the happy summer days." in last

    plain = read_text((TEST_DATA / "books/carroll_alice.txt").read_bytes())
    plain = without(plain, boilerplate(plain.text, BoilerplateSettings()).removals)
    words, plain_words = (
        re.findall(r"[^\W_]+", text[text.index("Alice was beginning") :].lower())
        for text in (document.text, plain.text)
    )
    assert len(words) == len(plain_words) == 27_324
    changed = [pair for pair in zip(words, plain_words, strict=True) if pair[0] != pair[1]]
    assert changed == [("ever", "even")]  # a misprint that one release has corrected
