"""How to train: the recipe, and the optimiser and learning rate that follow from it."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from models.language_model import Dropout, LanguageModel

NumberType = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Recipe:
    """How to train. Lengths in tokens, rates per optimiser step.

    num_epochs, num_steps: passes over the text, unless the number of steps is given.
    separate_sentences: train on sentences, each from a fresh state, instead of on lanes with
        carried state; `num_lanes` of them make a batch, and `equal_sentences` weighs each alike.
    resets: whether state begins afresh where a book opens, or is carried into it.
    state_drop_probability: of a lane to begin a window from the initial state.
    window_spread: windows of varying length, as `batching.window_lengths` says; the rate is scaled
        with the length.
    moving_lanes: cut the lanes at another offset in each epoch.
    activation_penalty, change_penalty: of the squared output of the LSTM, and of the squared
        difference from column to column (Merity, McCann & Socher 2017, arXiv:1708.01009).
    average_decay: above 0, evaluate and keep an exponential moving average of the weights with
        this decay a step (Polyak & Juditsky 1992, in the form of Izmailov et al. 2018).
    patience: stop after so many validations without a better one.
    """

    num_lanes: int
    window_length: int
    num_epochs: float = 1.0
    num_steps: int | None = None
    learning_rate: float = 1e-2
    warmup_steps: int = 50
    weight_decay: float = 0.01
    gradient_clip_norm: float = 1.0
    dropout: Dropout = Dropout()  # noqa: RUF009 (frozen)
    number_type: NumberType = "fp32"
    separate_sentences: bool = False
    equal_sentences: bool = False
    resets: bool = True
    state_drop_probability: float = 0.0
    window_spread: float = 0.0
    moving_lanes: bool = False
    activation_penalty: float = 0.0
    change_penalty: float = 0.0
    average_decay: float = 0.0
    patience: int | None = None
    validate_every_steps: int | None = None
    log_every_steps: int = 50

    def as_json(self) -> dict[str, Any]:
        """Plain values, for comparing recipes."""
        return asdict(self)


def make_optimiser(model: LanguageModel, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019); only matrices decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.99), fused=True)


def learning_rate(recipe: Recipe, step: int, num_steps: int, window_length: int) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov & Hutter 2017, without restarts)."""
    rate = recipe.learning_rate * (window_length / recipe.window_length)
    if not recipe.window_spread:
        rate = recipe.learning_rate  # the last window of an epoch is just a short one
    warmup = min(recipe.warmup_steps, num_steps // 10)
    if step < warmup:
        return rate * (step + 1) / warmup
    done = (step - warmup) / max(1, num_steps - warmup)
    return rate * 0.5 * (1.0 + math.cos(math.pi * done))
