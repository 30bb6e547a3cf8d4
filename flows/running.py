"""Runs the pipeline from the command line: settings checked first, mistakes without traceback."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

import pydantic

from data.errors import UserMistake
from flows.command_tools import settings_mistake
from flows.pipeline import PipelineSettings, pipeline


def run_pipeline(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Run the pipeline and give its summary.

    Raises:
        UserMistake: a setting, a book or a bag that its user must mend.
    """
    try:
        checked = PipelineSettings.model_validate(settings)
    except pydantic.ValidationError as error:
        raise settings_mistake(error, PipelineSettings, "settings.") from error
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(_no_traceback_for_mistakes)
    return pipeline(checked)


def _no_traceback_for_mistakes(record: logging.LogRecord) -> bool:
    """A user's mistake is told by its message; Prefect would print where it was raised."""
    if record.exc_info and isinstance(record.exc_info[1], UserMistake):
        record.exc_info = record.exc_text = None
        record.msg, record.args = str(sys.exc_info()[1] or record.msg), ()
    return True
