"""What runs are called in Prefect and in MLflow, and the tags by which they are found.

retrain plays 2026-11-23 quick = what is done, with which books, for which day, by which settings
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run as this_flow_run
from pydantic import BaseModel

from tasks.read import ReadSettings
from tasks.seams.report import CONTROL_CHARACTERS

MOST_NAMED_BOOKS = 2
MOST_CHARACTERS = 60  # of a book's or a model's name
DEFAULT_NAMES = ("pipeline", "map")
WITH_DATE = "%Y-%m-%d"


def retraining_name() -> str:
    """The name of the pipeline's run at hand: retrain plays 2026-11-23 quick."""
    values = _settings()
    what = "retrain" if _unit(values) == "word" else "retrain characters of"
    return _joined(what, in_short(_books(values)), _day(), _settings_name(values))


def map_name() -> str:
    """The name of a map's run at hand: map of plays 2026-11-23 cluster."""
    values = _settings()
    return _joined("map of", in_short(_books(values)), _day(), _settings_name(values))


def generation_name() -> str:
    """The name of a generation at hand: generate my-bags.txt 2026-11-23."""
    values = _settings()
    return _joined("generate", _short(values.get("bags") or "examples"), _day())


def reproduction_name() -> str:
    """The name of a repetition at hand: reproduce 3f9c0a1b 2026-11-23."""
    run = _settings().get("run")
    return _joined("reproduce", str(run)[:8] if run else "newest run", _day())


def in_short(books: Sequence[str]) -> str:
    """Sources of books as one says them: plays; austen.txt, shelf and 3 more."""
    named = ", ".join(_short(book) for book in books[:MOST_NAMED_BOOKS])
    rest = len(books) - MOST_NAMED_BOOKS
    return f"{named} and {rest} more" if rest > 0 else named


def tag(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Prefect's hook for a run that begins: it tags the run by who started it, its settings' name,
    its books and their unit, beside the tags that it has.
    """
    values = _plain(flow_run.parameters.get("settings"))
    tags = {"deployment" if flow_run.deployment_id else "command line"}
    if flow_run.parent_task_run_id:
        tags = {"part of another run"}
    if "read" in values:
        tags |= {in_short(_books(values)), f"{_unit(values)}s", _settings_name(values)}
    wanted = sorted({*flow_run.tags, *tags} - {""})
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags=wanted)


def _settings() -> dict[str, Any]:
    """The settings of the flow run at hand, as far as they are given."""
    return _plain(this_flow_run.get_parameters().get("settings"))


def _plain(settings: Any) -> dict[str, Any]:
    return settings.model_dump() if isinstance(settings, BaseModel) else dict(settings or {})


def _books(values: Mapping[str, Any]) -> Sequence[str]:
    books: Sequence[str] = values.get("read", {}).get("books") or ReadSettings().books
    return books


def _unit(values: Mapping[str, Any]) -> str:
    return str(values.get("tokenise", {}).get("unit", "word"))


def _settings_name(values: Mapping[str, Any]) -> str:
    name = str(values.get("name", ""))
    return "" if name in DEFAULT_NAMES else _plainly(name)


def _short(source: str) -> str:
    """A source without folders, and of an address neither who logs in nor what is asked."""
    address = urlsplit(source)
    if address.scheme in ("http", "https"):
        source = f"{address.hostname}/{address.path.rstrip('/').rsplit('/', 1)[-1]}".rstrip("/")
    elif not source.startswith(("gutenberg:", "nltk:")):
        source = source.rstrip("/").rsplit("/", 1)[-1] or source
    return _plainly(source)


def _plainly(text: str) -> str:
    text = CONTROL_CHARACTERS.sub(" ", text)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def _day() -> str:
    """The day for which the run was scheduled, by this machine's clock."""
    scheduled = this_flow_run.get_scheduled_start_time()
    return scheduled.astimezone().strftime(WITH_DATE) if scheduled else time.strftime(WITH_DATE)


def _joined(*words: str) -> str:
    return " ".join(word for word in words if word)
