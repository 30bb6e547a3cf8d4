"""The adaptive softmax against two-level softmaxes worked by hand and by NumPy."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from models.adaptive_softmax import NEVER_PREDICTED, AdaptiveSoftmax

NUM_ROWS, HIDDEN_WIDTH, NUM_TYPES, CUTOFFS = 5, 12, 23, (7, 13)


def softmax_of(
    cutoffs: tuple[int, ...] = CUTOFFS, num_types: int = NUM_TYPES, seed: int = 3
) -> AdaptiveSoftmax:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AdaptiveSoftmax(HIDDEN_WIDTH, num_types, cutoffs)


def hidden(num_rows: int = NUM_ROWS, scale: float = 2.0) -> Tensor:
    return torch.randn(num_rows, HIDDEN_WIDTH, generator=torch.Generator().manual_seed(1)) * scale


def test_two_levels_by_hand() -> None:
    """Head weights 0 0 1 2 3, then 4 for the first tail and 10 for the second: of 20 in all. The
    first tail's two words weigh 1 and 3; the second tail has one word."""
    softmax = softmax_of(cutoffs=(5, 7), num_types=8)
    with torch.no_grad():
        for name, parameter in softmax.named_parameters():
            if name.endswith("weight"):
                parameter.zero_()
        softmax.head.bias[NEVER_PREDICTED:] = torch.tensor([1.0, 2, 3, 4, 10]).log()
        softmax.tails[0].bias.copy_(torch.tensor([1.0, 3]).log())
        softmax.tails[1].bias.fill_(-7.0)  # of a single word: it changes nothing
    expected_V = torch.tensor([0, 0, 0.05, 0.10, 0.15, 0.20 / 4, 0.20 * 3 / 4, 0.50])
    log_probs_NV = softmax.log_probabilities(hidden(3))
    assert_close(log_probs_NV.exp(), expected_V.expand(3, 8))
    targets_N = torch.tensor([2, 6, 7])
    assert_close(softmax.nats(hidden(3), targets_N), -expected_V[targets_N].log())


def brute_force_probabilities(softmax: AdaptiveSoftmax, hidden_H: Tensor) -> list[float]:
    """p of each word, one after the other, in double precision."""
    values = {
        name: parameter.detach().double().numpy() for name, parameter in softmax.named_parameters()
    }
    h_H = hidden_H.double().numpy()
    head_F = np.exp(values["head.weight"] @ h_H + values["head.bias"])
    head_F /= head_F.sum()
    probabilities = list(head_F[: CUTOFFS[0]])
    for index in range(len(CUTOFFS)):
        inner_D = values[f"projections.{index}.weight"] @ h_H
        tail_W = np.exp(values[f"tails.{index}.weight"] @ inner_D + values[f"tails.{index}.bias"])
        probabilities += list(head_F[CUTOFFS[0] + index] * tail_W / tail_W.sum())
    return probabilities


def test_two_levels_by_brute_force() -> None:
    softmax = softmax_of()
    expected_NV = [brute_force_probabilities(softmax, hidden_H) for hidden_H in hidden()]
    log_probs_NV = softmax.log_probabilities(hidden())
    assert log_probs_NV.shape == (NUM_ROWS, NUM_TYPES)
    assert_close(log_probs_NV.exp(), torch.tensor(expected_NV, dtype=torch.float32))


@pytest.mark.parametrize("cutoffs", [(), (4,), (7, 13), (5, 6, 22), (22,)])
@pytest.mark.parametrize("scale", [0.1, 2.0, 30.0])
def test_probabilities_sum_to_one_over_the_vocabulary(
    cutoffs: tuple[int, ...], scale: float
) -> None:
    log_probs_NV = softmax_of(cutoffs).log_probabilities(hidden(scale=scale))
    assert_close(log_probs_NV.logsumexp(dim=-1), torch.zeros(NUM_ROWS), atol=2e-6, rtol=0.0)
    # Not small: none.
    assert bool((log_probs_NV[:, :NEVER_PREDICTED] == -math.inf).all())
    assert bool((log_probs_NV[:, :NEVER_PREDICTED].exp() == 0.0).all())
    assert bool(log_probs_NV[:, NEVER_PREDICTED:].isfinite().all())


@pytest.mark.parametrize("cutoffs", [(), (4,), (7, 13), (5, 6, 22)])
def test_nats_are_minus_the_log_probabilities_of_the_targets(cutoffs: tuple[int, ...]) -> None:
    softmax = softmax_of(cutoffs)
    targets_N = torch.arange(NEVER_PREDICTED, NUM_TYPES)  # every word that can be a target
    hidden_NH = hidden(len(targets_N))
    expected_N = -softmax.log_probabilities(hidden_NH).gather(1, targets_N[:, None])[:, 0]
    assert_close(softmax.nats(hidden_NH, targets_N), expected_N)


def test_nats_of_no_targets_are_none_and_do_not_break_the_gradient() -> None:
    softmax = softmax_of()
    nats_N = softmax.nats(hidden(0), torch.zeros(0, dtype=torch.int64))
    assert nats_N.shape == (0,)
    nats_N.sum().backward()
    assert all(
        parameter.grad is None or not bool(parameter.grad.any())
        for parameter in softmax.parameters()
    )


@settings(deadline=None)
@given(
    asked=st.integers(1, 6).flatmap(
        lambda width: st.lists(
            st.lists(st.integers(0, NUM_TYPES - 1), min_size=width, max_size=width),
            min_size=1,
            max_size=7,
        )
    ),
    cutoffs=st.sampled_from([(), (4,), (7, 13), (5, 6, 22)]),
)
def test_asked_for_words_are_gathered(asked: list[list[int]], cutoffs: tuple[int, ...]) -> None:
    softmax = softmax_of(cutoffs)
    asked_NK = torch.tensor(asked)
    hidden_NH = hidden(len(asked))
    with torch.inference_mode():
        all_NV = softmax.log_probabilities(hidden_NH)
        some_NK = softmax.log_probabilities_of(hidden_NH, asked_NK)
    assert_close(some_NK, all_NV.gather(1, asked_NK))


def test_without_cutoffs_it_is_a_full_softmax() -> None:
    softmax = softmax_of(cutoffs=())
    words = slice(NEVER_PREDICTED, None)
    logits_NV = functional.linear(hidden(), softmax.head.weight[words], softmax.head.bias[words])
    assert_close(softmax.log_probabilities(hidden())[:, words], logits_NV.log_softmax(dim=-1))
    assert softmax.head.out_features == NUM_TYPES


def test_tails_narrow_by_the_divisor_and_never_below_eight() -> None:
    softmax = AdaptiveSoftmax(96, 30, (10, 15, 21), width_divisor=3.0)
    assert [projection.out_features for projection in softmax.projections] == [32, 10, 8]
    assert [tail.out_features for tail in softmax.tails] == [5, 6, 9]
    assert softmax.head.out_features == 10 + 3


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_what_is_never_predicted_stays_so_in_training(weight_decay: float) -> None:
    """Even where the optimiser decays every parameter, biases too."""
    softmax = softmax_of()
    optimiser = torch.optim.AdamW(softmax.parameters(), lr=0.05, weight_decay=weight_decay)
    generator = torch.Generator().manual_seed(2)
    for _step in range(25):
        hidden_NH = hidden(NUM_TYPES - NEVER_PREDICTED)
        targets_N = torch.randperm(NUM_TYPES - NEVER_PREDICTED, generator=generator)
        loss = softmax.nats(hidden_NH, targets_N + NEVER_PREDICTED).mean()
        optimiser.zero_grad()
        loss.backward()
        for parameter in softmax.parameters():
            assert parameter.grad is not None
            assert bool(parameter.grad.isfinite().all())
        assert not bool(softmax.head.bias.grad[:NEVER_PREDICTED].any())
        assert not bool(softmax.head.weight.grad[:NEVER_PREDICTED].any())
        optimiser.step()
    assert softmax.head.bias[:NEVER_PREDICTED].tolist() == [-math.inf, -math.inf]
    for name, parameter in softmax.named_parameters():
        part = parameter[NEVER_PREDICTED:] if name == "head.bias" else parameter
        assert bool(part.isfinite().all()), name
    log_probs_NV = softmax.log_probabilities(hidden())
    assert bool((log_probs_NV[:, :NEVER_PREDICTED] == -math.inf).all())
    assert_close(log_probs_NV.logsumexp(dim=-1), torch.zeros(NUM_ROWS), atol=2e-6, rtol=0.0)


@pytest.mark.parametrize(
    "cutoffs", [(2,), (0, 7), (-1, 7), (13, 7), (7, 7), (NUM_TYPES,), (7, NUM_TYPES + 1)]
)
def test_cutoffs_that_do_not_ascend_within_the_vocabulary_are_refused(
    cutoffs: tuple[int, ...],
) -> None:
    with pytest.raises(ValueError, match="do not ascend between 3 and 23") as raised:
        softmax_of(cutoffs)
    assert str([*cutoffs]) in str(raised.value)


def tied_softmax(cutoffs: tuple[int, ...]) -> tuple[AdaptiveSoftmax, torch.nn.Embedding]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        embedding = torch.nn.Embedding(NUM_TYPES, 6)
        softmax = AdaptiveSoftmax(HIDDEN_WIDTH, NUM_TYPES, cutoffs, tied_to=embedding)
        with torch.no_grad():
            softmax.word_bias[NEVER_PREDICTED:].normal_()
    return softmax, embedding


@pytest.mark.parametrize("cutoffs", [(), (7,), CUTOFFS])
def test_tied_scores_are_products_with_the_words_vectors(cutoffs: tuple[int, ...]) -> None:
    softmax, embedding = tied_softmax(cutoffs)
    projected_NE = hidden() @ softmax.projection.weight.T
    words_NV = projected_NE @ embedding.weight.T + softmax.word_bias
    edges = [*cutoffs, NUM_TYPES]
    head_NF = words_NV[:, : edges[0]]
    if cutoffs:
        clusters = projected_NE @ softmax.head.weight.T + softmax.head.bias
        head_NF = torch.cat([head_NF, clusters], dim=1)
    head_NF = head_NF.softmax(dim=1)
    expected = [head_NF[:, : edges[0]]]
    for index, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = words_NV[:, low:high].softmax(dim=1)
        expected.append(head_NF[:, edges[0] + index, None] * inside)
    expected_NV = torch.cat(expected, dim=1)
    log_probs_NV = softmax.log_probabilities(hidden())
    assert_close(log_probs_NV.exp(), expected_NV)
    assert_close(expected_NV.sum(dim=1), torch.ones(NUM_ROWS))
    for target in range(NEVER_PREDICTED, NUM_TYPES):
        nats_N = softmax.nats(hidden(), torch.full((NUM_ROWS,), target))
        assert_close(nats_N, -log_probs_NV[:, target])
    asked_NK = torch.arange(NEVER_PREDICTED, NUM_TYPES).expand(NUM_ROWS, -1)
    asked = softmax.log_probabilities_of(hidden(), asked_NK)
    assert_close(asked, log_probs_NV[:, NEVER_PREDICTED:])


def test_tied_vectors_stand_once_in_the_weights() -> None:
    softmax, embedding = tied_softmax(CUTOFFS)
    assert not any(value is embedding.weight for value in softmax.parameters())
    softmax.nats(hidden(), torch.tensor([5, 9, 20, 6, 3])).sum().backward()
    assert embedding.weight.grad is not None and bool(embedding.weight.grad[20].any())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cutoffs", [(), CUTOFFS])
def test_it_starts_from_how_frequent_words_are(tied: bool, cutoffs: tuple[int, ...]) -> None:
    """A hidden state of zeros says nothing: what is left is the frequency of each word."""
    softmax = tied_softmax(cutoffs)[0] if tied else softmax_of(cutoffs)
    counts = [7, 1, *range(40, 40 + NUM_TYPES - NEVER_PREDICTED)]
    softmax.start_from(counts)
    smoothed = np.array(counts[NEVER_PREDICTED:]) + 0.5
    expected = np.concatenate([[0.0, 0.0], smoothed / smoothed.sum()])
    shares = softmax.log_probabilities(torch.zeros(1, HIDDEN_WIDTH))[0].exp().detach()
    np.testing.assert_allclose(shares, expected, rtol=1e-5)
