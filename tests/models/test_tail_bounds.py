"""Bounds on a tail's normaliser, and searches that need not know what they would not keep."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models.adaptive_softmax import AdaptiveSoftmax
from models.bag_decoding import decode
from models.beginnings import State
from models.branching_step import BranchingStep
from models.diverse_sentences import diverse_sentences
from models.exact_search import exact_search
from models.language_model import Architecture, LanguageModel
from models.sentence_space import BagSpec, SentenceSpace
from models.tail_bounds import FEWEST_WORDS, Matters, TailBound

END, NUM_TYPES, WIDTH = 2, 900, 12


def model_of(tied: bool) -> LanguageModel:
    torch.manual_seed(8)
    model = LanguageModel(Architecture(NUM_TYPES, WIDTH, WIDTH, 1, (20, 120), tied)).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(5.0)
        for tail in model.softmax.tails:
            tail.weight.mul_(9.0)
    return model


@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0, 4.0])
def test_the_floor_is_below_the_normaliser_and_near_it_where_words_are_alike(
    spread: float,
) -> None:
    generator = torch.Generator().manual_seed(2)
    centres = torch.randn(37, WIDTH, generator=generator)
    vectors = centres[torch.arange(800) % 37]
    vectors = vectors + spread * torch.randn(800, WIDTH, generator=generator)
    bias = torch.randn(800, generator=generator)
    hidden = torch.randn(50, WIDTH, generator=generator)
    true = (hidden.double() @ vectors.double().T + bias.double()).logsumexp(dim=1)
    bound = TailBound.of(vectors, bias)
    assert bound is not None
    gap = true - bound.floor(hidden).double()
    assert (gap >= 0.0).all()
    if spread <= 0.1:
        assert (gap < 0.2).all()


def test_a_small_tail_has_no_bound_and_equal_words_give_equal_groups() -> None:
    vectors, bias = torch.randn(FEWEST_WORDS, WIDTH), torch.randn(FEWEST_WORDS)
    assert TailBound.of(vectors[1:], bias[1:]) is None
    one, other = TailBound.of(vectors, bias), TailBound.of(vectors, bias)
    assert one is not None and other is not None
    assert torch.equal(one.vectors_GD, other.vectors_GD)
    assert torch.equal(one.log_mass_G, other.log_mass_G)


@pytest.mark.parametrize("tied", [False, True])
def test_what_does_not_matter_stays_an_upper_bound(tied: bool) -> None:
    softmax: AdaptiveSoftmax = model_of(tied).softmax
    hidden_NH = torch.randn(30, WIDTH)
    asked_NK = torch.randint(2, NUM_TYPES, (30, 8))
    with torch.no_grad():
        exact_NK = softmax.log_probabilities_of(hidden_NH, asked_NK)
        bounds = softmax.tail_bounds()
        assert [bound is None for bound in bounds] == [True, False]
        told = []

        def asked(chosen: Tensor) -> Tensor:
            def matters(log_probs_NK: Tensor, is_exact_NK: Tensor) -> Tensor:
                told.append((log_probs_NK.clone(), is_exact_NK))
                return chosen

            return softmax.log_probabilities_of(hidden_NH, asked_NK, bounds, matters)

        none = asked(torch.zeros_like(asked_NK, dtype=torch.bool))
        log_probs_NK, is_exact_NK = told[0]
        assert torch.equal(is_exact_NK, asked_NK < 20)
        assert torch.equal(none, log_probs_NK)
        torch.testing.assert_close(none[is_exact_NK], exact_NK[is_exact_NK])
        assert (none >= exact_NK - 1e-6).all()
        assert (none - exact_NK).max() > 0.1
        every = asked(torch.ones_like(asked_NK, dtype=torch.bool))
        torch.testing.assert_close(every, exact_NK)
        some_NK = torch.rand(30, 8) < 0.2
        torch.testing.assert_close(asked(some_NK)[some_NK], exact_NK[some_NK])


class Exactly:
    """The same model, which never stops at a bound."""

    def __init__(self, step: BranchingStep) -> None:
        self._step = step

    def __call__(
        self,
        token_ids_N: Tensor,
        state: State,
        row_N: Tensor,
        asked_NK: Tensor,
        matters: Matters | None = None,
    ) -> tuple[Tensor, State]:
        return self._step(token_ids_N, state, row_N, asked_NK)


def spaces(discount: float, num_sets: int) -> list[SentenceSpace]:
    generator = torch.Generator().manual_seed(6)
    gains = (discount * (2.0 + 6.0 * torch.rand(NUM_TYPES, generator=generator))).tolist()
    return [
        SentenceSpace(
            BagSpec.of_words(torch.randint(3, NUM_TYPES, (4 + index % 3, 9)).tolist()), gains, END
        )
        for index in range(num_sets)
    ]


def sentences(found: Sequence[object]) -> list[object]:
    return [getattr(one, "token_ids", one) for one in found]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("discount", [0.0, 1.0])
def test_pruned_searches_find_what_plain_ones_find(tied: bool, discount: float) -> None:
    model = model_of(tied)
    step, state = BranchingStep(model), model.initial_state(1)
    torch.manual_seed(3)
    sets = spaces(discount, 12)
    for width in (1, 4, 20):
        pruned, plain = (
            list(decode(sets, one, state, END, beam_width=width, num_sentences=min(width, 3)))
            for one in (step, Exactly(step))
        )
        for found, expected in zip(pruned, plain, strict=True):
            assert sentences(found.sentences) == sentences(expected.sentences)
            assert [one.score for one in found.sentences] == pytest.approx(
                [one.score for one in expected.sentences], abs=1e-4
            )
            assert found.score_bound >= expected.score_bound - 1e-4
    for space in sets[:6]:
        found, expected = (
            exact_search(space, one, state, END, beam_width=2, num_sentences=3)
            for one in (step, Exactly(step))
        )
        assert found.is_proven and expected.is_proven
        assert sentences(found.sentences) == sentences(expected.sentences)


def test_bags_that_allow_no_other_sentence_that_differs_enough_give_fewer() -> None:
    model = model_of(tied=False)
    spec = BagSpec.of_words([[300], [400, 700], [500], [600]])
    picked = diverse_sentences(
        SentenceSpace(spec, [0.0] * NUM_TYPES, END),
        BranchingStep(model),
        model.initial_state(1),
        END,
        num_sentences=3,
        least_difference=2,
        beam_width=4,
    )
    [sentence] = picked.sentences
    assert sentence.token_ids in ((300, 400, 500, 600), (300, 700, 500, 600))
