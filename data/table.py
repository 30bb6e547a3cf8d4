"""What a table is: its name, its columns, their types, units and meaning."""

from dataclasses import dataclass

import pyarrow as pa

from data.left_out import left_out

with left_out("pandas"):
    pa.array([0])  # at its first array Arrow looks for pandas: 40 MB and 0.2 s of each process


@dataclass(frozen=True)
class Column:
    """One column. `volatile` ones (clock times, rates, run ids) stay outside the table's digest."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    nullable: bool = False
    volatile: bool = False


@dataclass(frozen=True)
class Table:
    """One table. Where `by_book`, its digest is made of one digest a book, in key order."""

    name: str
    row: str
    written_by: str
    columns: tuple[Column, ...]
    by_book: bool = False

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, every column with its meaning as metadata."""
        return pa.schema(
            pa.field(c.name, c.type, c.nullable, {"meaning": c.meaning, "unit": c.unit})
            for c in self.columns
        )


BOOK_ID = Column("book_id", pa.string(), "the book, named for its title or file")
SECTION_INDEX = Column("section_index", pa.int32(), "the section's place in its book, from 0")
