"""Ways to cluster, on topics that were planted."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from models.cluster_methods import BASELINES, METHODS
from models.clusterers import grouped, kmeans

PLANTED_N = np.repeat(np.array([0, 1, 2], dtype=np.int32), [9, 7, 5])


def planted_topics(seed: int = 0) -> csr_matrix:
    """21 texts of three topics that share no term but a faint one."""
    random = np.random.default_rng(seed)
    weights_NV = np.kron(np.eye(3), np.ones(4))[PLANTED_N] * random.uniform(0.5, 1, (21, 12))
    weights_NV = np.hstack([weights_NV, np.full((21, 1), 0.1)])
    return csr_matrix(weights_NV / np.linalg.norm(weights_NV, axis=1, keepdims=True), dtype="f4")


@pytest.mark.parametrize("name", METHODS)
def test_planted_topics_are_found_by_each_method_and_numbered_by_size(name: str) -> None:
    features_NV = planted_topics()
    orders = np.arange(21), np.arange(21), np.random.default_rng(1).permutation(21)
    for order, seed in zip(orders, (0, 1, 1), strict=True):
        found = METHODS[name](features_NV[order], 3, seed)
        assert found.tolist() == PLANTED_N[order].tolist()


@pytest.mark.parametrize("clusterer", ["kmeans", "gaussian_mixture", "hdbscan"])
def test_blobs_are_found_by_each_clusterer(clusterer: str) -> None:
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), [40, 30, 20])
    codes_NC = (np.eye(3)[truth] * 9 + random.normal(size=(90, 3))).astype(np.float32)
    found = grouped(codes_NC, clusterer, 3, 1)  # type: ignore[arg-type]
    assert found.cluster_N.tolist() == truth.tolist()
    assert found.cluster_N.dtype == np.int32
    assert ((found.membership_N >= 0) & (found.membership_N <= 1)).all()
    with pytest.raises(ValueError, match="90 texts can't be parted into 91"):
        grouped(codes_NC, clusterer, 91, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("clusterer", ["kmeans", "gaussian_mixture", "hdbscan"])
@pytest.mark.parametrize(
    ("codes_NC", "num_clusters", "num_found"),
    [
        (np.ones((1, 3)), 1, {1}),
        (np.full((9, 3), 0.1), 4, {1}),
        (np.zeros((9, 3)), 9, {1}),
        (np.repeat(np.eye(2), 8, axis=0), 2, {2}),
        (np.repeat(np.eye(2), 8, axis=0), 5, {2}),
        (np.eye(4), 4, {1, 4}),  # HDBSCAN sees none of them dense
        (np.eye(2), 1, {1, 2}),
    ],
)
def test_codes_that_are_few_or_alike(
    clusterer: Any, codes_NC: np.ndarray, num_clusters: int, num_found: set[int]
) -> None:
    found = grouped(codes_NC.astype(np.float32), clusterer, num_clusters, 0)
    assert len(set(found.cluster_N.tolist())) in num_found
    assert set(found.cluster_N) == set(range(found.cluster_N.max() + 1))
    assert ((found.membership_N >= 0) & (found.membership_N <= 1)).all()


def test_a_centre_that_is_there_twice_takes_no_share() -> None:
    codes_NC = np.array([[0.0], [0], [3], [3]], dtype=np.float32)
    np.testing.assert_allclose(kmeans(codes_NC, 4, 0).membership_N, 1 / 1.1, rtol=1e-6)


def test_density_is_not_for_very_many_texts() -> None:
    with pytest.raises(ValueError, match="20001 texts are too many for HDBSCAN"):
        grouped(np.zeros((20_001, 1), np.float32), "hdbscan", 3, 0)


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize(
    "features", [np.ones((1, 4)), np.ones((6, 4)), np.zeros((6, 4)), np.ones((6, 1))]
)
def test_baselines_on_texts_that_are_all_alike(name: str, features: np.ndarray) -> None:
    for num_clusters in {1, len(features)}:
        found = BASELINES[name](csr_matrix(features, dtype="f4"), num_clusters, 0)
        # Which topic is foremost in all of them, rounding may say of each.
        most = num_clusters if name == "NMF" else 1
        assert found.shape == (len(features),) and set(found) == set(range(found.max() + 1))
        assert found.max() < most


def test_nmf_may_have_more_topics_than_terms() -> None:
    found = BASELINES["NMF"](csr_matrix(np.eye(6)[:, :4], dtype="f4"), 5, 0)
    assert found.shape == (6,) and found.max() < 5


def test_a_text_in_no_cluster_of_density_goes_to_the_nearest_without_membership() -> None:
    random = np.random.default_rng(0)
    codes_NC = np.concatenate(
        [random.normal(size=(40, 2)), random.normal(20, 1, size=(30, 2)), [[200.0, 250.0]]]
    )
    found = grouped(codes_NC.astype(np.float32), "hdbscan", 2, 0)
    assert found.cluster_N[-1] == 1 and found.membership_N[-1] == 0


def test_what_has_no_clusters_of_density_is_one() -> None:
    codes_NC = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    found = grouped(codes_NC, "hdbscan", 3, 0)
    assert set(found.cluster_N) == {0} and not found.membership_N.any()


@pytest.mark.parametrize("wanted", [2, 3])
def test_clusters_of_density_are_kept_where_others_were_wanted(wanted: int) -> None:
    random = np.random.default_rng(0)
    truth_N = np.repeat(range(4), 30)
    corners_42 = np.array([[0, 0], [9, 0], [0, 9], [9, 9]])
    codes_NC = corners_42[truth_N] + random.normal(scale=0.1, size=(120, 2))
    found = grouped(codes_NC.astype(np.float32), "hdbscan", wanted, 0)
    assert found.cluster_N.tolist() == truth_N.tolist()
    assert found.membership_N.mean() > 0.5


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
