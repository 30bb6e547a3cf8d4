"""The recipe that a text of any length gets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.batching import cut_lanes
from tasks.train import TrainSettings


@given(st.integers(2, 5000), st.integers(1, 64), st.integers(1, 80))
def test_every_text_can_be_cut_into_the_recipes_lanes(
    num_tokens: int, num_lanes: int, window_length: int
) -> None:
    settings = TrainSettings(num_lanes=num_lanes, window_length=window_length, number_type="fp32")
    recipe = settings.recipe(num_tokens)
    assert 1 <= recipe.num_lanes <= num_lanes
    lanes = cut_lanes(np.zeros(num_tokens, dtype=np.int32), recipe.num_lanes)
    assert sum(len(lane) - 1 for lane in lanes) == num_tokens - 1
    assert recipe.num_lanes == 1 or len(lanes[0]) - 1 >= window_length


def test_the_plays_get_what_was_asked_for() -> None:
    assert TrainSettings(number_type="fp32").recipe(892_872).num_lanes == 32
