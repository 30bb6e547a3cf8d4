"""Evaluate: language model, token_ids -> perplexities, evaluations.

in    the finished language model, the validation and test books, the training books' tokens
does  reads each held-out book from a fresh state, every token in order, one lane a book, in fp32;
      beside it an n-gram model of the same tokens, their mixture, and what carried state is worth;
      after a warm start, the model that was trained afresh
out   each book's cross-entropy, and that of each way of predicting
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from data.book_schemas import TOKEN_IDS
from data.model_schemas import AFRESH_MODEL_FILE, EVALUATIONS, LANGUAGE_MODEL_FILE, PERPLEXITIES
from data.settings import Settings
from models.adaptive_evaluation import cache_log_probabilities, dynamic_nats
from models.batching import book_runs
from models.bundle import Bundle
from models.evaluation import (
    LONGEST_CONTEXT,
    Loss,
    Nats,
    loss_after_context,
    loss_of_blocks,
    target_nats,
    total,
)
from models.evaluation import evaluate as evaluate_lanes
from models.kneser_ney import MAX_ORDER, KneserNey
from models.language_model import LanguageModel
from models.mixture import best_weight, mix_nats
from models.special_tokens import UNKNOWN, TokenIds
from tasks.seams.report import say
from tasks.seams.step_cache import StepRun, step

SPLITS = ("validation", "test")


class EvaluateSettings(Settings):
    """What the static model is held against."""

    ngram_order: int = Field(5, ge=0, le=MAX_ORDER)
    """Of the Kneser-Ney baseline; 0 leaves it out."""
    ngram_tokens: int = 5_000_000
    """Training tokens that it counts at most, the first ones; they take 200 bytes each."""
    contexts: tuple[Annotated[int, Field(ge=0, le=LONGEST_CONTEXT)], ...] = (0, 16, 64, 256)
    """Numbers of tokens, up to 256, to read before each prediction, to see what state is worth."""
    context_blocks: int = 1000
    """Blocks of 16 tokens that this is tried on."""
    cache: bool = False
    """Also try a continuous cache (Grave, Joulin & Usunier 2017)."""
    cache_size: int = 2000
    """Tokens that it remembers."""
    cache_flatness: tuple[float, ...] = (0.1, 0.2, 0.3, 0.5, 1.0)
    """Values to choose from on validation books."""
    dynamic: bool = False
    """Also try dynamic evaluation (Krause et al. 2018): takes as long as an epoch or two."""
    dynamic_rates: tuple[float, ...] = (0.1, 0.3, 1.0)
    """Learning rates to choose from on validation books."""
    dynamic_decay: float = 0.002
    """Share of the way back to the trained weights after each window."""
    dynamic_window_length: int = 20
    """Tokens between two steps of learning."""


@dataclass(frozen=True)
class Evaluation:
    """A way of predicting: its loss by split, and what was tuned on validation books for it."""

    method: str
    losses: dict[str, Loss]
    tuned: dict[str, float]


@step(
    reads=(TOKEN_IDS,),
    reads_files=(LANGUAGE_MODEL_FILE, AFRESH_MODEL_FILE),
    writes=(PERPLEXITIES, EVALUATIONS),
    libraries=("torch", "numpy"),
    seeded=True,  # sums depend on the number of threads
)
def evaluate(run: StepRun, settings: EvaluateSettings) -> None:
    """Write the cross-entropy of every held-out book, and of every way of predicting them."""
    bundle = Bundle.from_bytes(run.read_file(LANGUAGE_MODEL_FILE))
    model = bundle.model
    rows_held_out = (row for row in run.token_runs() if row[1] != "train")
    runs = book_runs(rows_held_out, sections_open=bundle.sections_open)
    nats = {split: target_nats(model, list(runs.get(split, {}).values())) for split in SPLITS}
    num_characters: Counter[tuple[str, str]] = Counter()
    for row in run.read(TOKEN_IDS, ["book_id", "split", "num_characters"]).to_pylist():
        num_characters[row["book_id"], row["split"]] += row["num_characters"]
    with run.writer(PERPLEXITIES) as writer:
        for split in SPLITS:
            lanes = runs.get(split, {})
            writer.write(
                {
                    "book_id": list(lanes),
                    "split": [split] * len(lanes),
                    "nats": [float(own.sum()) for own in nats[split]],
                    "num_tokens": [len(own) for own in nats[split]],
                    "num_unknown": [int(np.sum(lane == UNKNOWN)) for lane in lanes.values()],
                    "num_characters": [num_characters[book_id, split] for book_id in lanes],
                }
            )
    held_out = {split: list(runs.get(split, {}).values()) for split in SPLITS}
    ngram = _ngram(run, settings, bundle)
    evaluations = list(_evaluations(settings, model, ngram, held_out, nats))
    if run.has_file(AFRESH_MODEL_FILE):
        afresh = Bundle.from_bytes(run.read_file(AFRESH_MODEL_FILE)).model
        losses = {split: total(evaluate_lanes(afresh, held_out[split])) for split in SPLITS}
        evaluations.insert(1, Evaluation("lstm afresh", losses, {}))
    rows = [
        (evaluation, split, loss)
        for evaluation in evaluations
        for split, loss in evaluation.losses.items()
        if loss.num_tokens
    ]
    for evaluation, split, loss in rows:
        if split == SPLITS[-1]:
            say(f"{evaluation.method}: perplexity {loss.perplexity:.1f} on test text")
    run.write(
        EVALUATIONS,
        {
            "method": [evaluation.method for evaluation, _, _ in rows],
            "split": [split for _, split, _ in rows],
            "nats": [loss.nats for _, _, loss in rows],
            "num_tokens": [int(loss.num_tokens) for _, _, loss in rows],
            "tuned": [json.dumps(evaluation.tuned) for evaluation, _, _ in rows],
        },
    )


def _evaluations(
    settings: EvaluateSettings,
    model: LanguageModel,
    ngram: KneserNey | None,
    held_out: dict[str, list[TokenIds]],
    nats_by_book: dict[str, list[Nats]],
) -> Iterator[Evaluation]:
    nats = {split: _joined(own) for split, own in nats_by_book.items()}
    yield Evaluation("lstm", _losses(nats), {})
    if ngram:
        other = {s: _joined([ngram.nats(lane) for lane in held_out[s]]) for s in SPLITS}
        yield Evaluation("n-gram", _losses(other), {"order": ngram.order})
        if len(nats["validation"]):
            weight = best_weight(nats["validation"], other["validation"])
            mixed = {split: mix_nats(nats[split], other[split], weight) for split in SPLITS}
            yield Evaluation("lstm + n-gram", _losses(mixed), {"weight of lstm": weight})
    if settings.cache and len(nats["validation"]):
        yield _with_cache(settings, model, held_out)
    if settings.dynamic and len(nats["validation"]):
        yield _dynamic(settings, model, held_out)
    for length in settings.contexts:
        losses = {
            split: loss_after_context(model, held_out[split], length, settings.context_blocks)
            for split in SPLITS
        }
        yield Evaluation(f"lstm after {length} tokens", losses, {})
    losses = {
        split: loss_of_blocks(model, held_out[split], settings.context_blocks) for split in SPLITS
    }
    yield Evaluation("lstm after all tokens", losses, {})


def _ngram(run: StepRun, settings: EvaluateSettings, bundle: Bundle) -> KneserNey | None:
    if not settings.ngram_order:
        return None
    rows = (row for row in run.token_runs() if row[1] == "train")
    training = book_runs(rows, sections_open=bundle.sections_open).get("train", {})
    counted: list[TokenIds] = []
    left = settings.ngram_tokens
    for lane in training.values():
        counted += [lane[:left]] * (left > 0)
        left -= len(lane)
    return KneserNey.fit(counted, len(bundle.vocabulary), settings.ngram_order)


def _with_cache(
    settings: EvaluateSettings, model: LanguageModel, held_out: dict[str, list[TokenIds]]
) -> Evaluation:
    flatness, size = settings.cache_flatness, settings.cache_size
    pairs = {
        split: [cache_log_probabilities(model, lane, flatness, size) for lane in held_out[split]]
        for split in SPLITS
    }
    static = {split: _joined([pair[0] for pair in own]) for split, own in pairs.items()}
    tried = []
    for index, value in enumerate(flatness):
        cached = {split: _joined([-pair[1][index] for pair in own]) for split, own in pairs.items()}
        weight = best_weight(static["validation"], cached["validation"])
        mixed = {split: mix_nats(static[split], cached[split], weight) for split in SPLITS}
        tuned = {"weight of lstm": weight, "flatness": value}
        tried.append(Evaluation("lstm + cache", _losses(mixed), tuned))
    return _best(tried)


def _dynamic(
    settings: EvaluateSettings, model: LanguageModel, held_out: dict[str, list[TokenIds]]
) -> Evaluation:
    def read(split: str, rate: float) -> Nats:
        return _joined(
            [
                dynamic_nats(
                    model,
                    lane,
                    learning_rate=rate,
                    decay=settings.dynamic_decay,
                    window_length=settings.dynamic_window_length,
                )
                for lane in held_out[split]
            ]
        )

    tried = []
    for rate in settings.dynamic_rates:
        losses = _losses({"validation": read("validation", rate)})
        tried.append(Evaluation("dynamic", losses, {"learning rate": rate}))
    best = _best(tried)
    test = _losses({"test": read("test", best.tuned["learning rate"])})
    return Evaluation(best.method, {**best.losses, **test}, best.tuned)


def _best(tried: Sequence[Evaluation]) -> Evaluation:
    return min(tried, key=lambda evaluation: evaluation.losses["validation"].nats)


def _losses(nats: dict[str, Nats]) -> dict[str, Loss]:
    return {split: Loss(float(own.sum()), len(own)) for split, own in nats.items()}


def _joined(parts: Sequence[Any]) -> Nats:
    return np.concatenate(parts) if parts else np.zeros(0)
