"""Runs flows from the command line: settings checked first, mistakes without traceback."""

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx
import pydantic
from prefect.exceptions import TerminationSignal
from prefect.settings import PREFECT_API_URL

from data.errors import UserMistake
from data.settings import Settings
from flows.command_tools import settings_mistake
from flows.dead_runs import settle_dead_runs, worker_name
from flows.prefect_api import api_at
from flows.temporary_server import prefect_server
from flows.unanswered import silence_told

S = TypeVar("S", bound=Settings)
Flow = tuple[Callable[[S], dict[str, Any]], type[S]]
"""A flow and the kind of its settings."""


def run_pipeline(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Run the pipeline and give its summary.

    Raises:
        UserMistake: a setting, a book or a bag that its user must mend.
    """

    def load() -> Flow[Any]:
        from flows.pipeline import PipelineSettings, pipeline

        return pipeline, PipelineSettings

    return run_flow(load, settings)


def run_texts_map(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Draw the map of the texts alone and give the run's summary. Raises as `run_pipeline`."""

    def load() -> Flow[Any]:
        from flows.texts_map import TextsMapSettings, texts_map

        return texts_map, TextsMapSettings

    return run_flow(load, settings)


def run_flow(load: Callable[[], Flow[S]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Run a flow on settings that are checked first. Raises as `run_pipeline`.

    SIGTERM ends it as Ctrl-C does.

    Args:
        load: imports the flow, which takes seconds: about as long as a server takes to start, so
            that both are done at once.
        settings: as plain values.
    """

    def loaded() -> tuple[Callable[[S], dict[str, Any]], S]:
        flow, kind = load()
        try:
            return flow, kind.model_validate(settings)
        except pydantic.ValidationError as error:
            raise settings_mistake(error, kind, "settings.") from error

    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(_no_traceback_for_mistakes)
    is_served = bool(PREFECT_API_URL.value())
    with silence_told(), prefect_server(loaded) as (flow, checked):
        if not is_served:
            _tell_of_killed_runs()
        try:
            return flow(checked)
        except TerminationSignal:
            raise KeyboardInterrupt from None


def _tell_of_killed_runs() -> None:
    """Tell a server that is there for one command which runs of earlier ones were killed: nobody
    else does. It takes a tenth of a second.
    """
    api = api_at(str(PREFECT_API_URL.value()))
    try:
        settle_dead_runs(api, worker_name())
    except httpx.HTTPError as error:
        logging.getLogger("bookloom").warning("killed runs could not be told of: %r", error)
    finally:
        api.close()


def _no_traceback_for_mistakes(record: logging.LogRecord) -> bool:
    """A user's mistake is told by its message; Prefect would print where it was raised."""
    if record.exc_info and isinstance(record.exc_info[1], UserMistake):
        record.exc_info = record.exc_text = None
        record.msg, record.args = str(sys.exc_info()[1] or record.msg), ()
    return True
