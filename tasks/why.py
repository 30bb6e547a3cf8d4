"""Why: why a table of the newest run was recomputed, or was not, back to the change that began it.

in    the runs' records, the manifests of the newest results and of earlier ones
does  holds the key of the result against the most alike earlier one, and follows inputs that
      differ to the results that they came from, then and now; where no earlier one is left, the
      record of the run that made it tells
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
from tasks.seams.newest_run import newest_run, paths_of, records
from tasks.seams.run_records import folder_of_path

INPUT = ("input ", "parts of ", "settings of ")
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
    path = paths_of(record)[table]
    folder = folder_of_path(path)
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
    noted = _noted_reasons(store, manifest)
    is_damage = any(reason.startswith(f"{STEPS}/") for reason in noted)  # a file was not whole
    if alike is None or is_damage:
        node = _as_noted(store, table, manifest, FIRST_TIME)
    else:
        node = _explained(store, table, manifest, alike)
    return {
        **node,
        "path": path,
        "reused": _is_reused(store, record, manifest),
        "run": {key: record[key] for key in ("mlflow_run_id", "unix_seconds")},
        "started_by": _origins(node),
    }


def _explained(
    store: Store, name: str, now: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """How a result's key differs from that of an earlier one, and why its inputs do."""
    step, parts, old = now["outcome"]["step"], now["parts"], before["parts"]
    changed = differing(parts, old)
    differences = [
        {
            "part": part,
            "before": old.get(part),
            "now": parts.get(part),
            "text": told(part, old.get(part), parts.get(part)),
        }
        for part in changed
    ]
    followed = {_input_of(part) for part in changed if part in parts and part in old} - {""}
    own = [one["text"] for one in differences if _input_of(one["part"]) not in followed]
    return {
        **_node(name, step, now["unix_seconds"]),
        "compared_with": f"{STEPS}/{step}/{before['outcome']['key']}",
        "differences": differences,
        "own_reasons": own if changed else [SAME],
        "inputs": [_input(store, one, now, before) for one in sorted(followed)],
    }


def _as_noted(store: Store, name: str, now: Mapping[str, Any], unknown: str) -> dict[str, Any]:
    """The same by what was noted when the result was made; `unknown` where nothing was."""
    changed = {told(part, "then", "now"): part for part in now["parts"] if _input_of(part)}
    reasons = _noted_reasons(store, now)
    followed = {_input_of(changed[reason]) for reason in reasons if reason in changed}
    own = [one for one in reasons if one not in changed]
    return {
        **_node(name, now["outcome"]["step"], now["unix_seconds"]),
        "own_reasons": own if reasons else [unknown],
        "inputs": [_input(store, one, now) for one in sorted(followed)],
    }


def _input(
    store: Store, name: str, now: Mapping[str, Any], before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The same for an input that both results were made from, or the one that is left."""
    made = _maker(store, name, now)
    was = _maker(store, name, before) if before is not None else None
    if made is None:
        return {**_node(name, "?", None), "own_reasons": [GONE]}
    return _explained(store, name, made, was) if was else _as_noted(store, name, made, GONE)


def _node(name: str, step: str, made_unix_seconds: float | None) -> dict[str, Any]:
    return {
        "table": name,
        "step": step,
        "made_unix_seconds": made_unix_seconds,
        "compared_with": None,
        "differences": [],
        "own_reasons": [],
        "inputs": [],
    }


def _noted_reasons(store: Store, manifest: Mapping[str, Any]) -> list[str]:
    """Why a result was made, by the record of the run that made it; none where that is gone."""
    step, key = manifest["outcome"]["step"], manifest["outcome"]["key"]
    for record in records(store):
        noted = record.get("steps", {}).get(step, {})
        if noted.get("folder") == f"{STEPS}/{step}/{key}" and not noted["reused"]:
            return list(noted["reasons"])
    return []


def _is_reused(store: Store, record: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether a run found a result made. Of what is compared after the steps, the tables tell."""
    step = manifest["outcome"]["step"]
    if step in (*record["reused"], *record["recomputed"]):
        return step in record["reused"]
    tables = manifest["outcome"]["tables"].values()
    makers = {store.lineage(table["name"])["mlflow_run_id"] for table in tables}
    return record["mlflow_run_id"] not in makers


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
    newest = newest_run(store)
    names = {*paths_of(newest)} if newest else known
    nearest = nearest_words(table, names) or sorted(names)
    return UserMistake(
        f"No run in {store.path('')} has made anything called {table!r}.",
        f"Name one of its tables or files, such as {', '.join(nearest)}.",
    )
