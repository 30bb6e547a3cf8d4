"""A run repeated in a store that was laid out: here, or by the code of a commit, in a process of
its own.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

from data.errors import UserMistake
from data.settings import Settings
from flows.environment import home, with_shelf
from flows.keeper import kept
from flows.notices import WEBHOOK
from flows.pipeline import PipelineSettings, pipeline
from flows.texts_map import TextsMapSettings, texts_map
from tasks.read import read
from tasks.seams.as_it_was import ANYWAY, COMMIT, check_out
from tasks.seams.tracking import NO_TRACKING
from tasks.warm_start import warm_start

SECONDS_BETWEEN_LOOKS = 0.5
STOP_SECONDS = 20.0
# All that it asks of the code of then: this file is not there.
PROGRAM = """
import json, sys
from flows.environment import prepare
prepare()
from data.errors import UserMistake
from flows.running import run_pipeline, run_texts_map
with open(sys.argv[1], encoding="utf-8") as file:
    settings = json.load(file)
try:
    (run_pipeline if "train" in settings else run_texts_map)(settings)
except UserMistake as error:
    sys.exit(f"{error.message}\\n  {error.remedy}")
"""
Check = Callable[[], bool]
"""Whether the books have been read; raises `UserMistake` where they are not those of then."""


def repeat_here(
    record: Mapping[str, Any], settings: Mapping[str, Any], check: Check | None
) -> None:
    """Repeat a run by the code of this process.

    Args:
        record: of the run.
        settings: of its repetition.
        check: called before anything is learned from the books; the run finds them read.
    """
    with _working_there(record):
        if "train" in settings:
            checked = _checked(PipelineSettings, settings, record)
            _read_first(checked, check)
            pipeline(checked)
        else:
            checked = _checked(TextsMapSettings, settings, record)
            _read_first(checked, check)
            texts_map(checked)


def repeat_by(
    commit: str, record: Mapping[str, Any], settings: Mapping[str, Any], folder: Path, check: Check
) -> None:
    """Repeat a run by the code of a commit, which is put into `folder/code` meanwhile.

    In Prefect the repetition is a run of its own. It ends with this process, however that ends.

    Raises:
        UserMistake: the code can't be had; the run fails; whatever the check raises.
    """
    code, told = folder / "code", folder / "settings.json"
    check_out(commit, code)
    told.write_text(json.dumps(settings), encoding="utf-8")
    # Nothing of the present code: not even where the run worked, which may be the checkout.
    command = [sys.executable, "-P", "-c", PROGRAM, str(told)]
    with _working_there(record):
        environment = {**os.environ, "PYTHONPATH": str(code)}
        for own in ("PREFECT__FLOW_RUN_ID", WEBHOOK):  # this run is the one that tells
            environment.pop(own, None)
        for setting in (PREFECT_API_URL, PREFECT_UI_URL):
            if setting.value():
                environment[setting.name] = setting.value()
        process = subprocess.Popen(
            kept(command, STOP_SECONDS),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),  # --json promises one object and nothing else
            start_new_session=True,  # Ctrl-C is for this process, which ends it
        )
    try:
        is_read = False
        while process.poll() is None:
            is_read = is_read or check()
            time.sleep(SECONDS_BETWEEN_LOOKS)
        is_read or check()
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(code, ignore_errors=True)
    if process.returncode:
        raise UserMistake(
            f"Run {record['mlflow_run_id']}, repeated by the code of commit {commit}, failed with "
            f"exit code {process.returncode}.",
            f"See above why. {ANYWAY}",
        )


def _read_first(settings: PipelineSettings | TextsMapSettings, check: Check | None) -> None:
    """Read the books as the run will, and look at them."""
    if check is None:
        return
    with settings.opened() as run:
        before = []
        if isinstance(settings, PipelineSettings) and settings.warm_start.model:
            before = [warm_start(run, settings.warm_start)]
        sources = with_shelf(settings.read.books)
        read(run, settings.read.model_copy(update={"books": sources}), *before)
    check()


@contextlib.contextmanager
def _working_there(record: Mapping[str, Any]) -> Iterator[None]:
    """Track nothing in the block, and work where the run worked: its books may be named so."""
    chosen = {"MLFLOW_TRACKING_URI": NO_TRACKING, "BOOKLOOM_HOME": str(home())}
    before = {name: os.environ.get(name) for name in chosen}
    os.environ |= chosen
    there = record.get("working_folder")
    try:
        with contextlib.chdir(there if there and Path(there).is_dir() else "."):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _checked(kind: type[Settings], values: Mapping[str, Any], record: Mapping[str, Any]) -> Any:
    try:
        return kind.model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserMistake(
            f"The settings of run {record['mlflow_run_id']} are of another bookloom: {place}: "
            f"{first['msg']}.",
            "Leave out --anyway: then the code of commit "
            f"{record['surroundings'][COMMIT]} repeats it.",
        ) from error
