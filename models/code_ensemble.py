"""Several small denoising autoencoders side by side, whose codes together are a text's code.

    points_BD -> encoders -> codes_EBC -> decoders -> points_EBD       E members, each by itself
                                |
                                +-> to_map -> map_B2 -> from_map -> codes      one map of them all

Each learns to tell, from a text with some dimensions left out, where the text and its neighbours
stand (Vincent et al. 2008, with the neighbours' mean for the text). A single one comes out
differently with every seed; together they are steadier and fit labels better
(docs/experiments.md). Members may be variational: then a code is the mean of where the text may
stand, and the decoder reads draws from around it.

Shapes: N texts, B texts of a batch, D dimensions, E members, H hidden, C a member's code width,
I and O what goes in and out of a layer.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

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
    """One pass over all texts; epoch counts from 1 in each stage.

    code_loss: mean squared error of the members a dimension; 1 is that of who knows nothing.
        While layers are pretrained, that of reading a layer's input from its output.
    map_loss: mean squared distance of the codes, of length 1, from those read from the map;
        not a number while layers are pretrained, which the map has no part in.
    stage: layers one by one, the whole model, or codes moved to the clusters' centres.
    """

    epoch: int
    code_loss: float
    map_loss: float
    stage: Literal["pretrain", "train", "refine"] = "train"


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
    """E autoencoders whose decoders mirror their encoders, and a map of their codes.

    Args:
        num_dimensions: D.
        num_members: E.
        hidden_widths: H of the encoder's hidden layers, from the points inward; there may be none.
        code_width: C.
        is_variational: whether a code has a spread, which is learned.
        seed: of the first weights; the same seed gives the same bits.

    Raises:
        ValueError: a width is below 1.
    """

    def __init__(
        self,
        num_dimensions: int,
        *,
        num_members: int,
        hidden_widths: Sequence[int],
        code_width: int,
        is_variational: bool = False,
        seed: int,
    ) -> None:
        super().__init__()
        self.num_members = num_members
        self.is_variational = is_variational
        if min(num_dimensions, num_members, *hidden_widths, code_width) < 1:
            raise ValueError(
                f"{num_dimensions} dimensions, {num_members} members, hidden "
                f"{tuple(hidden_widths)}, code {code_width}: each must be at least 1"
            )
        together = num_members * code_width
        widths = (num_dimensions, *hidden_widths, code_width)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = _layers(num_members, widths)
            self.decoder = _layers(num_members, widths[::-1])
            self.to_map = _stack(together, _MAP_HIDDEN_WIDTH, 2)
            self.from_map = _stack(2, _MAP_HIDDEN_WIDTH, together)
            # Drawn last: all else is as without it.
            self.to_log_variance = _layers(num_members, widths[-2:] if is_variational else ())

    def hidden(self, points_EBD: Tensor, num_layers: int) -> Tensor:
        """What comes out of the encoder's first layers, none of which is the last; hidden_EBH."""
        hidden_EBH = points_EBD
        for layer in self.encoder[:num_layers]:
            hidden_EBH = torch.relu(layer(hidden_EBH))
        return hidden_EBH

    def encode(self, points_EBD: Tensor) -> Tensor:
        """Codes_EBC, each member's of length 1."""
        return self._codes(self.hidden(points_EBD, len(self.encoder) - 1))

    def encode_with_spread(self, points_EBD: Tensor) -> tuple[Tensor, Tensor]:
        """Codes_EBC, and log_variance_EBC around them in a variational model.

        A variance of 1 is that of the prior, which is 1/C a number, so that its draws are about as
        long as a code.
        """
        hidden_EBH = self.hidden(points_EBD, len(self.encoder) - 1)
        [layer] = self.to_log_variance
        return self._codes(hidden_EBH), layer(hidden_EBH)

    def _codes(self, hidden_EBH: Tensor) -> Tensor:
        return functional.normalize(self.encoder[-1](hidden_EBH), dim=2)

    def decode(self, codes_EBC: Tensor) -> Tensor:
        """Where each member thinks that the texts stand, points_EBD."""
        decoded = codes_EBC
        for layer in self.decoder[:-1]:
            decoded = torch.relu(layer(decoded))
        points_EBD: Tensor = self.decoder[-1](decoded)
        return points_EBD

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


def _layers(num_members: int, widths: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList([_Layers(num_members, inner, outer) for inner, outer in pairwise(widths)])


def _stack(inner: int, hidden: int, outer: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inner, hidden), nn.ReLU(), nn.Linear(hidden, outer))


def side_by_side(codes_EBC: Tensor) -> Tensor:
    """All members' codes of a text as one of length 1."""
    return codes_EBC.transpose(0, 1).flatten(1) / math.sqrt(len(codes_EBC))


def divergence_from_prior(codes_EBC: Tensor, log_variance_EBC: Tensor) -> Tensor:
    """How much more than the prior is said of where codes stand, divergence_B in nats, over
    members: Kingma and Welling, "Auto-encoding variational Bayes" (2014), appendix B, with
    variances in units of the prior's 1/C.

    As codes have length 1, their part in it is C/2 a member, whatever they are; what is learned is
    the price of a small spread.
    """
    squares_EBC = codes_EBC.shape[2] * codes_EBC.square()
    twice_EBC = squares_EBC + log_variance_EBC.exp() - 1 - log_variance_EBC
    return twice_EBC.sum(dim=(0, 2)) / 2


def fit(
    model: CodeEnsemble,
    points_ND: Points,
    targets_ND: Points,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    drop_probability: float,
    divergence_weight: float = 1.0,
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
        divergence_weight: of a variational model's `divergence_from_prior`, beside the squared
            errors of all dimensions: twice the variance of what points can't be told by, so that
            1 is the evidence's bound where that is half of a dimension's.
        seed: of order, dropped dimensions and spread; the same seed and number of threads give the
            same bits.

    Raises:
        ValueError: at the first record, if a setting is out of range.
    """
    if not divergence_weight >= 0:
        raise ValueError(f"divergence_weight {divergence_weight} must be at least 0")
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
            inputs_EBD = inputs_EBD * is_kept / (1 - drop_probability)
            if model.is_variational:
                codes_EBC, log_variance_EBC = model.encode_with_spread(inputs_EBD)
                drawn_EBC = torch.randn(codes_EBC.shape, generator=random)
                deviation_EBC = (log_variance_EBC / 2).exp() / math.sqrt(codes_EBC.shape[2])
                read_EBC = codes_EBC + deviation_EBC * drawn_EBC
            else:
                read_EBC = codes_EBC = model.encode(inputs_EBD)
            from_map_EBC = model.read_map(model.place(codes_EBC.detach()))
            code_loss = (model.decode(read_EBC) - wanted_ND[chosen_B]).square().mean(dim=(0, 2))
            map_loss = (from_map_EBC - codes_EBC.detach()).square().sum(dim=2).mean(dim=0)
            optimiser.zero_grad()
            loss = (num_dimensions * num_members * code_loss + map_loss).mean()
            if model.is_variational:
                divergence_B = divergence_from_prior(codes_EBC, log_variance_EBC)
                loss = loss + divergence_weight * divergence_B.mean()
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
        codes.append(side_by_side(codes_EBC))
        places.append(model.place(codes_EBC))
        errors.append(own_BD - model.decode(codes_EBC).mean(dim=0) / scale)
    return Encoding(*(_numpy(parts) for parts in (codes, places, errors)))


def _numpy(parts: list[Tensor]) -> npt.NDArray[np.float32]:
    return torch.cat(parts).numpy()
