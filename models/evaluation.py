"""Evaluation: what a text costs a language model, from fresh states, in fp32.

Loss functions give sums and what they were summed over; division happens once, at reporting.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.batching import Lane, Tokens, Window, num_columns, windows
from models.language_model import LanguageModel

WINDOW = 256  # columns that are read at once
LONGEST_CONTEXT = 256
LANES_AT_ONCE = 64
CONTEXT_BLOCK = 16  # targets that are predicted after each context
MOST_NATS = 700.0  # a token; the perplexity of more is no float

Nats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Loss:
    """A sum of cross-entropy and what it was summed over; divided only when reported."""

    nats: float
    num_tokens: float

    @property
    def nats_per_token(self) -> float:
        """Mean cross-entropy."""
        return self.nats / self.num_tokens if self.num_tokens else math.nan

    @property
    def perplexity(self) -> float:
        """Exp of the mean cross-entropy."""
        return math.exp(self.nats_per_token)


def total(losses: Sequence[Loss]) -> Loss:
    """The loss over all lanes together."""
    return Loss(sum(x.nats for x in losses), sum(x.num_tokens for x in losses))


def evaluate(model: LanguageModel, lanes: Sequence[Tokens]) -> list[Loss]:
    """The loss of each lane over every token in order, from a fresh state."""
    return [Loss(float(nats.sum()), len(nats)) for nats in target_nats(model, lanes)]


@torch.inference_mode()
def target_nats(model: LanguageModel, lanes: Sequence[Tokens]) -> list[Nats]:
    """Of each lane: the cross-entropy of every counted target in order, from a fresh state."""
    parts: list[list[Nats]] = [[] for _ in lanes]
    # Neighbours of like length pad little.
    by_length = sorted(range(len(lanes)), key=lambda index: len(lanes[index]))
    for first in range(0, len(lanes), LANES_AT_ONCE):
        indices = by_length[first : first + LANES_AT_ONCE]
        some = [lanes[index] for index in indices]
        state = model.initial_state(len(some))
        for window in windows(some, WINDOW):
            nats_BT, state = model.nats(window, state)
            rows = zip(indices, nats_BT.double().cpu(), window.counted_BT, strict=True)
            for index, nats_T, counted_T in rows:
                parts[index].append(nats_T[counted_T].numpy())
    return [np.concatenate(own) if own else np.zeros(0) for own in parts]


@torch.inference_mode()
def loss_after_context(
    model: LanguageModel, lanes: Sequence[Tokens], context_length: int, max_blocks: int
) -> Loss:
    """The loss of blocks of tokens, each predicted from a state that has read just
    `context_length` tokens before it: what the carried state is worth.

    Blocks are spread evenly over the lanes, the same ones for every length up to 256: none begins
    earlier than 256 tokens after its lane does.
    """
    blocks = _blocks(lanes, max_blocks)
    sums, count = 0.0, 0
    for first in range(0, len(blocks), LANES_AT_ONCE):
        rows = [
            Lane(lane, start - context_length, context_length + CONTEXT_BLOCK + 1)
            for lane, start in blocks[first : first + LANES_AT_ONCE]
        ]
        state = model.initial_state(len(rows))
        for window in windows(rows, [context_length] * (context_length > 0)):
            _, state = model.read_window(window, state)
        for window in windows(rows, [CONTEXT_BLOCK], context_length):
            nats_BT, _ = model.nats(window, state)
            sums += float(nats_BT.sum(dtype=torch.float64))
            count += int(window.counted_BT.sum())
    return Loss(sums, count)


@torch.inference_mode()
def loss_of_blocks(model: LanguageModel, lanes: Sequence[Tokens], max_blocks: int) -> Loss:
    """The loss of the blocks of `loss_after_context`, the state carried from the lane's start."""
    wanted: dict[int, list[int]] = {}
    for lane, start in _blocks(lanes, max_blocks):
        wanted.setdefault(id(lane), []).append(start)
    sums, count = 0.0, 0
    for lane in lanes:
        marks = np.zeros(num_columns([lane]), dtype=bool)
        for start in wanted.get(id(lane), []):
            marks[start : start + CONTEXT_BLOCK] = True
        counted = _window_of(lane).counted_BT[0].numpy()
        [nats] = target_nats(model, [lane])
        chosen = nats[marks[counted]]
        sums, count = sums + float(chosen.sum()), count + len(chosen)
    return Loss(sums, count)


def _blocks(lanes: Sequence[Tokens], max_blocks: int) -> list[tuple[Tokens, int]]:
    found = [
        (lane, start)
        for lane in lanes
        for start in range(LONGEST_CONTEXT, len(lane) - CONTEXT_BLOCK, CONTEXT_BLOCK)
    ]
    every = max(1, -(-len(found) // max_blocks))
    return found[::every]


def _window_of(lane: Tokens) -> Window:
    [window] = windows([lane], [num_columns([lane])])
    return window
