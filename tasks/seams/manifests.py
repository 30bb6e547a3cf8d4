"""Manifests: what a step's result is, to the byte, and whether it still is that.

    steps/<step>/<key>/manifest.json

is written last and holds the step's outcome (its tables and files with their digests), the parts of
its key, the names of the tables and files that it was made from, and the length and the SHA-256 of
every file that it is made of. A seal over all of it tells a damaged manifest.
"""

import hashlib
import json
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from data.filesystems import StoreTrouble
from data.store import PARQUET, Damaged, Store
from tasks.seams.report import say

MANIFEST = "manifest.json"
SETTLED = "settled_"
STEPS = "steps"
SEAL = "seal"
MISSING = "missing"
OUTSIDE = "source "


class Damage(NamedTuple):
    """A file of the store that is not what was written, by its name there, and why."""

    name: str
    cause: str = ""

    def __str__(self) -> str:
        if self.cause.startswith(MISSING):
            return f"{self.name} is {self.cause}"
        return f"{self.name} is damaged" + f": {self.cause}" * bool(self.cause)


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with a seal, by which a change is known."""
    return {**value, SEAL: _seal_of(value)}


def is_whole(value: Mapping[str, Any]) -> bool:
    """Whether a JSON object is what was sealed; true of one that has no seal."""
    return SEAL not in value or value[SEAL] == _seal_of(value)


def folder_of(name: str) -> str:
    """The folder of the result that a table, a part or a file belongs to."""
    return "/".join(name.split("/")[:3])


def is_within(name: str, whole: str) -> bool:
    """Whether a name is that of a table, file or folder, or of one of its parts."""
    return name == whole or name.startswith(f"{whole}/")


def results(store: Store) -> list[str]:
    """The folders of all results, whole or not."""
    return [folder for step in store.names(STEPS) for folder in store.names(step)]


def read_manifest(store: Store, folder: str) -> dict[str, Any] | None:
    """The manifest of a result, or None where there is none: the result is not whole.

    Raises:
        Damaged: it is not what was written.
    """
    name = f"{folder}/{MANIFEST}"
    try:
        manifest = store.read_json(name)
    except FileNotFoundError:
        return None
    if not is_whole(manifest) or not {"outcome", "parts", "unix_seconds"} <= set(manifest):
        raise store.damaged(name, "it is not what was written")
    return manifest


def write_manifest(
    store: Store,
    folder: str,
    outcome: Mapping[str, Any],
    parts: Mapping[str, str],
    inputs: Mapping[str, str],
) -> None:
    """Declare a result whole.

    Args:
        store: where it stands.
        folder: where in the store.
        outcome: its tables and files.
        parts: what its key is made of.
        inputs: the names in the store of what it was made from, by table or file name.
    """
    names = [part for t in outcome["tables"].values() for part in store.parts(t["name"])]
    names += [*outcome["files"], *settled_in(store, folder)]
    manifest = {
        "outcome": outcome,
        "parts": parts,
        "inputs": inputs,
        # Read again, a second or so a GB, for parts come from many writers.
        "files": {
            name: {"bytes": store.size(name), "sha256": store.sha256(name)} for name in names
        },
        "unix_seconds": time.time(),
    }
    store.write_json(f"{folder}/{MANIFEST}", sealed(manifest))


def inputs_of(store: Store, manifest: Mapping[str, Any]) -> dict[str, str]:
    """The names in the store of the tables and files that a result was made from, by their own.

    Raises:
        Damaged: the result is.
    """
    if "inputs" in manifest:
        return dict(manifest["inputs"])
    # An older manifest leaves it to the tables to say; a result of pictures alone tells nothing.
    if not manifest["outcome"]["tables"]:
        return {}
    name = next(iter(manifest["outcome"]["tables"].values()))["name"]
    made = store.lineage(store.parts(name)[0])
    files = {file.rsplit("/", 1)[-1]: file for file in made["input_files"]}
    return {**{table: reference["name"] for table, reference in made["inputs"].items()}, **files}


def settled_in(store: Store, folder: str) -> list[str]:
    """The names of what measurements have settled for a result."""
    return [name for name in store.names(folder) if is_settled(name)]


def is_settled(name: str) -> bool:
    """Whether a file holds what a measurement has settled."""
    return name.rsplit("/", 1)[-1].startswith(SETTLED)


def manifests_of(store: Store, step: str) -> dict[str, dict[str, Any]]:
    """The manifests of a step's whole results by key, oldest first, but for damaged ones."""
    found = {}
    for folder in store.names(f"{STEPS}/{step}"):
        try:
            manifest = read_manifest(store, folder)
        except Damaged as damage:
            say(f"{damage.message} The result is not used.", logging.WARNING)
            continue
        if manifest is not None:
            found[folder.rsplit("/", 1)[-1]] = manifest
    return dict(sorted(found.items(), key=lambda item: item[1]["unix_seconds"]))


def quick_damage(store: Store, manifest: Mapping[str, Any]) -> list[Damage]:
    """What a glance tells: files that are missing or of another length, tables that can't be opened
    or say that they are other ones. Nothing is read but the ends of files.
    """
    outcome = manifest["outcome"]
    found = [damage for name in outcome["files"] for damage in _missing(store, manifest, name)]
    for table in outcome["tables"].values():
        found += _missing(store, manifest, table["name"]) or _other_table(store, table)
    return found


def byte_damage(store: Store, manifest: Mapping[str, Any], names: Iterable[str]) -> list[Damage]:
    """The files among `names`, a table's parts included, whose bytes are not those written.

    Where the manifest was written without their SHA-256, nothing is found.
    """
    within = tuple(names)
    return [
        Damage(name, "its bytes are not those that were written")
        for name, written in manifest.get("files", {}).items()
        if any(is_within(name, one) for one in within)
        and store.exists(name)
        and store.sha256(name) != written["sha256"]
    ]


def discard(store: Store, folder: str, names: Collection[str] = ()) -> None:
    """Undo a result: its manifest goes first, so that nothing takes it for whole, then its files.

    Args:
        store: where it stands.
        folder: where in the store.
        names: just these files go, for the others are whole; all where there are none. What a
            measurement has settled stays: the result is made anew as it was.
    """
    store.delete(f"{folder}/{MANIFEST}")
    if not names or f"{folder}/{MANIFEST}" in names:  # without it nobody knows which are whole
        names = [name for name in store.files(folder) if not is_settled(name)]
    for name in names:
        for file in store.files(name) or [name]:  # a table's parts
            store.delete(file)


def most_alike(
    parts: Mapping[str, str], earlier: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """Of manifests, oldest first, that whose key differs in fewest parts: of equals, the newest."""
    newest_first = list(reversed(earlier))
    counts = [len(differing(parts, manifest["parts"])) for manifest in newest_first]
    return newest_first[counts.index(min(counts))] if counts else None


def differing(parts: Mapping[str, str], old: Mapping[str, str]) -> list[str]:
    """The parts of a key that are not what they were."""
    return [name for name in sorted({*parts, *old}) if parts.get(name) != old.get(name)]


def outside_parts(digests: Mapping[str, str]) -> dict[str, str]:
    """The parts of a key that come from outside the store, by the names of what was read there."""
    return {f"{OUTSIDE}{name}": digest for name, digest in digests.items()}


def outside_of(parts: Mapping[str, str]) -> dict[str, str]:
    """The digests of what was read from outside the store, of all parts of a key."""
    return {
        name.removeprefix(OUTSIDE): digest
        for name, digest in parts.items()
        if name.startswith(OUTSIDE)
    }


def told(name: str, old: str | None, new: str | None) -> str:
    """How a part of a key has changed, in words."""
    if name.startswith(("setting ", "library ", "seed", "number ")):
        return f"{name}: {old} -> {new}" if old and new else f"{name}: {new or 'gone'}"
    return f"{name} {'changed' if old and new else 'is new' if new else 'is gone'}"


def _missing(store: Store, manifest: Mapping[str, Any], name: str) -> list[Damage]:
    """What is missing of a table or file, is too much, or has another length."""
    written = manifest.get("files", {})
    if not store.exists(name):
        return [Damage(name, MISSING)]
    standing, recorded = [name], [name]
    tables = {table["name"]: table for table in manifest["outcome"]["tables"].values()}
    if name in tables and not name.endswith(PARQUET):
        standing = store.parts(name)
        recorded = [part for part in written if part.startswith(f"{name}/")]
        num_parts = tables[name]["num_parts"]
        if not recorded and len(standing) != num_parts:
            return [Damage(name, f"a part of {name} is missing")]
    gone = [
        Damage(part, f"{MISSING}, a part of {name}") for part in recorded if part not in standing
    ]
    strange = [
        Damage(part, f"it is no part of {name}")
        for part in standing
        if recorded and part not in recorded
    ]
    cut = [
        Damage(file, f"it has {size:,} bytes of {written[file]['bytes']:,}")
        for file in standing
        if file in written and (size := store.size(file)) != written[file]["bytes"]
    ]
    return gone + strange + cut


def _other_table(store: Store, table: Mapping[str, Any]) -> list[Damage]:
    try:
        made = store.lineage(table["name"])
        is_same = (made["digest"], made["num_rows"]) == (table["digest"], table["num_rows"])
    except Damaged as damage:
        return [Damage(damage.name, damage.cause)]
    except StoreTrouble:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return [Damage(table["name"], f"it does not say where it came from: {error!r}")]
    if not is_same:
        return [Damage(table["name"], "it is another table than was written")]
    return []


def _seal_of(value: Mapping[str, Any]) -> str:
    content = {key: part for key, part in value.items() if key != SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
