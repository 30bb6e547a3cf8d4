"""Choose the opening: trained weights -> language model, openings.

in    the trained language model, sentences of the validation books
does  hides them in bags and picks them back, once with each token that may open a sentence
out   the finished language model, which opens with the token that recovered more words
"""

from dataclasses import asdict, replace

import numpy as np

from data.schemas import LANGUAGE_MODEL_FILE, OPENINGS, TOKEN_IDS, TRAINED_WEIGHTS_FILE
from models.bag_recovery import Recovery, draw_bag_sets, eligible_sentences, recovery
from models.batching import SPECIAL_TOKENS, book_runs
from models.bundle import Bundle
from tasks.seams.report import progress, say
from tasks.seams.settings import Settings
from tasks.seams.step_cache import StepRun, step

CANDIDATES = ("_start_", "_end_")


class ChooseOpeningSettings(Settings):
    """How the two openings are compared."""

    num_sentences: int = 300
    """Validation sentences to hide in bags."""
    bag_size: int = 10
    """Words in each bag."""
    beam_width: int = 64
    """Hypotheses kept."""
    frequency_discount: float = 1.0
    """The discount of common words."""


@step(
    reads=(TOKEN_IDS,),
    reads_files=(TRAINED_WEIGHTS_FILE,),
    writes=(OPENINGS,),
    libraries=("torch", "numpy"),
    seeded=True,
)
def choose_opening(run: StepRun, settings: ChooseOpeningSettings) -> None:
    """Find the better opening on validation sentences and write the finished language model."""
    bundle = Bundle.from_bytes(run.read_file(TRAINED_WEIGHTS_FILE))
    rng = np.random.default_rng(run.context.seed)
    validation = book_runs(run.token_runs()).get("validation", {})
    true = eligible_sentences(validation.values(), settings.num_sentences, rng)
    results = {name: Recovery(0, 0, 0, 0) for name in CANDIDATES}
    if true:
        bag_size = min(settings.bag_size, len(bundle.vocabulary) - len(SPECIAL_TOKENS))
        bags = draw_bag_sets(
            true, bag_size=bag_size, word_probability_V=bundle.vocabulary.word_frequency(), rng=rng
        )
        with progress("choose opening", len(true) * len(CANDIDATES), "sets") as advance:
            for name in CANDIDATES:
                picked = []
                for sentences in replace(bundle, opening=name).pick(
                    bags,
                    frequency_discount=settings.frequency_discount,
                    beam_width=settings.beam_width,
                ):
                    picked.append(sentences[0].token_ids)
                    advance(1, name)
                results[name] = recovery(true, picked)
    best = max(CANDIDATES, key=lambda name: results[name].num_words_right)
    run.write(
        OPENINGS,
        {
            "opening": CANDIDATES,
            "chosen": [name == best for name in CANDIDATES],
            **{
                field: [asdict(results[name])[field] for name in CANDIDATES]
                for field in asdict(results[best])
            },
        },
    )
    say(f"sentences without a text before them open with {best}")
    chosen = replace(bundle, opening=best)
    run.write_file(LANGUAGE_MODEL_FILE, chosen.to_bytes(), chosen.digest())
