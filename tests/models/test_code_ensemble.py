"""Autoencoders side by side: each by itself, the same bits for the same seed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from models.clusterers import kmeans
from models.code_ensemble import CodeEnsemble, EpochRecord, encode, fit
from models.text_clusters import ClusterRecipe, group_codes, learn_codes, num_epochs

TRUTH_N = np.repeat(np.arange(3), [30, 20, 10])


def blobs(seed: int = 0) -> np.ndarray:
    """60 points near three axes of six dimensions."""
    points = np.eye(6)[TRUTH_N] + np.random.default_rng(seed).normal(0, 0.1, size=(60, 6))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def ensemble(
    num_members: int = 3, hidden_width: int = 4, code_width: int = 2, seed: int = 0
) -> CodeEnsemble:
    return CodeEnsemble(
        6, num_members=num_members, hidden_width=hidden_width, code_width=code_width, seed=seed
    )


def records_of(model: CodeEnsemble, **settings: Any) -> Iterator[EpochRecord]:
    usual = {"batch_size": 16, "learning_rate": 2e-3, "drop_probability": 0.2, "seed": 0}
    return fit(model, blobs(), blobs(), **(usual | settings))


def trained(seed: int = 0, **settings: float) -> tuple[CodeEnsemble, list[float], list[float]]:
    model = ensemble(hidden_width=16, seed=seed)
    records = list(records_of(model, epochs=60, seed=seed, **settings))
    return model, [one.code_loss for one in records], [one.map_loss for one in records]


def test_members_learn_to_tell_where_texts_stand() -> None:
    model, code_losses, map_losses = trained(drop_probability=0.0)
    assert code_losses[-1] < 0.3 < 0.8 < code_losses[0]
    assert map_losses[-1] < 0.2 < map_losses[0]
    found = encode(model, blobs())
    assert found.codes_NC.shape == (60, 6)
    np.testing.assert_allclose(np.linalg.norm(found.codes_NC, axis=1), 1, atol=1e-5)
    assert np.square(found.errors_ND).sum(axis=1).mean() < 0.3
    for places in (found.codes_NC, found.map_N2):
        assert kmeans(places, 3, 0).cluster_N.tolist() == TRUTH_N.tolist()


def test_the_same_seed_gives_the_same_bits_and_another_gives_others() -> None:
    ours, again, other = (encode(trained(seed)[0], blobs()) for seed in (1, 1, 2))
    for name in ("codes_NC", "map_N2", "errors_ND"):
        assert (getattr(ours, name) == getattr(again, name)).all()
        assert not np.allclose(getattr(ours, name), getattr(other, name))


def test_a_member_learns_nothing_from_the_others() -> None:
    """The gradient of one member's loss is zero in all others."""
    model = ensemble()
    decoded_EBD = model.decode(model.encode(torch.rand(3, 5, 6)))
    decoded_EBD[1].square().sum().backward()
    for layer in [*model.encoder, *model.decoder]:
        assert layer.weight_EIO.grad[1].abs().sum() > 0  # type: ignore[index, union-attr]
        assert layer.weight_EIO.grad[[0, 2]].abs().sum() == 0  # type: ignore[index]


def test_a_member_is_what_plain_layers_make_it() -> None:
    model = ensemble(num_members=2, code_width=3)
    points = torch.rand(5, 6)
    codes_EBC = model.encode(points.expand(2, -1, -1))
    for member in (0, 1):
        first, second = (
            (layer.weight_EIO[member], layer.bias_E1O[member]) for layer in model.encoder
        )
        plain = torch.relu(points @ first[0] + first[1]) @ second[0] + second[1]
        plain = plain / plain.norm(dim=1, keepdim=True)
        torch.testing.assert_close(codes_EBC[member], plain)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="0 members"):
        ensemble(num_members=0)
    model = ensemble()
    with pytest.raises(ValueError, match="epochs 0"):
        next(records_of(model, epochs=0))
    with pytest.raises(ValueError, match="drop_probability 1"):
        next(records_of(model, epochs=1, drop_probability=1))


def test_texts_become_clusters_bit_for_bit() -> None:
    random = np.random.default_rng(0)
    rates = np.kron(np.eye(3), np.ones(4)) * 5 + 0.5
    features_NV = csr_matrix(random.poisson(rates[TRUTH_N]).astype(np.float32))
    recipe = ClusterRecipe(num_dimensions=5, epochs=20)
    learned, again = (learn_codes(features_NV, recipe, 1) for _ in range(2))
    assert (learned.encoding.codes_NC == again.encoding.codes_NC).all()
    groups = group_codes(learned.encoding.codes_NC, recipe, 3, 1)
    assert groups.cluster_N.tolist() == TRUTH_N.tolist()
    assert (learned.errors() >= 0).all()
    # A text that is like none of the others fits worst.
    odd = csr_matrix(np.vstack([features_NV.toarray(), np.eye(12)[:1] * 5 + np.eye(12)[11:] * 5]))
    assert learn_codes(odd, recipe, 1).errors().argmax() == 60


def test_few_texts_are_gone_through_more_often() -> None:
    recipe = ClusterRecipe()
    assert num_epochs(recipe, 10_000) == recipe.epochs
    assert num_epochs(recipe, 10) == 640
