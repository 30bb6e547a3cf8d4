import re

import pytest

from data.dictionary import DICTIONARY_PATH, dictionary_text
from data.schemas import COMMAND_TABLES, OPTIONAL_TABLES, TABLES
from data.table import Table

ALL_TABLES = TABLES | OPTIONAL_TABLES | COMMAND_TABLES
tables = pytest.mark.parametrize("table", ALL_TABLES.values(), ids=ALL_TABLES)


def test_the_dictionary_is_what_the_schemas_say() -> None:
    written = DICTIONARY_PATH.read_text(encoding="utf-8")
    assert written == dictionary_text(), "run `make dictionary`"


def test_every_table_has_its_chapter() -> None:
    assert re.findall(r"^## (.+)$", dictionary_text(), re.MULTILINE) == list(ALL_TABLES)


@tables
def test_every_column_has_a_name_of_its_own_and_a_meaning(table: Table) -> None:
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names) > 0
    for column in table.columns:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", column.name)
        assert column.meaning.strip()
    assert table.row.strip()
    assert table.written_by.strip()


@tables
def test_every_column_has_its_line(table: Table) -> None:
    chapter = dictionary_text().split(f"\n## {table.name}\n")[1].split("\n## ")[0]
    lines = [line for line in chapter.splitlines() if line.startswith("| ")][1:]
    assert len(lines) == len(table.columns)
    for line, column in zip(lines, table.columns, strict=True):
        assert line.split(" | ")[0] == f"| {column.name}"
        assert line.count(" | ") == 3  # a bar in a meaning would make a cell of its own
        assert (", may be null" in line) == column.nullable
        assert ("*volatile*" in line) == column.volatile


@tables
def test_what_is_digested_by_book_has_books(table: Table) -> None:
    if table.by_book:
        assert table.schema.field("book_id").type == "string"
        assert not table.schema.field("book_id").nullable


@tables
def test_the_arrow_schema_carries_the_meanings(table: Table) -> None:
    for field, column in zip(table.schema, table.columns, strict=True):
        assert (field.name, field.type, field.nullable) == (
            column.name,
            column.type,
            column.nullable,
        )
        assert field.metadata == {
            b"meaning": column.meaning.encode(),
            b"unit": column.unit.encode(),
        }
