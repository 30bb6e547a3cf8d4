"""Layers of autoencoders taught one by one, from the points inward, before all are taught together.

    points -> layer 1 -> hidden -> layer 1' -> points          then, layer 1 held fast,
              points -> layer 1 -> hidden -> layer 2 -> ... -> layer 2' -> hidden

Deep models that begin at random learn slowly in their inner layers; each layer here begins as a
shallow autoencoder: Vincent et al., "Stacked denoising autoencoders" (2010), section 3.

Shapes: N texts, B texts of a batch, D dimensions, E members, I and O what goes in and out of a
layer.
"""

import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional

from models.code_ensemble import CodeEnsemble, EpochRecord
from models.denoising import optimiser_of
from models.text_space import Points


def epochs_of_a_layer(epochs: int, num_layers: int) -> int:
    """Passes for each layer: all layers together take about as many as the whole model will."""
    return max(1, epochs // num_layers)


def pretrain(
    model: CodeEnsemble,
    points_ND: Points,
    targets_ND: Points,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    drop_probability: float,
    seed: int,
) -> Iterator[EpochRecord]:
    """Train encoder and decoder in place, layer by layer, one epoch for each record that is taken.

    Every layer is to tell its whole input from one with some numbers left out; the outermost one,
    the targets. Arguments and errors are those of `code_ensemble.fit`; epochs are each layer's.
    """
    num_texts, num_dimensions = points_ND.shape
    random = torch.Generator().manual_seed(seed)
    scale = math.sqrt(num_dimensions)
    points, targets = (torch.from_numpy(x) * scale for x in (points_ND, targets_ND))
    innermost = len(model.encoder) - 1
    for depth, (inward, outward) in enumerate(
        zip(model.encoder, reversed(model.decoder), strict=True)
    ):
        optimiser, schedule = optimiser_of(
            nn.ModuleList([inward, outward]),
            num_texts=num_texts,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            drop_probability=drop_probability,
        )
        for epoch in range(1, epochs + 1):
            loss_sum = 0.0
            order_N = torch.randperm(num_texts, generator=random)
            for start in range(0, num_texts, batch_size):
                chosen_B = order_N[start : start + batch_size]
                with torch.no_grad():
                    points_EBD = points[chosen_B].expand(model.num_members, -1, -1)
                    whole_EBI = model.hidden(points_EBD, depth)
                is_kept = torch.rand(whole_EBI.shape, generator=random) >= drop_probability
                out_EBO = inward(whole_EBI * is_kept / (1 - drop_probability))
                if depth == innermost:
                    read_EBI = outward(functional.normalize(out_EBO, dim=2))
                else:
                    read_EBI = outward(torch.relu(out_EBO))
                wanted_EBI = whole_EBI if depth else targets[chosen_B].expand_as(whole_EBI)
                read_EBI = torch.relu(read_EBI) if depth else read_EBI  # as the decoder will
                error_EBI = (read_EBI - wanted_EBI).square()
                optimiser.zero_grad()
                error_EBI.sum(dim=(0, 2)).mean().backward()
                optimiser.step()
                schedule.step()
                loss_sum += error_EBI.mean().item() * len(chosen_B)
            yield EpochRecord(epoch, loss_sum / num_texts, math.nan, "pretrain")
