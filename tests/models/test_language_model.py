"""Carried state, resets, masks and single steps: each against another way to the same numbers."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from models.batching import Window, cut_lanes, windows
from models.language_model import (
    Architecture,
    Dropout,
    LanguageModel,
    Masks,
    State,
    detach,
    usable_cutoffs,
)
from models.special_tokens import END, NOTHING, START, UNKNOWN, TokenIds

NUM_TYPES, EMBEDDING_WIDTH, HIDDEN_WIDTH, NUM_LAYERS = 17, 6, 11, 2
NUM_LANES = 3
FIRST_WORD = UNKNOWN + 1


def tiny_model(num_layers: int = NUM_LAYERS) -> LanguageModel:
    """A model in evaluation whose weights are large enough for the state to matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        model = LanguageModel(
            Architecture(NUM_TYPES, EMBEDDING_WIDTH, HIDDEN_WIDTH, num_layers, (7, 12))
        )
        with torch.no_grad():
            model.embedding.weight.normal_()
    return model.eval()


def words(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(FIRST_WORD, NUM_TYPES, shape, generator=generator)


def random_state(num_rows: int = NUM_LANES, num_layers: int = NUM_LAYERS) -> State:
    generator = torch.Generator().manual_seed(5)
    shape = (num_layers, num_rows, HIDDEN_WIDTH)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def books(*lengths: int) -> TokenIds:
    """Books of so many tokens, each opened by `_start_`; every fourth token is `_end_`."""
    rng = np.random.default_rng(6)
    parts = []
    for length in lengths:
        book = rng.integers(FIRST_WORD, NUM_TYPES, length)
        book[0] = START
        book[4::4] = END
        parts.append(book)
    return np.concatenate(parts).astype(np.int32)


def gradients(model: LanguageModel, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad(set_to_none=False)
    loss.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cut", [1, 4, 8])
def test_two_windows_with_carried_state_equal_one_long_pass(num_layers: int, cut: int) -> None:
    model = tiny_model(num_layers)
    token_ids_BT = words(NUM_LANES, 9)
    before = random_state(num_layers=num_layers)
    hidden_BTH, after = model(token_ids_BT, before)
    first_BTH, between = model(token_ids_BT[:, :cut], before)
    second_BTH, then = model(token_ids_BT[:, cut:], between)
    assert hidden_BTH.shape == (NUM_LANES, 9, HIDDEN_WIDTH)
    assert_close(torch.cat([first_BTH, second_BTH], dim=1), hidden_BTH)
    assert_close(then, after)
    # The state matters: without it the second window reads otherwise.
    alone_BTH, _ = model(token_ids_BT[:, cut:], model.initial_state(NUM_LANES))
    assert not torch.allclose(alone_BTH, second_BTH, atol=1e-2)


def test_one_layer_by_hand() -> None:
    """The gates of Hochreiter & Schmidhuber with a forget gate, in PyTorch's order i f g o."""
    model = tiny_model(num_layers=1)
    token_ids_BT, (h_BH, c_BH) = words(NUM_LANES, 5), (part[0] for part in random_state(3, 1))
    weights = {name: p.detach().double() for name, p in model.lstm.named_parameters()}
    h_BH, c_BH = h_BH.double(), c_BH.double()
    hidden_BTH, (h_LBH, c_LBH) = model(token_ids_BT, random_state(3, 1))
    for column in range(5):
        x_BE = model.embedding.weight.detach().double()[token_ids_BT[:, column]]
        gates = x_BE @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
        gates = gates + h_BH @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
        i, f, g, o = gates.chunk(4, dim=1)
        c_BH = torch.sigmoid(f) * c_BH + torch.sigmoid(i) * torch.tanh(g)
        h_BH = torch.sigmoid(o) * torch.tanh(c_BH)
        assert_close(hidden_BTH[:, column].double(), h_BH, atol=1e-5, rtol=1e-4)
    assert_close(h_LBH[0].double(), h_BH, atol=1e-5, rtol=1e-4)
    assert_close(c_LBH[0].double(), c_BH, atol=1e-5, rtol=1e-4)


def test_the_initial_state_is_zeros() -> None:
    for part in tiny_model().initial_state(5):
        assert torch.equal(part, torch.zeros(NUM_LAYERS, 5, HIDDEN_WIDTH))


def test_a_model_holds_no_state() -> None:
    model = tiny_model()
    first, _ = model(words(NUM_LANES, 4), random_state())
    model(words(NUM_LANES, 7), random_state())
    again, _ = model(words(NUM_LANES, 4), random_state())
    assert torch.equal(first, again)


def test_reset_is_by_row_and_leaves_its_input_as_it_was() -> None:
    state = random_state()
    kept = tuple(part.clone() for part in state)
    after = tiny_model().reset(state, torch.tensor([False, True, False]))
    for old, before, new in zip(state, kept, after, strict=True):
        assert torch.equal(old, before)
        assert torch.equal(new[:, [0, 2]], before[:, [0, 2]])
        assert not bool(new[:, 1].any())
    none_B = torch.zeros(NUM_LANES, dtype=torch.bool)
    for old, new in zip(kept, tiny_model().reset(state, none_B), strict=True):
        assert torch.equal(old, new)


def test_a_reset_clears_even_what_is_no_number() -> None:
    state = tuple(torch.full_like(part, math.nan) for part in random_state())
    for part in tiny_model().reset(state, torch.tensor([True, False, True])):
        assert not bool(part[:, [0, 2]].any())
        assert bool(part[:, 1].isnan().all())


@pytest.mark.parametrize("first_column", [0, 1, 4, 6])
def test_a_reset_at_a_book_boundary_equals_a_fresh_state(first_column: int) -> None:
    """One row's book opens at some column; the other rows read on as though nothing were."""
    model = tiny_model()
    token_ids_BT = words(NUM_LANES, 8)
    token_ids_BT[1, first_column] = START
    [window] = windows(list(token_ids_BT.numpy()), 100)
    state = random_state()
    hidden_BTH, after = model.read_window(window, state)

    read_BT = window.inputs_BT
    fresh_1PH, fresh_after = model(read_BT[1:2, first_column:], model.initial_state(1))
    assert_close(hidden_BTH[1:2, first_column:], fresh_1PH)
    assert_close(tuple(part[:, 1:2] for part in after), fresh_after)

    plain_BTH, plain_after = model(read_BT, state)
    assert_close(hidden_BTH[[0, 2]], plain_BTH[[0, 2]])
    assert_close(hidden_BTH[1, :first_column], plain_BTH[1, :first_column])
    assert_close(
        tuple(part[:, [0, 2]] for part in after), tuple(part[:, [0, 2]] for part in plain_after)
    )
    assert not torch.allclose(hidden_BTH[1, first_column:], plain_BTH[1, first_column:], atol=1e-2)


def lane_nats(model: LanguageModel, lanes: list[TokenIds], window_length: int) -> Tensor:
    """Summed nats_B of lanes, from the initial state, carried from window to window."""
    state = model.initial_state(len(lanes))
    total_B = torch.zeros(len(lanes))
    for window in windows(lanes, window_length):
        nats_BT, state = model.nats(window, state)
        total_B = total_B + nats_BT.sum(dim=1)
    return total_B


@pytest.mark.parametrize("window_length", [1, 5, 8, 100])
def test_a_lanes_loss_equals_its_batch_of_one_twins(window_length: int) -> None:
    """Books open in the midst of lanes; whole lanes are read at once by the twins."""
    model = tiny_model()
    lanes = cut_lanes(books(13, 9, 22, 6), 4)
    with torch.inference_mode():
        twins_B = torch.cat([lane_nats(model, [lane], 1000) for lane in lanes])
        assert_close(lane_nats(model, lanes, window_length), twins_B)


def test_nats_are_those_of_each_book_read_alone_token_by_token() -> None:
    """Brute force: no windows, no pieces, no batch; the whole distribution at every token."""
    model = tiny_model()
    lengths = (13, 9, 22)
    stream = books(*lengths)
    expected: list[float] = []
    with torch.inference_mode():
        for place in range(len(stream) - 1):
            if stream[place] == START:
                state = model.initial_state(1)
            hidden_11H, state = model(torch.tensor([[int(stream[place])]]), state)
            log_probs_V = model.softmax.log_probabilities(hidden_11H[:, 0])[0]
            target = int(stream[place + 1])
            expected.append(0.0 if target == START else -float(log_probs_V[target]))
        [window] = windows([stream], 1000)
        nats_1T, _ = model.nats(window, model.initial_state(1))
    assert_close(nats_1T[0], torch.tensor(expected))
    assert expected.count(0.0) == len(lengths) - 1


def test_masked_padding_changes_neither_loss_nor_gradients() -> None:
    model = tiny_model()
    short, long = books(7), books(5, 8)
    [window] = windows([short, long], 100)
    nats_BT, _ = model.nats(window, model.initial_state(2))
    assert not bool(nats_BT[0, len(short) - 1 :].any()), "padding costs nothing"
    together = gradients(model, nats_BT.sum())

    alone = []
    for lane in (short, long):
        [window_of_one] = windows([lane], 100)
        alone.append(model.nats(window_of_one, model.initial_state(1))[0].sum())
    assert_close(nats_BT.sum(dim=1), torch.stack(alone))
    apart = gradients(model, torch.stack(alone).sum())
    for name, gradient in together.items():
        assert_close(gradient, apart[name], msg=name)
    assert not bool(together["embedding.weight"][NOTHING].any())


def test_what_pads_does_not_matter() -> None:
    """Only the mask counts: the same window with any words under the mask has the same loss."""
    model = tiny_model()
    [window] = windows([books(5), books(9)], 100)
    inputs_BT, targets_BT = window.inputs_BT.clone(), window.targets_BT.clone()
    inputs_BT[0, 5:] = UNKNOWN
    targets_BT[~window.counted_BT] = UNKNOWN
    other = Window(inputs_BT, targets_BT, window.counted_BT)
    state = model.initial_state(2)
    assert torch.equal(model.nats(window, state)[0], model.nats(other, state)[0])


def test_a_window_with_nothing_to_count_costs_nothing() -> None:
    model = tiny_model()
    [window] = windows([np.array([4, START], dtype=np.int32)], 3)
    nats_BT, _ = model.nats(window, random_state(1))
    assert nats_BT.tolist() == [[0.0]]
    assert not any(bool(gradient.any()) for gradient in gradients(model, nats_BT.sum()).values())


def test_the_gradient_is_cut_at_detach_while_the_values_flow() -> None:
    """Tokens 4 and 5 stand in the first window only, so their embeddings get a gradient from the
    second window's loss only through the state."""
    model = tiny_model()
    first = torch.tensor([[4, 5, 4], [5, 4, 5]])
    second = Window(
        torch.tensor([[6, 7], [8, 6]]),
        torch.tensor([[7, 9], [6, 10]]),
        torch.ones(2, 2, dtype=torch.bool),
    )
    _, carried = model(first, model.initial_state(2))
    nats_BT, _ = model.nats(second, carried)
    cut_nats_BT, _ = model.nats(second, detach(carried))
    fresh_nats_BT, _ = model.nats(second, model.initial_state(2))
    for part, cut_part in zip(carried, detach(carried), strict=True):
        assert part.requires_grad and not cut_part.requires_grad
        assert torch.equal(part, cut_part)
    assert torch.equal(nats_BT, cut_nats_BT)
    assert not torch.allclose(nats_BT, fresh_nats_BT, atol=1e-3)

    flowing = gradients(model, nats_BT.sum())["embedding.weight"]
    cut = gradients(model, cut_nats_BT.sum())["embedding.weight"]
    assert bool(flowing[[4, 5]].any(dim=1).all())
    assert not bool(cut[[4, 5]].any())
    assert bool(cut[[6, 7, 8]].any(dim=1).all())


def test_the_gradient_of_a_window_read_in_pieces_is_that_of_the_books_read_alone() -> None:
    """A reset cuts the gradient between books, and pieces do not cut it within one."""
    model = tiny_model()
    lengths = (5, 8, 6)
    stream = books(*lengths)
    [window] = windows([stream], 100)
    whole = gradients(model, model.nats(window, model.initial_state(1))[0].sum())
    losses = []
    for first, length in zip(itertools.accumulate((0, *lengths[:-1])), lengths, strict=True):
        [book] = windows([stream[first : first + length]], 100)
        losses.append(model.nats(book, model.initial_state(1))[0].sum())
    for name, gradient in gradients(model, torch.stack(losses).sum()).items():
        assert_close(whole[name], gradient, msg=name)


@pytest.mark.parametrize("num_rows", [1, 3])
def test_steps_over_a_sentence_equal_the_whole_pass(num_rows: int) -> None:
    model = tiny_model()
    token_ids_BT = words(num_rows, 6)
    token_ids_BT[:, 0] = END
    asked_NK = torch.tensor([[NOTHING, START, END, UNKNOWN, 6, 7, 11, 12, 16]] * num_rows)
    with torch.inference_mode():
        hidden_BTH, after = model(token_ids_BT, model.initial_state(num_rows))
        log_probs_BTV = model.softmax.log_probabilities(hidden_BTH.flatten(0, 1))
        log_probs_BTV = log_probs_BTV.unflatten(0, (num_rows, 6))
    state = model.initial_state(num_rows)
    for column in range(6):
        log_probs_NK, state = model.step(token_ids_BT[:, column], state, asked_NK)
        all_NV = log_probs_BTV[:, column]
        assert_close(log_probs_NK, all_NV.gather(1, asked_NK))
        assert not log_probs_NK.requires_grad
    assert_close(state, after)


def test_steps_sum_to_the_loss_of_the_sentence() -> None:
    model = tiny_model()
    sentence = [START, 9, 4, 16, 12, END]
    state, total = model.initial_state(1), 0.0
    for token, following in itertools.pairwise(sentence):
        log_probs_11, state = model.step(torch.tensor([token]), state, torch.tensor([[following]]))
        total += float(log_probs_11)
    [window] = windows([np.array(sentence, dtype=np.int32)], 100)
    nats_1T, _ = model.nats(window, model.initial_state(1))
    assert nats_1T.sum().item() == pytest.approx(-total, rel=1e-5)


EVERYTHING_DROPPED = Dropout(inputs=0.25, layers=0.25, output=0.25, types=0.25, recurrent=0.25)


def test_masks_drop_the_share_they_should_and_scale_what_is_kept() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        masks = tiny_model().draw_masks(2000, EVERYTHING_DROPPED)
    assert masks.inputs_B1E is not None and masks.output_B1H is not None
    assert masks.inputs_B1E.shape == (2000, 1, EMBEDDING_WIDTH)
    assert masks.output_B1H.shape == (2000, 1, HIDDEN_WIDTH)
    for mask in (masks.inputs_B1E, masks.output_B1H, *masks.layers_B1H):
        assert mask is not None
        assert_close(mask.unique(), torch.tensor([0.0, 4.0 / 3.0]))
        # At least 12,000 draws: five standard deviations of their mean are 0.02.
        assert float((mask == 0.0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert [mask.shape for mask in masks.recurrent_GH if mask is not None] == [(44, 11), (44, 11)]
    assert masks.types_V is not None and masks.types_V.shape == (NUM_TYPES,)
    assert tiny_model().draw_masks(5, Dropout()) == Masks()


@pytest.mark.parametrize("kind", ["inputs_B1E", "types_V", "output_B1H"])
def test_a_mask_of_zeros_silences_what_it_masks(kind: str) -> None:
    """Without inputs every token reads alike; without output every prediction is alike."""
    model = tiny_model()
    [window] = windows([books(6), books(6)[::-1].copy()], 100)
    shape = {"inputs_B1E": (2, 1, 6), "types_V": (NUM_TYPES,), "output_B1H": (2, 1, 11)}[kind]
    masks = Masks(**{kind: torch.zeros(shape)})
    hidden_BTH, _ = model.read_window(window, model.initial_state(2), masks, resets=False)
    if kind == "output_B1H":
        targets_BT = torch.full_like(window.targets_BT, 5)
        same = Window(window.inputs_BT, targets_BT, torch.ones(targets_BT.shape))
        assert len(model.nats_of(hidden_BTH, same, masks).unique()) == 1
    else:
        assert_close(hidden_BTH[0], hidden_BTH[1])


def test_masks_of_ones_change_nothing_layer_by_layer() -> None:
    model = tiny_model()
    ones = Masks(
        layers_B1H=(torch.ones(NUM_LANES, 1, HIDDEN_WIDTH),),
        recurrent_GH=(torch.ones(44, 11), torch.ones(44, 11)),
    )
    token_ids_BT, state = words(NUM_LANES, 7), random_state()
    plain, plain_after = model(token_ids_BT, state)
    masked, masked_after = model(token_ids_BT, state, ones)
    assert_close(masked, plain)
    for one, other in zip(masked_after, plain_after, strict=True):
        assert_close(one, other)


def test_dropped_recurrent_weights_are_those_of_a_model_without_them() -> None:
    model = tiny_model(num_layers=1)
    mask = (torch.arange(44 * 11) % 3 > 0).float().view(44, 11)
    token_ids_BT, state = words(NUM_LANES, 7), random_state(num_layers=1)
    masked, _ = model(token_ids_BT, state, Masks(recurrent_GH=(mask,)))
    with torch.no_grad():
        model.lstm.weight_hh_l0.mul_(mask)
    expected, _ = model(token_ids_BT, state)
    assert_close(masked, expected)


def test_a_learned_initial_state_opens_books_and_learns() -> None:
    model = LanguageModel(Architecture(NUM_TYPES, 6, 11, 2, (7, 12), initial_state="learned"))
    with torch.no_grad():
        model.learned_state.normal_()
    hidden, cell = model.initial_state(4)
    assert torch.equal(hidden[:, 2], model.learned_state[0, :, 0])
    assert torch.equal(cell[:, 3], model.learned_state[1, :, 0])
    fresh_B = torch.tensor([True, False, True])
    reset_hidden, _ = model.reset(random_state(), fresh_B)
    assert torch.equal(reset_hidden[:, 0], hidden[:, 0])
    assert torch.equal(reset_hidden[:, 1], random_state()[0][:, 1])
    [window] = windows([books(6)], 100)
    nats_BT, _ = model.nats(window, random_state(1))
    nats_BT.sum().backward()
    assert model.learned_state.grad is not None and bool(model.learned_state.grad.any())


def test_one_hot_inputs_are_rows_of_the_input_matrix() -> None:
    """The same weights in an LSTM that is fed unit vectors give the same output."""
    architecture = Architecture(NUM_TYPES, 44, 11, 1, (7, 12), inputs="one_hot")
    model = LanguageModel(architecture)
    plain = torch.nn.LSTM(NUM_TYPES, 11, batch_first=True)
    with torch.no_grad():
        plain.weight_ih_l0.copy_(model.embedding.weight.T)
        for name in ("weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            getattr(plain, name).copy_(getattr(model.lstm, name))
    token_ids_BT, state = words(NUM_LANES, 7), random_state(num_layers=1)
    expected, _ = plain(torch.nn.functional.one_hot(token_ids_BT, NUM_TYPES).float(), state)
    hidden_BTH, _ = model(token_ids_BT, state)
    assert_close(hidden_BTH, expected)
    assert not model.lstm.weight_ih_l0.requires_grad
    with pytest.raises(ValueError, match="need an embedding width of 44"):
        LanguageModel(Architecture(NUM_TYPES, 43, 11, inputs="one_hot"))


def test_the_forget_gates_open_at_first() -> None:
    model = tiny_model()
    for layer in range(NUM_LAYERS):
        bias = getattr(model.lstm, f"bias_ih_l{layer}")
        assert bias[HIDDEN_WIDTH : 2 * HIDDEN_WIDTH].tolist() == [1.0] * HIDDEN_WIDTH
        assert bool((bias[:HIDDEN_WIDTH].abs() < 1.0).all())


def test_an_architecture_is_made_again_from_plain_values() -> None:
    architecture = Architecture(17, 6, 11, 2, (7, 12), tied=True)
    assert architecture.as_json() == {
        "num_types": 17,
        "embedding_width": 6,
        "hidden_width": 11,
        "num_layers": 2,
        "cutoffs": (7, 12),
        "tied": True,
        "initial_state": "zeros",
        "inputs": "vectors",
        "at_sentence": "carry",
    }
    assert Architecture(**architecture.as_json()) == architecture


@pytest.mark.parametrize(
    ("cutoffs", "num_types", "usable"),
    [
        ((2000, 8000), 9000, (2000, 8000)),
        ((2000, 8000), 8000, (2000,)),
        ((2000, 8000), 8001, (2000, 8000)),
        ((2000, 8000), 300, ()),
        ((3, 4, 8), 9, (4, 8)),
        ((), 9, ()),
    ],
)
def test_cutoffs_without_room_are_left_out(
    cutoffs: tuple[int, ...], num_types: int, usable: tuple[int, ...]
) -> None:
    assert usable_cutoffs(cutoffs, num_types) == usable
