"""Measure: the tables of a run -> metrics.

in    what training, evaluation, picking and clustering wrote
does  divides the sums once, here
out   the run's figures by name; one that has no meaning (no labels, no warm start) is null

Perplexity is per token, be it a word or a character. Bits per character hold models of either kind
side by side: the nats of the held-out text, divided by ln 2 and by its characters, which are those
of its sentences, a stretch of white space being one, and one for each `_end_`. A character model
counts just as many tokens. A word that is `_unknown_` costs the nats of `_unknown_`, not of its
spelling: the lower figure of two is the better one only where the shares of `_unknown_` are alike.
"""

import math
from statistics import median

import pyarrow.compute as pc

from data.bag_schemas import BAG_RECOVERY
from data.book_schemas import VOCABULARY
from data.model_schemas import EVALUATIONS, METRICS, PERPLEXITIES, TRAINING_LOG
from data.settings import Settings
from data.text_schemas import CLUSTER_SCORES, TEXT_CODES
from models.cluster_scores import is_own
from tasks.seams.step_cache import StepRun, step


class MeasureSettings(Settings):
    """Nothing to choose."""


@step(
    reads=(CLUSTER_SCORES, TEXT_CODES),
    may_read=(BAG_RECOVERY, EVALUATIONS, PERPLEXITIES, TRAINING_LOG, VOCABULARY),
    writes=(METRICS,),
)
def measure(run: StepRun, settings: MeasureSettings) -> None:
    """Write the run's figures; those of the language model where the run has one."""
    values = _of_language_model(run) if run.has(PERPLEXITIES) else {}
    values |= _of_clusters(run)
    clocked = _of_clock(run) if run.has(TRAINING_LOG) else {}
    names = [*values, *clocked]
    run.write(
        METRICS,
        {
            "metric": names,
            "value": [values.get(name) for name in names],
            "clocked": [clocked.get(name) for name in names],
        },
    )


def _of_clusters(run: StepRun) -> dict[str, float | None]:
    codes = run.read(TEXT_CODES, ["cluster", "reconstruction_error"])
    own = [row for row in run.read(CLUSTER_SCORES).to_pylist() if is_own(row["method"])]
    names = ("accuracy", "nmi", "ari", "silhouette", "stability")
    return {
        **{f"cluster_{name}": own[0][name] if own else None for name in names},
        "num_clusters": float(len(set(codes["cluster"].to_pylist()))),
        "reconstruction_error": pc.mean(codes["reconstruction_error"]).as_py(),
    }


def _of_clock(run: StepRun) -> dict[str, float | None]:
    log = run.read(TRAINING_LOG)
    return {
        f"training_{name}": _median([x for x in log[name].to_pylist() if x is not None])
        for name in ("tokens_per_second", "share_of_peak")
    }


def _of_language_model(run: StepRun) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    perplexities = run.read(PERPLEXITIES)
    for split in ("validation", "test"):
        own = perplexities.filter(pc.equal(perplexities["split"], split))
        nats, tokens, unknown, characters = (
            sum(own[name].to_pylist())
            for name in ("nats", "num_tokens", "num_unknown", "num_characters")
        )
        values[f"{split}_perplexity"] = math.exp(nats / tokens) if tokens else None
        if split == "test":
            values["unknown_share"] = unknown / tokens if tokens else None
            bits = nats / math.log(2)
            values["test_bits_per_character"] = bits / characters if characters else None
    on_test = {
        row["method"]: row for row in run.read(EVALUATIONS).to_pylist() if row["split"] == "test"
    }
    ways = (("ngram", "n-gram"), ("mixture", "lstm + n-gram"), ("afresh", "lstm afresh"))
    for name, method in ways:
        row = on_test.get(method)
        values[f"{name}_test_perplexity"] = (
            math.exp(row["nats"] / row["num_tokens"]) if row else None
        )
    values["vocabulary_size"] = float(run.read(VOCABULARY, ["token_id"]).num_rows)
    beams = [row for row in run.read(BAG_RECOVERY).to_pylist() if row["strategy"] == "beam"]
    for unit in ("words", "sentences"):
        last = beams[-1] if beams else None
        values[f"bag_{unit}_recovered"] = (
            last[f"num_{unit}_right"] / last[f"num_{unit}"] if last else None
        )
    return values


def _median(values: list[float]) -> float | None:
    return median(values) if values else None
