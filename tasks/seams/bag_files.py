"""Files of bag sets: text, one set a line, or Parquet, one set a row."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.bag_sets import (
    BagSet,
    RefusedSet,
    bag_set_of_record,
    no_sets,
    read_bag_sets,
    with_own_id,
)
from data.errors import UserMistake

EXAMPLE_BAGS = "examples"
EXAMPLE_PATH = Path(__file__).parents[2] / "data" / "example_bags.txt"
PARQUET = ".parquet"
_REMEDY = "Name a UTF-8 text file with one bag set a line, or a .parquet file with a column bags."


def bags_digest(path: str) -> str:
    """SHA-256 of what a file of bag sets holds now.

    Raises:
        UserMistake: it cannot be read.
    """
    return hashlib.sha256(_content(path)).hexdigest()


def read_bags(path: str) -> Iterator[BagSet | RefusedSet]:
    """The bag sets of a file, in order, and what is wrong with those that are none.

    A Parquet file has a column `bags`, lists of lists of words, and may have the other keys that a
    set has in JSON; a null is a key left out.

    Raises:
        UserMistake: the file cannot be read, or holds no set at all.
    """
    found = _rows(path) if path.endswith(PARQUET) else read_bag_sets(_text(path), path)
    first = next(found, None)
    if first is None:
        raise no_sets(path)
    yield first
    yield from found


def _rows(path: str) -> Iterator[BagSet | RefusedSet]:
    try:
        table = pq.ParquetFile(path)
        columns = table.schema_arrow.names
        if "bags" not in columns:
            raise UserMistake(f"{path} has no column bags, but {', '.join(columns)}.", _REMEDY)
        row_number = 0
        place_of: dict[str, str] = {}
        for batch in table.iter_batches():
            for record in batch.to_pylist():
                row_number += 1
                place = f"{path}, row {row_number}"
                try:
                    bag_set = bag_set_of_record(_without_nulls(record), row_number, place)
                    yield with_own_id(bag_set, place_of)
                except UserMistake as mistake:
                    yield RefusedSet(str(row_number), mistake)
    except (OSError, pa.ArrowException) as error:
        raise UserMistake(f"The bags file {path} cannot be read: {error}.", _REMEDY) from error


def _without_nulls(record: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in record.items() if value is not None}


def _text(path: str) -> str:
    try:
        return _content(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserMistake(f"{path} is not UTF-8 at byte {error.start}.", _REMEDY) from error


def _content(path: str) -> bytes:
    try:
        return (EXAMPLE_PATH if path == EXAMPLE_BAGS else Path(path)).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserMistake(f"The bags file {path} cannot be read: {reason}.", _REMEDY) from error
