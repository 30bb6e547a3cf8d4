"""The picture of why a sentence was picked, pixel by pixel."""

import io

import matplotlib.image
import numpy as np
import pytest

from tasks.seams.drawing_reasons import (
    MOST_CHOICES,
    ReasonsPicture,
    SlotPicture,
    draw_reasons_png,
    shown_choices,
)

PATH_COLOUR = (213, 94, 0)


def picture(*slots: SlotPicture) -> ReasonsPicture:
    return ReasonsPicture("The king sees.", slots, "The the.")


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return np.round(matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).astype(int)


def orange(png: bytes) -> np.ndarray:
    """Where the picture is of the path's hue, however pale."""
    values = pixels(png)
    return (values[..., 0] > values[..., 2] + 60) & (values[..., 0] > 200)


def slot(*probabilities: float, chosen: int = 0) -> SlotPicture:
    return SlotPicture([(f"w{i}", p) for i, p in enumerate(probabilities)], chosen, 0.5)


def test_choices_keep_their_order_and_the_one_taken_always_stays() -> None:
    shown = shown_choices(slot(0.1, 0.7, 0.2, chosen=2))
    assert [word for word, _ in shown.choices] == ["w0", "w1", "w2"]
    assert shown.chosen == 2
    many = slot(*([1.0] * 30 + [0.0]), chosen=30)
    shown = shown_choices(many)
    assert len(shown.choices) == MOST_CHOICES
    assert shown.choices[shown.chosen][0] == "w30"


def test_a_probable_choice_has_a_longer_bar() -> None:
    likely = orange(draw_reasons_png(picture(slot(0.9, 0.1), slot(0.5, 0.5)))).sum()
    unlikely = orange(draw_reasons_png(picture(slot(0.9, 0.1, chosen=1), slot(0.5, 0.5)))).sum()
    assert likely > 1.3 * unlikely


def test_the_same_picture_gives_the_same_bytes() -> None:
    one = picture(slot(0.5, 0.3, 0.2), SlotPicture([("", 1.0)], 0, None))
    assert draw_reasons_png(one) == draw_reasons_png(one)


@pytest.mark.parametrize("word", ["$x_1$", "$\\fie$", "<b>", "été", "x" * 500, "\\frac", "%", "👑"])
def test_any_word_can_be_drawn(word: str) -> None:
    slots = [SlotPicture([(word, 0.6), ("king", 0.4)], 0, 1.0)] * 20
    png = draw_reasons_png(ReasonsPicture(word, slots, word))
    assert pixels(png).shape[1] < 4000


def test_dollars_are_drawn_as_they_stand() -> None:
    """Of mathematics, the two would be drawn alike."""
    one, other = (
        draw_reasons_png(picture(SlotPicture([(w, 1.0)], 0, None))) for w in ("$a$", "$ a $")
    )
    assert one != other


def test_a_sentence_of_gap_words_alone_can_be_drawn() -> None:
    assert pixels(draw_reasons_png(picture())).shape[0] > 100
