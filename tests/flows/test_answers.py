"""What short commands answer a person, word by word."""

from pathlib import Path
from typing import Any

import pytest

from data.reading import Reading
from data.sources import Finding
from flows.answers import books_text, written_text
from tasks.books import books

PLACE = {"book_id": "tale", "section_index": 1, "heading": "CHAPTER 2"}


@pytest.mark.parametrize(
    ("copy", "last_lines"),
    [
        (
            {"words": ["king", "'s", "."], "num_words": 3, "unit": "word", "text": "king's."},
            ["longest verbatim copy: 3 words of tale, CHAPTER 2", "  king's."],
        ),
        (
            {"words": list("o king"), "num_words": 6, "unit": "character", "text": "o king"},
            ["longest verbatim copy: 6 characters of tale, CHAPTER 2", "  o king"],
        ),
        ({"words": [], "num_words": 0}, ["longest verbatim copy: none"]),
        (
            None,
            ["longest verbatim copy: unknown, the store has no tables of the training text"],
        ),
    ],
)
def test_what_was_copied_is_said(copy: dict[str, Any] | None, last_lines: list[str]) -> None:
    result = {
        "model": "models:/bookloom/1",
        "text": "The king's.",
        "longest_copy": copy and {**copy, **PLACE},
    }
    assert written_text(result).split("\n") == [
        "model models:/bookloom/1", "", "The king's.", "", *last_lines,
    ]  # fmt: skip


def test_headings_are_told_without_what_a_terminal_obeys(tmp_path: Path) -> None:
    night = "It was a dark and stormy night. " * 20
    (tmp_path / "a.txt").write_text(f"CHAPTER I \x9b2J\n\n{night}\n\nCHAPTER II\n\n{night}")
    told = books_text(books([str(tmp_path / "a.txt")], Finding(), Reading()))
    assert "    2 sections: CHAPTER I \\x9b2J … CHAPTER II" in told.split("\n")


def test_notes_that_are_left_out_are_told(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>It was a dark night.</p><div class='footnotes'>1. Of rain.</div>")
    told = books_text(books([str(page)], Finding(), Reading())).split("\n")
    assert told[-2:] == ["    left out, notes and pages apart: 11", "1 book, 0 repeated, 0 refused"]
