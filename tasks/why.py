"""Why: why a table of the newest run was recomputed, or was not, back to the change that began it.

in    the run's record, the manifests of its results and of earlier ones
does  holds the key of the result against the most alike earlier one, and follows inputs that
      differ to the results that they came from, then and now
out   a tree: the differences at each step; and those that began it
"""

from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserMistake
from data.schemas import OPTIONAL_TABLES, TABLES
from data.spelling import nearest_words
from data.store import Damaged, Store
from tasks.seams.manifests import (
    STEPS,
    differing,
    folder_of,
    inputs_of,
    manifests_of,
    most_alike,
    read_manifest,
    told,
)
from tasks.seams.newest_run import newest_run
from tasks.seams.run_records import folder_of_path

INPUT = ("input ", "parts of ")
FIRST_TIME = "first time"
GONE = "what it was before is gone: it can't be told"
SAME = "made anew from the same, it came out different"


def why(store_root: str, table: str) -> dict[str, Any]:
    """Why the newest run that has a table recomputed it, or did not.

    Args:
        store_root: root of the store.
        table: the name of a table, or of a file such as map.png.

    Returns:
        `table`, `path`, `step`, `reused`, `run`; `differences` of its key from that of
        `compared_with`, the most alike earlier result; `inputs`, the same of those inputs that
        differ; and `started_by`, the differences that no other step has brought about.

    Raises:
        UserMistake: no run has made it, or its result is no longer there.
    """
    store = Store(store_root)
    record = newest_run(store, made=table)
    if record is None:
        raise _unknown(store, table)
    paths = {**{name: t["path"] for name, t in record["tables"].items()}, **record["files"]}
    folder = folder_of_path(paths[table])
    manifest = read_manifest(store, folder)
    if manifest is None:
        raise UserMistake(
            f"The newest run that made {table} has left nothing in {store.path(folder)}.",
            "It was removed. Run again: it is made anew.",
        )
    step = manifest["outcome"]["step"]
    alike = most_alike(
        manifest["parts"],
        [
            earlier
            for earlier in manifests_of(store, step).values()
            if earlier["unix_seconds"] < manifest["unix_seconds"]
        ],
    )
    node = _explained(store, table, manifest, alike)
    reasons = record.get("steps", {}).get(step, {}).get("reasons", [])
    if any(reason.startswith(f"{STEPS}/") for reason in reasons):  # a file that was not whole
        node = {**node, "own_reasons": reasons, "inputs": [], "differences": []}
    return {
        **node,
        "path": paths[table],
        "reused": step in record["reused"],
        "run": {key: record[key] for key in ("mlflow_run_id", "unix_seconds")},
        "started_by": _origins(node),
    }


def _explained(
    store: Store, name: str, now: Mapping[str, Any], before: Mapping[str, Any] | None
) -> dict[str, Any]:
    """How a result's key differs from that of an earlier one, and why its inputs do."""
    step, parts = now["outcome"]["step"], now["parts"]
    node: dict[str, Any] = {
        "table": name,
        "step": step,
        "made_unix_seconds": now["unix_seconds"],
        "compared_with": None,
        "differences": [],
        "own_reasons": [],
        "inputs": [],
    }
    if before is None:
        return {**node, "own_reasons": [FIRST_TIME]}
    old = before["parts"]
    node["compared_with"] = f"{STEPS}/{step}/{before['outcome']['key']}"
    changed = differing(parts, old)
    node["differences"] = [
        {
            "part": part,
            "before": old.get(part),
            "now": parts.get(part),
            "text": told(part, old.get(part), parts.get(part)),
        }
        for part in changed
    ]
    followed = {
        part.removeprefix(prefix)
        for part in changed
        for prefix in INPUT
        if part.startswith(prefix) and part in parts and part in old
    }
    own = [one for one in node["differences"] if _input_of(one["part"]) not in followed]
    node["own_reasons"] = [one["text"] for one in own] if changed else [SAME]
    node["inputs"] = [_input(store, one, now, before) for one in sorted(followed)]
    return node


def _input(
    store: Store, name: str, now: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """The same for an input that both results were made from."""
    made, was = (_maker(store, name, manifest) for manifest in (now, before))
    if made is not None and was is not None:
        return _explained(store, name, made, was)
    step = made["outcome"]["step"] if made else "?"
    return {
        "table": name,
        "step": step,
        "made_unix_seconds": made["unix_seconds"] if made else None,
        "compared_with": None,
        "differences": [],
        "own_reasons": [GONE],
        "inputs": [],
    }


def _maker(store: Store, name: str, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        found = inputs_of(store, manifest).get(name)
        return read_manifest(store, folder_of(found)) if found else None
    except (Damaged, FileNotFoundError, LookupError):
        return None


def _input_of(part: str) -> str:
    for prefix in INPUT:
        if part.startswith(prefix):
            return part.removeprefix(prefix)
    return ""


def _origins(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The steps with reasons of their own, those farthest back first, each once."""
    found: list[dict[str, Any]] = []
    for one in [*(o for child in node["inputs"] for o in _origins(child)), _own(node)]:
        if one["reasons"] and one not in found:
            found.append(one)
    return found


def _own(node: Mapping[str, Any]) -> dict[str, Any]:
    reasons: Sequence[str] = node["own_reasons"]
    return {"step": node["step"], "reasons": list(reasons)}


def _unknown(store: Store, table: str) -> UserMistake:
    known = {*TABLES, *OPTIONAL_TABLES}
    if table in known:
        return UserMistake(
            f"No run in {store.path('')} has made a table {table} yet.",
            "Make one first: bookloom run.",
        )
    newest = newest_run(store) or {"tables": {}, "files": {}}
    names = {*newest["tables"], *newest["files"]} or known
    nearest = nearest_words(table, names) or sorted(names)
    return UserMistake(
        f"No run in {store.path('')} has made anything called {table!r}.",
        f"Name one of its tables or files, such as {', '.join(nearest)}.",
    )
