import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.archives import ArchiveLimits, open_archive
from data.books import Section
from data.documents import Unreadable
from data.epub_navigation import Entry, Navigation, read_navigation
from data.epub_package import Landmark, Place, read_package
from data.epub_sections import Start, sections_from
from data.headings import FRONT_MATTER
from tests.data.epub_files import NAVIGATION_ITEM, book, package, packed, page

PAGES = {"a.xhtml": "<p>a</p>", "b.xhtml": "<p>b</p>"}
TOC = """<h1>Contents</h1><ol>
<li><a href="a.xhtml">Preface</a></li>
<li><span>Part <b>One</b></span><ol>
  <li><a href="b.xhtml#i">I</a></li>
  <li><a href="b.xhtml#ii">II
     </a><ol hidden="hidden"><li><a href="b.xhtml#iia">a</a></li></ol></li></ol></li>
<li><a href="b.xhtml#x"></a></li>
<li><a href="http://example.org/">Our shop</a></li>
<li><span>No one below</span></li></ol>"""
ENTRIES = (
    Entry(1, "Preface", Place("OEBPS/a.xhtml", None)),
    Entry(1, "Part One", None),
    Entry(2, "I", Place("OEBPS/b.xhtml", "i")),
    Entry(2, "II", Place("OEBPS/b.xhtml", "ii")),
    Entry(3, "a", Place("OEBPS/b.xhtml", "iia")),
)
NCX = """<?xml version="1.0"?><!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN"
"http://www.daisy.org/z3986/2005/ncx-2005-1.dtd">
<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><docTitle><text>A Tale</text></docTitle><navMap>
<navPoint><navLabel><text>Preface</text></navLabel><content src="a.xhtml"/></navPoint>
<navPoint><navLabel><text>Part One</text></navLabel>
  <navPoint><navLabel><text>I</text></navLabel><content src="b.xhtml#i"/></navPoint>
  <navPoint><navLabel><text> II </text></navLabel><content src="b.xhtml#ii"/>
    <navPoint><navLabel><text>a</text></navLabel><content src="b.xhtml#iia"/></navPoint>
  </navPoint></navPoint></navMap>
<pageList><pageTarget><navLabel><text>7</text></navLabel><content src="b.xhtml#p7"/></pageTarget>
</pageList></ncx>"""


def read(raw: bytes) -> Navigation:
    archive = open_archive(raw, ArchiveLimits())
    return read_navigation(archive, read_package(archive))


def test_the_document_of_epub_3() -> None:
    landmarks = '<ol><li><a epub:type="cover" href="a.xhtml">Cover</a></li>'
    landmarks += '<li><a epub:type="endnotes" href="b.xhtml#n">Notes</a></li></ol>'
    assert read(book(PAGES, toc=TOC, landmarks=landmarks)) == Navigation(
        ENTRIES,
        (
            Landmark("cover", Place("OEBPS/a.xhtml", None)),
            Landmark("notes", Place("OEBPS/b.xhtml", "n")),
        ),
    )


def test_the_ncx_of_epub_2_is_read_where_there_is_no_other() -> None:
    assert read(book(PAGES, ncx=NCX)).entries == ENTRIES
    assert read(book(PAGES, ncx=NCX, toc="<p>None.</p>")).entries == ENTRIES
    assert read(book(PAGES, ncx="<ncx/>")).entries == ()
    assert read(book(PAGES)).entries == ()


def test_a_damaged_one_is_read_as_far_as_it_goes() -> None:
    assert read(book(PAGES, ncx=NCX[: NCX.index('<content src="b')])).entries[0] == ENTRIES[0]
    assert read(book(PAGES, ncx=NCX.replace("Preface", "Preface & <i>more"))).entries[0].words


def test_one_that_declares_entities_is_refused() -> None:
    files = {
        "OEBPS/a.xhtml": page("a"),
        "OEBPS/nav.xhtml": f'<!DOCTYPE html [<!ENTITY a "ha">]>{page("&a;")[38:]}',
        "OEBPS/book.opf": package(["a.xhtml"], items=NAVIGATION_ITEM),
    }
    with pytest.raises(Unreadable, match="declares entities"):
        read(packed(files))


# A book in which each entry's text is a run of its letter.
def cut(text: str, *starts: Start) -> list[tuple[str, str]]:
    return [
        (one.heading, text[one.char_start : one.char_end]) for one in sections_from(starts, text)
    ]


def test_chapters_and_what_lies_before_them() -> None:
    text = "t" * 5 + "a" * 300 + "b" * 10
    assert cut(text, Start(1, "A", 5), Start(1, "B", 305)) == [
        (FRONT_MATTER, "t" * 5),
        ("A", "a" * 300),
        ("B", "b" * 10),
    ]


@pytest.mark.parametrize(
    ("num_own", "headings"),
    [
        (0, ["Part One: I", "II"]),
        (200, ["Part One: I", "II"]),
        (201, ["Part One", "I", "II"]),
    ],
)
def test_parts_with_and_without_a_text_of_their_own(num_own: int, headings: list[str]) -> None:
    text = "p" * num_own + "a" * 300 + "b" * 300
    starts = (Start(1, "Part One", 0), Start(2, "I", num_own), Start(2, "II", num_own + 300))
    found = cut(text, *starts)
    assert [heading for heading, _ in found] == headings
    assert "".join(part for _, part in found) == text


def test_parts_in_parts_and_parts_without_chapters() -> None:
    text = "a" * 300 + "v" + "b" * 300
    assert [
        heading
        for heading, _ in cut(
            text,
            Start(1, "Book One", 0),
            Start(2, "Part One", 0),
            Start(3, "Part One. I", 0),
            Start(1, "Volume", 300),
            Start(2, "empty", 301),
            Start(1, "Book Two", 301),
        )
    ] == ["Book One: Part One. I", "Volume", "Book Two"]


def test_the_first_entries_of_the_front_matter_are_one_section() -> None:
    text = "t" * 20 + "e" * 20 + "c" * 500 + "a" * 300 + "b" * 300 + "o" * 50
    title, edition = Start(1, "A Tale", 0), Start(1, "Third Edition", 20)
    contents, end = Start(1, "Contents", 40, is_front=True), Start(1, "Copyright", 1140, True)
    first, second = Start(1, "I", 540), Start(1, "II", 840)
    assert [heading for heading, _ in cut(text, title, edition, contents, first, second, end)] == [
        FRONT_MATTER,
        "I",
        "II",
        "Copyright",
    ]
    assert [heading for heading, _ in cut(text, title, edition, first)] == [
        "A Tale",
        "Third Edition",
        "I",
    ]


def test_contents_at_the_end_of_short_poems_make_no_front_matter() -> None:
    text = "p" * 1000
    poems = [Start(1, f"poem {index}", 100 * index) for index in range(9)]
    found = sections_from([*poems, Start(1, "Contents", 900, is_front=True)], text)
    assert len(found) == 10


starts = st.builds(
    Start,
    st.integers(1, 4),
    st.text("ab", min_size=1, max_size=2),
    st.integers(0, 700),
    st.booleans(),
)


@given(st.text("ab \n", max_size=700), st.lists(starts, max_size=12), st.integers(1, 100))
def test_every_character_is_in_one_section(text: str, given: list[Start], times: int) -> None:
    text = (text * times)[:700]
    inside = [Start(s.level, s.words, min(s.char_start, len(text)), s.is_front) for s in given]
    sections = sections_from(inside, text)
    previous = Section("", 0, 0)
    for one in sections:
        assert previous.char_end <= one.char_start < one.char_end <= len(text)
        assert not text[previous.char_end : one.char_start].strip()
        assert text[one.char_start : one.char_end].strip() and one.heading
        previous = one
    assert not text[previous.char_end :].strip()


def test_navigation_may_lie_in_other_navigation() -> None:
    toc = '<nav epub:type="toc"><ol><li><a href="a.xhtml">A</a></li></ol></nav>'
    nav = page(f"<nav><div>{toc}</div></nav>")
    files = {"OEBPS/a.xhtml": page("A"), "OEBPS/nav.xhtml": nav}
    raw = packed({**files, "OEBPS/book.opf": package(["a.xhtml"], items=NAVIGATION_ITEM)})
    assert read(raw).entries == (Entry(1, "A", Place("OEBPS/a.xhtml", None)),)
