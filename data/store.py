"""The store: a folder or an object store that holds tables as Parquet, and small files beside them.

A table is a file, or a folder of files, its parts: `books.parquet`, `books/00000.parquet`.

Whatever is published appears whole or not at all: it is written to a temporary name, flushed to
the disk, then renamed. (For an object store it is written to a local file, then sent whole.)
"""

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.digest import TableDigest, digested_columns, merged_digest
from data.errors import UserMistake
from data.filesystems import is_of_the_way, opened, sync_folder, told, trouble, writing_told
from data.parquet_encodings import IN_LIST, encodings
from data.table import Table

PARQUET = ".parquet"
TEMPORARY = ".tmp"
"""The end of a name that is being written: of what no process writes, it is left over."""
ROW_GROUP_BYTES = 4 * 2**20  # who writes or reads one holds it several times over
MOST_WAITING = 1000
LINEAGE_KEY = b"bookloom.lineage"
HASHED_AT_ONCE_BYTES = 2**20


class Damaged(UserMistake):
    """Something in a store is not what was written. `name` says where in the store it stands."""

    def __init__(self, name: str, path: str, cause: str) -> None:
        super().__init__(
            f"{path} is damaged: {cause}.",
            "Delete it and run again: it is made anew. (bookloom verify --repair does so with all "
            "that is damaged.)",
        )
        self.name, self.path, self.cause = name, path, cause

    def __reduce__(self) -> tuple[type["Damaged"], tuple[str, str, str]]:
        return Damaged, (self.name, self.path, self.cause)  # it travels from a worker's process


class Store:
    """Tables and small files under one root: a path, or any URL that fsspec knows.

    Names are relative to the root, parted by `/`. Every method may raise `StoreTrouble`: the store
    is full, shut or away.

    Raises:
        UserMistake: nothing that is installed knows such a URL.
    """

    def __init__(self, root: str) -> None:
        self._files, self.root = opened(root)
        self.is_local = "file" in self._files.protocol
        """Whether it is a folder of this machine."""

    def path(self, name: str) -> str:
        """Where a name stands: an absolute path or a URL."""
        return str(self._files.unstrip_protocol(self._full(name))).removeprefix("file://")

    def exists(self, name: str) -> bool:
        """Whether something of this name was published."""
        with self._at(name) as full:
            if self.is_local:
                return bool(self._files.exists(full))
            try:  # where a store is away, fsspec's `exists` may say no
                self._files.info(full)
            except FileNotFoundError:
                return False
            return True

    def names(self, folder: str) -> list[str]:
        """Names of what stands in a folder, sorted; none if there is no such folder."""
        with self._at(folder) as full:
            try:
                found = self._files.ls(full, detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
        paths = [str(path).rstrip("/") for path in found]
        return sorted(f"{folder}/{path.rsplit('/', 1)[-1]}" for path in paths if path != full)

    def files(self, folder: str) -> dict[str, int]:
        """All files in a folder and the folders in it, sorted, with their length in bytes."""
        with self._at(folder) as full:
            found = self._files.find(full, detail=True)
        # Gone meanwhile, or a link to nothing: not there.
        sizes = {str(path): info.get("size") for path, info in found.items() if path != full}
        start = len(self.root) + 1
        return {path[start:]: int(size) for path, size in sorted(sizes.items()) if size is not None}

    def size(self, name: str) -> int:
        """The length of a file in bytes.

        Raises:
            FileNotFoundError: nothing of this name was published.
        """
        with self._at(name) as full:
            return int(self._files.size(full))

    def sha256(self, name: str) -> str:
        """SHA-256 over the bytes of a file. Raises as `size` does."""
        total = hashlib.sha256()
        with self._at(name) as full, self._files.open(full, "rb") as file:
            while content := file.read(HASHED_AT_ONCE_BYTES):
                total.update(content)
        return total.hexdigest()

    def write_bytes(self, name: str, content: bytes) -> None:
        """Publish a small file."""
        with self._publish(name) as file:
            file.write(content)

    def create_bytes(self, name: str, content: bytes) -> bool:
        """Publish a small file in an object store unless it is there; whether it was not.

        Of several who do so at once, some object stores let more than one believe so.
        """
        with self._sending(name) as full:
            try:
                self._files.pipe_file(full, content, mode="create")
            except FileExistsError:
                return False
        return True

    def read_bytes(self, name: str) -> bytes:
        """The content of a small file.

        Raises:
            FileNotFoundError: nothing of this name was published.
        """
        with self._at(name) as full:
            return bytes(self._files.cat_file(full))

    def delete(self, name: str) -> None:
        """Remove a file; that it is gone already is no error."""
        with suppress(FileNotFoundError), self._at(name) as full:
            self._files.rm_file(full)

    def delete_folder(self, name: str) -> None:
        """Remove a folder and all in it; that it is gone already is no error."""
        with suppress(FileNotFoundError), self._at(name) as full:
            self._files.rm(full, recursive=True)

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Publish a JSON object."""
        self.write_bytes(name, json.dumps(value, indent=1, ensure_ascii=False).encode())

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON object.

        Raises:
            Damaged: it is.
            FileNotFoundError: nothing of this name was published.
        """
        content = self.read_bytes(name)
        try:
            value = json.loads(content)
        except ValueError as error:
            raise self.damaged(name, str(error)) from error
        if not isinstance(value, dict):
            raise self.damaged(name, "it holds no JSON object")
        return value

    @contextmanager
    def table_writer(
        self, name: str, table: Table, lineage: Mapping[str, Any]
    ) -> Iterator["TableWriter"]:
        """Write a table row group by row group; it is published when the block ends well."""
        with (
            self._publish(name) as file,
            pq.ParquetWriter(
                file,
                table.schema,
                compression="zstd",
                write_page_checksum=True,
                **encodings(table.schema),
            ) as parquet,
        ):
            writer = TableWriter(table, parquet)
            yield writer
            writer.flush()
            content = {
                **lineage,
                "table": table.name,
                "digest": writer.digest,
                "num_rows": writer.num_rows,
                **(
                    {"books": writer.by_group, "columns": digested_columns(table)}
                    if table.by_book
                    else {}
                ),
            }
            parquet.add_key_value_metadata({LINEAGE_KEY.decode(): json.dumps(content)})

    def parts(self, name: str) -> list[str]:
        """The files that a table is made of, in order: itself, or those in its folder."""
        if name.endswith(PARQUET):
            return [name]
        return [part for part in self.names(name) if part.endswith(PARQUET)]

    def read_table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A whole table, or some of its columns.

        Raises:
            Damaged: a file is.
            FileNotFoundError: there is no such table.
        """
        tables = []
        for part in self.parts(name) or [name]:
            with self._open_parquet(part) as parquet:
                tables.append(parquet.read(columns))
        return pa.concat_tables(tables)

    def row_groups(
        self, name: str, columns: Sequence[str] | None = None, coded: Sequence[str] = ()
    ) -> Iterator[pa.Table]:
        """A table, one row group at a time. Raises as `read_table` does.

        Lists of strings that are `coded` come as Arrow's dictionary, a row group's distinct
        strings, and indices into it: a sixth of the time.
        """
        for part in self.parts(name) or [name]:
            with self._open_parquet(part, coded) as parquet:
                for index in range(parquet.num_row_groups):
                    yield parquet.read_row_group(index, columns)

    def lineage(self, name: str) -> dict[str, Any]:
        """What a table's files say of where it came from; of one in parts, its digest and length
        as a whole, and as `layout` a digest of which books stand in which part.

        Raises:
            Damaged: a file is.
            FileNotFoundError: there is no such table.
        """
        first, *others = [self._lineage_of_file(part) for part in self.parts(name) or [name]]
        if name.endswith(PARQUET):
            return first
        books = {book: digest for one in (first, *others) for book, digest in one["books"].items()}
        num_rows = sum(one["num_rows"] for one in (first, *others))
        layout = hashlib.sha256(repr([sorted(one["books"]) for one in (first, *others)]).encode())
        whole = {
            "digest": merged_digest(first["columns"], books),
            "num_rows": num_rows,
            "books": books,
        }
        return {**first, **whole, "layout": layout.hexdigest()}

    def _lineage_of_file(self, name: str) -> dict[str, Any]:
        with self._open_parquet(name) as parquet:
            metadata = parquet.schema_arrow.metadata or {}
            metadata = {**metadata, **(parquet.metadata.metadata or {})}
            content: dict[str, Any] | None = json.loads(metadata.get(LINEAGE_KEY, b"null"))
        if content is None:
            raise self.damaged(name, "it carries no lineage of bookloom")
        return content

    def damaged(self, name: str, cause: str) -> Damaged:
        """That something is not what was written, and why one thinks so."""
        return Damaged(name, self.path(name), cause)

    def _full(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    @contextmanager
    def _at(self, name: str) -> Iterator[str]:
        """A name's place in the filesystem, whose troubles in the block are told."""
        with told(self.path(name), is_local=self.is_local):
            yield self._full(name)

    @contextmanager
    def _open_parquet(self, name: str, coded: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
        # Arrow's own file where it can be: its threads may be done with Python's only while a short
        # command is ending, which aborts it.
        with (
            self._at(name) as full,
            pa.OSFile(full) if self.is_local else self._files.open(full, "rb") as file,
        ):
            try:
                yield pq.ParquetFile(
                    file,
                    page_checksum_verification=True,
                    read_dictionary=[f"{column}{IN_LIST}" for column in coded],
                )
            except MemoryError:  # Arrow's own is one of its errors, too
                raise
            except (pa.ArrowException, OSError, ValueError) as error:
                if not self.is_local and is_of_the_way(error):
                    raise
                raise self.damaged(name, str(error)) from error

    @contextmanager
    def _publish(self, name: str) -> Iterator[IO[bytes]]:
        if not self.is_local:
            # Closing an object publishes it, even half written after an exception.
            with writing_told(tempfile.gettempdir()), tempfile.NamedTemporaryFile() as file:
                yield file
                file.flush()
                with self._sending(name) as full:
                    self._files.put_file(file.name, full)
            return
        with self._at(name) as final:
            os.makedirs(os.path.dirname(final), exist_ok=True)
            temporary = f"{final}.{uuid.uuid4().hex}{TEMPORARY}"
            opened_file = open(temporary, "xb")  # noqa: SIM115  # closed below
        try:
            with writing_told(final), opened_file:
                yield opened_file
                opened_file.flush()
                os.fsync(opened_file.fileno())
            with self._at(name):
                os.replace(temporary, final)
        except BaseException:
            with suppress(OSError):
                os.remove(temporary)
            raise
        with self._at(name):
            sync_folder(os.path.dirname(final))

    @contextmanager
    def _sending(self, name: str) -> Iterator[str]:
        """The same for one who sends to an object store: only the bucket can be missing."""
        try:
            with self._at(name) as full:
                yield full
        except FileNotFoundError as error:
            raise trouble(self.path(name), error, is_local=False) from error


class TableWriter:
    """Takes a table's rows, checks them against its schema, digests and writes them."""

    def __init__(self, table: Table, parquet: pq.ParquetWriter) -> None:
        self._schema = table.schema
        self._parquet = parquet
        self._digest = TableDigest(table)
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        self.num_rows = 0

    @property
    def digest(self) -> str:
        """The digest of the rows written so far."""
        return self._digest.hexdigest()

    @property
    def by_group(self) -> dict[str, str]:
        """The digests of the books written so far."""
        return self._digest.by_group()

    def write(self, columns: Mapping[str, Any]) -> None:
        """Add rows, given as equally long columns (lists, or NumPy or Arrow arrays).

        Raises:
            ValueError: a column is missing or unknown, or has a null where none may be.
        """
        unknown = set(columns) - set(self._schema.names)
        if unknown:
            raise ValueError(f"columns {sorted(unknown)} are not declared in data/README.md")
        missing = set(self._schema.names) - set(columns)
        if missing:
            raise ValueError(f"columns {sorted(missing)} are missing")
        self.write_table(pa.Table.from_pydict(dict(columns), schema=self._schema))

    def write_table(self, rows: pa.Table) -> None:
        """Add rows of an Arrow table that has this schema. Raises as `write` does."""
        rows = rows.select(self._schema.names).cast(self._schema)
        for field in self._schema:
            if not field.nullable and rows.column(field.name).null_count:
                raise ValueError(f"column {field.name} holds a null; data/README.md allows none")
        self._digest.update(rows)
        self.num_rows += rows.num_rows
        self._waiting.append(rows)
        self._waiting_bytes += rows.nbytes
        if self._waiting_bytes >= ROW_GROUP_BYTES:
            self.flush()
        elif len(self._waiting) > MOST_WAITING:  # a table of one row takes 5 KB, whatever is in it
            self._waiting = [pa.concat_tables(self._waiting).combine_chunks()]

    def flush(self) -> None:
        """Write what waits as one row group."""
        if self._waiting:
            rows = pa.concat_tables(self._waiting)
            self._parquet.write_table(rows, row_group_size=max(1, rows.num_rows))
        self._waiting, self._waiting_bytes = [], 0
