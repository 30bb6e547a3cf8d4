"""What the map's points refuse, and what is counted of them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tasks.seams.map_points import (
    PALETTE,
    book_lines,
    colour,
    confusion,
    shown_text,
    star_names,
)
from tests.tasks.map_sample import HOSTILE, points


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"titles": ["one"]}, r"columns of one length above 0, not \[1, 4\]"),
        ({"labels": []}, r"columns of one length above 0, not \[0, 4\]"),
        ({"strange_terms": [[]] * 5}, r"columns of one length above 0, not \[4, 5\]"),
        ({"placed": np.zeros(3, dtype=bool)}, r"columns of one length above 0, not \[3, 4\]"),
        ({"cluster_terms": [["king"]]}, "terms for 1 clusters only"),
        ({"errors": np.array([0, 1, np.nan, 2])}, "finite"),
        ({"places": np.array([0, 0.5, 1.5, 1])}, "places run from 0.0 to 1.5"),
        ({"typical": [[0]]}, "typical texts for 1 clusters only"),
        ({"edge": [[], [], [4]]}, "4, named as edge, is none of 4 texts"),
    ],
)
def test_columns_that_do_not_fit(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(points(), **change)


def test_each_label_is_counted_in_the_row_of_its_cluster() -> None:
    #           cluster 0  1  2
    # comedy            2  0  0
    # _odd_             0  1  0
    # roman             0  0  1
    found = confusion(points())
    assert list(found.labels) == ["comedy", "_odd_", "roman"]
    assert found.counts_LK.tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert found.shares.tolist() == np.eye(3).tolist()


def test_a_label_without_a_partner_comes_after_its_largest_cluster() -> None:
    clusters = np.array([1, 1, 1, 0], dtype=np.int32)
    one = replace(points(["b", "b", "a", "c"]), clusters=clusters)
    found = confusion(one)
    assert list(found.labels) == ["c", "b", "a"]
    assert found.counts_LK.tolist() == [[1, 0, 0], [0, 2, 0], [0, 1, 0]]


def test_rare_labels_are_counted_together() -> None:
    found = confusion(points(), most_labels=2)
    assert list(found.labels) == ["comedy", "2 others"]
    assert found.counts_LK.tolist() == [[2, 0, 0], [0, 1, 1]]


def test_texts_without_labels_have_no_confusion() -> None:
    with pytest.raises(ValueError, match="without labels"):
        confusion(points(labels=None))


def test_a_text_reaches_halfway_to_its_neighbours_in_its_book() -> None:
    lines = book_lines(replace(points(), places=np.array([0.9, 0.5, 0.3, 0.5])))
    assert [line.title for line in lines] == ["Hamlet", HOSTILE, "R&D"]
    assert [list(line.texts) for line in lines] == [[2, 0], [1], [3]]
    assert lines[0].borders == pytest.approx([0, 0.6, 1])
    assert list(lines[1].borders) == [0, 1]


def test_texts_at_one_place_share_the_book() -> None:
    lines = book_lines(replace(points(), places=np.full(4, 0.5)))
    assert list(lines[0].texts) == [0, 2]
    assert list(lines[0].borders) == [0, 0.5, 1]


def test_a_book_placed_later_is_named_once_and_no_name_covers_another() -> None:
    placed = replace(points(), y=np.array([0, 0, 0, 1]), placed=np.array([True] * 4))
    names = star_names(placed, 9)
    assert sorted(placed.titles[name.text] for name in names) == [HOSTILE, "Hamlet", "R&D"]
    heights = [name.y for name in names]
    assert all(above - below >= 0.04 for above, below in pairwise(heights))
    assert len(star_names(placed, 2)) == 2
    assert star_names(points(), 9) == []


def test_colours_differ_until_the_palette_has_been_mixed_twice() -> None:
    assert [colour(index) for index in range(10)] == list(PALETTE)
    assert len({colour(index) for index in range(30)}) == 30
    assert colour(30) == colour(0)


def test_shown_text_is_one_line_of_what_fonts_can_show() -> None:
    assert shown_text(" a\x00b\n\u2028c\ud800 ") == "a b c"
    assert shown_text("some words here", 12) == "some words …"
    assert shown_text("Donaudampfschifffahrt", 8) == "Donauda…"
