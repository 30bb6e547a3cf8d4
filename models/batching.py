"""Lanes: how a corpus is laid out so that hidden state can be carried from batch to batch.

 corpus   S a b c d e S f g h i j k l m n o p      S = _start_, where a book opens
 lane 0   S a b c d e|S      each lane holds one token more than its columns: the last column's
 lane 1   S f g h i j|k      target is the next lane's first token, so that no token is lost
 lane 2   k l m n o p|_      only the last lane's tail is padded with _nothing_

 windows of 4 columns: the second one goes on with the state that the first one left in each row.
 A row begins afresh where its input is _start_; in between the state flows on, over _end_ too. So
 that a book may open at any column, a window runs in pieces: it is cut before every such column.

Shapes: B lanes, T columns of a window, P columns of a piece.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

NOTHING, START, END, UNKNOWN = 0, 1, 2, 3
SPECIAL_TOKENS = ("_nothing_", "_start_", "_end_", "_unknown_")

TokenIds = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Window:
    """Some columns of all lanes.

    `counted_BT` marks the targets that the loss counts: every word and every `_end_`, never
    `_start_`, never padding.
    """

    inputs_BT: Tensor
    targets_BT: Tensor
    counted_BT: Tensor

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


def cut_lanes(stream: TokenIds, num_lanes: int) -> list[TokenIds]:
    """Cut one run of tokens into equally long contiguous lanes, each one token longer than it
    has columns; the last may be shorter.

    Raises:
        ValueError: the stream is too short to give every lane a column.
    """
    num_pairs = len(stream) - 1
    num_columns = -(-num_pairs // num_lanes)
    if num_columns * (num_lanes - 1) >= num_pairs:
        raise ValueError(f"{len(stream)} tokens are too few for {num_lanes} lanes")
    starts = range(0, num_lanes * num_columns, num_columns)
    return [stream[start : start + num_columns + 1] for start in starts]


def windows(lanes: Sequence[TokenIds], window_length: int) -> Iterator[Window]:
    """All columns of the lanes, `window_length` at a time; short lanes are padded."""
    num_columns = max(len(lane) for lane in lanes) - 1
    for first in range(0, num_columns, window_length):
        width = min(window_length, num_columns - first)
        tokens = np.full((len(lanes), width + 1), NOTHING, dtype=np.int64)
        for row, lane in zip(tokens, lanes, strict=True):
            part = lane[first : first + width + 1]
            row[: len(part)] = part
        inputs_BT, targets_BT = torch.from_numpy(tokens[:, :-1]), torch.from_numpy(tokens[:, 1:])
        yield Window(inputs_BT, targets_BT, (targets_BT != NOTHING) & (targets_BT != START))


def book_runs(
    rows: Iterable[tuple[str, str, Sequence[int]]],
) -> dict[str, dict[str, TokenIds]]:
    """Unbroken runs of token ids by split and book, from (book_id, split, section's token ids).

    Books come in the order of their ids: a table's digest does not depend on the order of its
    books, and so neither may what is learned from it.
    """
    parts: dict[str, dict[str, list[TokenIds]]] = {}
    for book_id, split, token_ids in rows:
        book_parts = parts.setdefault(split, {}).setdefault(book_id, [])
        book_parts.append(np.asarray(token_ids, dtype=np.int32))
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
