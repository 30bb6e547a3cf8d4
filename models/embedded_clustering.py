"""Deep embedded clustering: codes that go on learning until they stand about the clusters' centres.

    codes -> in company -> soft assignments q -> sharper ones p      once an epoch
                codes of a batch -> q, which is to become p          step by step

DEC: Xie, Girshick and Farhadi, "Unsupervised deep embedding for clustering analysis" (2016). IDEC,
which goes on reading the points from the codes: Guo, Gao, Liu and Yin, "Improved deep embedded
clustering with local structure preservation" (2017). Both pull towards what they believe already,
so that codes may all run together. A guard measures them after each epoch, and a run that collapses
goes back to its last sound state.

Shapes: N texts, B texts of a batch, D dimensions, E members, C width of all members' codes
together, K clusters.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn import functional

from models.clusterers import Grouping, by_size
from models.code_ensemble import CodeEnsemble, EpochRecord, side_by_side
from models.denoising import optimiser_of
from models.text_space import Points, in_company
from models.threads import one_thread

CLUSTERING_WEIGHT = 0.1
"""Of the clusters beside the reading of points: Guo et al., section 4.2."""
RATE_SHARE = 0.1
"""Of the learning rate by which codes were learned: they are to move, not to be learned anew."""
SETTLED_SHARE = 0.001
"""Fewer texts than this share change their cluster in an epoch: all is done. Xie et al., 4.3."""
FEWEST_STEPS = 100
"""Before that counts: where texts are few, an epoch is a step or two, in which none may change."""

# What a sound state has at least, of what the start had.
LEAST_OF_SMALLEST = 0.25
"""A cluster that lost three of four texts was given up, not refined; an empty one always was."""
LEAST_OF_BALANCE = 0.8
"""Half the clusters gone leave ln(K/2) of ln K, which is at most 0.8 up to K = 32."""
LEAST_OF_RANK = 0.5
"""Of the rank, beyond 1, of codes that all stand on their centres, which is where they shall go.
Codes of one place have rank 1, so less than half means that centres, too, ran together."""

_BATCH_SIZE = 256  # fixed, since the rounding of a matrix product may depend on its rows
_NO_WIDTH = 1e-12


@dataclass(frozen=True)
class Soundness:
    """How far codes and clusters are from collapse.

    smallest_share: texts in the smallest cluster, of all.
    balance: entropy of the mean soft assignment over ln K, in [0, 1]; 1 for one cluster.
    effective_rank: of the codes, from 1 to C; not a number where they are none.
    """

    smallest_share: float
    balance: float
    effective_rank: float


_NAMES = {
    "smallest_share": "the smallest cluster's share of texts",
    "balance": "the entropy of the assignments over its highest",
    "effective_rank": "the effective rank of the codes",
}


@dataclass(frozen=True)
class Collapse:
    """The first measure that fell below its limit; epoch counts from 1."""

    epoch: int
    measure: str
    value: float
    limit: float


@dataclass(frozen=True)
class GuardReport:
    """What the guard saw.

    start, kept: the measures before the first epoch, and of the state that was kept.
    limits: what a sound state had to have.
    kept_epoch: after which the kept state was; 0 is before the first.
    collapse: None where all epochs were sound.
    """

    start: Soundness
    limits: Soundness
    kept: Soundness
    kept_epoch: int
    collapse: Collapse | None = None

    def __str__(self) -> str:
        kept = f"after epoch {self.kept_epoch}" if self.kept_epoch else "before the first epoch"
        if self.collapse is None:
            return f"no collapse; the codes are those {kept}"
        return (
            f"the clusters collapsed in epoch {self.collapse.epoch}: "
            f"{_NAMES[self.collapse.measure]} was {self.collapse.value:.3g}, below "
            f"{self.collapse.limit:.3g}; the codes are those {kept}"
        )


@dataclass(frozen=True)
class Refined:
    """Clusters of the codes that the model now gives, and what the guard saw."""

    grouping: Grouping
    guard: GuardReport


def soft_assignments(codes_BC: Tensor, centre_KC: Tensor, width: float) -> Tensor:
    """Shares of clusters under a Student-t kernel of one degree of freedom: Xie et al., eq. 1.

    width is the squared distance at which the kernel is a half. Codes of length 1 are at most 2
    apart, where the paper's width of 1 tells hardly any two centres from each other.
    """
    squared_BK = (codes_BC[:, None] - centre_KC).square().sum(dim=2)
    return functional.normalize(1 / (1 + squared_BK / width), p=1, dim=1)


def target_distribution(q_NK: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What soft assignments are to become: squares over the clusters' sizes: Xie et al., eq. 3."""
    weight_NK = np.square(q_NK) / q_NK.sum(axis=0)
    p_NK: npt.NDArray[np.float64] = weight_NK / weight_NK.sum(axis=1, keepdims=True)
    return p_NK


def effective_rank(codes_NC: npt.NDArray[np.floating]) -> float:
    """Exponential of the entropy of the singular values' shares: Roy and Vetterli, "The effective
    rank: a measure of effective dimensionality" (2007). 0 of zeros; not a number where one isn't.
    """
    if not np.isfinite(codes_NC).all():
        return math.nan
    with one_thread():
        singular = np.linalg.svd(codes_NC.astype(np.float64), compute_uv=False)
    return math.exp(_entropy(singular / singular.sum())) if singular.any() else 0.0


def soundness_of(codes_NC: Points, q_NK: npt.NDArray[np.float64]) -> Soundness:
    """Measure codes and their soft assignments."""
    num_texts, num_clusters = q_NK.shape
    rank = effective_rank(codes_NC)
    if math.isnan(rank):
        return Soundness(math.nan, math.nan, rank)
    size_K = np.bincount(q_NK.argmax(axis=1), minlength=num_clusters)
    highest = math.log(num_clusters)
    balance = _entropy(q_NK.mean(axis=0)) / highest if num_clusters > 1 else 1.0
    return Soundness(float(size_K.min() / num_texts), balance, rank)


def limits_from(start: Soundness, rank_of_centres: float) -> Soundness:
    """What a sound state must have, from what the start had."""
    rank = min(rank_of_centres, start.effective_rank)
    return Soundness(
        LEAST_OF_SMALLEST * start.smallest_share,
        LEAST_OF_BALANCE * start.balance,
        1 + LEAST_OF_RANK * (rank - 1),
    )


def collapse_of(found: Soundness, limits: Soundness, epoch: int) -> Collapse | None:
    """The first measure below its limit, or that is no number; None if the state is sound."""
    for field, value, limit in zip(fields(found), astuple(found), astuple(limits), strict=True):
        if not value >= limit:
            return Collapse(epoch, field.name, value, limit)
    return None


def refine(
    model: CodeEnsemble,
    points_ND: Points,
    targets_ND: Points,
    cluster_N: npt.NDArray[np.int32],
    company_NN: csr_matrix,
    *,
    company_share: float,
    keeps_reading: bool,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> Refined:
    """Train the model in place until its codes stand about the centres of their clusters.

    The sharper assignments are made from codes moved towards their company, as the first clusters
    were; with a share of 0 this is as published. Without `keeps_reading` the codes no longer heed
    how well points can be read from them. Decoder and map go on learning from the codes in either
    case, so that errors and map tell of the codes as they are.

    Args:
        model: what to train; it has learned codes.
        points_ND: the texts' places, of length 1.
        targets_ND: what is to be read from the codes.
        cluster_N: clusters to begin with, numbered from 0 without a gap.
        company_NN: means over each text's company, as `text_space.neighbours` gives them.
        company_share: how far codes move towards their company.
        keeps_reading: IDEC rather than DEC.
        epochs: at most so many passes over all texts.
        batch_size: texts of one step.
        learning_rate: of AdamW, at its highest.
        seed: of order; the same seed and number of threads give the same bits.
        on_epoch: is told of each epoch.

    Raises:
        ValueError: a setting is out of range.
    """
    num_texts, num_dimensions = points_ND.shape
    num_clusters = int(cluster_N.max()) + 1
    random = torch.Generator().manual_seed(seed)
    scale = math.sqrt(num_dimensions)
    inputs_ND, wanted_ND = (torch.from_numpy(x) * scale for x in (points_ND, targets_ND))

    def moved_codes() -> tuple[Points, Points]:
        codes_NC = _codes(model, points_ND)
        return codes_NC, in_company(codes_NC, company_NN, company_share)

    codes_NC, moved_NC = moved_codes()
    first_KC = np.stack([moved_NC[cluster_N == k].mean(axis=0) for k in range(num_clusters)])
    width = float(np.square(moved_NC - first_KC[cluster_N]).sum(axis=1).mean())
    width = width if width > _NO_WIDTH else 1.0
    centres = _Centres(first_KC)
    both = nn.ModuleList([model, centres])
    q_NK = _assigned(moved_NC, centres, width)
    start = soundness_of(codes_NC, q_NK)
    on_centres_KC = first_KC * np.sqrt(np.bincount(cluster_N))[:, None]
    limits = limits_from(start, effective_rank(on_centres_KC))
    report = GuardReport(start, limits, start, 0)
    optimiser, schedule = optimiser_of(
        both,
        num_texts=num_texts,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        drop_probability=0.0,
    )
    # Where the start has a cluster that is nobody's nearest, it is no state to refine.
    epochs = epochs if num_clusters > 1 and start.smallest_share > 0 else 0
    steps_an_epoch = math.ceil(num_texts / batch_size)
    for epoch in range(1, epochs + 1):
        p_NK = torch.from_numpy(target_distribution(q_NK).astype(np.float32))
        last_sound: dict[str, Any] = deepcopy(both.state_dict())
        code_sum = map_sum = 0.0
        order_N = torch.randperm(num_texts, generator=random)
        for begin in range(0, num_texts, batch_size):
            chosen_B = order_N[begin : begin + batch_size]
            codes_EBC = model.encode(inputs_ND[chosen_B].expand(model.num_members, -1, -1))
            q_BK = soft_assignments(side_by_side(codes_EBC), centres.centre_KC, width)
            cluster_loss = functional.kl_div(q_BK.log(), p_NK[chosen_B], reduction="batchmean")
            read_EBD = model.decode(codes_EBC if keeps_reading else codes_EBC.detach())
            code_loss = (read_EBD - wanted_ND[chosen_B]).square().mean()
            from_map_EBC = model.read_map(model.place(codes_EBC.detach()))
            map_loss = (from_map_EBC - codes_EBC.detach()).square().sum(dim=2).mean()
            optimiser.zero_grad()
            loss: Tensor = code_loss + CLUSTERING_WEIGHT * cluster_loss + map_loss
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            code_sum += code_loss.item() * len(chosen_B)
            map_sum += map_loss.item() * len(chosen_B)
        codes_NC, moved_NC = moved_codes()
        before_N, next_q_NK = q_NK.argmax(axis=1), _assigned(moved_NC, centres, width)
        found = soundness_of(codes_NC, next_q_NK)
        collapse = collapse_of(found, limits, epoch)
        on_epoch(EpochRecord(epoch, code_sum / num_texts, map_sum / num_texts, "refine"))
        if collapse:
            both.load_state_dict(last_sound)
            report = GuardReport(start, limits, report.kept, report.kept_epoch, collapse)
            break
        q_NK, report = next_q_NK, GuardReport(start, limits, found, epoch)
        num_changed = np.count_nonzero(q_NK.argmax(axis=1) != before_N)
        if num_changed < SETTLED_SHARE * num_texts and epoch * steps_an_epoch >= FEWEST_STEPS:
            break
    nearest_N = q_NK.argmax(axis=1)
    return Refined(Grouping(by_size(nearest_N), q_NK.max(axis=1).astype(np.float32)), report)


class _Centres(nn.Module):
    def __init__(self, centre_KC: Points) -> None:
        super().__init__()
        self.centre_KC = nn.Parameter(torch.from_numpy(centre_KC))


@torch.inference_mode()
def _codes(model: CodeEnsemble, points_ND: Points) -> Points:
    scale = math.sqrt(points_ND.shape[1])
    codes = []
    for start in range(0, len(points_ND), _BATCH_SIZE):
        own_BD = torch.from_numpy(points_ND[start : start + _BATCH_SIZE])
        codes_EBC = model.encode((scale * own_BD).expand(model.num_members, -1, -1))
        codes.append(side_by_side(codes_EBC))
    codes_NC: Points = torch.cat(codes).numpy()
    return codes_NC


@torch.inference_mode()
def _assigned(codes_NC: Points, centres: _Centres, width: float) -> npt.NDArray[np.float64]:
    q_NK: npt.NDArray[np.float64] = np.concatenate(
        [
            soft_assignments(torch.from_numpy(codes_BC), centres.centre_KC, width).numpy()
            for codes_BC in np.split(codes_NC, range(_BATCH_SIZE, len(codes_NC), _BATCH_SIZE))
        ]
    ).astype(np.float64)
    return q_NK


def _entropy(shares: npt.NDArray[np.float64]) -> float:
    """In nats."""
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())
