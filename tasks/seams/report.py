"""What a run tells people while it runs: log lines, progress bars, and Prefect's artifacts.

Outside a Prefect run (the short commands, tests of a core) lines and bars go to the terminal and
artifacts nowhere.
"""

import base64
import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import UUID

from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging import get_run_logger
from tqdm import tqdm

SECONDS_BETWEEN_UPDATES = 2.0  # of Prefect's progress artifact; each is a request to its server
SECONDS_BETWEEN_LINES = 15.0  # in a log that is no terminal
MARKDOWN_SIGNS = re.compile(r"[\\`*_{}\[\]()#+\-.!|~$:]")
# By name: Prefect's page shows numeric entities as they are written.
HTML_SIGNS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Advance(Protocol):
    """Moves a progress bar on."""

    def __call__(self, amount: int, note: str = "") -> None:
        """By so many units, with a word about the present state."""
        ...


def say(message: str, level: int = logging.INFO) -> None:
    """One line for whoever watches: the run's log in Prefect and on the terminal."""
    if _in_prefect_run():
        get_run_logger().log(level, message)
    else:
        logging.getLogger("bookloom").log(level, message)


@contextmanager
def progress(description: str, total: int, unit: str) -> Iterator[Advance]:
    """A progress bar with time left, on the terminal and as a Prefect progress artifact."""
    artifact: UUID | None = None
    if _in_prefect_run():
        artifact = _artifact_id(create_progress_artifact(0.0, description=description))
    last_update = last_line = started = time.monotonic()
    # No bar where nobody watches: a log gets a line now and then instead.
    bar = tqdm(total=total, desc=description, unit=unit, unit_scale=True, disable=None)
    done = 0

    def advance(amount: int, note: str = "") -> None:
        nonlocal last_update, last_line, done
        done = min(total, done + amount)
        bar.set_postfix_str(note, refresh=False)
        bar.update(amount)
        now = time.monotonic()
        share = done / max(1, total)
        if artifact and now - last_update > SECONDS_BETWEEN_UPDATES:
            last_update = now
            update_progress_artifact(artifact, 100.0 * share, f"{description}: {note}")
        if bar.disable and now - last_line > SECONDS_BETWEEN_LINES and share:
            last_line = now
            left = (now - started) * (1.0 - share) / share
            say(f"{description}: {share:.0%}, {left:.0f} s left {note}".rstrip())

    with bar:
        yield advance
    if artifact:
        update_progress_artifact(artifact, 100.0, description=f"{description}: done")


def show_markdown(key: str, markdown: str, description: str) -> None:
    """A Markdown report in Prefect's UI."""
    if _in_prefect_run():
        create_markdown_artifact(markdown, key=key, description=description)


def show_table(key: str, rows: Sequence[dict[str, Any]], description: str) -> None:
    """A table in Prefect's UI; text from books is made plain first."""
    if _in_prefect_run():
        plain = [
            {k: escaped(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows
        ]
        create_table_artifact(plain, key=key, description=description)


def show_image(key: str, png: bytes, description: str) -> None:
    """A picture in Prefect's UI, carried inside the artifact: it needs no server of its own."""
    if _in_prefect_run():
        create_image_artifact(data_url(png), key=key, description=description)


def data_url(png: bytes) -> str:
    """A picture as a URL that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def escaped(text: str) -> str:
    """Text from a book, so that Markdown and HTML show it as it is."""
    signs_escaped = MARKDOWN_SIGNS.sub(r"\\\g<0>", CONTROL_CHARACTERS.sub(" ", text))
    return signs_escaped.translate(HTML_SIGNS)


def visible(token: str) -> str:
    """A token as people can see it: a space that is a token of its own is shown as a sign."""
    return "␣" if token == " " else token


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; strings in its cells are escaped."""
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for row in rows:
        cells = [escaped(cell) if isinstance(cell, str) else _number(cell) for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _in_prefect_run() -> bool:
    return bool(TaskRunContext.get() or FlowRunContext.get())


def _artifact_id(value: Any) -> UUID:
    assert isinstance(value, UUID)
    return value
