from pathlib import Path

import pytest

from data.books import Book, Refusal
from data.sources import read_books


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four files, one of them empty and one in an inner folder."""
    (tmp_path / "shelf" / "inner").mkdir(parents=True)
    for name, text in {
        "b.txt": "Second.",
        "a.TXT": "First.",
        "notes.md": "Not a book.",
        "inner/c.txt": "Third.",
        "z.txt": "",
    }.items():
        (tmp_path / "shelf" / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shelf"


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
    assert texts("shelf/notes.md") == ["Not a book."]
    assert texts("shelf/[bn]*") == ["Second.", "Not a book."]
    assert texts("shelf/**/*.txt") == ["Second.", "Third.", None]
    (shelf / "[1].txt").write_text("A name like a pattern.")
    assert texts("./shelf/[1].txt") == ["A name like a pattern."]
    assert [item.source for item in read_books(["./shelf/[1].txt"])] == ["./shelf/[1].txt"]


def test_books_come_in_the_order_of_the_sources_and_each_once(shelf: Path) -> None:
    (shelf / "copy.txt").write_text("First.")
    items = list(read_books(["shelf/b.txt", "shelf/copy.txt", "shelf/a.TXT", "shelf/b.txt"]))
    second, first, *repeated = items
    assert isinstance(second, Book)
    assert isinstance(first, Book)
    assert (second.text, first.text) == ("Second.", "First.")
    assert first.book_id.startswith("copy-")
    assert all(isinstance(item, Refusal) for item in repeated)
    assert [item.source for item in repeated] == ["shelf/a.TXT", "shelf/b.txt"]
    for item, original in zip(repeated, [first, second], strict=True):
        assert isinstance(item, Refusal)
        assert f"repeats {original.book_id}" in item.reason


def test_a_source_without_books_is_refused(shelf: Path) -> None:
    (shelf / "bare").mkdir()
    refusals = list(read_books(["shelf/bare", "shelf/*.html", "shelf/gone.txt"]))
    assert [item.source for item in refusals] == ["shelf/bare", "shelf/*.html", "shelf/gone.txt"]
    reasons = [item.reason for item in refusals if isinstance(item, Refusal)]
    assert reasons == [
        "The folder holds no .txt files.",
        "No file matches the pattern.",
        "There is no such file.",
    ]


def test_plays_means_the_packaged_plays(shelf: Path) -> None:
    items = list(read_books(["shelf/a.TXT", "plays"]))
    assert len(items) == 39
    assert items[1].source == "plays:comedies/a-midsummer-night-s-dream"
    (shelf.parent / "plays").mkdir()
    assert texts("./plays") == [None]
