import errno
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data.books import Book, Refusal
from data.reading import ReadBook, Reading, read_entry, words_digest
from data.sources import Entry, Finding, content_digest, find_entries, why_missing

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
    assert (
        texts("shelf/*")
        == texts("shelf/**")
        == [
            *["First.", "Second.", "Third.", "Not a book."],
            None,
        ]
    )
    (shelf / "[1].txt").write_text("A name like a pattern.")
    assert texts("./shelf/[1].txt") == ["A name like a pattern."]
    assert [item.source for item in read_books(["./shelf/[1].txt"])] == ["./shelf/[1].txt"]


def test_a_folders_name_is_its_own_on_the_way_up_too(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf / "inner")
    by_folder = Finding(folder_label="genre")
    genres = [
        one.genre
        for one in find_entries(["../b.txt", "c.txt"], by_folder)
        if isinstance(one, Entry)
    ]
    assert genres == ["shelf", "inner"]


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


@pytest.mark.parametrize("prefix", ["", "parquet:"])
def test_a_pipe_or_a_device_is_refused_unread(shelf: Path, prefix: str) -> None:
    os.mkfifo("shelf/pipe.txt")
    for name in ("shelf/pipe.txt", "/dev/zero"):
        [refusal] = find_entries([f"{prefix}{name}"], FINDING)
        assert isinstance(refusal, Refusal)
        assert refusal.source == f"{prefix}{name}"
        assert "a pipe, a socket or a device" in refusal.reason


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


def test_what_is_missing_is_told_from_a_look_at_the_folder(shelf: Path) -> None:
    (shelf / "one.txt").write_text("One day.")
    (shelf / "odd[1].txt").write_text("One day.")
    there = ["shelf", "shelf/one.txt", "shelf/*.txt", "shelf/odd[1].txt"]
    of_no_folder = ["plays", "gutenberg:1342", "HTTPS://example.org/b.txt", "nltk:x", "parquet:x"]
    assert [why_missing(source) for source in [*there, *of_no_folder]] == [None] * 9
    assert [why_missing(source) for source in ("shelf/gone.txt", "gone.toml", "gutenberg")] == [
        "There is no such file."
    ] * 3
    assert why_missing("shelf/*.epub") == "No file matches the pattern."


def test_a_folder_that_cannot_be_entered_is_refused_by_its_name(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shelf / "inner" / "deeper").mkdir()
    look = os.scandir

    def forbid(folder: str) -> Any:
        if folder.endswith("inner"):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return look(folder)

    monkeypatch.setattr(os, "scandir", forbid)
    refusal, *books = read_books(["shelf"])
    assert [one.source for one in books] == ["shelf/a.TXT", "shelf/b.txt", "shelf/z.txt"]
    told = ("You are not permitted to read it.", "Change its permissions.")
    assert refusal == Refusal("shelf/inner", "read", *told, None)
    assert read_books(["shelf/inner"]) == [refusal]
    for pattern in ("shelf/**/*.txt", "shelf/*/*.txt", "shelf/inner/*.txt", "shelf/**"):
        assert read_books([pattern])[0] == refusal, pattern
    assert refusal not in read_books(["shelf/*.txt"])  # it is not looked into
    assert why_missing("shelf/inner/*.txt") is None


def test_a_name_that_no_file_can_have_is_refused(shelf: Path) -> None:
    for name in ("x" * 300, "shelf/[1]" + "x" * 300):
        [refusal] = read_books([name])
        assert isinstance(refusal, Refusal)
        assert refusal.source == name
    assert "File name too long" in read_books(["x" * 300])[0].reason  # type: ignore[union-attr]


def test_a_linked_folder_is_read_once_and_a_circle_comes_to_an_end(
    shelf: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere" / "deeper").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deeper" / "d.txt").write_text("Fourth.")
    (tmp_path / "elsewhere" / "back").symlink_to(shelf)
    (shelf / "a").symlink_to("inner")  # which is really there by another name
    (shelf / "k").symlink_to(tmp_path / "elsewhere")
    (shelf / "l").symlink_to(tmp_path / "elsewhere")
    (shelf / "up").symlink_to("..")
    (shelf / "itself").symlink_to("itself")
    (shelf / "linked.txt").symlink_to("b.txt")
    (shelf / "nowhere.txt").symlink_to("gone.txt")
    assert [item.source for item in read_books(["shelf"])] == [
        "shelf/a.TXT",
        "shelf/b.txt",
        "shelf/inner/c.txt",
        "shelf/k/deeper/d.txt",
        "shelf/linked.txt",
        "shelf/z.txt",
    ]


def test_a_scheme_and_an_ending_may_be_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("Book.")
    (tmp_path / "C.TOML").write_text("[[books]]\nsource = 'b.txt'\ntitle = 'Told'")
    finding = Finding(downloads=str(tmp_path))
    address, number, told = find_entries(
        ["HTTPS://127.0.0.1/a.txt", "Gutenberg:abc", str(tmp_path / "C.TOML")], finding
    )
    assert isinstance(address, Refusal) and isinstance(number, Refusal)
    assert address.source == "https://127.0.0.1/a.txt"
    assert "loopback" in address.reason
    assert "'abc' is no number" in number.reason
    assert isinstance(told, Entry) and told.title == "Told"


@pytest.mark.parametrize("source", ["s3://shelf/a.txt", "FTP://host/shelf.toml", "file:///a.txt"])
def test_an_address_of_another_kind_is_refused_by_its_scheme(source: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f"[[books]]\nsource = '{source}'")
    for named in (source, str(tmp_path / "c.toml")):
        [refusal] = find_entries([named], FINDING)
        assert isinstance(refusal, Refusal)
        assert refusal.source == source
        scheme = source.split("//")[0]
        assert refusal.reason == f"Books are not fetched by {scheme}//."
    [drive] = find_entries(["c://a.txt"], FINDING)
    assert isinstance(drive, Entry)


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
