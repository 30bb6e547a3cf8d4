"""Reproduce: a run's record, and the record of the same run in an empty store -> what differs.

in    the record of a run, its results, and those of its repetition
does  lays out what the run stood on beside its books; holds the books that are read against those
      of then; compares the digests of all tables and files, and of the first table that differs the
      rows
out   equal, or the first row and column that differ, with the causes that are known
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.book_schemas import BOOKS, SECTIONS
from data.errors import UserMistake
from data.model_schemas import LANGUAGE_MODEL_FILE, WARM_START_MODEL_FILE, WARM_START_SECTIONS
from data.schemas import OPTIONAL_TABLES, TABLES
from data.store import Damaged, Store
from tasks.seams.as_it_was import ANYWAY, changes_since
from tasks.seams.manifests import (
    OUTSIDE,
    STEPS,
    differing,
    folder_of,
    manifests_of,
    read_manifest,
    sealed,
    told,
)
from tasks.seams.newest_run import RUNS, newest_run, records, table_names
from tasks.seams.run_records import folder_of_path

ROWS_AT_ONCE = 8192
SHOWN_CHARACTERS = 60
SHOWN_BOOKS = 8
NO_CAUSE = (
    "none is known: code, settings, books, libraries, threads and processor are the same. "
    "It may be a mistake of bookloom's, or of the machine's memory or disk"
)


def run_to_repeat(store_root: str, run: str | None) -> dict[str, Any]:
    """The record of a run.

    Args:
        store_root: root of the store.
        run: its MLflow run id, or how that begins; by default the newest run.

    Raises:
        UserMistake: there is no such run, there are several, or its record leaves out its settings.
    """
    store = Store(store_root)
    known_runs = list(records(store))
    if not known_runs:
        raise UserMistake(
            f"There is no run in {store.path('')} yet.", "Make one first: bookloom run."
        )
    found = [one for one in known_runs if (one["mlflow_run_id"] or "").startswith(run or "")]
    ids = list(dict.fromkeys(str(one["mlflow_run_id"]) for one in found))
    if not found or (run and len(ids) > 1 and run not in ids):
        known = ids or [str(one["mlflow_run_id"]) for one in known_runs]
        how_many = f"{len(ids)} runs" if ids else "No run"
        raise UserMistake(
            f"{how_many} of {store.path('')} {'begin' if ids else 'begins'} with {run!r}.",
            f"Name one, such as {', '.join(known[:5])}.",
        )
    record = next((one for one in found if one["mlflow_run_id"] == run), found[0])
    if not record.get("settings"):
        raise UserMistake(
            f"The record of run {record['mlflow_run_id']} does not hold its settings: an older "
            "bookloom wrote it.",
            "Run it again with the same settings, then reproduce that run.",
        )
    return record


def lay_out(store_root: str, record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Prepare an empty store, `folder/store`, for the same run; gives the settings of that.

    What measurements settled then, such as the steps in so many minutes, holds again. A model that
    the run went on from is put beside the store, with what it had learned from.

    Raises:
        UserMistake: that model is not in the store any more, or is damaged.
    """
    store, fresh = Store(store_root), Store(str(folder / "store"))
    settings = {**record["settings"], "store": fresh.path("")}
    for step in record["steps"].values():
        for file_name, value in step["settled"].items():
            fresh.write_json(f"{step['folder']}/{file_name}", value)
    path = record["files"].get(WARM_START_MODEL_FILE)
    if path is None:
        return settings
    name = f"{folder_of_path(path)}/{WARM_START_MODEL_FILE}"
    manifest = read_manifest(store, folder_of(name)) if store.exists(name) else None
    if manifest is None:
        raise UserMistake(
            f"The model that the run went on from, {store.path(name)}, is not there any more.",
            "A run with a warm start can't be repeated without it.",
        )
    content = store.read_bytes(name)
    if hashlib.sha256(content).hexdigest() != manifest["files"][name]["sha256"]:
        raise store.damaged(name, "its bytes are not those that were written")
    artifacts = folder / "model" / "artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / LANGUAGE_MODEL_FILE).write_bytes(content)
    _lay_out_learned(store, fresh, record["file_digests"][WARM_START_MODEL_FILE])
    if "warm_start" in settings:
        warm_start = {**settings["warm_start"], "model": str(folder / "model")}
        return {**settings, "warm_start": warm_start}
    return {**settings, "model": str(folder / "model")}


def books_are_those_of_then(store_root: str, record: Mapping[str, Any], fresh_root: str) -> bool:
    """Whether a repetition has read its books, which then are those that the run has read.

    Raises:
        UserMistake: they are others.
    """
    store, fresh = Store(store_root), Store(fresh_root)
    step, then = BOOKS.written_by, _digests(record)
    made = manifests_of(fresh, step)
    if not made:
        return False
    key, manifest = made.popitem()
    now = {name: table["digest"] for name, table in manifest["outcome"]["tables"].items()}
    different = [t.name for t in (BOOKS, SECTIONS) if then.get(t.name) != now.get(t.name)]
    if not different:
        return True
    changes = _key_changes(store, record["steps"][step]["folder"], fresh, f"{STEPS}/{step}/{key}")
    sources = [one.removeprefix(OUTSIDE) for one in changes if one.startswith(OUTSIDE)]
    shown = sources[:SHOWN_BOOKS] or [f"the digests of {' and '.join(different)} differ"]
    more = len(sources) - len(shown)
    raise UserMistake(
        f"The books are not those that run {record['mlflow_run_id']} has read: "
        f"{'; '.join(shown)}{f'; and {more} more' if more > 0 else ''}.",
        f"Put those of then back. {ANYWAY}",
    )


def compared(store_root: str, record: Mapping[str, Any], fresh_root: str) -> dict[str, Any]:
    """What differs between a run and its repetition in a store of its own.

    Returns:
        `equal`; `num_tables` and `num_files`, so many digests were compared; `differing`, the names
        of tables and files whose digests differ, in the order in which steps made them; the
        `first_difference`, its `table` or file, the `step`, and where both can be read the `row`
        (from 0), the `column` and the values `then` and `now`; `causes`, as far as known; and
        `changes`, what was not as it was then.
    """
    store, fresh = Store(store_root), Store(fresh_root)
    again = newest_run(fresh)
    assert again is not None, "the repetition has left its record"
    different = list(_different(record, again))
    report: dict[str, Any] = {
        "equal": not different,
        "num_tables": len(record["tables"]),
        "num_files": len(record["file_digests"]),
        "differing": [name for _, name in different],
        "first_difference": None,
        "causes": [],
        "changes": changes_since(record, again["surroundings"]),
    }
    if not different:
        return report
    step, name = different[0]
    first = {"table": name, "step": step, **_rows_that_differ(store, record, fresh, again, name)}
    folders = [one["steps"].get(step, {}).get("folder") for one in (record, again)]
    causes = report["changes"] + _key_changes(store, folders[0], fresh, folders[1])
    return {
        **report,
        "first_difference": first,
        "causes": list(dict.fromkeys(causes)) or [NO_CAUSE],
    }


def first_difference(then: pa.ChunkedArray, now: pa.ChunkedArray) -> int | None:
    """The first row in which two columns differ, or None."""
    shortest = min(len(then), len(now))
    for start in range(0, shortest, ROWS_AT_ONCE):
        some = [column.slice(start, min(ROWS_AT_ONCE, shortest - start)) for column in (then, now)]
        if not _holds_floats(then.type) and some[0].equals(some[1]):
            continue
        # By their text: a number that is none is not equal to itself, and 0 is equal to -0.
        for row, values in enumerate(zip(*(c.to_pylist() for c in some), strict=True)):
            if repr(values[0]) != repr(values[1]):
                return start + row
    return shortest if len(then) != len(now) else None


def _holds_floats(kind: pa.DataType) -> bool:
    while pa.types.is_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_floating(kind))


def _different(record: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(step, table or file) of those whose digests differ, in the order of the run's steps."""
    of_step: dict[str, list[str]] = {step: [] for step in record["steps"]}
    for name, path in _paths(record).items():
        of_step[folder_of_path(path).split("/")[1]].append(name)
    then, now = _digests(record), _digests(again)
    for step, names in of_step.items():
        yield from ((step, name) for name in names if then[name] != now.get(name))


def _paths(record: Mapping[str, Any]) -> dict[str, str]:
    return {**{n: table["path"] for n, table in record["tables"].items()}, **record["files"]}


def _digests(record: Mapping[str, Any]) -> dict[str, str]:
    tables = {name: table["digest"] for name, table in record["tables"].items()}
    return {**tables, **record["file_digests"]}


def _rows_that_differ(
    store: Store, record: Mapping[str, Any], fresh: Store, again: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """The first row and column that differ, or why they can't be told."""
    if name not in _digests(again):
        return {"note": "it was not made this time"}
    table = {**TABLES, **OPTIONAL_TABLES}.get(name)
    then, now = table_names(store, record).get(name), table_names(fresh, again).get(name)
    if table is None:
        return {"then": _digests(record)[name], "now": _digests(again)[name]}
    if then is None or now is None:
        return {"note": f"the table of then is gone from {store.path('')}: rows can't be compared"}
    first: dict[str, Any] | None = None
    try:
        for column in (c.name for c in table.columns if not c.volatile):
            both = [one.read_table(p, [column]) for one, p in ((store, then), (fresh, now))]
            if not all(found.num_columns for found in both):
                continue  # the code of then knew no such column
            was, is_now = (found.column(0) for found in both)
            row = first_difference(was, is_now)
            if row is not None and (first is None or row < first["row"]):
                values = [c[row].as_py() if row < len(c) else "(no row)" for c in (was, is_now)]
                place, before, after = _where(column, *values)
                first = {"row": row, "column": place, "then": before, "now": after}
    except Damaged as damage:
        return {"note": damage.message}
    return first or {"note": "the same rows; their order within or among books differs"}


def _where(place: str, then: Any, now: Any) -> tuple[str, str, str]:
    """The place in a value where two differ, and what stands there."""
    if isinstance(then, list) and isinstance(now, list):
        pairs = enumerate(zip(then, now, strict=False))
        index = next((i for i, (a, b) in pairs if repr(a) != repr(b)), None)
        if index is None:
            return place, f"{len(then)} items", f"{len(now)} items"
        return _where(f"{place}[{index}]", then[index], now[index])
    if (
        isinstance(then, str)
        and isinstance(now, str)
        and max(map(len, (then, now))) > SHOWN_CHARACTERS
    ):
        pairs = enumerate(zip(then, now, strict=False))
        index = next((i for i, (a, b) in pairs if a != b), min(len(then), len(now)))
        start = max(0, index - SHOWN_CHARACTERS // 2)
        part = slice(start, start + SHOWN_CHARACTERS)
        return f"{place}, character {index}", repr(then[part]), repr(now[part])
    return place, repr(then), repr(now)


def _key_changes(store: Store, then_at: str | None, fresh: Store, now_at: str | None) -> list[str]:
    """How the key of a step's result differs from that of the other; its inputs are equal."""
    try:
        manifests = [
            read_manifest(one, folder) if folder else None
            for one, folder in ((store, then_at), (fresh, now_at))
        ]
    except Damaged:
        return []
    then, now = (manifest["parts"] if manifest else None for manifest in manifests)
    if then is None or now is None:
        return []
    changed = [name for name in differing(now, then) if not name.startswith("input ")]
    return [told(name, then.get(name), now.get(name)) for name in changed]


def _lay_out_learned(store: Store, fresh: Store, digest: str) -> None:
    """What a model has learned from, for a run in another store that goes on from it."""
    maker = newest_run(store, model_digest=digest)
    names = table_names(store, maker) if maker else {}
    tables = {}
    for table in (SECTIONS.name, WARM_START_SECTIONS.name):
        if table in names:
            for part in store.parts(names[table]):
                copied = part.removeprefix(f"{folder_of(part)}/")
                fresh.write_bytes(f"before/{copied}", store.read_bytes(part))
            copied = names[table].removeprefix(f"{folder_of(names[table])}/")
            tables[table] = {"path": fresh.path(f"before/{copied}")}
    if tables:
        record = {"mlflow_run_id": None, "unix_seconds": 0.0, "model": {"digest": digest}}
        fresh.write_json(f"{RUNS}/before.json", sealed({**record, "tables": tables, "files": {}}))
