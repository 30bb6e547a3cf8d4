"""Stateful training: truncated back-propagation through time along contiguous lanes.

input   one run of token ids (books in order, each opened by `_start_`), a model, a recipe
does    cuts it into lanes; window by window, carries the state, cuts the gradient, steps
output  records as it goes; afterwards the model holds the weights of the best validation loss

Werbos, Backpropagation through time, Proc. IEEE 1990; Williams & Peng 1990 for the truncated form.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from models.batching import TokenIds, cut_lanes, windows
from models.language_model import LanguageModel, detach

EVALUATION_WINDOW = 256
EVALUATION_LANES_AT_ONCE = 64

NumberType = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Recipe:
    """How to train. Lengths in tokens, rates per optimiser step."""

    num_lanes: int
    window_length: int
    num_epochs: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    gradient_clip_norm: float
    number_type: NumberType
    log_every_steps: int


@dataclass(frozen=True)
class Loss:
    """A sum of cross-entropy and what it was summed over; divided only when reported."""

    nats: float
    num_tokens: int

    @property
    def nats_per_token(self) -> float:
        """Mean cross-entropy."""
        return self.nats / self.num_tokens if self.num_tokens else math.nan

    @property
    def perplexity(self) -> float:
        """Exp of the mean cross-entropy."""
        return math.exp(self.nats_per_token)


@dataclass(frozen=True)
class Record:
    """One row of the training log."""

    step: int
    num_steps: int
    tokens_seen: int
    elapsed_seconds: float
    split: Literal["train", "validation"]
    loss: Loss
    learning_rate: float
    gradient_norm: float | None
    tokens_per_second: float | None


class TrainingDiverged(ValueError):
    """The loss is no longer a number."""


def train_language_model(
    model: LanguageModel,
    stream: TokenIds,
    validation_lanes: Sequence[TokenIds],
    recipe: Recipe,
) -> Iterator[Record]:
    """Train in place, yielding a record every `log_every_steps` and one a validation.

    Validation comes at the end of each epoch, one lane a book. When the iterator ends, the model
    holds the weights that validated best.

    Raises:
        ValueError: the stream is too short for the recipe's lanes.
        TrainingDiverged: the loss became NaN or infinite; the message names the step.
    """
    lanes = cut_lanes(stream, recipe.num_lanes)
    steps_per_epoch = -(-(len(lanes[0]) - 1) // recipe.window_length)
    num_steps = steps_per_epoch * recipe.num_epochs
    optimiser = _optimiser(model, recipe)
    best_weights, best_loss = _weights(model), math.inf
    step, tokens_seen, started = 0, 0, time.monotonic()
    training_seconds = 0.0
    tally = _Tally()
    for _epoch in range(recipe.num_epochs):
        model.train()
        state = model.initial_state(recipe.num_lanes)
        mark = time.monotonic()
        for window in windows(lanes, recipe.window_length):
            rate = _learning_rate(recipe, step, num_steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            with _number_type(recipe):
                nats_BT, state = model.nats(window, detach(state))
            count = int(window.counted_BT.sum())
            nats = nats_BT.sum()
            summed = float(nats.detach())
            if not math.isfinite(summed):
                raise TrainingDiverged(f"the loss is {summed} at step {step} of {num_steps}")
            optimiser.zero_grad(set_to_none=True)
            (nats / max(1, count)).backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip_norm)
            optimiser.step()
            step += 1
            tokens_seen += count
            tally.add(summed, count, float(norm))
            if step % recipe.log_every_steps == 0 or step % steps_per_epoch == 0:
                training_seconds += time.monotonic() - mark
                mark = time.monotonic()
                yield Record(
                    step,
                    num_steps,
                    tokens_seen,
                    time.monotonic() - started,
                    "train",
                    tally.loss,
                    rate,
                    tally.gradient_norm,
                    tokens_seen / training_seconds,
                )
                tally = _Tally()
        loss = total(evaluate(model, validation_lanes))
        if not math.isfinite(loss.nats):
            raise TrainingDiverged(
                f"the validation loss is {loss.nats} at step {step} of {num_steps}"
            )
        if loss.nats_per_token < best_loss:
            best_weights, best_loss = _weights(model), loss.nats_per_token
        yield Record(
            step,
            num_steps,
            tokens_seen,
            time.monotonic() - started,
            "validation",
            loss,
            rate,
            None,
            None,
        )
    model.load_state_dict(best_weights)
    model.eval()


def has_bf16() -> bool:
    """Whether this processor multiplies bf16 natively; without it, bf16 is slower than fp32."""
    return torch.cpu.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


@torch.inference_mode()
def evaluate(model: LanguageModel, lanes: Sequence[TokenIds]) -> list[Loss]:
    """The loss of each lane over every token in order, in fp32 and from a fresh state."""
    was_training = model.training
    model.eval()
    losses = [Loss(0.0, 0)] * len(lanes)
    # Neighbours of like length pad little.
    by_length = sorted(range(len(lanes)), key=lambda index: len(lanes[index]))
    for first in range(0, len(lanes), EVALUATION_LANES_AT_ONCE):
        some = by_length[first : first + EVALUATION_LANES_AT_ONCE]
        state = model.initial_state(len(some))
        for window in windows([lanes[index] for index in some], EVALUATION_WINDOW):
            nats_BT, state = model.nats(window, state)
            nats_B = nats_BT.sum(dim=1, dtype=torch.float64).tolist()
            count_B = window.counted_BT.sum(dim=1).tolist()
            for index, nats, count in zip(some, nats_B, count_B, strict=True):
                old = losses[index]
                losses[index] = Loss(old.nats + nats, old.num_tokens + count)
    model.train(was_training)
    return losses


def total(losses: Sequence[Loss]) -> Loss:
    """The loss over all lanes together."""
    return Loss(sum(x.nats for x in losses), sum(x.num_tokens for x in losses))


class _Tally:
    """Sums between two records."""

    def __init__(self) -> None:
        self._nats, self._tokens, self._norms, self._steps = 0.0, 0, 0.0, 0

    def add(self, nats: float, count: int, norm: float) -> None:
        self._nats += nats
        self._tokens += count
        self._norms += norm
        self._steps += 1

    @property
    def loss(self) -> Loss:
        return Loss(self._nats, self._tokens)

    @property
    def gradient_norm(self) -> float:
        return self._norms / self._steps


def _optimiser(model: LanguageModel, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019); only matrices decay."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.99), fused=True)


def _learning_rate(recipe: Recipe, step: int, num_steps: int) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov & Hutter 2017, without restarts)."""
    warmup = min(recipe.warmup_steps, num_steps // 10)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, num_steps - warmup)
    return recipe.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))


def _number_type(recipe: Recipe) -> AbstractContextManager[object]:
    if recipe.number_type == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()


def _weights(model: LanguageModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}
