"""Pick: language model, a file of bag sets -> bag_sentences, bag_refusals.

in    bag sets, as a person wrote them; a language model
does  finds the best sentences that take one word from each bag, in order
out   for each bag set its best sentences, ranked; the sets that could not be answered, and why
"""

from collections.abc import Mapping
from typing import Any, Literal

from data.bag_schemas import BAG_REFUSALS, BAG_SENTENCES
from data.bag_sets import RefusedSet
from data.model_schemas import LANGUAGE_MODEL_FILE
from models.bundle import Bundle
from tasks.seams.bag_answers import PickSettings, answers, refusal_row, sentence_rows
from tasks.seams.bag_files import bags_digest, read_bags
from tasks.seams.report import say
from tasks.seams.step_cache import StepRun, step


class RunPickSettings(PickSettings):
    """How a run picks: by the language model that it has just trained, and no other."""

    unknown: Literal["error", "drop", "share"] = "drop"
    """A word that the model does not know is left out of its bag (drop), is scored as one of the
    words that `_unknown_` stands for (share), or is an error, which costs the set."""


def bags_outside(settings: RunPickSettings, _: Any) -> Mapping[str, str]:
    """What the file of bag sets holds now: it counts in the step's key."""
    return {"bags": bags_digest(settings.bags)}


@step(
    reads_files=(LANGUAGE_MODEL_FILE,),
    writes=(BAG_SENTENCES, BAG_REFUSALS),
    libraries=("torch", "nltk", "numpy"),
    seeded=True,  # sums depend on the number of threads
    outside=bags_outside,
)
def pick(run: StepRun, settings: RunPickSettings) -> None:
    """Write the best sentences of every bag set of the file."""
    bundle = Bundle.from_bytes(run.read_file(LANGUAGE_MODEL_FILE))
    rows, refusals = [], []
    for answer in answers(bundle, list(read_bags(settings.bags)), settings, "this run"):
        if isinstance(answer, RefusedSet):
            say(f"bag set {answer.bag_set_id} is left out: {answer.mistake.message}")
            refusals.append(refusal_row(answer))
        else:
            rows += sentence_rows(answer, settings.strategy)
    for table, found in ((BAG_SENTENCES, rows), (BAG_REFUSALS, refusals)):
        run.write(table, {name: [row[name] for row in found] for name in table.schema.names})
