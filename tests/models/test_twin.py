"""The twin against the lanes: one token at a time or many lanes at once, the same numbers."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from models.batching import cut_lanes, windows
from models.language_model import Architecture, LanguageModel
from models.special_tokens import END, NOTHING, START, TokenIds
from models.training import evaluate
from models.twin import Twin, TwinState
from tests.models.made_up_books import made_up_books

NUM_TYPES, HIDDEN_WIDTH, NUM_LAYERS = 19, 11, 2


def tiny_model(num_layers: int = NUM_LAYERS) -> LanguageModel:
    """A model in evaluation whose weights are large enough for the state to matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = LanguageModel(
            Architecture(NUM_TYPES, 6, HIDDEN_WIDTH, num_layers, (7, 12), initial_state="learned")
        )
        with torch.no_grad():
            model.embedding.weight.normal_()
            model.learned_state.normal_()
    return model.eval()


def nats_of_twin(twin: Twin, book: TokenIds) -> list[float]:
    """-log p of every token of a book but its first, read from a fresh state."""
    twin.reset()
    return [-float(twin.step(int(token))[following]) for token, following in pairwise(book)]


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_the_twin_costs_what_evaluation_says(num_layers: int) -> None:
    model = tiny_model(num_layers)
    shelf = made_up_books(NUM_TYPES, 40, 7, 23)
    twin = Twin(model)
    for book, loss in zip(shelf, evaluate(model, shelf), strict=True):
        nats = nats_of_twin(twin, book)
        assert loss.num_tokens == len(nats)
        assert loss.nats_per_token == pytest.approx(np.mean(nats), abs=1e-5)


def test_every_token_of_lanes_costs_the_twin_the_same() -> None:
    """Three lanes over three books, in windows of 5: lanes open in mid-book, books in mid-lane."""
    model, twin = tiny_model(), Twin(tiny_model())
    stream = np.concatenate(made_up_books(NUM_TYPES, 19, 30, 8))
    lanes = cut_lanes(stream, 3)
    state, nats = model.initial_state(3), []
    with torch.inference_mode():
        for window in windows(lanes, 5):
            nats_BT, state = model.nats(window, state)
            nats.append(nats_BT)
    compared = 0
    for lane, nats_T in zip(lanes, torch.cat(nats, dim=1), strict=True):
        twin.reset()
        for column, (token, target) in enumerate(pairwise(lane[:])):
            if token == START:
                twin.reset()
            log_prob = twin.step(int(token))[target]
            if target not in (START, NOTHING):
                assert -float(log_prob) == pytest.approx(float(nats_T[column]), abs=1e-5)
                compared += 1
    assert compared == len(stream) - 3


def test_the_state_is_the_lane_s_and_stays_as_it_was_read() -> None:
    model = tiny_model()
    twin = Twin(model)
    token_ids = [START, 7, 4, END, 18]
    seen: list[TwinState] = [twin.state]
    for token_id in token_ids:
        twin.step(token_id)
        seen.append(twin.state)
    for count, state in enumerate(seen):
        assert state.hidden_LH.shape == state.cell_LH.shape == (NUM_LAYERS, HIDDEN_WIDTH)
        h_L1H, c_L1H = model.initial_state(1)
        if count:
            with torch.inference_mode():
                _, (h_L1H, c_L1H) = model(torch.tensor([token_ids[:count]]), (h_L1H, c_L1H))
        assert_close(torch.from_numpy(state.hidden_LH), h_L1H[:, 0], atol=1e-6, rtol=1e-5)
        assert_close(torch.from_numpy(state.cell_LH), c_L1H[:, 0], atol=1e-6, rtol=1e-5)


def test_log_probabilities_are_normalised_floats() -> None:
    log_probs_V = Twin(tiny_model()).step(START)
    assert log_probs_V.dtype == np.float32
    assert log_probs_V.shape == (NUM_TYPES,)
    assert np.isneginf(log_probs_V).tolist() == [True, True] + [False] * (NUM_TYPES - 2)
    assert np.exp(log_probs_V.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-6)


def test_reset_forgets_and_only_reset_does() -> None:
    twin = Twin(tiny_model())
    fresh = twin.step(5)
    assert not np.allclose(twin.step(5), fresh, atol=1e-3)
    assert not np.allclose(twin.step(START), Twin(tiny_model()).step(START), atol=1e-3)
    twin.reset()
    assert np.array_equal(twin.step(5), fresh)


def test_two_twins_of_a_model_do_not_meet() -> None:
    model = tiny_model()
    one, other = Twin(model), Twin(model)
    expected = one.step(8)
    one.step(9)
    assert np.array_equal(other.step(8), expected)


def test_distance_by_hand() -> None:
    one = TwinState(np.array([[1, 2]], np.float32), np.array([[0, 5]], np.float32))
    other = TwinState(np.array([[1, 0]], np.float32), np.array([[1, 3]], np.float32))
    assert one.distance(other) == other.distance(one) == 3.0  # 4 + 1 + 4 under the root
    assert one.distance(one) == 0.0


def test_what_is_refused() -> None:
    twin = Twin(tiny_model())
    before = twin.state
    for token_id in (-1, NUM_TYPES):
        with pytest.raises(ValueError, match=f"token {token_id} is none of the 19"):
            twin.step(token_id)
    assert twin.state.distance(before) == 0.0
