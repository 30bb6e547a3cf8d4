"""What the trainings of all autoencoders share: settings within range, and an optimiser."""

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler


def optimiser_of(
    model: nn.Module,
    *,
    num_texts: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    drop_probability: float,
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """AdamW, and a schedule on which its learning rate falls to 0 along a cosine.

    Raises:
        ValueError: a setting is out of range.
    """
    if min(epochs, batch_size) < 1 or learning_rate <= 0 or not 0 <= drop_probability < 1:
        raise ValueError(
            f"epochs {epochs} and batch_size {batch_size} must be at least 1, learning_rate "
            f"{learning_rate} above 0, drop_probability {drop_probability} in [0, 1)"
        )
    # fused: one pass over the weights in place of a dozen; on 2 cores, a step takes half as long.
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0, fused=True)
    num_steps = epochs * math.ceil(num_texts / batch_size)
    return optimiser, torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=num_steps)
