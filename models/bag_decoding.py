"""Pick one word from each of several bags so that the words make a sentence: beam search.

Many sets are searched at once, so that the model works on large matrices. Beginnings grow by one
token at a time, and a set's compete with those that have as many bags behind them:

    [the a] [big ""] [dog]        tokens     1             2               3
                                  bags 1     the  a
                                  bags 2                   the big ...
                                  bags 3                   the dog ...     the big dog ...

The beginnings of a set stay in the lexicographic order of their token ids, and so do candidates;
stable sorts by score then give every tie to the lower token ids.

Shapes: as in `models.beginnings`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch

from models.beginnings import (
    Beginnings,
    BestSentences,
    PickedSentence,
    State,
    Step,
    best_of_each,
    read_on,
)
from models.sentence_space import Space
from models.side_by_side import side_by_side

_CANDIDATES_AT_ONCE = 1 << 21  # a candidate costs about 100 bytes at the peak: 200 MB in all


@dataclass(frozen=True)
class Picked:
    """The best sentences found for a bag set, best first, and how far they are proven.

    `score_bound`: no sentence of the bags scores higher, in nats, up to the rounding of the model's
    products; infinite where nothing is known. `is_proven`: no other sentence of the bags belongs
    among these. `num_expansions`: beginnings that were read by a search that counts them.
    """

    sentences: list[PickedSentence]
    is_proven: bool
    score_bound: float
    num_expansions: int = 0


def decode(
    spaces: Sequence[Space],
    step: Step,
    initial_state: State,
    opening_token_id: int,
    *,
    beam_width: int,
    num_sentences: int = 1,
    rows_at_once: int = 2048,
) -> Iterator[Picked]:
    """Yield the best `num_sentences` sentences of each bag set, in order of the sets.

    A sentence's score is

        sum log p(token | tokens before) + log p(_end_ | all tokens) + the gains of its space

    A beam of width 1 is greedy search; one that never overflows finds the best sentences there are,
    and says so. Ties go to the lower token ids.

    Args:
        spaces: what each set allows, and what its words gain.
        step: the model.
        initial_state: the model's state before the opening token, of one row.
        opening_token_id: fed first, not scored.
        beam_width: how many beginnings a set keeps of each number of bags.
        num_sentences: at most beam_width; a set that allows fewer sentences gives fewer.
        rows_at_once: the most rows that `step` is given at once. Bounds memory, unless one beam
            alone is wider; results agree up to the rounding of the model's matrix products.

    Raises:
        ValueError: before the search, for a setting out of range; during it, when `step` gives NaN.
    """
    if beam_width < 1 or rows_at_once < 1:
        raise ValueError(f"beam_width {beam_width}, rows_at_once {rows_at_once}: the least is 1.")
    if not 1 <= num_sentences <= beam_width:
        raise ValueError(f"num_sentences is {num_sentences}; beam_width {beam_width} is the most.")
    if any(part.shape[-2] != 1 for part in initial_state):
        raise ValueError("initial_state must have one row (dimension -2).")
    batches = list(_batches(spaces, beam_width, rows_at_once))

    def picked(batch: list[Space]) -> list[Picked]:
        return _decode_batch(
            batch, step, initial_state, opening_token_id, beam_width, num_sentences, rows_at_once
        )

    return chain.from_iterable(side_by_side(picked, batches))


def _batches(spaces: Sequence[Space], beam_width: int, rows_at_once: int) -> Iterator[list[Space]]:
    """Consecutive sets whose beams fit in memory together, or one set that fills it alone."""
    batch: list[Space] = []
    widest = 0
    for space in spaces:
        widest = max(widest, space.widest)
        rows = (len(batch) + 1) * beam_width
        if batch and (rows > rows_at_once or rows * widest > _CANDIDATES_AT_ONCE):
            yield batch
            batch, widest = [], space.widest
        batch.append(space)
    if batch:
        yield batch


def _decode_batch(
    spaces: list[Space],
    step: Step,
    initial_state: State,
    opening_token_id: int,
    beam_width: int,
    num_sentences: int,
    rows_at_once: int,
) -> list[Picked]:
    best = [BestSentences(num_sentences) for _ in spaces]
    most_levels = max(space.num_levels for space in spaces)
    cut_bound_S = torch.full((len(spaces),), -math.inf, dtype=torch.float64)
    beam = Beginnings.of(spaces, opening_token_id, initial_state)
    while len(beam):
        candidates = read_on(beam, spaces, step, rows_at_once, num_kept=beam_width)
        set_C = beam.set_N[candidates.row_C]
        done_C, open_C = candidates.done(), candidates.open()
        closed_D, _ = best_of_each(set_C[done_C], candidates.score_C[done_C], num_sentences)
        closed_C = done_C[closed_D]
        for set_index, sentence in zip(
            set_C[closed_C].tolist(), beam.sentences(candidates, closed_C), strict=True
        ):
            best[set_index].add([sentence])

        group_O = set_C[open_C] * most_levels + candidates.level_C[open_C]
        kept_O, cut_O = best_of_each(group_O, candidates.score_C[open_C], beam_width)
        kept_C, cut_C = open_C[kept_O], open_C[cut_O]
        cut_bound_S.scatter_reduce_(0, set_C[cut_C], candidates.bound_C[cut_C], "amax")
        beam = beam.with_candidates(candidates, kept_C)
        needed_S = torch.tensor([found.needed_score for found in best], dtype=torch.float64)
        # What cannot reach a sentence already found would only cost time.
        beam = beam.take(beam.bound_N >= needed_S[beam.set_N])
    return [
        Picked(
            found.sentences,
            cut_bound == -math.inf or cut_bound < found.needed_score,
            max([cut_bound, *(one.score for one in found.sentences[:1])]),
        )
        for found, cut_bound in zip(best, cut_bound_S.tolist(), strict=True)
    ]
