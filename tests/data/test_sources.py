import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from data.books import Book, Refusal
from data.reading import ReadBook, Reading, read_entry, words_digest
from data.sources import Entry, Finding, content_digest, find_entries

FINDING = Finding()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four files, one of them empty and one in an inner folder."""
    (tmp_path / "shelf" / "inner").mkdir(parents=True)
    for name, text in {
        "b.txt": "Second.",
        "a.TXT": "First.",
        "notes.doc": "Not a book.",
        "inner/c.txt": "Third.",
        "z.txt": "",
    }.items():
        (tmp_path / "shelf" / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shelf"


def read_books(sources: Sequence[str]) -> list[Book | Refusal]:
    found: list[Book | Refusal] = []
    for entry in find_entries(sources, FINDING):
        items = read_entry(entry, FINDING, Reading()) if isinstance(entry, Entry) else [entry]
        found += [item.book if isinstance(item, ReadBook) else item for item in items]
    return found


def texts(*sources: str) -> list[str | None]:
    """Each book's text, and None for each refusal."""
    return [item.text if isinstance(item, Book) else None for item in read_books(sources)]


def test_a_folder_means_its_text_files_in_order(shelf: Path) -> None:
    assert texts("shelf") == ["First.", "Second.", "Third.", None]
    assert [item.source for item in read_books(["shelf"])] == [
        "shelf/a.TXT",
        "shelf/b.txt",
        "shelf/inner/c.txt",
        "shelf/z.txt",
    ]


def test_a_file_or_a_pattern_means_what_it_names(shelf: Path) -> None:
    assert texts("shelf/notes.doc") == ["Not a book."]
    assert texts("shelf/[bn]*") == ["Second.", "Not a book."]
    assert texts("shelf/**/*.txt") == ["Second.", "Third.", None]
    (shelf / "[1].txt").write_text("A name like a pattern.")
    assert texts("./shelf/[1].txt") == ["A name like a pattern."]
    assert [item.source for item in read_books(["./shelf/[1].txt"])] == ["./shelf/[1].txt"]


def test_entries_come_in_the_order_of_the_sources_with_their_sizes(shelf: Path) -> None:
    found = list(find_entries(["shelf/b.txt", "shelf/a.TXT", "shelf/gone.txt"], FINDING))
    sizes = [(one.source, one.num_bytes) for one in found if isinstance(one, Entry)]
    assert sizes == [("shelf/b.txt", 7), ("shelf/a.TXT", 6), ("shelf/gone.txt", 0)]


def test_a_digest_is_that_of_the_content_now(shelf: Path) -> None:
    def digest(name: str) -> str:
        [entry] = find_entries([f"shelf/{name}"], FINDING)
        assert isinstance(entry, Entry)
        return content_digest(entry, FINDING)

    before = digest("b.txt")
    assert before == hashlib.sha256(b"Second.").hexdigest()
    os.utime(shelf / "b.txt", (1, 1))
    assert digest("b.txt") == before
    (shelf / "b.txt").write_text("Another, and longer.")
    assert digest("b.txt") != before
    assert digest("gone.txt") == ""


def test_words_are_the_same_in_every_layout() -> None:
    one = words_digest("It was the best\nof times, -- it was")
    assert one == words_digest("IT WAS the best of\n\n\ttimes: “it was”")
    assert one != words_digest("It was the best of times, it is")
    assert words_digest("ab c") != words_digest("a bc")


def test_a_source_without_books_is_refused(shelf: Path) -> None:
    (shelf / "bare").mkdir()
    refusals = list(read_books(["shelf/bare", "shelf/*.html", "shelf/gone.txt"]))
    assert [item.source for item in refusals] == ["shelf/bare", "shelf/*.html", "shelf/gone.txt"]
    reasons = [item.reason for item in refusals if isinstance(item, Refusal)]
    assert reasons == [
        "The folder holds no files of the kinds .txt, .md, .html, .htm, .xhtml, .epub, .zip.",
        "No file matches the pattern.",
        "There is no such file.",
    ]


def test_an_address_is_no_catalogue_whatever_it_ends_in(tmp_path: Path) -> None:
    finding = Finding(downloads=str(tmp_path))
    [refusal] = find_entries(["https://127.0.0.1/shelf.toml"], finding)
    assert isinstance(refusal, Refusal)
    assert "loopback" in refusal.reason


def test_plays_means_the_packaged_plays(shelf: Path) -> None:
    items = list(read_books(["shelf/a.TXT", "plays"]))
    assert len(items) == 39
    assert items[1].source == "plays:comedies/a-midsummer-night-s-dream"
    (shelf.parent / "plays").mkdir()
    assert texts("./plays") == [None]
