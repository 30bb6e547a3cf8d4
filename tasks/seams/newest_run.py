"""The records of a store's runs, the newest first: how a command finds what a run has left.

    runs/<when the run started>-<MLflow run id>.json

A record carries a seal, and whoever reads one looks at it.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from data.errors import UserMistake
from data.model_schemas import SECTION_SCORES
from data.store import Damaged, Store
from tasks.seams.manifests import STEPS, is_whole
from tasks.seams.report import say

RUNS = "runs"
ALWAYS_RECORDED = {"mlflow_run_id", "unix_seconds", "tables", "files"}
RECORD_REMEDY = (
    "If what it made is needed, first run again with the same settings, which MLflow has: all is "
    "found made, and recorded anew. Then bookloom verify --repair removes the damaged record."
)


class DamagedRecord(Damaged):
    """The record of a run is not what was written. No step makes a record again."""

    def __init__(self, name: str, path: str, cause: str) -> None:
        super().__init__(name, path, cause)
        UserMistake.__init__(self, self.message, RECORD_REMEDY)


def record_names(store: Store) -> list[str]:
    """The names of all records; that of the run that started last comes first."""
    names = [name for name in store.names(RUNS) if name.endswith(".json")]
    return sorted(names, key=_started_unix_seconds, reverse=True)


def read_record(store: Store, name: str) -> dict[str, Any]:
    """The record of a run.

    Raises:
        DamagedRecord: it is not what was written.
        FileNotFoundError: it is not there, or no more.
    """
    try:
        record = store.read_json(name)
    except Damaged as damage:
        raise DamagedRecord(name, damage.path, damage.cause) from damage
    if not is_whole(record) or not set(record) >= ALWAYS_RECORDED:
        raise DamagedRecord(name, store.path(name), "it is not what was written")
    return record


def records(store: Store) -> Iterator[dict[str, Any]]:
    """All records, the newest first; a damaged one is warned of and passed over."""
    for name in record_names(store):
        try:
            yield read_record(store, name)
        except FileNotFoundError:  # removed meanwhile
            continue
        except DamagedRecord as damage:
            say(f"{damage.message} It is passed over. {damage.remedy}", logging.WARNING)


def newest_run(
    store: Store,
    *,
    model_digest: str | None = None,
    made: str | None = None,
    mlflow_run_id: str | None = None,
) -> dict[str, Any] | None:
    """The record of the newest run that ended well, or None where there is none.

    Args:
        store: where.
        model_digest: only of runs that made or used the language model of this digest.
        made: only of runs that made the table or the file of this name.
        mlflow_run_id: only of this run.
    """
    for record in records(store):
        if (
            (model_digest is None or record.get("model", {}).get("digest") == model_digest)
            and (made is None or made in paths_of(record))
            and (mlflow_run_id is None or record["mlflow_run_id"] == mlflow_run_id)
        ):
            return record
    return None


def paths_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Where a run's tables and files stood when it ended, by name, with what its model was held
    against the champion by, which is recorded with the promotion.
    """
    tables = {name: table["path"] for name, table in record["tables"].items()}
    scores = (record.get("promotion") or {}).get("scores")
    compared = {SECTION_SCORES.name: scores["path"]} if scores else {}
    return {**tables, **record["files"], **compared}


def name_of_path(store: Store, path: str) -> str:
    """The name in its store of what stood at a path when a run ended, wherever that stands now."""
    root = f"{store.path('').rstrip('/')}/"
    if path.startswith(root) or f"/{STEPS}/" not in path:
        return path.removeprefix(root)
    return path[path.rindex(f"/{STEPS}/") + 1 :]


def table_names(store: Store, record: Mapping[str, Any]) -> dict[str, str]:
    """A run's tables: their names in the store, of those that still stand there."""
    names = {
        table: name_of_path(store, reference["path"])
        for table, reference in record["tables"].items()
    }
    return {table: name for table, name in names.items() if store.exists(name)}


def _started_unix_seconds(name: str) -> float:
    """When a record's run started; 0 where the name does not tell, of what `reproduce` lays out."""
    started, _, _ = name.removeprefix(f"{RUNS}/").partition("-")
    try:
        return float(started)
    except ValueError:
        return 0.0
