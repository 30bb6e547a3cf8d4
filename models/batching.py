"""Lanes: how a corpus is laid out so that hidden state can be carried from batch to batch.

 corpus   S a b c d e S f g h i j k l m n o p      S = _start_, where a book opens
 lane 0   S a b c d e|S      each lane holds one token more than its columns: the last column's
 lane 1   S f g h i j|k      target is the next lane's first token, so that no token is lost
 lane 2   k l m n o p|_      only the last lane's tail is padded with _nothing_

 windows of 4 columns: the second one goes on with the state that the first one left in each row.
 A row begins afresh where its input is _start_; in between the state flows on, over _end_ too. So
 that a book may open at any column, a window runs in pieces: it is cut before every such column.

The corpus may be rotated, so that each epoch cuts other lanes from it: it then begins in the middle
of a book and goes on with the first book after the last.

Shapes: B lanes, T columns of a window, P columns of a piece.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.special_tokens import END, NOTHING, START, TokenIds

MINIMUM_DRAWN_LENGTH = 5


class Tokens(Protocol):
    """A run of token ids: an array, or a file that is read slice by slice."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, part: slice, /) -> TokenIds:
        """Those of a slice without a step."""
        ...


@dataclass(frozen=True)
class Lane:
    """`length` tokens of a run, from `start` on; after the run's last comes its first again."""

    tokens: Tokens
    start: int
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, part: slice) -> TokenIds:
        first, last, _ = part.indices(self.length)
        first, last = self.start + first, self.start + last
        num_tokens = len(self.tokens)
        if last <= num_tokens:
            return self.tokens[first:last]
        if first >= num_tokens:
            return self.tokens[first - num_tokens : last - num_tokens]
        return np.concatenate([self.tokens[first:num_tokens], self.tokens[: last - num_tokens]])


@dataclass(frozen=True)
class Window:
    """Some columns of all lanes.

    `weight_BT` is what the loss counts each target by: 1 for every word and every `_end_`, 0 for
    `_start_` and for padding; batches of separate sentences may weigh them otherwise. Windows are
    on the CPU: a model hands to its own device what it needs of them.
    """

    inputs_BT: Tensor
    targets_BT: Tensor
    weight_BT: Tensor

    @property
    def counted_BT(self) -> Tensor:  # noqa: N802 (a shape suffix)
        """Marks the targets that the loss counts."""
        return self.weight_BT > 0

    def rows(self, first: int, last: int) -> "Window":
        """Some of its lanes."""
        parts = (self.inputs_BT, self.targets_BT, self.weight_BT)
        return Window(*(x[first:last] for x in parts))

    def pieces(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The window's pieces in order: (token_ids_BP, fresh_B).

        `fresh_B` marks rows in which a book opens at the piece's first column: their state is
        reset before it.
        """
        opens_BT = self.inputs_BT == START
        cuts = torch.nonzero(opens_BT.any(dim=0)).flatten().tolist()
        edges = sorted({0, *cuts, self.inputs_BT.shape[1]})
        for first, last in pairwise(edges):
            yield self.inputs_BT[:, first:last], opens_BT[:, first]


def cut_lanes(stream: Tokens, num_lanes: int, offset: int = 0) -> list[Lane]:
    """Cut one run of tokens into equally long contiguous lanes, each one token longer than it
    has columns; the last may be shorter. With an offset the run is rotated first.

    Raises:
        ValueError: the stream is too short to give every lane a column.
    """
    num_pairs = len(stream) - 1
    columns = -(-num_pairs // num_lanes)
    if columns * (num_lanes - 1) >= num_pairs:
        raise ValueError(f"{len(stream)} tokens are too few for {num_lanes} lanes")
    lanes = []
    for start in range(0, num_lanes * columns, columns):
        length = min(columns + 1, len(stream) - start)
        lanes.append(Lane(stream, (start + offset) % len(stream), length))
    return lanes


def windows(
    lanes: Sequence[Tokens], lengths: int | Sequence[int], first: int = 0
) -> Iterator[Window]:
    """The columns of the lanes from `first` on: so many at a time, or as many as are listed.

    Short lanes are padded.
    """
    if isinstance(lengths, int):
        lengths = window_lengths(num_columns(lanes) - first, lengths)
    for length in lengths:
        tokens = np.full((len(lanes), length + 1), NOTHING, dtype=np.int64)
        for row, lane in zip(tokens, lanes, strict=True):
            part = lane[first : first + length + 1]
            row[: len(part)] = part
        yield _window(tokens)
        first += length


def num_columns(lanes: Sequence[Tokens]) -> int:
    """Columns of the longest lane: its tokens but the last, which is only a target."""
    return max(len(lane) for lane in lanes) - 1


def window_lengths(
    columns: int, window_length: int, spread: float = 0.0, seed: tuple[int, ...] = ()
) -> list[int]:
    """Lengths of windows that make up so many columns.

    With a spread, each is drawn from a normal distribution around the full length, or in one case
    of twenty around half of it: Merity, Keskar & Socher 2017 (arXiv:1708.02182), section 5.
    """
    rng = np.random.default_rng(seed)
    lengths, left = [], columns
    while left > 0:
        length = window_length
        if spread:
            mean = window_length if rng.random() < 0.95 else window_length / 2
            length = max(MINIMUM_DRAWN_LENGTH, round(rng.normal(mean, spread)))
        lengths.append(min(length, left))
        left -= lengths[-1]
    return lengths


def sentence_batches(
    sentences: Sequence[TokenIds],
    num_rows: int,
    *,
    equal_sentences: bool = False,
    seed: tuple[int, ...] = (),
) -> Iterator[Window]:
    """Separate sentences, each a row of its own that opens with `_start_`, as windows.

    Sentences of like length share a batch, and batches come in a random order.

    Args:
        sentences: token ids of each, without `_start_`, with its `_end_`.
        num_rows: sentences in a batch.
        equal_sentences: weigh each target by one over its sentence's length, so that sentences
            rather than tokens count alike.
        seed: of the order.
    """
    rng = np.random.default_rng(seed)
    lengths = np.array([len(sentence) for sentence in sentences])
    order = np.lexsort((rng.random(len(sentences)), lengths))
    starts = np.arange(0, len(order), num_rows)
    for start in rng.permutation(starts):
        rows = [sentences[index] for index in order[start : start + num_rows]]
        tokens = np.full((num_rows, max(map(len, rows)) + 1), NOTHING, dtype=np.int64)
        tokens[: len(rows), 0] = START
        for row, sentence in zip(tokens, rows, strict=False):
            row[1 : len(sentence) + 1] = sentence
        window = _window(tokens)
        if equal_sentences:
            per_row = window.weight_BT.sum(dim=1, keepdim=True).clamp(min=1.0)
            window = Window(window.inputs_BT, window.targets_BT, window.weight_BT / per_row)
        yield window


def book_runs(
    rows: Iterable[tuple[str, str, Sequence[int]]], *, sections_open: bool = False
) -> dict[str, dict[str, TokenIds]]:
    """Unbroken runs of token ids by split and book, from (book_id, split, section's token ids).

    Books come in the order of their ids: a table's digest does not depend on the order of its
    books, and so neither may what is learned from it. Where sections open like books, each begins
    with a `_start_` of its own.
    """
    parts: dict[str, dict[str, list[TokenIds]]] = {}
    for book_id, split, token_ids in rows:
        book_parts = parts.setdefault(split, {}).setdefault(book_id, [])
        section = np.asarray(token_ids, dtype=np.int32)
        if sections_open and len(section) and section[0] != START:
            book_parts.append(np.array([START], dtype=np.int32))
        book_parts.append(section)
    return {
        split: {book_id: np.concatenate(books[book_id]) for book_id in sorted(books)}
        for split, books in parts.items()
    }


def split_sentences(run: TokenIds) -> list[list[int]]:
    """The sentences of a run, without `_start_` and `_end_`."""
    words = run[run != START]
    ends = np.flatnonzero(words == END)
    starts = [0, *(ends[:-1] + 1)]
    return [words[start:end].tolist() for start, end in zip(starts, ends, strict=False)]


def _window(tokens: npt.NDArray[np.int64]) -> Window:
    inputs_BT, targets_BT = torch.from_numpy(tokens[:, :-1]), torch.from_numpy(tokens[:, 1:])
    counted_BT = (targets_BT != NOTHING) & (targets_BT != START)
    return Window(inputs_BT, targets_BT, counted_BT.float())
