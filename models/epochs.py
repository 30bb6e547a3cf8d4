"""An epoch as its recipe has it: the windows that a training makes its steps on, in order."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from models.batching import (
    Tokens,
    Window,
    cut_lanes,
    num_columns,
    sentence_batches,
    split_sentences,
    window_lengths,
    windows,
)
from models.recipe import Recipe
from models.special_tokens import END, TokenIds


class Epoch:
    """The windows of one epoch: of lanes along the stream, or batches of separate sentences."""

    def __init__(self, stream: Tokens, recipe: Recipe, seed: tuple[int, int]) -> None:
        """Plan it; `seed` is the training's own and the epoch's number, from 0."""
        self._stream, self._recipe, self._seed = stream, recipe, seed
        if recipe.separate_sentences:
            self._sentences = _sentences(stream)
            self.num_windows = -(-len(self._sentences) // recipe.num_lanes)
            return
        offset = 0
        if recipe.moving_lanes:
            # A multiple of the golden ratio never comes back to where it was.
            offset = int(seed[1] * 0.6180339887 % 1.0 * len(stream))
        self._lanes = cut_lanes(stream, recipe.num_lanes, offset)
        self._lengths = window_lengths(
            num_columns(self._lanes), recipe.window_length, recipe.window_spread, seed
        )
        self.num_windows = len(self._lengths)

    def windows(self, first: int) -> Iterator[Window]:
        """Those from window `first` on."""
        recipe = self._recipe
        if recipe.separate_sentences:
            batches = sentence_batches(
                self._sentences,
                recipe.num_lanes,
                equal_sentences=recipe.equal_sentences,
                seed=self._seed,
            )
            return islice(batches, first, None)
        return windows(self._lanes, self._lengths[first:], sum(self._lengths[:first]))


def steps_per_epoch(stream: Tokens, recipe: Recipe) -> int:
    """How many windows an epoch has, where their lengths are not drawn."""
    if recipe.separate_sentences:
        return -(-len(_sentences(stream)) // recipe.num_lanes)
    columns = num_columns(cut_lanes(stream, recipe.num_lanes))
    return -(-columns // recipe.window_length)


def _sentences(stream: Tokens) -> list[TokenIds]:
    words = split_sentences(stream[0 : len(stream)])
    return [np.array([*sentence, END], dtype=np.int32) for sentence in words]
