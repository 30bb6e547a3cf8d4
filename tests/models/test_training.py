"""Training and evaluation: what is learned, what is carried, what is kept, and what is counted."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from models import evaluation, training
from models.batching import cut_lanes, windows
from models.evaluation import Loss, evaluate, total
from models.language_model import Architecture, Dropout, LanguageModel, State
from models.recipe import NumberType, Recipe, learning_rate, make_optimiser
from models.special_tokens import END, TokenIds
from models.training import Record, Training, TrainingDiverged
from tests.models.made_up_books import bits, made_up_books

HAS_BF16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
NUM_TYPES = 13
RECIPE = Recipe(
    num_lanes=3,
    window_length=5,
    num_epochs=2,
    learning_rate=0.03,
    warmup_steps=4,
    weight_decay=0.01,
    gradient_clip_norm=1.0,
    number_type="fp32",
    log_every_steps=4,
)


EVERYTHING_DROPPED = Dropout(inputs=0.2, layers=0.2, output=0.2, types=0.2, recurrent=0.2)


def tiny_model(seed: int = 1) -> LanguageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LanguageModel(Architecture(NUM_TYPES, 6, 16, 1, (7, 10)))


STREAM = np.concatenate(made_up_books(NUM_TYPES, 40, 23, 58))
VALIDATION = made_up_books(NUM_TYPES, 17, 9, 30, seed=7)


def cycle(*token_ids: int, times: int) -> TokenIds:
    return np.array(token_ids * times, dtype=np.int32)


def of_split(records: list[Record], split: str) -> list[Record]:
    return [record for record in records if record.split == split]


def test_loss_by_hand() -> None:
    assert Loss(nats=12.0, num_tokens=5).nats_per_token == 2.4
    assert Loss(nats=5 * math.log(7), num_tokens=5).perplexity == pytest.approx(7.0)
    assert total([Loss(3.0, 4), Loss(5.0, 1), Loss(0.5, 2)]) == Loss(8.5, 7)
    assert total([]) == Loss(0.0, 0)
    assert math.isnan(Loss(0.0, 0).nats_per_token)


def nats_by_brute_force(model: LanguageModel, book: TokenIds) -> float:
    """One forward pass over a whole book from a fresh state, summed over the distribution."""
    book_1T = torch.from_numpy(book.astype(np.int64))[None]
    with torch.inference_mode():
        hidden_1TH, _ = model(book_1T[:, :-1], model.initial_state(1))
        log_probs_TV = model.softmax.log_probabilities(hidden_1TH[0])
        return -float(log_probs_TV.gather(1, book_1T[0, 1:, None]).double().sum())


@pytest.mark.parametrize(("window", "at_once"), [(256, 64), (5, 2), (1, 3), (16, 1)])
def test_books_are_evaluated_each_as_if_alone(
    monkeypatch: pytest.MonkeyPatch, window: int, at_once: int
) -> None:
    """Lengths neither sorted nor distinct, windows and groups smaller than the books."""
    monkeypatch.setattr(evaluation, "WINDOW", window)
    monkeypatch.setattr(evaluation, "LANES_AT_ONCE", at_once)
    model = tiny_model()
    shelf = made_up_books(NUM_TYPES, 31, 7, 2, 18, 7, 44)
    together = evaluate(model, shelf)
    alone = [loss for book in shelf for loss in evaluate(model, [book])]
    assert [loss.num_tokens for loss in together] == [30, 6, 1, 17, 6, 43]
    assert [loss.num_tokens for loss in alone] == [30, 6, 1, 17, 6, 43]
    expected = [nats_by_brute_force(model.eval(), book) for book in shelf]
    assert [loss.nats for loss in together] == pytest.approx(expected, rel=1e-5)
    assert [loss.nats for loss in alone] == pytest.approx(expected, rel=1e-5)
    assert total(together).nats == pytest.approx(sum(expected), rel=1e-5)


def test_a_lane_of_several_books_costs_what_the_books_cost() -> None:
    model = tiny_model()
    shelf = made_up_books(NUM_TYPES, 31, 7, 18)
    [together] = evaluate(model, [np.concatenate(shelf)])
    assert together.num_tokens == 30 + 6 + 17
    assert together.nats == pytest.approx(total(evaluate(model, shelf)).nats, rel=1e-5)


@pytest.mark.parametrize(("num_lanes", "window_length"), [(1, 4), (3, 5), (7, 100)])
def test_training_without_a_rate_reads_as_evaluation_does(
    num_lanes: int, window_length: int
) -> None:
    """Nothing is learned, so the training loss is that of the lanes read in one go: the state is
    carried over every window, reset at every book, and nothing is counted twice or lost."""
    model = tiny_model()
    before = bits(model)
    recipe = replace(
        RECIPE, num_lanes=num_lanes, window_length=window_length, learning_rate=0.0, num_epochs=1
    )
    records = of_split([*Training(model, STREAM, VALIDATION, recipe).run()], "train")
    trained = total([record.loss for record in records])
    expected = total(evaluate(model, cut_lanes(STREAM, num_lanes)))
    assert trained.num_tokens == expected.num_tokens
    assert trained.nats == pytest.approx(expected.nats, rel=1e-5)
    assert bits(model) == before


@pytest.mark.parametrize(
    "number_type",
    [
        "fp32",
        pytest.param(
            "bf16", marks=pytest.mark.skipif(not HAS_BF16, reason="no bf16 on this processor")
        ),
    ],
)
def test_a_cycle_is_learned(number_type: NumberType) -> None:
    """Each token of the cycle has one successor, so that the best loss is 0; a model that only
    knew how frequent they are would stay at ln 5 = 1.61. At 0.02 nats a token each successor
    has a probability of 98% on average."""
    model = tiny_model()
    recipe = replace(
        RECIPE, num_epochs=8, learning_rate=0.05, log_every_steps=1, number_type=number_type
    )
    stream = cycle(4, 11, 7, 5, 8, times=40)
    records = list(Training(model, stream, [stream[:50]], recipe).run())
    first = of_split(records, "train")[0].loss.nats_per_token
    # Before the first step nearly even: four special tokens and words compete, two never do.
    assert first == pytest.approx(math.log(NUM_TYPES - 2), abs=0.5)
    assert total(evaluate(model, [stream])).nats_per_token < 0.02


def test_only_what_the_state_carries_can_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stream a c x x b d x x, windows a c | x x | b d | x x. Whether a or b follows `x x` can be
    told by the token before them, which is in the window before. With the state set back at every
    window it is predicted from `x x` alone, and a and b follow equally often: no model whatever
    can have less than ln 2 there, once in four tokens. With carried state the loss goes towards
    0, although no gradient ever crosses from one window to the other.
    """
    num_lanes, num_columns = 4, 52  # six and a half cycles: half of the lanes are at a when the
    x, a, b, c, d = range(4, 9)  # others are at b, so that every window has as many of both
    stream = cycle(a, c, x, x, b, d, x, x, times=26)
    stream = np.append(stream, stream[:1])
    recipe = replace(RECIPE, num_lanes=num_lanes, window_length=2, num_epochs=6, learning_rate=0.05)
    least = math.log(2) / 4

    def last_epoch() -> tuple[LanguageModel, float]:
        """The model, and its training loss a token in the last epoch."""
        model = tiny_model()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(1)
            model.embedding.weight.normal_()  # far apart, so that few steps tell them apart
        records = of_split(list(Training(model, stream, [stream], recipe).run()), "train")
        before = num_lanes * num_columns * (recipe.num_epochs - 1)
        losses = [record.loss for record in records if record.tokens_seen > before]
        assert total(losses).num_tokens == num_lanes * num_columns
        return model, total(losses).nats_per_token

    model, loss = last_epoch()
    assert loss < 0.1 * least
    assert total(evaluate(model, cut_lanes(stream, num_lanes))).nats_per_token < 0.1 * least

    def forget(state: State) -> State:
        return tuple(torch.zeros_like(part) for part in state)

    monkeypatch.setattr(training, "detach", forget)
    forgetful, loss = last_epoch()
    # Not less than can be, nor much more: it has learned all that it could.
    assert least * 0.9999 < loss < least * 1.1
    fresh = forgetful.initial_state(num_lanes)
    with torch.inference_mode():
        nats = sum(
            float(forgetful.nats(window, fresh)[0].sum())
            for window in windows(cut_lanes(stream, num_lanes), 2)
        )
    assert nats / (num_lanes * num_columns) > least * 0.9999


def run_with_seed(seed: int) -> tuple[dict[str, bytes], list[tuple[int, float, float | None]]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LanguageModel(Architecture(NUM_TYPES, 6, 16, 2, (7, 10)))
        recipe = replace(RECIPE, dropout=EVERYTHING_DROPPED)
        records = list(Training(model, STREAM, VALIDATION, recipe).run())
    return bits(model), [(r.step, r.loss.nats, r.gradient_norm) for r in records]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    first, again, other = run_with_seed(5), run_with_seed(5), run_with_seed(6)
    assert first == again
    assert all(
        first[0][name] != other[0][name] for name in first[0] if not name.startswith("softmax.tail")
    )


def test_the_learning_rate_by_hand() -> None:
    """Two epochs of 10 steps: a tenth, 2 steps, warms up; then half a cosine over 18 steps."""
    stream = cycle(4, 5, 6, times=11)[:31]
    recipe = replace(
        RECIPE, num_lanes=1, window_length=3, warmup_steps=50, learning_rate=0.8, log_every_steps=1
    )
    records = list(Training(tiny_model(), stream, [stream], recipe).run())
    rates = {record.step: record.learning_rate for record in of_split(records, "train")}
    assert list(rates) == list(range(1, 21))
    by_hand = {
        1: 0.4,
        2: 0.8,
        3: 0.8,
        9: 0.6,
        12: 0.4,
        15: 0.2,
        20: 0.4 * (1 - math.cos(math.pi / 18)),
    }
    assert {step: rates[step] for step in by_hand} == pytest.approx(by_hand)
    assert all(before > after for before, after in pairwise([*rates.values()][2:]))
    assert {record.num_steps for record in records} == {20}


@pytest.mark.parametrize(
    ("warmup_steps", "num_steps", "rates"),
    [
        (3, 100, [1 / 3, 2 / 3, 1.0, 1.0]),
        (0, 100, [1.0]),
        (50, 9, [1.0]),  # too few steps for any to warm up
        (50, 1, [1.0]),
        (0, 2, [1.0, 0.5]),
        (0, 4, [1.0, 0.5 + math.sqrt(2) / 4, 0.5, 0.5 - math.sqrt(2) / 4]),
    ],
)
def test_short_schedules_by_hand(warmup_steps: int, num_steps: int, rates: list[float]) -> None:
    recipe = replace(RECIPE, warmup_steps=warmup_steps, learning_rate=1.0)
    made = [learning_rate(recipe, step, num_steps, 5) for step in range(len(rates))]
    assert made == pytest.approx(rates)


def test_the_weights_that_validated_best_are_kept() -> None:
    """Trained on a cycle, validated on the same cycle backwards: after some steps, whatever is
    learned makes it worse."""
    stream, backwards = cycle(4, 5, 6, 7, times=25), [cycle(7, 6, 5, 4, times=9)]
    recipe = replace(RECIPE, num_epochs=8, learning_rate=0.05)
    model = tiny_model()
    weights_then: list[dict[str, bytes]] = []
    validation: list[float] = []
    for record in Training(model, stream, backwards, recipe).run():
        if record.split == "validation":
            weights_then.append(bits(model))
            validation.append(record.loss.nats)
    best = validation.index(min(validation))
    assert len(validation) == 8
    assert best < 7, "the case is of no use if the last epoch is the best"
    assert validation[-1] > 2 * validation[best]
    assert total(evaluate(model, backwards)).nats == validation[best]
    assert bits(model) == weights_then[best]
    assert not model.training


def test_records_by_hand() -> None:
    """121 tokens, two books open after the first token: 120 pairs, 118 of which count. 3 lanes
    of 40 columns are 8 windows of 5 an epoch; a record every 3 steps and at an epoch's end."""
    records = list(
        Training(tiny_model(), STREAM, VALIDATION, replace(RECIPE, log_every_steps=3)).run()
    )
    assert [(record.step, record.split) for record in records] == [
        (3, "train"),
        (6, "train"),
        (8, "train"),
        (8, "validation"),
        (9, "train"),
        (12, "train"),
        (15, "train"),
        (16, "train"),
        (16, "validation"),
    ]
    assert {record.num_steps for record in records} == {16}
    seen = 0
    for record in of_split(records, "train"):
        seen += record.loss.num_tokens
        assert record.tokens_seen == seen
        assert record.gradient_norm is not None and 0.0 < record.gradient_norm < math.inf
        assert record.tokens_per_second is not None and record.tokens_per_second > 0.0
    assert seen == 118 * RECIPE.num_epochs
    for record, tokens_seen in zip(of_split(records, "validation"), (118, 236), strict=True):
        assert record.tokens_seen == tokens_seen
        assert record.loss.num_tokens == 16 + 8 + 29
        assert record.gradient_norm is None and record.tokens_per_second is None
    times = [record.elapsed_seconds for record in records]
    assert times == sorted(times)


@pytest.mark.parametrize("log_every_steps", [1, 3, 1000])
def test_how_often_is_logged_changes_no_weight_and_no_sum(log_every_steps: int) -> None:
    model, usual = tiny_model(), tiny_model()
    recipe = replace(RECIPE, log_every_steps=log_every_steps)
    records = list(Training(model, STREAM, VALIDATION, recipe).run())
    expected = list(Training(usual, STREAM, VALIDATION, RECIPE).run())
    assert bits(model) == bits(usual)
    losses = [total([r.loss for r in of_split(some, "train")]) for some in (records, expected)]
    assert losses[0].num_tokens == losses[1].num_tokens
    assert losses[0].nats == pytest.approx(losses[1].nats)


def squared_norm(tensors: Iterator[Tensor | None]) -> float:
    return sum(float(tensor.double().square().sum()) for tensor in tensors if tensor is not None)


@pytest.mark.parametrize(("clip_norm", "clipped"), [(0.01, True), (1000.0, False)])
def test_gradients_are_clipped(clip_norm: float, clipped: bool) -> None:
    """The record tells the norm before, the parameters hold the gradient after."""
    model = tiny_model()
    recipe = replace(RECIPE, gradient_clip_norm=clip_norm, log_every_steps=1)
    num_steps = 0
    for record in Training(model, STREAM, VALIDATION, recipe).run():
        if record.split == "validation":
            continue
        num_steps += 1
        assert record.gradient_norm is not None
        norm = math.sqrt(squared_norm(p.grad for p in model.parameters()))
        assert (record.gradient_norm > clip_norm) == clipped
        # clip_grad_norm_ divides by the norm + 1e-6.
        expected = clip_norm if clipped else record.gradient_norm
        assert norm == pytest.approx(expected, rel=1e-3)
        assert norm <= clip_norm * (1 + 1e-5)
    assert num_steps == 16


def test_what_is_never_predicted_stays_so_and_nothing_else_is_infinite() -> None:
    model = tiny_model()
    recipe = replace(RECIPE, dropout=EVERYTHING_DROPPED, weight_decay=0.5, num_epochs=3)
    assert len(list(Training(model, STREAM, VALIDATION, recipe).run())) == 9
    assert model.softmax.head.bias[:END].tolist() == [-math.inf, -math.inf]
    for name, parameter in model.named_parameters():
        finite = parameter[END:] if name == "softmax.head.bias" else parameter
        assert bool(finite.isfinite().all()), name
    for state_part in model.initial_state(2):
        log_probs_NV = model.softmax.log_probabilities(state_part[0])
        assert bool((log_probs_NV[:, :END] == -math.inf).all())


def test_only_matrices_decay() -> None:
    optimiser = make_optimiser(tiny_model(), replace(RECIPE, weight_decay=0.25))
    decays = {
        parameter.ndim: group["weight_decay"]
        for group in optimiser.param_groups
        for parameter in group["params"]
    }
    assert decays == {1: 0.0, 2: 0.25}
    num_parameters = sum(len(group["params"]) for group in optimiser.param_groups)
    assert num_parameters == len(list(tiny_model().parameters()))


def spoil(model: LanguageModel) -> None:
    with torch.no_grad():
        model.lstm.weight_hh_l0[1, 2] = math.nan


def test_a_loss_that_is_no_number_ends_the_training_and_names_the_step() -> None:
    model = tiny_model()
    spoil(model)
    with pytest.raises(TrainingDiverged, match="the loss is nan at step 1 of 16"):
        list(Training(model, STREAM, VALIDATION, RECIPE).run())


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (3, "the loss is nan at step 4 of 16"),
        (11, "the loss is nan at step 12 of 16"),
        (8, "the validation loss is nan at step 8 of 16"),
        (16, "the validation loss is nan at step 16 of 16"),
    ],
)
def test_weights_that_turn_to_no_number_are_found_at_once(after: int, message: str) -> None:
    """After an epoch's last step nothing but the validation can tell."""
    model = tiny_model()

    def train_and_spoil() -> None:
        recipe = replace(RECIPE, log_every_steps=1)
        for record in Training(model, STREAM, VALIDATION, recipe).run():
            if record.step == after and record.split == "train":
                spoil(model)

    with pytest.raises(TrainingDiverged, match=message):
        train_and_spoil()


def test_too_high_a_rate_is_found() -> None:
    recipe = replace(RECIPE, learning_rate=1e38, warmup_steps=0, gradient_clip_norm=1e9)
    with pytest.raises(TrainingDiverged, match=r"at step \d+ of 16"):
        list(Training(tiny_model(), STREAM, VALIDATION, recipe).run())


def test_a_loss_beyond_any_perplexity_is_found() -> None:
    model = tiny_model()

    def train_and_stretch() -> None:
        for _ in Training(model, STREAM, VALIDATION, replace(RECIPE, log_every_steps=1)).run():
            with torch.no_grad():
                for weight in model.parameters():
                    weight.mul_(50.0)

    with pytest.raises(TrainingDiverged, match=r"loss is \d+ nats a token at step \d+ of 16"):
        train_and_stretch()


def test_too_short_a_stream_is_refused() -> None:
    with pytest.raises(ValueError, match="3 tokens are too few for 3 lanes"):
        list(Training(tiny_model(), STREAM[:3], VALIDATION, RECIPE).run())


def test_neither_the_stream_nor_the_books_are_changed() -> None:
    stream, validation = STREAM.copy(), [book.copy() for book in VALIDATION]
    list(Training(tiny_model(), stream, validation, RECIPE).run())
    assert stream.tolist() == STREAM.tolist()
    assert [book.tolist() for book in validation] == [book.tolist() for book in VALIDATION]
