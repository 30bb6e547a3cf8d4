"""The training curve, looked at pixel by pixel."""

import io

import matplotlib.image
import numpy as np
import pytest

from tasks.seams.drawing_curve import (
    CURVE_HEIGHT_PIXELS,
    CURVE_WIDTH_PIXELS,
    draw_training_curve_png,
)


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return np.round(matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).astype(int)


def has_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(axis=-1).any())


def test_a_picture_of_the_declared_size_with_line_and_dots() -> None:
    steps = ([1_000, 2_000, 3_000], [9.0, 6.0, 5.0])
    picture = pixels(draw_training_curve_png(*steps, [(1_500, 7.0), (3_000, 5.2)]))
    assert picture.shape == (CURVE_HEIGHT_PIXELS, CURVE_WIDTH_PIXELS, 3)
    assert has_colour(picture, (0x56, 0xB4, 0xE9))
    assert has_colour(picture, (0xD5, 0x5E, 0x00))
    assert not has_colour(pixels(draw_training_curve_png(*steps, [])), (0xD5, 0x5E, 0x00))


def test_the_same_numbers_give_the_same_bytes() -> None:
    first, again, other = (
        draw_training_curve_png([1, 2], [5.0, last], [(2, 4.5)]) for last in (4.0, 4.0, 3.0)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("tokens", "losses", "validation", "message"),
    [
        ([], [], [], "no logged step"),
        ([1, 2], [3.0], [], "2 counts of tokens seen don't fit 1"),
        ([1], [float("nan")], [], "loss nan is not finite"),
        ([1], [3.0], [(1, float("inf"))], "loss inf is not finite"),
    ],
)
def test_what_can_not_be_drawn(
    tokens: list[int], losses: list[float], validation: list[tuple[int, float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        draw_training_curve_png(tokens, losses, validation)
