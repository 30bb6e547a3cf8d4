"""Which text a language model has learned from or was tuned on, as far as a store knows."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

import pyarrow.compute as pc

from data.book_schemas import SECTIONS
from data.model_schemas import WARM_START_SECTIONS
from data.splits import SectionSplit
from data.store import Store
from tasks.seams.newest_run import newest_run, table_names


def learned_sections(store: Store, digest: str) -> list[str] | None:
    """Digests of the sections that a language model has learned from, or the models before it.

    None where the store has no run that made a model of this digest.
    """
    names = _tables_of(store, digest)
    if SECTIONS.name not in names:
        return None
    learned = _of_split(store, names, "train")
    if WARM_START_SECTIONS.name in names:
        learned += store.read_table(names[WARM_START_SECTIONS.name])["sha256"].to_pylist()
    return sorted(set(learned))


def tuned_sections(store: Store, digest: str) -> list[str] | None:
    """Digests of the sections that a language model was tuned on: when to stop, what to pick with.

    None where the store has no run that made a model of this digest.
    """
    names = _tables_of(store, digest)
    return sorted(set(_of_split(store, names, "validation"))) if SECTIONS.name in names else None


def text_digest(sections: Sequence[str] | None) -> str:
    """What stands for all of that text in a step's key."""
    return "unknown" if sections is None else sha256("\n".join(sections).encode()).hexdigest()


def _tables_of(store: Store, digest: str) -> dict[str, str]:
    return table_names(store, newest_run(store, model_digest=digest) or {"tables": {}})


def _of_split(store: Store, names: Mapping[str, str], split: SectionSplit) -> list[str]:
    sections = store.read_table(names[SECTIONS.name], ["split", "sha256"])
    found: list[str] = sections.filter(pc.equal(sections["split"], split))["sha256"].to_pylist()
    return found
