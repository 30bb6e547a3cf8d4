"""Bag decoding against hand-written step tables whose best sentences are known."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from models.bag_decoding import Picked, decode
from models.beginnings import PickedSentence, State, Step
from models.branching_step import BranchingStep
from models.exact_search import exact_search
from models.language_model import Architecture, LanguageModel
from models.tail_bounds import Matters
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

BAG_SETS = [  # three lengths, bags of one to six words, none of them sorted
    [[7, 4, 5], [6, 5]],
    [[11], [9, 4, 8, 10, 6, 5], [5, 4], [10, 9, 7], [4, 8, 6, 11]],
    [[5, 8, 4, 10], [4, 4, 9, 4], [7, 11, 6, 8, 9]],
]

MODELS = pytest.mark.parametrize("model", [bigram_model, remembering_model])


def naive_beam(
    bags: Sequence[Sequence[int]], score_of: ScoreOf, frequency_discount: float, beam_width: int
) -> list[tuple[int, ...]]:
    beam: list[tuple[int, ...]] = [(START,)]
    for bag in [*bags, [END]]:
        longer = {(*ids, word) for ids, word in product(beam, bag)}
        beam = sorted(longer, key=lambda ids: (-score(ids, score_of, frequency_discount), ids))
        beam = beam[:beam_width]
    return [ids[1:-1] for ids in beam]


def run(
    bag_sets: Sequence[Sequence[Sequence[int]]],
    step: Step,
    initial_state: State = (),
    log_frequency_V: Tensor = LOG_FREQUENCY_V,
    frequency_discount: float = 0.0,
    beam_width: int = 4,
    num_sentences: int | None = None,
    rows_at_once: int = 1024,
) -> list[list[PickedSentence]]:
    picked = decode(
        [space_of(bags, frequency_discount, log_frequency_V) for bags in bag_sets],
        step,
        initial_state,
        START,
        beam_width=beam_width,
        num_sentences=num_sentences or beam_width,
        rows_at_once=rows_at_once,
    )
    return [found.sentences for found in picked]


def prove(
    bags: Sequence[Sequence[int]],
    step: Step,
    initial_state: State = (),
    frequency_discount: float = 0.0,
    **settings: Any,
) -> Picked:
    space = space_of(bags, frequency_discount)
    return exact_search(space, step, initial_state, START, **settings)


def words_of(sentences: Sequence[PickedSentence]) -> list[tuple[int, ...]]:
    return [sentence.token_ids for sentence in sentences]


@MODELS
@pytest.mark.parametrize("frequency_discount", [0.0, 0.6, 1.0, 2.5])
def test_a_beam_that_never_overflows_ranks_every_sentence(
    model: Callable[[], tuple[Step, State, ScoreOf]], frequency_discount: float
) -> None:
    step, initial_state, score_of = model()
    picked = run(
        BAG_SETS, step, initial_state, frequency_discount=frequency_discount, beam_width=1000
    )
    for bags, sentences in zip(BAG_SETS, picked, strict=True):
        closed = {(START, *words, END) for words in product(*bags)}
        ranked = sorted(closed, key=lambda ids: -score(ids, score_of, frequency_discount))
        assert words_of(sentences) == [ids[1:-1] for ids in ranked]
        for sentence, ids in zip(sentences, ranked, strict=True):
            assert sentence.log_probability_nats == pytest.approx(score(ids, score_of, 0.0))
            assert sentence.score == pytest.approx(score(ids, score_of, frequency_discount))


@MODELS
@pytest.mark.parametrize("frequency_discount", [0.0, 1.0])
@pytest.mark.parametrize("beam_width", [1, 2, 5])
def test_a_narrow_beam_keeps_what_a_naive_search_keeps(
    model: Callable[[], tuple[Step, State, ScoreOf]], frequency_discount: float, beam_width: int
) -> None:
    step, initial_state, score_of = model()
    picked = run(
        BAG_SETS,
        step,
        initial_state,
        frequency_discount=frequency_discount,
        beam_width=beam_width,
    )
    assert list(map(words_of, picked)) == [
        naive_beam(bags, score_of, frequency_discount, beam_width) for bags in BAG_SETS
    ]


@MODELS
@pytest.mark.parametrize("rows_at_once", [1, 3, 8, 1024])
def test_sets_decoded_together_equal_sets_decoded_alone(
    model: Callable[[], tuple[Step, State, ScoreOf]], rows_at_once: int
) -> None:
    step, initial_state, _ = model()
    alone = [
        run([bags], step, initial_state, frequency_discount=1.0, num_sentences=3)[0]
        for bags in BAG_SETS * 3
    ]
    rows_seen = []

    def watched(
        token_ids_N: Tensor,
        state: State,
        row_N: Tensor,
        asked_NK: Tensor,
        matters: Matters | None = None,
    ) -> tuple[Tensor, State]:
        rows_seen.append(len(token_ids_N))
        return step(token_ids_N, state, row_N, asked_NK)

    together = run(
        BAG_SETS * 3,
        watched,
        initial_state,
        frequency_discount=1.0,
        num_sentences=3,
        rows_at_once=rows_at_once,
    )
    assert together == alone
    assert max(rows_seen) <= rows_at_once
    assert rows_at_once < 1024 or max(rows_seen) == 9 * 4, "nine sets, four rows each, in one call"


def table(**probability_of: float) -> Step:
    """A bigram step from picture(a_b=p): p(b | a); what isn't named has probability 0."""
    log_probs_VV = torch.full((VOCABULARY_SIZE, VOCABULARY_SIZE), -math.inf)
    for pair, probability in probability_of.items():
        before, after = (PICTURE_WORDS[name] for name in pair.split("_"))
        log_probs_VV[before, after] = math.log(probability)
    return bigram_step(log_probs_VV)


PICTURE_WORDS = {"start": START, "end": END, "good": 4, "sweet": 5, "night": 6, "day": 7}
#           .6  good  .1  night  .5
#  _start_ <                        > _end_        the rest of each row is on words of no bag
#           .3  sweet .9  night  .5
PICTURE = table(
    start_good=0.6, start_sweet=0.3, good_night=0.1, sweet_night=0.9, night_end=0.5
)  # fmt: skip
PICTURE_BAGS = [[4, 5], [6]]


def test_greedy_is_misled_where_a_beam_of_two_is_not() -> None:
    [[greedy]] = run([PICTURE_BAGS], PICTURE, beam_width=1)
    assert greedy.token_ids == (4, 6)
    assert greedy.log_probability_nats == pytest.approx(math.log(0.6 * 0.1 * 0.5))

    [[best, second]] = run([PICTURE_BAGS], PICTURE, beam_width=2)
    assert best.token_ids == (5, 6)
    assert best.log_probability_nats == best.score == pytest.approx(math.log(0.3 * 0.9 * 0.5))
    assert second == greedy


def test_the_discount_favours_rare_words_and_spares_the_end() -> None:
    log_frequency_V = torch.full((VOCABULARY_SIZE,), -math.inf)  # _end_ has no frequency at all
    log_frequency_V[[4, 5, 6]] = torch.tensor([0.5, 0.2, 0.1]).log()
    [[greedy]] = run(
        [PICTURE_BAGS], PICTURE, (), log_frequency_V, frequency_discount=1.0, beam_width=1
    )
    assert greedy.token_ids == (5, 6)  # .3 / .2 beats .6 / .5
    assert greedy.log_probability_nats == pytest.approx(math.log(0.3 * 0.9 * 0.5))
    assert greedy.score == pytest.approx(math.log(0.3 / 0.2 * 0.9 / 0.1 * 0.5))


def test_the_end_decides_among_equal_words() -> None:
    step = table(start_night=0.6, start_day=0.4, night_end=0.2, day_end=0.8)
    assert words_of(run([[[6, 7]]], step, beam_width=2)[0]) == [(7,), (6,)]
    assert words_of(run([[[6, 7]]], step, beam_width=1)[0]) == [(6,)]


def test_impossible_sentences_come_last_and_are_still_given() -> None:
    step = table(start_day=0.4, start_night=0.6, day_end=0.8)
    [[day, night]] = run([[[6, 7]]], step, beam_width=2)
    assert (day.token_ids, night.token_ids) == ((7,), (6,))
    assert night.log_probability_nats == -math.inf


@pytest.mark.parametrize("beam_width", [1, 2, 3, 5, 8])
def test_ties_go_to_the_lower_token_ids(beam_width: int) -> None:
    uniform = bigram_step(torch.full((VOCABULARY_SIZE, VOCABULARY_SIZE), -2.0))
    bags = [[9, 4], [5, 11, 5], [10, 6]]
    [sentences] = run([bags], uniform, beam_width=beam_width)
    assert words_of(sentences) == sorted(set(product(*bags)))[:beam_width]


def test_ties_of_whole_sentences_ignore_the_order_in_which_their_parts_scored() -> None:
    step = table(start_good=0.5, start_sweet=0.25, good_night=0.25, sweet_night=0.5, night_end=1.0)
    picked = run([PICTURE_BAGS], step, beam_width=2)
    assert words_of(picked[0]) == [(4, 6), (5, 6)]


def test_no_sets_give_no_sentences() -> None:
    assert run([], PICTURE) == []


@pytest.mark.parametrize(
    ("bags", "message"),
    [
        ([], "there are no bags"),
        ([[4], []], "bag 1 is empty"),
        ([[4, 12]], "bag 0: 12 is not"),
        ([[4], [-1]], "bag 1: -1 is not"),
        ([[4], [END]], "bag 1: 2 is not"),
    ],
)
def test_bags_that_are_none_are_refused(bags: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        space_of(bags, 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_width": 0}, "beam_width 0"),
        ({"rows_at_once": 0}, "rows_at_once 0"),
        ({"beam_width": 2, "num_sentences": 3}, "num_sentences is 3"),
        ({"num_sentences": 0}, "num_sentences is 0"),
        ({"initial_state": (torch.zeros(1, 2, 3),)}, "one row"),
    ],
)
def test_mistakes_are_refused_before_the_search(settings: dict[str, Any], message: str) -> None:
    usual = {"initial_state": (), "opening_token_id": START, "beam_width": 4}
    with pytest.raises(ValueError, match=message):
        decode([space_of([[4]])], PICTURE, **usual | settings)


def test_a_model_that_gives_nan_is_refused() -> None:
    broken = bigram_step(torch.full((VOCABULARY_SIZE, VOCABULARY_SIZE), math.nan))
    with pytest.raises(ValueError, match="NaN"):
        run([[[4]]], broken)


@MODELS
@pytest.mark.parametrize("frequency_discount", [0.0, 0.6, 1.0, 2.5])
@pytest.mark.parametrize("num_sentences", [1, 3, 1000])
@pytest.mark.parametrize("rows_at_once", [1, 7, 512])
def test_exact_search_finds_the_best_of_all_sentences(
    model: Callable[[], tuple[Step, State, ScoreOf]],
    frequency_discount: float,
    num_sentences: int,
    rows_at_once: int,
) -> None:
    step, initial_state, score_of = model()
    for bags in BAG_SETS:
        closed = {(START, *words, END) for words in product(*bags)}
        ranked = sorted(closed, key=lambda ids: -score(ids, score_of, frequency_discount))
        picked = prove(
            bags,
            step,
            initial_state,
            frequency_discount,
            num_sentences=num_sentences,
            beam_width=1,
            rows_at_once=rows_at_once,
        )
        assert words_of(picked.sentences) == [ids[1:-1] for ids in ranked][:num_sentences]
        best = score(ranked[0], score_of, frequency_discount)
        assert picked.is_proven
        assert picked.sentences[0].score == pytest.approx(best)
        assert picked.score_bound == picked.sentences[0].score


@MODELS
@pytest.mark.parametrize("frequency_discount", [0.0, 1.0])
@pytest.mark.parametrize(
    "limit", [*({"max_expansions": n} for n in range(1, 60, 4)), {"seconds": 1e-9}], ids=str
)
def test_exact_search_stopped_early_bounds_what_it_has_not_seen(
    model: Callable[[], tuple[Step, State, ScoreOf]],
    frequency_discount: float,
    limit: dict[str, Any],
) -> None:
    step, initial_state, score_of = model()
    bags = BAG_SETS[1]
    best = max(
        score((START, *words, END), score_of, frequency_discount) for words in product(*bags)
    )
    picked = prove(
        bags, step, initial_state, frequency_discount, beam_width=1, rows_at_once=3, **limit
    )
    found = picked.sentences[0].score
    assert found <= best + 1e-6
    assert picked.score_bound >= best - 1e-6
    assert picked.num_expansions <= limit.get("max_expansions", 0)
    if picked.is_proven:
        assert found == pytest.approx(best) == picked.score_bound


def test_exact_search_gives_ties_to_the_lower_token_ids() -> None:
    uniform = bigram_step(torch.full((VOCABULARY_SIZE, VOCABULARY_SIZE), -2.0))
    bags = [[9, 4], [5, 11, 5], [10, 6]]
    picked = prove(bags, uniform, num_sentences=5, beam_width=1)
    assert words_of(picked.sentences) == sorted(set(product(*bags)))[:5]


def test_what_cannot_win_is_not_read() -> None:
    """One word of each bag has half of the probability, the others next to none: the beam of one is
    right, and knows it by the bounds of what it dropped."""
    log_probs_VV = torch.full((VOCABULARY_SIZE, VOCABULARY_SIZE), 1e-6)
    log_probs_VV[:, [4, END]] = 0.5
    bags = [[4, 5, 6, 7, 8]] * 8
    picked = prove(bags, bigram_step(log_probs_VV.log()), beam_width=1)
    assert picked.is_proven
    assert words_of(picked.sentences) == [(4,) * 8]
    assert picked.num_expansions == 0


@MODELS
@pytest.mark.parametrize("frequency_discount", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("beam_width", [1, 2, 5, 40])
def test_a_beam_bounds_what_it_has_dropped(
    model: Callable[[], tuple[Step, State, ScoreOf]], frequency_discount: float, beam_width: int
) -> None:
    step, initial_state, score_of = model()
    spaces = [space_of(bags, frequency_discount) for bags in BAG_SETS]
    found = decode(spaces, step, initial_state, START, beam_width=beam_width)
    for bags, picked in zip(BAG_SETS, found, strict=True):
        best = max(
            score((START, *words, END), score_of, frequency_discount) for words in product(*bags)
        )
        assert picked.score_bound >= best - 1e-6
        if picked.is_proven:
            assert picked.sentences[0].score == pytest.approx(best) == picked.score_bound
        if len(set(product(*bags))) <= beam_width:
            assert picked.is_proven


def test_exact_search_agrees_with_an_unbounded_beam_of_a_true_model() -> None:
    torch.manual_seed(9)
    model = LanguageModel(Architecture(VOCABULARY_SIZE, 6, 9, 1, (6, 9))).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(9.0)
    step, state = BranchingStep(model), model.initial_state(1)
    bags = [[4, 5, 8, 11], [10, 6, 7, 9], [4, 6, 9, 11], [5, 7, 8, 10], [4, 9, 10, 11]]
    for frequency_discount in (0.0, 1.0):
        [ranked] = run([bags], step, state, frequency_discount=frequency_discount, beam_width=4**5)
        picked = prove(
            bags,
            step,
            state,
            frequency_discount,
            num_sentences=4,
            beam_width=4,
            rows_at_once=16,
        )
        assert words_of(picked.sentences) == words_of(ranked)[:4]
        assert picked.is_proven
