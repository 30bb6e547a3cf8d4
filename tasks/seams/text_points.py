"""Texts as the autoencoders read them: points of a space, from their weights or their vectors.

Shapes: N texts, V terms or numbers of a vector, D dimensions.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_matrix

from data.text_schemas import TEXT_VECTORS
from models.text_clusters import ClusterRecipe
from models.text_space import Points, TextSpace, VectorSpace
from tasks.seams.step_cache import StepRun


class TextPoints(NamedTuple):
    """A space, and where the texts stand in it."""

    space: TextSpace | VectorSpace
    points: Points


def text_points(run: StepRun, features_NV: csr_matrix, recipe: ClusterRecipe) -> TextPoints:
    """Texts by their vectors, where an earlier step wrote these, else by their terms.

    Raises:
        ValueError: there is no text, or a number is out of range.
    """
    if run.has(TEXT_VECTORS):
        vectors_NV = code_matrix(run.read(TEXT_VECTORS)["vector"])
        dense = VectorSpace.of(vectors_NV, recipe.num_dimensions)
        return TextPoints(dense, dense.points(vectors_NV))
    space = TextSpace.of(features_NV, recipe.num_dimensions)
    return TextPoints(space, space.points(features_NV))


def features_matrix(texts: pa.Table, num_terms: int) -> csr_matrix:
    """The rows of `text_features` as a sparse matrix."""
    term_ids = texts["term_ids"].combine_chunks()
    weights = texts["weights"].combine_chunks().flatten()
    parts = (np.asarray(weights), np.asarray(term_ids.flatten()), np.asarray(term_ids.offsets))
    return csr_matrix(parts, shape=(len(texts), num_terms))


def code_matrix(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """A column of lists of one length as a matrix."""
    flat = np.asarray(column.combine_chunks().flatten(), dtype=np.float32)
    return flat.reshape(len(column), -1).copy()
