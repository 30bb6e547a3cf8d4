"""A run repeated in an empty store, to see whether it gives the same bits."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
from prefect import flow

from data.errors import UserMistake
from data.settings import Settings
from flows.environment import home, home_store
from flows.notices import TOLD
from flows.pipeline import PipelineSettings, pipeline
from flows.run_names import reproduction_name, tag
from flows.run_process import settle_in
from flows.texts_map import TextsMapSettings, texts_map
from tasks.reproduce import changes_since, compared, lay_out, run_to_repeat
from tasks.seams.report import say, show_markdown
from tasks.seams.tracking import NO_TRACKING

FOLDER = "reproduced"


class ReproduceSettings(Settings):
    """Which run to repeat, and what to do with the repetition."""

    run: str | None = None
    """Its MLflow run id, or how that begins; by default the newest run of the store."""
    store: str | None = None
    """The store that holds its record; by default `store` under bookloom's home."""
    keep: bool = False
    """Keep the repetition's store, to look at what differs."""
    must_be_equal: bool = True
    """Fail where it is not, so that whoever watches is told."""


@flow(
    name="bookloom-reproduce",
    flow_run_name=reproduction_name,
    on_running=[settle_in, tag],
    persist_result=False,
    **TOLD,
)
def reproduce(settings: ReproduceSettings = ReproduceSettings()) -> dict[str, Any]:  # noqa: B008
    """Repeat a run in an empty store and compare every table and all weights; see `compared`.

    Nothing is tracked in MLflow and no model is registered.
    """
    store = settings.store or home_store()
    record = run_to_repeat(store, settings.run)
    run_id = record["mlflow_run_id"]
    changes = changes_since(record)
    for change in changes:
        say(f"not as it was then: {change}")
    folder = home() / FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{str(run_id)[:8]}-{os.getpid()}"
    folder.mkdir(parents=True)
    started = time.monotonic()
    try:
        values = lay_out(store, record, folder)
        with _apart(record.get("working_folder")):
            if "train" in values:
                pipeline(_checked(PipelineSettings, values, record))
            else:
                texts_map(_checked(TextsMapSettings, values, record))
        report = {
            "run": run_id,
            **compared(store, record, values["store"]),
            "changes": changes,
            "seconds": time.monotonic() - started,
            "kept": str(folder / "store") if settings.keep else None,
        }
    finally:
        if not settings.keep:
            shutil.rmtree(folder, ignore_errors=True)
    text = reproduced_text(report)
    show_markdown("reproduced", f"```\n{text}\n```", "Whether a run gives the same bits again")
    if settings.must_be_equal and not report["equal"]:
        raise UserMistake(text, "bookloom reproduce --keep keeps the repetition, to look at it.")
    return report


def reproduced_text(report: dict[str, Any]) -> str:
    """Whether a run came out equal, and what differs, for a person."""
    counts = f"{report['num_tables']} tables, {report['num_files']} files"
    lines = [f"not as it was then   {change}" for change in report["changes"]]
    if report["equal"]:
        return "\n".join([*lines, f"run {report['run']} gives the same bits again: {counts}"])
    first = report["first_difference"]
    lines += [
        f"run {report['run']} does NOT give the same bits again: "
        f"{len(report['differing'])} of {counts} differ",
        f"  first              {first['table']}, made by {first['step']}",
    ]
    if "row" in first:
        lines += [
            f"  first row          {first['row']}, column {first['column']}",
            f"    then             {first['then']}",
            f"    now              {first['now']}",
        ]
    elif "note" in first:
        lines += [f"                     {first['note']}"]
    lines += [f"  cause              {cause}" for cause in report["causes"]]
    lines += [f"  all that differ    {', '.join(report['differing'])}"]
    if report["kept"]:
        lines += [f"  kept               {report['kept']}"]
    return "\n".join(lines)


@contextlib.contextmanager
def _apart(working_folder: str | None) -> Iterator[None]:
    """Track nothing in the block, and work where the run worked: its books may be named so."""
    chosen = {"MLFLOW_TRACKING_URI": NO_TRACKING, "BOOKLOOM_HOME": str(home())}
    before = {name: os.environ.get(name) for name in chosen}
    os.environ |= chosen
    there = working_folder if working_folder and Path(working_folder).is_dir() else "."
    try:
        with contextlib.chdir(there):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _checked(kind: type[Settings], values: dict[str, Any], record: dict[str, Any]) -> Any:
    try:
        return kind.model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        commit = record["surroundings"]["git_commit"]
        raise UserMistake(
            f"The settings of run {record['mlflow_run_id']} are of another bookloom: {place}: "
            f"{first['msg']}.",
            f"Check out the commit that made it, {commit}, and try there.",
        ) from error
