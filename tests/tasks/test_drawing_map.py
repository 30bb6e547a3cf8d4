"""The map, the labels in clusters and the books' ways as pictures."""

import io
import warnings
from dataclasses import replace

import matplotlib.image
import numpy as np
import numpy.typing as npt
import pytest

from tasks.seams.drawing_clusters import MOST_BOOKS, draw_book_lines_png, draw_confusion_png
from tasks.seams.drawing_map import MAP_HEIGHT_PIXELS, MAP_WIDTH_PIXELS, draw_map_png
from tasks.seams.map_points import PALETTE, MapPoints
from tests.tasks.map_sample import points

DRAWINGS = (draw_map_png, draw_confusion_png, draw_book_lines_png)


def pixels(png: bytes) -> npt.NDArray[np.int_]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return np.round(matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).astype(int)


def amount(picture: npt.NDArray[np.int_], colour: str) -> int:
    """How many pixels have exactly the colour."""
    rgb = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((picture == rgb).all(axis=-1).sum())


def many(number: int) -> MapPoints:
    """So many texts, each its own cluster, label and book."""
    return MapPoints(
        x=np.arange(number, dtype=np.float32),
        y=np.zeros(number, dtype=np.float32),
        clusters=np.arange(number, dtype=np.int32),
        labels=[f"label {index}" for index in range(number)],
        titles=["t"] * number,
        headings=["h"] * number,
        quotations=["q"] * number,
        book_ids=[f"book {index}" for index in range(number)],
        places=np.zeros(number, dtype=np.float32),
        memberships=np.ones(number, dtype=np.float32),
        errors=np.zeros(number, dtype=np.float32),
        strange_terms=[[]] * number,
        cluster_terms=[["term"]] * number,
        typical=[[]] * number,
        edge=[[]] * number,
        verdict=[],
    )


@pytest.mark.parametrize("draw", DRAWINGS)
def test_the_same_bytes_for_the_same_hostile_points(draw: type[object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = draw(points())
    assert png == draw(points())


def test_a_map_of_the_declared_size_with_the_clusters_colours() -> None:
    picture = pixels(draw_map_png(points()))
    assert picture.shape == (MAP_HEIGHT_PIXELS, MAP_WIDTH_PIXELS, 3)
    shown = [amount(picture, colour) > 0 for colour in PALETTE[:4]]
    assert shown == [True, True, True, False]


def test_more_clusters_and_labels_than_colours_and_shapes() -> None:
    assert draw_map_png(many(25)) != draw_map_png(replace(many(25), labels=None))


def test_texts_placed_later_are_larger_stars() -> None:
    plain, stars = points(), replace(points(), placed=np.array([True, False, False, False]))
    sizes = [amount(pixels(draw_map_png(drawn)), PALETTE[0]) for drawn in (plain, stars)]
    assert sizes[1] > sizes[0]


def test_a_label_that_is_wholly_in_a_cluster_is_dark_there() -> None:
    darkest = "#0072B2"
    together = replace(points(["one"] * 4), clusters=np.ones(4, dtype=np.int32))
    apart = replace(points(["one"] * 4), clusters=np.array([0, 1, 2, 2], dtype=np.int32))
    cell, mark = (amount(pixels(draw_confusion_png(drawn)), darkest) for drawn in (together, apart))
    assert cell > 50_000 > mark, "the other has the colour in its legend only"


def test_labels_by_the_dozen_have_room() -> None:
    assert pixels(draw_confusion_png(many(29))).shape[0] > MAP_HEIGHT_PIXELS
    assert pixels(draw_confusion_png(many(40))).shape[1] == MAP_WIDTH_PIXELS


def test_texts_without_labels_have_no_confusion_to_draw() -> None:
    with pytest.raises(ValueError, match="without labels"):
        draw_confusion_png(points(labels=None))


def test_a_book_fills_its_strip_with_its_texts_clusters() -> None:
    halves = replace(points(), book_ids=["one"] * 4, clusters=np.array([0, 0, 1, 1]))
    picture = pixels(draw_book_lines_png(replace(halves, places=np.array([0.1, 0.3, 0.7, 0.9]))))
    left, right = (amount(picture, colour) for colour in PALETTE[:2])
    assert left == pytest.approx(right, rel=0.05)
    assert left > 10_000


def test_of_many_books_the_first_are_drawn_and_the_others_counted() -> None:
    some, more = (pixels(draw_book_lines_png(many(MOST_BOOKS + extra))) for extra in (0, 7))
    assert some.shape[0] < more.shape[0] + 100
    assert not np.array_equal(some[-60:], more[-60:]), "a line says how many are left out"
