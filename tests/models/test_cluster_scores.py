"""Clusters and their scores against brute force and figures worked by hand."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from models.cluster_scores import (
    best_matching_accuracy,
    cluster_terms,
    score_clusters,
    stability,
)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int32)


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


def test_function_words_mark_a_cluster_by_what_it_has_more_of() -> None:
    """`the` is half of either cluster, and so marks none; `upon` is a half of the one, a quarter of
    all."""
    weights = csr_matrix(np.array([[2.0, 2.0, 0.0], [2.0, 0.0, 2.0]]))
    found = cluster_terms(
        weights, np.array([0, 1], dtype=np.int32), ["the", "upon", "while"], 3, are_common=True
    )
    assert [(one.cluster, one.term) for one in found] == [(0, "upon"), (1, "while")]
    assert [one.weight for one in found] == pytest.approx([0.5 * np.log(2)] * 2)


def test_stability_by_hand() -> None:
    """Two of three clusterings are one by another numbering; the third is at odds with both."""
    one, two = (np.array(x, dtype=np.int32) for x in ([0, 0, 1, 1], [1, 1, 0, 0]))
    across = np.array([0, 1, 0, 1], dtype=np.int32)
    assert stability([one, two]) == 1.0
    assert stability([one, two, across]) == pytest.approx((1 - 0.5 - 0.5) / 3)
    assert stability([one]) is None


def test_what_could_not_differ_is_not_called_stable() -> None:
    all_in_one, each_alone = np.zeros(4, np.int32), np.arange(4, dtype=np.int32)
    assert stability([all_in_one] * 3) is None
    assert stability([each_alone, each_alone[::-1]]) is None
    halves = np.array([0, 0, 1, 1], dtype=np.int32)
    assert stability([all_in_one, all_in_one, halves]) == 0, "of three pairs two count"
