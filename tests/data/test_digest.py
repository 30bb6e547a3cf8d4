import itertools
import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import digest as module
from data.digest import TableDigest
from data.store import Store
from data.table import Column, Table

Row = dict[str, Any]

SHELF = Table(
    "shelf",
    "a row",
    "nobody",
    (
        Column("book_id", pa.string(), "the book"),
        Column("number", pa.int32(), "a number", nullable=True),
        Column("weight", pa.float64(), "a weight", nullable=True),
        Column("flag", pa.bool_(), "yes or no", nullable=True),
        Column("word", pa.string(), "a word", nullable=True),
        Column("words", pa.list_(pa.string()), "words", nullable=True),
        Column("bags", pa.list_(pa.list_(pa.int32())), "bags of numbers"),
        Column("seconds", pa.float64(), "time taken", volatile=True),
    ),
    by_book=True,
)

ROWS: list[Row] = [
    {
        "book_id": book_id,
        "number": number,
        "weight": weight,
        "flag": flag,
        "word": word,
        "words": words,
        "bags": bags,
        "seconds": 1.0,
    }
    for book_id, number, weight, flag, word, words, bags in [
        ("emma", 1, 0.5, True, "née", ["a", "b"], [[1], [2, 3]]),
        ("emma", None, None, None, None, None, []),
        ("emma", -7, 1e-300, False, "", [], [[], [4]]),
        ("ulysses", 2**31 - 1, float("inf"), True, "𝔘", ["", None, "c"], [[5, 6]]),
        ("ulysses", 0, -0.25, False, "yes", ["yes"], [[], []]),
    ]
]
# Changed only on purpose: with it, every table of every store gets a new digest.
GOLDEN_DIGEST = "2cd2a4aeb81b088fbedd6c29cc388cc960477d7197f1c898ec58a43ec57d3e52"


def arrow(rows: Iterable[Row], table: Table = SHELF) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=table.schema)


def digest(*pieces: pa.Table, table: Table = SHELF) -> str:
    total = TableDigest(table)
    for piece in pieces:
        total.update(piece)
    return total.hexdigest()


def changed(index: int, **values: Any) -> str:
    """The digest of ROWS with some values of one row replaced."""
    rows = [dict(row) for row in ROWS]
    rows[index].update(values)
    return digest(arrow(rows))


def column_digest(values: Sequence[Any], kind: pa.DataType) -> str:
    table = Table("one", "a value", "nobody", (Column("value", kind, "it", nullable=True),))
    return digest(arrow([{"value": value} for value in values], table), table=table)


def test_the_digest_is_the_same_as_ever() -> None:
    assert digest(arrow(ROWS)) == GOLDEN_DIGEST


@given(st.lists(st.integers(0, len(ROWS)), max_size=6))
@settings(max_examples=40, deadline=None)
def test_the_cut_into_pieces_and_chunks_leaves_no_trace(cuts: list[int]) -> None:
    whole = arrow(ROWS)
    edges = sorted([0, *cuts, len(ROWS)])
    pieces = [whole.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    assert digest(*pieces) == GOLDEN_DIGEST  # slices: their offsets are not 0
    assert digest(pa.concat_tables(pieces)) == GOLDEN_DIGEST  # many chunks in one table
    copies = [arrow(piece.to_pylist()) for piece in pieces]
    assert digest(*copies) == GOLDEN_DIGEST


def test_books_may_come_in_any_order_and_interleaved() -> None:
    emma, ulysses = ROWS[:3], ROWS[3:]
    assert digest(arrow([*ulysses, *emma])) == GOLDEN_DIGEST
    interleaved = [emma[0], ulysses[0], emma[1], ulysses[1], emma[2]]
    assert digest(arrow(interleaved)) == GOLDEN_DIGEST
    assert digest(*(arrow([row]) for row in interleaved)) == GOLDEN_DIGEST


def test_many_books_take_no_more_memory_than_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A book whose turn was long ago is done: its rows may not go on."""
    books = [arrow([{**ROWS[0], "book_id": f"book {number}"}] * 2) for number in range(9)]
    expected = digest(*books)
    monkeypatch.setattr(module, "MOST_OPEN_BOOKS", 2)
    assert digest(*books) == digest(*books[::-1]) == expected
    with pytest.raises(ValueError, match="rows of book 0 come after those of 2 other books"):
        digest(*books, books[0])


@pytest.mark.parametrize("table", [SHELF, replace(SHELF, by_book=False)])
def test_the_order_of_rows_counts_within_a_book_and_in_a_table_without_books(table: Table) -> None:
    swapped = [ROWS[1], ROWS[0], *ROWS[2:]]
    assert digest(arrow(swapped), table=table) != digest(arrow(ROWS), table=table)
    moved = digest(arrow([*ROWS[3:], *ROWS[:3]]), table=table)
    assert (moved == digest(arrow(ROWS), table=table)) == table.by_book


@pytest.mark.parametrize(
    "values",
    [
        {"book_id": "emma-2"},
        {"number": 2},
        {"number": None},
        {"weight": 0.5000000000000001},
        {"weight": None},
        {"flag": False},
        {"flag": None},
        {"word": "nee"},
        {"word": None},
        {"words": ["ab"]},
        {"words": ["a", None]},
        {"words": ["a", "b", ""]},
        {"words": None},
        {"bags": [[1, 2], [3]]},
        {"bags": [[1], [2], [3]]},
        {"bags": [[1], [2, 3], []]},
        {"bags": [[1], None, [2, 3]]},
    ],
    ids=str,
)
def test_any_changed_value_changes_it(values: Row) -> None:
    assert changed(0, **values) != GOLDEN_DIGEST


def test_volatile_columns_are_outside() -> None:
    assert changed(2, seconds=99.0) == GOLDEN_DIGEST


@pytest.mark.parametrize(
    ("index", "change"),
    [
        (1, {"type": pa.int64()}),
        (1, {"name": "numero"}),
        (1, {"nullable": False}),
        (7, {"volatile": False}),
    ],
    ids=str,
)
def test_the_schema_counts(index: int, change: dict[str, Any]) -> None:
    rows = [row for row in ROWS if row["number"] is not None]
    columns = list(SHELF.columns)
    columns[index] = replace(columns[index], **change)
    other = replace(SHELF, columns=tuple(columns))
    renamed = [{**row, "numero": row["number"]} for row in rows]
    assert digest(arrow(renamed, other), table=other) != digest(arrow(rows))


def test_what_a_column_means_does_not_count() -> None:
    columns = tuple(replace(column, meaning="reworded", unit="ells") for column in SHELF.columns)
    other = replace(SHELF, columns=columns)
    assert digest(arrow(ROWS, other), table=other) == GOLDEN_DIGEST


@pytest.mark.parametrize(
    ("kind", "several"),
    [
        (pa.string(), [[None, "ab"], ["", "ab"], ["a", "b"], ["ab", ""], ["ab", None], ["ab"]]),
        (pa.int32(), [[None], [0], [0, None], [None, 0], [None, None], [0, 0], []]),
        (pa.bool_(), [[None], [False], [True], [False, None]]),
        (
            pa.list_(pa.string()),
            [[["a"], ["b"]], [["a", "b"], []], [[], ["a", "b"]], [["ab"], []], [["a", "b"], None]],
        ),
        (pa.list_(pa.int32()), [[[0]], [[None]], [None], [[]], [None, []], [[0, 0]], [[0], [0]]]),
        (
            pa.list_(pa.list_(pa.string())),
            [[[["a"], ["b"]]], [[["a", "b"]]], [[["a", "b"], []]], [[["a"]], [["b"]]], [[["ab"]]]],
        ),
    ],
    ids=str,
)
def test_nulls_empty_values_and_boundaries_are_told_apart(
    kind: pa.DataType, several: list[list[Any]]
) -> None:
    assert len({column_digest(values, kind) for values in several}) == len(several)


@pytest.mark.parametrize(("code", "kind"), [("<Q", np.float64), ("<I", np.float32)])
def test_all_bit_patterns_of_not_a_number_are_one_value(code: str, kind: type[np.floating]) -> None:
    patterns = {
        "<Q": [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000123],
        "<I": [0x7FC00000, 0xFFC00000, 0x7FC00123],
    }[code]
    arrow_type = pa.from_numpy_dtype(kind)
    table = Table("one", "a value", "nobody", (Column("value", arrow_type, "it", nullable=True),))
    digests = set()
    for pattern in patterns:
        values = np.frombuffer(struct.pack(code, pattern), dtype=kind)
        digests.add(digest(pa.table([pa.array(values)], schema=table.schema), table=table))
    assert len(digests) == 1
    assert column_digest([None], arrow_type) not in digests
    assert column_digest([0.0], arrow_type) not in digests


def test_what_lies_under_a_null_does_not_count() -> None:
    hidden = pa.Array.from_buffers(
        pa.int32(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(struct.pack("<ii", 5, 77))]
    )
    assert hidden.to_pylist() == [5, None]
    table = Table("one", "a value", "nobody", (Column("value", pa.int32(), "it", nullable=True),))
    found = digest(pa.table([hidden], schema=table.schema), table=table)
    assert found == column_digest([5, None], pa.int32())


small_rows = st.lists(
    st.fixed_dictionaries(
        {
            "book_id": st.sampled_from(["a", "b"]),
            "number": st.sampled_from([None, 0]),
            "weight": st.just(1.0),
            "flag": st.just(True),
            "word": st.sampled_from([None, "", "a"]),
            "words": st.one_of(
                st.none(), st.lists(st.sampled_from([None, "", "a", "aa"]), max_size=2)
            ),
            "bags": st.lists(st.lists(st.sampled_from([0, 1]), max_size=2), max_size=2),
            "seconds": st.floats(0, 1),
        }
    ),
    max_size=3,
)


@given(small_rows, small_rows)
@settings(max_examples=150, deadline=None)
def test_digests_are_equal_just_when_each_book_holds_the_same_rows(
    left: list[Row], right: list[Row]
) -> None:
    def by_book(rows: list[Row]) -> dict[str, list[Row]]:
        books: dict[str, list[Row]] = {}
        for row in rows:
            kept = {name: value for name, value in row.items() if name != "seconds"}
            books.setdefault(row["book_id"], []).append(kept)
        return books

    equal = digest(arrow(left)) == digest(arrow(right))
    assert equal == (by_book(left) == by_book(right))


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("use_dictionary", [False, True])
def test_how_parquet_encodes_it_makes_no_difference(
    tmp_path: Path, compression: str, use_dictionary: bool
) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(
        arrow(ROWS),
        path,
        compression=compression,
        use_dictionary=use_dictionary,
        row_group_size=2,
        data_page_version="2.0" if use_dictionary else "1.0",
    )
    with pq.ParquetFile(path) as parquet:
        groups = [parquet.read_row_group(i) for i in range(parquet.num_row_groups)]
    assert len(groups) == 3
    assert digest(*groups) == digest(pq.read_table(path)) == GOLDEN_DIGEST


def test_what_the_store_gives_back_has_the_digest_that_was_written(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with store.table_writer("shelf.parquet", SHELF, {}) as writer:
        for row in ROWS:
            writer.write({name: [value] for name, value in row.items()})
            writer.flush()
    assert writer.digest == GOLDEN_DIGEST
    assert store.lineage("shelf.parquet")["digest"] == GOLDEN_DIGEST
    assert len(list(store.row_groups("shelf.parquet"))) == len(ROWS)
    assert digest(*store.row_groups("shelf.parquet")) == GOLDEN_DIGEST
    assert digest(store.read_table("shelf.parquet")) == GOLDEN_DIGEST
