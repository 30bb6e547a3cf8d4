"""Means of word vectors and of states, against one token at a time."""

import numpy as np
import pytest
import torch

from models.language_model import Architecture, LanguageModel
from models.special_tokens import END, START
from models.text_averages import mean_embeddings, mean_states


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(3)
    return LanguageModel(
        Architecture(num_types=9, embedding_width=4, hidden_width=5, num_layers=2)
    ).eval()


# Two books: the first longer than a window, the second of another length; text 2 is empty.
LONG = np.array([START, *[4, 5, END] * 120, 6], dtype=np.int32)
SHORT = np.array([START, 7, 8, END], dtype=np.int32)
OWNERS = [
    np.array([-1, *[0] * 200, *[1] * (len(LONG) - 201)]),
    np.array([-1, 3, 3, 3]),
]


def test_states_are_those_of_one_token_after_the_other(model: LanguageModel) -> None:
    means_NH = mean_states(model, [LONG, SHORT], OWNERS, 4)
    sums_NH, counts_N = np.zeros((4, 5)), np.zeros(4)
    with torch.inference_mode():
        for ids_T, owners_T in zip((LONG, SHORT), OWNERS, strict=True):
            state = model.initial_state(1)
            for token_id, owner in zip(ids_T[:-1], owners_T[:-1], strict=True):
                hidden_11H, state = model(torch.tensor([[int(token_id)]]), state)
                if owner >= 0:
                    sums_NH[owner] += hidden_11H[0, 0].numpy()
                    counts_N[owner] += 1
    expected = sums_NH / np.maximum(counts_N, 1)[:, None]
    np.testing.assert_allclose(means_NH, expected, atol=1e-6)
    assert (means_NH[2] == 0).all()


def test_embeddings_by_hand(model: LanguageModel) -> None:
    """A word of share 0.001 counts half as much as one of share 0; _start_, _end_ don't count."""
    shares_V = np.zeros(9)
    shares_V[7] = 0.001
    means_NE = mean_embeddings(model, shares_V, [LONG, SHORT], OWNERS, 4)
    vectors = model.embedding.weight.detach().numpy()
    np.testing.assert_allclose(means_NE[3], (0.5 * vectors[7] + vectors[8]) / 1.5, atol=1e-6)
    ids = LONG[OWNERS[0] == 1]
    words = ids[ids > END + 1]
    np.testing.assert_allclose(means_NE[1], vectors[words].mean(axis=0), atol=1e-6)
    assert (means_NE[2] == 0).all()
