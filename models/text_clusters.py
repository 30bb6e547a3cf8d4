"""Clusters of texts: codes of their places, and groups of these.

    points_ND -> codes_NC -> codes in company -> clusters
                    +-> map_N2

The places are those of `text_space`, or any others of length 1.

Shapes: N texts, D dimensions, C width of all members' codes together, K clusters.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.clusterers import AnyClusterer, Grouping, check_num_clusters, grouped
from models.code_ensemble import CodeEnsemble, Encoding, EpochRecord, encode, fit
from models.embedded_clustering import FEWEST_STEPS, RATE_SHARE, GuardReport, refine
from models.pretraining import epochs_of_a_layer, pretrain
from models.text_space import Points, in_company, neighbours
from models.threads import one_thread

_FEWEST_STEPS = 100
_MOST_PASSES_FOR_STEPS = 400  # without it a single text is learned in 6,400, to no use
_MOST_STEPS = 20_000  # of one training: 20,000 texts make fewer in 50 passes


@dataclass(frozen=True)
class ClusterRecipe:
    """How texts are clustered; figures behind each default stand in docs/experiments.md."""

    num_dimensions: int = 100
    """Of correspondence analysis."""
    num_members: int = 5
    """Autoencoders side by side."""
    hidden_widths: tuple[int, ...] = (64,)
    """Of each one's hidden layers, from the points inward; from the code outward they are
    mirrored."""
    code_width: int = 10
    """Numbers in each one's code."""
    pretrain: bool = False
    """Whether layers are trained one by one before all are trained together."""
    variational: bool = False
    """Whether codes have a learned spread; the code of a text is then its mean."""
    divergence_weight: float = 1.0
    """Of what the spread says, beside the squared errors of all dimensions, where variational."""
    epochs: int = 50
    """Passes over all texts; more, up to 400, where these make less than 100 whole batches, fewer
    where they make more than 20,000."""
    batch_size: int = 64
    """Texts in each step."""
    learning_rate: float = 2e-3
    """Of AdamW, at its highest."""
    drop_probability: float = 0.2
    """Share of each text's dimensions that an autoencoder must do without while it learns."""
    num_neighbours: int = 10
    """Nearest texts that count as a text's company."""
    target_share: float = 0.8
    """How much of what is to be read from a code is the company's place, not the text's own."""
    company_share: float = 0.5
    """How far codes move towards their company before they are grouped."""
    clusterer: AnyClusterer = "kmeans"
    """What groups them; "dec" and "idec" begin with k-means and move the codes, too."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # where it is part of settings

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "ClusterRecipe":
        """The recipe whose fields, as JSON has them, these are."""
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return ClusterRecipe(**plain)


@dataclass(frozen=True)
class LearnedCodes:
    """What was learned of some texts: the model, and what it says of them."""

    model: CodeEnsemble
    encoding: Encoding

    def errors(self) -> npt.NDArray[np.float32]:
        """How badly each text fits its code, in [0, about 1]: squared distance of its point of
        length 1 from where the code says.
        """
        error_N: npt.NDArray[np.float32] = np.square(self.encoding.errors_ND).sum(axis=1)
        return error_N


@dataclass(frozen=True)
class Clustered:
    """Codes and the clusters of them.

    guard: what the guard against collapse saw; None where there was none.
    """

    learned: LearnedCodes
    grouping: Grouping
    guard: GuardReport | None = None


def cluster_texts(
    points_ND: Points,
    recipe: ClusterRecipe,
    num_clusters: int | Callable[[Points], int],
    seed: int,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Clustered:
    """Learn codes and group texts by them; the same seed and number of threads give the same bits.

    Args:
        points_ND: the texts' places, of length 1 or 0.
        recipe: how.
        num_clusters: how many clusters, or what tells it from the codes; see `grouped`.
        seed: of all that is drawn.
        on_epoch: is told of each epoch, of `num_epochs` at most.
        say: is told in a sentence if the codes collapsed.

    Raises:
        ValueError: as `learn_codes` and `grouped`.
    """
    # Its products are small: threads would wait for each other most of the time.
    with one_thread():
        if isinstance(num_clusters, int):
            check_num_clusters(len(points_ND), num_clusters)
        targets_ND = _targets(points_ND, recipe)
        learned = _learned(points_ND, targets_ND, recipe, seed, on_epoch)
        codes_NC = learned.encoding.codes_NC
        if not isinstance(num_clusters, int):
            num_clusters = num_clusters(codes_NC)
        company_NN = neighbours(codes_NC, recipe.num_neighbours)
        first = _grouped(
            in_company(codes_NC, company_NN, recipe.company_share), recipe, num_clusters, seed
        )
        if recipe.clusterer not in ("dec", "idec"):
            return Clustered(learned, first)
        refined = refine(
            learned.model,
            points_ND,
            targets_ND,
            first.cluster_N,
            company_NN,
            company_share=recipe.company_share,
            keeps_reading=recipe.clusterer == "idec",
            epochs=_refining_passes(recipe, len(points_ND)),
            batch_size=recipe.batch_size,
            learning_rate=RATE_SHARE * recipe.learning_rate,
            seed=seed,
            on_epoch=on_epoch,
        )
        if refined.guard.collapse:
            say(str(refined.guard))
        moved = LearnedCodes(learned.model, encode(learned.model, points_ND))
        return Clustered(moved, refined.grouping, refined.guard)


def learn_codes(
    points_ND: Points,
    recipe: ClusterRecipe,
    seed: int,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> LearnedCodes:
    """Learn codes of texts; the same seed and number of threads give the same bits.

    Raises:
        ValueError: there is no text, a place is no number, or a setting is out of range.
    """
    with one_thread():
        return _learned(points_ND, _targets(points_ND, recipe), recipe, seed, on_epoch)


def new_ensemble(num_dimensions: int, recipe: ClusterRecipe, seed: int) -> CodeEnsemble:
    """The recipe's autoencoders, untrained.

    Raises:
        ValueError: a width is below 1.
    """
    return CodeEnsemble(
        num_dimensions,
        num_members=recipe.num_members,
        hidden_widths=recipe.hidden_widths,
        code_width=recipe.code_width,
        is_variational=recipe.variational,
        seed=seed,
    )


def num_epochs(recipe: ClusterRecipe, num_texts: int) -> int:
    """Passes over so many texts in all; DEC and IDEC may do with fewer."""
    passes = _passes(recipe, num_texts)
    num_layers = len(recipe.hidden_widths) + 1
    layer_by_layer = num_layers * epochs_of_a_layer(passes, num_layers) if recipe.pretrain else 0
    is_refined = recipe.clusterer in ("dec", "idec")
    return layer_by_layer + passes + (_refining_passes(recipe, num_texts) if is_refined else 0)


def group_codes(codes_NC: Points, recipe: ClusterRecipe, num_clusters: int, seed: int) -> Grouping:
    """Group texts by their codes, moved towards their company: of two that are as near as each
    other to a third, those count as alike whose neighbours are.

    DEC and IDEC, which need more than codes, are here the k-means that they begin with.

    Raises:
        ValueError: as `grouped`.
    """
    moved_NC = _moved(codes_NC, recipe.num_neighbours, recipe.company_share)
    return _grouped(moved_NC, recipe, num_clusters, seed)


def _learned(
    points_ND: Points,
    targets_ND: Points,
    recipe: ClusterRecipe,
    seed: int,
    on_epoch: Callable[[EpochRecord], None],
) -> LearnedCodes:
    model = new_ensemble(points_ND.shape[1], recipe, seed)
    passes = _passes(recipe, len(points_ND))
    if recipe.pretrain:
        for record in pretrain(
            model,
            points_ND,
            targets_ND,
            epochs=epochs_of_a_layer(passes, len(model.encoder)),
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            drop_probability=recipe.drop_probability,
            seed=seed,
        ):
            on_epoch(record)
    for record in fit(
        model,
        points_ND,
        targets_ND,
        epochs=passes,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        drop_probability=recipe.drop_probability,
        divergence_weight=recipe.divergence_weight,
        seed=seed,
    ):
        on_epoch(record)
    return LearnedCodes(model, encode(model, points_ND))


def _passes(recipe: ClusterRecipe, num_texts: int) -> int:
    """Of one training, so that it makes steps enough, and not too many."""
    for_steps = math.ceil(_FEWEST_STEPS * recipe.batch_size / num_texts)
    enough = max(recipe.epochs, min(for_steps, _MOST_PASSES_FOR_STEPS))
    return max(1, min(enough, _MOST_STEPS * recipe.batch_size // num_texts))


def _refining_passes(recipe: ClusterRecipe, num_texts: int) -> int:
    """Of DEC and IDEC at most, so that they may end of themselves."""
    steps_a_pass = math.ceil(num_texts / max(1, recipe.batch_size))
    return max(recipe.epochs, math.ceil(FEWEST_STEPS / steps_a_pass))


def _targets(points_ND: Points, recipe: ClusterRecipe) -> Points:
    """What is to be read from the codes; refuses what nothing can be learned from."""
    if not len(points_ND):
        raise ValueError("there are no texts to place")
    if not np.isfinite(points_ND).all():
        text = int(np.flatnonzero(~np.isfinite(points_ND).all(axis=1))[0])
        raise ValueError(f"the place of text {text} (from 0) is not made of numbers")
    if recipe.num_neighbours < 1:
        raise ValueError(
            f"num_neighbours {recipe.num_neighbours} must be at least 1; for codes without company "
            "set target_share and company_share to 0"
        )
    for name in ("target_share", "company_share"):
        if not 0 <= getattr(recipe, name) <= 1:
            raise ValueError(f"{name} {getattr(recipe, name)} must be in [0, 1]")
    return _moved(points_ND, recipe.num_neighbours, recipe.target_share)


def _grouped(moved_NC: Points, recipe: ClusterRecipe, num_clusters: int, seed: int) -> Grouping:
    match recipe.clusterer:
        case "dec" | "idec":
            return grouped(moved_NC, "kmeans", num_clusters, seed)
        case clusterer:
            return grouped(moved_NC, clusterer, num_clusters, seed)


def _moved(points_ND: Points, num_neighbours: int, share: float) -> Points:
    return in_company(points_ND, neighbours(points_ND, num_neighbours), share)
