"""A finished map, with all that it takes to place another text on it, as one value.

As bytes it is a safetensors file; see `packing`.

Shapes: N texts of the map, M new texts, V terms (or numbers of a vector), D dimensions, C code
width, K clusters.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.cluster_texts import cluster_centres
from models.code_ensemble import CodeEnsemble, encode
from models.packing import DAMAGE, content_digest, packed, unpacked
from models.text_clusters import ClusterRecipe, new_ensemble
from models.text_space import Points, TextSpace, VectorSpace, neighbours_among, towards

MODEL_PREFIX = "model."
SPACES: Mapping[str, type[TextSpace] | type[VectorSpace]] = {
    "terms": TextSpace,
    "vectors": VectorSpace,
}


@dataclass(frozen=True)
class MappedTexts:
    """The texts that the map was drawn of.

    titles, headings: the book and the section that each is from.
    membership_N: how surely each text is in its cluster, 0 to 1.
    cluster_terms: for each cluster, the terms that mark it, best first.
    """

    codes_NC: Points
    map_N2: Points
    cluster_N: npt.NDArray[np.int32]
    membership_N: Points
    titles: Sequence[str]
    headings: Sequence[str]
    cluster_terms: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Placement:
    """Where new texts come to lie.

    map_M2: places on the plane.
    cluster_M: the cluster that each belongs to.
    membership_M: how surely, 0 to 1.
    error_M: how badly a text fits its code, in [0, about 1].
    nearest_MJ: texts of the map with the nearest codes, the nearest first.
    """

    map_M2: Points
    cluster_M: npt.NDArray[np.int32]
    membership_M: Points
    error_M: Points
    nearest_MJ: npt.NDArray[np.int64]


@dataclass(frozen=True)
class TextMap:
    """The space, the autoencoders and the texts of a map.

    terms and inverse_document_frequency_V: what the columns of new texts' weights must be; empty
    where texts are vectors. settings: how texts became weights or vectors, in plain values.
    """

    space: TextSpace | VectorSpace
    recipe: ClusterRecipe
    model: CodeEnsemble
    texts: MappedTexts
    terms: Sequence[str]
    inverse_document_frequency_V: Points
    settings: Mapping[str, Any]

    def place(self, points_MD: Points, num_nearest: int = 5) -> Placement:
        """Where texts lie whose points in the map's space are these.

        On a map of k-means clusters their codes move towards those of their nearest texts of the
        map, as those did towards each other's; the nearest centre is their cluster, its share under
        the kernel of `clusterers.kmeans` their membership. Other clusters are no matter of a centre
        alone: there it is the mean membership of the nearest texts that decides, and is their own.
        """
        texts, recipe = self.texts, self.recipe
        encoding = encode(self.model, points_MD)
        own_NN = neighbours_among(texts.codes_NC, texts.codes_NC, recipe.num_neighbours, True)
        centres_KC = cluster_centres(
            towards(texts.codes_NC, own_NN, texts.codes_NC, recipe.company_share), texts.cluster_N
        )
        nearest_MN = neighbours_among(
            encoding.codes_NC, texts.codes_NC, recipe.num_neighbours, False
        )
        moved_MC = towards(encoding.codes_NC, nearest_MN, texts.codes_NC, recipe.company_share)
        squared_MK = np.square(moved_MC[:, None] - centres_KC[None]).sum(axis=2)
        kernel_MK = 1 / (1 + squared_MK.astype(np.float64))
        share_MK = kernel_MK / kernel_MK.sum(axis=1, keepdims=True)
        cluster_M = share_MK.argmax(axis=1)
        if recipe.clusterer != "kmeans":
            member_NK = np.eye(len(centres_KC))[texts.cluster_N] * texts.membership_N[:, None]
            share_MK = nearest_MN @ member_NK
            # Where no near text is surely in any, the nearest centre has to do.
            cluster_M = np.where(share_MK.any(axis=1), share_MK.argmax(axis=1), cluster_M)
        cosine_MN = encoding.codes_NC @ texts.codes_NC.T
        return Placement(
            encoding.map_N2,
            cluster_M.astype(np.int32),
            share_MK[np.arange(len(share_MK)), cluster_M].astype(np.float32),
            np.square(encoding.errors_ND).sum(axis=1),
            np.argsort(-cosine_MN, axis=1, kind="stable")[:, :num_nearest],
        )

    def to_bytes(self) -> bytes:
        """The map as a safetensors file; the same map gives the same bytes."""
        return packed(self._tensors(), self._metadata())

    def digest(self) -> str:
        """SHA-256 over every tensor's name, type, shape and values, and the rest."""
        return content_digest(self._tensors(), self._metadata())

    @staticmethod
    def from_bytes(content: bytes) -> "TextMap":
        """The map in a safetensors file, ready to place texts.

        Raises:
            ValueError: these are not the bytes of a map.
        """
        try:
            return _read(content)
        except DAMAGE as error:
            raise ValueError(f"this is no map of bookloom: {error}") from error

    def _tensors(self) -> dict[str, Tensor]:
        arrays = {
            "space.mean_V": self.space.mean_V,
            "space.axes_VD": self.space.axes_VD,
            "inverse_document_frequency_V": self.inverse_document_frequency_V,
            "codes_NC": self.texts.codes_NC,
            "map_N2": self.texts.map_N2,
            "cluster_N": self.texts.cluster_N,
            "membership_N": self.texts.membership_N,
        }
        tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
        return tensors | {f"{MODEL_PREFIX}{k}": v for k, v in self.model.state_dict().items()}

    def _metadata(self) -> str:
        [space] = [name for name, kind in SPACES.items() if isinstance(self.space, kind)]
        return json.dumps(
            {
                "space": space,
                "recipe": asdict(self.recipe),
                "titles": list(self.texts.titles),
                "headings": list(self.texts.headings),
                "cluster_terms": [list(terms) for terms in self.texts.cluster_terms],
                "terms": list(self.terms),
                "settings": dict(self.settings),
            },
            sort_keys=True,
            ensure_ascii=False,
        )


def _read(content: bytes) -> TextMap:
    tensors, metadata = unpacked(content)
    arrays = {k: v.numpy() for k, v in tensors.items() if not k.startswith(MODEL_PREFIX)}
    space = SPACES[metadata["space"]](arrays["space.mean_V"], arrays["space.axes_VD"])
    recipe = ClusterRecipe.from_json(metadata["recipe"])
    model = new_ensemble(space.axes_VD.shape[1], recipe, seed=0)
    model.load_state_dict(
        {k.removeprefix(MODEL_PREFIX): v for k, v in tensors.items() if k.startswith(MODEL_PREFIX)}
    )
    texts = MappedTexts(
        arrays["codes_NC"],
        arrays["map_N2"],
        arrays["cluster_N"],
        arrays["membership_N"],
        metadata["titles"],
        metadata["headings"],
        metadata["cluster_terms"],
    )
    columns = (texts.map_N2, texts.cluster_N, texts.membership_N, texts.titles, texts.headings)
    if {len(column) for column in columns} != {len(texts.codes_NC)}:
        raise ValueError("its texts' columns differ in length")
    idf_V = arrays["inverse_document_frequency_V"]
    if len(idf_V) != len(metadata["terms"]):
        raise ValueError(f"{len(idf_V)} weights for {len(metadata['terms'])} terms")
    return TextMap(space, recipe, model, texts, metadata["terms"], idf_V, metadata["settings"])
