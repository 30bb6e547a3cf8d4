"""Beginnings of sentences, and what they become one token longer: what all searches are made of.

Shapes, as suffixes of names:

    S  bag sets, each with its space of sentences
    N  beginnings, those of one set all of T tokens, the opening among them
    P  places that the beginnings stand at        K  choices of the place that has the most
    C  candidates: each beginning with each of its choices, beginning by beginning, by token id
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.sentence_space import DONE, Space
from models.tail_bounds import Matters

State = tuple[Tensor, ...]
"""What a model remembers: tensors with their rows along dimension -2, as h_LNH and c_LNH."""


class Step(Protocol):
    """A language model, as far as searches see it."""

    def __call__(
        self,
        token_ids_N: Tensor,
        state: State,
        row_N: Tensor,
        asked_NK: Tensor,
        matters: Matters | None = None,
    ) -> tuple[Tensor, State]:
        """Read a token for each n, from row_N[n] of the state: log_probs_NK, and the state after.

        log_probs_NK is float32: the log-probability in nats of each asked-for token to be the next,
        normalised over the whole vocabulary. Where one n has fewer choices than another, the
        opening token is asked for in the columns that are left. Many n may go on from one row.
        A model may ask whether what it has bounded from above matters; what does not may stay a
        bound.
        """
        ...


@dataclass(frozen=True)
class PickedSentence:
    """A sentence that a bag set allows.

    log_probability_nats includes the `_end_` that closes the sentence, token_ids leaves it out;
    score is what it is ranked by: log-probability and gains.
    """

    token_ids: tuple[int, ...]
    log_probability_nats: float
    score: float


@dataclass(frozen=True)
class Beginnings:
    """Beginnings whose last token is still to be read.

    `state` is that before the last token, in rows that several may go on from: row_N says which
    one is whose. No sentence that begins so scores above bound_N.
    """

    set_N: Tensor
    place_N: Tensor
    token_ids_NT: Tensor
    log_probability_N: Tensor
    score_N: Tensor
    bound_N: Tensor
    row_N: Tensor
    state: State

    @staticmethod
    def of(spaces: Sequence[Space], opening_token_id: int, state: State) -> "Beginnings":
        """One for each set: the opening, from a state of one row."""
        zeros_S = torch.zeros(len(spaces), dtype=torch.int64)
        return Beginnings(
            torch.arange(len(spaces)),
            zeros_S,
            torch.full((len(spaces), 1), opening_token_id),
            zeros_S.double(),
            zeros_S.double(),
            torch.tensor([space.most_gain(0) for space in spaces], dtype=torch.float64),
            zeros_S,
            state,
        )

    def __len__(self) -> int:
        return len(self.set_N)

    def take(self, which: Tensor | slice) -> "Beginnings":
        """Some of them, in the order given."""
        return Beginnings(
            self.set_N[which],
            self.place_N[which],
            self.token_ids_NT[which],
            self.log_probability_N[which],
            self.score_N[which],
            self.bound_N[which],
            self.row_N[which],
            self.state,
        )

    def with_candidates(self, candidates: "Candidates", which_C: Tensor) -> "Beginnings":
        """Those of the candidates, one token longer than these, in the order given."""
        row_N = candidates.row_C[which_C]
        last_N1 = candidates.token_id_C[which_C, None]
        return Beginnings(
            self.set_N[row_N],
            candidates.place_C[which_C],
            torch.cat([self.token_ids_NT[row_N], last_N1], dim=1),
            candidates.log_probability_C[which_C],
            candidates.score_C[which_C],
            candidates.bound_C[which_C],
            row_N,
            candidates.state,
        )

    def sentences(self, candidates: "Candidates", which_C: Tensor) -> list[PickedSentence]:
        """Those candidates that `_end_` closes, as sentences."""
        closed = self.with_candidates(candidates, which_C)
        return [
            PickedSentence(tuple(token_ids_T[1:-1]), log_probability, score)
            for token_ids_T, log_probability, score in zip(
                closed.token_ids_NT.tolist(),
                closed.log_probability_N.tolist(),
                closed.score_N.tolist(),
                strict=True,
            )
        ]


@dataclass(frozen=True)
class Candidates:
    """Each beginning with each of its choices; `state` has a row for each beginning.

    level_C: how many bags are behind after it, at most; the rest as in `Beginnings`.
    """

    row_C: Tensor
    token_id_C: Tensor
    place_C: Tensor
    level_C: Tensor
    log_probability_C: Tensor
    score_C: Tensor
    bound_C: Tensor
    state: State

    def done(self) -> Tensor:
        """Indices of those that `_end_` closes, ascending."""
        return (self.place_C == DONE).nonzero()[:, 0]

    def open(self) -> Tensor:
        """Indices of the others, ascending."""
        return (self.place_C != DONE).nonzero()[:, 0]


@torch.no_grad()
def read_on(
    beginnings: Beginnings,
    spaces: Sequence[Space],
    step: Step,
    rows_at_once: int,
    *,
    num_kept: int | None = None,
    needed_S: Tensor | None = None,
) -> Candidates:
    """Read the last token of every beginning, and weigh what may follow it.

    Args:
        beginnings: the opening of each is its first token.
        spaces: the sets', by their number.
        step: the model.
        rows_at_once: the most that `step` is given at once.
        num_kept: no more candidates of a set and a level are of use, the best ones.
        needed_S: candidates whose bound is below their set's are of no use. The log-probability,
            score and bound of what is of no use may be too high; never high enough to be of use.

    Raises:
        ValueError: `step` gives NaN for a log-probability.
    """
    choices = _ChoicesAtHand(beginnings, spaces)
    pieces = []
    for first in range(0, len(beginnings), rows_at_once):
        rows = slice(first, first + rows_at_once)
        matters = None
        if num_kept is not None or needed_S is not None:
            matters = partial(choices.matter, rows, num_kept, needed_S)
        last_N, row_N = beginnings.token_ids_NT[rows, -1], beginnings.row_N[rows]
        asked_NK = choices.asked_PK[choices.p_N[rows]]
        pieces.append(step(last_N, beginnings.state, row_N, asked_NK, matters))
    log_probs_NK = torch.cat([log_probs for log_probs, _ in pieces])
    states = zip(*(state for _, state in pieces), strict=True)
    return choices.candidates(log_probs_NK, tuple(torch.cat(parts, dim=-2) for parts in states))


class _ChoicesAtHand:
    """What may follow each beginning: choices of places, padded to those of the widest."""

    def __init__(self, beginnings: Beginnings, spaces: Sequence[Space]) -> None:
        # As one number: torch.unique of rows is a hundred times slower.
        most_places = 1 + int(beginnings.place_N.max())
        key_P, self.p_N = torch.unique(
            beginnings.set_N * most_places + beginnings.place_N, return_inverse=True
        )
        own = [spaces[key // most_places].choices(key % most_places) for key in key_P.tolist()]
        opening = int(beginnings.token_ids_NT[0, 0])
        self._beginnings, self._spaces = beginnings, spaces
        self.asked_PK = _padded([choices.token_ids_K for choices in own], opening)
        self._places_PK = _padded([choices.places_K for choices in own], DONE)
        self._levels_PK = _padded([choices.levels_K for choices in own], 0)
        self._gains_PK = _padded([choices.gains_K for choices in own], 0.0)
        self._most_gains_PK = _padded([choices.most_gains_K for choices in own], 0.0)
        num_choices_P1 = torch.tensor([[len(choices.token_ids_K)] for choices in own])
        self._is_choice_PK = torch.arange(self.asked_PK.shape[1]) < num_choices_P1

    def matter(
        self,
        rows: slice,
        num_kept: int | None,
        needed_S: Tensor | None,
        log_probs_NK: Tensor,
        is_exact_NK: Tensor,
    ) -> Tensor:
        """Which bounds must be exact: those that may be among the best, or reach what is needed."""
        p_N, set_N1 = self.p_N[rows], self._beginnings.set_N[rows, None]
        score_NK = self._beginnings.score_N[rows, None] + log_probs_NK + self._gains_PK[p_N]
        matters_NK = self._is_choice_PK[p_N] & ~is_exact_NK
        if needed_S is not None:
            matters_NK &= score_NK + self._most_gains_PK[p_N] >= needed_S[set_N1]
        if num_kept is not None:
            # Of no use is what lies below as many exact ones.
            num_levels = max(space.num_levels for space in self._spaces)
            group_NK = set_N1 * num_levels + self._levels_PK[p_N]
            is_rival_NK = is_exact_NK & self._is_choice_PK[p_N] & (self._places_PK[p_N] != DONE)
            group_M, score_M = group_NK[is_rival_NK], score_NK[is_rival_NK]
            least_G = torch.full((len(self._spaces) * num_levels,), -math.inf, dtype=torch.float64)
            kept_M, cut_M = best_of_each(group_M, score_M, num_kept)
            is_full_G = torch.zeros(len(least_G), dtype=torch.bool)
            is_full_G[group_M[cut_M]] = True
            worst_G = torch.full_like(least_G, math.inf)
            worst_G.scatter_reduce_(0, group_M[kept_M], score_M[kept_M], "amin")
            least_G[is_full_G] = worst_G[is_full_G]
            matters_NK &= score_NK >= least_G[group_NK]
        return matters_NK

    def candidates(self, log_probs_NK: Tensor, state: State) -> Candidates:
        """Each beginning with each of its choices."""
        row_C, k_C = self._is_choice_PK[self.p_N].nonzero(as_tuple=True)
        p_C = self.p_N[row_C]
        log_probs_C = log_probs_NK[row_C, k_C].double()
        if log_probs_C.isnan().any():
            raise ValueError("step gives NaN for a log-probability.")
        score_C = self._beginnings.score_N[row_C] + log_probs_C + self._gains_PK[p_C, k_C]
        return Candidates(
            row_C,
            self.asked_PK[p_C, k_C],
            self._places_PK[p_C, k_C],
            self._levels_PK[p_C, k_C],
            self._beginnings.log_probability_N[row_C] + log_probs_C,
            score_C,
            score_C + self._most_gains_PK[p_C, k_C],
            state,
        )


def best_of_each(group_C: Tensor, score_C: Tensor, num_best: int) -> tuple[Tensor, Tensor]:
    """Indices of each group's num_best best, ascending, and of the rest; ties go to the first."""
    order = score_C.argsort(descending=True, stable=True)
    order = order[group_C[order].argsort(stable=True)]
    sorted_group = group_C[order]
    rank = torch.arange(len(order)) - torch.searchsorted(sorted_group, sorted_group)
    return order[rank < num_best].sort().values, order[rank >= num_best]


def _padded(rows: Sequence[list[int]] | Sequence[list[float]], filler: float) -> Tensor:
    dtype = torch.float64 if isinstance(filler, float) else torch.int64
    tensors = [torch.tensor(row, dtype=dtype) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=filler)


class BestSentences:
    """The best sentences found so far, best first; ties go to the lower token ids."""

    def __init__(self, num_wanted: int) -> None:
        self.sentences: list[PickedSentence] = []
        self._num_wanted = num_wanted

    @property
    def needed_score(self) -> float:
        """What a sentence must reach to be among them."""
        is_full = len(self.sentences) == self._num_wanted
        return self.sentences[-1].score if is_full else -float("inf")

    def add(self, new: Sequence[PickedSentence]) -> None:
        """Take in what is better; a sentence that is known stays as it is."""
        known = {sentence.token_ids for sentence in self.sentences}
        fresh = (sentence for sentence in new if sentence.token_ids not in known)
        ranked = sorted([*self.sentences, *fresh], key=lambda one: (-one.score, one.token_ids))
        self.sentences = ranked[: self._num_wanted]


def take_rows(state: State, row_N: Tensor) -> State:
    """These rows of a state, in this order."""
    return tuple(part.index_select(-2, row_N) for part in state)
