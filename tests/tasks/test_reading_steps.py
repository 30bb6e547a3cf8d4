"""Read, tokenise, count and encode on miniature books, outside Prefect."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from data import parquet_source
from data.book_schemas import ENTRIES
from data.errors import UserMistake
from data.reading import Reading
from data.sources import Entry, Finding
from data.store import Store
from models.special_tokens import END, START, UNKNOWN
from models.vocabulary import UNITS, Unit, Vocabulary
from tasks.books import books as look_at_books
from tasks.count import CountSettings, count
from tasks.encode import (
    EncodedSection,
    EncodeSettings,
    KnownTokens,
    encode,
    encoded_sentences,
    token_id_columns,
)
from tasks.read import ReadSettings, read, source_digests
from tasks.seams.finding_sources import entries_of, entry_columns
from tasks.seams.run_context import RunContext
from tasks.seams.step_cache import StepOutcome
from tasks.seams.tokeniser import PunktModel, SentenceSplitter, as_written
from tasks.tokenise import TokeniseSettings, sentence_columns, spans_by_book, tokenise
from tests.conftest import miniature_book


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
    store: Path, books: list[str], minimum_count: int = 2, unit: Unit = "word"
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """(rows, digests) of every table that the four steps make of these books."""
    run = context(store)
    outcomes: list[StepOutcome] = [read.fn(run, ReadSettings(books=tuple(books)))]
    outcomes.append(tokenise.fn(run, TokeniseSettings(unit=unit), *outcomes))
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


def test_a_table_of_many_row_groups_is_many_shards_and_the_same_books(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str | None] = [miniature_book(number) for number in range(8)]
    texts += [None, texts[2], "Short, " * 100]  # refused, repeated, and of one section
    monkeypatch.setattr(parquet_source, "RUN_BYTES", 1)
    digests, parts = [], []
    for name, row_group_size in (("one", 100), ("many", 2)):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)  # the source's name is in the tables
        pq.write_table(pa.table({"text": texts}), "t.parquet", row_group_size=row_group_size)
        settings = ReadSettings(books=("parquet:t.parquet",), shard_megabytes=1e-6)
        run = context(folder / "store")
        outcome = read.fn(run, settings)
        tables = outcome.tables | tokenise.fn(run, TokeniseSettings(), outcome).tables
        digests.append({table: made.digest for table, made in tables.items()})
        parts.append(len(Store(run.store).names(tables["sentences"].name)))
        books = Store(run.store).read_table(tables["books"].name)
        assert books["source"].to_pylist() == [
            f"parquet:t.parquet, row {row}" for row in (*range(8), 10)
        ]
        refusals = Store(run.store).read_table(tables["refusals"].name)
        assert refusals["source"].to_pylist() == ["parquet:t.parquet#8", "parquet:t.parquet, row 9"]
        # The file as a whole counts in the step's key, once.
        digest = hashlib.sha256(Path("t.parquet").read_bytes()).hexdigest()
        assert source_digests(settings, run) == {"parquet:t.parquet": digest}
    assert parts == [1, 6]
    assert digests[0] == digests[1]


def test_a_number_in_the_header_is_in_the_table(tmp_path: Path) -> None:
    header = "The Project Gutenberg EBook\n\nTitle: A\nRelease Date: 2007 [EBook #22367]\n\n"
    (tmp_path / "a.txt").write_text(header + miniature_book(1))
    (tmp_path / "b.txt").write_text(miniature_book(2))
    run = context(tmp_path / "store")
    tables = read.fn(run, ReadSettings(books=(str(tmp_path),))).tables
    books = Store(run.store).read_table(tables["books"].name)
    assert books["gutenberg_number"].to_pylist() == [22367, None]


def test_spans_of_sections_come_by_book() -> None:
    rows = [("a", 0, 0, 5), ("a", 1, 5, 9), ("b", 0, 0, 7)]
    names = ("book_id", "section_index", "char_start", "char_end")
    sections = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    assert spans_by_book(sections) == {"a": [(0, 0, 5), (1, 5, 9)], "b": [(0, 0, 7)]}


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


def test_sentences_of_a_book_by_hand() -> None:
    text = "CHAPTER 1\n\nI see. “You” see!\n\nCHAPTER 2\n\nEnd"
    splitter = SentenceSplitter(PunktModel((), (), (), ()))
    columns = sentence_columns("b", text, [(0, 0, 28), (1, 30, 44)], splitter, "word")
    assert pa.table(columns).to_pydict() == {
        "book_id": ["b"] * 5,
        "section_index": [0, 0, 0, 1, 1],
        "sentence_index": [0, 1, 2, 3, 4],
        "char_start": [0, 11, 18, 30, 41],
        "char_end": [9, 17, 28, 39, 44],
        "num_characters": [9, 6, 10, 9, 3],
        "unit": ["word"] * 5,
        "tokens": [
            ["CHAPTER", "1"],
            ["I", "see", "."],
            ["“", "You", "”", "see", "!"],
            ["CHAPTER", "2"],
            ["End"],
        ],
        "token_starts": [[0, 8], [11, 13, 16], [18, 19, 22, 24, 27], [30, 38], [41]],
    }


def test_characters_of_a_book_by_hand() -> None:
    """White space is one space within a sentence and nothing around it."""
    text = "I  see\n you.  Ah!\n\n\tOh"
    splitter = SentenceSplitter(PunktModel((), (), (), ()))
    columns = sentence_columns("b", text, [(0, 0, 23)], splitter, "character")
    assert pa.table(columns).to_pydict() == {
        "book_id": ["b"] * 3,
        "section_index": [0] * 3,
        "sentence_index": [0, 1, 2],
        "char_start": [0, 14, 19],
        "char_end": [12, 17, 22],
        "num_characters": [10, 3, 2],
        "unit": ["character"] * 3,
        "tokens": [list("I see you."), list("Ah!"), list("Oh")],
        "token_starts": [[0, 1, 3, 4, 5, 6, 8, 9, 10, 11], [14, 15, 16], [20, 21]],
    }


def test_characters_give_the_text_back(miniature_shelf: Path, tmp_path: Path) -> None:
    """`_end_` stands for the white space between two sentences."""
    rows, _ = made(tmp_path, [str(miniature_shelf)], minimum_count=1, unit="character")
    text_of = {row["book_id"]: row["text"] for row in rows["books"]}
    for row in rows["sentences"]:
        text = text_of[row["book_id"]]
        own = " ".join(text[row["char_start"] : row["char_end"]].split())
        assert as_written(row["tokens"], "character") == own
        assert row["num_characters"] == len(row["tokens"])
        assert [text[start] for start in row["token_starts"]] == row["tokens"]
    token_of = [row["token"] for row in rows["vocabulary"]]
    for section, row in zip(rows["sections"], rows["token_ids"], strict=True):
        text = text_of[row["book_id"]][section["char_start"] : section["char_end"]]
        ids = [token_id for token_id in row["token_ids"] if token_id != START]
        written = [" " if i == END else token_of[i] for i in ids]
        own = " ".join(text.lower().split()) + " "
        assert written == [char if char in token_of else "_unknown_" for char in own]
        assert row["num_characters"] == len(ids)


def test_words_stand_for_as_many_characters_as_characters_do(
    miniature_shelf: Path, tmp_path: Path
) -> None:
    counts = [
        [
            (row["book_id"], row["section_index"], row["num_characters"])
            for row in made(tmp_path / unit, [str(miniature_shelf)], unit=unit)[0]["token_ids"]
        ]
        for unit in UNITS
    ]
    assert counts[0] == counts[1]


def test_sentences_as_ids() -> None:
    known = ["_nothing_", "_start_", "_end_", "_unknown_", "a", "b"]
    words = KnownTokens(pa.table({"token": known, "lower_case": [True] * len(known)}))
    tokens = pa.array(
        [["A", "b"], ["c"], [], ["b"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))
    )
    token_ids, ends = encoded_sentences(tokens.slice(0, 4), words)
    assert token_ids.tolist() == [4, 5, 2, 3, 2, 2, 5, 2]
    assert ends.tolist() == [3, 5, 6, 8]
    token_ids, ends = encoded_sentences(tokens.slice(1, 2), words)
    assert (token_ids.tolist(), ends.tolist()) == ([3, 2, 2], [2, 3])
    none = encoded_sentences(tokens.slice(4, 0), words)
    assert [part.tolist() for part in none] == [[], []]


@pytest.mark.parametrize("lower_case", [True, False])
def test_known_tokens_have_the_ids_that_the_vocabulary_gives_them(lower_case: bool) -> None:
    known = ("_nothing_", "_start_", "_end_", "_unknown_", "a", "İ".lower(), "ß", "<unk>", "B")
    columns = {"token": known, "lower_case": [lower_case] * len(known)}
    words = ["A", "a", "B", "b", "İ", "ß", "SS", "<unk>", "_end_", "_END_", ""]
    ids = KnownTokens(pa.table(columns)).ids(words)
    assert ids.tolist() == Vocabulary(known, (0,) * len(known), lower_case).encode(words)


def test_token_ids_of_a_book_by_hand() -> None:
    pieces = [
        (0, [4, 5, 2], 4),  # a section that goes on in the next row group
        (0, [3, 2], 2),
        (1, [5, 2], 2),
        (2, [4, 4, 2], 4),
        (4, [2], 1),
        (5, [5, 2], 2),
    ]
    splits = ["train", "train", "validation", "validation", "test", "test"]
    columns = token_id_columns(
        "book",
        [
            EncodedSection("book", index, np.array(ids, dtype=np.int32), characters)
            for index, ids, characters in pieces
        ],
        {("book", index): split for index, split in enumerate(splits)},
    )
    columns["token_ids"] = [ids.tolist() for ids in columns["token_ids"]]
    assert columns == {
        "book_id": ["book"] * 5,
        "section_index": [0, 1, 2, 4, 5],
        "split": ["train", "train", "validation", "test", "test"],
        "token_ids": [[1, 4, 5, 2, 3, 2], [5, 2], [1, 4, 4, 2], [1, 2], [5, 2]],
        "num_characters": [6, 2, 4, 1, 2],
    }


def test_a_vocabulary_by_hand(tmp_path: Path) -> None:
    texts = ["Sun moon sun. Star!", "Sun and moon. <unk> Moon!", "Sea, sea. Sun.", "Moon."]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
    rows, _ = made(tmp_path / "store", [str(tmp_path)])
    splits = {row["title"]: row["split"] for row in rows["books"]}
    assert [title for title in "0123" if splits[title] == "train"] == ["0", "1"]
    words = [(row["token"], row["count"], row["num_books"]) for row in rows["vocabulary"]]
    assert words == [
        ("_nothing_", 0, 0),
        ("_start_", 2, 2),
        ("_end_", 4, 2),
        ("_unknown_", 5, 2),  # star, and, <, unk, >
        ("moon", 3, 2),
        ("sun", 3, 2),
        ("!", 2, 2),
        (".", 2, 2),
    ]
    assert [row["token_id"] for row in rows["vocabulary"]] == list(range(8))
    ids = {row["book_id"][0]: row["token_ids"] for row in rows["token_ids"]}
    assert ids == {
        "0": [1, 5, 4, 5, 7, 2, 3, 6, 2],
        "1": [1, 5, 3, 4, 7, 2, 3, 3, 3, 4, 6, 2],
        "2": [1, 3, 3, 3, 7, 2, 5, 7, 2],
        "3": [1, 4, 7, 2],
    }


def test_a_vocabulary_of_characters_by_hand(tmp_path: Path) -> None:
    texts = ["Sun moon\nsun. Star!", "Sun and moon. <unk> Moon!", "Sea,  sea. Sun.", "Moon."]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
    rows, _ = made(tmp_path / "store", [str(tmp_path)], unit="character")
    splits = {row["title"]: row["split"] for row in rows["books"]}
    assert [title for title in "0123" if splits[title] == "train"] == ["0", "1"]
    assert [(row["token"], row["count"], row["num_books"]) for row in rows["vocabulary"]] == [
        ("_nothing_", 0, 0),
        ("_start_", 2, 2),
        ("_end_", 4, 2),
        ("_unknown_", 6, 2),  # d, t, r, k, <, >
        ("n", 8, 2),
        ("o", 6, 2),
        (" ", 5, 2),
        ("s", 4, 2),
        ("u", 4, 2),
        ("m", 3, 2),
        ("!", 2, 2),
        (".", 2, 2),
        ("a", 2, 2),
    ]
    assert {row["unit"] for row in rows["vocabulary"]} == {"character"}
    ids = {row["book_id"][0]: row["token_ids"] for row in rows["token_ids"]}
    sun, moon = [7, 8, 4], [9, 5, 5, 4]
    assert ids == {
        "0": [1, *sun, 6, *moon, 6, *sun, 11, 2, 7, 3, 12, 3, 10, 2],
        "1": [1, *sun, 6, 12, 4, 3, 6, *moon, 11, 2, 3, 8, 4, 3, 3, 6, *moon, 10, 2],
        "2": [1, 7, 3, 12, 3, 6, 7, 3, 12, 11, 2, *sun, 11, 2],
        "3": [1, *moon, 11, 2],
    }
    numbers = {row["book_id"][0]: row["num_characters"] for row in rows["token_ids"]}
    assert numbers == {"0": 20, "1": 26, "2": 15, "3": 6}


def test_settings_of_the_vocabulary(miniature_shelf: Path, tmp_path: Path) -> None:
    run = context(tmp_path)
    before = [read.fn(run, ReadSettings(books=(str(miniature_shelf),)))]
    before.append(tokenise.fn(run, TokeniseSettings(), *before))

    def vocabulary(settings: CountSettings) -> list[dict[str, Any]]:
        outcome = count.fn(run, settings, *before)
        return Store(str(tmp_path)).read_table(outcome.tables["vocabulary"].name).to_pylist()

    folded = vocabulary(CountSettings())
    cased = vocabulary(CountSettings(lower_case=False))
    assert {row["token"] for row in folded} == {row["token"].lower() for row in cased}
    assert {"The", "the"} <= {row["token"] for row in cased}
    assert {row["lower_case"] for row in folded} == {True}
    assert {row["lower_case"] for row in cased} == {False}
    few = vocabulary(CountSettings(maximum_types=5))
    assert few[4:] == folded[4:9]
    assert sum(row["count"] for row in few[3:]) == sum(row["count"] for row in folded[3:])
    with pytest.raises(UserMistake, match="The books make no vocabulary") as caught:
        count.fn(run, CountSettings(minimum_count=10**6), *before)
    assert "minimum_count" in caught.value.remedy
    with pytest.raises(ValueError, match="least_count"):
        CountSettings(least_count=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("settings", "name", "least"),
    [
        (TokeniseSettings, "punkt_sample_characters", 1),
        (CountSettings, "minimum_count", 1),
        (CountSettings, "maximum_types", 1),
        (ReadSettings, "shard_megabytes", 1e-6),
    ],
)
def test_settings_that_leave_nothing_are_refused(
    settings: Callable[..., Any], name: str, least: float
) -> None:
    assert getattr(settings(**{name: least}), name) == least
    for value in (0, -3):
        with pytest.raises(ValueError, match=name):
            settings(**{name: value})


def test_sentence_boundaries_are_learned_from_training_text_alone(
    miniature_shelf: Path, tmp_path: Path
) -> None:
    rows, _ = made(tmp_path, [str(miniature_shelf)])
    (sample,) = [row for row in rows["punkt"] if row["kind"] == "sample"]
    train = [row for row in rows["sections"] if row["split"] == "train"]
    text_of = {row["book_id"]: row["text"] for row in rows["books"]}
    parts = [text_of[row["book_id"]][row["char_start"] : row["char_end"]] for row in train]
    expected = "\n\n".join(parts)
    assert sample["language"] == "en"
    assert sample["flags"] == len(expected)
    assert sample["token"] == hashlib.sha256(expected.encode()).hexdigest()


def test_the_sample_is_no_longer_than_it_may_be(miniature_shelf: Path, tmp_path: Path) -> None:
    run = context(tmp_path)
    books = read.fn(run, ReadSettings(books=(str(miniature_shelf),)))
    outcome = tokenise.fn(run, TokeniseSettings(punkt_sample_characters=100), books)
    rows = Store(str(tmp_path)).read_table(outcome.tables["punkt"].name).to_pylist()
    (sample,) = [row for row in rows if row["kind"] == "sample"]
    texts = Store(str(tmp_path)).read_table(books.tables["books"].name).to_pylist()
    sections = Store(str(tmp_path)).read_table(books.tables["sections"].name).to_pylist()
    first = next(row for row in sections if row["split"] == "train")
    (text,) = [row["text"] for row in texts if row["book_id"] == first["book_id"]]
    start = first["char_start"]
    hundred = text[start : start + 100]
    assert (sample["flags"], sample["token"]) == (
        100,
        hashlib.sha256(hundred.encode()).hexdigest(),
    )


def test_each_language_has_its_own_boundaries(tmp_path: Path) -> None:
    text = "Er kam am {}. Mai. Es war warm und er ging. " * 60
    for number, language in enumerate(["German", "German", "English", "German", "English"]):
        header = f"Project Gutenberg\n\nTitle: {number}\nLanguage: {language}\n\n"
        (tmp_path / f"{number}.txt").write_text(header + text.format(*range(60)))
    rows, _ = made(tmp_path / "store", [str(tmp_path)])
    train = {row["language"] for row in rows["books"] if row["split"] == "train"}
    assert {row["language"] for row in rows["punkt"]} == train


def test_a_repeated_book_is_taken_once(miniature_shelf: Path, tmp_path: Path) -> None:
    files = sorted(map(str, miniature_shelf.iterdir()))
    copy = tmp_path / "zzz.txt"
    copy.write_bytes(Path(files[0]).read_bytes())
    rows, _ = made(tmp_path / "store", [*files, str(copy)])
    assert len({row["book_id"] for row in rows["books"]}) == len(rows["books"]) == 5
    (refusal,) = rows["refusals"]
    assert "byte for byte" in refusal["reason"]


def test_a_second_reading_is_reused_until_a_file_changes(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for number in range(3):
        (shelf / f"{number}.txt").write_text(f"Book {number}. It says {number}.")
    store, settings = context(tmp_path / "store"), ReadSettings(books=(str(shelf),))
    assert read.fn(store, settings).reasons == ["first time"]
    os.utime(shelf / "1.txt", (1, 1))  # touched, not changed
    assert read.fn(store, settings).reused
    (shelf / "1.txt").write_text("Another book.")
    again = read.fn(store, settings)
    assert again.reasons == [f"source {shelf / '1.txt'} changed"]


def test_a_shelf_with_names_that_are_not_utf_8_is_read(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for number in range(2):
        (shelf / f"{number}.txt").write_text(f"Book {number}. It says {number}.")
    (shelf / os.fsdecode(b"caf\xe9.txt")).write_text("A book of coffee.")
    (shelf / os.fsdecode(b"caf\xe9\xe9.txt")).write_bytes(b"")
    settings = ReadSettings(books=(str(shelf),))
    made = read.fn(context(tmp_path / "store"), settings)
    rows = {
        name: Store(str(tmp_path / "store")).read_table(table.name).to_pylist()
        for name, table in made.tables.items()
    }
    coffee = rows["books"][-1]
    assert (coffee["title"], coffee["source"]) == ("caf\\udce9", f"{shelf}/caf\\udce9.txt")
    assert [row["source"] for row in rows["refusals"]] == [f"{shelf}/caf\\udce9\\udce9.txt"]
    assert read.fn(context(tmp_path / "store"), settings).reused


def test_entries_come_out_of_their_table_as_they_went_in(tmp_path: Path) -> None:
    entries = [
        Entry("file", "a.txt", os.fsdecode(b"caf\xe9/\xff.txt"), 3, genre="tale"),
        Entry(
            "file", "b.txt", "tab\t\U0001f4d6\\.txt", 0, "A title", "An author", -400, None, "el"
        ),
        Entry("parquet", "parquet:t", "\ud800 of no path", 5, first_group=2, end_group=7),
    ]
    store = Store(str(tmp_path))
    with store.table_writer("entries/00000.parquet", ENTRIES, {}) as writer:
        writer.write(entry_columns(entries))
    assert [*entries_of(store.read_table("entries"))] == entries


def test_what_a_catalogue_tells_counts_like_the_books_themselves(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(f"Book {number}. It says {number}.")
    catalogue = tmp_path / "shelf.toml"

    def titles(first_title: str) -> list[str]:
        books = (("0.txt", first_title), ("1.txt", "One"), ("2.txt", "Two"))
        catalogue.write_text(
            "\n".join(f'[[books]]\nsource = "{s}"\ntitle = "{t}"' for s, t in books)
        )
        made = read.fn(context(tmp_path / "store"), ReadSettings(books=(str(catalogue),)))
        rows = Store(str(tmp_path / "store")).read_table(made.tables["books"].name).to_pylist()
        return [row["title"] for row in rows]

    assert titles("Nought") == ["Nought", "One", "Two"]
    assert titles("Zero") == ["Zero", "One", "Two"]


def test_the_same_bytes_in_two_formats_are_taken_once(tmp_path: Path) -> None:
    text = "---\ntitle: Tale\n---\n\n" + miniature_book(1)
    for name in ("n.md", "n.txt"):
        (tmp_path / "shelf").mkdir(exist_ok=True)
        (tmp_path / "shelf" / name).write_text(text)
    rows, _ = made(tmp_path / "run", [str(tmp_path / "shelf")])
    assert [Path(row["source"]).name for row in rows["books"]] == ["n.md"]
    [refusal] = rows["refusals"]
    assert refusal["reason"].endswith("byte for byte, in another format; a book is taken once.")


def test_a_book_repeats_only_what_was_taken(tmp_path: Path) -> None:
    """Two files of the same bytes, as text and as Markdown, and one of the Markdown's words."""
    shelf = tmp_path / "shelf"
    for folder, name, text in (
        ("1", "x.txt", "See [the sea](https://sea.example)."),
        ("2", "x.md", "See [the sea](https://sea.example)."),
        ("3", "y.txt", "See the sea."),
        ("4", "z.txt", "See the  sea!"),
    ):
        (shelf / folder).mkdir(parents=True)
        (shelf / folder / name).write_text(text)
    outcome = read.fn(context(tmp_path / "run"), ReadSettings(books=(str(shelf),)))
    books, refusals = (
        Store(str(tmp_path / "run")).read_table(outcome.tables[name].name).to_pylist()
        for name in ("books", "refusals")
    )
    assert [Path(row["source"]).name for row in books] == ["x.txt", "y.txt"]
    text_id, words_id = [row["book_id"] for row in books]
    assert [row["reason"] for row in refusals] == [
        f"It repeats {text_id}, byte for byte, in another format; a book is taken once.",
        f"It repeats {words_id}, word for word; a book is taken once.",
    ]
    told = look_at_books([str(shelf)], Finding(), Reading())["books"]
    assert [book["repeats"] for book in told] == [None, text_id, None, words_id]


@pytest.mark.parametrize("name", ["a.toml", "shelf.toml"])
def test_what_a_catalogue_tells_counts_more_than_a_bare_file(name: str, tmp_path: Path) -> None:
    """Whichever is named first, and however they are called."""
    (tmp_path / "shelf").mkdir()
    for number in range(3):
        (tmp_path / "shelf" / f"{number}.txt").write_text(miniature_book(number))
    (tmp_path / name).write_text('[[books]]\nsource = "shelf/1.txt"\ntitle = "A Title"\n')
    both = (str(tmp_path / "shelf"), str(tmp_path / name))
    made = read.fn(context(tmp_path / "store"), ReadSettings(books=both))
    rows = Store(str(tmp_path / "store")).read_table(made.tables["books"].name).to_pylist()
    assert sorted(row["title"] for row in rows) == ["0", "2", "A Title"]
    held = look_at_books([*both], Finding(), Reading())["books"]
    assert [one["title"] for one in held if not one["repeats"]] == ["A Title", "0", "2"]


def test_the_order_of_a_catalogue_counts(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(miniature_book(1) + ("\n" if name == "b" else ""))
    (tmp_path / "c.txt").write_text(miniature_book(2))
    settings = ReadSettings(books=(str(tmp_path / "shelf.toml"),))
    for names in ("abc", "bac"):
        lines = [f'[[books]]\nsource = "{name}.txt"\n' for name in names]
        (tmp_path / "shelf.toml").write_text("".join(lines))
        made = read.fn(context(tmp_path / "store"), settings)
        rows = Store(str(tmp_path / "store")).read_table(made.tables["books"].name).to_pylist()
        taken = {Path(row["source"]).stem for row in rows}
        assert taken == {names[0], "c"}
    assert made.reasons == ["source their order changed"]


def test_a_password_in_an_address_is_kept_nowhere(tmp_path: Path) -> None:
    address = "https://me:se/cret@books.example/a.txt"
    with pytest.raises(ValidationError, match=r"https://books\.example/a\.txt was given with"):
        ReadSettings(books=(address,))
    held = look_at_books([address, "http://m:secret@books.example:99999/"], Finding(), Reading())
    assert len(held["refusals"]) == 2
    assert "cret" not in json.dumps(held)
    fine = "https://books.example:80/a@b.txt"
    assert ReadSettings(books=(fine,)).books == (fine,)


def test_a_catalogue_counts_beside_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "a.txt").write_text(miniature_book(1))
    catalogue = tmp_path / "c.toml"
    settings = ReadSettings(books=(str(catalogue), str(tmp_path / "shelf")))
    digests = []
    for genre in ("one", "two"):
        catalogue.write_text(f'[[books]]\nsource = "shelf/a.txt"\ngenre = "{genre}"\n')
        digests.append(source_digests(settings, context(tmp_path / "run")))
    assert digests[0].keys() == digests[1].keys()
    assert digests[0] != digests[1]
