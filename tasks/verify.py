"""Verify: whether a store holds what was written to it, and what to do where it does not.

in    a store
does  reads every file: bytes against the manifests, rows against the tables' digests; and looks
      for what a killed run has left half written, which is no damage: nothing takes it for whole;
      others may be at work meanwhile
out   a list of what is damaged, where, and the remedy; a repair removes the damaged results, so
      that the next run recomputes just these
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

from data.digest import TableDigest
from data.schemas import COMMAND_TABLES, OPTIONAL_TABLES, TABLES
from data.store import TEMPORARY, Damaged, Store
from tasks.seams.checkpoints import CHECKPOINTS
from tasks.seams.manifests import (
    MANIFEST,
    Damage,
    byte_damage,
    discard,
    folder_of,
    is_settled,
    is_within,
    quick_damage,
    read_manifest,
    results,
)
from tasks.seams.newest_run import RECORD_REMEDY, RUNS, read_record
from tasks.seams.report import progress
from tasks.seams.step_cache import STORE_FORMAT
from tasks.seams.store_lock import alone_in
from tasks.seams.unfinished import UNFINISHED, is_at_work, read_note

KNOWN = {**TABLES, **OPTIONAL_TABLES, **COMMAND_TABLES}
RUN_AGAIN = "bookloom verify --repair removes it; the next run makes it anew"
BEGINS_ANEW = "bookloom verify --repair removes it; its run begins anew, with what it has made"
MOST_LOOKS = 5


class Found(NamedTuple):
    """What is wrong in one folder or with one file."""

    folder: str
    damage: list[Damage]
    remedy: str
    is_result: bool = True
    """Then all of it is made anew; else a file goes."""


class Look(NamedTuple):
    """What one look at a result has found."""

    files: Mapping[str, int]
    """Those that were there, with their length in bytes."""
    damage: list[Damage]
    not_checkable: list[str]

    def is_like(self, other: "Look") -> bool:
        """Whether two looks have found the same files, and the same of them damaged."""
        damaged, others = ([one.name for one in look.damage] for look in (self, other))
        return self.files == other.files and damaged == others


def verify(store_root: str, repair: bool = False) -> dict[str, Any]:
    """Look at everything in a store.

    Runs may be at work on it, and results may be removed: what is gone meanwhile is not missed, and
    damage is looked at a second time before it is told.

    Args:
        store_root: root of the store.
        repair: remove what is damaged.

    Returns:
        `sound`; `num_results`, `num_files`, `num_bytes` looked at; `damage`, each with `what`,
        `where` and `remedy`; `not_checkable`, files whose manifest was written by a bookloom that
        did not keep their bytes' digest; `unfinished`, results that a run is at work on or will go
        on with; `left_over`, files that killed processes were writing, or checkpoints that they
        had no more use for, while no run is at work; and `repaired`, the folders and files that
        were removed.

    Raises:
        UserMistake: a repair is asked for, and a run is at work on the store.
    """
    with alone_in(store_root, "bookloom verify --repair") if repair else nullcontext():
        return _looked_at(Store(store_root), repair)


def _looked_at(store: Store, repair: bool) -> dict[str, Any]:
    sizes = store.files("")
    folders = results(store)
    found: list[Found] = []
    not_checkable: list[str] = []
    unfinished: list[str] = []
    notes, bad_notes = _notes(store)  # after the files: whoever was writing one is known
    busy = any(is_at_work(note) for note in notes)
    bytes_of: Counter[str] = Counter()
    for name, size in sizes.items():
        bytes_of[folder_of(name)] += size
    with progress("verify", sum(sizes.values()), "B") as advance:
        for folder in folders:
            look = _at_rest(store, folder)
            is_half_made = bool(look.files) and f"{folder}/{MANIFEST}" not in look.files
            if is_half_made and (notes or _notes(store)[0]):  # a run may have begun meanwhile
                unfinished.append(folder)
            elif look.damage:
                found.append(Found(folder, look.damage, RUN_AGAIN))
            not_checkable += look.not_checkable
            advance(bytes_of[folder], folder.split("/")[1])
        found += bad_notes
        found += _records(store)
    left_over = [
        name for name in sizes if _is_left_over(sizes, name) and not busy and store.exists(name)
    ]
    repaired = [_removed(store, one) for one in found] if repair else []
    for name in left_over if repair else ():
        store.delete(name)
        repaired.append(store.path(name))
    return {
        "store": store.path(""),
        "sound": not found or repair,
        "num_results": len(folders),
        "num_files": len(sizes),
        "num_bytes": sum(sizes.values()),
        "damage": [
            {"what": damage.cause, "where": store.path(damage.name), "remedy": one.remedy}
            for one in found
            for damage in one.damage
        ],
        "not_checkable": [store.path(name) for name in not_checkable],
        "unfinished": [store.path(folder) for folder in unfinished],
        "left_over": [store.path(name) for name in left_over],
        "repaired": repaired,
    }


def _at_rest(store: Store, folder: str) -> Look:
    """What is wrong with a result, once two looks agree on it: it may just now be removed, or be
    made again.
    """
    look = _look(store, folder)
    for _ in range(1, MOST_LOOKS):
        if not look.damage:
            break
        before, look = look, _look(store, folder)
        if look.is_like(before):
            break
    return look


def _look(store: Store, folder: str) -> Look:
    files = store.files(folder)
    try:
        return Look(files, *_of_result(store, folder, files))
    except FileNotFoundError as error:
        return Look(files, [Damage(folder, f"a file went while it was read: {error}")], [])


def _of_result(store: Store, folder: str, own: Mapping[str, int]) -> tuple[list[Damage], list[str]]:
    """What is wrong with a result, and which of its files can't be checked."""
    try:
        manifest = read_manifest(store, folder)
    except Damaged as error:
        return [Damage(error.name, error.cause)], []
    if manifest is None:
        is_half_made = any(not is_settled(name) and not name.endswith(TEMPORARY) for name in own)
        return [Damage(folder, "half made: it has no manifest")] * is_half_made, []
    outcome = manifest["outcome"]
    names = [*(table["name"] for table in outcome["tables"].values()), *outcome["files"]]
    damage = quick_damage(store, manifest)
    seen = {one.name for one in damage}
    damage += [one for one in byte_damage(store, manifest, [folder]) if one.name not in seen]
    bad = {one.name for one in damage}
    is_of_today = manifest["parts"].get("store format") == STORE_FORMAT
    for name, table in outcome["tables"].items():
        if is_of_today and not any(is_within(one, table["name"]) for one in bad):
            damage += _other_content(store, name, table)
    unknown = [name for name in names if name not in bad and _has_no_sum(store, manifest, name)]
    return damage, unknown


def _other_content(store: Store, name: str, table: Mapping[str, Any]) -> list[Damage]:
    """Whether a table's rows do not have the digest that its manifest says."""
    declared = KNOWN.get(name)
    digest = None
    try:
        for rows in store.row_groups(table["name"]):
            if declared is None or not rows.schema.equals(declared.schema):
                return []  # written when the table was another; its bytes have been held to theirs
            digest = digest or TableDigest(declared)
            digest.update(rows)
    except Damaged as error:
        return [Damage(error.name, error.cause)]
    if digest is None and declared is not None:
        digest = TableDigest(declared)
    if digest is None or digest.hexdigest() == table["digest"]:
        return []
    return [Damage(table["name"], "its rows do not have the digest that its manifest says")]


def _has_no_sum(store: Store, manifest: Mapping[str, Any], name: str) -> bool:
    """Whether nothing is known to hold a file's bytes against. Pages of tables have checksums."""
    if manifest.get("files") or name not in manifest["outcome"]["files"]:
        return False
    # The digest of a picture is that of its bytes.
    return bool(store.sha256(name) != manifest["outcome"]["files"][name])


def _is_left_over(sizes: Mapping[str, int], name: str) -> bool:
    """Whether a file was being written, or is a checkpoint of a result that is whole by now."""
    folder = folder_of(name)
    is_checkpoint = is_within(name, f"{folder}/{CHECKPOINTS}")
    return name.endswith(TEMPORARY) or (is_checkpoint and f"{folder}/{MANIFEST}" in sizes)


def _notes(store: Store) -> tuple[list[dict[str, Any]], list[Found]]:
    """The notes of unfinished runs, and those that can't be read."""
    return _read_each(store, UNFINISHED, read_note, BEGINS_ANEW)


def _records(store: Store) -> list[Found]:
    """Records of runs that are damaged."""
    _, bad = _read_each(store, RUNS, read_record, RECORD_REMEDY)
    return bad


def _read_each(
    store: Store, folder: str, read: Callable[[Store, str], dict[str, Any]], remedy: str
) -> tuple[list[dict[str, Any]], list[Found]]:
    good, bad = [], []
    for name in store.names(folder):
        if not name.endswith(".json"):
            continue
        try:
            good.append(read(store, name))
        except FileNotFoundError:  # it was removed meanwhile, as a note is when its run ends
            continue
        except Damaged as error:
            bad.append(Found(name, [Damage(name, error.cause)], remedy, is_result=False))
    return good, bad


def _removed(store: Store, found: Found) -> str:
    if found.is_result:
        discard(store, found.folder)
        for damage in found.damage:
            if is_settled(damage.name):  # else the next run would go by it
                store.delete(damage.name)
        if not store.files(found.folder):
            store.delete_folder(found.folder)
    else:
        store.delete(found.folder)
    return store.path(found.folder)
