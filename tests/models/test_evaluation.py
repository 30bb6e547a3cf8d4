"""What carried state is worth, a cache, learning while reading: each against a slow plain way."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from models import evaluation
from models.adaptive_evaluation import cache_log_probabilities, dynamic_nats
from models.evaluation import (
    CONTEXT_BLOCK,
    LONGEST_CONTEXT,
    evaluate,
    loss_after_context,
    loss_of_blocks,
    target_nats,
)
from models.language_model import Architecture, LanguageModel
from models.special_tokens import END, START, UNKNOWN, TokenIds
from models.twin import Twin

NUM_TYPES = 13


def tiny_model() -> LanguageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        model = LanguageModel(Architecture(NUM_TYPES, 6, 11, 1, (7, 10)))
        with torch.no_grad():
            model.embedding.weight.normal_()
    return model.eval()


def book(length: int, seed: int = 6) -> TokenIds:
    tokens = np.random.default_rng(seed).integers(UNKNOWN + 1, NUM_TYPES, length).astype(np.int32)
    tokens[0], tokens[4::4] = START, END
    return tokens


def log_probs(model: LanguageModel, token_ids: TokenIds) -> torch.Tensor:
    """Of every next token after each of these, read from a fresh state: log_probs_TV."""
    token_ids_1T = torch.from_numpy(token_ids.astype(np.int64))[None]
    hidden_1TH, _ = model(token_ids_1T, model.initial_state(1))
    return model.softmax.log_probabilities(hidden_1TH[0]).double()


def test_the_nats_of_targets_are_those_of_the_distribution() -> None:
    model, lanes = tiny_model(), [book(23), book(5), book(41)]
    for nats, lane in zip(target_nats(model, lanes), lanes, strict=True):
        expected = log_probs(model, lane[:-1])[range(len(lane) - 1), lane[1:]]
        np.testing.assert_allclose(nats, -expected.detach(), rtol=1e-5)


@pytest.mark.parametrize("context_length", [0, 3, 16, 256])
def test_a_context_is_all_that_the_state_has_read(context_length: int) -> None:
    model, lanes = tiny_model(), [book(300), book(330, seed=7), book(40)]
    sums, count = 0.0, 0
    for lane in lanes:
        for start in range(LONGEST_CONTEXT, len(lane) - CONTEXT_BLOCK, CONTEXT_BLOCK):
            read = lane[start - context_length : start + CONTEXT_BLOCK]
            told = lane[start - context_length + 1 : start + CONTEXT_BLOCK + 1]
            own = -log_probs(model, read)[range(len(read)), told][context_length:]
            sums, count = sums + float(own.sum()), count + len(own)
    loss = loss_after_context(model, lanes, context_length, max_blocks=1000)
    assert loss.num_tokens == count == 2 * CONTEXT_BLOCK + 4 * CONTEXT_BLOCK
    assert loss.nats == pytest.approx(sums, rel=1e-5)


def test_all_of_the_context_counts_the_same_blocks() -> None:
    model, lanes = tiny_model(), [book(300), book(330, seed=7), book(40)]
    expected = sum(
        float(-log_probs(model, lane[:-1])[t, lane[t + 1]])
        for lane in lanes
        for start in range(LONGEST_CONTEXT, len(lane) - CONTEXT_BLOCK, CONTEXT_BLOCK)
        for t in range(start, start + CONTEXT_BLOCK)
    )
    loss = loss_of_blocks(model, lanes, max_blocks=1000)
    assert loss.num_tokens == 6 * CONTEXT_BLOCK
    assert loss.nats == pytest.approx(expected, rel=1e-5)
    assert loss_of_blocks(model, lanes, 3).num_tokens == 3 * CONTEXT_BLOCK
    assert loss_after_context(model, lanes, 5, 3).num_tokens == 3 * CONTEXT_BLOCK


@pytest.mark.parametrize("num_remembered", [1, 5, 1000])
def test_the_cache_by_brute_force(monkeypatch: pytest.MonkeyPatch, num_remembered: int) -> None:
    monkeypatch.setattr("models.adaptive_evaluation.BLOCK", 7)
    model, lane, flatness = tiny_model(), book(40), (0.3, 2.0)
    nats, cached = cache_log_probabilities(model, lane, flatness, num_remembered)
    np.testing.assert_allclose(nats, target_nats(model, [lane])[0], rtol=1e-5)
    token_ids_1T = torch.from_numpy(lane[:-1].astype(np.int64))[None]
    hidden_1TH, _ = model(token_ids_1T, model.initial_state(1))
    hidden_TH = hidden_1TH[0].detach()
    for row, value in zip(cached, flatness, strict=True):
        for t, log_prob in enumerate(row):
            past = range(max(0, t - num_remembered), t)
            weights = [math.exp(value * float(hidden_TH[t] @ hidden_TH[i])) for i in past]
            own = sum(w for w, i in zip(weights, past, strict=True) if lane[i + 1] == lane[t + 1])
            expected = math.log(own / sum(weights)) if own else -math.inf
            assert log_prob == pytest.approx(expected, rel=1e-4)


def test_dynamic_evaluation_without_a_rate_is_the_static_model() -> None:
    model, lane = tiny_model(), book(60)
    static = target_nats(model, [lane])[0]
    read = dynamic_nats(model, lane, learning_rate=0.0, decay=0.5, window_length=7)
    np.testing.assert_allclose(read, static, rtol=1e-5)


def test_dynamic_evaluation_learns_a_text_that_repeats_and_leaves_the_model_alone() -> None:
    model, lane = tiny_model(), np.array([START, *[4, 11, 7, 5, 8] * 60], dtype=np.int32)
    before = evaluate(model, [lane])
    read = dynamic_nats(model, lane, learning_rate=0.5, decay=0.0, window_length=5)
    assert read[-50:].mean() < 0.5 * read[:50].mean()
    assert evaluate(model, [lane]) == before
    assert bool((model.softmax.head.bias[:END] == -math.inf).all())


def test_the_first_window_is_predicted_before_it_is_learned_from() -> None:
    model, lane = tiny_model(), book(60)
    read = dynamic_nats(model, lane, learning_rate=0.5, decay=0.1, window_length=7)
    np.testing.assert_allclose(read[:7], target_nats(model, [lane])[0][:7], rtol=1e-5)
    assert not np.allclose(read[7:], target_nats(model, [lane])[0][7:], rtol=1e-3)


@pytest.mark.parametrize("window", [256, 3])
def test_a_model_of_separate_sentences_begins_each_anew(
    monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    """A lane of sentences costs what each of them costs by itself, behind a `_start_`."""
    monkeypatch.setattr(evaluation, "WINDOW", window)
    torch.manual_seed(4)
    model = LanguageModel(Architecture(9, 4, 6, 2, (6,), at_sentence="reset")).eval()
    sentences = [[4, 5, 7, END], [8, END], [6, 4, 4, 5, 8, END]]
    alone = [target_nats(model, [np.array([START, *own], dtype=np.int32)])[0] for own in sentences]
    stream = np.array([START, *(word for own in sentences for word in own)], dtype=np.int32)
    [together] = target_nats(model, [stream])
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-6)
    twin = Twin(model)
    by_step = [-twin.step(int(read))[target] for read, target in pairwise(stream)]
    np.testing.assert_allclose(by_step, together, rtol=1e-5)
