"""Diverse sentences, draws, reasons and unseen words, against brute force over small bags."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from models.bag_reasons import most_frequent_choice, scores_of, slots_of
from models.bag_sampling import SentenceSampling, sample_sentences
from models.beginnings import PickedSentence, State, Step
from models.diverse_sentences import difference, diverse_sentences
from models.sentence_space import Bag, BagSpec, Phrase, SentenceSpace
from models.tail_bounds import Matters
from models.unseen_words import UnseenWords
from tests.models.bag_tables import (
    END,
    LOG_FREQUENCY_V,
    START,
    VOCABULARY_SIZE,
    ScoreOf,
    bigram_model,
    bigram_step,
    remembering_model,
    score,
    space_of,
)

MODELS = pytest.mark.parametrize("model", [bigram_model, remembering_model])
BAGS = [[4, 5, 6, 7], [8, 9, 10, 11], [4, 7, 9, 10]]
DISCOUNT = 0.7
FALSE_ALARM_RATE = 1e-4  # of each test of draws, were its seed not fixed


def ranked(
    bags: Sequence[Sequence[int]], score_of: ScoreOf, discount: float = DISCOUNT
) -> list[tuple[float, Phrase]]:
    scored = [
        (score((START, *words, END), score_of, discount), words) for words in set(product(*bags))
    ]
    return sorted(scored, key=lambda one: (-one[0], one[1]))


@MODELS
@pytest.mark.parametrize("least_difference", [1, 2, 3])
def test_each_sentence_is_the_best_that_differs_enough(
    model: Callable[[], tuple[Step, State, ScoreOf]], least_difference: int
) -> None:
    step, state, score_of = model()
    expected: list[Phrase] = []
    for _, words in ranked(BAGS, score_of):
        if all(difference(words, other) >= least_difference for other in expected):
            expected.append(words)
    picked = diverse_sentences(
        space_of(BAGS, DISCOUNT),
        step,
        state,
        START,
        num_sentences=100,
        least_difference=least_difference,
        beam_width=64,
    )
    assert [sentence.token_ids for sentence in picked.sentences] == expected


def test_a_narrow_beam_still_finds_sentences_that_differ() -> None:
    """Only one sentence differs from the first in all of its words; a beam of one that went by
    score alone would not find it."""
    step, state, _ = remembering_model()
    space = space_of([[4, 5], [6, 7], [8, 9], [10, 11]])
    picked = diverse_sentences(
        space, step, state, START, num_sentences=4, least_difference=4, beam_width=1
    )
    first, second = (sentence.token_ids for sentence in picked.sentences)
    assert set(first) | set(second) == set(range(4, 12))


def probabilities(
    bags: Sequence[Sequence[int]], score_of: ScoreOf, temperature: float
) -> dict[Phrase, float]:
    weights = {words: math.exp(its / temperature) for its, words in ranked(bags, score_of)}
    total = sum(weights.values())
    return {words: weight / total for words, weight in weights.items()}


def p_value(counts: dict[Phrase, int], expected: dict[Phrase, float]) -> float:
    """Of Pearson's test; sentences that are expected less than five times count together."""
    number = sum(counts.values())
    often = [words for words, share in expected.items() if share * number >= 5]
    observed = [counts.get(words, 0) for words in often]
    shares = [expected[words] for words in often]
    observed.append(number - sum(observed))
    shares.append(1 - sum(shares))
    if shares[-1] * number < 5:
        observed[-2:], shares[-2:] = [sum(observed[-2:])], [sum(shares[-2:])]
    if len(shares) == 1:
        return 1.0
    return float(chisquare(observed, np.array(shares) / sum(shares) * number).pvalue)


@MODELS
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_match_the_enumerated_distribution(
    model: Callable[[], tuple[Step, State, ScoreOf]], temperature: float
) -> None:
    step, state, score_of = model()
    sampled = sample_sentences(
        space_of(BAGS, DISCOUNT),
        step,
        state,
        START,
        num_sentences=20_000,
        rng=np.random.default_rng(3),
        how=SentenceSampling(temperature=temperature),
    )
    assert sampled.is_exact
    expected = probabilities(BAGS, score_of, temperature)
    assert p_value(dict(sampled.counts()), expected) > FALSE_ALARM_RATE


@MODELS
def test_particles_approach_the_same_distribution(
    model: Callable[[], tuple[Step, State, ScoreOf]],
) -> None:
    """The shares that many independent clouds give average to the true ones."""
    step, state, score_of = model()
    expected = probabilities(BAGS, score_of, 1.0)
    how = SentenceSampling(most_enumerated=0, num_particles=200)
    estimates = []
    for seed in range(40):
        sampled = sample_sentences(
            space_of(BAGS, DISCOUNT),
            step,
            state,
            START,
            num_sentences=200,
            rng=np.random.default_rng(seed),
            how=how,
        )
        assert not sampled.is_exact
        assert 1.0 <= sampled.effective_sample_size <= 200.0
        counts = sampled.counts()
        estimates.append([counts.get(words, 0) / 200 for words in expected])
    means = np.mean(estimates, axis=0)
    errors = np.std(estimates, axis=0, ddof=1) / math.sqrt(len(estimates))
    # Sixty-four sentences, each within five standard errors: a false alarm in ten thousand.
    assert (np.abs(means - list(expected.values())) <= 5 * np.maximum(errors, 1e-3)).all()


@pytest.mark.parametrize("most_enumerated", [0, 10_000])
def test_top_k_and_nucleus_leave_only_the_best_choices(most_enumerated: int) -> None:
    step, state, score_of = bigram_model()

    def drawn(**how: Any) -> set[Phrase]:
        settings = SentenceSampling(
            temperature=5.0, most_enumerated=most_enumerated, num_particles=50, **how
        )
        sampled = sample_sentences(
            space_of(BAGS),
            step,
            state,
            START,
            num_sentences=300,
            rng=np.random.default_rng(1),
            how=settings,
        )
        return set(sampled.counts())

    greedy: list[int] = [START]
    for bag in BAGS:
        greedy.append(max(bag, key=lambda word: score_of([greedy[-1], word])))
    assert drawn(top_k=1) == drawn(nucleus=1e-6) == {tuple(greedy[1:])}
    assert len(drawn(top_k=2)) <= 8 < len(drawn())


def test_the_same_seed_draws_the_same_sentences() -> None:
    step, state, _ = bigram_model()
    draws = [
        sample_sentences(
            space_of(BAGS),
            step,
            state,
            START,
            num_sentences=50,
            rng=np.random.default_rng(seed),
            how=SentenceSampling(most_enumerated=limit),
        ).sentences
        for limit in (0, 10_000)
        for seed in (5, 5, 6)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert draws[3] == draws[4] != draws[5]


def test_impossible_bags_have_nothing_to_draw() -> None:
    never = bigram_step(torch.full((VOCABULARY_SIZE, VOCABULARY_SIZE), -math.inf))
    for limit in (0, 10_000):
        with pytest.raises(ValueError, match="probability 0"):
            sample_sentences(
                space_of(BAGS),
                never,
                (),
                START,
                num_sentences=1,
                rng=np.random.default_rng(1),
                how=SentenceSampling(most_enumerated=limit),
            )


@MODELS
def test_reasons_are_what_brute_force_says(
    model: Callable[[], tuple[Step, State, ScoreOf]],
) -> None:
    step, state, score_of = model()
    spec = BagSpec.of_words(BAGS)
    gains = (-DISCOUNT * LOG_FREQUENCY_V.double()).tolist()
    space = SentenceSpace(spec, gains, END)
    every = ranked(BAGS, score_of)
    best_score, best_words = every[0]

    def score_all(sentences: Sequence[Phrase]) -> list[PickedSentence]:
        return scores_of(sentences, space, step, state, START, END)

    def best_of(specs: Sequence[BagSpec]) -> list[PickedSentence | None]:
        found: list[PickedSentence | None] = []
        for one in specs:
            bags = [[word for (word,) in bag.choices] for bag in one.bags]
            its, words = ranked(bags, score_of)[0]
            found.append(PickedSentence(words, 0.0, its))
        return found

    slots = slots_of(spec, space, PickedSentence(best_words, 0.0, best_score), score_all, best_of)
    assert [slot.bag for slot in slots] == [0, 1, 2]
    score_by_words = {words: its for its, words in every}
    for place, slot in enumerate(slots):
        variants = {
            word: score_by_words[(*best_words[:place], word, *best_words[place + 1 :])]
            for word in BAGS[place]
        }
        total = sum(math.exp(its) for its in variants.values())
        for alternative in slot.alternatives:
            [word] = alternative.phrase
            assert alternative.score == pytest.approx(variants[word], abs=1e-5)
            assert alternative.probability == pytest.approx(math.exp(variants[word]) / total)
        others = [its for its, words in every if words[place] != best_words[place]]
        assert slot.best_without is not None
        assert slot.best_without.score == pytest.approx(max(others))


def test_reasons_of_optional_bags_hold_nothing_against_something() -> None:
    step, state, _ = bigram_model()
    spec = BagSpec((Bag(((4,), (5, 8))), Bag(((6,),), optional=True), Bag(((7,),))))
    space = SentenceSpace(spec, [0.0] * VOCABULARY_SIZE, END)

    def score_all(sentences: Sequence[Phrase]) -> list[PickedSentence]:
        return scores_of(sentences, space, step, state, START, END)

    asked: list[BagSpec] = []

    def best_of(specs: Sequence[BagSpec]) -> list[PickedSentence | None]:
        asked.extend(specs)
        return [None] * len(specs)

    slots = slots_of(spec, space, PickedSentence((5, 8, 6, 7), 0.0, 0.0), score_all, best_of)
    assert [(slot.bag, slot.phrase) for slot in slots] == [(0, (5, 8)), (1, (6,)), (2, (7,))]
    assert [one.phrase for one in slots[0].alternatives] == [(4,), (5, 8)]
    assert [one.phrase for one in slots[1].alternatives] == [(6,), ()]
    assert slots[2].alternatives[0].probability == 1.0
    assert [one.bags for one in asked] == [
        (Bag(((4,),)), *spec.bags[1:]),
        (spec.bags[0], spec.bags[2]),
        (*spec.bags[:2], Bag(())),
    ]


def test_the_most_frequent_choice_of_each_bag() -> None:
    frequency = {4: -1.0, 5: -3.0, 6: -2.0, 7: -2.0}
    bags = (Bag(((5,), (4, 5), (6,))), Bag(((7,), (6,)), optional=True), Bag(((4, 5),)))
    chosen = [most_frequent_choice(bag, frequency.__getitem__) for bag in bags]
    assert chosen == [(6,), (7,), (4, 5)]


def test_unseen_words_share_what_the_model_gives_to_unknown_ones() -> None:
    asked = []

    def known(
        token_ids_N: Tensor,
        state: State,
        row_N: Tensor,
        asked_NK: Tensor,
        matters: Matters | None = None,
    ) -> tuple[Tensor, State]:
        asked.append((token_ids_N.tolist(), asked_NK.tolist()))
        return asked_NK.float() * -1.0, state

    step = UnseenWords(("zounds", "fie"), (-0.5, -0.25)).step(known, 10)
    log_probs_NK, _ = step(
        torch.tensor([11, 4]), (), torch.tensor([0, 0]), torch.tensor([[10, 5], [3, 11]])
    )
    assert asked == [([3, 4], [[3, 5], [3, 3]])]
    assert log_probs_NK.tolist() == [[-3.5, -5.0], [-3.0, -3.25]]
