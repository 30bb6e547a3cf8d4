"""Texts grouped by their codes: k-means, Gaussian mixtures, HDBSCAN.

Cluster 0 is the largest; of two of one size, the one with the earliest text comes first. So equal
groupings have equal numbers, whatever the seed.

Shapes: N texts, C code width, K clusters.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from models.threads import one_thread

_STARTS = 10
_LEAST_VARIANCE = 1e-3  # of a mixture's parts, a thousandth of the codes' own: narrower is one text
_FEWEST_TEXTS = 5  # of a cluster of HDBSCAN's
_MOST_TEXTS_BY_DENSITY = 20_000  # some six minutes; twice as many take four times as long

ClustererName = Literal["kmeans", "gaussian_mixture", "hdbscan"]
AnyClusterer = Literal["kmeans", "gaussian_mixture", "hdbscan", "dec", "idec"]
"""Those of `embedded_clustering` too, which begin with k-means and move the codes."""


class Grouping(NamedTuple):
    """Each text's cluster, and how surely it is in it.

    cluster_N: int32.
    membership_N: float32 in [0, 1]; 0 where a text lies in none and was given to the nearest.
    """

    cluster_N: npt.NDArray[np.int32]
    membership_N: npt.NDArray[np.float32]


def grouped(
    codes_NC: npt.NDArray[np.float32], clusterer: ClustererName, num_clusters: int, seed: int
) -> Grouping:
    """Group texts by one of the clusterers.

    Args:
        codes_NC: the texts' codes.
        clusterer: which.
        num_clusters: how many clusters, fewer where fewer codes differ; HDBSCAN finds its own
            number, the nearest to it that it can find.
        seed: of what is drawn; the same seed gives the same bits.

    Raises:
        ValueError: there are fewer texts than clusters, no cluster is asked for, or there are too
            many texts for HDBSCAN.
    """
    return _CLUSTERERS[clusterer](codes_NC, num_clusters, seed)


def kmeans(
    codes_NC: npt.NDArray[np.float32] | csr_matrix, num_clusters: int, seed: int
) -> Grouping:
    """The best of ten k-means++ starts.

    A text's membership is its cluster's share under a Student-t kernel with one degree of freedom:
    Xie, Girshick and Farhadi, "Unsupervised deep embedding for clustering analysis" (2016),
    equation 1.

    Raises:
        ValueError: as `grouped`.
    """
    check_num_clusters(codes_NC.shape[0], num_clusters)
    # Sums split among threads come in another order, and so in other bits, from run to run.
    with one_thread(), unsettled_is_no_warning():
        model = KMeans(num_clusters, n_init=_STARTS, random_state=seed).fit(codes_NC)
        squared_distance_NK = np.square(model.transform(codes_NC), dtype=np.float64)
    kernel_NK = 1 / (1 + squared_distance_NK)
    is_empty_K = np.bincount(model.labels_, minlength=num_clusters) == 0
    if is_empty_K.any():  # where codes are too few, a centre of theirs is there twice
        kernel_NK[:, is_empty_K] = 0
    membership_N = kernel_NK[np.arange(len(kernel_NK)), model.labels_] / kernel_NK.sum(axis=1)
    return Grouping(by_size(model.labels_), membership_N.astype(np.float32))


def _gaussian_mixture(codes_NC: npt.NDArray[np.float32], num_clusters: int, seed: int) -> Grouping:
    """The best of some mixtures of Gaussians along the axes; membership is the posterior.

    Variances have a floor, or a part shrinks onto a single text.
    """
    check_num_clusters(len(codes_NC), num_clusters)
    if num_clusters == 1 or _are_all_one(codes_NC):
        return _one_cluster(len(codes_NC))
    scale = max(float(codes_NC.std()), 1e-12)
    with one_thread(), unsettled_is_no_warning():
        model = GaussianMixture(
            num_clusters,
            covariance_type="diag",
            n_init=_STARTS,
            reg_covar=_LEAST_VARIANCE,
            random_state=seed,
        )
        posterior_NK = model.fit(codes_NC.astype(np.float64) / scale).predict_proba(
            codes_NC.astype(np.float64) / scale
        )
    cluster_N = posterior_NK.argmax(axis=1).astype(np.int32)
    return Grouping(by_size(cluster_N), posterior_NK.max(axis=1).astype(np.float32))


def _hdbscan(codes_NC: npt.NDArray[np.float32], num_clusters: int, seed: int) -> Grouping:
    """Clusters of density, with the least size whose number comes nearest to the wanted one.

    Campello, Moulavi and Sander, "Density-based clustering based on hierarchical density
    estimates" (2013). Texts in no cluster go to the one whose centre is nearest, with membership 0.
    """
    check_num_clusters(len(codes_NC), num_clusters)
    if len(codes_NC) > _MOST_TEXTS_BY_DENSITY:
        raise ValueError(
            f"{len(codes_NC)} texts are too many for HDBSCAN, whose time grows with their square; "
            f"up to {_MOST_TEXTS_BY_DENSITY} it can group, and k-means any number"
        )
    if _are_all_one(codes_NC):
        return _one_cluster(len(codes_NC))
    largest = max(2, len(codes_NC) // max(2, num_clusters))
    sizes = np.unique(np.geomspace(min(_FEWEST_TEXTS, largest), largest, 8).astype(int))
    best = np.full(len(codes_NC), -1), np.zeros(len(codes_NC))
    with one_thread():
        for size in sizes:
            model = HDBSCAN(min_cluster_size=int(size), copy=True).fit(codes_NC)
            found, so_far = model.labels_.max() + 1, best[0].max() + 1
            is_nearer = abs(found - num_clusters) < abs(so_far - num_clusters)
            if found and (is_nearer or not so_far):
                best = model.labels_, model.probabilities_
    cluster_N, membership_N = best
    if cluster_N.max() < 0:
        return Grouping(np.zeros(len(codes_NC), np.int32), np.zeros(len(codes_NC), np.float32))
    centre_KC = np.stack(
        [codes_NC[cluster_N == k].mean(axis=0) for k in range(cluster_N.max() + 1)]
    )
    outside = np.flatnonzero(cluster_N < 0)
    distance_OK = np.linalg.norm(codes_NC[outside, None] - centre_KC[None], axis=2)
    cluster_N = cluster_N.copy()
    cluster_N[outside] = distance_OK.argmin(axis=1)
    return Grouping(by_size(cluster_N), membership_N.astype(np.float32))


_CLUSTERERS: dict[ClustererName, Callable[[npt.NDArray[np.float32], int, int], Grouping]] = {
    "kmeans": kmeans,
    "gaussian_mixture": _gaussian_mixture,
    "hdbscan": _hdbscan,
}


def by_size(cluster_N: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The same clusters, numbered by falling size, then by their first text."""
    _, first_K, inverse_N, size_K = np.unique(
        cluster_N, return_index=True, return_inverse=True, return_counts=True
    )
    number_K = np.empty(len(size_K), dtype=np.int32)
    number_K[np.lexsort((first_K, -size_K))] = np.arange(len(size_K))
    return number_K[inverse_N]


@contextmanager
def unsettled_is_no_warning() -> Iterator[None]:
    """scikit-learn warns of fewer codes than clusters, which give fewer clusters, and of rounds
    that run out, which give the best so far.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _are_all_one(codes_NC: npt.NDArray[np.float32]) -> bool:
    return bool((codes_NC == codes_NC[0]).all())


def _one_cluster(num_texts: int) -> Grouping:
    return Grouping(np.zeros(num_texts, np.int32), np.ones(num_texts, np.float32))


def check_num_clusters(num_texts: int, num_clusters: int) -> None:
    """Refuse fewer texts than clusters, and no cluster.

    Raises:
        ValueError: num_clusters is not from 1 to num_texts.
    """
    if not 1 <= num_clusters <= num_texts:
        raise ValueError(f"{num_texts} texts can't be parted into {num_clusters} clusters")
