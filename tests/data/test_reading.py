import codecs
import os
import re
from collections import Counter
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.archives import ArchiveLimits
from data.book_schemas import REFUSALS
from data.books import Book, Refusal
from data.headings import FRONT_MATTER
from data.parquet_source import read_parquet
from data.reading import ReadBook, Reading, read_entry, words_digest
from data.sources import Entry, Finding, find_entries
from data.store import Store
from tests.data import epub_files

TEST_DATA = Path(
    os.environ.get("BOOKLOOM_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
needs_test_data = pytest.mark.skipif(
    not TEST_DATA.is_dir(), reason=f"{TEST_DATA} is not here; set BOOKLOOM_TEST_DATA"
)
PROSE = "It was a dark and stormy night; the rain fell in torrents. " * 4


class Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


AS_USUAL = Reading()


def read_plain_text(path: Path, source: str, reading: Reading = AS_USUAL) -> Book:
    [item] = read_entry(Entry("file", source, str(path), 0), Finding(), reading)
    if isinstance(item, ReadBook):
        return item.book
    raise Refused(item)


def read(folder: Path, raw: bytes, name: str = "a_shelf book.txt") -> Book:
    path = folder / name
    path.write_bytes(raw)
    return read_plain_text(path, name)


def read_or_refuse(path: Path) -> Book | Refusal:
    try:
        return read_plain_text(path, "given")
    except Refused as refused:
        return refused.refusal


def refusal_of(path: Path) -> Refusal:
    with pytest.raises(Refused) as caught:
        read_plain_text(path, "given")
    refusal = caught.value.refusal
    assert (refusal.source, refusal.step) == ("given", "read")
    assert refusal.remedy
    return refusal


def refuse(folder: Path, raw: bytes) -> Refusal:
    (folder / "bad.txt").write_bytes(raw)
    return refusal_of(folder / "bad.txt")


# Decoding


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (b"plain", "utf-8"),
        ("naïve “€”".encode(), "utf-8"),
        (codecs.BOM_UTF8 + "naïve".encode(), "utf-8"),
        (codecs.BOM_UTF16_LE + "naïve 𝄞".encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + "naïve 𝄞".encode("utf-16-be"), "utf-16-be"),
        (codecs.BOM_UTF32_LE + "naïve 𝄞".encode("utf-32-le"), "utf-32-le"),
        (codecs.BOM_UTF32_BE + "naïve 𝄞".encode("utf-32-be"), "utf-32-be"),
        ("größer, Käfer".encode("latin-1"), "latin-1"),
        ("“größer” – 5 €".encode("windows-1252"), "windows-1252"),
    ],
)
def test_each_encoding_is_recognised(tmp_path: Path, raw: bytes, encoding: str) -> None:
    book = read(tmp_path, raw)
    assert book.encoding == encoding
    marks = {"utf-8": len(codecs.BOM_UTF8) * raw.startswith(codecs.BOM_UTF8)}
    start = marks.get(encoding, {"16": 2, "32": 4}.get(encoding[4:6], 0))
    assert book.text == raw[start:].decode(encoding)


def test_only_line_ends_form_feeds_and_the_end_of_file_mark_change(tmp_path: Path) -> None:
    book = read(tmp_path, "a\r\nb\rc\n\r\nd\fe\tf\u00a0\u2028\u0085g\x1a".encode())
    assert book.text == "a\nb\nc\n\nd\ne\tf\u00a0\u2028\u0085g"


@pytest.mark.parametrize(
    ("raw", "offset", "words"),
    [
        (b"ab\x00c", 2, "binary"),
        (b"ab\x1ac", 2, "binary"),
        (b"\xe9t\xe9\x7f", 3, "binary"),
        (codecs.BOM_UTF8 + b"a\x01", 4, "binary"),
        (codecs.BOM_UTF16_LE + "é𝄞\x07".encode("utf-16-le"), 2 + 2 + 4, "binary"),
        (codecs.BOM_UTF16_LE + b"a\x00b", 4, "damaged"),
        (codecs.BOM_UTF32_BE + b"\x00\x00\x00a\xff\xff\xff\xff", 8, "damaged"),
        (codecs.BOM_UTF8 + b"abc\xe9", 6, "damaged"),
        ("déjà vu ".encode() + b"\xe9.", 10, "damaged"),  # two letters are UTF-8, one is not
        (b"\xe9. " + "déjà vu".encode(), 0, "damaged"),
        ("déjà".encode()[:-1] + "– à".encode()[:3], 4, "damaged"),
        (b"\x81bc", 0, "encoding is unknown"),
        (b"", None, "empty"),
        (b" \r\n\t\x1a", None, "empty"),
        (codecs.BOM_UTF8, None, "empty"),
        (b"1234 + 5 = !", None, "no letters"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(
    tmp_path: Path, raw: bytes, offset: int | None, words: str
) -> None:
    refusal = refuse(tmp_path, raw)
    assert words in refusal.reason
    assert refusal.offset == offset


def test_latin_1_that_looks_like_utf_8_once_is_still_latin_1(tmp_path: Path) -> None:
    raw = "Ã© and übel und böse".encode("latin-1")  # one valid sequence, two bad bytes
    assert read(tmp_path, raw).text == "Ã© and übel und böse"


def test_what_cannot_be_opened_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such file" in refusal_of(tmp_path / "missing.txt").reason
    assert "folder" in refusal_of(tmp_path).reason
    assert "can't be read" in refusal_of(tmp_path / ("x" * 300)).reason
    assert "can't be read" in refusal_of(tmp_path / "a\0b").reason

    def forbid(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbid)
    assert "not permitted" in refusal_of(tmp_path / "secret.txt").reason


# What a book is called


def test_names_come_from_the_file_when_the_text_tells_none(tmp_path: Path) -> None:
    book = read(tmp_path, b"Title: not a header\n", "Émile_und--die 3 Detektive.txt")
    assert book.title == "Émile und die 3 Detektive"
    assert book.book_id == f"emile-und-die-3-detektive-{book.sha256[:12]}"
    assert (book.author, book.language, book.source) == (
        None,
        None,
        "Émile_und--die 3 Detektive.txt",
    )
    assert read(tmp_path, b"mir", "Война.txt").book_id.startswith("book-")


def test_names_come_from_a_project_gutenberg_header(tmp_path: Path) -> None:
    raw = (
        b"The Project Gutenberg EBook\r\n\r\nTitle:  Die Verwandlung \r\nAuthor: Franz Kafka\r\n"
        b"Language: German\r\n" + b"\r\n" * 94 + b"Title: Another\r\nLanguage: Klingon\r\n"
    )
    book = read(tmp_path, raw)
    assert (book.title, book.author, book.language) == ("Die Verwandlung", "Franz Kafka", "de")
    assert read(tmp_path, raw.replace(b"German", b"Klingon")).language is None
    assert read(tmp_path, b"\n" * 100 + raw).author is None


def test_the_number_comes_from_a_project_gutenberg_header(tmp_path: Path) -> None:
    raw = b"The Project Gutenberg EBook\n\nTitle: A\nRelease Date: 2007 [EBook #22367]\n\nWords.\n"
    assert read(tmp_path, raw).gutenberg_number == 22367
    assert read(tmp_path, raw.replace(b"[EBook #22367]", b"")).gutenberg_number is None
    assert read(tmp_path, raw.replace(b"Project Gutenberg", b"Other")).gutenberg_number is None


def test_a_book_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert read(tmp_path, b"Words.") == read(tmp_path / "elsewhere", b"Words.")


def test_a_file_name_that_is_not_utf_8_can_be_stored(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"\xe9.txt")).write_bytes(b"Words.")
    (folder / os.fsdecode(b"\xe9\xe9.txt")).write_bytes(b"\0")
    finding = Finding(folder_label="genre")
    gone = read_parquet(folder / "gone.parquet", ArchiveLimits())
    found = [*find_entries([str(folder)], finding), *gone]
    items: list[Any] = []
    for one in found:
        items += read_entry(one, finding, AS_USUAL) if isinstance(one, Entry) else [one]
    [book, *refusals] = [one.book if isinstance(one, ReadBook) else one for one in items]
    assert (book.title, book.genre) == ("\\udce9", "caf\\udce9")
    names = ["\\udce9.txt", "\\udce9\\udce9.txt", "gone.parquet"]
    shown = f"{tmp_path}/caf\\udce9"
    assert [one.source for one in [book, *refusals]] == [
        f"{shown}/{names[0]}",
        f"{shown}/{names[1]}",
        f"parquet:{shown}/{names[2]}",
    ]

    store = Store(str(tmp_path / "store"))
    store.write_json("entries.json", {one.source: one.reason for one in refusals})
    assert list(store.read_json("entries.json")) == [one.source for one in refusals]
    rows = [asdict(refusal) for refusal in refusals]
    with store.table_writer("refusals.parquet", REFUSALS, {}) as writer:
        writer.write({name: [row[name] for row in rows] for name in REFUSALS.schema.names})
    assert store.read_table("refusals.parquet").to_pylist() == rows
    told = pa.table({name: [getattr(book, name)] for name in ("title", "genre", "source")})
    pq.write_table(told, tmp_path / "book.parquet")
    assert pq.read_table(tmp_path / "book.parquet") == told


# Any bytes


wild_text = st.text() | st.lists(
    st.sampled_from(["CHAPTER I", "IV.", "PROLOGUE", "\n", "\n\n", " ", "a", PROSE, "x" * 7_000])
).map("".join)


encoded_text = st.builds(
    lambda text, encoding: text.encode(encoding, "replace"),
    wild_text,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "windows-1252"]),
)


@given(st.binary() | encoded_text | st.builds(bytes.__add__, encoded_text, st.binary(max_size=3)))
@settings(deadline=None)
def test_any_bytes_are_a_book_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "wild.txt"
    path.write_bytes(raw)
    item = read_or_refuse(path)
    if isinstance(item, Refusal):
        assert item.offset is None or 0 <= item.offset < len(raw)
    else:
        item.text.encode("utf-8")  # or no table could hold it
        assert item.sections
        assert not set("\r\f\0") & set(item.text)


# Real books


@needs_test_data
def test_one_novel_in_two_encodings_has_the_same_words() -> None:
    paths = [
        TEST_DATA / "books" / "dickens_expectations.txt",
        TEST_DATA / "books_awkward" / "expectations_latin1.txt",
    ]
    whole = [read_plain_text(path, path.name, Reading(boilerplate=None)) for path in paths]
    assert [book.encoding for book in whole] == ["utf-8", "latin-1"]
    assert [len(book.text.split()) for book in whole] == [187_425] * 2
    stripped = [read_plain_text(path, path.name) for path in paths]
    assert words_digest(stripped[0].text) == words_digest(stripped[1].text)
    assert (stripped[0].title, stripped[0].author) == ("Great Expectations", "Charles Dickens")
    chapters = [[section.heading for section in book.sections] for book in stripped]
    assert chapters[0] == chapters[1]
    assert (len(chapters[0]), chapters[0][0], chapters[0][-1]) == (59, "Chapter I", "Chapter LIX")


# First and last words of the novels themselves, and their chapters.
NOVELS = {
    "austen_persuasion": ("Sir Walter Elliot, of Kellynch Hall", "national importance.", 24),
    "austen_pride": ("It is a truth universally acknowledged", "the means of uniting them.", 61),
    "carroll_alice": ("Alice was beginning to get very tired", "the happy summer days.", 12),
    "carroll_lookingglass": ("One thing was certain", "but a dream?", 12),
    "dickens_expectations": ("My father's family name being Pirrip", "parting from her.", 59),
    "dickens_twocities": ("It was the best of times", "than I have ever known.", 45),
    "doyle_adventures": ("To Sherlock Holmes she is always", "considerable success.", 12),
    "doyle_hound": ("Mr. Sherlock Holmes, who was usually", "Marcini’s for a little dinner", 15),
    "wells_timemachine": ("The Time Traveller (for so it will", "the heart of man.", 17),
    "wells_worlds": ("No one would have believed", "counted me, among the dead.", 27),
}
NOT_THE_NOVEL = re.compile(
    r"gutenberg|\be-?text\b|electronic works?\b|small print|^produced by|licen[cs]e", re.IGNORECASE
)


@needs_test_data
@pytest.mark.parametrize("name", NOVELS)
def test_of_a_novel_nothing_is_lost_and_nothing_is_added(name: str) -> None:
    first, last, num_chapters = NOVELS[name]
    path = TEST_DATA / "books" / f"{name}.txt"
    book = read_plain_text(path, path.name)
    words = " ".join(book.text.split())
    assert words.index(first) < 3000
    assert len(words) - words.rindex(last) < 200
    added = [line for line in book.text.split("\n") if NOT_THE_NOVEL.search(line)]
    assert not [line for line in added if not re.search("licen[cs]e", line, re.IGNORECASE)]
    assert not [line for line in added if re.search("full license|license terms", line)]
    chapters = [one for one in book.sections if one.heading != FRONT_MATTER]
    assert len(chapters) == num_chapters


@needs_test_data
def test_a_german_book_keeps_its_umlauts() -> None:
    book = read_plain_text(TEST_DATA / "books_awkward" / "kafka_verwandlung_de.txt", "kafka")
    assert (book.encoding, book.language, book.title) == ("latin-1", "de", "Die Verwandlung")
    assert "ungeheueren Ungeziefer" in book.text
    assert "Käfer" in book.text or "für" in book.text
    assert [section.heading for section in book.sections] == [FRONT_MATTER, "I.", "II.", "III."]


@needs_test_data
def test_an_encrypted_epub_is_refused_by_the_name_of_its_protection() -> None:
    refusal = refusal_of(TEST_DATA / "books_awkward" / "wasteland_LCP_DRM_encrypted.epub")
    assert refusal.reason.startswith("It is encrypted (LCP of Readium)")
    assert "without protection" in refusal.remedy


@needs_test_data
@pytest.mark.parametrize("name", ["alice_11-h.htm", "pg11_alice_2025.epub", "alice30.txt"])
def test_alice_is_the_same_book_in_every_edition(name: str) -> None:
    book = read_plain_text(TEST_DATA / "books_awkward" / name, name)
    plain = read_plain_text(TEST_DATA / "books" / "carroll_alice.txt", "plain")
    assert re.fullmatch("Alice(['’]s Adventures)? in Wonderland", book.title)
    # The oldest edition says nowhere who wrote it.
    assert (book.author, book.year) == (None if name == "alice30.txt" else "Lewis Carroll", None)
    assert "gutenberg" not in book.text.lower()
    assert "Alice was beginning to get very tired of sitting by her sister" in " ".join(
        book.text.split()
    )
    assert book.text.rstrip().removesuffix("THE END").rstrip().endswith("happy summer days.")
    chapters = [one.heading for one in book.sections if one.heading != FRONT_MATTER]
    assert len(chapters) == len([s for s in plain.sections if s.heading != FRONT_MATTER]) == 12
    assert chapters[0].upper().startswith("CHAPTER I")
    words, in_plain = (Counter(re.findall(r"\w+", one.text.lower())) for one in (book, plain))
    assert (words - in_plain).total() + (in_plain - words).total() < 0.03 * in_plain.total()


@pytest.mark.parametrize(
    "raw",
    [
        f"CHAPTER I\r\n\r\n{PROSE}\r\nThe light-\r\nning.\r\n\r\n[Pg 2]\r\n\r\nCHAPTER II\r\n\r\n"
        f"{PROSE * 60}\f\r\n{PROSE}".encode(),
        pytest.param("warw11.txt", marks=needs_test_data),
    ],
    ids=["made", "published"],
)
def test_a_text_in_a_table_is_the_same_book_as_in_a_file(raw: bytes | str, tmp_path: Path) -> None:
    raw = raw if isinstance(raw, bytes) else (TEST_DATA / "books_awkward" / raw).read_bytes()
    (tmp_path / "book.txt").write_bytes(raw)
    [in_file] = read_entry(
        Entry("file", "book", str(tmp_path / "book.txt"), 0), Finding(), AS_USUAL
    )
    assert isinstance(in_file, ReadBook)
    written = raw.decode()
    assert "\r\n" in written
    texts = [written, written.replace("\r\n", "\n"), f"\ufeff{written}\x1a"]
    path = tmp_path / "shelf.parquet"
    pq.write_table(pa.table({"text": texts, "title": [in_file.book.title] * 3}), path)
    for item in read_entry(Entry("parquet", "shelf", str(path), 0), Finding(), AS_USUAL):
        assert isinstance(item, ReadBook)
        assert item.book.text == in_file.book.text
        assert item.book.sections == in_file.book.sections
        assert item.receipt == in_file.receipt


def zipped(path: Path, **members: bytes) -> Path:
    with ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return path


def test_an_archive_is_read_member_by_member(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", d_txt=PROSE.encode()).read_bytes()
    path = zipped(
        tmp_path / "shelf.zip",
        shelf__a_txt=f"{PROSE} A.".encode(),
        shelf__b_md=b"# One\n\n*" + PROSE.strip().encode() + b"*\n",
        shelf__c_txt=b"\x00\x01",
        shelf__inner_zip=inner,
        shelf__cover_png=b"",
    )
    entry = Entry("file", "shelf.zip", str(path), 0)
    items = list(read_entry(entry, Finding(), Reading()))
    assert [item.source if isinstance(item, Refusal) else item.book.source for item in items] == [
        "shelf.zip/shelf/a.txt",
        "shelf.zip/shelf/b.md",
        "shelf.zip/shelf/c.txt",
        "shelf.zip/shelf/inner.zip/d.txt",
    ]
    one, two, refused, inside = items
    assert isinstance(one, ReadBook) and one.book.text == f"{PROSE} A."
    assert isinstance(two, ReadBook) and two.book.text == f"One\n\n{PROSE.strip()}"
    assert two.book.title == "One"
    assert isinstance(refused, Refusal) and "binary" in refused.reason
    assert isinstance(inside, ReadBook) and inside.book.title == "d"
    by_folder = Finding(folder_label="genre")
    genres = [
        one.book.genre
        for one in read_entry(entry, by_folder, Reading())
        if one.__class__ is ReadBook
    ]
    assert genres == ["shelf", "shelf", "shelf"]
    told = replace(entry, genre="told")
    assert {
        one.book.genre
        for one in read_entry(told, by_folder, Reading())
        if isinstance(one, ReadBook)
    } == {"told"}


def test_what_is_nothing_but_pages_is_no_book(tmp_path: Path) -> None:
    (tmp_path / "pages.txt").write_text("[Pg 1]\n\n[Pg 2]\n")
    refusal = refusal_of(tmp_path / "pages.txt")
    assert refusal.reason == "It holds nothing but page numbers and the like."


def test_a_receipt_says_what_was_the_printed_pages(tmp_path: Path) -> None:
    path = tmp_path / "scan.txt"
    path.write_text(f"{PROSE}\n\n[Pg 12]\n\n{PROSE}")
    [item] = read_entry(Entry("file", "scan.txt", str(path), 0), Finding(), AS_USUAL)
    assert isinstance(item, ReadBook)
    assert item.receipt.page_characters == len("[Pg 12]\n\n")


def test_a_receipt_says_what_were_notes(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(f"<p>{PROSE}</p><div class='footnotes'><p>1. Of rain.</p></div>")
    [item] = read_entry(Entry("file", "page.html", str(path), 0), Finding(), AS_USUAL)
    assert isinstance(item, ReadBook)
    assert item.book.text == PROSE.strip()
    assert item.receipt.notes_characters == len("1. Of rain.")


def test_names_have_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    page = f"<title>a&#27;[31m\u202eb</title><meta name=author content='x&#27;[2J'><p>{PROSE}"
    book = read(tmp_path, page.encode(), "page.html")
    assert (book.title, book.author) == (r"a\x1b[31m\u202eb", r"x\x1b[2J")


@given(st.characters(codec="utf-8"))
@example("\U00100000")
@settings(deadline=None)
def test_words_of_any_characters_have_a_digest(character: str) -> None:
    assert words_digest(f"a {character}") == words_digest(f"A\n{character} ")
    is_word = any(map(str.isalnum, character.casefold()))
    assert (words_digest("a") != words_digest(f"a {character}")) == is_word


@given(st.text(alphabet=st.sampled_from("aAéÉßſİΣσς1²٣ -\n\u3000ŉ𝔄𐐀"), max_size=40))
def test_a_digest_of_words_is_of_all_in_lower_case(text: str) -> None:
    words = "".join(one if one.isalnum() else " " for one in text.casefold()).split()
    assert words_digest(text) == sha256(" ".join(words).encode("utf-32-le")).hexdigest()


@pytest.mark.parametrize("name", ["book.zip", "book.txt", "book"])
def test_a_file_is_what_it_begins_as(tmp_path: Path, name: str) -> None:
    text = PROSE.strip()
    page = f"<html><body><p>{text}</p></body></html>"
    if name != "book.zip":
        assert read(tmp_path, page.encode(), name).text == text
    epub = epub_files.book({"one.xhtml": f"<p>{text}</p>"})
    assert read(tmp_path, epub, name).text == text


def test_an_archive_in_an_archive_that_has_the_name_of_a_text_is_refused(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", **{"a.txt": PROSE.encode()}).read_bytes()
    path = zipped(tmp_path / "outer.zip", **{"good.txt": PROSE.encode(), "inner.txt": inner})
    book, refusal = read_entry(Entry("file", "outer", str(path), 0), Finding(), Reading())
    assert isinstance(book, ReadBook) and isinstance(refusal, Refusal)
    assert (refusal.source, refusal.remedy) == ("outer/inner.txt", "Give it the ending .zip.")


def test_what_a_terminal_obeys_is_escaped_in_what_is_told_of_a_member(tmp_path: Path) -> None:
    members = {"a\x1b[31m\nb.txt": b"", "\u202egood.txt": PROSE.encode()}
    path = zipped(tmp_path / "a.zip", **members)
    refusal, book = read_entry(Entry("file", "a", str(path), 0), Finding(), Reading())
    assert isinstance(book, ReadBook) and isinstance(refusal, Refusal)
    assert refusal.source == r"a/a\x1b[31m\nb.txt"
    assert (book.book.source, book.book.title) == (r"a/\u202egood.txt", r"\u202egood")


def test_what_a_terminal_obeys_is_escaped_in_what_a_parser_quotes(tmp_path: Path) -> None:
    package = '<package xmlns="http://a\x7fb"/>'
    path = tmp_path / "a.epub"
    path.write_bytes(epub_files.packed({"OEBPS/book.opf": package}))
    refusal = refusal_of(path)
    assert r"'http://a\x7fb' is not a valid URI" in refusal.reason
