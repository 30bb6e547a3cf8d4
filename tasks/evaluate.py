"""Evaluate: language model, token_ids -> perplexities.

in    the finished language model, the validation and test books
does  reads each from a fresh state, every token in order, one lane a book, in fp32
out   each book's cross-entropy and what it was summed over
"""

import numpy as np

from data.schemas import LANGUAGE_MODEL_FILE, PERPLEXITIES, TOKEN_IDS
from models.batching import UNKNOWN, book_runs
from models.bundle import Bundle
from models.evaluation import evaluate as evaluate_lanes
from tasks.seams.settings import Settings
from tasks.seams.step_cache import StepRun, step


class EvaluateSettings(Settings):
    """Nothing to choose."""


@step(
    reads=(TOKEN_IDS,),
    reads_files=(LANGUAGE_MODEL_FILE,),
    writes=(PERPLEXITIES,),
    libraries=("torch",),
    seeded=True,  # sums depend on the number of threads
)
def evaluate(run: StepRun, settings: EvaluateSettings) -> None:
    """Write the cross-entropy of every held-out book."""
    bundle = Bundle.from_bytes(run.read_file(LANGUAGE_MODEL_FILE))
    runs = book_runs(run.token_runs())
    with run.writer(PERPLEXITIES) as writer:
        for split in ("validation", "test"):
            lanes = runs.get(split, {})
            losses = evaluate_lanes(bundle.model, list(lanes.values()))
            writer.write(
                {
                    "book_id": list(lanes),
                    "split": [split] * len(lanes),
                    "nats": [loss.nats for loss in losses],
                    "num_tokens": [loss.num_tokens for loss in losses],
                    "num_unknown": [int(np.sum(lane == UNKNOWN)) for lane in lanes.values()],
                }
            )
