"""Text from books is inert in reports."""

import html
import logging
import re
from collections import Counter
from html.parser import HTMLParser

import httpx
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES

from data.book_schemas import BOOKS, RECEIPTS, REFUSALS, SECTIONS
from data.table import Table
from tasks.seams import report
from tasks.seams.report import CONTROL_CHARACTERS, escaped, markdown_table
from tasks.seams.run_report import books_report


@given(st.text(max_size=60))
def test_escaped_text_has_no_sign_that_means_anything_and_reads_the_same(text: str) -> None:
    shown = escaped(text)
    bare = re.sub(r"\\[!-/:-@\[-`{-~]|&(amp|lt|gt);", "", shown)  # what an escape covers is text
    assert not set(bare) & set("\\`*_{}[]<>()#+-.!|&~$:\n\r")
    read_back = html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", shown))
    assert read_back == CONTROL_CHARACTERS.sub(" ", text)


def test_hostile_text() -> None:
    assert "<script>" not in escaped("<script>alert(1)</script>")
    assert escaped("a|b") == "a\\|b"
    assert escaped("a\u202eb\x1bc") == "a b c"


def test_markdown_table() -> None:
    table = markdown_table(["name", "n"], [["a|b", 1234], ["c", None], ["d", 0.12345]])
    assert table.split("\n") == [
        "| name | n |",
        "|---|---|",
        "| a\\|b | 1,234 |",
        "| c |  |",
        "| d | 0.1235 |",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)> & &lt; &#60;",
        "[x](javascript:alert(1)) ![y](http://evil.example/y.png)",
        "<http://evil.example> http://evil.example www.evil.example a@evil.example",
        "`code` ``more`` ~~gone~~ **bold** __bold__ *it* _it_ $x$",
        "a | b || c \\| d \\",
        "# heading 1. item - item > quote --- ===",
        "line\n\n# next\n```\nfence\n- item\r\n| a |\n|---|",
        "\u202egnp.exe\u202c \u2066x\u2069 \u2028# y",
        "[ref]: javascript:alert(1)",
        "'single' \"double\" é 漢字 🎭",
    ],
)
def test_markdown_shows_text_as_it_is_and_makes_nothing_of_it(text: str) -> None:
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    plain = " ".join(CONTROL_CHARACTERS.sub(" ", text).split())
    for before, tags in [("", {"p"}), ("- ", {"ul", "li"}), ("| a |\n|---|\n| ", None)]:
        after = " |" if tags is None else ""
        shown = Shown(markdown.render(before + escaped(text) + after))
        cell = {"table", "thead", "tbody", "tr", "th", "td"}
        assert set(shown.tags) == (cell if tags is None else tags)
        head = "a " if tags is None else ""
        assert " ".join(shown.text.split()) == head + plain
    # A bare address would become a link in GitHub's Markdown, which Prefect's UI speaks.
    assert not re.search(r"\w://|www\.|@\w+\.", escaped(text))


class Shown(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.lists(st.lists(st.text(max_size=12), min_size=3, max_size=3), max_size=4))
@settings(max_examples=50, deadline=None)
def test_a_table_has_as_many_rows_and_cells_as_it_was_given(rows: list[list[str]]) -> None:
    page = MarkdownIt("commonmark").enable("table").render(markdown_table(["a", "b", "c"], rows))
    tags = Counter(Shown(page).tags)
    assert (tags["table"], tags["th"], tags["td"]) == (1, 3, 3 * len(rows))
    assert set(tags) <= {"table", "thead", "tbody", "tr", "th", "td"}


def test_columns_in_which_nothing_stands_can_be_left_out() -> None:
    rows = [["a", None, "", 0], ["b", "", None, None]]
    table = markdown_table(["n", "o", "p", "q"], rows, only_filled=True)
    assert table.split("\n") == ["| n | q |", "|---|---|", "| a | 0 |", "| b |  |"]


def test_numbers_in_a_table() -> None:
    assert markdown_table(["n"], [[0.000123456], [12345.678], [-3], [True]]).split("\n")[2:] == [
        "| 0.0001235 |",
        "| 12,346 |",
        "| -3 |",
        "| 1 |",
    ]


def test_a_report_tells_what_was_taken_from_a_book() -> None:
    def table(of: Table, **known: object) -> pa.Table:
        row = {name: known.get(name) for name in of.schema.names}
        return pa.table({name: [value] for name, value in row.items()})

    receipt = {"share_removed": 0.1, "page_characters": 0, "notes_characters": 1632}
    shown = books_report(
        table(BOOKS, book_id="a", title="A Tale", split="train", num_characters=1),
        table(SECTIONS, book_id="a", heading="I"),
        table(RECEIPTS, book_id="a", kept_whole=False, **receipt),
        REFUSALS.schema.empty_table(),
    )
    assert r"| 10\.0%, 1,632 characters of notes and pages apart |" in shown


def test_progress_outside_prefect_says_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(report, "SECONDS_BETWEEN_LINES", -1.0)
    caplog.set_level(logging.INFO, logger="bookloom")
    with report.progress("tokenise", 4, "chars") as advance:
        advance(0)  # nothing is done yet: no time left can be told
        advance(1, "emma")
        advance(3)
        advance(9)  # more than was promised
    shown = [re.sub(r"\d+ s left", "N s left", message) for message in caplog.messages]
    assert shown == [
        "tokenise: 25%, N s left emma",
        "tokenise: 100%, N s left",
        "tokenise: 100%, N s left",
    ]


def test_progress_of_nothing_is_no_error() -> None:
    with report.progress("tokenise", 0, "chars") as advance:
        assert advance(0, "nothing") is None  # no division by the total


def test_an_error_inside_progress_comes_out() -> None:
    with pytest.raises(ZeroDivisionError), report.progress("count", 1, "books") as advance:
        advance(1 // 0)


def test_outside_prefect_lines_go_to_the_log_and_artifacts_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="bookloom")
    report.say("read 38 books")
    report.show_markdown("key", "# text", "a report")
    report.show_table("key", [{"a": "<b>"}], "a table")
    report.show_image("key", b"\x89PNG", "a picture")
    assert caplog.messages == ["read 38 books"]
    assert report.data_url(b"\x89PNG") == "data:image/png;base64,iVBORw=="


@pytest.fixture
def never_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report._Server, "no_bars_before", 0.0)
    monkeypatch.setattr(report._Server, "no_waiting_before", 0.0)


def test_a_server_that_was_waited_for_in_vain_is_not_waited_for_again(
    never_away: None, caplog: pytest.LogCaptureFixture
) -> None:
    retries: list[int] = []

    def refused() -> str:
        retries.append(PREFECT_CLIENT_MAX_RETRIES.value())
        raise httpx.ConnectError("Connection refused")

    assert report._shown("a bar", refused, wait=False) is None
    assert report._shown("a bar", refused, wait=False) is None  # it is not even asked
    for _ in range(3):
        assert report._shown("a report", refused) is None
    assert retries == [0, PREFECT_CLIENT_MAX_RETRIES.value(), 0, 0]
    assert len(caplog.messages) == 4
    told = "Prefect's server does not answer (Connection refused): it does not show a report."
    assert caplog.messages[-1] == told
    assert report._shown("a report", lambda: "shown") == "shown"


@pytest.mark.parametrize(("status", "is_told"), [(500, True), (503, True), (404, False)])
def test_what_a_server_refuses_is_an_error_and_its_own_errors_are_told(
    never_away: None, status: int, is_told: bool
) -> None:
    request = httpx.Request("POST", "http://127.0.0.1/api/artifacts/")
    response = httpx.Response(status, request=request)

    def answered() -> None:
        raise PrefectHTTPStatusError("no", request=request, response=response)

    if is_told:
        assert report._shown("a report", answered) is None
    else:
        with pytest.raises(PrefectHTTPStatusError):
            report._shown("a report", answered)
