"""Kneser-Ney against a slow textbook twin, figures worked by hand, and sums over all words."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.batching import cut_lanes, windows
from models.kneser_ney import FALLBACK_DISCOUNTS, MAX_ORDER, KneserNey, discounts_of
from models.special_tokens import END, NOTHING, START, UNKNOWN, TokenIds

NUM_TYPES = 9
A, B, C, D = 4, 5, 6, 7
ORDERS = pytest.mark.parametrize("order", range(1, MAX_ORDER + 1))


def run_of(*token_ids: int) -> TokenIds:
    return np.array(token_ids, dtype=np.int32)


def made_up_books(*lengths: int, num_types: int = NUM_TYPES) -> list[TokenIds]:
    """Books of so many tokens with habits: three in four words are followed by the next id, so
    that long n-grams repeat too; the others follow Zipf's law."""
    rng = np.random.default_rng(3)
    share = 1 / np.arange(1, num_types - END + 1)
    books = []
    for length in lengths:
        drawn = rng.choice(num_types - END, length, p=share / share.sum()) + END
        habit = rng.random(length) < 0.75
        book = [START]
        for token_id, goes_on in zip(drawn.tolist(), habit, strict=True):
            follows = goes_on and END <= book[-1] < num_types - 1
            book.append(book[-1] + 1 if follows else token_id)
        books.append(run_of(*book))
    return books


class Textbook:
    """The same model from its definition: Counters, sets and a recursion, one n-gram at a time."""

    def __init__(self, books: Sequence[Sequence[int]], num_types: int, order: int) -> None:
        self.num_types, self.order = num_types, order
        raw: Counter[tuple[int, ...]] = Counter()
        before: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
        openings: Counter[tuple[int, ...]] = Counter()
        for book in books:
            for last in range(1, len(book)):
                for first in range(max(0, last - order + 1), last + 1):
                    ngram = tuple(book[first : last + 1])
                    raw[ngram] += 1
                    if first:
                        before[ngram].add(book[first - 1])
                    else:
                        openings[ngram] += 1
        self.counts = {
            ngram: count if len(ngram) == order else len(before[ngram]) + openings[ngram]
            for ngram, count in raw.items()
        }
        self.followers: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for ngram, count in self.counts.items():
            self.followers[ngram[:-1]].append(count)
        self.discounts = {length: self._discounts(length) for length in range(1, order + 1)}

    def _discounts(self, length: int) -> tuple[float, ...]:
        counts = [count for ngram, count in self.counts.items() if len(ngram) == length]
        n1, n2, n3, n4 = (counts.count(j) for j in (1, 2, 3, 4))
        if n1 and n2 and n3 and n4:
            y = n1 / (n1 + 2 * n2)
            d1, d2, d3 = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
            if d1 > 0 and d2 > 0 and d3 > 0:
                return 0.0, d1, d2, d3
        return 0.0, 0.5, 1.0, 1.5

    def probability(self, token: int, context: Sequence[int]) -> float:
        """p(token | what stands before it in its book)."""
        return self._probability(token, tuple(context[max(0, len(context) - self.order + 1) :]))

    def _probability(self, token: int, context: tuple[int, ...]) -> float:
        shorter = (
            self._probability(token, context[1:])
            if context
            else float(token not in (NOTHING, START)) / (self.num_types - 2)
        )
        followers = self.followers.get(context)
        if not followers:
            return shorter
        discounts = self.discounts[len(context) + 1]
        taken = sum(discounts[min(count, 3)] for count in followers)
        count = self.counts.get((*context, token), 0)
        return (count - discounts[min(count, 3)] + taken * shorter) / sum(followers)


def assert_like_textbook(
    model: KneserNey, textbook: Textbook, contexts: Sequence[Sequence[int]]
) -> None:
    asked_NV = np.tile(np.arange(textbook.num_types), (len(contexts), 1))
    probabilities_NV = np.exp(model.log_probabilities_of(contexts, asked_NV))
    expected_NV = [
        [textbook.probability(token, context) for token in range(textbook.num_types)]
        for context in contexts
    ]
    np.testing.assert_allclose(probabilities_NV, expected_NV, rtol=1e-12)
    assert probabilities_NV.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert (probabilities_NV[:, [NOTHING, START]] == 0).all()
    assert (probabilities_NV[:, END:] > 0).all()


def book_contexts(book: TokenIds) -> list[list[int]]:
    return [book[:place].tolist() for place in range(1, len(book) + 1)]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.integers(END, NUM_TYPES - 2), min_size=1, max_size=25), max_size=4),
    st.lists(st.integers(END, NUM_TYPES - 1), max_size=8),
    st.integers(1, MAX_ORDER),
)
def test_any_books_give_the_textbooks_distribution(
    texts: list[list[int]], unseen: list[int], order: int
) -> None:
    books = [run_of(START, *text) for text in [*texts, [A, END]]]
    model = KneserNey.fit(books, NUM_TYPES, order)
    textbook = Textbook([book.tolist() for book in books], NUM_TYPES, order)
    contexts = [context for book in books for context in book_contexts(book)]
    assert_like_textbook(model, textbook, [*contexts, unseen, [START, *unseen], []])


@ORDERS
def test_discounts_of_a_text_large_enough_to_have_its_own(order: int) -> None:
    books = made_up_books(800, 157, 41, num_types=80)
    model = KneserNey.fit(books, 80, order)
    textbook = Textbook([book.tolist() for book in books], 80, order)
    assert FALLBACK_DISCOUNTS not in textbook.discounts.values()
    new_book = [START, *books[0][:0:-1].tolist()[:90]]  # the first one's end, backwards
    contexts = book_contexts(run_of(*new_book))
    assert_like_textbook(model, textbook, [*contexts, *book_contexts(books[2])])
    costs = [-math.log(textbook.probability(new_book[i], new_book[:i])) for i in range(1, 91)]
    np.testing.assert_allclose(model.nats(run_of(*new_book)), costs, rtol=1e-12)


def test_two_sentences_by_hand() -> None:
    """`S a b . a b .` at order 2, with the discounts 0.5, 1 and 1.5.

    Before a stand two tokens, S and the full stop; before b and the full stop, one each. Half of
    4 is kept back for the uniform 1/4 over `. unknown a b`: a 0.25 + 0.125, b 0.125 + 0.125.
    """
    run = run_of(START, A, B, END, A, B, END)
    model = KneserNey.fit([run], 6, order=2)
    unigrams = np.exp(model.log_probabilities_of([[]], np.arange(6)[None]))
    np.testing.assert_allclose(unigrams, [[0, 0, 0.25, 0.125, 0.375, 0.25]], rtol=1e-14)
    after_a = np.exp(model.log_probabilities_of([[A]], np.arange(6)[None]))
    np.testing.assert_allclose(after_a, [[0, 0, 0.125, 0.0625, 0.1875, 0.625]], rtol=1e-14)
    np.testing.assert_allclose(
        np.exp(-model.nats(run)), [0.6875, 0.625, 0.625, 0.6875, 0.625, 0.625], rtol=1e-14
    )


@pytest.mark.parametrize(
    ("num_of_count", "discounts"),
    [
        ((4, 2, 1, 1, 0), (0, 0.5, 1.25, 1.0)),  # Y = 4 / (4 + 2 * 2)
        ((4, 2, 1, 1, 9), (0, 0.5, 1.25, 1.0)),
        ((4, 2, 0, 1, 1), FALLBACK_DISCOUNTS),
        ((0, 2, 1, 1, 1), FALLBACK_DISCOUNTS),
        ((0, 0, 0, 0, 3), FALLBACK_DISCOUNTS),
        ((4, 2, 1, 0, 0), FALLBACK_DISCOUNTS),
        ((10, 1, 20, 1, 0), FALLBACK_DISCOUNTS),  # 2 - 3 * 10/12 * 20/1 is below 0
        ((2, 1, 1, 2, 0), FALLBACK_DISCOUNTS),  # 3 - 4 * 2/4 * 2/1 is -1
    ],
)
def test_discounts_by_hand(num_of_count: Sequence[int], discounts: Sequence[float]) -> None:
    counts_G = np.repeat([1, 2, 3, 4, 70], num_of_count)
    np.testing.assert_allclose(discounts_of(counts_G), discounts, rtol=1e-14)


def test_contexts_reach_over_sentence_ends() -> None:
    run = run_of(START, *[A, END, B, END, C, END, D, END] * 5)
    log_probs_NK = KneserNey.fit([run], NUM_TYPES, 3).log_probabilities_of(
        [[A, END], [C, END]], np.array([[B, D], [B, D]])
    )
    assert log_probs_NK[0, 0] > math.log(0.7) > math.log(0.1) > log_probs_NK[0, 1]
    assert log_probs_NK[1, 1] > math.log(0.7) > math.log(0.1) > log_probs_NK[1, 0]


@ORDERS
def test_contexts_end_where_a_book_opens(order: int) -> None:
    first, second, third = made_up_books(60, 3, 38)
    model = KneserNey.fit([first, second, third], NUM_TYPES, order)
    in_one_run = KneserNey.fit([np.concatenate([first, second, third])], NUM_TYPES, order)
    in_other_order = KneserNey.fit([third, first, second], NUM_TYPES, order)
    both = np.concatenate([second, third])
    apart = np.concatenate([model.nats(second), model.nats(third)])
    for twin in (model, in_one_run, in_other_order):
        np.testing.assert_array_equal(twin.nats(both), apart)
    asked_NV = np.tile(np.arange(NUM_TYPES), (2, 1))
    one, other = model.log_probabilities_of([[A, B, START, C], [START, C]], asked_NV)
    np.testing.assert_array_equal(one, other)


@ORDERS
def test_nats_are_those_of_the_counted_targets_of_one_lane(order: int) -> None:
    books = made_up_books(60, 44)
    model = KneserNey.fit(books, NUM_TYPES, order)
    for run in (np.concatenate(books[::-1]), books[0][1:]):  # the latter without its _start_
        expected, seen = [], []
        for window in windows(cut_lanes(run, 1), 7):
            for token_id, target, counted in zip(
                window.inputs_BT[0].tolist(),
                window.targets_BT[0].tolist(),
                window.counted_BT[0].tolist(),
                strict=True,
            ):
                seen.append(token_id)
                if counted:
                    [[log_prob]] = model.log_probabilities_of([seen], np.array([[target]]))
                    expected.append(-log_prob)
        np.testing.assert_allclose(model.nats(run), expected, rtol=1e-12)


def test_runs_without_a_start_open_books_too() -> None:
    """The first token of such a run is context alone, and the n-grams that it opens are counted
    once for it, as those that `_start_` opens are."""
    books = [[A, B, END, A, C, END], [B, B, END]]
    model = KneserNey.fit([run_of(*book) for book in books], NUM_TYPES, 3)
    contexts = [book[:place] for book in books for place in range(1, len(book) + 1)]
    assert_like_textbook(model, Textbook(books, NUM_TYPES, 3), contexts)
    assert len(model.nats(run_of(*books[0]))) == 5


def test_only_the_latest_tokens_matter_and_padding_does_not() -> None:
    [book] = made_up_books(200)
    model, opening = KneserNey.fit([book], NUM_TYPES, 4), int(book[1])
    asked_NV = np.tile(np.arange(NUM_TYPES), (3, 1))
    long, latest, other = model.log_probabilities_of(
        [[D, D, A, END, A], [A, END, A], [C, A, END, A]], asked_NV
    )
    np.testing.assert_array_equal(long, latest)
    np.testing.assert_array_equal(other, latest)
    ragged = model.log_probabilities_of([[], [opening], [START, opening]], asked_NV)
    padded = np.array([[NOTHING] * 3, [NOTHING, NOTHING, opening], [NOTHING, START, opening]])
    np.testing.assert_array_equal(model.log_probabilities_of(padded, asked_NV), ragged)
    assert not np.array_equal(ragged[1], ragged[2])


def test_raw_counts_are_those_of_the_text_at_every_order() -> None:
    [book] = made_up_books(300)
    model = KneserNey.fit([book], NUM_TYPES, 3, raw_counts=True)
    arrays = model.arrays()
    tokens = book.tolist()
    pairs = Counter(pairwise(tokens))
    assert dict(zip(arrays["keys_2"].tolist(), arrays["counts_2"].tolist(), strict=True)) == {
        first * NUM_TYPES + second: count for (first, second), count in pairs.items()
    }
    words = Counter(tokens[1:])  # nothing stands before the first
    assert arrays["counts_1"].tolist() == [words[token] for token in range(NUM_TYPES)]
    asked_NV = np.tile(np.arange(NUM_TYPES), (2, 1))
    np.testing.assert_allclose(
        np.exp(model.log_probabilities_of([[A, B], [END]], asked_NV)).sum(axis=1), 1.0
    )
    again = KneserNey.from_arrays(arrays)
    np.testing.assert_array_equal(again.nats(book), model.nats(book))


def test_orders_that_no_book_is_long_enough_for_are_left_out() -> None:
    books = [run_of(START, A, END), run_of(START, B, END)]
    longest, shorter = (KneserNey.fit(books, NUM_TYPES, order) for order in (6, 3))
    assert longest.order == shorter.order == 3
    np.testing.assert_array_equal(longest.nats(books[0]), shorter.nats(books[0]))


def test_ids_of_a_large_vocabulary() -> None:
    """Keys are larger than the 32 bits of a run's ids."""
    num_types, asked = 70_000, [NOTHING, START, END, 4, 5, 69_997, 69_998, 69_999]
    book = [START, 69_999, 69_998, 4, 69_999, 69_998, END]
    model = KneserNey.fit([run_of(*book)], num_types, 3)
    textbook = Textbook([book], num_types, 3)
    contexts = book_contexts(run_of(*book))
    probabilities_NK = np.exp(
        model.log_probabilities_of(contexts, np.tile(asked, (len(contexts), 1)))
    )
    expected_NK = [
        [textbook.probability(token, context) for token in asked] for context in contexts
    ]
    np.testing.assert_allclose(probabilities_NK, expected_NK, rtol=1e-12)


@ORDERS
def test_arrays_make_the_same_model_again(order: int) -> None:
    books = made_up_books(200, 33)
    model = KneserNey.fit(books, NUM_TYPES, order)
    arrays = model.arrays()
    assert {array.dtype for array in arrays.values()} == {np.dtype("int64"), np.dtype("int32")}
    again = KneserNey.from_arrays(arrays | {"embedding": np.zeros((2, 3))})
    assert (again.num_types, again.order) == (NUM_TYPES, order)
    np.testing.assert_array_equal(again.nats(books[1]), model.nats(books[1]))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("keys_1", None, "no array keys_1"),
        ("counts_2", None, "keys_2 and counts_2 must be of one length"),
        ("counts_2", [1, 1], "keys_2 and counts_2 must be of one length"),
        ("counts_2", [1, 0, 1], "keys_2 or counts_2 are not those of n-grams"),
        ("keys_2", [11, 11, 30], "keys_2 or counts_2 are not"),  # not ascending
        ("keys_2", [30, 11, 12], "keys_2 or counts_2 are not"),
        ("keys_2", [-5, 11, 12], "keys_2 or counts_2 are not"),
        ("keys_2", [11, 12, 36], "keys_2 or counts_2 are not"),  # token 0 after context 6 of 6
        ("keys_2", [7, 11, 12], "keys_2 or counts_2 are not"),  # token 1, _start_, after token 1
        ("counts_1", [0, 1, 1, 0, 1, 1], "keys_1 or counts_1 are not"),
        ("counts_1", [0, 0, 0, 0, 0, 0], "keys_1 or counts_1 are not"),
        ("keys_1", [0, 1, 2, 3, 4, 6], "keys_1 or counts_1 are not"),
    ],
)
def test_damaged_arrays_are_refused(name: str, values: list[int] | None, message: str) -> None:
    arrays: dict[str, npt.NDArray[np.int64]] = {
        "keys_1": np.arange(6),
        "counts_1": np.array([0, 0, 1, 0, 1, 1]),
        "keys_2": np.array([10, 29, 32]),  # S a, a b, b .
        "counts_2": np.array([1, 1, 1]),
    }
    assert KneserNey.from_arrays(arrays).order == 2
    if values is None:
        del arrays[name]
    else:
        arrays[name] = np.array(values)
    with pytest.raises(ValueError, match=message):
        KneserNey.from_arrays(arrays)


@pytest.mark.parametrize(
    ("runs", "order", "message"),
    [
        ([[START, A, END]], 0, "order is 0; it must be 1 to 6"),
        ([[START, A, END]], 7, "order is 7"),
        ([[START, A], [START, NUM_TYPES]], 2, "id 9 is not one from 1 to 8"),
        ([[START, A, NOTHING]], 2, "id 0 is not one from 1 to 8"),
        ([[START, -1]], 2, "id -1 is not"),
        ([], 2, "0 runs hold no token to count"),
        ([[START], [], [START, START]], 2, "3 runs hold no token to count"),
    ],
)
def test_what_cannot_be_fitted_is_refused(runs: list[list[int]], order: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KneserNey.fit([run_of(*run) for run in runs], NUM_TYPES, order)


def test_ids_outside_the_vocabulary_are_refused() -> None:
    model = KneserNey.fit([run_of(START, A, UNKNOWN, END)], NUM_TYPES, 3)
    with pytest.raises(ValueError, match="id 9 is not one from 1 to 8"):
        model.nats(run_of(START, 9))
    with pytest.raises(ValueError, match="id 9 is not one from 0 to 8"):
        model.log_probabilities_of([[A, 9]], np.array([[A]]))
    with pytest.raises(ValueError, match="id -1 is not one from 0 to 8"):
        model.log_probabilities_of([[A, A]], np.array([[A, -1]]))
