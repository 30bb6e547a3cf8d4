"""Text from books is inert in reports."""

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from tasks.seams.report import CONTROL_CHARACTERS, escaped, markdown_table


@given(st.text(max_size=60))
def test_escaped_text_has_no_sign_that_means_anything_and_reads_the_same(text: str) -> None:
    shown = escaped(text)
    bare = re.sub(r"&#\d+;", "", shown)
    assert not set(bare) & set("\\`*_{}[]<>()#+-.!|&~$\n\r")
    assert html.unescape(shown) == CONTROL_CHARACTERS.sub(" ", text)


def test_hostile_text() -> None:
    assert "<script>" not in escaped("<script>alert(1)</script>")
    assert escaped("a|b") == "a&#124;b"
    assert escaped("a\u202eb\x1bc") == "a b c"


def test_markdown_table() -> None:
    table = markdown_table(["name", "n"], [["a|b", 1234], ["c", None], ["d", 0.12345]])
    assert table.split("\n") == [
        "| name | n |",
        "|---|---|",
        "| a&#124;b | 1,234 |",
        "| c |  |",
        "| d | 0.1235 |",
    ]
