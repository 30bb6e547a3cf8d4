"""How many clusters texts fall into, and what speaks for each number.

Shapes: N texts, C code width, K clusters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

from models.clusterers import unsettled_is_no_warning
from models.text_space import Points
from models.threads import one_thread

Clusters = npt.NDArray[np.int32]
Group = Callable[[Points, int, int], Clusters]

_MOST_TEXTS = 2_000  # of more, so many are drawn, or it would take minutes
_FEWEST_TEXTS = 4  # fewer fall into no two clusters of two
_CANDIDATES = (*range(2, 11), 12, 14, 16, 18, 20, 25, 30)
_TEXTS_A_CLUSTER = 5
_NUM_SAMPLES = 6  # so 15 pairs
_SAMPLE_SHARE = 0.8
_STABLE = 0.8  # where Tibshirani and Walther (2005) draw the line for their prediction strength
_FICKLE = 0.5


@dataclass(frozen=True)
class CountEvidence:
    """What speaks for one number of clusters.

    num_clusters: the number that was asked for.
    silhouette: in [-1, 1]; how much nearer texts are to their own cluster than to the next.
    stability: about 0 (chance) to 1; how far clusterings of two random samples agree on the texts
        that are in both.
    """

    num_clusters: int
    silhouette: float
    stability: float


def candidate_counts(num_texts: int) -> list[int]:
    """Numbers of clusters to try: 2 to 30, further apart as they grow, of 5 texts each or more.

    Empty where there are fewer than 4 texts.
    """
    if num_texts < _FEWEST_TEXTS:
        return []
    most = max(2, num_texts // _TEXTS_A_CLUSTER)
    return [count for count in _CANDIDATES if count <= most]


def best_count(evidence: Sequence[CountEvidence]) -> int:
    """The number of clusters that the evidence speaks for.

    Among stable numbers, those of 0.8 or more, it is the one whose clusters lie furthest apart:
    the one of the highest silhouette. Stability alone likes few clusters, and silhouette alone
    rewards clusters that another sample would not show. Where none is stable, it is the number
    with the highest product of both; and 1 where none reaches a stability of 0.5, or no silhouette
    is above 0: then clusters are drawn by chance. Of equal numbers the smaller one. The line is
    that of Tibshirani and Walther, "Cluster validation by prediction strength" (2005); figures are
    in docs/experiments.md.
    """
    telling = [one for one in evidence if one.stability >= _FICKLE and one.silhouette > 0]
    if not telling:
        return 1
    if stable := [one for one in telling if one.stability >= _STABLE]:
        best = max(stable, key=lambda one: (one.silhouette, -one.num_clusters))
    else:
        best = max(telling, key=lambda one: (one.silhouette * one.stability, -one.num_clusters))
    return best.num_clusters


def count_evidence(
    codes_NC: Points,
    group: Group,
    candidates: Sequence[int],
    seed: int,
    on_done: Callable[[], None] = lambda: None,
) -> list[CountEvidence]:
    """Cluster the texts, and samples of them, into each number of clusters.

    Stability as in Ben-Hur, Elisseeff and Guyon, "A stability based method for discovering
    structure in clustered data" (2002), and von Luxburg, "Clustering stability: an overview"
    (2010): six random samples of 80% of the texts are clustered, and each of their 15 pairs is
    held together on the texts in both, by the adjusted Rand index. All candidates see the same
    samples. Of more than 2,000 texts, 2,000 drawn ones stand for all.

    Args:
        codes_NC: the texts' codes.
        group: clusters of some texts, from their codes, how many, and a seed.
        candidates: numbers of clusters.
        seed: of samples, and of the clusterings; the same seed gives the same evidence.
        on_done: called after each candidate.

    Returns:
        Evidence in the candidates' order, 0 in both where the texts fell into one cluster. Of
        fewer than 4 texts, nothing.

    Raises:
        ValueError: a candidate is below 2, or more than the samples' texts.
    """
    random = np.random.default_rng(seed)
    if len(codes_NC) > _MOST_TEXTS:
        codes_NC = codes_NC[np.sort(random.choice(len(codes_NC), _MOST_TEXTS, replace=False))]
    num_texts = len(codes_NC)
    if num_texts < _FEWEST_TEXTS:
        return []
    sample_size = round(_SAMPLE_SHARE * num_texts)
    for count in candidates:
        if not 2 <= count <= sample_size:
            raise ValueError(
                f"{count} is no number of clusters to try for {num_texts} texts; try 2 to "
                f"{sample_size}, as candidate_counts does"
            )
    samples = [
        np.sort(random.choice(num_texts, sample_size, replace=False)) for _ in range(_NUM_SAMPLES)
    ]
    evidence = []
    for count in candidates:
        with unsettled_is_no_warning():
            cluster_N = group(codes_NC, count, seed)
            found = [_spread(group(codes_NC[own], count, seed), own, num_texts) for own in samples]
        evidence.append(CountEvidence(count, silhouette(codes_NC, cluster_N), _agreement(found)))
        on_done()
    return evidence


def silhouette(codes_NC: Points, cluster_N: Clusters) -> float:
    """Rousseeuw, "Silhouettes" (1987), by cosine distance, in time linear in N: the distances to
    a cluster add up to its size less the product with its sum. 0 of a single cluster.
    """
    _, inverse_N, size_K = np.unique(cluster_N, return_inverse=True, return_counts=True)
    if len(size_K) < 2:
        return 0.0
    unit_NC = normalize(codes_NC.astype(np.float64))
    rows = np.arange(len(unit_NC))
    sum_KC = np.zeros((len(size_K), unit_NC.shape[1]))
    np.add.at(sum_KC, inverse_N, unit_NC)
    with one_thread():
        distance_NK = size_K - unit_NC @ sum_KC.T
    own_size_N = size_K[inverse_N]
    # A text is at no distance from itself, also where its code is 0.
    own_N = distance_NK[rows, inverse_N] - 1 + np.square(unit_NC).sum(axis=1)
    own_N = own_N / np.maximum(own_size_N - 1, 1)
    distance_NK = distance_NK / size_K
    distance_NK[rows, inverse_N] = np.inf
    next_N = distance_NK.min(axis=1)
    larger_N = np.maximum(np.maximum(own_N, next_N), 1e-12)
    return float(np.where(own_size_N > 1, (next_N - own_N) / larger_N, 0.0).mean())


def _spread(cluster_S: Clusters, texts_S: npt.NDArray[np.intp], num_texts: int) -> Clusters:
    """A sample's clusters, with -1 for the texts that are not in it."""
    cluster_N = np.full(num_texts, -1, dtype=np.int32)
    cluster_N[texts_S] = cluster_S
    return cluster_N


def _agreement(found: Sequence[Clusters]) -> float:
    scores = []
    for one_N, other_N in combinations(found, 2):
        is_both = (one_N >= 0) & (other_N >= 0)
        one, other = one_N[is_both], other_N[is_both]
        # Two clusterings that part nothing agree, and say nothing.
        scores.append(
            float(adjusted_rand_score(one, other)) if len({*one}) > 1 or len({*other}) > 1 else 0.0
        )
    return float(np.mean(scores))
