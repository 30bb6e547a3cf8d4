"""How many clusters: evidence against scikit-learn, and blobs whose number is known."""

import warnings

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import normalize

from models import cluster_count as module
from models.cluster_count import (
    CountEvidence,
    best_count,
    candidate_counts,
    count_evidence,
    silhouette,
)
from models.text_clusters import ClusterRecipe, group_codes


def k_means(codes_NC: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    found: np.ndarray = KMeans(num_clusters, n_init=3, random_state=seed).fit(codes_NC).labels_
    return found


def in_company(codes_NC: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    return group_codes(codes_NC, ClusterRecipe(), num_clusters, seed).cluster_N


def blobs(num_blobs: int, num_texts: int = 120, spread: float = 0.3) -> np.ndarray:
    """Codes of length 1, as many about each of some directions that are at right angles."""
    random = np.random.default_rng(num_blobs)
    centres = np.eye(16)[np.arange(num_texts) % num_blobs]
    codes_NC: np.ndarray = normalize(centres + spread / 4 * random.normal(size=centres.shape))
    return codes_NC.astype(np.float32)


@pytest.mark.parametrize(
    ("num_blobs", "group"),
    [(2, k_means), (3, k_means), (5, k_means), (8, k_means), (5, in_company)],
)
def test_the_number_of_blobs_is_found(num_blobs: int, group: module.Group) -> None:
    codes_NC = blobs(num_blobs)
    evidence = count_evidence(codes_NC, group, candidate_counts(50), seed=0)
    assert [one.num_clusters for one in evidence] == candidate_counts(50)
    assert best_count(evidence) == num_blobs
    [found] = [one for one in evidence if one.num_clusters == num_blobs]
    assert found.stability == 1
    assert found.silhouette == max(one.silhouette for one in evidence)


def test_a_cloud_without_parts_is_one_cluster() -> None:
    codes_NC = normalize(np.random.default_rng(0).normal(size=(200, 20))).astype(np.float32)
    evidence = count_evidence(codes_NC, k_means, [2, 3, 5, 8], seed=0)
    assert max(one.stability for one in evidence) < 0.5
    assert best_count(evidence) == 1


def test_the_rule_by_hand() -> None:
    def of(*rows: tuple[int, float, float]) -> int:
        return best_count([CountEvidence(*row) for row in rows])

    assert (
        of((2, 0.3, 0.95), (4, 0.5, 0.8), (8, 0.9, 0.79)) == 4
    )  # the furthest apart of the stable
    assert of((2, 0.3, 0.6), (4, 0.4, 0.7), (8, 0.5, 0.5)) == 4  # none is stable: the product
    assert of((2, 0.3, 0.49), (3, 0.9, 0.2)) == 1
    assert of((2, -0.1, 0.9), (3, 0.0, 1.0)) == 1
    assert of((5, 0.4, 0.9), (3, 0.4, 0.9)) == 3
    assert of() == 1


def test_silhouette_is_that_of_scikit_learn_by_cosine() -> None:
    random = np.random.default_rng(3)
    codes_NC = random.normal(size=(50, 7)).astype(np.float32)
    cluster_N = random.integers(4, size=50, dtype=np.int32)
    cluster_N[0] = 9  # alone, which counts as 0
    expected = silhouette_score(codes_NC, cluster_N, metric="cosine")
    assert silhouette(codes_NC, cluster_N) == pytest.approx(expected, abs=1e-6)
    codes_NC[1] = 0
    expected = silhouette_score(codes_NC, cluster_N, metric="cosine")
    assert silhouette(codes_NC, cluster_N) == pytest.approx(expected, abs=1e-6)
    assert silhouette(codes_NC, np.zeros(50, dtype=np.int32)) == 0


def test_stability_is_agreement_on_the_texts_in_both_samples() -> None:
    """A grouping by what stands in the code agrees with itself; one by the order of the texts of
    a sample doesn't.
    """
    codes_NC = np.arange(1, 41, dtype=np.float32)[:, None]

    def by_code(codes_SC: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
        return (codes_SC[:, 0] % num_clusters).astype(np.int32)

    def by_order(codes_SC: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
        return np.arange(len(codes_SC), dtype=np.int32) % num_clusters

    assert [one.stability for one in count_evidence(codes_NC, by_code, [2, 3], 0)] == [1, 1]
    assert max(one.stability for one in count_evidence(codes_NC, by_order, [2, 3], 0)) < 0.4


def test_same_seed_same_evidence_and_every_candidate_is_reported() -> None:
    done = []
    codes_NC = blobs(3, spread=1.5)
    one = count_evidence(codes_NC, k_means, [2, 3, 4], 7, lambda: done.append(1))
    assert one == count_evidence(codes_NC, k_means, [2, 3, 4], 7)
    assert len(done) == 3


def test_of_many_texts_some_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_TEXTS", 50)
    sizes = []

    def group(codes_SC: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
        sizes.append(len(codes_SC))
        return k_means(codes_SC, num_clusters, seed)

    evidence = count_evidence(blobs(4), group, [2, 3, 4, 5], 0)
    assert {*sizes} == {50, 40}
    assert best_count(evidence) == 4


@pytest.mark.parametrize("group", [k_means, in_company])
def test_equal_codes_are_one_cluster(group: module.Group) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evidence = count_evidence(np.ones((20, 3), dtype=np.float32), group, [2, 4], 0)
    assert evidence == [CountEvidence(2, 0, 0), CountEvidence(4, 0, 0)]
    assert best_count(evidence) == 1


@pytest.mark.parametrize("num_texts", range(4))
def test_fewer_than_four_texts_have_no_evidence(num_texts: int) -> None:
    assert candidate_counts(num_texts) == []
    assert count_evidence(np.eye(3, dtype=np.float32)[:num_texts], k_means, [], 0) == []


def test_candidates_leave_five_texts_a_cluster() -> None:
    assert candidate_counts(4) == candidate_counts(14) == [2]
    assert candidate_counts(25) == [2, 3, 4, 5]
    assert candidate_counts(1000) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 25, 30]
    for num_texts in (4, 5, 6, 9, 11, 30):
        codes_NC = np.random.default_rng(0).normal(size=(num_texts, 3)).astype(np.float32)
        counts = candidate_counts(num_texts)
        assert len(count_evidence(codes_NC, k_means, counts[-1:], 0)) == 1


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(
        ValueError, match="9 is no number of clusters to try for 10 texts; try 2 to"
    ):
        count_evidence(blobs(2, num_texts=10), k_means, [2, 9], 0)
    with pytest.raises(ValueError, match="1 is no number"):
        count_evidence(blobs(2, num_texts=10), k_means, [1], 0)
