"""Lanes, windows and pieces against the picture in `models/batching.py`; nothing is lost."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.batching import (
    MINIMUM_DRAWN_LENGTH,
    Window,
    book_runs,
    cut_lanes,
    sentence_batches,
    split_sentences,
    window_lengths,
    windows,
)
from models.special_tokens import END, NOTHING, START, UNKNOWN, TokenIds

ID_OF = {"_": NOTHING, "S": START, ".": END} | {
    letter: 4 + place for place, letter in enumerate("abcdefghijklmnop")
}
PICTURE = "SabcdeSfghijklmnop"


def ids(letters: str) -> TokenIds:
    return np.array([ID_OF[letter] for letter in letters], dtype=np.int32)


def letters(token_ids: "torch.Tensor | TokenIds") -> str:
    letter_of = {token_id: letter for letter, token_id in ID_OF.items()}
    return "".join(letter_of[token_id] for token_id in token_ids.tolist())


def window_of(*rows: str) -> Window:
    [window] = windows([ids(row) for row in rows], 100)
    return window


def test_the_lanes_of_the_picture() -> None:
    assert [letters(lane[:]) for lane in cut_lanes(ids(PICTURE), 3)] == [
        "SabcdeS",
        "Sfghijk",
        "klmnop",
    ]


def test_the_windows_of_the_picture() -> None:
    first, second = windows(cut_lanes(ids(PICTURE), 3), 4)
    assert [letters(row) for row in first.inputs_BT] == ["Sabc", "Sfgh", "klmn"]
    assert [letters(row) for row in first.targets_BT] == ["abcd", "fghi", "lmno"]
    assert bool(first.counted_BT.all())
    assert [letters(row) for row in second.inputs_BT] == ["de", "ij", "op"]
    assert [letters(row) for row in second.targets_BT] == ["eS", "jk", "p_"]
    assert second.counted_BT.tolist() == [[True, False], [True, True], [True, False]]


def test_every_end_and_unknown_word_counts_but_no_start_and_no_padding() -> None:
    stream = np.array([START, 4, UNKNOWN, END, 5, END, START, 6, END], dtype=np.int32)
    [window] = windows([stream, stream[:4]], 8)
    # targets: 4 _unknown_ _end_ 5 _end_ _start_ 6 _end_, and 4 _unknown_ _end_ with a padded tail
    assert window.counted_BT.tolist() == [
        [True, True, True, True, True, False, True, True],
        [True, True, True, False, False, False, False, False],
    ]


@st.composite
def streams(draw: st.DrawFn) -> tuple[TokenIds, int, int]:
    """A stream, and a number of lanes and a window length that may fit it."""
    stream = draw(st.lists(st.integers(START, 9), min_size=2, max_size=60))
    num_lanes = draw(st.integers(1, 9))
    return np.array(stream, dtype=np.int32), num_lanes, draw(st.integers(1, 70))


@settings(deadline=None)
@given(streams())
def test_every_pair_of_the_stream_stands_in_one_place(case: tuple[TokenIds, int, int]) -> None:
    stream, num_lanes, window_length = case
    # Distinct ids in the order of the stream, so that a pair is known by its place.
    numbered = np.arange(10, 10 + len(stream), dtype=np.int32)
    try:
        lanes = cut_lanes(numbered, num_lanes)
    except ValueError:
        # Refused only where a lane of equal columns would have none at all.
        num_columns = -(-(len(stream) - 1) // num_lanes)
        assert (num_lanes - 1) * num_columns >= len(stream) - 1
        return
    assert len(lanes) == num_lanes
    assert len({len(lane) for lane in lanes[:-1]}) <= 1
    assert 2 <= len(lanes[-1]) <= len(lanes[0])
    pairs: Counter[tuple[int, int]] = Counter()
    rows: list[list[int]] = [[] for _ in lanes]
    for window in windows(lanes, window_length):
        assert 1 <= window.inputs_BT.shape[1] <= window_length
        assert bool(window.counted_BT[:-1].all()), "only the last lane is padded"
        inputs = window.inputs_BT[window.counted_BT].tolist()
        pairs.update(zip(inputs, window.targets_BT[window.counted_BT].tolist(), strict=True))
        for row, new in zip(rows, window.inputs_BT.tolist(), strict=True):
            row.extend(new)
    assert pairs == Counter(pairwise(numbered.tolist()))
    # Row b of a window goes on where row b of the window before it stopped.
    for row, lane in zip(rows, lanes, strict=True):
        assert row[: len(lane) - 1] == lane[:-1].tolist()


@settings(deadline=None)
@given(streams())
def test_counted_targets_are_the_streams_words_and_ends(case: tuple[TokenIds, int, int]) -> None:
    stream, num_lanes, window_length = case
    try:
        lanes = cut_lanes(stream, num_lanes)
    except ValueError:
        return
    counted = Counter(
        target
        for window in windows(lanes, window_length)
        for target in window.targets_BT[window.counted_BT].tolist()
    )
    assert counted == Counter(token for token in stream[1:].tolist() if token != START)


@settings(deadline=None)
@given(streams())
def test_pieces_are_cut_where_books_open_and_nowhere_else(
    case: tuple[TokenIds, int, int],
) -> None:
    stream, num_lanes, window_length = case
    try:
        lanes = cut_lanes(stream, num_lanes)
    except ValueError:
        return
    for window in windows(lanes, window_length):
        pieces = list(window.pieces())
        assert torch.equal(torch.cat([part for part, _ in pieces], dim=1), window.inputs_BT)
        for index, (token_ids_BP, fresh_B) in enumerate(pieces):
            opens_BP = token_ids_BP == START
            assert torch.equal(opens_BP[:, 0], fresh_B)
            assert not bool(opens_BP[:, 1:].any())
            assert index == 0 or bool(fresh_B.any())


def test_pieces_by_hand() -> None:
    window = window_of("abSc.d", "abcdSd", "a.bcde")
    pieces = [
        ([letters(row) for row in token_ids_BP], fresh_B.tolist())
        for token_ids_BP, fresh_B in window.pieces()
    ]
    assert pieces == [
        (["ab", "ab", "a."], [False, False, False]),
        (["Sc", "cd", "bc"], [True, False, False]),
        ([".", "S", "d"], [False, True, False]),
    ]


def test_a_book_that_opens_with_the_window_cuts_no_empty_piece() -> None:
    [(token_ids_BP, fresh_B)] = window_of("Sabc", "abcd").pieces()
    assert [letters(row) for row in token_ids_BP] == ["Sab", "abc"]
    assert fresh_B.tolist() == [True, False]


@pytest.mark.parametrize(
    ("num_tokens", "num_lanes"),
    [(0, 1), (1, 1), (0, 3), (1, 3), (3, 3), (7, 4), (10, 8)],
)
def test_too_short_streams_are_refused(num_tokens: int, num_lanes: int) -> None:
    """7 tokens are 6 pairs: 2 columns a lane, and the fourth of 4 lanes would have none."""
    with pytest.raises(ValueError, match=f"{num_tokens} tokens are too few for {num_lanes} lanes"):
        cut_lanes(np.full(num_tokens, 4, dtype=np.int32), num_lanes)


@pytest.mark.parametrize(("num_tokens", "num_lanes"), [(2, 1), (4, 3), (8, 4), (12, 4)])
def test_the_shortest_streams_that_fit(num_tokens: int, num_lanes: int) -> None:
    lanes = cut_lanes(np.arange(num_tokens, dtype=np.int32), num_lanes)
    assert len(lanes) == num_lanes
    assert sum(len(lane) - 1 for lane in lanes) == num_tokens - 1


def test_book_runs_by_hand() -> None:
    rows = [
        ("hamlet", "train", [START, 4, END]),
        ("hamlet", "train", [5, END]),
        ("errors", "test", [START, 6, END]),
        ("errors", "validation", [7, END]),
        ("lear", "train", [START, END]),
        ("hamlet", "train", [8, 9, END]),
    ]
    runs = book_runs(rows)
    plain = {
        split: {book_id: run.tolist() for book_id, run in books.items()}
        for split, books in runs.items()
    }
    assert plain == {
        "train": {"hamlet": [START, 4, END, 5, END, 8, 9, END], "lear": [START, END]},
        "test": {"errors": [START, 6, END]},
        "validation": {"errors": [7, END]},
    }
    assert list(runs["train"]) == ["hamlet", "lear"], "books keep their order"
    assert {run.dtype for books in runs.values() for run in books.values()} == {np.dtype("int32")}
    assert book_runs([]) == {}


@pytest.mark.parametrize(
    ("run", "sentences"),
    [
        ("Sab.c.def.", ["ab", "c", "def"]),
        ("ab.c.", ["ab", "c"]),
        ("S.a..", ["", "a", ""]),
        ("Sab.Sc.", ["ab", "c"]),
        ("Sab.cd", ["ab"]),  # the last is unfinished, and so no sentence
        ("Sab", []),
        ("S", []),
        ("", []),
    ],
)
def test_sentences_by_hand(run: str, sentences: list[str]) -> None:
    assert split_sentences(ids(run)) == [ids(sentence).tolist() for sentence in sentences]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(UNKNOWN, 9), max_size=6), max_size=9))
def test_sentences_are_what_the_run_was_made_of(sentences: list[list[int]]) -> None:
    run = [START, *(token for sentence in sentences for token in [*sentence, END])]
    assert split_sentences(np.array(run, dtype=np.int32)) == sentences


@pytest.mark.parametrize("offset", [0, 1, 7, 15])
def test_rotated_lanes_hold_the_run_from_the_offset_on(offset: int) -> None:
    run = ids(PICTURE)
    turned = np.concatenate([run[offset:], run[:offset]])
    plain = [lane[:].tolist() for lane in cut_lanes(turned, 3)]
    assert [lane[:].tolist() for lane in cut_lanes(run, 3, offset)] == plain
    lane = cut_lanes(run, 3, offset)[2]
    assert lane[1:4].tolist() == plain[2][1:4]
    assert lane[3:100].tolist() == plain[2][3:]


def test_windows_go_on_from_a_column() -> None:
    lanes = cut_lanes(ids(PICTURE), 3)
    later = list(windows(lanes, [2, 3, 1]))[1:]
    again = list(windows(lanes, [3, 1], first=2))
    for one, other in zip(again, later, strict=True):
        assert torch.equal(one.inputs_BT, other.inputs_BT)
        assert torch.equal(one.targets_BT, other.targets_BT)


@given(st.integers(1, 3000), st.integers(1, 80), st.floats(0, 20), st.integers(0, 5))
def test_window_lengths_make_up_all_columns(
    columns: int, window_length: int, spread: float, seed: int
) -> None:
    lengths = window_lengths(columns, window_length, spread, (seed,))
    assert sum(lengths) == columns
    assert lengths == window_lengths(columns, window_length, spread, (seed,))
    least = MINIMUM_DRAWN_LENGTH if spread else window_length
    assert all(length >= least for length in lengths[:-1])
    assert spread or all(length == window_length for length in lengths[:-1])


def test_drawn_lengths_have_the_mean_that_they_should() -> None:
    lengths = np.array(window_lengths(1_000_000, 70, 5.0, (1,)))
    # 0.95 x 70 + 0.05 x 35; five standard errors of 14,600 draws of spread 9 are 0.4.
    assert lengths.mean() == pytest.approx(68.25, abs=0.4)
    assert 0.04 < (lengths < 52).mean() < 0.06


def test_sentences_as_rows_of_their_own() -> None:
    sentences = [np.array(s, dtype=np.int32) for s in ([5, 6, END], [7, END], [4, 4, 9, END])]
    batches = list(sentence_batches(sentences, 2, seed=(3,)))
    rows = {
        tuple(inputs_T[weight_T > 0].tolist()): targets_T[weight_T > 0].tolist()
        for window in batches
        for inputs_T, targets_T, weight_T in zip(
            window.inputs_BT, window.targets_BT, window.weight_BT, strict=True
        )
        if bool(weight_T.any())
    }
    assert rows == {
        (START, 5, 6): [5, 6, END],
        (START, 7): [7, END],
        (START, 4, 4, 9): [4, 4, 9, END],
    }
    assert sorted(window.inputs_BT.shape[1] for window in batches) == [3, 4]
    alike = sentence_batches(sentences, 2, equal_sentences=True)
    totals = torch.cat([window.weight_BT.sum(dim=1) for window in alike])
    assert sorted(totals.tolist()) == pytest.approx([0.0, 1.0, 1.0, 1.0])


def test_sections_may_open_like_books() -> None:
    rows = [("a", "train", [START, 5, END]), ("a", "train", [6, END]), ("b", "train", [START, 7])]
    runs = book_runs(rows, sections_open=True)["train"]
    assert runs["a"].tolist() == [START, 5, END, START, 6, END]
    assert book_runs(rows)["train"]["a"].tolist() == [START, 5, END, 6, END]
