"""Pick one word from each of several bags so that the words make a sentence: beam search.

Shapes, as suffixes of names:

    S  bag sets of a batch          N  rows: the beams of all S sets, one set after the other
    K  words of the widest bag      C  candidates: each row with each word of its next bag
    T  tokens so far                V  vocabulary

Many sets are searched at once, so that the model works on large matrices. Each set gets `_end_`
as its last bag and leaves the batch after it:

    position     0           1            2            3
    set 0    [the a]     [dog cat]    [_end_]
    set 1    [I]         [am was]     [here gone]  [_end_]

The rows of a set stay in the lexicographic order of their token ids, and the words of a bag are
sorted. Candidates counted row by row are then in that order too, and stable sorts by score give
every tie to the lower token ids.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

State = tuple[Tensor, ...]
"""What a model remembers: tensors with their rows along dimension -2, as h_LNH and c_LNH."""

_CANDIDATES_AT_ONCE = 1 << 21  # a candidate costs about 100 bytes at the peak: 200 MB in all


class Step(Protocol):
    """A language model, as far as the search sees it."""

    def __call__(self, token_ids_N: Tensor, state: State, asked_NK: Tensor) -> tuple[Tensor, State]:
        """Feed each row its token; return log_probs_NK and the state after it.

        log_probs_NK is float32: the log-probability in nats of each asked-for token to be the
        next of its row, normalised over the whole vocabulary. Rows with fewer choices than
        others ask for the opening token in the columns that are left.
        """
        ...


@dataclass(frozen=True)
class PickedSentence:
    """One word from each bag of a set, in the order of the bags.

    log_probability_nats includes the `_end_` that closes the sentence, token_ids leaves it out;
    score is what `decode` ranks by.
    """

    token_ids: tuple[int, ...]
    log_probability_nats: float
    score: float


def decode(
    bag_sets: Sequence[Sequence[Sequence[int]]],
    step: Step,
    initial_state: State,
    opening_token_id: int,
    end_token_id: int,
    *,
    log_frequency_V: Tensor,
    frequency_discount: float,
    beam_width: int,
    num_sentences: int = 1,
    rows_at_once: int = 1024,
) -> Iterator[list[PickedSentence]]:
    """Yield the best `num_sentences` sentences of each bag set, best first, in order of the sets.

    A sentence takes one word from each bag. With q the corpus frequency, its score is

        sum log p(word | words before) + log p(_end_ | all words)
            - frequency_discount * sum log q(word)

    Discount 0 asks for the most probable sentence; 1 for the highest likelihood ratio, which is
    Bayes-optimal when each bag holds one true word among words drawn by frequency. A beam of
    width 1 is greedy search; one that never overflows finds the best sentences there are. Ties
    go to the lower token ids.

    Args:
        bag_sets: token ids by set and bag; a repeated id within a bag counts once.
        step: the model.
        initial_state: the model's state before the opening token, of one row.
        opening_token_id: opens every sentence; fed first, not scored.
        end_token_id: `_end_`, which closes every sentence; refused in a bag.
        log_frequency_V: log q in nats by token id, finite for every word of a bag.
        frequency_discount: the lambda of the score, at least 0.
        beam_width: how many beginnings of sentences a set keeps at each position.
        num_sentences: at most beam_width; a set that allows fewer sentences gives fewer.
        rows_at_once: the most rows that `step` is given at once. Bounds memory, unless one beam
            alone is wider; results agree up to the rounding of the model's matrix products.

    Raises:
        ValueError: before the search, for a setting out of range, a set without bags, an empty
            bag or an id that is no word (named by their indices, from 0); during it, when `step`
            gives NaN.
    """
    if not (math.isfinite(frequency_discount) and frequency_discount >= 0):
        raise ValueError(f"frequency_discount is {frequency_discount}; it must be 0 or more.")
    if beam_width < 1 or rows_at_once < 1:
        raise ValueError(f"beam_width {beam_width}, rows_at_once {rows_at_once}: the least is 1.")
    if not 1 <= num_sentences <= beam_width:
        raise ValueError(f"num_sentences is {num_sentences}; beam_width {beam_width} is the most.")
    if any(part.shape[-2] != 1 for part in initial_state):
        raise ValueError("initial_state must have one row (dimension -2).")
    if not {opening_token_id, end_token_id} <= set(range(len(log_frequency_V))):
        raise ValueError(f"ids {opening_token_id}, {end_token_id} are outside the vocabulary.")
    is_end_V = torch.arange(len(log_frequency_V), device=log_frequency_V.device) == end_token_id
    is_word_V = log_frequency_V.isfinite() & ~is_end_V
    _check_bags(bag_sets, words=set(is_word_V.nonzero().flatten().tolist()))
    # At log frequency 0, `_end_` is scored like any word and yet gets no discount.
    log_frequency_V = log_frequency_V.double().masked_fill(is_end_V, 0.0)
    closed_bag_sets = [[*(sorted(set(bag)) for bag in bags), [end_token_id]] for bags in bag_sets]
    return (
        sentences
        for batch in _batches(closed_bag_sets, beam_width, rows_at_once)
        for sentences in _decode_batch(
            batch,
            step,
            initial_state,
            opening_token_id,
            log_frequency_V,
            frequency_discount,
            beam_width,
            num_sentences,
            rows_at_once,
        )
    )


def _check_bags(bag_sets: Sequence[Sequence[Sequence[int]]], words: set[int]) -> None:
    for set_index, bags in enumerate(bag_sets):
        if not bags:
            raise ValueError(f"bag set {set_index} has no bags.")
        for bag_index, bag in enumerate(bags):
            if not bag:
                raise ValueError(f"bag set {set_index}, bag {bag_index} is empty.")
            if not words.issuperset(bag):
                raise ValueError(
                    f"bag set {set_index}, bag {bag_index}: {sorted(set(bag) - words)[:5]} "
                    "are not ids of words with a finite log frequency."
                )


def _batches(
    bag_sets: list[list[list[int]]], beam_width: int, rows_at_once: int
) -> Iterator[list[list[list[int]]]]:
    """Consecutive sets whose beams fit in memory together, or one set that fills it alone."""
    batch: list[list[list[int]]] = []
    widest = 0
    for bags in bag_sets:
        widest_here = max(map(len, bags))
        widest = max(widest, widest_here)
        rows = (len(batch) + 1) * beam_width
        if batch and (rows > rows_at_once or rows * widest > _CANDIDATES_AT_ONCE):
            yield batch
            batch, widest = [], widest_here
        batch.append(bags)
    if batch:
        yield batch


@torch.no_grad()
def _decode_batch(
    bag_sets: list[list[list[int]]],
    step: Step,
    initial_state: State,
    opening_token_id: int,
    log_frequency_V: Tensor,
    frequency_discount: float,
    beam_width: int,
    num_sentences: int,
    rows_at_once: int,
) -> list[list[PickedSentence]]:
    device = log_frequency_V.device
    set_N = torch.arange(len(bag_sets), device=device)
    token_ids_NT = torch.full((len(bag_sets), 1), opening_token_id, device=device)
    log_probability_N = torch.zeros(len(bag_sets), dtype=torch.float64, device=device)
    log_frequency_N = torch.zeros_like(log_probability_N)
    state = take_rows(initial_state, torch.zeros_like(set_N))
    sentences: list[list[PickedSentence]] = [[] for _ in bag_sets]

    for position in range(max(map(len, bag_sets))):
        asked_SK, is_asked_SK = _pad(
            [bags[position] if position < len(bags) else [] for bags in bag_sets],
            opening_token_id,
        )
        asked_NK = asked_SK.to(device)[set_N]
        log_probs_NK, state = _step_in_pieces(
            step, token_ids_NT[:, -1], state, asked_NK, rows_at_once
        )
        row_C, column_C = is_asked_SK.to(device)[set_N].nonzero(as_tuple=True)
        token_id_C = asked_NK[row_C, column_C]
        log_probability_C = log_probability_N[row_C] + log_probs_NK[row_C, column_C].double()
        log_frequency_C = log_frequency_N[row_C] + log_frequency_V[token_id_C]
        score_C = log_probability_C - frequency_discount * log_frequency_C
        if score_C.isnan().any():
            raise ValueError("step gives NaN for a log-probability.")

        kept_N = _best_of_each_set(score_C, set_N[row_C], beam_width)
        row_N = row_C[kept_N]
        set_N = set_N[row_N]
        token_ids_NT = torch.cat([token_ids_NT[row_N], token_id_C[kept_N].unsqueeze(1)], dim=1)
        log_probability_N = log_probability_C[kept_N]
        log_frequency_N = log_frequency_C[kept_N]
        score_N = score_C[kept_N]

        is_last_S = [position == len(bags) - 1 for bags in bag_sets]
        for set_index in itertools.compress(range(len(bag_sets)), is_last_S):
            is_mine_N = set_N == set_index
            sentences[set_index] = _best_first(
                token_ids_NT[is_mine_N],
                log_probability_N[is_mine_N],
                score_N[is_mine_N],
                num_sentences,
            )
        goes_on_N = ~torch.tensor(is_last_S, device=device)[set_N]
        set_N = set_N[goes_on_N]
        token_ids_NT = token_ids_NT[goes_on_N]
        log_probability_N = log_probability_N[goes_on_N]
        log_frequency_N = log_frequency_N[goes_on_N]
        state = take_rows(state, row_N[goes_on_N])
    assert len(set_N) == 0, "every set ends with its own last bag"
    return sentences


def _pad(bags_S: list[list[int]], valid_token_id: int) -> tuple[Tensor, Tensor]:
    """Return asked_SK and is_asked_SK, which is False at the padding."""
    asked_SK = pad_sequence(
        [torch.tensor(bag, dtype=torch.int64) for bag in bags_S],
        batch_first=True,
        padding_value=valid_token_id,
    )
    num_words_S = torch.tensor([len(bag) for bag in bags_S])
    return asked_SK, torch.arange(asked_SK.shape[1]) < num_words_S.unsqueeze(1)


def _best_of_each_set(score_C: Tensor, set_C: Tensor, beam_width: int) -> Tensor:
    """Return the ascending indices of each set's beam_width best candidates; set_C ascends."""
    order_C = score_C.argsort(descending=True, stable=True)
    order_C = order_C[set_C[order_C].argsort(stable=True)]
    first_of_set_C = torch.searchsorted(set_C, set_C)
    rank_C = torch.arange(len(set_C), device=set_C.device) - first_of_set_C
    return order_C[rank_C < beam_width].sort().values


def _best_first(
    token_ids_NT: Tensor, log_probability_N: Tensor, score_N: Tensor, num_sentences: int
) -> list[PickedSentence]:
    best_N = score_N.argsort(descending=True, stable=True)[:num_sentences]
    return [
        PickedSentence(tuple(token_ids_T[1:-1]), log_probability, score)  # without _start_, _end_
        for token_ids_T, log_probability, score in zip(
            token_ids_NT[best_N].tolist(),
            log_probability_N[best_N].tolist(),
            score_N[best_N].tolist(),
            strict=True,
        )
    ]


def _step_in_pieces(
    step: Step, token_ids_N: Tensor, state: State, asked_NK: Tensor, rows_at_once: int
) -> tuple[Tensor, State]:
    pieces = zip(
        torch.split(token_ids_N, rows_at_once),
        torch.split(asked_NK, rows_at_once),
        *(torch.split(part, rows_at_once, dim=-2) for part in state),
        strict=True,
    )
    log_probs, states = zip(
        *(step(token_ids_N, tuple(state), asked_NK) for token_ids_N, asked_NK, *state in pieces),
        strict=True,
    )
    return torch.cat(log_probs), tuple(
        torch.cat(parts, dim=-2) for parts in zip(*states, strict=True)
    )


def take_rows(state: State, row_N: Tensor) -> State:
    """These rows of a state, in this order."""
    return tuple(part.index_select(-2, row_N) for part in state)
