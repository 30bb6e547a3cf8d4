"""Books in a Parquet table, one a row: `parquet:PATH`.

The column `text` is needed; `title`, `author`, `year`, `genre`, `language`, `licence`, `book_id`
and `source` are taken where they are, and others are left alone. Rows are read a few at a time, so
that a table may be larger than the memory: 570 MB of books of 1 MB take 180 MB. (The pages in which
its writer packed them must fit; pyarrow makes pages of 1,024 rows, or of a smaller row group.) The
limits are an archive's, a row being a member; what the table declares is looked at before it is
unpacked. A large table is cut into runs of row groups, which can be read side by side.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from data.archives import ArchiveLimits
from data.books import YEARS, Refusal

PREFIX = "parquet:"
RUN_BYTES = 16 * 2**20
"""A run of row groups ends where its texts are so much or more: about a shard."""

_ROWS_AT_ONCE = 32
_BYTES_AT_ONCE = 64 * 2**20  # a dictionary may give each row all that a column has
_SMALL = 2**20  # bytes; a column as small may be packed as well as it can be
_READ_BYTES = 2**20  # without it, Arrow reads a row group's whole column at once
_STRINGS = (pa.StringScalar, pa.LargeStringScalar, pa.StringViewScalar)
_LANGUAGE = re.compile("[a-z]{2}")


@dataclass(frozen=True)
class ParquetRow:
    """A book's text and what its row says of it. What it does not say is None."""

    row: int  # counted from 0, as the tools of such tables do
    text: str
    title: str | None = None
    author: str | None = None
    year: int | None = None
    genre: str | None = None
    language: str | None = None  # two-letter code
    licence: str | None = None
    book_id: str | None = None
    source: str | None = None


_COLUMNS = tuple(column.name for column in fields(ParquetRow) if column.name != "row")


class Run(NamedTuple):
    """Row groups of a table that follow each other, and what their texts declare."""

    first_group: int
    end_group: int  # one past the last
    num_bytes: int


class _Refused(Exception):
    def __init__(self, reason: str, remedy: str) -> None:
        self.reason, self.remedy = reason, remedy


def runs_of(path: Path) -> list[Run]:
    """Cut a table between its row groups; none of a table that `read_parquet` would refuse."""
    try:
        with pq.ParquetFile(path) as table:
            _checked_columns(table.schema_arrow)
            sizes = [
                max(0, _chunks(table, group, ["text"])["text"].total_uncompressed_size)
                for group in range(table.num_row_groups)
            ]
    except (_Refused, pa.ArrowException, OSError, ValueError):
        return []
    runs: list[Run] = []
    for group, size in enumerate(sizes):
        if runs and runs[-1].num_bytes < RUN_BYTES:
            runs[-1] = Run(runs[-1].first_group, group + 1, runs[-1].num_bytes + size)
        else:
            runs.append(Run(group, group + 1, size))
    return runs


def read_parquet(
    path: Path, limits: ArchiveLimits, first_group: int = 0, end_group: int | None = None
) -> Iterator[ParquetRow | Refusal]:
    """Yield the books of a table in its order, and a refusal for each row that is none.

    Rows have the same numbers, wherever reading begins.

    A refusal's source is the table's, with the row's number after `#` where it is a row's. Where a
    column is missing or of a wrong type, or the file is damaged, a refusal of the table ends it;
    one of rows that are packed as no texts are stands for the rest of their row group.

    Args:
        path: the table's.
        limits: how large a row may be, and how well packed.
        first_group: the row group to begin with.
        end_group: one past the last that is read; None reads to the end.
    """
    source = f"{PREFIX}{path}"
    row = 0
    try:
        # The check of pages is slow by a few per cent; without it, damage is taken for text.
        with pq.ParquetFile(
            path, buffer_size=_READ_BYTES, pre_buffer=False, page_checksum_verification=True
        ) as table:
            columns = _checked_columns(table.schema_arrow)
            num_rows = [
                table.metadata.row_group(group).num_rows for group in range(table.num_row_groups)
            ]
            if not any(num_rows):
                raise _Refused("The table has no rows.", "Give one with a book in it.")
            row = sum(num_rows[:first_group])
            for group in range(table.num_row_groups)[first_group:end_group]:
                end = row + num_rows[group]
                try:
                    for item in _read_group(table, group, columns, row, source, limits):
                        yield item
                        row += 1
                except _Refused as refused:
                    one = end - row == 1
                    rows = f"Row {row}" if one else f"Rows {row} to {end - 1}"
                    reason = f"{rows}, counted from 0: {refused.reason}"
                    at = f"{source}#{row}" if one else source
                    yield Refusal(at, "read", reason, refused.remedy, None)
                row = end
    except _Refused as refused:
        yield Refusal(source, "read", refused.reason, refused.remedy, None)
    except FileNotFoundError:
        yield Refusal(source, "read", "There is no such file.", "Check the path.", None)
    except UnicodeEncodeError:
        reason, remedy = "Parquet files are opened by names in UTF-8 alone.", "Rename it."
        yield Refusal(source, "read", reason, remedy, None)
    except (pa.ArrowException, OSError, ValueError) as error:
        what = f"It is damaged after {row} rows" if row else "It is no whole Parquet file"
        remedy = "Write or fetch the table anew from where it came."
        yield Refusal(source, "read", f"{what}: {error}.", remedy, None)


def _checked_columns(schema: pa.Schema) -> list[str]:
    """The columns to read, once they are known to be readable."""
    if "text" not in schema.names:
        reason = f"The table has no column text; it has {', '.join(schema.names) or 'none'}."
        raise _Refused(reason, "Call the column of the books' texts so.")
    columns = [name for name in _COLUMNS if name in schema.names]
    for name in columns:
        if schema.names.count(name) > 1:
            reason = f"The table has {schema.names.count(name)} columns {name}."
            raise _Refused(reason, "Leave one of them.")
        column_type = schema.field(name).type
        wanted = "whole numbers" if name == "year" else "strings"
        if not (pa.types.is_null(column_type) or _holds(column_type, wanted)):
            reason = f"The column {name} is of type {column_type}; it must hold {wanted}."
            raise _Refused(reason, "Convert it.")
    return columns


def _read_group(
    table: pq.ParquetFile,
    group: int,
    columns: list[str],
    row: int,
    source: str,
    limits: ArchiveLimits,
) -> Iterator[ParquetRow | Refusal]:
    """The rows of a row group, of which `row` is the first; damage costs no group before it.

    Raises:
        _Refused: what is left of it is packed as no texts are.
    """
    chunks = _chunks(table, group, columns)
    declared = sum(chunk.total_uncompressed_size for chunk in chunks.values())
    _check_declared(chunks, table.metadata.row_group(group).num_rows, declared, limits)
    packed = chunks["text"].total_compressed_size
    most_bytes = max(_SMALL, limits.highest_ratio * packed)
    num_bytes = 0
    at_once = min(_ROWS_AT_ONCE, max(1, _BYTES_AT_ONCE // max(1, declared)))
    for batch in table.iter_batches(at_once, row_groups=[group], columns=columns):
        for index in range(batch.num_rows):
            num_bytes += _num_bytes(batch, "text", index)
            if num_bytes > most_bytes:
                raise _packed_too_well("their texts have", num_bytes, packed, limits)
            yield _read_row(batch, index, row, source, limits)
            row += 1


def _chunks(table: pq.ParquetFile, group: int, columns: Sequence[str]) -> dict[str, Any]:
    """What a row group's columns declare of themselves."""
    about = table.metadata.row_group(group)
    chunks = map(about.column, range(about.num_columns))
    return {chunk.path_in_schema: chunk for chunk in chunks if chunk.path_in_schema in columns}


def _check_declared(
    chunks: Mapping[str, Any], num_rows: int, declared: int, limits: ArchiveLimits
) -> None:
    """Refuse what need not be unpacked to be refused."""
    for name, chunk in chunks.items():
        num_bytes, packed = chunk.total_uncompressed_size, chunk.total_compressed_size
        if num_bytes > max(_SMALL, limits.highest_ratio * packed):
            raise _packed_too_well(f"the column {name} declares", num_bytes, packed, limits)
    if num_rows == 1 and declared - _SMALL > limits.most_bytes_of_a_member:
        _check_size(declared, limits)  # headers and statistics included


def _packed_too_well(what: str, num_bytes: int, packed: int, limits: ArchiveLimits) -> _Refused:
    return _Refused(
        f"{what} {num_bytes:,} bytes out of {packed:,} packed ones, as no texts do; highest_ratio"
        f" is {limits.highest_ratio}.",
        "If you trust the table, raise highest_ratio; or leave the rows out.",
    )


def _check_size(num_bytes: int, limits: ArchiveLimits) -> None:
    if num_bytes > limits.most_bytes_of_a_member:
        raise _Refused(
            f"it has {num_bytes:,} bytes; most_bytes_of_a_member is"
            f" {limits.most_bytes_of_a_member:,}.",
            "Raise most_bytes_of_a_member, or cut the text into several rows.",
        )


def _num_bytes(batch: pa.RecordBatch, name: str, index: int) -> int:
    """Of a cell that holds a string, which is not made one of Python's; 0 of any other."""
    cell = batch.column(name)[index]
    if isinstance(cell, pa.DictionaryScalar):
        cell = cell.value
    return len(cell.as_buffer()) if isinstance(cell, _STRINGS) and cell.is_valid else 0


def _holds(column_type: pa.DataType, wanted: str) -> bool:
    if pa.types.is_dictionary(column_type):
        column_type = column_type.value_type
    if wanted == "whole numbers":
        return bool(pa.types.is_integer(column_type))
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_kind(column_type) for is_kind in kinds)


def _read_row(
    batch: pa.RecordBatch, index: int, row: int, source: str, limits: ArchiveLimits
) -> ParquetRow | Refusal:
    try:
        _check_size(sum(_num_bytes(batch, name, index) for name in batch.schema.names), limits)
        values = {name: _value(batch, name, index) for name in batch.schema.names}
        _check_values(values)
    except _Refused as refused:
        reason = f"Row {row}, counted from 0: {refused.reason}"
        return Refusal(f"{source}#{row}", "read", reason, refused.remedy, None)
    return ParquetRow(row=row, **values)


def _value(batch: pa.RecordBatch, name: str, index: int) -> Any:
    """A cell's value; a string that is only white space says nothing, so it is None."""
    try:
        value = batch.column(name)[index].as_py()
    except UnicodeDecodeError as error:
        reason = f"its {name} is damaged: byte {error.start} begins no UTF-8 character."
        raise _Refused(reason, "Write the table anew from where it came.") from None
    return None if isinstance(value, str) and not value.strip() else value


def _check_values(values: dict[str, Any]) -> None:
    if values["text"] is None:
        raise _Refused("its text is null, or only white space.", "Leave the row out.")
    if not any(map(str.isalpha, values["text"])):
        raise _Refused("its text holds no letters.", "Leave the row out.")
    language, year = values.get("language"), values.get("year")
    if language is not None and not _LANGUAGE.fullmatch(language):
        reason = f"its language {language!r} is no code of two small letters."
        raise _Refused(reason, "Write it like en or de, or leave it null.")
    if year is not None and year not in YEARS:
        raise _Refused(f"its year is {year}.", "Write it like 1813, or leave it null.")
