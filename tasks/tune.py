"""Tune: trained weights, token_ids -> language model, openings, discounts, mixtures, caches.

in    the trained language model, sentences of the validation books, the training text
does  hides the sentences in bags and picks them back: with each token that may open a sentence,
      each discount of common words, each share of an n-gram model of the training text; on demand
      reads the validation books with caches
out   the finished language model, which opens, discounts and mixes as recovered most words
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from data.bag_schemas import DISCOUNTS, MIXTURES, OPENINGS
from data.book_schemas import TOKEN_IDS
from data.model_schemas import CACHES, LANGUAGE_MODEL_FILE, TRAINED_WEIGHTS_FILE
from data.settings import Settings
from models.adaptive_evaluation import cache_log_probabilities
from models.bag_recovery import Recovery, draw_bag_sets, eligible_sentences, recovery
from models.batching import book_runs
from models.branching_step import BranchingStep
from models.bundle import Bundle
from models.continuous_cache import CacheSettings
from models.kneser_ney import KneserNey
from models.language_model import LanguageModel
from models.mixture import best_weight, mix_nats
from models.picking import Picker
from models.sentence_space import BagSpec
from models.special_tokens import TokenIds
from tasks.seams.report import Advance, progress, say
from tasks.seams.step_cache import StepRun, step

OPENING_TOKENS = ("_start_", "_end_")
USUAL_DISCOUNT = 1.0


class TuneSettings(Settings):
    """How openings and discounts are compared."""

    num_sentences: int = 300
    """Validation sentences to hide in bags."""
    bag_size: int = 10
    """Words in each bag."""
    beam_width: int = 64
    """Beginnings kept."""
    frequency_discounts: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
    """Discounts of common words to try; openings are compared at 1."""
    ngram_order: int = Field(4, ge=0, le=6)
    """Length of the n-gram model's longest n-grams, in tokens; 0 mixes none."""
    lstm_weights: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = (0.8, 0.65)
    """Weights of the language model in the mixture to try, beside 1."""
    cache_flatness: tuple[Annotated[float, Field(gt=0.0)], ...] = ()
    """Values of a continuous cache over the text before a sentence to try, such as 0.1, 0.2, 0.3:
    it takes some minutes, and counts where sentences go on from a text (`before`)."""
    cache_size: int = Field(2000, ge=1)
    """Tokens that the cache remembers."""


@step(
    reads=(TOKEN_IDS,),
    reads_files=(TRAINED_WEIGHTS_FILE,),
    writes=(OPENINGS, DISCOUNTS, MIXTURES, CACHES),
    libraries=("torch", "numpy"),
    seeded=True,
)
def tune(run: StepRun, settings: TuneSettings) -> None:
    """Find the better opening and the best discount, and write the finished language model."""
    bundle = Bundle.from_bytes(run.read_file(TRAINED_WEIGHTS_FILE))
    rng = np.random.default_rng(run.context.seed)
    runs = book_runs(run.token_runs(), sections_open=bundle.sections_open)
    validation = runs.get("validation", {})
    frequency_V = bundle.vocabulary.word_frequency()
    true = eligible_sentences(validation.values(), settings.num_sentences, rng, frequency_V)
    bag_size = min(settings.bag_size, int(np.count_nonzero(frequency_V)))
    bags = draw_bag_sets(true, bag_size=bag_size, word_probability_V=frequency_V, rng=rng)
    specs = [BagSpec.of_words(bag_set) for bag_set in bags]
    reader = BranchingStep(bundle.model)
    weights = settings.lstm_weights if settings.ngram_order else ()
    ngram = None
    if weights:
        training = list(runs["train"].values())
        # Raw counts recover more words, though Kneser-Ney's cost less perplexity.
        ngram = KneserNey.fit(
            training, len(bundle.vocabulary), settings.ngram_order, raw_counts=True
        )
    num_searches = len(OPENING_TOKENS) + len(weights)
    num_searches += len({*settings.frequency_discounts, USUAL_DISCOUNT}) - 1
    with progress("tune picking", len(true) * num_searches, "sets") as advance:

        def recovered(opening: str, discount: float, weight: float = 1.0) -> Recovery:
            mixed = replace(bundle, opening=opening, ngram=ngram, lstm_weight=weight)
            picker = Picker(mixed, frequency_discount=discount, reader=reader)
            note = f"{opening} {discount:g} {weight:g}"
            return _recovered(picker, true, specs, settings.beam_width, advance, note)

        by_opening = {name: recovered(name, USUAL_DISCOUNT) for name in OPENING_TOKENS}
        opening = max(OPENING_TOKENS, key=lambda name: by_opening[name].num_words_right)
        by_discount = {USUAL_DISCOUNT: by_opening[opening]}
        for discount in settings.frequency_discounts:
            if discount not in by_discount:
                by_discount[discount] = recovered(opening, discount)
        best = max(by_discount, key=lambda discount: by_discount[discount].num_words_right)
        by_weight = {1.0: by_discount[best]}
        by_weight |= {weight: recovered(opening, best, weight) for weight in weights}
    lstm_weight = max(by_weight, key=lambda weight: by_weight[weight].num_words_right)
    run.write(OPENINGS, _columns("opening", by_opening, opening))
    run.write(DISCOUNTS, _columns("frequency_discount", by_discount, best))
    run.write(MIXTURES, _columns("lstm_weight", by_weight, lstm_weight))
    caches = _caches(bundle.model, [*validation.values()], settings)
    cache = min(caches, key=caches.__getitem__, default=None)
    run.write(
        CACHES,
        {
            "flatness": [one.flatness if one else None for one in caches],
            "lstm_weight": [one.model_weight if one else 1.0 for one in caches],
            "chosen": [one == cache for one in caches],
            "loss_nats_per_token": [*caches.values()],
        },
    )
    say(
        f"sentences open with {opening}, discount common words by {best:g}, and are scored by "
        f"{lstm_weight:g} of the language model, the rest of an n-gram model"
    )
    chosen = replace(
        bundle,
        opening=opening,
        frequency_discount=best,
        ngram=ngram if lstm_weight < 1.0 else None,
        lstm_weight=lstm_weight,
        cache=cache,
    )
    run.write_file(LANGUAGE_MODEL_FILE, chosen.to_bytes(), chosen.digest())


def _recovered(
    picker: Picker,
    true: Sequence[Sequence[int]],
    specs: Sequence[BagSpec],
    beam_width: int,
    advance: Advance,
    note: str,
) -> Recovery:
    if not true:
        return Recovery(0, 0, 0, 0)
    picked = []
    for found in picker.beam(specs, beam_width=beam_width):
        picked.append(found.sentences[0].token_ids)
        advance(1, note)
    return recovery(true, picked)


def _caches(
    model: LanguageModel, validation: Sequence[TokenIds], settings: TuneSettings
) -> dict[CacheSettings | None, float]:
    """Each cache with the weight that suits its flatness best, and none: nats per token."""
    flatness, size = settings.cache_flatness, settings.cache_size
    if not flatness or not validation:
        return {}
    pairs = [cache_log_probabilities(model, lane, flatness, size) for lane in validation]
    alone_N = np.concatenate([nats_T for nats_T, _ in pairs])
    caches: dict[CacheSettings | None, float] = {None: float(alone_N.mean())}
    for index, value in enumerate(flatness):
        cached_N = -np.concatenate([log_probs_FT[index] for _, log_probs_FT in pairs])
        weight = best_weight(alone_N, cached_N)
        if 0.0 < weight < 1.0:
            one = CacheSettings(weight, value, size)
            caches[one] = float(mix_nats(alone_N, cached_N, weight).mean())
    return caches


def _columns(
    name: str, results: Mapping[Any, Recovery], chosen: str | float
) -> dict[str, list[object]]:
    fields = asdict(results[chosen])
    return {
        name: [*results],
        "chosen": [key == chosen for key in results],
        **{field: [asdict(result)[field] for result in results.values()] for field in fields},
    }
