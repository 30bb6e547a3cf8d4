"""The data dictionary, `data/README.md`, made from the schemas: `python -m data.dictionary`."""

from pathlib import Path

from data.schemas import COMMAND_TABLES, OPTIONAL_TABLES, TABLES
from data.table import Column

DICTIONARY_PATH = Path(__file__).parent / "README.md"


def dictionary_text() -> str:
    """Markdown that describes every table and column."""
    lines = [
        "# Data dictionary",
        "",
        "Generated from `data/*schemas.py` by `make dictionary`; a test holds the two together.",
        "Columns marked *volatile* (times, rates, run ids) stay outside a table's digest.",
    ]
    for table in (*TABLES.values(), *OPTIONAL_TABLES.values(), *COMMAND_TABLES.values()):
        writer = "command" if table.name in COMMAND_TABLES else "step"
        lines += [
            "",
            f"## {table.name}",
            "",
            f"One row is {table.row}. Written by the {writer} `{table.written_by}`."
            + (" Its digest is made of one digest a book." if table.by_book else ""),
            "",
            "| column | type | unit | meaning |",
            "|---|---|---|---|",
        ]
        lines += [_row(column) for column in table.columns]
    return "\n".join(lines) + "\n"


def _row(column: Column) -> str:
    kind = f"`{column.type}`" + (", may be null" if column.nullable else "")
    meaning = column.meaning + (" (*volatile*)" if column.volatile else "")
    return f"| {column.name} | {kind} | {column.unit} | {meaning} |"


if __name__ == "__main__":
    DICTIONARY_PATH.write_text(dictionary_text(), encoding="utf-8")
