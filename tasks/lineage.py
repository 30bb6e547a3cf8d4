"""Lineage: what a table came from, back to the books."""

from posixpath import normpath
from typing import Any

from data.errors import UserMistake
from data.schemas import OPTIONAL_TABLES, TABLES
from data.spelling import nearest_words
from data.store import Store
from tasks.seams.manifests import STEPS, folder_of, is_within, outside_of, read_manifest
from tasks.seams.newest_run import name_of_path, newest_run, paths_of

SHOWN = (
    "settings",
    "seed",
    "code_digest",
    "lock_digest",
    "git_commit",
    "mlflow_run_id",
)


def lineage(store_root: str, table: str) -> dict[str, Any]:
    """A table's ancestry: `table`, `path`, `digest`, how it was made, and its `inputs` likewise.

    Args:
        store_root: root of the store.
        table: a table's name, meaning that of the newest run, or a path in the store.

    Raises:
        UserMistake: there is no such table, or one that it came from is gone.
    """
    store = Store(store_root)
    try:
        return _ancestry(store, _name_in_store(store, table))
    except FileNotFoundError as error:
        raise UserMistake(
            f"What {table} came from is not in the store any more: {error.filename or error}.",
            "It was removed. Run again with the same settings: it is made anew.",
        ) from error


def _name_in_store(store: Store, table: str) -> str:
    if table in TABLES or table in OPTIONAL_TABLES:
        run = newest_run(store, made=table)
        if run is None:
            raise UserMistake(
                f"No run in {store.path('')} has made a table {table} yet.",
                "Make one first: bookloom run.",
            )
        table = paths_of(run)[table]
    name = normpath(name_of_path(store, table).lstrip("/"))
    if not store.parts(name) or not store.exists(name):
        nearest = nearest_words(table, TABLES) or sorted(TABLES)
        raise UserMistake(
            f"There is no table {table!r} in {store.path('')}.",
            f"Name one of its tables, such as {', '.join(nearest)}, or a path in the store.",
        )
    return name


def _ancestry(store: Store, name: str) -> dict[str, Any]:
    made = store.lineage(name)
    return {
        "table": made["table"],
        "path": store.path(name),
        "digest": made["digest"],
        "step": made["step"],
        "sources": _sources(store, name),
        **{key: made[key] for key in SHOWN},
        "inputs": [
            *(_ancestry(store, reference["name"]) for reference in made["inputs"].values()),
            *(_file_ancestry(store, *item) for item in made["input_files"].items()),
        ],
    }


def _sources(store: Store, name: str) -> dict[str, str]:
    """Digests of what the table's step has read from outside the store."""
    manifest = read_manifest(store, folder_of(name)) if is_within(name, STEPS) else None
    return outside_of(manifest["parts"]) if manifest else {}


def _file_ancestry(store: Store, name: str, digest: str) -> dict[str, Any]:
    """A file came about with the tables that its step wrote beside it: theirs is its ancestry."""
    folder, file_name = name.rsplit("/", 1)
    tables = store.read_json(f"{folder}/manifest.json")["outcome"]["tables"]
    beside = _ancestry(store, next(iter(tables.values()))["name"])
    return {**beside, "table": file_name, "path": store.path(name), "digest": digest}
