"""Pick the best sentence from bags, with a proof that there is none better: branch and bound.

Every log-probability is at most 0, so no sentence that begins in a certain way can score above the
score of its beginning and the most that the bags still to come can gain. A beginning whose bound
lies below the best sentence found so far is dropped, with all that it leads to; when none is left
open, that sentence is the best there is. Beam search finds the first sentence. Then the most
promising beginnings are read on, many at a time, always the longest ones first: what waits stays
small, and whole sentences come soon. (Land & Doig, An automatic method of solving discrete
programming problems, Econometrica 28, 1960; depth first as in Little et al. 1963.)

Shapes: as in `models.beginnings`.
"""

import time

import torch

from models.bag_decoding import Picked, decode
from models.beginnings import Beginnings, BestSentences, State, Step, read_on
from models.sentence_space import Space

MOST_CANDIDATES = 1 << 16  # made at once; each waits with some 100 bytes and 8 a token


def exact_search(
    space: Space,
    step: Step,
    initial_state: State,
    opening_token_id: int,
    *,
    num_sentences: int = 1,
    beam_width: int = 64,
    max_expansions: int | None = None,
    seconds: float | None = None,
    rows_at_once: int = 1024,
) -> Picked:
    """The best `num_sentences` sentences that a bag set allows; ties as in `decode`.

    Args:
        space: what the set allows, and what its words gain.
        step: the model, as for `decode`, and so are the next two.
        initial_state: see above.
        opening_token_id: see above.
        num_sentences: how many; bags that allow fewer give fewer.
        beam_width: of the beam search that comes first.
        max_expansions: stop after the model has read so many beginnings; the beam's do not count.
        seconds: stop after so long; what is found then depends on the machine.
        rows_at_once: the most beginnings that the model reads at once.

    Raises:
        ValueError: as `decode` does.
    """
    started = time.monotonic()
    [beam] = decode(
        [space],
        step,
        initial_state,
        opening_token_id,
        beam_width=max(beam_width, num_sentences),
        num_sentences=num_sentences,
        rows_at_once=rows_at_once,
    )
    if beam.is_proven:
        return beam
    best = BestSentences(num_sentences)
    best.add(beam.sentences)
    most_rows = max(1, min(rows_at_once, MOST_CANDIDATES // space.widest))
    waiting = [Beginnings.of([space], opening_token_id, initial_state)]
    num_expansions = 0
    while waiting:
        # The best bound comes first in each.
        beginnings = waiting.pop()
        promising = beginnings.take(beginnings.bound_N >= best.needed_score)
        num_rows = most_rows
        if max_expansions is not None:
            num_rows = min(num_rows, max_expansions - num_expansions)
        if num_rows <= 0 or (seconds is not None and time.monotonic() - started > seconds):
            waiting.append(promising)
            break
        read, left = promising.take(slice(num_rows)), promising.take(slice(num_rows, None))
        if len(left):
            waiting.append(left)
        if not len(read):
            continue
        num_expansions += len(read)
        needed_1 = torch.tensor([best.needed_score], dtype=torch.float64)
        candidates = read_on(read, [space], step, rows_at_once, needed_S=needed_1)
        best.add(read.sentences(candidates, candidates.done()))
        open_C = candidates.open()
        order = candidates.bound_C[open_C].argsort(descending=True, stable=True)
        waiting.append(read.with_candidates(candidates, open_C[order]))
    open_bounds = [float(rest.bound_N[0]) for rest in waiting if len(rest)]
    # The beam's own bound holds too.
    bound = min(beam.score_bound, max([best.sentences[0].score, *open_bounds]))
    return Picked(
        best.sentences,
        not any(bound >= best.needed_score for bound in open_bounds),
        max(bound, best.sentences[0].score),
        num_expansions,
    )
