"""Clusters and their scores against brute force and figures worked by hand."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from models.cluster_scores import (
    best_matching_accuracy,
    cluster_terms,
    kmeans,
    lsa_kmeans,
    score_clusters,
    tfidf_kmeans,
)

PLANTED_N = np.repeat(np.array([0, 1, 2], dtype=np.int32), [9, 7, 5])


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int32)


def planted_topics(seed: int = 0) -> csr_matrix:
    """21 texts of three topics that share no term but a faint one."""
    random = np.random.default_rng(seed)
    weights_NV = np.kron(np.eye(3), np.ones(4))[PLANTED_N] * random.uniform(0.5, 1, (21, 12))
    weights_NV = np.hstack([weights_NV, np.full((21, 1), 0.1)])
    return csr_matrix(weights_NV / np.linalg.norm(weights_NV, axis=1, keepdims=True), dtype="f4")


def test_planted_topics_are_found_by_each_method_and_numbered_by_size() -> None:
    features_NV = planted_topics()
    shuffled = np.random.default_rng(1).permutation(21)
    for seed in (0, 1, 2):
        for order in (np.arange(21), shuffled):
            expected = PLANTED_N[order]
            assert (tfidf_kmeans(features_NV[order], 3, seed) == expected).all()
            assert (lsa_kmeans(features_NV[order], 3, seed) == expected).all()


def test_clusters_of_one_size_are_numbered_by_their_first_text() -> None:
    codes_NC = np.array([[9, 9], [0, 0], [9, 8], [0, 1], [-9, 0]], dtype=np.float32)
    for seed in range(5):
        cluster_N, _ = kmeans(codes_NC, 3, seed)
        assert cluster_N.tolist() == [0, 1, 0, 1, 2]
        assert cluster_N.dtype == np.int32


def test_membership_is_the_share_of_a_student_kernel() -> None:
    _, membership_N = kmeans(np.array([[0.0], [0], [0], [3], [3]], dtype=np.float32), 2, 0)
    # On its own centre the kernel is 1, at distance 3 from the other it is 1 / (1 + 9).
    np.testing.assert_allclose(membership_N, 1 / 1.1, rtol=1e-6)
    alone = kmeans(np.array([[0.0], [5]], dtype=np.float32), 1, 0)[1]
    assert alone.tolist() == [1, 1]


@pytest.mark.parametrize("num_clusters", [0, 4])
def test_as_many_clusters_as_texts_at_most(num_clusters: int) -> None:
    with pytest.raises(ValueError, match=f"3 texts can't be parted into {num_clusters}"):
        kmeans(np.eye(3, dtype=np.float32), num_clusters, 0)


def test_perfect_and_permuted_labels_score_one() -> None:
    labels = ["b", "b", "a", "c", "c", "c"]
    for renumbering in permutations(range(3)):
        scores = score_clusters(
            ints(*(renumbering["abc".index(label)] for label in labels)), labels
        )
        assert (scores.accuracy, scores.nmi, scores.ari) == pytest.approx((1, 1, 1))


def test_a_worked_case() -> None:
    """Labels aaabbb, clusters 001111, so counts are [[2, 1], [0, 3]]."""
    scores = score_clusters(ints(0, 0, 1, 1, 1, 1), list("aaabbb"))
    assert scores.accuracy == pytest.approx(5 / 6)
    label_entropy = math.log(2)
    cluster_entropy = -(1 / 3 * math.log(1 / 3) + 2 / 3 * math.log(2 / 3))
    mutual = 1 / 3 * math.log(2) + 1 / 6 * math.log(1 / 2) + 1 / 2 * math.log(3 / 2)
    assert scores.nmi == pytest.approx(2 * mutual / (label_entropy + cluster_entropy))
    # Pairs together in both: 1 + 3; by labels 6, by clusters 7, of 15.
    assert scores.ari == pytest.approx((4 - 6 * 7 / 15) / ((6 + 7) / 2 - 6 * 7 / 15))


@pytest.mark.parametrize(("num_clusters", "num_labels"), [(2, 4), (3, 3), (5, 2)])
def test_accuracy_is_the_best_of_all_matchings(num_clusters: int, num_labels: int) -> None:
    random = np.random.default_rng(num_clusters)
    for _ in range(20):
        cluster_N = random.integers(num_clusters, size=12, dtype=np.int32)
        label_N = random.integers(num_labels, size=12, dtype=np.int32)
        names = range(max(num_clusters, num_labels))
        best = max(
            float(np.mean(np.array(matching)[cluster_N] == label_N))
            for matching in permutations(names)
        )
        assert best_matching_accuracy(cluster_N, label_N) == pytest.approx(best)


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "b", "a"]])
def test_scores_need_a_label_a_text(labels: list[str]) -> None:
    with pytest.raises(ValueError, match=f"2 clustered texts can't be held to {len(labels)}"):
        score_clusters(ints(0, 1), labels)


def test_cluster_terms_by_hand() -> None:
    counts_NV = csr_matrix(np.array([[3, 1, 0], [1, 1, 0], [0, 2, 2]], dtype=np.float32))
    marks = cluster_terms(counts_NV, ints(0, 0, 1), ["crown", "man", "sea"], top_n=2)
    # Cluster 0 holds 4 crown and 2 man, cluster 1 holds 2 man and 2 sea: 5 words a cluster.
    assert [(mark.cluster, mark.rank, mark.term) for mark in marks] == [
        (0, 0, "crown"),
        (0, 1, "man"),
        (1, 0, "sea"),
        (1, 1, "man"),
    ]
    expected = [
        4 / 6 * math.log(1 + 5 / 4),
        2 / 6 * math.log(1 + 5 / 4),
        2 / 4 * math.log(1 + 5 / 2),
        2 / 4 * math.log(1 + 5 / 4),
    ]
    assert [mark.weight for mark in marks] == pytest.approx(expected)


def test_a_cluster_has_no_more_terms_than_occur_in_it() -> None:
    marks = cluster_terms(csr_matrix(np.array([[1.0, 0], [0, 0]])), ints(0, 1), ["a", "b"], 5)
    assert [(mark.cluster, mark.term) for mark in marks] == [(0, "a")]


def test_cluster_terms_refuse_what_does_not_fit() -> None:
    weights_NV = csr_matrix(np.eye(2))
    with pytest.raises(ValueError, match="2 texts and 2 terms don't fit 2 clustered texts and 1"):
        cluster_terms(weights_NV, ints(0, 1), ["a"], 1)
    with pytest.raises(ValueError, match="top_n is 0"):
        cluster_terms(weights_NV, ints(0, 1), ["a", "b"], 0)
