"""The longest verbatim copy, by brute force and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.special_tokens import TokenIds
from models.verbatim import Copy, longest_copy

TOKENS = st.lists(st.integers(-1, 3), max_size=14)


def ids(values: list[int]) -> TokenIds:
    return np.array(values, dtype=np.int32)


def by_brute_force(written: list[int], text: list[int]) -> Copy | None:
    found = [
        Copy(i, j, n)
        for n in range(1, len(written) + 1)
        for i in range(len(written) - n + 1)
        for j in range(len(text) - n + 1)
        if written[i : i + n] == text[j : j + n] and min(written[i : i + n]) >= 0
    ]
    return max(found, key=lambda c: (c.length, -c.written_start, -c.text_start), default=None)


@given(TOKENS, TOKENS)
@settings(max_examples=500, deadline=None)
def test_it_is_what_brute_force_finds(written: list[int], text: list[int]) -> None:
    assert longest_copy(ids(written), ids(text)) == by_brute_force(written, text)


@pytest.mark.parametrize(
    ("written", "text", "copy"),
    [
        ([], [1, 2], None),
        ([1, 2], [], None),
        ([1, 2], [3, 4], None),
        ([-1, -1], [-1, -1], None),  # negative ids are equal to nothing
        ([9, 5, 6, 7, 2], [5, 6, 8, 5, 6, 7, 3], Copy(1, 3, 3)),
        ([5, 6, 7], [5, 6, -1, 7], Copy(0, 0, 2)),  # a run does not go on over a border
        ([1, 2, 8, 3, 4], [3, 4, 1, 2], Copy(0, 2, 2)),  # of equals, the first one written
        ([4, 4, 4], [4, 4, 4, 4, 4], Copy(0, 0, 3)),  # ... at its first place
    ],
)
def test_worked_by_hand(written: list[int], text: list[int], copy: Copy | None) -> None:
    assert longest_copy(ids(written), ids(text)) == copy


def test_a_copy_hidden_in_a_long_text() -> None:
    rng = np.random.default_rng(3)
    text = rng.integers(0, 500, 200_000, dtype=np.int32)
    written = rng.integers(0, 500, 90, dtype=np.int32)
    written[31:52] = text[123_456 : 123_456 + 21]
    assert longest_copy(written, text) == Copy(31, 123_456, 21)
