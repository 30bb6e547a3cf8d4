"""Clusters of texts: their space, their codes, and groups of these.

    features_NV -> points_ND -> codes_NC -> codes in company -> clusters
                                    +-> map_N2

Shapes: N texts, V terms, D dimensions, C code width, K clusters.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from models.clusterers import ClustererName, Grouping, grouped
from models.code_ensemble import CodeEnsemble, Encoding, EpochRecord, encode, fit
from models.text_space import Points, TextSpace, in_company, neighbours

_FEWEST_STEPS = 100


@dataclass(frozen=True)
class ClusterRecipe:
    """How texts are clustered; figures behind each default stand in docs/experiments.md."""

    num_dimensions: int = 100
    """Of correspondence analysis."""
    num_members: int = 5
    """Autoencoders side by side."""
    hidden_width: int = 64
    """Of each, on either side of the code."""
    code_width: int = 10
    """Numbers in each one's code."""
    epochs: int = 50
    """Passes over all texts; more where texts are so few that they make less than 100 steps."""
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
    clusterer: ClustererName = "kmeans"
    """What groups them."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # where it is part of settings


@dataclass(frozen=True)
class LearnedCodes:
    """What was learned of some texts: their space, the model, and what it says of them."""

    space: TextSpace
    model: CodeEnsemble
    encoding: Encoding

    def errors(self) -> npt.NDArray[np.float32]:
        """How badly each text fits its code, in [0, about 1]: squared distance of its point of
        length 1 from where the code says.
        """
        error_N: npt.NDArray[np.float32] = np.square(self.encoding.errors_ND).sum(axis=1)
        return error_N


def learn_codes(
    features_NV: csr_matrix,
    recipe: ClusterRecipe,
    seed: int,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> LearnedCodes:
    """Learn codes of texts; the same seed and number of threads give the same bits.

    Raises:
        ValueError: there is no text, a feature is negative, or a setting is out of range.
    """
    space = TextSpace.of(features_NV, recipe.num_dimensions)
    points_ND = space.points(features_NV)
    targets_ND = _moved(points_ND, recipe.num_neighbours, recipe.target_share)
    model = CodeEnsemble(
        points_ND.shape[1],
        num_members=recipe.num_members,
        hidden_width=recipe.hidden_width,
        code_width=recipe.code_width,
        seed=seed,
    )
    for record in fit(
        model,
        points_ND,
        targets_ND,
        epochs=num_epochs(recipe, len(points_ND)),
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        drop_probability=recipe.drop_probability,
        seed=seed,
    ):
        on_epoch(record)
    return LearnedCodes(space, model, encode(model, points_ND))


def num_epochs(recipe: ClusterRecipe, num_texts: int) -> int:
    """Passes over so many texts."""
    return max(recipe.epochs, math.ceil(_FEWEST_STEPS * recipe.batch_size / num_texts))


def group_codes(codes_NC: Points, recipe: ClusterRecipe, num_clusters: int, seed: int) -> Grouping:
    """Group texts by their codes, moved towards their company: of two that are as near as each
    other to a third, those count as alike whose neighbours are.

    Raises:
        ValueError: as `grouped`.
    """
    moved_NC = _moved(codes_NC, recipe.num_neighbours, recipe.company_share)
    return grouped(moved_NC, recipe.clusterer, num_clusters, seed)


def _moved(points_ND: Points, num_neighbours: int, share: float) -> Points:
    return in_company(points_ND, neighbours(points_ND, num_neighbours), share)
