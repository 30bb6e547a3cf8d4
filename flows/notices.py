"""Failure is told: which run, in which step, why, what helps, where to look.

Each notice is a line in the run's log. Where BOOKLOOM_WEBHOOK holds an address, it is also posted
there as a JSON object, whose `text` chat services show as it is:

    {"text": "...", "event": "failed", "run": "retrain plays 2026-11-23 quick", "flow": "bookloom",
     "steps": ["read"], "cause": "...", "remedy": "...", "link": "http://...", "unix_seconds": ...}

Prefect calls `tell` in the process of a run that fails; in the worker's, where that process died.
Of runs that were lost with their worker, or with their machine, the caretaker tells.
"""

import json
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from data.errors import UserMistake
from flows.dead_runs import SettledRun
from flows.environment import home_store, tracking_uri
from flows.silent_runs import FELL_SILENT
from tasks.seams.flow_run import (
    DIED,
    cancelled_instead,
    crash,
    flow_run_address,
    state_message,
    steps_at_work,
)
from tasks.seams.report import CONTROL_CHARACTERS
from tasks.seams.step_cache import IN_STEP
from tasks.seams.tracking import without_password
from tasks.seams.unfinished import ClosedRun, close_dead_runs

WEBHOOK = "BOOKLOOM_WEBHOOK"
TRIES = 3
SECONDS_A_TRY = 10.0
SECONDS_BETWEEN_TRIES = 1.0
MOST_SECONDS = 40.0  # whatever a server does: a run that has failed must end
MOST_CAUSE_CHARACTERS = 2000
GO_ON = "What was finished is kept: start the same run again, and it goes on from there."
SEE_LOG = "Look at the run's log; start the same run again when the cause is mended."
WHAT_HAPPENED = {"failed": "failed", "crashed": "was cut off", "cancelled": "was cancelled"}


def tell(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Prefect's hook for a flow run that has failed, crashed or been cancelled; it never raises.

    Of a run that is part of another, the other tells. What is left open by a process that has died
    is closed in MLflow and in Prefect.
    """
    if flow_run.parent_task_run_id:
        return
    event = "failed" if state.is_failed() else "crashed" if state.is_crashed() else "cancelled"
    logger = flow_run_logger(flow_run, flow)
    try:
        if event == "crashed" and (cancelled := cancelled_instead(flow_run.id)):
            state, event = cancelled, "cancelled"
        error = _error(state) if event == "failed" else None
        steps = _steps_of(error) or steps_at_work(flow_run.id)
        cause, remedy = _cause_and_remedy(error, state, event)
        send(_notice(event, flow_run.name, flow.name, steps, cause, remedy, flow_run.id), logger)
        if event != "failed":
            crash(flow_run.id)
            settings = flow_run.parameters.get("settings") or {}
            close_dead_runs(settings.get("store") or home_store(), tracking_uri())
    except Exception as error:
        logger.error("not all could be told of a run that %s: %r", WHAT_HAPPENED[event], error)


TOLD: dict[str, Any] = {"on_failure": [tell], "on_crashed": [tell], "on_cancellation": [tell]}
"""The hooks of a flow whose failure is told."""


def tell_of_dead_runs(store: str, mlflow: str, logger: logging.Logger) -> list[ClosedRun]:
    """Close the runs of a store whose process has died, and tell of those that nobody else can have
    told of: see `close_dead_runs`.
    """
    closed = close_dead_runs(store, mlflow)
    for run in closed:
        if run.was_running_in_prefect or run.flow_run_id is None:
            _tell_of_crash(run.name, run.flow_run_id, DIED, logger)
        elif (message := state_message(run.flow_run_id)).startswith(FELL_SILENT):
            _tell_of_crash(run.name, run.flow_run_id, message, logger)
    return closed


def tell_of_settled_runs(settled: Sequence[SettledRun], logger: logging.Logger) -> None:
    """Tell of flow runs that were found to have crashed: nobody else can have."""
    for run in settled:
        if run.state_type == "CRASHED":
            _tell_of_crash(run.name, run.flow_run_id, run.message, logger)


def _tell_of_crash(
    name: str, flow_run_id: str | None, message: str, logger: logging.Logger
) -> None:
    """Tell what a state's message says: in its first sentence the cause, then the remedy."""
    cause, _, remedy = message.removesuffix(".").partition(". ")
    steps = steps_at_work(flow_run_id) if flow_run_id else []
    remedy = f"{remedy}." if remedy else GO_ON
    send(_notice("crashed", name, "", steps, f"{cause}.", remedy, flow_run_id), logger)


def send(notice: Mapping[str, Any], logger: Any) -> None:
    """Log a notice, and post it to the webhook if there is one: a few tries, within a time limit.

    Whatever the webhook does, no error comes of it but a line in the log, which does not hold its
    address: that may be as good as a password.
    """
    logger.error("%s", notice["text"])
    address = os.environ.get(WEBHOOK)
    if not address:
        return
    outcome = ["it has not answered in time"]
    posting = threading.Thread(target=_post, args=(address, notice, outcome), daemon=True)
    posting.start()
    posting.join(MOST_SECONDS)
    if outcome[-1]:
        host = urlsplit(address).hostname
        logger.warning("%s, at %s, was not told: %s", WEBHOOK, host, outcome[-1])


def _post(address: str, notice: Mapping[str, Any], outcome: list[str]) -> None:
    """Post, and add to the outcomes what is wrong: nothing, at last, if all is well."""
    if urlsplit(address).scheme not in ("http", "https"):
        outcome.append("its address begins with neither http:// nor https://")
        return
    content = json.dumps(notice, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "bookloom"}
    for left in reversed(range(TRIES)):
        try:
            request = urllib.request.Request(address, content, headers, method="POST")
            with urllib.request.urlopen(request, timeout=SECONDS_A_TRY):
                outcome.append("")
                return
        except urllib.error.HTTPError as error:
            outcome.append(f"HTTP {error.code}")
            if error.code < 500 and error.code != 429:
                return
        except urllib.error.URLError as error:
            reason = error.reason
            outcome.append(reason if isinstance(reason, str) else type(reason).__name__)
        except (OSError, ValueError, HTTPException) as error:
            outcome.append(type(error).__name__)
        if left:
            time.sleep(SECONDS_BETWEEN_TRIES)


def _notice(
    event: str,
    run: str,
    flow: str,
    steps: list[str],
    cause: str,
    remedy: str,
    flow_run_id: Any,
) -> dict[str, Any]:
    link = flow_run_address(flow_run_id) if flow_run_id else None
    where = f" in {', '.join(steps)}" if steps else ""
    lines = [f"{run} {WHAT_HAPPENED[event]}{where}: {cause}", remedy]
    text = "\n".join([*lines, link] if link else lines)
    return {
        "text": text,
        "event": event,
        "run": run,
        "flow": flow,
        "steps": steps,
        "cause": cause,
        "remedy": remedy,
        "link": link,
        "unix_seconds": time.time(),
    }


def _error(state: State[Any]) -> BaseException | None:
    """What a flow's failure came from, where it happened in this process."""
    error = state.result(raise_on_failure=False)
    return error if isinstance(error, BaseException) else None


def _steps_of(error: BaseException | None) -> list[str]:
    notes = getattr(error, "__notes__", [])
    return [note.removeprefix(IN_STEP) for note in notes if note.startswith(IN_STEP)]


def _cause_and_remedy(
    error: BaseException | None, state: State[Any], event: str
) -> tuple[str, str]:
    if isinstance(error, UserMistake):
        return _shown(error.message), _shown(error.remedy)
    if error is not None:
        return _shown(f"{type(error).__name__}: {error}"), SEE_LOG
    return _shown(state.message or "No more is known."), SEE_LOG if event == "failed" else GO_ON


def _shown(text: str) -> str:
    """Text as a notice may hold it: on one line, of some length, without who logs in where."""
    plain = without_password(CONTROL_CHARACTERS.sub(" ", text))
    whole = len(plain) <= MOST_CAUSE_CHARACTERS
    return plain if whole else f"{plain[:MOST_CAUSE_CHARACTERS]}…"
