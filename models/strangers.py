"""Texts that fit nowhere, and the terms that make them so.

A text sets itself off from the mean by more or less of each term, in the scaled shares of
correspondence analysis (models/text_space.py). Its code tells some of that. What it leaves untold,
term by term, is the text's strangeness.

    deviation of a term    share / sqrt(mean share) - sqrt(mean share)
    what the code tells    (point - error of the point), as long as before it got length 1, back
                           along the axes

Shapes: N texts, B texts of a batch, V terms, D dimensions.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize

from models.text_space import Points, TextSpace
from models.threads import one_thread

_VALUES_AT_ONCE = 4_000_000  # of a batch's texts by terms, 8 bytes each, a few times over
_RAREST = 1e-12  # mean share of a term that no text of the space had


class _Batch(NamedTuple):
    """Some texts' shares, deviations, and what is left of these untold, all float64."""

    shares_BV: csr_matrix
    deviation_BV: npt.NDArray[np.float64]
    untold_BV: npt.NDArray[np.float64]


def term_errors(
    features_NV: csr_matrix, space: TextSpace, points_ND: Points, errors_ND: Points
) -> npt.NDArray[np.float32]:
    """What codes leave untold of each term: mean squared error over all texts, in the scaled shares
    of correspondence analysis. 0 without texts.

    Args:
        features_NV: the texts' weights, as the space was made from.
        space: the texts' space.
        points_ND: their places in it, of length 1.
        errors_ND: these less what the codes say of them.

    Raises:
        ValueError: shapes disagree.
    """
    sum_V = np.zeros(features_NV.shape[1])
    for batch in _batches(features_NV, space, points_ND, errors_ND):
        sum_V += np.square(batch.untold_BV).sum(axis=0)
    return (sum_V / max(1, features_NV.shape[0])).astype(np.float32)


def strange_terms(
    features_NV: csr_matrix, space: TextSpace, points_ND: Points, errors_ND: Points, top_n: int
) -> list[list[int]]:
    """The terms of each text that its code tells least of, worst first.

    These are terms that stand in the text, more often than in the mean text, and more often than
    its code tells; the error of each is squared. Of equal ones the earlier term comes first.

    Args:
        features_NV: as for `term_errors`, like the others.
        top_n: so many a text, fewer where fewer terms are such.

    Raises:
        ValueError: shapes disagree, or top_n is below 1.
    """
    if top_n < 1:
        raise ValueError(f"top_n is {top_n}; ask for at least 1 term a text")
    found = []
    for shares_BV, deviation_BV, untold_BV in _batches(features_NV, space, points_ND, errors_ND):
        for row in range(shares_BV.shape[0]):
            own = np.sort(shares_BV.indices[shares_BV.indptr[row] : shares_BV.indptr[row + 1]])
            own = own[(deviation_BV[row, own] > 0) & (untold_BV[row, own] > 0)]
            worst = own[np.argsort(-np.square(untold_BV[row, own]), kind="stable")[:top_n]]
            found.append(worst.tolist())
    return found


def _batches(
    features_NV: csr_matrix, space: TextSpace, points_ND: Points, errors_ND: Points
) -> Iterator[_Batch]:
    num_texts, num_terms = features_NV.shape
    if space.axes_VD.shape[0] != num_terms:
        raise ValueError(
            f"features of {num_terms} terms don't fit a space of {space.axes_VD.shape[0]}"
        )
    expected = (num_texts, space.axes_VD.shape[1])
    if not points_ND.shape == errors_ND.shape == expected:
        raise ValueError(
            f"points {points_ND.shape} and errors {errors_ND.shape} don't fit {expected[0]} texts "
            f"in {expected[1]} dimensions"
        )
    root_V = np.sqrt(space.mean_V.astype(np.float64))
    inverse_V = np.where(space.mean_V > _RAREST, 1 / np.maximum(root_V, _RAREST), 0.0)
    axes_VD = space.axes_VD.astype(np.float64)
    texts_at_once = max(1, _VALUES_AT_ONCE // max(1, num_terms))
    for start in range(0, num_texts, texts_at_once):
        own = slice(start, start + texts_at_once)
        shares_BV = csr_matrix(normalize(features_NV[own].astype(np.float64), norm="l1"))
        shares_BV.eliminate_zeros()
        whole_B1 = np.asarray(shares_BV.sum(axis=1)).reshape(-1, 1)
        share_BV: npt.NDArray[np.float64] = shares_BV.toarray()
        deviation_BV = share_BV * inverse_V - whole_B1 * root_V
        told_BD = points_ND[own].astype(np.float64) - errors_ND[own]
        with one_thread():
            length_B1 = np.linalg.norm(deviation_BV @ axes_VD, axis=1, keepdims=True)
            told_BV = (length_B1 * told_BD) @ axes_VD.T
        yield _Batch(shares_BV, deviation_BV, deviation_BV - told_BV)
