"""Several small denoising autoencoders side by side, whose codes together are a text's code.

    points_BD -> encoders -> codes_EBC -> decoders -> points_EBD       E members, each by itself
                                |
                                +-> to_map -> map_B2 -> from_map -> codes      one map of them all

Each learns to tell, from a text with some dimensions left out, where the text and its neighbours
stand (Vincent et al. 2008, with the neighbours' mean for the text). A single one comes out
differently with every seed; together they are steadier and fit labels better
(docs/experiments.md).

Shapes: N texts, B texts of a batch, D dimensions, E members, H hidden, C a member's code width.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.denoising import optimiser_of
from models.text_space import Points

# Fixed, since the rounding of a matrix product may depend on the number of its rows.
_ENCODE_BATCH_SIZE = 256
_MAP_HIDDEN_WIDTH = 64


@dataclass(frozen=True)
class EpochRecord:
    """One pass over all texts; epoch counts from 1.

    code_loss: mean squared error of the members a dimension; 1 is that of who knows nothing.
    map_loss: mean squared distance of the codes, of length 1, from those read from the map.
    """

    epoch: int
    code_loss: float
    map_loss: float


@dataclass(frozen=True)
class Encoding:
    """What the trained members say of each text; all float32.

    codes_NC: all members' codes, together of length 1.
    map_N2: places on the plane, in no unit.
    errors_ND: what the members' mean gets wrong in each dimension of the text's own place.
    """

    codes_NC: Points
    map_N2: Points
    errors_ND: Points


class CodeEnsemble(nn.Module):
    """E autoencoders of one hidden layer on either side, and a map of their codes.

    Args:
        num_dimensions: D.
        num_members: E.
        hidden_width: H.
        code_width: C.
        seed: of the first weights; the same seed gives the same bits.

    Raises:
        ValueError: a width is below 1.
    """

    def __init__(
        self,
        num_dimensions: int,
        *,
        num_members: int,
        hidden_width: int,
        code_width: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.num_members = num_members
        if min(num_dimensions, num_members, hidden_width, code_width) < 1:
            raise ValueError(
                f"{num_dimensions} dimensions, {num_members} members, hidden {hidden_width}, code "
                f"{code_width}: each must be at least 1"
            )
        together = num_members * code_width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = nn.ModuleList(
                [
                    _Layers(num_members, num_dimensions, hidden_width),
                    _Layers(num_members, hidden_width, code_width),
                ]
            )
            self.decoder = nn.ModuleList(
                [
                    _Layers(num_members, code_width, hidden_width),
                    _Layers(num_members, hidden_width, num_dimensions),
                ]
            )
            self.to_map = _stack(together, _MAP_HIDDEN_WIDTH, 2)
            self.from_map = _stack(2, _MAP_HIDDEN_WIDTH, together)

    def encode(self, points_EBD: Tensor) -> Tensor:
        """Codes_EBC, each member's of length 1."""
        first, second = self.encoder
        return functional.normalize(second(torch.relu(first(points_EBD))), dim=2)

    def decode(self, codes_EBC: Tensor) -> Tensor:
        """Where each member thinks that the texts stand, points_EBD."""
        first, second = self.decoder
        decoded: Tensor = second(torch.relu(first(codes_EBC)))
        return decoded

    def place(self, codes_EBC: Tensor) -> Tensor:
        """Places on the map, map_B2."""
        placed: Tensor = self.to_map(codes_EBC.transpose(0, 1).flatten(1))
        return placed

    def read_map(self, map_B2: Tensor) -> Tensor:
        """Codes_EBC read back from the map."""
        codes_BEC = self.from_map(map_B2).unflatten(1, (self.num_members, -1))
        return functional.normalize(codes_BEC.transpose(0, 1), dim=2)


class _Layers(nn.Module):
    """One linear layer a member."""

    def __init__(self, num_members: int, inner: int, outer: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inner)
        self.weight_EIO = nn.Parameter(torch.empty(num_members, inner, outer))
        self.bias_E1O = nn.Parameter(torch.empty(num_members, 1, outer))
        for parameter in (self.weight_EIO, self.bias_E1O):
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, inputs_EBI: Tensor) -> Tensor:
        return torch.baddbmm(self.bias_E1O, inputs_EBI, self.weight_EIO)


def _stack(inner: int, hidden: int, outer: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inner, hidden), nn.ReLU(), nn.Linear(hidden, outer))


def fit(
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
    """Train the members in place, one epoch for each record that is taken.

    The learning rate of AdamW falls to 0 along a cosine. The map learns from the codes, which do
    not bend to it: it shows what the code holds.

    Args:
        model: what to train.
        points_ND: the texts' places, of length 1.
        targets_ND: what is to be told of each, of length 1.
        epochs: passes over all texts.
        batch_size: texts of one step.
        learning_rate: the first one.
        drop_probability: of each dimension of each text, anew at each step, in [0, 1).
        seed: of order and dropped dimensions; the same seed and number of threads give the same
            bits.

    Raises:
        ValueError: at the first record, if a setting is out of range.
    """
    num_texts, num_dimensions = points_ND.shape
    num_members = model.num_members
    random = torch.Generator().manual_seed(seed)
    scale = math.sqrt(num_dimensions)  # so that a dimension's mean square is 1
    inputs_ND, wanted_ND = (torch.from_numpy(x) * scale for x in (points_ND, targets_ND))
    optimiser, schedule = optimiser_of(
        model,
        num_texts=num_texts,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        drop_probability=drop_probability,
    )
    for epoch in range(1, epochs + 1):
        code_sum = map_sum = 0.0
        order_N = torch.randperm(num_texts, generator=random)
        for start in range(0, num_texts, batch_size):
            chosen_B = order_N[start : start + batch_size]
            inputs_EBD = inputs_ND[chosen_B].expand(num_members, -1, -1)
            is_kept = torch.rand(inputs_EBD.shape, generator=random) >= drop_probability
            codes_EBC = model.encode(inputs_EBD * is_kept / (1 - drop_probability))
            from_map_EBC = model.read_map(model.place(codes_EBC.detach()))
            code_loss = (model.decode(codes_EBC) - wanted_ND[chosen_B]).square().mean(dim=(0, 2))
            map_loss = (from_map_EBC - codes_EBC.detach()).square().sum(dim=2).mean(dim=0)
            optimiser.zero_grad()
            loss = (num_dimensions * num_members * code_loss + map_loss).mean()
            loss.backward()
            optimiser.step()
            schedule.step()
            code_sum += code_loss.sum().item()
            map_sum += map_loss.sum().item()
        yield EpochRecord(epoch, code_sum / num_texts, map_sum / num_texts)


@torch.inference_mode()
def encode(model: CodeEnsemble, points_ND: Points) -> Encoding:
    """The texts' codes, their places on the map, and where their codes mislead."""
    num_members = model.num_members
    scale = math.sqrt(points_ND.shape[1])
    codes, places, errors = [], [], []
    for start in range(0, len(points_ND), _ENCODE_BATCH_SIZE):
        own_BD = torch.from_numpy(points_ND[start : start + _ENCODE_BATCH_SIZE])
        codes_EBC = model.encode((scale * own_BD).expand(num_members, -1, -1))
        codes.append(codes_EBC.transpose(0, 1).flatten(1) / math.sqrt(num_members))
        places.append(model.place(codes_EBC))
        errors.append(own_BD - model.decode(codes_EBC).mean(dim=0) / scale)
    return Encoding(*(_numpy(parts) for parts in (codes, places, errors)))


def _numpy(parts: list[Tensor]) -> npt.NDArray[np.float32]:
    return torch.cat(parts).numpy()
