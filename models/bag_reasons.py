"""Why this sentence: what each of its choices was held against.

For every choice of a sentence that came from a bag:

- the probability of each choice of the bag given the rest of the sentence, exp(score) over the sum
  of exp(score) with every choice of the bag in its place;
- the margin to the best sentence without it: how much score a sentence loses that may not take this
  choice from this bag.

Beside it stands the baseline that takes the most frequent choice of each bag (senarvi/theanolm
issue 38 asks for it).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from models.beginnings import PickedSentence, State, Step
from models.sentence_space import Bag, BagSpec, Phrase, SentenceSpace


@dataclass(frozen=True)
class Alternative:
    """A choice of a bag; empty where the bag may give nothing."""

    phrase: Phrase
    score: float
    probability: float


@dataclass(frozen=True)
class Slot:
    """A choice that a sentence made: from which bag, instead of what, and what else it could be.

    `alternatives` are in the order of the bag, what was chosen among them. `best_without`: the best
    sentence found that does not take the choice from this bag; None where there is none.
    """

    bag: int
    phrase: Phrase
    alternatives: tuple[Alternative, ...]
    best_without: PickedSentence | None


def slots_of(
    spec: BagSpec,
    space: SentenceSpace,
    sentence: PickedSentence,
    score: Callable[[Sequence[Phrase]], list[PickedSentence]],
    best_of: Callable[[Sequence[BagSpec]], list[PickedSentence | None]],
) -> list[Slot]:
    """Each choice of the sentence that came from a bag, in the order of the sentence.

    Args:
        spec: the bags.
        space: the sentences that they allow.
        sentence: one of them.
        score: the scores of sentences of the space.
        best_of: the best sentence of each of several bag sets, None where there is none.

    Raises:
        ValueError: the bags don't allow this sentence.
    """
    taken = space.slots(sentence.token_ids)
    places = [index for index, (bag, _) in enumerate(taken) if bag is not None]
    variants: list[Phrase] = []
    choices_of: list[list[Phrase]] = []
    for index in places:
        bag = spec.bags[taken[index][0] or 0]
        # A sentence of one word can't do without it.
        nothing: list[Phrase] = [()] if bag.optional and len(taken) > 1 else []
        choices = list(dict.fromkeys([*bag.choices, *nothing]))
        choices_of.append(choices)
        for choice in choices:
            phrases = [phrase for _, phrase in taken]
            phrases[index] = choice
            variants.append(tuple(token for phrase in phrases for token in phrase))
    scored = iter(score(variants))
    without = best_of([_without(spec, taken[index]) for index in places])
    slots = []
    for index, choices, other in zip(places, choices_of, without, strict=True):
        scores = np.array([next(scored).score for _ in choices])
        weights = np.exp(scores - scores.max())
        alternatives = tuple(
            Alternative(choice, float(its), float(weight))
            for choice, its, weight in zip(choices, scores, weights / weights.sum(), strict=True)
        )
        bag_index, phrase = taken[index]
        assert bag_index is not None
        slots.append(Slot(bag_index, phrase, alternatives, other))
    return slots


def most_frequent_choice(bag: Bag, log_frequency: Callable[[int], float]) -> Phrase:
    """The most frequent choice of a bag: a phrase is as frequent as its rarest token; of equals
    the first one is taken.
    """
    return max(bag.choices, key=lambda phrase: min(map(log_frequency, phrase)))


def scores_of(
    sentences: Sequence[Phrase],
    space: SentenceSpace,
    step: Step,
    initial_state: State,
    opening_token_id: int,
    end_token_id: int,
    rows_at_once: int = 1024,
) -> list[PickedSentence]:
    """Score sentences of a space.

    Raises:
        ValueError: the bags don't allow one of them.
    """
    scored = []
    for first in range(0, len(sentences), rows_at_once):
        block = sentences[first : first + rows_at_once]
        scored += _scores_of_block(
            block, space, step, initial_state, opening_token_id, end_token_id
        )
    return scored


@torch.no_grad()
def _scores_of_block(
    sentences: Sequence[Phrase],
    space: SentenceSpace,
    step: Step,
    initial_state: State,
    opening_token_id: int,
    end_token_id: int,
) -> list[PickedSentence]:
    log_probability_N = torch.zeros(len(sentences), dtype=torch.float64)
    alive_N = torch.arange(len(sentences))
    state, row_N = initial_state, torch.zeros(len(sentences), dtype=torch.int64)
    read = [opening_token_id] * len(sentences)
    for position in range(max(map(len, sentences)) + 1):
        following = [
            sentences[index][position] if position < len(sentences[index]) else end_token_id
            for index in alive_N.tolist()
        ]
        asked_N1 = torch.tensor(following)[:, None]
        log_probs_N1, state = step(torch.tensor(read), state, row_N, asked_N1)
        log_probability_N[alive_N] += log_probs_N1[:, 0].double()
        goes_on_N = asked_N1[:, 0] != end_token_id
        row_N = goes_on_N.nonzero()[:, 0]
        alive_N = alive_N[goes_on_N]
        read = asked_N1[goes_on_N, 0].tolist()
        if not read:
            break
    return [
        PickedSentence(tuple(sentence), log_probability, log_probability + space.gain(sentence))
        for sentence, log_probability in zip(sentences, log_probability_N.tolist(), strict=True)
    ]


def _without(spec: BagSpec, taken: tuple[int | None, Phrase]) -> BagSpec:
    """The same bags, one of which no longer offers this choice; without a choice left it is gone
    where it is optional, and holds nothing where it is not.
    """
    index, phrase = taken
    assert index is not None
    bag = spec.bags[index]
    left = Bag(tuple(choice for choice in bag.choices if choice != phrase), bag.optional)
    bags = [*spec.bags]
    bags[index : index + 1] = [] if not left.choices and left.optional else [left]
    return replace(spec, bags=tuple(bags))
