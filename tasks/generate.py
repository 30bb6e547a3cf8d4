"""Generate: a registered model, a file of bag sets -> sentences, reasons, refusals.

in    bag sets, as a person wrote them, in a text or a Parquet file; a model by its name
does  finds the best sentences of each set, and why they are
out   for people what a command prints; tables and pictures where its user says
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, count
from typing import Any

from pydantic import Field

from data.bag_schemas import BAG_REASONS, BAG_REFUSALS, BAG_SENTENCES
from data.bag_sets import RefusedSet
from data.errors import UserMistake
from data.store import TableWriter
from data.table import Table
from models.bag_reasons import Slot, most_frequent_choice
from models.beginnings import PickedSentence
from models.bundle import Bundle
from tasks.seams.bag_answers import Answer, PickSettings, answers, refusal_row, sentence_rows
from tasks.seams.bag_files import bags_digest, read_bags
from tasks.seams.drawing_reasons import ReasonsPicture, SlotPicture, draw_reasons_png
from tasks.seams.registry import read_bundle
from tasks.seams.user_files import beside

MOST_PICTURES = 20
NUM_FIRST_SENTENCES = 50


class GenerateSettings(PickSettings):
    """Which bags, which model, and where to."""

    model: str | None = None
    """A model of MLflow's registry, such as models:/bookloom/1; the champion by default."""
    out: str | None = None
    """Name for tables of sentences and of refused sets: `.parquet` and `_refused.parquet` are put
    behind it. Without one the sentences are given back."""
    why: str | None = None
    """Name for a table of what each choice was held against, and pictures of it for the first
    sets: `.parquet` and `_ID.png` are put behind it."""
    most_pictures: int = Field(MOST_PICTURES, ge=0)
    """Sets that are drawn."""


def generate(tracking_uri: str, settings: GenerateSettings) -> dict[str, Any]:
    """Sentences for a file of bag sets: `bookloom generate`.

    Gives `model`, `num_bag_sets`, `refusals` (rows of `bag_refusals`), `files` that were written,
    and `bag_sets`, each with its `bag_set_id` and its `sentences`, rows of `bag_sentences`; where
    tables are written, `first_sentences` instead: the best rows of the first sets.

    Raises:
        UserMistake: no such model, a file that cannot be read or written or is named twice, or no
            set that can be answered.
    """
    _check_names(settings)
    uri, content = read_bundle(tracking_uri, settings.model)
    bundle = Bundle.from_bytes(content)
    spelling = None
    if settings.unknown == "spell":
        spelling = Bundle.from_bytes(read_bundle(tracking_uri, settings.spelling_model)[1])
    found = answers(bundle, list(read_bags(settings.bags)), settings, uri, spelling)
    made_from = {
        "model": uri,
        "model_digest": bundle.digest(),
        "bags": settings.bags,
        "bags_digest": bags_digest(settings.bags),
        "settings": settings.model_dump(mode="json"),
    }
    result: dict[str, Any] = {"model": uri, "num_bag_sets": 0, "refusals": [], "files": {}}
    shown: list[dict[str, Any]] = []
    result["bag_sets" if settings.out is None else "first_sentences"] = shown
    with _Files(settings, made_from, result["files"]) as files:
        for answer in found:
            result["num_bag_sets"] += 1
            if isinstance(answer, RefusedSet):
                row = refusal_row(answer)
                result["refusals"].append(row)
                files.add(BAG_REFUSALS, [row])
                last_mistake = answer.mistake
                continue
            rows = sentence_rows(answer, settings.strategy)
            if settings.out is None:
                name = answer.bag_set.bag_set_id
                shown.append({"bag_set_id": name, "sentences": rows})
            elif len(shown) < NUM_FIRST_SENTENCES:
                shown += rows[:1]
            files.add(BAG_SENTENCES, rows)
            files.explain(answer)
        if len(result["refusals"]) == result["num_bag_sets"]:
            raise last_mistake
    return result


def _check_names(settings: GenerateSettings) -> None:
    """Raises UserMistake where two options name one file, one of which would be lost."""
    named = [("--bags", settings.bags)]
    if settings.out is not None:
        named += [("--out", f"{settings.out}{end}") for end in (".parquet", "_refused.parquet")]
    if settings.why is not None:
        named.append(("--why", f"{settings.why}.parquet"))
    option_of: dict[str, str] = {}
    for option, path in named:
        other = option_of.setdefault(os.path.realpath(path), option)
        if other != option:
            raise UserMistake(
                f"{other} and {option} both name the file {path}.", "Give each a name of its own."
            )


def reason_rows(answer: Answer, slots: Sequence[Slot]) -> list[dict[str, Any]]:
    """The rows of `bag_reasons` for a set's best sentence."""
    best = answer.picked.sentences[0]
    return [
        {
            "bag_set_id": answer.bag_set.bag_set_id,
            "slot": number,
            "bag": slot.bag + 1,
            "choice": " ".join(answer.words[token_id] for token_id in alternative.phrase),
            "chosen": alternative.phrase == slot.phrase,
            "most_frequent": alternative.phrase == frequent,
            "score": alternative.score,
            "probability": alternative.probability,
            "margin": best.score - other.score if other else None,
            "without": answer.as_text(other) if other else None,
        }
        for number, slot in enumerate(slots, 1)
        for frequent in [
            most_frequent_choice(answer.spec.bags[slot.bag], answer.picker.log_frequency)
        ]
        for alternative in slot.alternatives
        for other in [slot.best_without if alternative.phrase == slot.phrase else None]
    ]


class _Files:
    """The files of a generation: all of them appear when it has ended well, or none does."""

    def __init__(
        self, settings: GenerateSettings, made_from: Mapping[str, Any], paths: dict[str, str]
    ) -> None:
        self._settings, self._made_from, self._paths = settings, made_from, paths
        self._stack = ExitStack()
        self._writers: dict[str, TableWriter] = {}
        self._pictures: dict[str, bytes] = {}

    def __enter__(self) -> "_Files":
        with ExitStack() as stack:
            if self._settings.out is not None:
                self._open(stack, BAG_SENTENCES, self._settings.out, ".parquet")
                self._open(stack, BAG_REFUSALS, self._settings.out, "_refused.parquet")
            if self._settings.why is not None:
                self._open(stack, BAG_REASONS, self._settings.why, ".parquet")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
        if error[0] is None:
            for out, content in self._pictures.items():
                with beside(out) as (store, name):
                    store.write_bytes(name, content)
                    self._paths[f"picture {len(self._paths)}"] = store.path(name)

    def add(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of a table; where it is not wanted nothing happens."""
        writer = self._writers.get(table.name)
        if writer is not None:
            writer.write({name: [row[name] for row in rows] for name in table.schema.names})

    def explain(self, answer: Answer) -> None:
        """Why the best sentence of a set is the best."""
        settings = self._settings
        if settings.why is None or not answer.picked.sentences:
            return
        best = answer.picked.sentences[0]
        slots = answer.picker.reasons(answer.spec, best, beam_width=settings.beam_width)
        self.add(BAG_REASONS, reason_rows(answer, slots))
        if len(self._pictures) < settings.most_pictures:
            safe_id = re.sub(r"[^\w-]+", "-", answer.bag_set.bag_set_id)[:40]
            numbered = (f"{safe_id}-{number}" for number in count(2))
            names = (f"{settings.why}_{name}.png" for name in chain([safe_id], numbered))
            # Several ids may be alike once they are safe.
            own = next(name for name in names if name not in self._pictures)
            self._pictures[own] = draw_reasons_png(_picture(answer, slots))

    def _open(self, stack: ExitStack, table: Table, out: str, ending: str) -> None:
        store, name = stack.enter_context(beside(f"{out}{ending}"))
        writer = store.table_writer(name, table, {**self._made_from, "step": table.written_by})
        self._writers[table.name] = stack.enter_context(writer)
        self._paths[table.name] = store.path(name)


def _picture(answer: Answer, slots: Sequence[Slot]) -> ReasonsPicture:
    best = answer.picked.sentences[0]
    frequent = [most_frequent_choice(bag, answer.picker.log_frequency) for bag in answer.spec.bags]
    return ReasonsPicture(
        sentence=answer.as_text(best),
        slots=[
            SlotPicture(
                [
                    (" ".join(answer.words[token] for token in a.phrase), a.probability)
                    for a in slot.alternatives
                ],
                slot.alternatives.index(
                    next(a for a in slot.alternatives if a.phrase == slot.phrase)
                ),
                best.score - slot.best_without.score if slot.best_without else None,
            )
            for slot in slots
        ],
        most_frequent=answer.as_text(
            PickedSentence(tuple(chain.from_iterable(frequent)), 0.0, 0.0)
        ),
    )
