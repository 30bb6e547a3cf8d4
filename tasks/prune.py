"""Prune: results that no kept run needs are removed.

in    the runs' records, the notes of unfinished runs, the registry of models, all manifests
does  follows what kept runs have made back to what that came from
out   the results that nothing needs are gone: their manifests first, so that no run takes half of
      one for whole; and so are the notes of runs that nobody will go on with
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from data.model_schemas import WARM_START_MODEL_FILE
from data.store import Damaged, Store
from tasks.seams.manifests import (
    MANIFEST,
    STEPS,
    folder_of,
    inputs_of,
    read_manifest,
    results,
)
from tasks.seams.newest_run import read_record, record_names
from tasks.seams.registry import models_in_use
from tasks.seams.run_records import folders_of_run
from tasks.seams.store_lock import alone_in
from tasks.seams.unfinished import UNFINISHED, close_dead_runs, is_at_work, read_note

PRUNE = "bookloom prune"


def what_to_prune(store_root: str, tracking_uri: str, num_kept: int) -> dict[str, Any]:
    """What no kept run needs.

    Kept are the newest runs; of each model that is registered under an alias, is the newest there,
    or is the one that a rollback returns to, the newest run; those that a kept run has gone on
    from; and unfinished ones, unless they are stale: older than all of the newest runs that are
    kept, and no process is at work on them. Of all of them the whole ancestry.

    Args:
        store_root: root of the store.
        tracking_uri: MLflow's store, whose registry is asked.
        num_kept: how many of the newest runs to keep.

    Returns:
        `kept_runs`, each with `why`; `unfinished_runs`, kept too, and `stale_runs`, whose notes are
        to be removed; `remove` and `steps`, the folders of the results to remove, and how many and
        how many bytes they are for each step; `num_results` and `num_bytes` in all, and those that
        stay, as `num_kept_results` and `num_kept_bytes`.

    Raises:
        Damaged: it can't be told what a kept result came from, or what a run has made.
        UserMistake: the registry does not answer.
    """
    store = Store(store_root)
    # In this order: of a result that a run at work has made, its note or then its record tells.
    sizes, folders = store.files(STEPS), results(store)
    notes, records = _notes(store), _records(store)
    stale = _stale(notes, records, num_kept)
    notes = {name: note for name, note in notes.items() if name not in stale}
    reasons: dict[str, str] = {}
    used = dict(models_in_use(tracking_uri))
    for position, (name, record) in enumerate(records.items()):
        uri = used.pop(record.get("model", {}).get("digest", ""), None)
        if position < num_kept:
            reasons[name] = f"one of the newest {num_kept}"
        elif uri:
            reasons[name] = f"its model is {uri}"
    needed: set[str] = set()
    for note in notes.values():
        _follow(store, note.get("folders", []), needed)
    for name in list(reasons):
        _follow(store, folders_of_run(records[name]), needed)
    for name in _gone_on_from(store, records, reasons, needed):
        reasons[name] = "a kept run has gone on from its model"
        _follow(store, folders_of_run(records[name]), needed)
    going = [
        folder
        for folder in folders
        if folder not in needed and not (notes and f"{folder}/{MANIFEST}" not in sizes)
    ]
    bytes_of: dict[str, int] = {}
    for file, size in sizes.items():
        bytes_of[folder_of(file)] = bytes_of.get(folder_of(file), 0) + size
    steps: dict[str, dict[str, int]] = {}
    for folder in going:
        step = steps.setdefault(folder.split("/")[1], {"num_results": 0, "num_bytes": 0})
        step["num_results"] += 1
        step["num_bytes"] += bytes_of.get(folder, 0)
    num_bytes = sum(step["num_bytes"] for step in steps.values())
    return {
        "store": store.path(""),
        "num_runs": len(records),
        "kept_runs": [
            {
                "mlflow_run_id": records[name]["mlflow_run_id"],
                "unix_seconds": records[name]["unix_seconds"],
                "why": why,
            }
            for name, why in reasons.items()
        ],
        "unfinished_runs": [note["mlflow_run_id"] for note in notes.values()],
        "stale_runs": [
            {
                "mlflow_run_id": note["mlflow_run_id"],
                "unix_seconds": note.get("unix_seconds", 0.0),
                "note": name,
            }
            for name, note in stale.items()
        ],
        "steps": steps,
        "num_results": len(going),
        "num_bytes": num_bytes,
        "num_kept_results": len(folders) - len(going),
        "num_kept_bytes": sum(bytes_of.values()) - num_bytes,
        "remove": going,
    }


def prune(store_root: str, tracking_uri: str, plan: Mapping[str, Any]) -> None:
    """Remove results, each one's manifest first, then the notes of stale runs.

    Args:
        store_root: root of the store.
        tracking_uri: MLflow's store, which is told that stale runs do not run.
        plan: of `what_to_prune`.

    Raises:
        UserMistake: a run is at work on the store.
    """
    store = Store(store_root)
    with alone_in(store_root, PRUNE):
        if plan["stale_runs"]:  # without its note, nobody would know of a run that was killed
            close_dead_runs(store_root, tracking_uri, alone=True)
        for folder in plan["remove"]:
            store.delete(f"{folder}/{MANIFEST}")
            store.delete_folder(folder)
        for stale in plan["stale_runs"]:
            store.delete(stale["note"])


def _records(store: Store) -> dict[str, dict[str, Any]]:
    """The records of runs by name, the newest first.

    Raises:
        DamagedRecord: one is, so that nobody knows what it would keep.
    """
    found = {}
    for name in record_names(store):
        with suppress(FileNotFoundError):  # removed meanwhile
            found[name] = read_record(store, name)
    return found


def _notes(store: Store) -> dict[str, dict[str, Any]]:
    """The notes of unfinished runs by name. Raises `Damaged` as `_records` does."""
    found = {}
    for name in store.names(UNFINISHED):
        if name.endswith(".json"):
            with suppress(FileNotFoundError):  # its run has ended meanwhile
                found[name] = read_note(store, name)
    return found


def _stale(
    notes: Mapping[str, Mapping[str, Any]], records: Mapping[str, Any], num_kept: int
) -> dict[str, Mapping[str, Any]]:
    """The notes of runs that would not be kept either if they had ended well."""
    newest = [float(record["unix_seconds"]) for record in records.values()][: max(num_kept, 1)]
    if len(newest) < max(num_kept, 1):
        return {}
    return {
        name: note
        for name, note in notes.items()
        if note.get("unix_seconds", 0.0) < min(newest) and not is_at_work(note)
    }


def _follow(store: Store, folders: Iterable[str], needed: set[str]) -> None:
    """Add results, and all that they came from, to those that are needed."""
    waiting = [folder for folder in folders if folder not in needed]
    while waiting:
        folder = waiting.pop()
        needed.add(folder)
        manifest = read_manifest(store, folder)
        if manifest is not None:
            came_from = {folder_of(name) for name in inputs_of(store, manifest).values()}
            waiting += came_from - needed


def _gone_on_from(
    store: Store, records: Mapping[str, Any], kept: Mapping[str, str], needed: set[str]
) -> Iterator[str]:
    """Runs, not kept so far, that made a model which a needed result has gone on from."""
    looked_at: set[str] = set()
    while warm := {f for f in needed if f.startswith(f"{STEPS}/warm_start/")} - looked_at:
        looked_at |= warm
        for folder in warm:
            try:
                manifest = read_manifest(store, folder)
            except Damaged:
                continue
            digest = manifest and manifest["outcome"]["files"].get(
                f"{folder}/{WARM_START_MODEL_FILE}"
            )
            makers = [
                name
                for name, record in records.items()
                if digest and record.get("model", {}).get("digest") == digest
            ]
            if makers and makers[0] not in kept:  # the newest is who is asked
                yield makers[0]
