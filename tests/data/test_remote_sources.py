"""Sources that are no files, from a local server, a corpus and a table, through to books."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.books import Refusal
from data.download import DownloadSettings
from data.errors import UserMistake
from data.reading import ReadBook, Reading, read_entry
from data.sources import Entry, Finding, content_digest, find_entries
from tests.local_server import QuietHandler, serving

HEADER = (
    "The Project Gutenberg EBook of Emma\n\nTitle: Emma\nAuthor: Jane Austen\nLanguage: English\n\n"
)
START = "*** START OF THIS PROJECT GUTENBERG EBOOK EMMA ***\n\n"
END = "\n\n*** END OF THIS PROJECT GUTENBERG EBOOK EMMA ***\n\n"
END += "Updated editions will replace the previous one. Project Gutenberg-tm electronic works.\n"
NOVEL = "Emma Woodhouse, handsome, clever, and rich, had lived nearly twenty-one years. " * 60
PAGES = {
    "/cache/epub/158/pg158.txt": (HEADER + START + NOVEL + END).encode(),
    "/shelf/novel.txt": b"\xefThe na\xefve caf\xe9. " * 50,
    "/page.html": b"<html><body><p>A page.</p></body></html>",
}


class Handler(QuietHandler):
    asked: ClassVar[list[str]] = []

    def get(self) -> None:
        self.asked.append(self.path)
        content = PAGES.get(self.path)
        kind = "text/html" if self.path.endswith("html") else "text/plain"
        self.answer(200 if content else 404, content or b"", kind)


@pytest.fixture
def address() -> Iterator[str]:
    Handler.asked.clear()
    with serving(Handler) as address:
        yield address


def finding(folder: Path, address: str, **more: Any) -> Finding:
    download = DownloadSettings(allow_private=True, pause_seconds=0.0, num_tries=1)
    return Finding(mirror=address, downloads=str(folder), download=download, **more)


def read(sources: list[str], how: Finding) -> list[ReadBook | Refusal]:
    found: list[ReadBook | Refusal] = []
    for entry in find_entries(sources, how):
        found += read_entry(entry, how, Reading()) if isinstance(entry, Entry) else [entry]
    return found


def test_a_book_of_project_gutenberg_by_its_number(tmp_path: Path, address: str) -> None:
    how = finding(tmp_path, address)
    [item] = read(["gutenberg:158"], how)
    assert isinstance(item, ReadBook)
    book = item.book
    assert (book.title, book.author, book.language) == ("Emma", "Jane Austen", "en")
    assert book.text.strip() == NOVEL.strip()
    assert item.receipt.start_marker == START.strip()
    assert item.receipt.head_characters >= len(HEADER)
    assert (book.source, book.gutenberg_number) == ("gutenberg:158", 158)
    asked = len(Handler.asked)
    [entry] = find_entries(["gutenberg:158"], how)
    assert isinstance(entry, Entry)
    assert content_digest(entry, how)
    assert len(Handler.asked) == asked, "it is kept for good"


def test_what_is_not_there_is_refused_and_the_others_go_on(tmp_path: Path, address: str) -> None:
    sources = [
        "gutenberg:159",
        "gutenberg:abc",
        f"{address}/gone.txt",
        f"{address}/shelf/novel.txt",
    ]
    *refusals, book = read(sources, finding(tmp_path, address))
    assert isinstance(book, ReadBook)
    assert book.book.encoding in ("latin-1", "windows-1252")
    assert "naïve café" in book.book.text
    reasons = [one.reason for one in refusals if isinstance(one, Refusal)]
    assert len(reasons) == 3
    assert "159" in reasons[0]
    assert "'abc'" in reasons[1]
    assert "nothing at this address" in reasons[2]


def test_private_addresses_are_refused_unless_allowed(tmp_path: Path, address: str) -> None:
    how = Finding(downloads=str(tmp_path), download=DownloadSettings(num_tries=1))
    [refusal] = read([f"{address}/shelf/novel.txt"], how)
    assert isinstance(refusal, Refusal)
    assert "127.0.0.1" in refusal.reason
    assert not Handler.asked


def test_a_page_is_read_as_what_it_is(tmp_path: Path, address: str) -> None:
    [item] = read([f"{address}/page.html"], finding(tmp_path, address))
    assert isinstance(item, ReadBook)
    assert "<" not in item.book.text


def test_a_corpus_of_nltk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nltk.data

    corpus = tmp_path / "corpora" / "gutenberg"
    corpus.mkdir(parents=True)
    (corpus / "emma.txt").write_text(NOVEL)
    (corpus / "persuasion.txt").write_text(NOVEL.replace("Emma", "Anne"))
    (corpus / "README").write_text("Not a book.")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    items = read(["nltk:gutenberg", "nltk:gutenberg/../emma.txt", "nltk:brown"], Finding())
    sources = [item.book.source for item in items if isinstance(item, ReadBook)]
    assert sources == ["nltk:gutenberg/emma.txt", "nltk:gutenberg/persuasion.txt"]
    reasons = [item.reason for item in items if isinstance(item, Refusal)]
    assert "leads out of the corpus" in reasons[0]
    assert "brown is not installed" in reasons[1]


def test_a_table_of_texts(tmp_path: Path) -> None:
    path = tmp_path / "shelf.parquet"
    table = pa.table(
        {
            "text": [NOVEL, "", NOVEL.replace("Emma", "Anne")],
            "title": ["Emma", "Nothing", None],
            "year": [1815, None, 1817],
            "colour": ["red", "green", "blue"],
        }
    )
    pq.write_table(table, path)
    emma, nothing, anne = read([f"parquet:{path}"], Finding())
    assert isinstance(emma, ReadBook)
    assert isinstance(anne, ReadBook)
    assert (emma.book.title, emma.book.year) == ("Emma", 1815)
    assert emma.book.source == f"parquet:{path}, row 0"
    assert (anne.book.title, anne.book.year) == ("shelf 2", 1817)
    assert isinstance(nothing, Refusal)
    assert "Row 1" in nothing.reason


def test_a_catalogue_knows_more_than_the_files_say(tmp_path: Path) -> None:
    (tmp_path / "emma.txt").write_text(HEADER + START + NOVEL + END)
    (tmp_path / "shelf.toml").write_text(
        '[[books]]\nsource = "emma.txt"\ntitle = "Emma, a novel"\nyear = 1815\ngenre = "novel"\n'
    )
    [item] = read([str(tmp_path / "shelf.toml")], Finding())
    assert isinstance(item, ReadBook)
    book = item.book
    assert (book.title, book.author, book.year, book.genre) == (
        "Emma, a novel",
        "Jane Austen",
        1815,
        "novel",
    )
    (tmp_path / "bad.toml").write_text('[[books]]\nsource = "emma.txt"\ncolour = "red"\n')
    with pytest.raises(UserMistake, match="unknown key 'colour'"):
        read([str(tmp_path / "bad.toml")], Finding())


def test_a_folder_may_name_the_author_or_the_genre(tmp_path: Path) -> None:
    (tmp_path / "Austen").mkdir()
    (tmp_path / "Austen" / "emma.txt").write_text(NOVEL)
    for label in ("author", "genre"):
        [item] = read([str(tmp_path)], Finding(folder_label=label))
        assert isinstance(item, ReadBook)
        assert getattr(item.book, label) == "Austen"
