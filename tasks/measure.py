"""Measure: the tables of a run -> metrics.

in    what training, evaluation, picking and clustering wrote
does  divides the sums once, here
out   the run's figures by name; one that has no meaning (no labels, nothing held out) is null
"""

import math

import pyarrow.compute as pc

from data.schemas import (
    BAG_RECOVERY,
    CLUSTER_SCORES,
    METRICS,
    PERPLEXITIES,
    TRAINING_LOG,
    VOCABULARY,
)
from models.cluster_scores import AUTOENCODER_METHOD
from tasks.seams.settings import Settings
from tasks.seams.step_cache import StepRun, step


class MeasureSettings(Settings):
    """Nothing to choose."""


@step(
    reads=(BAG_RECOVERY, CLUSTER_SCORES, PERPLEXITIES, TRAINING_LOG, VOCABULARY),
    writes=(METRICS,),
)
def measure(run: StepRun, settings: MeasureSettings) -> None:
    """Write the run's figures."""
    values: dict[str, float | None] = {}
    perplexities = run.read(PERPLEXITIES)
    for split in ("validation", "test"):
        own = perplexities.filter(pc.equal(perplexities["split"], split))
        nats, tokens, unknown = (
            sum(own[name].to_pylist()) for name in ("nats", "num_tokens", "num_unknown")
        )
        values[f"{split}_perplexity"] = math.exp(nats / tokens) if tokens else None
        if split == "test":
            values["unknown_share"] = unknown / tokens if tokens else None
    values["vocabulary_size"] = float(run.read(VOCABULARY, ["token_id"]).num_rows)
    ways = [row for row in run.read(BAG_RECOVERY).to_pylist() if row["strategy"] == "beam"]
    for unit in ("words", "sentences"):
        last = ways[-1] if ways else None
        values[f"bag_{unit}_recovered"] = (
            last[f"num_{unit}_right"] / last[f"num_{unit}"] if last else None
        )
    for row in run.read(CLUSTER_SCORES).to_pylist():
        if row["method"] == AUTOENCODER_METHOD:
            values |= {f"cluster_{name}": row[name] for name in ("accuracy", "nmi", "ari")}
    speeds = [row["tokens_per_second"] for row in run.read(TRAINING_LOG).to_pylist()]
    clocked = {"training_tokens_per_second": next((x for x in reversed(speeds) if x), None)}
    names = [*values, *clocked]
    run.write(
        METRICS,
        {
            "metric": names,
            "value": [values.get(name) for name in names],
            "clocked": [clocked.get(name) for name in names],
        },
    )
