"""Read, tokenise, count and encode on miniature books, outside Prefect."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserMistake
from data.store import Store
from models.batching import END, START, UNKNOWN
from tasks.count import CountSettings, count
from tasks.encode import EncodeSettings, encode
from tasks.read import ReadSettings, read
from tasks.seams.run_context import RunContext
from tasks.seams.step_cache import StepOutcome
from tasks.tokenise import TokeniseSettings, tokenise


def context(folder: Path) -> RunContext:
    return RunContext(
        store=str(folder),
        seed=1,
        num_threads=1,
        tracking_uri=None,
        mlflow_run_id=None,
        provenance={"git_commit": "x", "lock_digest": "y"},
    )


def made(
    store: Path, books: list[str], minimum_count: int = 2
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """(rows, digests) of every table that the four steps make of these books."""
    run = context(store)
    outcomes: list[StepOutcome] = [read.fn(run, ReadSettings(books=tuple(books)))]
    outcomes.append(tokenise.fn(run, TokeniseSettings(), *outcomes))
    outcomes.append(count.fn(run, CountSettings(minimum_count=minimum_count), *outcomes))
    outcomes.append(encode.fn(run, EncodeSettings(), *outcomes))
    tables = {name: table for outcome in outcomes for name, table in outcome.tables.items()}
    rows = {
        name: Store(str(store)).read_table(table.name).to_pylist() for name, table in tables.items()
    }
    return rows, {name: table.digest for name, table in tables.items()}


def test_offsets_lead_back_to_the_text(miniature_shelf: Path, tmp_path: Path) -> None:
    rows, _ = made(tmp_path, [str(miniature_shelf)])
    text_of = {row["book_id"]: row["text"] for row in rows["books"]}
    sections = {(row["book_id"], row["section_index"]): row for row in rows["sections"]}
    assert rows["sentences"]
    for row in rows["sentences"]:
        text = text_of[row["book_id"]]
        section = sections[row["book_id"], row["section_index"]]
        assert section["char_start"] <= row["char_start"] < row["char_end"] <= section["char_end"]
        for token, start in zip(row["tokens"], row["token_starts"], strict=True):
            assert text[start : start + len(token)] == token
        assert "".join(row["tokens"]) == "".join(text[row["char_start"] : row["char_end"]].split())


def test_vocabulary_counts_training_books_only(miniature_shelf: Path, tmp_path: Path) -> None:
    rows, _ = made(tmp_path, [str(miniature_shelf)], minimum_count=100)
    training = {row["book_id"] for row in rows["books"] if row["split"] == "train"}
    assert len(training) == 3
    counts: Counter[str] = Counter()
    books_with: dict[str, set[str]] = {}
    sentences = [row for row in rows["sentences"] if row["book_id"] in training]
    for row in sentences:
        for token in map(str.lower, row["tokens"]):
            counts[token] += 1
            books_with.setdefault(token, set()).add(row["book_id"])
    known = sorted((t for t in counts if counts[t] >= 100), key=lambda t: (-counts[t], t))
    vocabulary = rows["vocabulary"]
    assert [row["token"] for row in vocabulary[4:]] == known
    assert [row["count"] for row in vocabulary[4:]] == [counts[token] for token in known]
    assert [row["num_books"] for row in vocabulary[4:]] == [len(books_with[t]) for t in known]
    assert vocabulary[START]["count"] == 3
    assert vocabulary[END]["count"] == len(sentences)
    assert vocabulary[UNKNOWN]["count"] == sum(n for n in counts.values() if n < 100)


def test_token_ids_open_books_and_close_sentences(miniature_shelf: Path, tmp_path: Path) -> None:
    rows, _ = made(tmp_path, [str(miniature_shelf)])
    token_of = [row["token"] for row in rows["vocabulary"]]
    for book in rows["books"]:
        ids = [
            token_id
            for row in rows["token_ids"]
            if row["book_id"] == book["book_id"]
            for token_id in row["token_ids"]
        ]
        assert ids[0] == START
        assert START not in ids[1:]
        expected = ["_start_"]
        for row in rows["sentences"]:
            if row["book_id"] == book["book_id"]:
                folded = [token.lower() for token in row["tokens"]]
                expected += [t if t in token_of else "_unknown_" for t in folded] + ["_end_"]
        assert [token_of[token_id] for token_id in ids] == expected


def test_the_order_of_files_changes_no_digest(miniature_shelf: Path, tmp_path: Path) -> None:
    files = sorted(map(str, miniature_shelf.iterdir()))
    _, one = made(tmp_path / "one", files)
    _, other = made(tmp_path / "other", files[::-1])
    assert one == other


def test_bad_files_are_refused_and_the_others_go_on(miniature_shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "binary.txt").write_bytes(b"ab\x00cd")
    bad = [str(tmp_path / name) for name in ("empty.txt", "binary.txt", "missing.txt")]
    rows, _ = made(tmp_path / "store", [*bad, str(miniature_shelf)])
    assert len(rows["books"]) == 5
    refused = {Path(row["source"]).name: row for row in rows["refusals"]}
    assert set(refused) == {"empty.txt", "binary.txt", "missing.txt"}
    assert refused["binary.txt"]["offset"] == 2
    assert all(row["reason"] and row["remedy"] for row in refused.values())


def test_no_book_left_names_each(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.txt")
    with pytest.raises(UserMistake, match=r"No book is left.*missing\.txt"):
        read.fn(context(tmp_path), ReadSettings(books=(missing,)))


def test_of_one_book_the_last_sections_are_held_out(miniature_shelf: Path, tmp_path: Path) -> None:
    [book, *_] = sorted(map(str, miniature_shelf.iterdir()))
    rows, _ = made(tmp_path, [book])
    assert [row["split"] for row in rows["books"]] == ["by_section"]
    splits = [row["split"] for row in rows["sections"]]
    assert splits == ["train"] * (len(splits) - 2) + ["validation", "test"]
    opened = [row["split"] for row in rows["token_ids"] if row["token_ids"][0] == START]
    assert sorted(opened) == ["test", "train", "validation"]
