"""Which text a language model has learned from, as far as a store knows."""

from collections.abc import Sequence
from hashlib import sha256

import pyarrow.compute as pc

from data.book_schemas import SECTIONS
from data.model_schemas import WARM_START_SECTIONS
from data.store import Store
from tasks.seams.newest_run import newest_run, table_names


def learned_sections(store: Store, digest: str) -> list[str] | None:
    """Digests of the sections that a language model has learned from, or the models before it.

    None where the store has no run that made a model of this digest.
    """
    names = table_names(store, newest_run(store, model_digest=digest) or {"tables": {}})
    if SECTIONS.name not in names:
        return None
    sections = store.read_table(names[SECTIONS.name], ["split", "sha256"])
    learned = sections.filter(pc.equal(sections["split"], "train"))["sha256"].to_pylist()
    if WARM_START_SECTIONS.name in names:
        learned += store.read_table(names[WARM_START_SECTIONS.name])["sha256"].to_pylist()
    return sorted(set(learned))


def text_digest(learned: Sequence[str] | None) -> str:
    """What stands for all of that text in a step's key."""
    return "unknown" if learned is None else sha256("\n".join(learned).encode()).hexdigest()
