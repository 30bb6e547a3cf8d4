"""What a run tells people while it runs: log lines, progress bars, and Prefect's artifacts.

Outside a Prefect run (the short commands, tests of a core) lines and bars go to the terminal and
artifacts nowhere. No run fails because Prefect's server is away: a report waits for it as long as
Prefect's client does (`flows.environment.PATIENCE`) and is then left out, a bar never waits.
"""

import base64
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol, TypeVar
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext, SettingsContext, TaskRunContext, get_settings_context
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, Settings
from tqdm import tqdm

from tasks.seams.quantities import duration

SECONDS_BETWEEN_UPDATES = 2.0  # of Prefect's progress artifact; each is a request to its server
SECONDS_BETWEEN_LINES = 15.0  # in a log that is no terminal
SECONDS_WITHOUT_BARS = 30.0  # after an update that Prefect's server did not answer
SECONDS_WITHOUT_WAITING = 300.0  # after a report that was waited for in vain
MARKDOWN_SIGNS = re.compile(r"[\\`*_{}\[\]()#+\-.!|~$:]")
# By name: Prefect's page shows numeric entities as they are written.
HTML_SIGNS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
FIRST_SERVER_ERROR = 500
Told = TypeVar("Told")
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
    what = f"the progress of {description}"
    if _in_prefect_run():
        artifact = _artifact_id(
            _shown(what, lambda: create_progress_artifact(0.0, description=description), wait=False)
        )
    last_update = last_line = time.monotonic()
    # No bar where nobody watches: a log gets a line now and then instead.
    bar = tqdm(total=total, desc=description, unit=unit, unit_scale=True, disable=None)
    done = 0
    begun: tuple[float, float] | None = None  # when, and with which share a killed run had done

    def advance(amount: int, note: str = "") -> None:
        nonlocal last_update, last_line, done, begun
        done = min(total, done + amount)
        bar.set_postfix_str(note, refresh=False)
        bar.update(amount)
        now = time.monotonic()
        share = done / max(1, total)
        begun = begun or (now, share)
        own = share - begun[1]
        left = duration((now - begun[0]) * (1.0 - share) / own) if own else "some time"
        if artifact and now - last_update > SECONDS_BETWEEN_UPDATES:
            last_update = now
            told = f"{description}: {share:.0%}, {left} left"
            _update(what, artifact, 100.0 * share, f"{told}; {note}" if note else told)
        if bar.disable and now - last_line > SECONDS_BETWEEN_LINES and share:
            last_line = now
            say(f"{description}: {share:.0%}, {left} left {note}".rstrip())

    with bar:
        yield advance
    if artifact:
        _update(what, artifact, 100.0, f"{description}: done")


def show_markdown(key: str, markdown: str, description: str) -> None:
    """A Markdown report in Prefect's UI."""
    if _in_prefect_run():
        _shown(key, lambda: create_markdown_artifact(markdown, key=key, description=description))


def show_link(key: str, address: str, command: str | None, description: str) -> None:
    """A link in Prefect's UI, with the command that serves its address where one must first."""
    if not _in_prefect_run():
        return
    if command is None:
        _shown(key, lambda: create_link_artifact(address, key=key, description=description))
        return
    text = linked(address, command)
    _shown(key, lambda: create_markdown_artifact(text, key=key, description=description))


def show_table(key: str, rows: Sequence[dict[str, Any]], description: str) -> None:
    """A table in Prefect's UI; text from books is made plain first."""
    if _in_prefect_run():
        plain = [
            {k: escaped(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows
        ]
        _shown(key, lambda: create_table_artifact(plain, key=key, description=description))


def show_image(key: str, png: bytes, description: str) -> None:
    """A picture in Prefect's UI, carried inside the artifact: it needs no server of its own."""
    if _in_prefect_run():
        url = data_url(png)
        _shown(key, lambda: create_image_artifact(url, key=key, description=description))


def linked(address: str, command: str | None) -> str:
    """A link in Markdown, with the command that serves its address where one must first."""
    link = f"[{address}]({address})"
    return f"{link}, which this command serves:\n\n    {command}\n" if command else link


def data_url(png: bytes) -> str:
    """A picture as a URL that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def picture(png: bytes, about: str) -> str:
    """A picture in Markdown, carried by it."""
    return f"![{about}]({data_url(png)})"


def escaped(text: str) -> str:
    """Text from a book, so that Markdown and HTML show it as it is."""
    signs_escaped = MARKDOWN_SIGNS.sub(r"\\\g<0>", CONTROL_CHARACTERS.sub(" ", text))
    return signs_escaped.translate(HTML_SIGNS)


def visible(token: str) -> str:
    """A token as people can see it: a space that is a token of its own is shown as a sign."""
    return "␣" if token == " " else token


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[Any]], *, only_filled: bool = False
) -> str:
    """A Markdown table; strings in its cells are escaped.

    Args:
        header: the columns' names.
        rows: their cells. Prefect's page breaks no line in them: what is wide stands last.
        only_filled: leave out columns in which no row has anything.
    """
    if only_filled:
        kept = [i for i in range(len(header)) if any(row[i] not in (None, "") for row in rows)]
        header, rows = [header[i] for i in kept], [[row[i] for i in kept] for row in rows]
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


class _Server:
    """Prefect's server, as this process has met it; times of a monotonic clock."""

    no_bars_before = 0.0
    no_waiting_before = 0.0
    settings: tuple[Settings, Settings] | None = None
    """Those under which it is asked, and the same but asking once."""


def _shown(what: str, show: Callable[[], Told], *, wait: bool = True) -> Told | None:
    """What the server answers to something that is shown on its page, none where it is away."""
    if not wait and time.monotonic() < _Server.no_bars_before:
        return None
    wait = wait and time.monotonic() >= _Server.no_waiting_before
    try:
        with nullcontext() if wait else _not_waiting():
            return show()
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        if (
            isinstance(error, PrefectHTTPStatusError)
            and error.response.status_code < FIRST_SERVER_ERROR
        ):
            raise
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    _Server.no_bars_before = time.monotonic() + SECONDS_WITHOUT_BARS
    if wait:
        _Server.no_waiting_before = time.monotonic() + SECONDS_WITHOUT_WAITING
    say(f"Prefect's server does not answer ({cause}): it does not show {what}.", logging.WARNING)
    return None


def _not_waiting() -> SettingsContext:
    """Settings under which Prefect's client asks once. Prefect takes 0.1 s to make them."""
    now = get_settings_context()
    known = _Server.settings
    if known is None or known[0] is not now.settings:
        hasty = now.settings.copy_with_update({PREFECT_CLIENT_MAX_RETRIES: 0})
        _Server.settings = known = (now.settings, hasty)
    return SettingsContext(profile=now.profile, settings=known[1])


def _update(what: str, artifact: UUID, percent: float, note: str) -> None:
    _shown(what, lambda: update_progress_artifact(artifact, percent, note), wait=False)


def _artifact_id(value: Any) -> UUID | None:
    assert value is None or isinstance(value, UUID)
    return value
