"""Recover: language model, token_ids -> bag_recovery, recovery_examples.

in    the finished language model, sentences of the test books
does  hides each sentence's words in bags among words drawn by frequency, and picks them back
out   the share that comes back, for each way of picking; some sentences with their bags
"""

import time
from dataclasses import asdict
from typing import Any

import numpy as np

from data.bag_schemas import BAG_RECOVERY, RECOVERY_EXAMPLES
from data.book_schemas import TOKEN_IDS
from data.model_schemas import LANGUAGE_MODEL_FILE
from data.settings import Settings
from models.bag_recovery import draw_bag_sets, eligible_sentences, recovery
from models.batching import book_runs
from models.branching_step import BranchingStep
from models.bundle import Bundle
from models.picking import Picker
from models.sentence_space import BagSpec
from tasks.seams.report import progress, say
from tasks.seams.step_cache import StepRun, step


class RecoverSettings(Settings):
    """Which sentences are hidden, and how they are looked for."""

    num_sentences: int = 300
    """Held-out sentences of 5 to 12 words to hide in bags."""
    bag_size: int = 10
    """Words in each bag."""
    beam_width: int = 64
    """Hypotheses kept by beam search."""
    frequency_discounts: tuple[float, ...] = (0.0, 1.0)
    """Discounts of common words to try, beside the one that the model was tuned to; that one gives
    the run's figures."""
    num_examples: int = 20
    """Sentences kept with their bags."""


@step(
    reads=(TOKEN_IDS,),
    reads_files=(LANGUAGE_MODEL_FILE,),
    writes=(BAG_RECOVERY, RECOVERY_EXAMPLES),
    libraries=("torch", "numpy"),
    seeded=True,
)
def recover(run: StepRun, settings: RecoverSettings) -> None:
    """Measure how many hidden words come back, greedily and by beam, for each discount."""
    bundle = Bundle.from_bytes(run.read_file(LANGUAGE_MODEL_FILE))
    vocabulary = bundle.vocabulary
    rng = np.random.default_rng(run.context.seed)
    test = book_runs(run.token_runs()).get("test", {})
    frequency_V = vocabulary.word_frequency()
    true = eligible_sentences(test.values(), settings.num_sentences, rng, frequency_V)
    bag_size = min(settings.bag_size, int(np.count_nonzero(frequency_V)))
    bags = draw_bag_sets(true, bag_size=bag_size, word_probability_V=frequency_V, rng=rng)
    specs = [BagSpec.of_words(bag_set) for bag_set in bags]
    tuned, reader = bundle.frequency_discount, BranchingStep(bundle.model)
    discounts = [d for d in settings.frequency_discounts if d != tuned]
    ways = [
        (strategy, width, discount)
        for discount in (*discounts, tuned)
        for strategy, width in (("greedy", 1), ("beam", settings.beam_width))
    ]
    rows: list[dict[str, Any]] = []
    picked: list[tuple[int, ...]] = []
    if not true:
        say("no held-out sentence of 5 to 12 known words: nothing to recover")
        ways = []
    with progress("recover hidden sentences", len(true) * len(ways), "sets") as advance:
        for strategy, width, discount in ways:
            started = time.monotonic()
            picked = []
            picker = Picker(bundle, frequency_discount=discount, reader=reader)
            for found in picker.beam(specs, beam_width=width):
                picked.append(found.sentences[0].token_ids)
                advance(1, f"{strategy} {discount:g}")
            rows.append(
                {
                    "strategy": strategy,
                    "beam_width": width,
                    "frequency_discount": discount,
                    "bag_size": bag_size,
                    **asdict(recovery(true, picked)),
                    "sets_per_second": len(true) / (time.monotonic() - started),
                }
            )
    run.write(
        BAG_RECOVERY,
        {name: [row[name] for row in rows] for name in BAG_RECOVERY.schema.names},
    )
    shown = range(min(settings.num_examples, len(picked)))

    def words(token_ids: Any) -> list[str]:
        return [vocabulary.tokens[token_id] for token_id in token_ids]

    run.write(
        RECOVERY_EXAMPLES,
        {
            "bag_set_id": [str(index) for index in shown],
            "true_tokens": [words(true[index]) for index in shown],
            "picked_tokens": [words(picked[index]) for index in shown],
            "bags": [[words(bag) for bag in bags[index]] for index in shown],
        },
    )
