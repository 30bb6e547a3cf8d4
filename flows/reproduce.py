"""A run repeated in an empty store, to see whether it gives the same bits."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow

from data.errors import UserMistake
from data.settings import Settings
from flows.environment import home, home_store
from flows.notices import TOLD
from flows.repetition import repeat_by, repeat_here
from flows.run_names import reproduction_name, tag
from flows.run_process import settle_in
from tasks.reproduce import books_are_those_of_then, compared, lay_out, run_to_repeat
from tasks.seams.as_it_was import changes_since, commit_to_restore
from tasks.seams.processes import Process
from tasks.seams.report import say, show_markdown

FOLDER = "reproduced"
NOTE = "reproduction.json"


class ReproduceSettings(Settings):
    """Which run to repeat, and what to do with the repetition."""

    run: str | None = None
    """Its MLflow run id, or how that begins; by default the newest run of the store."""
    store: str | None = None
    """The store that holds its record; by default `store` under bookloom's home."""
    anyway: bool = False
    """Repeat it with the code, libraries and books of now, whatever has changed since."""
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

    Where the checkout is not the code of then, that is restored. Other libraries or books stop it
    before anything is trained. Nothing is tracked in MLflow and no model is registered.
    """
    store = settings.store or home_store()
    record = run_to_repeat(store, settings.run)
    run_id = record["mlflow_run_id"]
    commit = None if settings.anyway else commit_to_restore(store, record)
    for change in changes_since(record):
        say(f"not as it was then: {change}")
    started = time.monotonic()
    with _folder(str(run_id), settings.keep) as folder:
        values = lay_out(store, record, folder)
        check = partial(books_are_those_of_then, store, record, values["store"])
        if commit:
            say(f"repeating it by the code of then, commit {commit}")
            repeat_by(commit, record, values, folder, check)
        else:
            repeat_here(record, values, None if settings.anyway else check)
        report = {
            "run": run_id,
            **compared(store, record, values["store"]),
            "restored_commit": commit,
            "seconds": time.monotonic() - started,
            "kept": str(folder / "store") if settings.keep else None,
        }
    text = reproduced_text(report)
    show_markdown("reproduced", f"```\n{text}\n```", "Whether a run gives the same bits again")
    if settings.must_be_equal and not report["equal"]:
        raise UserMistake(text, "bookloom reproduce --keep keeps the repetition, to look at it.")
    return report


def reproduced_text(report: dict[str, Any]) -> str:
    """Whether a run came out equal, and what differs, for a person."""
    counts = f"{report['num_tables']} tables, {report['num_files']} files"
    lines = [f"not as it was then   {change}" for change in report["changes"]]
    if report["restored_commit"]:
        lines += [f"by the code of then  commit {report['restored_commit']}"]
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
def _folder(run_id: str, keep: bool) -> Iterator[Path]:
    """A new folder for a repetition, once those of killed ones are gone that nobody is to keep."""
    place = home() / FOLDER
    for path in place.glob(f"*/{NOTE}"):
        with contextlib.suppress(OSError, ValueError):  # just being written, or removed
            left = json.loads(path.read_text(encoding="utf-8"))
            if not left["keep"] and Process(**left["process"]).is_gone:
                shutil.rmtree(path.parent, ignore_errors=True)
    folder = place / f"{time.strftime('%Y%m%d-%H%M%S')}-{run_id[:8]}-{os.getpid()}"
    folder.mkdir(parents=True)
    note = {"keep": keep, "process": Process.here()._asdict()}
    (folder / NOTE).write_text(json.dumps(note), encoding="utf-8")
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
