"""The digest of a table: over its logical content, never over file bytes.

A table's digest is SHA-256 over one digest a book in key order (a table that is not `by_book` is
one group), each over the schema and the canonical values of its columns. How the rows were cut
into chunks, files or partitions, in which order the books came and how Parquet encoded them make
no difference; volatile columns are left out.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.table import Table

MOST_OPEN_BOOKS = 256  # each takes up to 25 KB, whatever its length


class TableDigest:
    """Takes a table's rows as they are written; `hexdigest` may be asked for at any time.

    A book's rows keep their order over all updates; different books may come interleaved, 256 at a
    time: a book whose turn was so many books ago is done.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._columns = [c for c in table.columns if not c.volatile]
        self._groups: dict[str, list[_ValuesDigest]] = {}  # the last to be opened comes last
        self._done: dict[str, str] = {}

    def update(self, rows: pa.Table) -> None:
        """Add rows, whose schema is the table's.

        Raises:
            ValueError: they are of a book that is done.
        """
        for batch in rows.to_batches():
            for key, start, stop in self._runs(batch):
                digests = self._groups.get(key) or self._opened(key)
                for column, digest in zip(self._columns, digests, strict=True):
                    digest.update(batch.column(column.name).slice(start, stop - start))

    def hexdigest(self) -> str:
        """The digest of all rows so far, 64 hexadecimal digits."""
        return merged_digest(digested_columns(self._table), self.by_group())

    def by_group(self) -> dict[str, str]:
        """The digest of each book's rows; under "" that of all, where the table is not by book."""
        return self._done | {key: _of_group(key, own) for key, own in self._groups.items()}

    def _opened(self, key: str) -> "list[_ValuesDigest]":
        if key in self._done:
            raise ValueError(f"rows of {key} come after those of {MOST_OPEN_BOOKS} other books")
        if len(self._groups) == MOST_OPEN_BOOKS:
            oldest = next(iter(self._groups))
            self._done[oldest] = _of_group(oldest, self._groups.pop(oldest))
        self._groups[key] = [_ValuesDigest(c.type) for c in self._columns]
        return self._groups[key]

    def _runs(self, batch: pa.RecordBatch) -> Iterable[tuple[str, int, int]]:
        """Stretches of rows of one book: (key, start, stop)."""
        if not batch.num_rows:
            return []
        if not self._table.by_book:
            return [("", 0, batch.num_rows)]
        keys = batch.column("book_id").to_pylist()
        cuts = [i for i in range(len(keys)) if i == 0 or keys[i] != keys[i - 1]]
        return zip((keys[i] for i in cuts), cuts, [*cuts[1:], len(keys)], strict=True)


def _of_group(key: str, digests: "Sequence[_ValuesDigest]") -> str:
    return _sha256([key.encode(), *(one.digest() for one in digests)]).hex()


def digested_columns(table: Table) -> str:
    """Names, types and nullability of the columns that count in a table's digest."""
    return repr([(c.name, str(c.type), c.nullable) for c in table.columns if not c.volatile])


def merged_digest(columns: str, by_group: Mapping[str, str]) -> str:
    """The digest of a table from its `digested_columns` and the digests of its books, whatever
    parts they came in.
    """
    total = hashlib.sha256(columns.encode())
    for key in sorted(by_group):
        total.update(bytes.fromhex(by_group[key]))
    return total.hexdigest()


class _ValuesDigest:
    """The values of one column: which are null, how long each is, and what they hold.

    Each of the three runs on over all chunks, so that the cut into chunks leaves no trace.
    """

    def __init__(self, kind: pa.DataType) -> None:
        self._nulls = hashlib.sha256()
        self._lengths = hashlib.sha256()
        self._values = hashlib.sha256()
        self._items = _ValuesDigest(kind.value_type) if pa.types.is_list(kind) else None

    def update(self, values: pa.Array) -> None:
        self._nulls.update(np.asarray(values.is_null(), dtype=np.uint8).tobytes())
        if self._items is not None:
            lengths = pc.fill_null(pc.list_value_length(values), 0)
            self._lengths.update(np.asarray(lengths, dtype="<i8").tobytes())
            self._items.update(values.flatten())
        elif pa.types.is_string(values.type):
            values = pc.fill_null(values, "")
            self._lengths.update(np.asarray(pc.binary_length(values), dtype="<i8").tobytes())
            self._values.update(_utf8_bytes(values))
        else:
            self._values.update(_number_bytes(values))

    def digest(self) -> bytes:
        parts = [self._nulls.digest(), self._lengths.digest(), self._values.digest()]
        return _sha256(parts if self._items is None else [*parts, self._items.digest()])


def _utf8_bytes(values: pa.Array) -> bytes:
    _, offsets, content = values.buffers()
    if len(values) == 0 or content is None:
        return b""
    ends = np.frombuffer(offsets, dtype=np.int32)[values.offset : values.offset + len(values) + 1]
    return memoryview(content)[ends[0] : ends[-1]].tobytes()


def _number_bytes(values: pa.Array) -> bytes:
    numbers = np.asarray(pc.fill_null(values, False if pa.types.is_boolean(values.type) else 0))
    if numbers.dtype.kind == "f":  # one bit pattern for every not-a-number
        numbers = np.where(np.isnan(numbers), np.asarray(np.nan, numbers.dtype), numbers)
    return numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).tobytes()


def _sha256(parts: Iterable[bytes]) -> bytes:
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.digest()
