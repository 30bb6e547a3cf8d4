import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import UserMistake
from data.filesystems import StoreTrouble
from data.store import Store, TableWriter
from data.table import Column, Table

PROJECT_ROOT = Path(__file__).parents[2]
BOOKS = Table(
    "books",
    "a book",
    "nobody",
    (
        Column("book_id", pa.string(), "the book"),
        Column("pages", pa.int64(), "its length", "pages", nullable=True),
    ),
    by_book=True,
)
NAME = "steps/read/1/books.parquet"
OLD = {"book_id": ["emma"], "pages": [474]}
NEW = {"book_id": ["emma", "ulysses"], "pages": [474, None]}


@pytest.fixture(params=["folder", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "store")
        return
    if request.param == "s3":
        yield request.getfixturevalue("object_store").new_bucket(f"b{uuid.uuid4().hex}") + "/store"
        return
    root = f"memory://{uuid.uuid4().hex}"
    yield root
    files = fsspec.filesystem("memory")
    if files.exists(root):
        files.rm(root, recursive=True)


def publish(store: Store, columns: dict[str, list[Any]], **lineage: Any) -> TableWriter:
    with store.table_writer(NAME, BOOKS, lineage) as writer:
        writer.write(columns)
    return writer


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_table_comes_back_as_it_was_written(root: str) -> None:
    store = Store(root)
    assert not store.exists(NAME)
    writer = publish(store, NEW)
    assert store.exists(NAME)
    assert writer.num_rows == 2
    table = Store(root).read_table(NAME)
    assert table.to_pydict() == NEW
    assert table.schema.equals(BOOKS.schema)
    assert table.schema.field("pages").metadata[b"unit"] == b"pages"
    assert store.read_table(NAME, ["pages"]).to_pydict() == {"pages": [474, None]}


def test_row_groups_come_one_at_a_time(root: str) -> None:
    store = Store(root)
    with store.table_writer(NAME, BOOKS, {}) as writer:
        for book_id in ("a", "b", "c"):
            writer.write({"book_id": [book_id], "pages": [1]})
            writer.flush()
        writer.flush()  # nothing waits
    groups = [group["book_id"].to_pylist() for group in store.row_groups(NAME, ["book_id"])]
    assert groups == [["a"], ["b"], ["c"]]


def test_rows_wait_until_a_row_group_is_full(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.store.ROW_GROUP_BYTES", 3 * pa.table(OLD, BOOKS.schema).nbytes)
    store = Store(root)
    with store.table_writer(NAME, BOOKS, {}) as writer:
        for _ in range(7):
            writer.write(OLD)
    assert [group.num_rows for group in store.row_groups(NAME)] == [3, 3, 1]


def test_an_empty_table_is_a_table(root: str) -> None:
    store = Store(root)
    with store.table_writer(NAME, BOOKS, {}):
        pass
    assert store.read_table(NAME).to_pydict() == {"book_id": [], "pages": []}
    publish(store, {"book_id": [], "pages": []})
    assert store.read_table(NAME).num_rows == 0


def test_lineage_comes_back(root: str) -> None:
    lineage = {"step": "read", "inputs": {"été": {"digest": "12"}}, "seed": None, "list": [1, 2]}
    store = Store(root)
    written = publish(store, NEW, **lineage)
    assert store.lineage(NAME) == {
        **lineage,
        "table": "books",
        "digest": written.digest,
        "num_rows": written.num_rows,
        "books": written.by_group,
        "columns": "[('book_id', 'string', False), ('pages', 'int64', True)]",
    }


def test_a_table_in_parts_is_read_as_one(root: str) -> None:
    store = Store(root)
    whole = publish(store, NEW)
    folder = NAME.removesuffix(".parquet")
    for number in reversed(range(len(NEW["book_id"]))):
        rows = {name: values[number : number + 1] for name, values in NEW.items()}
        with store.table_writer(f"{folder}/{number:05}.parquet", BOOKS, {"step": number}) as part:
            part.write(rows)
    assert store.exists(folder)
    assert len(store.parts(folder)) == len(NEW["book_id"])
    assert store.read_table(folder).to_pydict() == store.read_table(NAME).to_pydict()
    assert [rows.num_rows for rows in store.row_groups(folder)] == [1] * len(NEW["book_id"])
    made = store.lineage(folder)
    assert (made["digest"], made["num_rows"], made["step"]) == (whole.digest, whole.num_rows, 0)


def test_the_layout_tells_which_books_stand_together(root: str) -> None:
    store = Store(root)
    layouts = []
    for folder, cuts in (
        ("a", [["x", "y"], ["z"]]),
        ("b", [["x"], ["y", "z"]]),
        ("c", [["x", "y"], ["z"]]),
    ):
        for number, books in enumerate(cuts):
            name = f"{folder}/{number:05}.parquet"
            with store.table_writer(name, BOOKS, {}) as part:
                part.write({"book_id": books, "pages": [1] * len(books)})
        layouts.append(store.lineage(folder)["layout"])
    assert layouts[0] == layouts[2] != layouts[1]


def test_a_table_that_another_program_wrote_has_no_lineage(tmp_path: Path) -> None:
    pq.write_table(pa.table(OLD), tmp_path / "foreign.parquet")
    with pytest.raises(UserMistake, match=r"foreign\.parquet is damaged: it carries no lineage"):
        Store(str(tmp_path)).lineage("foreign.parquet")


def test_too_little_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    publish(store, OLD)

    def full(*_: Any, **__: Any) -> Any:
        raise pa.ArrowMemoryError("malloc of size 64 failed")

    monkeypatch.setattr(pq, "ParquetFile", full)
    with pytest.raises(MemoryError):
        store.read_table(NAME)


def test_small_files_names_and_paths(root: str) -> None:
    store = Store(root)
    assert store.names("steps") == []
    store.write_bytes("steps/b/map.png", b"\x00\xff")
    store.write_json("steps/a/manifest.json", {"title": "Ça ira", "parts": [1]})
    assert store.read_bytes("steps/b/map.png") == b"\x00\xff"
    assert store.read_json("steps/a/manifest.json") == {"title": "Ça ira", "parts": [1]}
    assert store.names("steps") == ["steps/a", "steps/b"]
    assert store.names("steps/a") == ["steps/a/manifest.json"]
    assert store.names("steps/nowhere") == []
    with fsspec.open(store.path("steps/b/map.png"), "rb") as file:
        assert file.read() == b"\x00\xff"


@pytest.mark.parametrize("method", ["read_bytes", "read_json", "read_table", "lineage"])
def test_what_was_never_published_is_not_found(root: str, method: str) -> None:
    with pytest.raises(FileNotFoundError):
        getattr(Store(root), method)("nowhere")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b'{"a": "\xff"}'])
def test_damaged_json_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(UserMistake) as caught:
        Store(str(tmp_path)).read_json("manifest.json")
    assert caught.value.message.startswith(f"{tmp_path / 'manifest.json'} is damaged: ")
    assert "Delete it" in caught.value.remedy


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"book_id": ["a"], "pages": [1], "year": [1815]}, "year"),
        ({"book_id": ["a"]}, "pages"),
        ({"pages": [1]}, "book_id"),
        ({"book_id": ["a", None], "pages": [1, 2]}, "book_id"),
    ],
)
def test_a_wrong_column_is_refused_by_name(
    tmp_path: Path, columns: dict[str, list[Any]], named: str
) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(ValueError, match=named):
        publish(store, columns)
    assert files_below(tmp_path) == []


def test_an_arrow_table_is_put_in_order_and_checked(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with store.table_writer(NAME, BOOKS, {}) as writer:
        writer.write_table(pa.table({"pages": pa.array([474], pa.int32()), "book_id": ["emma"]}))
        with pytest.raises(ValueError, match="book_id"):
            writer.write_table(pa.table({"pages": [1], "book_id": pa.array([None], pa.string())}))
    assert store.read_table(NAME).to_pydict() == OLD


class Crash(BaseException):
    """Not an Exception: as little as KeyboardInterrupt is."""


def test_a_crash_while_writing_leaves_the_old_table(root: str) -> None:
    store = Store(root)
    digest = publish(store, OLD).digest
    with pytest.raises(Crash), store.table_writer(NAME, BOOKS, {}) as writer:
        writer.write(NEW)
        writer.flush()
        raise Crash
    assert store.read_table(NAME).to_pydict() == OLD
    assert store.lineage(NAME)["digest"] == digest
    assert store.names("steps/read/1") == [NAME]


def test_a_crash_while_writing_the_first_table_leaves_none(root: str) -> None:
    store = Store(root)
    with pytest.raises(Crash), store.table_writer(NAME, BOOKS, {}) as writer:
        writer.write(NEW)
        raise Crash
    assert not store.exists(NAME)
    assert store.names("steps/read/1") == []


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_crash_before_the_rename_leaves_the_old_table_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    store = Store(str(tmp_path))
    publish(store, OLD)
    seen: list[list[str]] = []

    def fail(*_: object) -> None:
        seen.append(files_below(tmp_path))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, moment, fail)
        with pytest.raises(StoreTrouble, match="No space left on device") as caught:
            publish(store, NEW)
    assert caught.value.path == str(tmp_path / NAME)
    assert "Free some space" in caught.value.remedy
    ((old, temporary),) = seen
    assert old == NAME
    assert temporary.startswith(f"{NAME}.")
    assert files_below(tmp_path) == [NAME]
    assert store.read_table(NAME).to_pydict() == OLD
    publish(store, NEW)
    assert store.read_table(NAME).to_pydict() == NEW


KILLED = """
import sys, time
from data.store import Store
from tests_table import BOOKS
with Store(sys.argv[1]).table_writer(sys.argv[2], BOOKS, {}) as writer:
    for number in range(50):
        writer.write({"book_id": [f"book {number}"] * 1000, "pages": [number] * 1000})
        writer.flush()
    print("half written", flush=True)
    time.sleep(600)
"""
TABLE_MODULE = """
import pyarrow as pa
from data.table import Column, Table
BOOKS = Table("books", "a book", "nobody", (
    Column("book_id", pa.string(), ""), Column("pages", pa.int64(), "", nullable=True)), True)
"""


def test_a_killed_process_leaves_the_old_table(tmp_path: Path) -> None:
    (tmp_path / "tests_table.py").write_text(TABLE_MODULE)
    store = Store(str(tmp_path / "store"))
    publish(store, OLD)
    writing = subprocess.Popen(
        [sys.executable, "-c", KILLED, store.root, NAME],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{PROJECT_ROOT}{os.pathsep}{tmp_path}"},
        text=True,
    )
    with writing:
        assert writing.stdout is not None
        assert writing.stdout.readline() == "half written\n"
        writing.send_signal(signal.SIGKILL)
    assert writing.returncode == -signal.SIGKILL
    half_written = set(files_below(tmp_path / "store")) - {NAME}
    assert len(half_written) == 1
    assert store.read_table(NAME).to_pydict() == OLD
    publish(store, NEW)
    assert store.read_table(NAME).to_pydict() == NEW


def test_a_table_cut_short_anywhere_is_told(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    publish(store, NEW)
    path = tmp_path / NAME
    whole = path.read_bytes()
    for length in range(0, len(whole), 17):
        path.write_bytes(whole[:length])
        for read in (store.read_table, store.lineage, lambda name: list(store.row_groups(name))):
            with pytest.raises(UserMistake) as caught:
                read(NAME)
            assert caught.value.message.startswith(f"{path} is damaged: ")
            assert "Delete it" in caught.value.remedy


def test_a_flipped_bit_in_the_data_is_told(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    publish(store, {"book_id": [f"book {i}" for i in range(1000)], "pages": list(range(1000))})
    path = tmp_path / NAME
    whole = path.read_bytes()
    columns = pq.read_metadata(path).row_group(0)
    for index in range(columns.num_columns):
        column = columns.column(index)
        damaged = bytearray(whole)
        first_page = column.dictionary_page_offset or column.data_page_offset
        # The last byte is data; a page's header has no checksum.
        damaged[first_page + column.total_compressed_size - 1] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(UserMistake, match="is damaged"):
            store.read_table(NAME, [column.path_in_schema])


def test_a_flipped_bit_anywhere_gives_no_other_error(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    publish(store, NEW)
    path = tmp_path / NAME
    whole = path.read_bytes()
    told = 0
    for index in range(len(whole)):
        damaged = bytearray(whole)
        damaged[index] ^= 0x80
        path.write_bytes(damaged)
        for read in (store.read_table, store.lineage):
            try:
                read(NAME)
            except UserMistake:
                told += 1
    assert told > len(whole)  # of 2 readings each; bits of the comments in the schema go unseen


def test_the_error_of_a_reader_is_not_taken_for_damage(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    publish(store, NEW)
    with pytest.raises(OSError, match="my own"):
        for _ in store.row_groups(NAME):
            raise OSError("my own")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    # What `pickle.dumps` makes of an object that opens the flag for writing when it is loaded.
    (tmp_path / "evil").write_bytes(b"cbuiltins\nopen\n(V%s\nVw\ntR." % str(flag).encode())
    store = Store(str(tmp_path))
    for read in (store.read_table, store.read_json, store.lineage):
        with pytest.raises(UserMistake, match="evil is damaged"):
            read("evil")
    assert not flag.exists()
