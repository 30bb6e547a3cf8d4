"""Strangers against brute force, and one that is planted."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from models import strangers as module
from models.strangers import strange_terms, term_errors
from models.text_space import TextSpace, neighbours

_WORDS_A_TOPIC = 12
_FOREIGN = range(36, 42)


def tiny() -> tuple[csr_matrix, TextSpace, np.ndarray, np.ndarray]:
    """Seven texts of nine terms in three dimensions, and errors of any kind."""
    random = np.random.default_rng(5)
    features_NV = random.integers(0, 4, size=(7, 9)).astype(np.float32)
    features_NV[:, 8] = 0  # a term that no text has
    features_NV[6] = 0  # a text without terms
    features_NV = csr_matrix(features_NV)
    space = TextSpace.of(features_NV, 3)
    errors_ND = random.normal(scale=0.5, size=(7, 3)).astype(np.float32)
    return features_NV, space, space.points(features_NV), errors_ND


def by_hand(
    features_NV: csr_matrix, space: TextSpace, points_ND: np.ndarray, errors_ND: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Deviations of each term of each text, and what is left of them, a number at a time."""
    dense, axes = features_NV.toarray().astype(float), space.axes_VD.astype(float)
    deviations, untold = np.zeros((7, 9)), np.zeros((7, 9))
    for text in range(7):
        total = dense[text].sum()
        for term in range(9):
            mean = float(space.mean_V[term])
            if total and mean:
                deviations[text, term] = dense[text, term] / total / mean**0.5 - mean**0.5
        place = [sum(deviations[text] * axes[:, axis]) for axis in range(3)]
        length = sum(number**2 for number in place) ** 0.5
        told = [length * (points_ND[text, axis] - errors_ND[text, axis]) for axis in range(3)]
        for term in range(9):
            untold[text, term] = deviations[text, term] - sum(told * axes[term])
    return deviations, untold


@pytest.mark.parametrize("values_at_once", [1, 20, 1_000])
def test_all_figures_are_those_of_brute_force(
    values_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", values_at_once)
    given = tiny()
    deviations, untold = by_hand(*given)
    np.testing.assert_allclose(term_errors(*given), np.square(untold).mean(axis=0), rtol=1e-4)
    features = given[0].toarray()
    expected = []
    for text in range(7):
        terms = [
            v
            for v in range(9)
            if features[text, v] and min(deviations[text, v], untold[text, v]) > 0
        ]
        expected.append(sorted(terms, key=lambda v: -(untold[text, v] ** 2))[:2])
    assert strange_terms(*given, top_n=2) == expected
    assert any(expected)


def test_nothing_is_left_where_all_is_told() -> None:
    features_NV = tiny()[0]
    space = TextSpace.of(features_NV, 100)
    points_ND = space.points(features_NV)
    nothing_ND = np.zeros_like(points_ND)
    np.testing.assert_allclose(term_errors(features_NV, space, points_ND, nothing_ND), 0, atol=1e-6)
    deviations, _ = by_hand(*tiny())
    all_untold = term_errors(features_NV, space, points_ND, points_ND)
    np.testing.assert_allclose(all_untold, np.square(deviations).mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_a_planted_stranger_is_found_and_so_are_its_terms(seed: int) -> None:
    """Three topics of twelve words; text 0 has a third of its words from a block of six others, of
    which other texts have one now and then. Codes tell of each text where its company stands.
    """
    random = np.random.default_rng(seed)
    counts_NV = np.zeros((90, 42))
    for text, counts_V in enumerate(counts_NV):
        topic = text % 3 * _WORDS_A_TOPIC
        counts_V[topic : topic + _WORDS_A_TOPIC] = random.poisson(8, size=_WORDS_A_TOPIC)
        counts_V[list(_FOREIGN)] = random.random(6) < 0.3
    counts_NV[0, list(_FOREIGN)] = 8
    features_NV = csr_matrix(counts_NV)
    space = TextSpace.of(features_NV, 10)
    points_ND = space.points(features_NV)
    given = features_NV, space, points_ND, points_ND - neighbours(points_ND, 10) @ points_ND
    assert {*strange_terms(*given, top_n=6)[0]} == {*_FOREIGN}
    assert np.square(given[3]).sum(axis=1).argmax() == 0
    assert {*np.argsort(-term_errors(*given))[:4].tolist()} < {*_FOREIGN}


def test_what_does_not_fit_is_refused() -> None:
    features_NV, space, points_ND, errors_ND = tiny()
    with pytest.raises(ValueError, match="features of 5 terms don't fit a space of 9"):
        term_errors(features_NV[:, :5], space, points_ND, errors_ND)
    with pytest.raises(ValueError, match=r"errors \(7, 2\) don't fit 7 texts in 3 dimensions"):
        term_errors(features_NV, space, points_ND, errors_ND[:, :2])
    with pytest.raises(ValueError, match="top_n is 0"):
        strange_terms(features_NV, space, points_ND, errors_ND, 0)


def test_no_texts_have_no_strangers() -> None:
    features_NV, space, points_ND, errors_ND = tiny()
    none = features_NV[:0], space, points_ND[:0], errors_ND[:0]
    assert (term_errors(*none) == np.zeros(9)).all()
    assert strange_terms(*none, top_n=3) == []
