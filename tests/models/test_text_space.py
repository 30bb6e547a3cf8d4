"""Correspondence analysis and company against brute force."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array

from models import text_space as module
from models.text_space import (
    TextSpace,
    VectorSpace,
    in_company,
    neighbours,
    neighbours_among,
    towards,
)


def some_features(num_texts: int = 12, num_terms: int = 8, seed: int = 0) -> csr_matrix:
    drawn = random_array(
        (num_texts, num_terms), density=0.5, rng=np.random.default_rng(seed), format="csr"
    )
    return csr_matrix(drawn)


def residuals(features_NV: csr_matrix) -> np.ndarray:
    """Shares less the mean ones, over the roots of the mean ones."""
    dense = features_NV.toarray()
    shares = dense / np.maximum(dense.sum(axis=1, keepdims=True), 1e-300)
    mean = shares.mean(axis=0)
    whole = shares.sum(axis=1, keepdims=True)
    return (shares - whole * mean) / np.sqrt(np.where(mean > 0, mean, 1))


@pytest.mark.parametrize("small", [0, 300])
def test_axes_are_the_singular_vectors_of_the_residuals(
    small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SMALL", small)
    features_NV = some_features()
    space = TextSpace.of(features_NV, 3)
    _, _, expected = np.linalg.svd(residuals(features_NV), full_matrices=False)
    np.testing.assert_allclose(np.abs(space.axes_VD.T), np.abs(expected[:3]), atol=1e-5)
    places = residuals(features_NV) @ space.axes_VD
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    np.testing.assert_allclose(space.points(features_NV), places, atol=1e-5)
    again = TextSpace.of(features_NV, 3)
    assert (again.axes_VD == space.axes_VD).all()


def test_angles_between_texts_are_those_of_chi_squared_residuals_when_all_axes_are_kept() -> None:
    features_NV = some_features()
    points = TextSpace.of(features_NV, 100).points(features_NV)
    whole = residuals(features_NV)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    np.testing.assert_allclose(points @ points.T, whole @ whole.T, atol=1e-4)


def test_what_sets_nothing_off_is_nowhere() -> None:
    same = csr_matrix(np.ones((4, 3)))
    assert not np.isnan(TextSpace.of(same, 2).points(same)).any()
    features_NV = some_features()
    space = TextSpace.of(features_NV, 3)
    assert (space.points(csr_matrix((2, 8))) == 0).all()
    one = csr_matrix(np.ones((1, 3)))
    assert TextSpace.of(one, 5).points(one).shape == (1, 1)


def test_features_are_texts_and_not_negative() -> None:
    with pytest.raises(ValueError, match="no texts"):
        TextSpace.of(csr_matrix((0, 3)), 2)
    with pytest.raises(ValueError, match=r"feature -1\.0"):
        TextSpace.of(csr_matrix([[-1.0, 1.0]]), 2)


@pytest.mark.parametrize("cosines_at_once", [1, 60, 10**6])
def test_neighbours_are_the_nearest_by_angle(
    cosines_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COSINES_AT_ONCE", cosines_at_once)
    points = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    means = neighbours(points, 3).toarray()
    for row, mean in enumerate(means):
        nearest = [n for n in np.argsort(-points @ points[row]) if n != row][:3]
        assert set(np.flatnonzero(mean)) == set(nearest)
        assert mean[nearest] == pytest.approx([1 / 3] * 3)
    assert neighbours(points[:1], 3).toarray().tolist() == [[0.0]]
    assert (neighbours(points[:2], 9).toarray() == [[0, 1], [1, 0]]).all()


def test_company_moves_points_on_the_sphere() -> None:
    points = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    means = csr_matrix(np.array([[0, 1, 0], [0.5, 0, 0.5], [1, 0, 0]]))
    moved = in_company(points, means, 0.5)
    root = 0.5**0.5
    np.testing.assert_allclose(moved, [[root, root], [root, root], [1, 0]], atol=1e-6)
    assert (in_company(points, means, 0) == points).all()


def test_vectors_are_placed_along_their_principal_components() -> None:
    """Against the singular vectors of the centred vectors; what all have in common says nothing."""
    drawn = np.random.default_rng(1).normal(size=(20, 6)) * [5, 3, 1, 1, 1, 1]
    vectors_NV = (drawn + 100).astype(np.float32)
    space = VectorSpace.of(vectors_NV, 2)
    centred = vectors_NV - vectors_NV.mean(axis=0)
    _, _, axes_DV = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(space.axes_VD.T), np.abs(axes_DV[:2]), atol=1e-3)
    places = centred @ space.axes_VD
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    np.testing.assert_allclose(space.points(vectors_NV), places, atol=1e-4)


def test_vectors_that_tell_nothing() -> None:
    same = np.ones((3, 4), dtype=np.float32)
    assert (VectorSpace.of(same, 9).points(same) == 0).all()
    with pytest.raises(ValueError, match="no texts"):
        VectorSpace.of(np.zeros((0, 4), dtype=np.float32), 2)
    with pytest.raises(ValueError, match="not finite"):
        VectorSpace.of(np.full((2, 4), np.nan, dtype=np.float32), 2)


def test_texts_without_a_known_word_stand_nowhere() -> None:
    vectors_NV = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    with_none_NV = np.concatenate([vectors_NV, np.zeros((2, 4), dtype=np.float32)])
    space = VectorSpace.of(with_none_NV, 3)
    np.testing.assert_array_equal(space.points(with_none_NV)[:9], space.points(vectors_NV))
    np.testing.assert_array_equal(space.axes_VD, VectorSpace.of(vectors_NV, 3).axes_VD)
    assert not space.points(with_none_NV)[9:].any()
    assert not VectorSpace.of(with_none_NV[9:], 3).points(with_none_NV[9:]).any()


@pytest.mark.parametrize("shape", [(3, 5), (400, 400), (512, 1024)])
def test_texts_that_are_all_alike_stand_nowhere(shape: tuple[int, int]) -> None:
    features_NV = csr_matrix(np.full(shape, 1 / shape[1] ** 0.5, dtype=np.float32))
    assert not TextSpace.of(features_NV, 50).points(features_NV).any()


def test_neighbours_among_others_by_hand() -> None:
    others = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    points = np.array([[0.8, 0.6]], dtype=np.float32)
    assert neighbours_among(points, others, 2, False).toarray().tolist() == [[0.5, 0.5, 0]]
    moved = towards(points, neighbours_among(points, others, 1, False), others, 0.5)
    np.testing.assert_allclose(moved, np.array([[0.9, 0.3]]) / np.hypot(0.9, 0.3), atol=1e-6)
