"""What clusters follow, against figures worked by hand and clusters made to follow one thing."""

import math

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from models.confounds import Confound, confounds, verdict

_RANDOM = np.random.default_rng(0)


def by_factor(*args: object) -> dict[str, Confound]:
    found = confounds(*args)  # type: ignore[arg-type]
    return {one.factor: one for one in found}


def shelf(num_books: int = 12, texts_a_book: int = 20) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Each text's book by number, its name, and the text's place in it."""
    book_N = np.repeat(np.arange(num_books), texts_a_book)
    return (
        book_N,
        [f"book {book}" for book in book_N],
        np.tile(np.linspace(0, 1, texts_a_book), num_books),
    )


def test_clusters_that_are_the_books_follow_them_and_nothing_else_of_a_label() -> None:
    book_N, books, places_N = shelf()
    labels = ["novel" if book % 2 else "play" for book in book_N]
    lengths_N = _RANDOM.permutation(len(books))
    found = by_factor(book_N.astype(np.int32), labels, books, lengths_N, places_N)
    assert list(found) == ["label", "book", "length", "place"]
    assert [one.num_values for one in found.values()] == [2, 12, 5, 5]
    assert found["book"].agreement == pytest.approx(1)
    assert found["book"].within_label == pytest.approx(1)
    assert 0 < found["label"].agreement < 0.6
    assert found["label"].within_label is None
    for factor in ("length", "place"):
        # Each book has a text of every place, which is less agreement than chance has.
        assert -0.1 < found[factor].agreement < 0.05
        assert found[factor].within_label == pytest.approx(0, abs=0.1)


def test_clusters_that_are_the_labels_tell_nothing_of_the_book_beyond() -> None:
    book_N, books, places_N = shelf()
    labels = ["novel" if book % 2 else "play" for book in book_N]
    cluster_N = (book_N % 2).astype(np.int32)
    found = by_factor(cluster_N, labels, books, _RANDOM.permutation(len(books)), places_N)
    assert found["label"].agreement == pytest.approx(1)
    assert found["book"].agreement > 0.2  # a book tells its label
    assert found["book"].within_label == 0


@pytest.mark.parametrize("factor", ["length", "place"])
def test_clusters_of_length_or_place_are_found_out(factor: str) -> None:
    _, books, places_N = shelf()
    lengths_N = _RANDOM.permutation(len(books))
    followed_N = lengths_N if factor == "length" else places_N
    cluster_N = (followed_N > np.median(followed_N)).astype(np.int32)
    found = by_factor(cluster_N, None, books, lengths_N, places_N)
    assert [*found] == ["book", "length", "place"]
    assert found[factor].agreement > 0.4
    assert all(one.agreement < 0.05 for name, one in found.items() if name != factor)
    assert all(one.within_label is None for one in found.values())


def test_within_labels_is_the_mean_by_number_of_texts() -> None:
    """Label a: 4 texts, clusters are books. Label b: 6 texts, clusters say nothing of books. Label
    c: one book, so that there is nothing to tell.
    """
    cluster_N = np.array([0, 0, 1, 1, *[0] * 6, 0, 1], dtype=np.int32)
    labels = [*"aaaabbbbbbcc"]
    books = [*"ppqqrrrsssxx"]
    found = by_factor(cluster_N, labels, books, np.ones(12), np.arange(12))
    assert found["book"].within_label == pytest.approx((4 * 1 + 6 * 0) / 10)
    assert found["length"] == Confound("length", 1, 0, None)
    assert found["book"].agreement == pytest.approx(
        adjusted_mutual_info_score(books, cluster_N), abs=1e-12
    )


def test_adjusted_mutual_information_by_hand() -> None:
    """Clusters 0011 and books ppqr share ln 2. Of the 6 ways to lay two pairs over p, p, q, r, two
    keep p together and share ln 2; in four each cluster has one p, and they share ln 2 / 2.
    """
    cluster_N = np.array([0, 0, 1, 1], dtype=np.int32)
    by_chance = (2 * math.log(2) + 4 * math.log(2) / 2) / 6
    entropies = math.log(2), 0.5 * math.log(2) + 2 * 0.25 * math.log(4)
    expected = (math.log(2) - by_chance) / (sum(entropies) / 2 - by_chance)
    found = by_factor(cluster_N, None, [*"ppqr"], np.ones(4), np.ones(4))
    assert found["book"].agreement == pytest.approx(expected)


def test_texts_without_labels_count_for_all_but_the_label() -> None:
    cluster_N = np.array([0, 0, 1, 1, 0, 1], dtype=np.int32)
    labels = ["a", "a", "b", "b", None, None]
    books = [*"ppqqqp"]
    found = by_factor(cluster_N, labels, books, np.ones(6), np.ones(6))
    assert found["label"] == Confound("label", 2, pytest.approx(1), None)
    assert found["book"].agreement < 0.5
    assert found["book"].within_label is None  # each label has one book
    nothing_known = by_factor(cluster_N, [None] * 6, books, np.ones(6), np.ones(6))
    assert "label" not in nothing_known


def test_one_cluster_follows_nothing() -> None:
    found = confounds(np.zeros(4, np.int32), [*"aabb"], [*"pqrs"], np.arange(4), np.arange(4))
    assert [one.agreement for one in found] == [0, 0, 0, 0]
    assert verdict(found) == (
        "Clusters follow neither the label (0.00) nor the book (0.00) nor the length (0.00) nor "
        "the place in the book (0.00), where 0 is chance."
    )


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            [("label", 0.42, None), ("book", 0.61, 0.5), ("length", 0.1, 0.06), ("place", 0, 0)],
            "Clusters follow the book (0.61) more than the label (0.42), the length (0.10) or the "
            "place in the book (0.00), where 0 is chance and 1 complete agreement; among texts of "
            "one label they still follow the book (0.50) and the length (0.06).",
        ),
        (
            [("label", 0.42, None), ("book", 0.415, 0.01), ("length", 0.1, 0)],
            "Clusters follow the label (0.42) and the book (0.41) more than the length (0.10), "
            "where 0 is chance and 1 complete agreement; among texts of one label they follow "
            "nothing else that was looked at.",
        ),
        (
            [("book", 0.3, None), ("length", 0.31, None)],
            "Clusters follow the length (0.31) and the book (0.30) about as much as each other, "
            "where 0 is chance and 1 complete agreement; no label is known to hold them against.",
        ),
        (
            [("label", 0.9, None), ("book", 0.3, None)],
            "Clusters follow the label (0.90) more than the book (0.30), where 0 is chance and 1 "
            "complete agreement.",
        ),
    ],
)
def test_verdicts(found: list[tuple], sentence: str) -> None:
    rows = [Confound(factor, 5, agreement, within) for factor, agreement, within in found]
    assert verdict(rows) == sentence


@pytest.mark.parametrize(
    ("num_values", "sentence"),
    [
        (
            (1, 4, 5, 5),
            "Clusters follow the book (0.40) and the length (0.40) more than the place in the book "
            "(0.00), where 0 is chance and 1 complete agreement. There is only one label.",
        ),
        (
            (2, 20, 5, 1),
            "Clusters follow the label (0.60) more than the length (0.40), where 0 is chance and 1 "
            "complete agreement; among texts of one label they still follow the length (0.40). "
            "There is only one place in the book. Every text has a book of its own.",
        ),
        ((1, 1, 1, 1), "There is only one label, book, length and place in the book."),
    ],
)
def test_what_cannot_vary_is_not_called_chance(num_values: tuple[int, ...], sentence: str) -> None:
    agreements = [("label", 0.6), ("book", 0.4), ("length", 0.4), ("place", 0.0)]
    rows = [
        Confound(factor, number, agreement, None if factor == "label" else agreement)
        for number, (factor, agreement) in zip(num_values, agreements, strict=True)
    ]
    assert verdict(rows, num_texts=20) == sentence


def test_one_thing_that_varies_is_not_followed() -> None:
    rows = [Confound("book", 3, 0.01, None), Confound("place", 1, 0, None)]
    assert verdict(rows) == (
        "Clusters do not follow the book (0.01), where 0 is chance. There is only one place in the "
        "book."
    )


def test_what_does_not_fit_is_refused() -> None:
    cluster_N = np.zeros(2, np.int32)
    with pytest.raises(ValueError, match="2 clustered texts don't fit 1 books"):
        confounds(cluster_N, None, ["a"], np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="text 1 has a place of nan"):
        confounds(cluster_N, None, ["a", "b"], np.ones(2), np.array([0, np.nan]))
