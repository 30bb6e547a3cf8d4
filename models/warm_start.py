"""Warm start: a trained model whose vocabulary has grown, to go on training from.

Old types keep their ids and their vectors. New ones come after them, frequent or not, and so stand
in the last block of the adaptive softmax, the only one that grows. Each begins as the average of
that block: it is read and scored as a rare word is, with a bias for how frequent it is now.

Shapes: V token types, of which the first v are old; W types of the last block.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from models.language_model import LanguageModel
from models.special_tokens import UNKNOWN

NOISE = 0.1  # of an average row's size: new types must be able to part


def extended(
    model: LanguageModel, old_counts: Sequence[int], counts: Sequence[int]
) -> LanguageModel:
    """A copy of the model for a vocabulary that begins with its own.

    Before it has trained, types before the last block are as probable as they were, and those in it
    relative to one another: the new ones take their share from it. Noise comes from torch's global
    random state.

    Args:
        model: the model of v types.
        old_counts: how often each of the v types stood in the text that it was trained on.
        counts: how often each of the V types stands in the text to train on now.

    Raises:
        ValueError: there are fewer types than the model has.
    """
    old = model.architecture
    num_new = len(counts) - old.num_types
    if num_new < 0:
        raise ValueError(f"{len(counts)} types are fewer than the model's {old.num_types}")
    if num_new == 0:
        return copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):  # random weights that are about to be replaced
        larger = LanguageModel(replace(old, num_types=len(counts))).to(model.device)
    block_start = old.cutoffs[-1] if old.cutoffs else UNKNOWN + 1
    old_share_v, share_V = _log_shares(old_counts), _log_shares(counts)
    extra = share_V[old.num_types :] - old_share_v[block_start:].mean()
    before = model.state_dict()
    grown = {}
    for name, value in larger.state_dict().items():
        rows = before[name]
        if value.shape != rows.shape:
            block = rows[block_start:] if len(rows) == old.num_types else rows
            new = block.mean(dim=0).expand(num_new, *rows.shape[1:])
            if rows.ndim == 1:
                new = new + extra.to(new)
            else:
                new = new + NOISE * block.square().mean().sqrt() * torch.randn(new.shape).to(new)
            rows = torch.cat([rows, new])
        grown[name] = rows
    larger.load_state_dict(grown)
    return larger


def _log_shares(counts: Sequence[int]) -> Tensor:
    counts_V = torch.tensor(counts, dtype=torch.float32) + 0.5
    return (counts_V / counts_V.sum()).log()
