"""Probes on codes whose answer is known."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from models import probes as module
from models.probes import ProbeScore, probe


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as texts like these need."""
    monkeypatch.setattr(module, "_NUM_STEPS", 200)


def shelf(books_a_label: int, texts_a_book: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Labels and books of texts in a random order."""
    texts = [
        (label, f"{label}{book}")
        for label in "abc"
        for book in range(books_a_label)
        for _ in range(texts_a_book)
    ]
    order = np.random.default_rng(seed).permutation(len(texts))
    return [texts[i][0] for i in order], [texts[i][1] for i in order]


def marked(names: list[str], strength: float, seed: int) -> np.ndarray:
    """A direction for each name, and noise."""
    _, name_N = np.unique(names, return_inverse=True)
    noise = np.random.default_rng(seed).normal(size=(len(names), 40))
    marks = np.eye(40)[name_N] * strength
    return (marks + 0.3 * noise).astype(np.float32)


def by_name(scores: list[ProbeScore]) -> dict[tuple[str, str], ProbeScore]:
    return {(one.input_name, one.probe): one for one in scores}


def test_labels_are_read_from_what_holds_them_and_from_nothing_else() -> None:
    labels, books = shelf(5, 8)
    of_labels_NF = marked(labels, 3, 1)
    inputs = {
        "dense": of_labels_NF,
        "sparse": csr_matrix(np.maximum(of_labels_NF, 0)),
        "noise": marked(labels, 0, 2),
    }
    scores = probe(inputs, labels, books, seed=0)
    assert [(one.input_name, one.probe) for one in scores] == [
        (name, kind) for name in inputs for kind in ("nearest neighbours", "network")
    ]
    for one in scores:
        assert (one.num_folds, one.held_out) == (5, "books")
        assert one.majority_accuracy == pytest.approx(1 / 3)
        if one.input_name == "noise":
            assert one.accuracy < 0.5
        else:
            assert one.accuracy > 0.95
            assert one.balanced_accuracy == pytest.approx(one.accuracy)  # labels of one size


def test_books_that_are_held_out_give_no_label_away() -> None:
    """What tells books apart tells the labels of other texts of these books, and of no others."""
    labels, books = shelf(5, 8)
    inputs = {"books": marked(books, 3, 1)}
    held_out = probe(inputs, labels, books, seed=0)
    assert max(one.accuracy for one in held_out) < 0.6
    each_by_itself = [str(number) for number in range(len(books))]
    known = probe(inputs, labels, each_by_itself, seed=0)
    assert min(one.accuracy for one in known) > 0.9


def test_a_label_of_one_book_leaves_texts_to_hold_out() -> None:
    labels, books = shelf(5, 8)
    books = ["a" if label == "a" else book for label, book in zip(labels, books, strict=True)]
    scores = probe({"codes": marked(labels, 3, 1)}, labels, books, seed=0)
    assert {(one.num_folds, one.held_out) for one in scores} == {(5, "texts")}


@pytest.mark.parametrize("books_a_label", [2, 3])
def test_few_books_are_held_out_so_that_each_label_is_left(books_a_label: int) -> None:
    labels, books = shelf(books_a_label, 10)
    label_N = np.unique(labels, return_inverse=True)[1]
    book_N = np.unique(books, return_inverse=True)[1]
    folds, held_out = module._folds(label_N, book_N, seed=0)
    assert held_out == "books"
    tested = np.concatenate([test_T for _, test_T in folds])
    assert sorted(tested.tolist()) == list(range(len(labels)))
    for train_T, test_T in folds:
        assert not {*book_N[train_T]} & {*book_N[test_T]}
        assert {*label_N[train_T]} == {0, 1, 2}


def test_balanced_accuracy_gives_rare_labels_their_weight() -> None:
    """Nine in ten texts are of one label and codes say nothing: the neighbours guess it always."""
    labels = [*"a" * 90, *"b" * 10]
    books = [str(number) for number in range(100)]
    inputs = {"noise": np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)}
    [guess] = [one for one in probe(inputs, labels, books, 0) if one.probe != "network"]
    assert guess.accuracy == guess.majority_accuracy == 0.9
    assert guess.balanced_accuracy == 0.5


def test_same_seed_same_scores_and_inputs_stay_as_they_are() -> None:
    labels, books = shelf(3, 5)
    codes_NF = marked(labels, 0.5, 1)
    before_NF, sparse_NF = codes_NF.copy(), csr_matrix(np.maximum(codes_NF, 0))
    inputs = {"codes": codes_NF, "sparse": sparse_NF}
    assert probe(inputs, labels, books, 3) == probe(inputs, labels, books, 3)
    assert (codes_NF == before_NF).all()
    assert (sparse_NF.toarray() == np.maximum(before_NF, 0)).all()


def test_of_many_texts_some_are_learned_from_and_all_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_TRAINING_TEXTS", 40)
    monkeypatch.setattr(module, "_TEXTS_AT_ONCE", 7)
    labels, books = shelf(5, 8)
    scores = probe({"codes": marked(labels, 3, 1)}, labels, books, seed=0)
    assert min(one.accuracy for one in scores) > 0.9


@pytest.mark.parametrize(
    ("labels", "books"),
    [("", ""), ("aaaa", "pqrs"), ("abc", "pqr"), ("aaab", "pqrs"), ("ab", "pp")],
)
def test_where_nothing_can_be_held_out_there_are_no_scores(labels: str, books: str) -> None:
    assert probe({"codes": np.ones((len(labels), 2), np.float32)}, labels, books, 0) == []


@pytest.mark.parametrize(
    ("labels", "books", "held_out"),
    [("aabb", "pqrs", "books"), ("aabb", "pprr", "texts"), ("aaaabbc", "pqrstuv", "texts")],
)
def test_few_texts_warn_of_nothing(labels: str, books: str, held_out: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes_NF = np.zeros((len(labels), 3), dtype=np.float32)  # as of texts without terms
        scores = probe({"codes": codes_NF}, [*labels], [*books], 0)
    assert [(one.held_out, one.num_folds) for one in scores] == [(held_out, 2)] * 2


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="3 texts of 'codes', 2 labels and 2 books don't fit"):
        probe({"codes": np.ones((3, 2))}, ["a", "b"], ["p", "q"], 0)
