"""Texts as points: correspondence analysis of their terms, principal components of their vectors,
and the company that texts keep.

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

from models.threads import one_thread

Points = npt.NDArray[np.float32]
_COSINES_AT_ONCE = 10_000_000  # 16 bytes each
_RAREST = 1e-12
_NO_INERTIA = 1e-12  # of the squared shares: less is what rounding leaves where all texts are alike
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
        with one_thread():
            squares = float(np.square(scaled_NV.data).sum())
            inertia = (
                squares - 2 * whole_N @ (scaled_NV @ root_V) + whole_N @ whole_N * mean_V.sum()
            )
            if inertia <= _NO_INERTIA * squares:  # nothing sets any text off
                return TextSpace(mean_V.astype(np.float32), np.zeros((num_terms, 1), np.float32))
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
        axes_VD = np.ascontiguousarray(_turned(axes_DV).T, np.float32)
        return TextSpace(mean_V.astype(np.float32), axes_VD)

    def points(self, features_NV: csr_matrix) -> Points:
        """Places_ND of texts, of length 1: what sets them off, not how much. Of texts without
        known terms 0.
        """
        shares_NV = _shares(features_NV)
        whole_N1 = np.asarray(shares_NV.sum(axis=1))
        scaled_NV = _scaled(shares_NV, self.mean_V.astype(np.float64))
        with one_thread():
            places_ND = scaled_NV @ self.axes_VD - whole_N1 * (np.sqrt(self.mean_V) @ self.axes_VD)
        return _unit(places_ND)


@dataclass(frozen=True)
class VectorSpace:
    """Principal components, for texts that are dense vectors: means of word vectors or of states.

    Such means have one large part in common, which says nothing: it goes first (Mu and Viswanath,
    "All-but-the-top", 2018). mean_V: the mean of the vectors that are not 0. axes_VD: orthonormal,
    by falling variance.
    """

    mean_V: Points
    axes_VD: Points

    @staticmethod
    def of(vectors_NV: Points, num_dimensions: int) -> "VectorSpace":
        """The space of some texts, with fewer dimensions where there are fewer texts or numbers.

        Raises:
            ValueError: there is no text, or a number is not finite.
        """
        num_texts, width = vectors_NV.shape
        if not num_texts:
            raise ValueError("there are no texts to place")
        if not np.isfinite(vectors_NV).all():
            raise ValueError("a text's vector holds a number that is not finite")
        wanted = max(1, min(num_dimensions, num_texts - 1, width))
        known_NV = vectors_NV[vectors_NV.any(axis=1)]
        mean_V = known_NV.mean(axis=0, dtype=np.float64) if len(known_NV) else np.zeros(width)
        with one_thread():
            centred_NV = known_NV - mean_V
            values, axes_VV = np.linalg.eigh(centred_NV.T @ centred_NV)
        axes_VD = axes_VV[:, np.argsort(-values, kind="stable")[:wanted]]
        return VectorSpace(mean_V.astype(np.float32), _turned(axes_VD.T).T.astype(np.float32))

    def points(self, vectors_NV: Points) -> Points:
        """Places_ND of texts, of length 1, or 0 of a text that is the mean of all, and of one whose
        vector is 0, since nothing in it was known.
        """
        with one_thread():
            points_ND = _unit((vectors_NV - self.mean_V) @ self.axes_VD)
        points_ND[~vectors_NV.any(axis=1)] = 0
        return points_ND


def neighbours(points_ND: Points, num_neighbours: int) -> csr_matrix:
    """Means over each point's nearest others by angle, as a matrix_NN of weights."""
    return neighbours_among(points_ND, points_ND, num_neighbours, are_same=True)


def neighbours_among(
    points_MD: Points, others_ND: Points, num_neighbours: int, are_same: bool
) -> csr_matrix:
    """Means over the nearest by angle among other points, as a matrix_MN of weights.

    Where the others are the points themselves, none is its own neighbour.
    """
    shape = len(points_MD), len(others_ND)
    count = min(num_neighbours, len(others_ND) - are_same)
    if count < 1:
        none = np.zeros(0, dtype=np.int64)
        return csr_matrix((none.astype(np.float32), (none, none)), shape=shape)
    nearest = []
    with one_thread():
        rows_at_once = max(1, _COSINES_AT_ONCE // len(others_ND))
        for start in range(0, len(points_MD), rows_at_once):
            cosine_BN = points_MD[start : start + rows_at_once] @ others_ND.T
            if are_same:
                rows = np.arange(len(cosine_BN))
                cosine_BN[rows, start + rows] = -np.inf
            # A view would keep all of the block.
            nearest.append(np.argpartition(-cosine_BN, count - 1, axis=1)[:, :count].copy())
    columns = np.concatenate(nearest).ravel()
    rows = np.repeat(np.arange(len(points_MD)), count)
    weights = np.full(len(columns), 1 / count, dtype=np.float32)
    return csr_matrix((weights, (rows, columns)), shape=shape)


def in_company(points_ND: Points, means_NN: csr_matrix, share: float) -> Points:
    """Points moved towards the means of their neighbours by a share in [0, 1], of length 1."""
    return towards(points_ND, means_NN, points_ND, share)


def towards(points_MD: Points, means_MN: csr_matrix, others_ND: Points, share: float) -> Points:
    """Points moved towards means over other points by a share in [0, 1], of length 1."""
    moved_MD = (1 - share) * points_MD + share * (means_MN @ others_ND)
    return _unit(moved_MD)


def _unit(points_ND: npt.NDArray[np.floating]) -> Points:
    unit_ND: Points = normalize(points_ND).astype(np.float32)
    return unit_ND


def _turned(axes_DV: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """The axes, each turned so that its largest number is positive: of two ways, always one."""
    largest = np.abs(axes_DV).argmax(axis=1)
    turned_DV: npt.NDArray[np.floating] = (
        axes_DV * np.sign(axes_DV[np.arange(len(axes_DV)), largest])[:, None]
    )
    return turned_DV


def _shares(features_NV: csr_matrix) -> csr_matrix:
    return csr_matrix(normalize(features_NV.astype(np.float64), norm="l1"))


def _scaled(shares_NV: csr_matrix, mean_V: npt.NDArray[np.float64]) -> csr_matrix:
    """Shares over the roots of the mean ones; a term that no text had stands for nothing."""
    root_V = np.sqrt(mean_V)
    inverse_V = np.where(mean_V > _RAREST, 1 / np.maximum(root_V, _RAREST), 0.0)
    return csr_matrix(shares_NV.multiply(inverse_V[None]))
