"""The newest run of a store: how a command finds the tables that a run has left."""

from collections.abc import Mapping
from typing import Any

from data.store import Store


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
    records = [store.read_json(name) for name in store.names("runs") if name.endswith(".json")]
    if model_digest is not None:
        records = [one for one in records if one.get("model", {}).get("digest") == model_digest]
    if made is not None:
        records = [one for one in records if made in one["tables"] or made in one["files"]]
    if mlflow_run_id is not None:
        records = [one for one in records if one["mlflow_run_id"] == mlflow_run_id]
    return max(records, key=lambda record: float(record["unix_seconds"]), default=None)


def table_names(store: Store, record: Mapping[str, Any]) -> dict[str, str]:
    """A run's tables: their names in the store, of those that still stand there."""
    names = {
        table: reference["path"].removeprefix(store.path("")).lstrip("/")
        for table, reference in record["tables"].items()
    }
    return {table: name for table, name in names.items() if store.exists(name)}
