"""Pick the best sentence from bags, with a proof that there is none better: branch and bound.

Words and scores are those of `models.bag_decoding`. Every log-probability is at most 0, so no
sentence that begins in a certain way can score above

    score of the beginning + sum over the bags still to come of the largest -discount * log q(word)

A beginning whose bound lies below the best sentence found so far is dropped, with all that it
leads to; when none is left open, that sentence is the best there is. Beam search finds the first
sentence. Then the most promising beginnings are read on, many at a time, always the longest ones
first: what waits stays small, and whole sentences come soon. (Land & Doig, An automatic method of
solving discrete programming problems, Econometrica 28, 1960; depth first as in Little et al. 1963.)

Shapes: N beginnings, T tokens of each with the opening, K words of a bag, C candidates: each
beginning with each word of its next bag.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.bag_decoding import PickedSentence, State, Step, decode, take_rows

MOST_CANDIDATES = 1 << 16  # made at once; each waits with some 100 bytes and 8 a bag


@dataclass(frozen=True)
class ExactPick:
    """The best sentences found, best first, and how far they are proven.

    `score_bound`: no sentence of the bags scores higher (in nats, up to the rounding of the model's
    products). `is_proven`: the search came to its end, and no other sentence belongs among these.
    `num_expansions`: beginnings of sentences that the model has read.
    """

    sentences: list[PickedSentence]
    is_proven: bool
    score_bound: float
    num_expansions: int


@torch.no_grad()
def exact_search(
    bags: Sequence[Sequence[int]],
    step: Step,
    initial_state: State,
    opening_token_id: int,
    end_token_id: int,
    *,
    log_frequency_V: Tensor,
    frequency_discount: float,
    num_sentences: int = 1,
    beam_width: int = 64,
    max_expansions: int | None = None,
    seconds: float | None = None,
    rows_at_once: int = 512,
) -> ExactPick:
    """The best `num_sentences` sentences that take one word from each bag; ties as in `decode`.

    Args:
        bags: token ids by bag; a repeated id within a bag counts once.
        step: the model, as for `decode`, and so are the next five.
        initial_state: see above.
        opening_token_id: see above.
        end_token_id: see above.
        log_frequency_V: see above.
        frequency_discount: see above.
        num_sentences: how many; bags that allow fewer give fewer.
        beam_width: of the beam search that comes first.
        max_expansions: stop after the model has read so many beginnings; the beam's do not count.
        seconds: stop after so long; what is found then depends on the machine.
        rows_at_once: the most beginnings that the model reads at once.

    Raises:
        ValueError: as `decode` does.
    """
    started = time.monotonic()
    [found] = decode(
        [bags],
        step,
        initial_state,
        opening_token_id,
        end_token_id,
        log_frequency_V=log_frequency_V,
        frequency_discount=frequency_discount,
        beam_width=max(beam_width, num_sentences),
        num_sentences=num_sentences,
        rows_at_once=rows_at_once,
    )
    best = _Best(found, num_sentences)
    closed = [*(sorted(set(bag)) for bag in bags), [end_token_id]]
    gain_V = -frequency_discount * log_frequency_V.double()
    gain_V[end_token_id] = 0.0
    still_to_gain = [0.0]
    for bag in reversed(closed):
        still_to_gain.insert(0, still_to_gain[0] + float(gain_V[bag].max()))

    device = log_frequency_V.device
    zero_1, row_1 = torch.zeros(1, dtype=torch.float64, device=device), torch.tensor([0])
    opening_11 = torch.tensor([[opening_token_id]], device=device)
    waiting = [
        _Beginnings(
            opening_11, zero_1, zero_1, zero_1 + still_to_gain[0], row_1.to(device), initial_state
        )
    ]
    num_expansions = 0
    while waiting:
        beginnings = waiting.pop().promising(best.needed_score)
        position = beginnings.num_words
        bag_K = torch.tensor(closed[position], device=device)
        num_rows = max(1, min(rows_at_once, MOST_CANDIDATES // len(bag_K)))
        if max_expansions is not None:
            num_rows = min(num_rows, max_expansions - num_expansions)
        if num_rows <= 0 or (seconds is not None and time.monotonic() - started > seconds):
            waiting.append(beginnings)
            break
        read, left = beginnings.split(num_rows)
        if len(left):
            waiting.append(left)
        if not len(read):
            continue
        num_expansions += len(read)
        longer = _read_on(read, bag_K, step, gain_V, still_to_gain[position + 1])
        if position == len(bags):
            best.add(longer)
        else:
            waiting.append(longer)
    open_bounds = [float(rest.bound_N[0]) for rest in waiting if len(rest)]
    return ExactPick(
        best.sentences,
        not any(bound >= best.needed_score for bound in open_bounds),
        max([best.sentences[0].score, *open_bounds]),
        num_expansions,
    )


@dataclass(frozen=True)
class _Beginnings:
    """Beginnings of equal length that wait for their last token to be read, best bound first.

    `state` is that before the last token, a row for each beginning that these go on from; `row_N`
    says which is whose.
    """

    token_ids_NT: Tensor
    log_probability_N: Tensor
    score_N: Tensor
    bound_N: Tensor
    row_N: Tensor
    state: State

    def __len__(self) -> int:
        return len(self.bound_N)

    @property
    def num_words(self) -> int:
        return self.token_ids_NT.shape[1] - 1

    def promising(self, needed_score: float) -> "_Beginnings":
        """Those that may lead to a sentence of this score: the first ones."""
        return self.split(int((self.bound_N >= needed_score).sum()))[0]

    def split(self, num_first: int) -> "tuple[_Beginnings, _Beginnings]":
        return self._taken(slice(num_first)), self._taken(slice(num_first, None))

    def _taken(self, some: slice) -> "_Beginnings":
        return _Beginnings(
            self.token_ids_NT[some],
            self.log_probability_N[some],
            self.score_N[some],
            self.bound_N[some],
            self.row_N[some],
            self.state,
        )


def _read_on(
    read: _Beginnings, bag_K: Tensor, step: Step, gain_V: Tensor, still_to_gain: float
) -> _Beginnings:
    """The beginnings with each word of the bag, one word longer, best bound first."""
    num_rows, num_words = len(read), len(bag_K)
    state = take_rows(read.state, read.row_N)
    asked_NK = bag_K.expand(num_rows, -1)
    log_probs_NK, state = step(read.token_ids_NT[:, -1], state, asked_NK)
    log_probs_C = log_probs_NK.double().flatten()
    if log_probs_C.isnan().any():
        raise ValueError("step gives NaN for a log-probability.")
    row_C = torch.arange(num_rows, device=bag_K.device).repeat_interleave(num_words)
    word_C = bag_K.repeat(num_rows)
    score_C = read.score_N[row_C] + log_probs_C + gain_V[word_C]
    order_C = score_C.argsort(descending=True, stable=True)
    row_C, word_C, score_C = row_C[order_C], word_C[order_C], score_C[order_C]
    return _Beginnings(
        torch.cat([read.token_ids_NT[row_C], word_C[:, None]], dim=1),
        read.log_probability_N[row_C] + log_probs_C[order_C],
        score_C,
        score_C + still_to_gain,
        row_C,
        state,
    )


class _Best:
    """The best whole sentences found so far, best first; ties go to the lower token ids."""

    def __init__(self, sentences: list[PickedSentence], num_wanted: int) -> None:
        self.sentences, self._num_wanted = sentences, num_wanted

    @property
    def needed_score(self) -> float:
        """What a sentence must reach to be among them."""
        is_full = len(self.sentences) == self._num_wanted
        return self.sentences[-1].score if is_full else -math.inf

    def add(self, closed: _Beginnings) -> None:
        known = {sentence.token_ids for sentence in self.sentences}
        new = [
            PickedSentence(tuple(token_ids_T[1:-1]), log_probability, score)
            for token_ids_T, log_probability, score in zip(
                closed.token_ids_NT.tolist(),
                closed.log_probability_N.tolist(),
                closed.score_N.tolist(),
                strict=True,
            )
            if tuple(token_ids_T[1:-1]) not in known
        ]
        ranked = sorted([*self.sentences, *new], key=lambda one: (-one.score, one.token_ids))
        self.sentences = ranked[: self._num_wanted]
