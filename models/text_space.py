"""Texts as points: correspondence analysis of their terms, and the company that texts keep.

Rows of unit length hide what a text has more of than others behind what all have much of; shares
over the roots of mean shares do not. On the sets of docs/experiments.md it is the one space, of
those tried, in which clusters of topic and of style both show.

Shapes: N texts, V terms, D dimensions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, svds
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

Points = npt.NDArray[np.float32]
_COSINES_AT_ONCE = 10_000_000  # 16 bytes each
_RAREST = 1e-12
_SMALL = 300  # texts or terms: all axes at once take less time than some one by one


@dataclass(frozen=True)
class TextSpace:
    """Greenacre, "Correspondence analysis in practice" (2007), chapter 4, for texts as rows.

    mean_V: the terms' mean shares. axes_VD: orthonormal, by falling inertia.
    """

    mean_V: Points
    axes_VD: Points

    @staticmethod
    def of(features_NV: csr_matrix, num_dimensions: int) -> "TextSpace":
        """The space of some texts, with fewer dimensions where there are fewer texts or terms.

        Raises:
            ValueError: there is no text, or a feature is negative.
        """
        num_texts, num_terms = features_NV.shape
        if not num_texts:
            raise ValueError("there are no texts to place")
        if features_NV.nnz and not features_NV.data.min() >= 0:  # also catches not-a-number
            raise ValueError(f"feature {features_NV.data.min()} is no weight; weights are >= 0")
        shares_NV = _shares(features_NV)
        mean_V = np.asarray(shares_NV.mean(axis=0)).ravel()
        scaled_NV, root_V = _scaled(shares_NV, mean_V), np.sqrt(mean_V)
        whole_N = np.asarray(shares_NV.sum(axis=1)).ravel()  # 1, or 0 of a text without terms
        wanted = max(1, min(num_dimensions, min(num_texts, num_terms) - 1))
        # Sums split among threads come in another order, and so in other bits, from run to run.
        with threadpool_limits(limits=1):
            if min(num_texts, num_terms) <= _SMALL:
                residual_NV = scaled_NV.toarray() - np.outer(whole_N, root_V)
                axes_DV = np.linalg.svd(residual_NV, full_matrices=False)[2][:wanted]
            else:
                residuals = LinearOperator(
                    features_NV.shape,
                    matvec=lambda v: scaled_NV @ v.ravel() - whole_N * (root_V @ v.ravel()),
                    rmatvec=lambda u: scaled_NV.T @ u.ravel() - root_V * (whole_N @ u.ravel()),
                    dtype=np.float64,
                )
                # A start of its own, or ARPACK draws one.
                start = np.cos(np.arange(min(features_NV.shape), dtype=np.float64))
                _, singular, axes_DV = svds(residuals, k=wanted, v0=start)
                axes_DV = axes_DV[np.argsort(-singular, kind="stable")]
        largest = np.abs(axes_DV).argmax(axis=1)
        axes_DV = axes_DV * np.sign(axes_DV[np.arange(len(axes_DV)), largest])[:, None]
        return TextSpace(mean_V.astype(np.float32), np.ascontiguousarray(axes_DV.T, np.float32))

    def points(self, features_NV: csr_matrix) -> Points:
        """Places_ND of texts, of length 1: what sets them off, not how much. Of texts without
        known terms 0.
        """
        shares_NV = _shares(features_NV)
        whole_N1 = np.asarray(shares_NV.sum(axis=1))
        scaled_NV = _scaled(shares_NV, self.mean_V.astype(np.float64))
        with threadpool_limits(limits=1):
            places_ND = scaled_NV @ self.axes_VD - whole_N1 * (np.sqrt(self.mean_V) @ self.axes_VD)
        return _unit(places_ND)


def neighbours(points_ND: Points, num_neighbours: int) -> csr_matrix:
    """Means over each point's nearest others by angle, as a matrix_NN of weights."""
    num_points = len(points_ND)
    count = min(num_neighbours, num_points - 1)
    if count < 1:
        return csr_matrix(np.zeros((num_points, num_points), dtype=np.float32))
    nearest = []
    with threadpool_limits(limits=1):
        rows_at_once = max(1, _COSINES_AT_ONCE // num_points)
        for start in range(0, num_points, rows_at_once):
            cosine_BN = points_ND[start : start + rows_at_once] @ points_ND.T
            rows = np.arange(len(cosine_BN))
            cosine_BN[rows, start + rows] = -np.inf
            nearest.append(np.argpartition(-cosine_BN, count - 1, axis=1)[:, :count])
    columns = np.concatenate(nearest).ravel()
    rows = np.repeat(np.arange(num_points), count)
    weights = np.full(len(columns), 1 / count, dtype=np.float32)
    return csr_matrix((weights, (rows, columns)), shape=(num_points, num_points))


def in_company(points_ND: Points, means_NN: csr_matrix, share: float) -> Points:
    """Points moved towards the means of their neighbours by a share in [0, 1], of length 1."""
    moved = (1 - share) * points_ND + share * (means_NN @ points_ND)
    return _unit(moved)


def _unit(points_ND: npt.NDArray[np.floating]) -> Points:
    unit_ND: Points = normalize(points_ND).astype(np.float32)
    return unit_ND


def _shares(features_NV: csr_matrix) -> csr_matrix:
    return csr_matrix(normalize(features_NV.astype(np.float64), norm="l1"))


def _scaled(shares_NV: csr_matrix, mean_V: npt.NDArray[np.float64]) -> csr_matrix:
    """Shares over the roots of the mean ones; a term that no text had stands for nothing."""
    root_V = np.sqrt(mean_V)
    inverse_V = np.where(mean_V > _RAREST, 1 / np.maximum(root_V, _RAREST), 0.0)
    return csr_matrix(shares_NV.multiply(inverse_V[None]))
