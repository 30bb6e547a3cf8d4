"""A model whose vocabulary grows keeps what it knows."""

from typing import Any

import pytest
import torch
from torch import Tensor

from models.language_model import Architecture, LanguageModel
from models.warm_start import extended

OLD_COUNTS = [0, 3, 20, 7, 40, 31, 22, 9, 8, 5, 2, 2]
NEW_COUNTS = [0, 2, 10, 3, 21, 0, 12, 4, 3, 0, 1, 1, 30, 2, 2]
NUM_OLD, NUM_NEW = len(OLD_COUNTS), len(NEW_COUNTS)

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "two tails": {"cutoffs": (6, 9)},
    "tied": {"cutoffs": (6, 9), "tied": True},
    "no tail": {"cutoffs": ()},
    "tied, no tail": {"cutoffs": (), "tied": True},
    "one-hot": {"cutoffs": (6,), "inputs": "one_hot", "embedding_width": 44},
    "two layers, learned state": {"cutoffs": (6,), "num_layers": 2, "initial_state": "learned"},
}
every_architecture = pytest.mark.parametrize("values", ARCHITECTURES.values(), ids=ARCHITECTURES)


def trained_model(values: dict[str, Any]) -> LanguageModel:
    """As if trained: biases say how frequent words are, weights are anything."""
    torch.manual_seed(3)
    sizes = {"num_types": NUM_OLD, "embedding_width": 5, "hidden_width": 11}
    model = LanguageModel(Architecture(**{**sizes, **values}))
    model.softmax.start_from(OLD_COUNTS)
    return model


def log_probs(model: LanguageModel) -> Tensor:
    token_ids_12 = torch.tensor([[1, 4]])
    with torch.inference_mode():
        hidden_12H, _ = model(token_ids_12, model.initial_state(1))
        log_probs_2V: Tensor = model.softmax.log_probabilities(hidden_12H[0])
    return log_probs_2V


@every_architecture
def test_old_words_keep_their_odds_and_all_sum_to_one(values: dict[str, Any]) -> None:
    model = trained_model(values)
    before_2V = log_probs(model)
    after_2V = log_probs(extended(model, OLD_COUNTS, NEW_COUNTS))
    torch.testing.assert_close(after_2V.exp().sum(dim=1), torch.ones(2))
    start = values["cutoffs"][-1] if values["cutoffs"] else 2  # the last block's first type
    torch.testing.assert_close(after_2V[:, 2:start], before_2V[:, 2:start])
    change_2W = after_2V[:, start:NUM_OLD] - before_2V[:, start:]
    torch.testing.assert_close(change_2W, change_2W[:, :1].expand_as(change_2W))
    assert (change_2W < 0.0).all()  # the new words took something


@every_architecture
def test_a_new_word_is_as_probable_as_it_is_frequent(values: dict[str, Any]) -> None:
    """The first new word stands 30 times, the others twice."""
    model = extended(trained_model(values), OLD_COUNTS, NEW_COUNTS)
    log_probs_2V = log_probs(model)
    odds_22 = log_probs_2V[:, NUM_OLD, None] - log_probs_2V[:, NUM_OLD + 1 :]
    expected = torch.tensor(30.5 / 2.5).log().expand(2, 2)
    torch.testing.assert_close(odds_22, expected, atol=0.35, rtol=0.0)  # noise parts them


def test_new_words_part_and_old_vectors_stay() -> None:
    model = trained_model(ARCHITECTURES["tied"])
    larger = extended(model, OLD_COUNTS, NEW_COUNTS)
    assert torch.equal(larger.embedding.weight[:NUM_OLD], model.embedding.weight)
    new = larger.embedding.weight[NUM_OLD:]
    assert len(torch.unique(new, dim=0)) == NUM_NEW - NUM_OLD
    assert larger.architecture.num_types == NUM_NEW


def test_without_new_words_it_is_a_copy() -> None:
    model = trained_model(ARCHITECTURES["two tails"])
    same = extended(model, OLD_COUNTS, OLD_COUNTS)
    assert torch.equal(log_probs(same), log_probs(model))
    with torch.no_grad():
        same.embedding.weight.zero_()
    assert model.embedding.weight.abs().sum() > 0


def test_a_smaller_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="5 types are fewer than the model's 12"):
        extended(trained_model({}), OLD_COUNTS, OLD_COUNTS[:5])


@every_architecture
def test_it_learns_on(values: dict[str, Any]) -> None:
    """Every weight that grew gets a gradient where it grew."""
    model = extended(trained_model(values), OLD_COUNTS, NEW_COUNTS)
    hidden, _ = model(torch.tensor([[1, 12, 13]]), model.initial_state(1))
    model.softmax.nats(hidden[0], torch.tensor([12, 13, 14])).sum().backward()
    assert model.embedding.weight.grad is not None
    assert (model.embedding.weight.grad.to_dense()[12:14].abs().sum(dim=1) > 0).all()
