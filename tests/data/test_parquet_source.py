import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import parquet_source
from data.archives import ArchiveLimits
from data.books import Refusal
from data.parquet_source import ParquetRow, read_parquet, runs_of

LIMITS = ArchiveLimits()
TEXTS = ["Emma Woodhouse, handsome", "Alice was beginning", "Als Gregor Samsa"]


def table(folder: Path, columns: Mapping[str, Any], **options: Any) -> Path:
    path = folder / "shelf.parquet"
    pq.write_table(pa.table(dict(columns)), path, **options)
    return path


def read(path: Path, limits: ArchiveLimits = LIMITS) -> Iterator[ParquetRow | Refusal]:
    return read_parquet(path, limits)


def refusal(path: Path, limits: ArchiveLimits = LIMITS) -> Refusal:
    """The only thing that is read of a table."""
    (only,) = read(path, limits)
    assert isinstance(only, Refusal)
    return only


def test_rows_are_books_with_what_is_known_of_them(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        {
            "row": [7, 8, 9],
            "text": TEXTS,
            "title": ["Emma", " ", None],
            "author": ["Jane Austen", "Lewis Carroll", "Franz Kafka"],
            "year": pa.array([1815, None, 1915], pa.int16()),
            "genre": ["novel", "fantasy", "novella"],
            "language": ["en", "en", "de"],
            "licence": pa.nulls(3),
            "book_id": ["emma", "alice", "gregor"],
            "source": ["gutenberg:158", "gutenberg:11", "gutenberg:22367"],
            "score": [0.1, 0.2, 0.3],
            "nested": [[1], [2], []],
        },
    )
    emma = ParquetRow(
        row=0,
        text=TEXTS[0],
        title="Emma",
        author="Jane Austen",
        year=1815,
        genre="novel",
        language="en",
        licence=None,
        book_id="emma",
        source="gutenberg:158",
    )
    first, second, third = read(path)
    assert first == emma
    assert isinstance(second, ParquetRow)
    assert (second.row, second.title, second.year) == (1, None, None)
    assert isinstance(third, ParquetRow)
    assert (third.row, third.title, third.year, third.language) == (2, None, 1915, "de")


@pytest.mark.parametrize(
    "strings",
    [
        pa.array(TEXTS, pa.string()),
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.string_view()),
        pa.array(TEXTS).dictionary_encode(),
        pa.array(TEXTS, pa.large_string()).dictionary_encode(),
        pa.array(["left out", *TEXTS, "too"]).slice(1, 3),
        pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
    ],
    ids=str,
)
@pytest.mark.parametrize("options", [{}, {"row_group_size": 2}, {"use_dictionary": False}])
def test_strings_may_be_of_any_kind(strings: Any, options: Any, tmp_path: Path) -> None:
    path = table(tmp_path, {"text": strings}, **options)
    assert list(read(path)) == [ParquetRow(row, text) for row, text in enumerate(TEXTS)]


def test_tables_of_many_rows_and_row_groups_are_read_in_order(tmp_path: Path) -> None:
    texts = [f"Book number {number}" for number in range(1000)]
    path = table(tmp_path, {"text": texts}, row_group_size=77)
    assert list(read(path)) == [ParquetRow(row, text) for row, text in enumerate(texts)]


def test_a_table_is_cut_between_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"Book number {number}" for number in range(100)]
    path = table(tmp_path, {"text": [*texts[:-1], None]}, row_group_size=20)
    [whole] = runs_of(path)
    assert whole[:2] == (0, 5)
    # Groups are of one size, but for the last; so each second one closes a run.
    monkeypatch.setattr(parquet_source, "RUN_BYTES", whole.num_bytes // 5 + 10)
    runs = runs_of(path)
    assert [run[:2] for run in runs] == [(0, 2), (2, 4), (4, 5)]
    assert sum(run.num_bytes for run in runs) == whole.num_bytes
    items = [item for run in runs for item in read_parquet(path, LIMITS, *run[:2])]
    assert items == list(read(path))
    assert items[41] == ParquetRow(41, texts[41])
    assert isinstance(items[99], Refusal)
    assert items[99].source.endswith("#99")


def test_a_table_that_is_refused_is_not_cut(tmp_path: Path) -> None:
    assert runs_of(tmp_path / "gone.parquet") == []
    assert runs_of(table(tmp_path, {"words": TEXTS}, row_group_size=1)) == []


def test_bad_rows_are_refused_and_the_others_read(tmp_path: Path) -> None:
    good = ParquetRow(0, "Good.", year=1813, language="en")
    rows: list[tuple[str | None, int | None, str | None, str]] = [
        ("Good.", 1813, "en", ""),
        (None, None, None, "its text is null"),
        (" \n", None, None, "its text is null, or only white space"),
        ("1813!", None, None, "its text holds no letters"),
        ("Good.", 18130, None, "its year is 18130"),
        ("Good.", None, "English", "its language 'English' is no code"),
        ("Good.", 1813, "en", ""),
    ]
    texts, years, languages, reasons = zip(*rows, strict=True)
    path = table(tmp_path, {"text": texts, "year": years, "language": languages})
    items = list(read(path))
    assert [items[0], items[-1]] == [good, replace(good, row=6)]
    for row, item in list(enumerate(items))[1:-1]:
        assert isinstance(item, Refusal)
        assert item.source == f"parquet:{path}#{row}"
        assert item.reason.startswith(f"Row {row}, counted from 0: {reasons[row]}")


def test_a_name_that_is_not_utf_8_is_told_as_what_it_is(tmp_path: Path) -> None:
    path = table(tmp_path, {"text": TEXTS}).rename(tmp_path / os.fsdecode(b"caf\xe9.parquet"))
    refused = refusal(path)
    assert refused.source == f"parquet:{tmp_path}/caf\\udce9.parquet"
    assert refused.reason == "Parquet files are opened by names in UTF-8 alone."


def test_a_string_that_is_no_unicode_is_refused_alone(tmp_path: Path) -> None:
    raw = pa.array([b"Good.", b"\xff\xfe", b"Also good."])
    strings = pa.StringArray.from_buffers(3, *raw.buffers()[1:])
    first, bad, last = read(table(tmp_path, {"text": strings}))
    assert (first, last) == (ParquetRow(0, "Good."), ParquetRow(2, "Also good."))
    assert isinstance(bad, Refusal)
    assert "its text is damaged: byte 0" in bad.reason


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"txt": TEXTS, "id": [1, 2, 3]}, "no column text; it has txt, id"),
        ({"text": [1, 2]}, "The column text is of type int64; it must hold strings"),
        ({"text": [b"bytes"]}, "of type binary"),
        ({"text": pa.array([b"bytes"]).dictionary_encode()}, "of type dictionary<values=binary"),
        ({"text": [{"inner": "a"}]}, "of type struct<inner: string>"),
        ({"text": TEXTS, "year": ["1813", "1865", "1915"]}, "must hold whole numbers"),
        ({"text": TEXTS, "year": [1813.0, None, 1.0]}, "year is of type double"),
        ({"text": TEXTS, "year": [True, None, False]}, "year is of type bool"),
        ({"text": TEXTS, "title": [1, 2, 3]}, "title is of type int64"),
        ({"text": pa.array([], pa.string())}, "has no rows"),
    ],
)
def test_tables_without_readable_columns_are_refused(
    columns: Mapping[str, Any], reason: str, tmp_path: Path
) -> None:
    refused = refusal(table(tmp_path, columns))
    assert reason in refused.reason
    assert refused.source == f"parquet:{tmp_path / 'shelf.parquet'}"


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    arrays = [pa.array(["a"]), pa.array(["b"])]
    pq.write_table(pa.Table.from_arrays(arrays, ["text", "text"]), tmp_path / "t.parquet")
    assert "2 columns text" in refusal(tmp_path / "t.parquet").reason


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone.parquet").reason == "There is no such file."
    assert "no whole Parquet file" in refusal(tmp_path).reason
    for content in (b"", b"Emma Woodhouse, handsome, clever, and rich"):
        (tmp_path / "text.parquet").write_bytes(content)
        assert "no whole Parquet file" in refusal(tmp_path / "text.parquet").reason
    path = table(tmp_path, {"text": TEXTS})
    path.write_bytes(path.read_bytes()[:-20])
    assert "no whole Parquet file" in refusal(path).reason


def test_damage_on_the_way_ends_the_table_with_a_refusal(tmp_path: Path) -> None:
    texts = [f"Book number {number:03}" for number in range(100)]
    path = table(
        tmp_path,
        {"text": texts},
        row_group_size=50,
        compression="none",
        use_dictionary=False,
        write_page_checksum=True,
    )
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"Book number 060", b"Book nXmber 060"))
    *rows, last = read(path)
    assert rows == [ParquetRow(row, text) for row, text in enumerate(texts[:50])]
    assert isinstance(last, Refusal)
    assert last.reason.startswith("It is damaged after 50 rows: ")


def test_a_row_that_is_too_large_is_refused_alone(tmp_path: Path) -> None:
    texts = ["Good.", "Words " * 20 + ".", "Also good."]
    limits = ArchiveLimits(most_bytes_of_a_member=120)
    for strings in (pa.array(texts), pa.array(texts, pa.string_view())):
        for values in (strings, pa.array(texts).dictionary_encode()):
            first, bad, last = read(table(tmp_path, {"text": values}), limits)
            assert (first, last) == (ParquetRow(0, texts[0]), ParquetRow(2, texts[2]))
            assert isinstance(bad, Refusal)
            assert bad.source.endswith("shelf.parquet#1")
            assert bad.reason == (
                "Row 1, counted from 0: it has 121 bytes; most_bytes_of_a_member is 120."
            )
            assert bad.remedy.startswith("Raise most_bytes_of_a_member, or ")
    # All that is known of the book counts.
    path = table(tmp_path, {"text": ["Good."], "title": ["x" * 116]})
    assert "it has 121 bytes" in refusal(path, limits).reason


def test_a_row_that_is_packed_as_no_text_is_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = "a" * 20_000_000
    path = table(tmp_path, {"text": ["Good.", bomb]}, row_group_size=1, compression="zstd")
    assert path.stat().st_size < 10_000
    unpacked: list[int] = []
    iter_batches = pq.ParquetFile.iter_batches

    def watched(table: pq.ParquetFile, rows: int, *, row_groups: list[int], **named: Any) -> Any:
        unpacked.extend(row_groups)
        return iter_batches(table, rows, row_groups=row_groups, **named)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    good, bad = read(path)
    assert good == ParquetRow(0, "Good.")
    assert isinstance(bad, Refusal)
    assert bad.source == f"parquet:{path}#1"
    assert bad.reason.startswith("Row 1, counted from 0: the column text declares 20,000,")
    assert bad.reason.endswith("packed ones, as no texts do; highest_ratio is 200.")
    assert unpacked == [0]
    # Well packed or not, one row has no more than its group declares.
    refused = refusal(
        table(tmp_path, {"text": [bomb]}),
        ArchiveLimits(most_bytes_of_a_member=10**7, highest_ratio=10**6),
    )
    assert refused.reason.startswith("Row 0, counted from 0: it has 20,0")
    assert unpacked == [0]


def test_one_text_for_thousands_of_rows_ends_their_row_group(tmp_path: Path) -> None:
    """A dictionary holds it once, so that the table declares little."""
    texts = pa.array(["a" * 2**18] * 1000).dictionary_encode()
    both = pa.chunked_array([texts, texts])
    path = table(tmp_path, {"text": both}, row_group_size=1000, compression="zstd")
    items = list(read(path))
    # A megabyte is read of each group, a quarter of it a row.
    assert [item.row if isinstance(item, ParquetRow) else None for item in items] == [
        *(0, 1, 2, 3, None),
        *(1000, 1001, 1002, 1003, None),
    ]
    assert isinstance(items[4], Refusal)
    assert items[4].source == f"parquet:{path}"
    assert items[4].reason.startswith("Rows 4 to 999, counted from 0: their texts have 1,310,720")
