"""A map in one file: it comes back as it was, and places texts where they belong."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from models.clusterers import AnyClusterer
from models.text_clusters import ClusterRecipe, cluster_texts
from models.text_map import MappedTexts, TextMap
from models.text_space import TextSpace, VectorSpace

RECIPE = ClusterRecipe(num_dimensions=4, hidden_widths=(8,), code_width=3, epochs=30)


def features(num_texts: int, seed: int) -> csr_matrix:
    """Half of the texts use the first four of eight terms, half the others."""
    draw = np.random.default_rng(seed)
    dense = draw.uniform(0.5, 1.0, (num_texts, 8)).astype(np.float32)
    dense[: num_texts // 2, 4:] *= 0.05
    dense[num_texts // 2 :, :4] *= 0.05
    return csr_matrix(dense)


@pytest.fixture(scope="module")
def text_map() -> TextMap:
    return mapped(RECIPE)


def mapped(recipe: ClusterRecipe) -> TextMap:
    features_NV = features(30, 0)
    space = TextSpace.of(features_NV, recipe.num_dimensions)
    found = cluster_texts(space.points(features_NV), recipe, 2, 5)
    encoding = found.learned.encoding
    return TextMap(
        space,
        recipe,
        found.learned.model,
        MappedTexts(
            encoding.codes_NC,
            encoding.map_N2,
            found.grouping.cluster_N,
            found.grouping.membership_N,
            [f"Book «{number}»" for number in range(30)],
            ["Chapter"] * 30,
            [["a", "b"], ["e"]],
        ),
        list("abcdefgh"),
        np.ones(8, dtype=np.float32),
        {"kind": "words", "weigh": {"level": "section"}},
    )


def test_it_comes_back_as_it_was(text_map: TextMap) -> None:
    again = TextMap.from_bytes(text_map.to_bytes())
    assert again.to_bytes() == text_map.to_bytes()
    assert again.digest() == text_map.digest()
    assert again.recipe == RECIPE and again.settings == text_map.settings
    assert list(again.texts.titles) == list(text_map.texts.titles)


def test_texts_are_placed_among_their_like(text_map: TextMap) -> None:
    new_MV = features(10, 1)
    placed = TextMap.from_bytes(text_map.to_bytes()).place(text_map.space.points(new_MV))
    of_first = text_map.texts.cluster_N[0]
    assert placed.cluster_M.tolist() == [of_first] * 5 + [1 - of_first] * 5
    assert (placed.nearest_MJ[:5] < 15).all() and (placed.nearest_MJ[5:] >= 15).all()
    assert ((placed.membership_M > 0.5) & (placed.membership_M <= 1)).all()


def test_the_maps_own_texts_lie_where_they_lay(text_map: TextMap) -> None:
    placed = text_map.place(text_map.space.points(features(30, 0)), num_nearest=1)
    assert (placed.cluster_M == text_map.texts.cluster_N).all()
    np.testing.assert_array_equal(placed.map_M2, text_map.texts.map_N2)
    assert placed.nearest_MJ[:, 0].tolist() == [*range(30)]


CLUSTERERS: list[AnyClusterer] = ["kmeans", "gaussian_mixture", "hdbscan", "dec", "idec"]


@pytest.mark.parametrize("clusterer", CLUSTERERS)
def test_placed_texts_belong_as_surely_as_the_maps_own(clusterer: AnyClusterer) -> None:
    of_it = mapped(replace(RECIPE, clusterer=clusterer))
    placed = of_it.place(of_it.space.points(features(30, 0)))
    assert placed.cluster_M.tolist() == of_it.texts.cluster_N.tolist()
    own = of_it.texts.membership_N.mean()
    assert placed.membership_M.mean() == pytest.approx(own, abs=0.05)


def test_a_map_of_vectors_comes_back(text_map: TextMap) -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    space = VectorSpace.of(vectors, 4)
    dense = TextMap(
        space, RECIPE, text_map.model, text_map.texts, [], np.zeros(0, dtype=np.float32), {}
    )
    again = TextMap.from_bytes(dense.to_bytes()).space
    assert isinstance(again, VectorSpace)
    np.testing.assert_array_equal(again.points(vectors), space.points(vectors))


@pytest.mark.parametrize("cut", [0, 8, 200, -40])
def test_damage_is_told(text_map: TextMap, cut: int) -> None:
    with pytest.raises(ValueError, match="no map of bookloom"):
        TextMap.from_bytes(text_map.to_bytes()[:cut])


def test_a_language_model_is_no_map() -> None:
    with pytest.raises(ValueError, match="no map of bookloom"):
        TextMap.from_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
