"""A stacked autoencoder with two bottlenecks: a wide code for clusters, a plane for the map.

    features_BV → encoder → code_BC ─────────────────────────→ decoder → log_shares_BV
                               └→ to_map → map_B2 → from_map ──┘

Both ways through the one decoder are trained together, so that the map shows what the code holds.
The features stay sparse on their way in; only the terms' shares that are to be read back are made
dense, a batch at a time.

Shapes: N texts, B texts of a batch, V terms, C code width, 2 map width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn import functional

from models.denoising import optimiser_of

# Fixed, since the rounding of a matrix product may depend on the number of its rows.
_ENCODE_BATCH_SIZE = 256
# Between the code and the plane, which is too narrow to be reached in one linear step.
_MAP_HIDDEN_WIDTH = 64


@dataclass(frozen=True)
class EpochRecord:
    """One pass over all texts; epoch counts from 1.

    Losses are means over texts of the divergence, in nats, between a text's shares of its terms
    and the shares read back from its code or from its place on the map, noise included.
    """

    epoch: int
    code_loss_nats: float
    map_loss_nats: float


@dataclass(frozen=True)
class Encoding:
    """What the trained model says of each text; all float32.

    codes_NC: of length 1, so that distance tells direction: what a text is about, not how much.
    map_N2: places on the plane, in no unit.
    reconstruction_error_N: divergence in nats, at least 0; how badly a text fits its code.
    """

    codes_NC: npt.NDArray[np.float32]
    map_N2: npt.NDArray[np.float32]
    reconstruction_error_N: npt.NDArray[np.float32]


class StackedAutoencoder(nn.Module):
    """Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks" (2006).

    Args:
        num_terms: V.
        layer_widths: of the encoder's hidden layers, from the features inward; the decoder
            mirrors them.
        code_width: C.
        map_width: 2 for a picture.
        seed: of the first weights; the same seed gives the same bits.

    Raises:
        ValueError: if a width is below 1 or there is no hidden layer.
    """

    def __init__(
        self,
        num_terms: int,
        *,
        layer_widths: Sequence[int] = (256,),
        code_width: int = 10,
        map_width: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not layer_widths or min(num_terms, *layer_widths, code_width, map_width) < 1:
            raise ValueError(
                f"{num_terms} terms, layers {tuple(layer_widths)}, code {code_width} and map "
                f"{map_width}: give at least one layer, and widths of at least 1"
            )
        widths = (num_terms, *layer_widths, code_width)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.terms = _TermLayer(num_terms, widths[1])
            self.encoder = nn.Sequential(nn.ReLU(), *_stack(widths[1:]))
            self.to_map = _stack((code_width, _MAP_HIDDEN_WIDTH, map_width))
            self.from_map = _stack((map_width, _MAP_HIDDEN_WIDTH, code_width))
            self.decoder = _stack(widths[::-1])

    def forward(self, features_BV: csr_matrix) -> tuple[Tensor, Tensor]:
        """Place texts: code_BC, of length 1, and map_B2."""
        code_BC = functional.normalize(self.encoder(self.terms(features_BV)))
        return code_BC, self.to_map(code_BC)

    def read_code(self, code_BC: Tensor) -> Tensor:
        """Read the logarithms of the shares of all terms, log_shares_BV, from codes."""
        return functional.log_softmax(self.decoder(code_BC), dim=1)

    def read_map(self, map_B2: Tensor) -> Tensor:
        """Read log_shares_BV from places on the map."""
        return self.read_code(functional.normalize(self.from_map(map_B2)))


class _TermLayer(nn.Module):
    """A linear layer that reads sparse features: of its weights, only the rows of terms that occur
    are touched.
    """

    def __init__(self, num_terms: int, outer: int) -> None:
        super().__init__()
        drawn = nn.Linear(num_terms, outer)
        self.weight_VO = nn.Parameter(drawn.weight.detach().t().contiguous())
        self.bias_O = nn.Parameter(drawn.bias.detach())

    def forward(self, features_BV: csr_matrix) -> Tensor:
        summed_BO: Tensor = functional.embedding_bag(
            torch.from_numpy(features_BV.indices.astype(np.int64)),
            self.weight_VO,
            torch.from_numpy(features_BV.indptr.astype(np.int64)),
            mode="sum",
            per_sample_weights=torch.from_numpy(features_BV.data.astype(np.float32)),
            include_last_offset=True,
        )
        return summed_BO + self.bias_O


def _stack(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inner, outer in pairwise(widths):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def fit(
    model: StackedAutoencoder,
    features_NV: csr_matrix,
    *,
    epochs: int,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    drop_probability: float = 0.5,
    seed: int = 0,
) -> Iterator[EpochRecord]:
    """Train the model in place, one epoch for each record that is taken.

    The loss is the multinomial likelihood of Liang et al., "Variational autoencoders for
    collaborative filtering" (2018), section 2.2, less its least possible value: the divergence of
    the read shares from the text's own. Squared error spends the code on the few heaviest terms;
    on scenes of plays by genre it had half the mutual information (docs/experiments.md). Terms of
    the input are dropped at random: Vincent et al., "Extracting and composing robust features with
    denoising autoencoders" (2008). The learning rate falls to 0 along a cosine.

    Args:
        model: what to train.
        features_NV: TF-IDF or counts, not negative.
        epochs: passes over all texts.
        batch_size: texts of one step.
        learning_rate: the first one, for AdamW.
        drop_probability: of each term of each text, anew at each step, in [0, 1).
        seed: of order and dropped terms; the same seed and number of threads give the same bits.

    Raises:
        ValueError: at the first record, if features don't fit the model or are negative, or a
            setting is out of range.
    """
    num_texts = _check(model, features_NV)
    random = np.random.default_rng(seed)
    optimiser, schedule = optimiser_of(
        model,
        num_texts=num_texts,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        drop_probability=drop_probability,
    )
    model.train()
    for epoch in range(1, epochs + 1):
        code_sum = map_sum = 0.0
        order_N = random.permutation(num_texts)
        for start in range(0, num_texts, batch_size):
            batch = features_NV[order_N[start : start + batch_size]]
            code_BC, map_B2 = model(_with_terms_dropped(batch, drop_probability, random))
            shares_BV = _shares(_dense(batch))
            code_loss = _divergence(shares_BV, model.read_code(code_BC)).sum()
            map_loss = _divergence(shares_BV, model.read_map(map_B2)).sum()
            optimiser.zero_grad()
            loss = (code_loss + map_loss) / batch.shape[0]
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            code_sum += code_loss.item()
            map_sum += map_loss.item()
        yield EpochRecord(epoch, code_sum / num_texts, map_sum / num_texts)


@torch.inference_mode()
def encode(model: StackedAutoencoder, features_NV: csr_matrix) -> Encoding:
    """Place each text by its code and on the map.

    Raises:
        ValueError: if features don't fit the model or are negative.
    """
    num_texts = _check(model, features_NV)
    model.eval()
    codes, places, errors = [], [], []
    for start in range(0, num_texts, _ENCODE_BATCH_SIZE):
        features_BV = features_NV[start : start + _ENCODE_BATCH_SIZE]
        code_BC, map_B2 = model(features_BV)
        codes.append(code_BC)
        places.append(map_B2)
        errors.append(_divergence(_shares(_dense(features_BV)), model.read_code(code_BC)))
    return Encoding(
        codes_NC=torch.cat(codes).numpy(),
        map_N2=torch.cat(places).numpy(),
        reconstruction_error_N=torch.cat(errors).clamp(min=0).numpy(),  # rounding goes below 0
    )


def _check(model: StackedAutoencoder, features_NV: csr_matrix) -> int:
    """Refuse features that the model can't take; the number of texts."""
    num_texts, num_terms = features_NV.shape
    num_known = len(model.terms.weight_VO)
    if num_terms != num_known:
        raise ValueError(f"the model knows {num_known} terms, not {num_terms}")
    if not num_texts:
        raise ValueError("there are no texts to place")
    if features_NV.nnz and not features_NV.data.min() >= 0:  # also catches not-a-number
        raise ValueError(f"feature {features_NV.data.min()} is no weight; weights are 0 or more")
    return num_texts


def _with_terms_dropped(
    batch_BV: csr_matrix, drop_probability: float, random: np.random.Generator
) -> csr_matrix:
    kept = random.random(batch_BV.nnz, dtype=np.float32) >= drop_probability
    data = batch_BV.data * kept / (1 - drop_probability)
    return csr_matrix((data, batch_BV.indices, batch_BV.indptr), shape=batch_BV.shape)


def _dense(batch_BV: csr_matrix) -> Tensor:
    return torch.from_numpy(batch_BV.toarray().astype(np.float32, copy=False))


def _shares(features_BV: Tensor) -> Tensor:
    return functional.normalize(features_BV, p=1, dim=1)  # a text without terms stays zeros


def _divergence(shares_BV: Tensor, log_shares_BV: Tensor) -> Tensor:
    """Sum shares · (ln shares - log_shares): Kullback and Leibler's divergence_B, in nats."""
    return functional.kl_div(log_shares_BV, shares_BV, reduction="none").sum(dim=1)
