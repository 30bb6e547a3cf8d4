"""EPUBs read whole: worked pictures, three that were published, and damaged copies of one."""

import os
import random
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import markup
from data.archives import ArchiveLimits
from data.documents import Document, Unreadable
from data.epub import read_epub
from data.headings import FRONT_MATTER
from tests.data.epub_files import TITLE, book, package, packed, page

TEST_DATA = Path(
    os.environ.get("BOOKLOOM_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
AWKWARD = TEST_DATA / "books_awkward"
needs_test_data = pytest.mark.skipif(
    not AWKWARD.is_dir(), reason=f"{AWKWARD} is not here; set BOOKLOOM_TEST_DATA"
)
LIMITS = ArchiveLimits()
NIGHT = "It was a dark and stormy night; the rain fell in torrents. " * 5
NIGHT = NIGHT.strip()


def read(raw: bytes) -> Document:
    return read_epub(raw, LIMITS)


def sections_of(document: Document) -> list[tuple[str, str]]:
    return [
        (one.heading, document.text[one.char_start : one.char_end].strip())
        for one in document.sections
    ]


def refused(raw: bytes, limits: ArchiveLimits = LIMITS) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read_epub(raw, limits)
    assert caught.value.remedy
    return caught.value


def published(name: str) -> bytes:
    return (AWKWARD / name).read_bytes()


def listed(*entries: str) -> str:
    return f"<ol>{''.join(f'<li>{entry}</li>' for entry in entries)}</ol>"


def link(place: str, words: str, kind: str = "") -> str:
    return f'<a epub:type="{kind}" href="{place}">{words}</a>'


def test_a_book_of_each_thing() -> None:
    raw = book(
        {
            "cover.xhtml": '<img src="cover.png" alt=""/>',
            "title.xhtml": "<h1>A Tale</h1><p>by A Poet</p>",
            "one.xhtml": f"<h1>Part One</h1><h2 id='i'>I</h2><p>{NIGHT}</p>"
            f"<h2 id='ii'>II</h2><p>{NIGHT} Again.</p>",
            "two.xhtml": f"<h1>Part Two</h1><p>{NIGHT} Of two.</p>",
            "three.xhtml": f"<h2>III</h2><p>{NIGHT} At last.</p>",
            "notes.xhtml": "<h1>Notes</h1><p>The night of 3 May.</p>",
        },
        metadata=f"{TITLE}<dc:creator>A Poet</dc:creator><dc:language>en</dc:language>"
        "<dc:date>1830</dc:date><dc:rights>Public domain.</dc:rights>",
        toc=listed(
            link("one.xhtml", "Part One")
            + listed(link("one.xhtml#i", "I"), link("one.xhtml#ii", "II")),
            link("two.xhtml", "Part Two") + listed(link("three.xhtml", "III")),
            link("notes.xhtml", "Notes"),
        ),
        landmarks=listed(link("notes.xhtml", "Notes", "endnotes")),
    )
    document = read(raw)
    assert sections_of(document) == [
        (FRONT_MATTER, "A Tale\n\nby A Poet"),
        ("Part One: I", f"Part One\n\nI\n\n{NIGHT}"),
        ("II", f"II\n\n{NIGHT} Again."),
        ("Part Two", f"Part Two\n\n{NIGHT} Of two."),
        ("III", f"III\n\n{NIGHT} At last."),
    ]
    assert document.text == "\n\n".join(words for _, words in sections_of(document))
    assert (document.title, document.author) == ("A Tale", "A Poet")
    assert (document.year, document.language) == (1830, "en")
    assert document.licence == "Public domain."


def test_pages_of_contents_are_left_out_unless_they_are_the_book() -> None:
    guide = '<reference type="toc" href="toc.xhtml"/><reference type="notes" href="n.xhtml"/>'
    pages = {
        "toc.xhtml": "<h1>Contents</h1><p>I 3</p>",
        "a.xhtml": f"<p>{NIGHT}</p>",
        "n.xhtml": "<p>1. Of rain.</p>",
    }
    assert read(book(pages, guide=guide)).text == NIGHT
    pages["a.xhtml"] = "<p>Fin.</p>"
    assert read(book(pages, guide=guide)).text == "Contents\n\nI 3\n\nFin.\n\n1. Of rain."
    # A place on a page says nothing of the page.
    part = guide.replace("toc.xhtml", "a.xhtml#toc")
    assert "Contents" in read(book({**pages, "a.xhtml": f"<p>{NIGHT}</p>"}, guide=part)).text


@pytest.mark.parametrize("where", ["guide", "landmarks"])
def test_a_page_with_more_than_the_contents_is_read(where: str) -> None:
    more = f"<h1>Contents</h1><p>I 3</p><h2>Preface</h2><p>{NIGHT * 9}</p>"
    pages = {"toc.xhtml": more, "a.xhtml": f"<p>{NIGHT * 12}</p>"}
    named = (
        {"guide": '<reference type="toc" href="toc.xhtml"/>'}
        if where == "guide"
        else {"toc": "", "landmarks": listed(link("toc.xhtml", "Contents", "toc"))}
    )
    assert read(book(pages, **named)).text.startswith(f"Contents\n\nI 3\n\nPreface\n\n{NIGHT}")


def test_contents_among_the_spine_are_left_out() -> None:
    files: dict[str, str | bytes] = {
        "OEBPS/a.xhtml": page(f"<p>{NIGHT}</p><p id='ii'>{NIGHT}</p>"),
        "OEBPS/nav.xhtml": page(
            f"<h1>Contents</h1><nav epub:type='toc'>"
            f"{listed(link('a.xhtml', 'I'), link('a.xhtml#ii', 'II'))}</nav>"
        ),
        "OEBPS/book.opf": package(["nav.xhtml", "a.xhtml"]).replace(
            'id="p0"', 'id="p0" properties="nav"'
        ),
    }
    assert sections_of(read(packed(files))) == [("I", NIGHT), ("II", NIGHT)]


def test_a_page_that_has_only_notes_is_left_out() -> None:
    pages = {
        "a.xhtml": f"<p>{NIGHT}</p>",
        "b.xhtml": "<h1>Notes</h1><section epub:type='endnotes'><p>1. Of rain.</p></section>",
        "c.xhtml": "<h1>The End</h1>",
    }
    assert read(book(pages)).text == f"{NIGHT}\n\nThe End"


def test_the_characters_of_notes_and_of_pages_apart_are_counted() -> None:
    pages = {
        "a.xhtml": f"<p>{NIGHT}</p><aside epub:type='footnote'>Of rain.</aside>",
        "b.xhtml": "<h1>Notes</h1><section epub:type='endnotes'><p>1. Of wind.</p></section>",
        "c.xhtml": "<p>2. Of hail.</p>",
        "d.xhtml": "<p>A map.</p>",
        "e.xhtml": "<h1>Contents</h1><p>I 3</p>",
        "f.xhtml": "\0",
    }
    spine = '<itemref idref="p0"/><itemref idref="p1"/><itemref idref="p2"/>' + "".join(
        f'<itemref idref="{item}" linear="no"/>' for item in ("p3", "p3", "p4", "p5", "p0", "gone")
    )
    guide = '<reference type="toc" href="e.xhtml"/><reference type="notes" href="c.xhtml"/>'
    files: dict[str, str | bytes] = {f"OEBPS/{one}": page(body) for one, body in pages.items()}
    files["OEBPS/book.opf"] = package(list(pages), spine=spine, guide=guide)
    document = read(packed(files))
    assert document.text == NIGHT
    assert document.notes_characters == len("Of rain.Notes1. Of wind.2. Of hail.A map.")


def test_the_encoding_is_that_of_most_pages() -> None:
    files: dict[str, str | bytes] = {
        "OEBPS/a.xhtml": page("<p>Caf\xe9</p>").replace("utf-8", "latin-1").encode("latin-1"),
        "OEBPS/b.xhtml": page("<p>Caf\xe9</p>"),
        "OEBPS/c.xhtml": page("<p>Caf\xe9</p>"),
        "OEBPS/book.opf": package(["a.xhtml", "b.xhtml", "c.xhtml"]),
    }
    document = read(packed(files))
    assert document.text == "Caf\xe9\n\nCaf\xe9\n\nCaf\xe9"
    assert document.encoding == "utf-8"
    assert document.encoding_reason == "2 of 3 pages: declared as utf-8"
    files["OEBPS/book.opf"] = package(["a.xhtml"])
    document = read(packed(files))
    assert (document.encoding, document.encoding_reason) == (
        "latin-1",
        "each page: declared as latin-1",
    )


def test_a_page_that_is_no_text_is_named() -> None:
    files: dict[str, str | bytes] = {
        "OEBPS/a.xhtml": b"\x89PNG\r\n\x1a\n\0\0\0",
        "OEBPS/book.opf": package(["a.xhtml"]),
    }
    assert refused(packed(files)).reason.startswith("The page 'OEBPS/a.xhtml': ")


def test_the_first_entries_may_be_front_matter() -> None:
    pages = {
        "cover.xhtml": '<img src="cover.png" alt=""/>',
        "title.xhtml": "<h1>A Tale</h1>",
        "rights.xhtml": f"<p>All rights reserved. {NIGHT}</p>",
        "a.xhtml": f"<h1>I</h1><p>{NIGHT}</p>",
        "b.xhtml": f"<h1>II</h1><p>{NIGHT}</p>",
    }
    names = ("Cover", "A Tale", "Rights", "I", "II")
    toc = listed(*(link(place, words) for place, words in zip(pages, names, strict=True)))
    rights = listed(link("rights.xhtml", "Rights", "copyright-page"))
    document = read(book(pages, toc=toc, landmarks=rights))
    assert [heading for heading, _ in sections_of(document)] == [FRONT_MATTER, "I", "II"]
    # A cover without words says nothing of the page after it.
    cover = listed(link("cover.xhtml", "Cover", "cover"))
    document = read(book(pages, toc=toc, landmarks=cover))
    assert [heading for heading, _ in sections_of(document)] == ["A Tale", "Rights", "I", "II"]


def test_places_begin_at_a_block() -> None:
    pages = {
        "a.xhtml": f"<p>{NIGHT}<a id='end'></a></p><h2>Chapter <i id='mid'>Two</i></h2>"
        f"<p>{NIGHT}</p><h2>Three</h2><p>{NIGHT}</p>"
    }
    toc = listed(link("a.xhtml#none", "One"), link("a.xhtml#end", "Two"))
    expected = [
        ("One", NIGHT),
        ("Two", f"Chapter Two\n\n{NIGHT}\n\nThree\n\n{NIGHT}"),
    ]
    assert sections_of(read(book(pages, toc=toc))) == expected
    toc = toc.replace("#end", "#mid") + listed(link("a.xhtml#none", "Nowhere"))
    assert sections_of(read(book(pages, toc=toc))) == expected


def test_a_place_deep_in_a_block_stays_there() -> None:
    pages = {"a.xhtml": f"<p>I {NIGHT} <b id='ii'>II</b> {NIGHT}</p>"}
    toc = listed(link("a.xhtml", "I"), link("a.xhtml#ii", "II"))
    assert sections_of(read(book(pages, toc=toc))) == [("I", f"I {NIGHT}"), ("II", f"II {NIGHT}")]


def test_without_a_table_of_contents_headings_make_sections() -> None:
    pages = {
        "a.xhtml": f"<h2>The Storm</h2><p>{NIGHT}</p>",
        "b.xhtml": f"<h2>The Calm</h2><p>{NIGHT}</p><h2>The End</h2><p>{NIGHT}</p>",
    }
    for toc in (None, listed(link("a.xhtml", "Start"))):
        assert [heading for heading, _ in sections_of(read(book(pages, toc=toc)))] == [
            "The Storm",
            "The Calm",
            "The End",
        ]
    assert read(book({"a.xhtml": f"<p>{NIGHT}</p>"})).sections == ()


def test_a_page_that_is_damaged_or_missing_refuses_the_book() -> None:
    files: dict[str, str | bytes] = {
        "OEBPS/a.xhtml": page(f"<p>{NIGHT}</p>"),
        "OEBPS/book.opf": package(["a.xhtml", "b.xhtml"]),
    }
    assert refused(packed(files)).reason == "The page 'OEBPS/b.xhtml' is missing in the archive."
    raw = bytearray(packed({**files, "OEBPS/b.xhtml": page("b")}))
    entry = raw.rindex(b"OEBPS/b.xhtml") - 46
    raw[entry + 16] ^= 1  # its checksum
    assert refused(bytes(raw)).reason == (
        "The member 'OEBPS/b.xhtml' is damaged: its checksum differs."
    )


def test_books_beyond_a_limit() -> None:
    raw = book({"a.xhtml": f"<p>{NIGHT}</p>"})
    assert "most_bytes is 1,000" in refused(raw, ArchiveLimits(most_bytes=1000)).reason
    assert "most_members is 3" in refused(raw, ArchiveLimits(most_members=3)).reason


def test_pages_have_one_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    # Parts of each page: html, head, title, body, p and two texts.
    raw = book({f"{number}.xhtml": f"<p>{NIGHT}</p>" for number in range(3)})
    monkeypatch.setattr(markup, "MOST_PARTS", 3 * (5 + 2))
    assert read(raw).text.count(NIGHT) == 3
    monkeypatch.setattr(markup, "MOST_PARTS", 3 * (5 + 2) - 1)
    error = refused(raw)
    assert error.reason == (
        "The page 'OEBPS/2.xhtml': The book has over 20 elements and runs of text; a book may have"
        " no more."
    )
    assert error.remedy == "Split it into several books, or give it as plain text."


@pytest.mark.parametrize("body", ['<img src="a.png" alt=""/>', "", "<p> * * * </p>"])
def test_a_book_without_text(body: str) -> None:
    assert refused(book({"a.xhtml": body, "b.xhtml": body})).reason == "It holds no text."


@settings(max_examples=300)
@given(st.data())
def test_damaged_members_are_read_or_refused(data: st.DataObject) -> None:
    toc = listed(link("a.xhtml", "I") + listed(link("a.xhtml#b", "II")))
    with zipfile.ZipFile(
        BytesIO(book({"a.xhtml": f"<p>{NIGHT}</p><p id='b'>b</p>"}, toc=toc))
    ) as it:
        files = {name: it.read(name) for name in it.namelist()[1:]}
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = start + data.draw(st.integers(0, 3))
        content[start:end] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"<", b"&x;", b"]]>"])
        )
    files[name] = bytes(content)
    container = files.pop("META-INF/container.xml")
    try:
        assert read(packed(files, container)).text
    except Unreadable as error:
        assert error.reason and error.remedy


words = st.text("abc ", max_size=400).map(lambda text: f"x{text}")
bodies = st.lists(st.tuples(st.sampled_from(["h1", "h2", "p", "div"]), words), max_size=4)
entries = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.sampled_from(["I", "Contents", "Part"])),
    max_size=6,
)


@settings(max_examples=50)
@given(st.lists(bodies, min_size=1, max_size=4), entries, st.booleans())
def test_every_letter_of_the_pages_is_in_one_section(
    pages: list[list[tuple[str, str]]], told: list[tuple[int, int, str]], nested: bool
) -> None:
    toc = ""
    for number, block, name in told:
        toc = listed(link(f"{number}.xhtml#b{block}", name) + toc) if nested else (
            toc + listed(link(f"{number}.xhtml#b{block}", name))
        )  # fmt: skip
    bodies = {
        f"{number}.xhtml": "".join(
            f'<{tag} id="b{index}">{text}</{tag}>' for index, (tag, text) in enumerate(blocks)
        )
        for number, blocks in enumerate(pages)
    }
    raw = book(bodies, toc=toc)
    letters = "".join(text.replace(" ", "") for blocks in pages for _, text in blocks)
    if not letters:
        assert refused(raw).reason == "It holds no text."
        return
    document = read(raw)
    assert "".join(document.text.split()) == letters
    if document.sections:
        in_sections = "".join(text for _, text in sections_of(document))
        assert "".join(in_sections.split()) == letters


@needs_test_data
def test_alice() -> None:
    document = read(published("pg11_alice_2025.epub"))
    sections = sections_of(document)
    assert len(sections) == 14
    assert (sections[0][0], sections[-1][0]) == (FRONT_MATTER, "THE FULL PROJECT GUTENBERG LICENSE")
    chapters = sections[1:-1]
    assert [heading.split(". ")[1] for heading, _ in chapters] == [
        "Down the Rabbit-Hole",
        "The Pool of Tears",
        "A Caucus-Race and a Long Tale",
        "The Rabbit Sends in a Little Bill",
        "Advice from a Caterpillar",
        "Pig and Pepper",
        "A Mad Tea-Party",
        "The Queen’s Croquet-Ground",
        "The Mock Turtle’s Story",
        "The Lobster Quadrille",
        "Who Stole the Tarts?",
        "Alice’s Evidence",
    ]
    first, last = " ".join(chapters[0][1].split()), " ".join(chapters[-1][1].split())
    assert first.startswith("CHAPTER I. Down the Rabbit-Hole Alice was beginning to get very tired")
    assert "remembering her own child-life, and the happy summer days. THE END" in last
    assert (document.title, document.author) == (
        "Alice's Adventures in Wonderland",
        "Lewis Carroll",
    )
    assert document.licence == "Public domain in the USA."
    assert (document.language, document.encoding) == ("en", "utf-8")
    assert document.encoding_reason == "each page: declared as utf-8"


@needs_test_data
def test_nested_contents() -> None:
    document = read(published("childrens-literature_epub3.epub"))
    headings = [heading for heading, _ in sections_of(document)]
    assert len(headings) == 21
    assert headings[:4] == [
        "SECTION IV FAIRY STORIES—MODERN FANTASTIC TALES: BIBLIOGRAPHY",
        "INTRODUCTORY",
        "Abram S. Isaacs: 190 A FOUR-LEAVED CLOVER",
        "I. The Rabbi and the Diadem",
    ]
    assert headings[8:10] == [
        "Hans Christian Andersen: 192 THE REAL PRINCESS",
        "193 THE EMPEROR'S NEW CLOTHES",
    ]
    assert "The Black Brothers." in sections_of(document)[-1][1]
    assert "THE CONTENTS" not in document.text


@needs_test_data
def test_a_protected_book() -> None:
    error = refused(published("wasteland_LCP_DRM_encrypted.epub"))
    assert error.reason == (
        "It is encrypted (LCP of Readium): 4 of its members, 'EPUB/fonts.css' first."
    )
    assert error.remedy == "Ask its publisher for a copy without protection."


@needs_test_data
def test_damaged_copies_are_read_or_refused() -> None:
    raw = published("pg11_alice_2025.epub")
    draw = random.Random(11)
    num_read = 0
    for _ in range(300):
        damaged = bytearray(raw)
        if draw.random() < 0.3:
            del damaged[draw.randrange(len(raw)) :]
        for _ in range(draw.randint(1, 8)):
            if damaged:
                damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        try:
            assert read(bytes(damaged)).text
            num_read += 1
        except Unreadable as error:
            assert error.reason and error.remedy
    assert 0 < num_read < 300  # a cover may be damaged
