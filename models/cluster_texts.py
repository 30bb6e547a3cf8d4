"""Texts that show what a cluster is: the most typical ones, and those on its edge.

Shapes: N texts, C code width, K clusters.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["typical", "edge"]


@dataclass(frozen=True)
class ShownText:
    """A text that shows a cluster; rank starts at 0."""

    cluster: int
    kind: Kind
    rank: int
    text: int


def cluster_centres(
    codes_NC: npt.NDArray[np.float32], cluster_N: npt.NDArray[np.int32]
) -> npt.NDArray[np.float32]:
    """Mean codes_KC of the clusters, which are numbered from 0 without a gap."""
    num_clusters = int(cluster_N.max()) + 1
    sums_KC = np.zeros((num_clusters, codes_NC.shape[1]))
    np.add.at(sums_KC, cluster_N, codes_NC)
    centres_KC: npt.NDArray[np.float32] = (
        sums_KC / np.bincount(cluster_N, minlength=num_clusters)[:, None]
    ).astype(np.float32)
    return centres_KC


def shown_texts(
    codes_NC: npt.NDArray[np.float32], cluster_N: npt.NDArray[np.int32], top_n: int
) -> list[ShownText]:
    """The texts nearest to their cluster's centre, and those nearest to another's as well.

    An edge text is one whose distance to the next centre exceeds that to its own by least. Of
    equals the earlier comes first; a text that is typical is none of the edge; without a second
    cluster there is no edge.

    Raises:
        ValueError: top_n is below 1.
    """
    if top_n < 1:
        raise ValueError(f"top_n is {top_n}; ask for at least 1 text a cluster")
    centres_KC = cluster_centres(codes_NC, cluster_N)
    rows = np.arange(len(codes_NC))
    squared_NK = (
        np.square(codes_NC).sum(axis=1)[:, None]
        - 2 * codes_NC @ centres_KC.T
        + np.square(centres_KC).sum(axis=1)[None]
    )
    distance_NK = np.sqrt(np.maximum(squared_NK, 0))
    own_N = distance_NK[rows, cluster_N]
    distance_NK[rows, cluster_N] = np.inf
    margin_N = distance_NK.min(axis=1) - own_N
    shown = []
    for cluster in range(len(centres_KC)):
        members = np.flatnonzero(cluster_N == cluster)
        typical = members[np.argsort(own_N[members], kind="stable")[:top_n]]
        others = members[~np.isin(members, typical) & np.isfinite(margin_N[members])]
        edge = others[np.argsort(margin_N[others], kind="stable")[:top_n]]
        kinds: tuple[tuple[Kind, npt.NDArray[np.int64]], ...] = (
            ("typical", typical),
            ("edge", edge),
        )
        shown += [
            ShownText(cluster, kind, rank, int(text))
            for kind, texts in kinds
            for rank, text in enumerate(texts)
        ]
    return shown
