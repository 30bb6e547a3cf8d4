from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.plays import read_plays
from data.splits import assign_splits, section_splits


def books(count: int) -> list[tuple[str, str]]:
    return [(f"book-{number}", f"{number:064x}") for number in range(count)]


def test_the_packaged_plays_have_the_published_split() -> None:
    splits = assign_splits(
        [(book.book_id, book.sha256) for book in read_plays()], plays=True, seed=1
    )
    held_out = {
        name: [book_id for book_id, split in splits.items() if split == name]
        for name in ("validation", "test")
    }
    assert held_out == {
        "validation": [
            "comedies/the-merry-wives-of-windsor",
            "histories/richard-ii",
            "romances/cymbeline",
        ],
        "test": [
            "histories/henry-v",
            "problems/troilus-and-cressida",
            "tragedies/othello",
        ],
    }
    assert Counter(splits.values())["train"] == 32


@pytest.mark.parametrize(
    ("num_books", "num_held_out"), [(3, 1), (10, 1), (17, 1), (19, 2), (38, 3), (120, 10)]
)
def test_a_twelfth_of_other_books_is_held_out_twice(num_books: int, num_held_out: int) -> None:
    splits = assign_splits(books(num_books), plays=False, seed=1)
    counts = Counter(splits.values())
    assert counts["validation"] == counts["test"] == num_held_out
    assert counts["train"] == num_books - 2 * num_held_out


def test_the_split_depends_on_content_and_seed_alone() -> None:
    shelf = books(30)
    splits = assign_splits(shelf, plays=False, seed=1)
    assert assign_splits(shelf[::-1], plays=False, seed=1) == splits
    renamed = assign_splits([(f"x-{name}", digest) for name, digest in shelf], plays=False, seed=1)
    assert renamed == {f"x-{name}": split for name, split in splits.items()}
    assert assign_splits(shelf, plays=False, seed=2) != splits


def test_one_or_two_books_are_split_by_section() -> None:
    assert assign_splits(books(2), plays=False, seed=1) == {
        "book-0": "by_section",
        "book-1": "by_section",
    }
    assert assign_splits([], plays=False, seed=1) == {}


@pytest.mark.parametrize(
    ("lengths", "letters"),
    [
        ([1, 1, 1], "rvt"),
        ([10] * 12, "rrrrrrrrrrvt"),
        ([10] * 13, "rrrrrrrrrvvtt"),  # 10 of 130 is under a twelfth
        ([100, 4, 4, 4, 4, 4], "rvvttt"),
        ([1000, 1, 1, 1], "rvtt"),  # one is left for each of the others
        ([1, 1, 1000], "rvt"),
        ([0, 0, 0, 0], "rrvt"),
    ],
)
def test_the_last_sections_of_a_lone_book_are_held_out(lengths: list[int], letters: str) -> None:
    names = {"r": "train", "v": "validation", "t": "test"}
    assert section_splits(lengths) == [names[letter] for letter in letters]


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=40))
def test_every_split_of_a_book_is_one_run_and_none_is_empty(lengths: list[int]) -> None:
    splits = section_splits(lengths)
    assert len(splits) == len(lengths)
    assert set(splits) == {"train", "validation", "test"}
    assert splits == sorted(splits, key=["train", "validation", "test"].index)
    held = sum(length for length, split in zip(lengths, splits, strict=True) if split == "test")
    if splits.count("train") + splits.count("validation") > 2:
        assert held * 12 >= sum(lengths)


def test_of_two_sections_none_is_held_out() -> None:
    assert section_splits([500, 500]) == ["train", "train"]
    assert section_splits([]) == []


@pytest.mark.parametrize(
    ("num_books", "num_learned", "num_held_out"),
    [(10, 3, 1), (24, 20, 2), (24, 21, 1), (24, 22, 1), (3, 1, 1)],
)
def test_what_a_model_has_learned_from_is_for_training(
    num_books: int, num_learned: int, num_held_out: int
) -> None:
    """A twelfth twice over, as far as there are books that it has not seen."""
    learned = {f"book-{number}" for number in range(num_learned)}
    splits = assign_splits(books(num_books), plays=False, seed=1, learned=learned)
    assert {splits[book_id] for book_id in learned} == {"train"}
    counts = Counter(splits.values())
    assert counts["validation"] == counts["test"] == num_held_out


def test_where_all_but_one_were_learned_from_the_split_is_as_ever() -> None:
    learned = {f"book-{number}" for number in range(9)}
    assert assign_splits(books(10), plays=False, seed=1, learned=learned) == assign_splits(
        books(10), plays=False, seed=1
    )
