"""The picture of a trace: the order of its units by hand, the rest pixel by pixel."""

import io
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from tasks.seams.drawing_trace import (
    MOST_TOKENS,
    TRACE_HEIGHT_PIXELS,
    TRACE_WIDTH_PIXELS,
    TracedText,
    draw_trace_png,
    order_by_likeness,
)


def traced(num_tokens: int, *, num_layers: int = 2, seed: int = 0) -> TracedText:
    rng = np.random.default_rng(seed)
    words = [f"word{index}" for index in range(num_tokens - 1)]
    return TracedText(
        tokens=["_end_", *words],
        log_probability_nats=[None, *(-rng.exponential(3.0, num_tokens - 1))],
        entropy_nats=[None, *rng.uniform(1.0, 5.0, num_tokens - 1)],
        expected=[None, *words],
        cells_TLH=rng.normal(size=(num_tokens, num_layers, 30)).astype(np.float32),
        state_changes=rng.uniform(1.0, 3.0, num_tokens).tolist(),
    )


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return np.round(matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).astype(int)


def num_of_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((picture == colour).all(axis=-1).sum())


def test_units_that_go_together_are_neighbours() -> None:
    """Three kinds of columns, shuffled: rising, swinging and falling, each with some noise."""
    rng = np.random.default_rng(1)
    time = np.linspace(0, 1, 40)
    kinds = np.array([0, 1, 2, 1, 0, 2, 2, 0, 1, 1])
    shapes = np.stack([time, np.sin(12 * time), -time])
    values_TU = (shapes[kinds] + rng.normal(0, 0.02, (10, 40))).T
    order = order_by_likeness(values_TU)
    assert sorted(order) == list(range(10))
    changes = np.count_nonzero(np.diff(kinds[order]))
    assert changes == 2  # three bands


@pytest.mark.parametrize("shape", [(1, 5), (2, 3), (4, 1), (3, 40)])
def test_any_shape_has_an_order(shape: tuple[int, int]) -> None:
    for values_TU in (np.zeros(shape), np.random.default_rng(0).normal(size=shape)):
        assert sorted(order_by_likeness(values_TU)) == list(range(shape[1]))


@pytest.mark.parametrize("num_tokens", [2, 5, 14, 15, 60, 75])
def test_a_picture_of_the_declared_size_with_its_three_parts(num_tokens: int) -> None:
    picture = pixels(draw_trace_png(traced(num_tokens)))
    assert picture.shape == (TRACE_HEIGHT_PIXELS, TRACE_WIDTH_PIXELS, 3)
    # Surprise above, the state's change below: nowhere else are their colours pure.
    third = TRACE_HEIGHT_PIXELS // 3
    assert num_of_colour(picture[:third], (0xD5, 0x5E, 0x00)) > 1_000
    assert num_of_colour(picture[-third:], (0x00, 0x72, 0xB2)) > 1_000


def test_the_same_text_gives_the_same_bytes() -> None:
    first, again, other = (draw_trace_png(traced(9, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other


def test_what_comes_after_the_first_tokens_is_not_drawn() -> None:
    text = traced(MOST_TOKENS + 5)
    cells_TLH = text.cells_TLH.copy()
    cells_TLH[MOST_TOKENS:] += 3.0
    changes = [*text.state_changes[:MOST_TOKENS], *[9.0] * 5]
    other = replace(text, cells_TLH=cells_TLH, state_changes=changes)
    assert draw_trace_png(other) == draw_trace_png(text)


def test_signs_of_books_are_no_formulas() -> None:
    text = replace(traced(3), tokens=["_end_", "$x_1$", "\\frac"], expected=[None, "$", "^_$"])
    assert draw_trace_png(text).startswith(b"\x89PNG")


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one length above 0, not \[4, 5\]"):
        replace(traced(5), state_changes=[1.0] * 4)
