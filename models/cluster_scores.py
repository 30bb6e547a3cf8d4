"""How well clusters of texts fit known labels, and which words mark them.

Shapes: N texts, V terms, C code width, K clusters, L labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from models.clusterers import AnyClusterer

CLUSTERER_NAMES: Mapping[AnyClusterer, str] = {
    "kmeans": "k-means",
    "gaussian_mixture": "Gaussian mixture",
    "hdbscan": "HDBSCAN",
    "dec": "DEC",
    "idec": "IDEC",
}
_OWN = "autoencoders + "


def method_name(clusterer: AnyClusterer) -> str:
    """What tables of scores call codes of autoencoders that one of our clusterers has grouped."""
    return _OWN + CLUSTERER_NAMES[clusterer]


def is_own(method: str) -> bool:
    """Whether a method in a table of scores is the map's own, none that it is held against."""
    return method.startswith(_OWN)


DEFAULT_METHOD = method_name("kmeans")


@dataclass(frozen=True)
class ClusterScores:
    """How well clusters agree with labels; 1 is perfect agreement in all three.

    accuracy: share of texts in the cluster that is matched with their label.
    nmi: mutual information over the arithmetic mean of the entropies; 0 is independence.
    ari: agreement on pairs of texts, corrected for chance; 0 is chance.
    """

    accuracy: float
    nmi: float
    ari: float


@dataclass(frozen=True)
class ClusterTerm:
    """A term that marks a cluster. rank starts at 0, weight is above 0; see `cluster_terms`."""

    cluster: int
    rank: int
    term: str
    weight: float


def best_matching_accuracy(
    cluster_N: npt.NDArray[np.int32], labels: Sequence[str] | npt.NDArray[np.int32]
) -> float:
    """Share of texts in the cluster matched with their label, under the best one-to-one matching.

    Found by the Hungarian method (Kuhn 1955). With more clusters than labels, or fewer, those
    left over are matched with nothing and their texts count as wrong.

    Raises:
        ValueError: if there is no text, or clusters and labels differ in number.
    """
    if not len(labels) or len(cluster_N) != len(labels):
        raise ValueError(f"{len(cluster_N)} clustered texts can't be held to {len(labels)} labels")
    counts_LK = contingency_matrix(labels, cluster_N)
    matched_L, matched_K = linear_sum_assignment(counts_LK, maximize=True)
    return float(counts_LK[matched_L, matched_K].sum() / len(labels))


def score_clusters(
    cluster_N: npt.NDArray[np.int32], labels: Sequence[str] | npt.NDArray[np.int32]
) -> ClusterScores:
    """Hold clusters against known labels.

    Normalised mutual information and the adjusted Rand index as in Vinh, Epps and Bailey,
    "Information theoretic measures for clusterings comparison" (2010), and Hubert and Arabie,
    "Comparing partitions" (1985).

    Raises:
        ValueError: if there is no text, or clusters and labels differ in number.
    """
    return ClusterScores(
        accuracy=best_matching_accuracy(cluster_N, labels),
        nmi=float(normalized_mutual_info_score(labels, cluster_N)),
        ari=float(adjusted_rand_score(labels, cluster_N)),
    )


def scores_over_seeds(
    found: Sequence[npt.NDArray[np.int32]], labels: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each score, by its name, over some clusterings.

    Raises:
        ValueError: as `score_clusters`.
    """
    scores = [score_clusters(cluster_N, labels) for cluster_N in found]
    by_name = {
        field.name: [getattr(one, field.name) for one in scores] for field in fields(ClusterScores)
    }
    return {name: (float(np.mean(own)), float(np.std(own))) for name, own in by_name.items()}


def stability(found: Sequence[npt.NDArray[np.int32]]) -> float | None:
    """Mean adjusted Rand index of every two clusterings of the same texts.

    Two that each hold one cluster, or one for each text, agree and say nothing: they don't count.
    None where no two count.
    """
    pairs = [
        float(adjusted_rand_score(one, other))
        for one, other in combinations(found, 2)
        if len({len(np.unique(one)), len(np.unique(other))} - {1, len(one)})
    ]
    return float(np.mean(pairs)) if pairs else None


def cluster_terms(
    weights_NV: csr_matrix,
    cluster_N: npt.NDArray[np.int32],
    terms: Sequence[str],
    top_n: int,
    *,
    are_common: bool = False,
) -> list[ClusterTerm]:
    """Find the terms that mark each cluster, by class-based TF-IDF.

    The texts of a cluster are one long text; a term weighs its share of that text times
    ln(1 + A / f), with f the term's weight in all clusters and A the mean weight of a cluster:
    Grootendorst, "BERTopic: neural topic modeling with a class-based TF-IDF procedure" (2022),
    equation 2, with shares for counts so that the size of a cluster doesn't matter.

    Terms that stand in every text, function words, all weigh about their share then. What marks a
    cluster by them is what it has more of than all texts together: a term weighs its part of the
    divergence of the cluster's shares from everybody's, in nats (Fankhauser, Knappen and Teich,
    "Exploring and visualizing variation in language resources", 2014).

    Args:
        weights_NV: counts or TF-IDF, not negative.
        cluster_N: each text's cluster, from 0.
        terms: the V terms.
        top_n: so many a cluster, fewer where fewer occur in it; of equal weight, the earlier term
            comes first.
        are_common: whether the terms stand in about every text.

    Raises:
        ValueError: if shapes disagree or top_n is below 1.
    """
    num_texts, num_terms = weights_NV.shape
    if (num_texts, num_terms) != (len(cluster_N), len(terms)):
        raise ValueError(
            f"weights of {num_texts} texts and {num_terms} terms don't fit {len(cluster_N)} "
            f"clustered texts and {len(terms)} terms"
        )
    if top_n < 1:
        raise ValueError(f"top_n is {top_n}; ask for at least 1 term a cluster")
    num_clusters = int(cluster_N.max()) + 1
    texts_of_cluster_KN = csr_matrix(
        (np.ones(num_texts), (cluster_N, np.arange(num_texts))), shape=(num_clusters, num_texts)
    )
    weight_KV = (texts_of_cluster_KN @ weights_NV).toarray()
    share_KV = weight_KV / np.maximum(weight_KV.sum(axis=1, keepdims=True), 1e-12)
    all_V = np.maximum(weight_KV.sum(axis=0), 1e-12)
    if are_common:
        mean_V = all_V / max(weight_KV.sum(), 1e-12)
        mark_KV = share_KV * np.log(np.maximum(share_KV, 1e-12) / mean_V)
    else:
        mark_KV = share_KV * np.log1p(weight_KV.sum() / num_clusters / all_V)
    return [
        ClusterTerm(cluster, rank, terms[term], float(mark_V[term]))
        for cluster, mark_V in enumerate(mark_KV)
        for rank, term in enumerate(np.argsort(-mark_V, kind="stable")[:top_n])
        if mark_V[term] > 0
    ]
