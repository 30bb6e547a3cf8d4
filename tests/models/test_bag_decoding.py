"""Bag decoding against hand-written step tables whose best sentences are known."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from models.bag_decoding import PickedSentence, State, Step, decode
from models.exact_search import ExactPick, exact_search
from models.language_model import Architecture, LanguageModel

START, END = 1, 2
VOCABULARY_SIZE = 12
BAG_SETS = [  # three lengths, bags of one to six words, none of them sorted
    [[7, 4, 5], [6, 5]],
    [[11], [9, 4, 8, 10, 6, 5], [5, 4], [10, 9, 7], [4, 8, 6, 11]],
    [[5, 8, 4, 10], [4, 4, 9, 4], [7, 11, 6, 8, 9]],
]
ScoreOf = Callable[[Sequence[int]], float]
"""log p of the last token of a sequence given those before it."""


def random_log_probs(*leading: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(*leading, VOCABULARY_SIZE, generator=generator).mul(2).log_softmax(-1)


def bigram_step(log_probs_VV: Tensor) -> Step:
    def step(token_ids_N: Tensor, state: State, asked_NK: Tensor) -> tuple[Tensor, State]:
        return log_probs_VV[token_ids_N].gather(1, asked_NK), state

    return step


def bigram_model() -> tuple[Step, State, ScoreOf]:
    log_probs_VV = random_log_probs(VOCABULARY_SIZE)
    return bigram_step(log_probs_VV), (), lambda ids: float(log_probs_VV[ids[-2], ids[-1]])


def remembering_model() -> tuple[Step, State, ScoreOf]:
    """p depends on what only the state knows: the sum of all tokens mod 5 and the parity of their
    number. The two parts of the state differ in their number of dimensions."""
    log_probs = random_log_probs(5, 2)

    def step(token_ids_N: Tensor, state: State, asked_NK: Tensor) -> tuple[Tensor, State]:
        sum_1N1, parity_N1 = state
        sum_1N1 = (sum_1N1 + token_ids_N[None, :, None]) % 5
        parity_N1 = 1 - parity_N1
        log_probs_NV = log_probs[sum_1N1[0, :, 0], parity_N1[:, 0]]
        return log_probs_NV.gather(1, asked_NK), (sum_1N1, parity_N1)

    def score_of(ids: Sequence[int]) -> float:
        return float(log_probs[sum(ids[:-1]) % 5, (len(ids) - 1) % 2, ids[-1]])

    one_row = torch.zeros(1, 1, 1, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.int64)
    return step, one_row, score_of


MODELS = pytest.mark.parametrize("model", [bigram_model, remembering_model])
LOG_FREQUENCY_V = random_log_probs()


def score(ids: Sequence[int], score_of: ScoreOf, frequency_discount: float) -> float:
    """Score of [_start_, words..., or _end_] straight from its definition."""
    words = [token_id for token_id in ids[1:] if token_id != END]
    log_probability = sum(score_of(ids[: last + 1]) for last in range(1, len(ids)))
    return log_probability - frequency_discount * float(LOG_FREQUENCY_V[words].double().sum())


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
    return list(
        decode(
            bag_sets,
            step,
            initial_state,
            START,
            END,
            log_frequency_V=log_frequency_V,
            frequency_discount=frequency_discount,
            beam_width=beam_width,
            num_sentences=num_sentences or beam_width,
            rows_at_once=rows_at_once,
        )
    )


def prove(
    bags: Sequence[Sequence[int]],
    step: Step,
    initial_state: State = (),
    frequency_discount: float = 0.0,
    **settings: Any,
) -> ExactPick:
    return exact_search(
        bags,
        step,
        initial_state,
        START,
        END,
        log_frequency_V=LOG_FREQUENCY_V,
        frequency_discount=frequency_discount,
        **settings,
    )


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

    def watched(token_ids_N: Tensor, state: State, asked_NK: Tensor) -> tuple[Tensor, State]:
        rows_seen.append(len(token_ids_N))
        return step(token_ids_N, state, asked_NK)

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
    ("bag_sets", "settings", "message"),
    [
        ([[[4]], []], {}, "bag set 1 has no bags"),
        ([[[4]], [[4], []]], {}, "bag set 1, bag 1 is empty"),
        ([[[4, 12]]], {}, r"bag set 0, bag 0: \[12\]"),
        ([[[4], [-1]]], {}, r"bag set 0, bag 1: \[-1\]"),
        ([[[4], [END]]], {}, r"bag set 0, bag 1: \[2\]"),
        ([[[4]]], {"log_frequency_V": torch.full((9,), -math.inf)}, r"bag 0: \[4\]"),
        ([[[4]]], {"log_frequency_V": torch.zeros(2)}, "outside the vocabulary"),
        ([[[4]]], {"frequency_discount": -0.1}, "frequency_discount is -0.1"),
        ([[[4]]], {"frequency_discount": math.nan}, "frequency_discount is nan"),
        ([[[4]]], {"beam_width": 0}, "beam_width 0"),
        ([[[4]]], {"rows_at_once": 0}, "rows_at_once 0"),
        ([[[4]]], {"beam_width": 2, "num_sentences": 3}, "num_sentences is 3"),
        ([[[4]]], {"num_sentences": 0}, "num_sentences is 0"),
        ([[[4]]], {"initial_state": (torch.zeros(1, 2, 3),)}, "one row"),
    ],
)
def test_mistakes_are_refused_before_the_search(
    bag_sets: list[list[list[int]]], settings: dict[str, object], message: str
) -> None:
    usual: dict[str, object] = {
        "initial_state": (),
        "log_frequency_V": LOG_FREQUENCY_V,
        "frequency_discount": 1.0,
        "beam_width": 4,
    }
    with pytest.raises(ValueError, match=message):
        decode(bag_sets, PICTURE, opening_token_id=START, end_token_id=END, **usual | settings)  # type: ignore[arg-type]


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
    """One word of each bag has half of the probability, the others next to none: the beam is right,
    and the proof takes one look past each word of it."""
    log_probs_VV = torch.full((VOCABULARY_SIZE, VOCABULARY_SIZE), 1e-6)
    log_probs_VV[:, [4, END]] = 0.5
    bags = [[4, 5, 6, 7, 8]] * 8
    picked = prove(bags, bigram_step(log_probs_VV.log()), beam_width=1)
    assert picked.is_proven
    assert words_of(picked.sentences) == [(4,) * 8]
    assert picked.num_expansions == 9


def test_exact_search_agrees_with_an_unbounded_beam_of_a_true_model() -> None:
    torch.manual_seed(9)
    model = LanguageModel(Architecture(VOCABULARY_SIZE, 6, 9, 1, (6, 9))).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(9.0)
    bags = [[4, 5, 8, 11], [10, 6, 7, 9], [4, 6, 9, 11], [5, 7, 8, 10], [4, 9, 10, 11]]
    for frequency_discount in (0.0, 1.0):
        [ranked] = run(
            [bags],
            model.step,
            model.initial_state(1),
            frequency_discount=frequency_discount,
            beam_width=4**5,
        )
        picked = prove(
            bags,
            model.step,
            model.initial_state(1),
            frequency_discount,
            num_sentences=4,
            beam_width=2,
            rows_at_once=16,
        )
        assert words_of(picked.sentences) == words_of(ranked)[:4]
        assert picked.is_proven
