"""The newest run of a store: how a command finds the tables that a run has left."""

from typing import Any

from data.store import Store


def newest_run(store: Store) -> dict[str, Any] | None:
    """The record of the newest run that ended well, or None where there is none."""
    records = [store.read_json(name) for name in store.names("runs") if name.endswith(".json")]
    return max(records, key=lambda record: float(record["unix_seconds"]), default=None)
