"""N-gram models as steps: what they read one token at a time, and what mixing makes of it."""

import numpy as np
import pytest
import torch

from models.beginnings import State
from models.branching_step import BranchingStep
from models.bundle import Bundle
from models.kneser_ney import KneserNey
from models.language_model import Architecture, LanguageModel
from models.ngram_step import MixedStep, NgramStep
from models.picking import Picker
from models.sentence_space import BagSpec
from models.special_tokens import END, START
from models.vocabulary import Vocabulary

NUM_TYPES = 12
RUN = np.array([START, 4, 5, 6, END, 4, 5, 7, END, 8, 5, 6, END, 4, 9, END, 10, 11, END], np.int32)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_steps_along_a_run_cost_what_the_whole_run_costs(order: int) -> None:
    ngram = KneserNey.fit([RUN], NUM_TYPES, order)
    step = NgramStep(ngram)
    state: State = step.state_after(())
    nats = []
    for token, following in zip(RUN[:-1].tolist(), RUN[1:].tolist(), strict=True):
        log_probs_11, state = step(
            torch.tensor([token]), state, torch.tensor([0]), torch.tensor([[following]])
        )
        nats.append(-float(log_probs_11))
    assert nats == pytest.approx(ngram.nats(RUN).tolist(), abs=1e-5)


def test_a_state_after_tokens_is_what_steps_leave() -> None:
    step = NgramStep(KneserNey.fit([RUN], NUM_TYPES, 4))
    state: State = step.state_after(())
    for token in RUN.tolist():
        _, state = step(torch.tensor([token]), state, torch.tensor([0]), torch.tensor([[4]]))
    assert torch.equal(state[0], step.state_after(RUN.tolist())[0])


def bundle(weight: float) -> Bundle:
    torch.manual_seed(3)
    model = LanguageModel(Architecture(NUM_TYPES, 5, 7, 2, (6, 9))).eval()
    tokens = ("_nothing_", "_start_", "_end_", "_unknown_", *"abcdefgh")
    vocabulary = Vocabulary(tokens, tuple(range(NUM_TYPES, 0, -1)), True)
    ngram = KneserNey.fit([RUN], NUM_TYPES, 3)
    return Bundle(model, vocabulary, "_end_", {}, 0.5, ngram, weight)


def test_mixed_probabilities_are_the_sum_of_their_shares() -> None:
    mixed = Bundle.from_bytes(bundle(0.7).to_bytes())
    assert mixed.ngram is not None
    picker = Picker(mixed, before=[4, 5, END])
    lstm, ngram = BranchingStep(mixed.model), NgramStep(mixed.ngram)
    state_a, state_b = Picker(bundle(1.0), before=[4, 5, END]).state, ngram.state_after([END, 4, 5])
    state = picker.state
    tokens_N, row_N = torch.tensor([END, END]), torch.tensor([0, 0])
    for _ in range(3):
        asked_NK = torch.randint(2, NUM_TYPES, (2, 5))
        log_probs_NK, state = picker.step(tokens_N, state, row_N, asked_NK)
        log_a, state_a = lstm(tokens_N, state_a, row_N, asked_NK)
        log_b, state_b = ngram(tokens_N, state_b, row_N, asked_NK)
        torch.testing.assert_close(log_probs_NK.exp(), 0.7 * log_a.exp() + 0.3 * log_b.exp())
        tokens_N, row_N = torch.tensor([4, 6]), torch.tensor([1, 0])


def test_the_mixture_sums_to_one_and_sentences_are_scored_by_it() -> None:
    picker = Picker(bundle(0.6), frequency_discount=0.0)
    every_1V = torch.arange(NUM_TYPES)[None]
    log_probs_1V, _ = picker.step(
        torch.tensor([picker.opening_id]), picker.state, torch.tensor([0]), every_1V
    )
    assert float(log_probs_1V.exp().sum()) == pytest.approx(1.0, abs=1e-5)
    spec = BagSpec.of_words([[4, 8], [5], [6, 7]])
    [found] = picker.beam([spec], beam_width=8, num_sentences=4)
    [again] = [picker.score(spec, [one.token_ids for one in found.sentences])]
    assert [one.score for one in again] == pytest.approx([one.score for one in found.sentences])


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.1])
def test_a_mixture_needs_both(weight: float) -> None:
    step = NgramStep(KneserNey.fit([RUN], NUM_TYPES, 2))
    with pytest.raises(ValueError, match="weight is"):
        MixedStep(step, 1, step, weight)
