"""What `_unknown_` costs where two vocabularies differ: probabilities over one space of events."""

import math

import numpy as np
import pytest

from models.shared_events import UnknownShares
from models.special_tokens import END, UNKNOWN


def test_equal_vocabularies_add_nothing() -> None:
    shares = UnknownShares.of({"king", "queen"}, {"king", "queen"})
    ids = np.array([5, UNKNOWN, 4, END], np.int32)
    np.testing.assert_array_equal(shares.nats(ids, ids), np.zeros(4))


def test_shares_by_hand() -> None:
    """4 words in all, so fifths: fool and crown are known to the other alone, 3/5 are left."""
    shares = UnknownShares.of({"king", "queen"}, {"king", "fool", "crown"})
    king, fool, zounds = (4, 4), (UNKNOWN, 5), (UNKNOWN, UNKNOWN)
    ids, of_other = np.array([king, fool, zounds], np.int32).T
    np.testing.assert_allclose(shares.nats(ids, of_other), [0.0, math.log(5), math.log(5 / 3)])


@pytest.mark.parametrize(
    ("words", "other"),
    [({"a"}, {"b"}), (set(), {"a", "b", "c"}), ({"a", "b"}, {"b"}), ({"a", "b"}, {"c", "d", "e"})],
)
def test_what_is_shared_out_is_all_there_is(words: set[str], other: set[str]) -> None:
    shares = UnknownShares.of(words, other)
    given = len(other - words) * math.exp(-shares.known_to_other)
    assert given + math.exp(-shares.known_to_neither) == pytest.approx(1.0)


def test_to_know_fewer_words_does_not_pay() -> None:
    """A text of 1,000 words, each as frequent. One model knows all and gives each 1/1,000; the
    other knows none and is sure of `_unknown_`, which costs it nothing by itself."""
    all_words = {str(i) for i in range(1000)}
    ids, of_other = np.full(1000, UNKNOWN, np.int32), np.arange(4, 1004, dtype=np.int32)
    knows_nothing = UnknownShares.of(set(), all_words).nats(ids, of_other).sum()
    knows_all = 1000 * math.log(1000) + UnknownShares.of(all_words, set()).nats(of_other, ids).sum()
    assert knows_nothing == pytest.approx(1000 * math.log(1001))
    assert knows_nothing > knows_all
