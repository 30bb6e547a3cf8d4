"""Autoencoders side by side: each by itself, the same bits for the same seed."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from models.clusterers import kmeans
from models.code_ensemble import (
    CodeEnsemble,
    EpochRecord,
    divergence_from_prior,
    encode,
    fit,
)
from models.pretraining import pretrain
from models.text_clusters import (
    ClusterRecipe,
    LearnedCodes,
    cluster_texts,
    group_codes,
    learn_codes,
    num_epochs,
)
from models.text_space import TextSpace

TRUTH_N = np.repeat(np.arange(3), [30, 20, 10])


def blobs(seed: int = 0) -> np.ndarray:
    """60 points near three axes of six dimensions."""
    points = np.eye(6)[TRUTH_N] + np.random.default_rng(seed).normal(0, 0.1, size=(60, 6))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def ensemble(**settings: Any) -> CodeEnsemble:
    usual = {"num_members": 3, "hidden_widths": (4,), "code_width": 2, "seed": 0}
    return CodeEnsemble(6, **(usual | settings))


def records_of(model: CodeEnsemble, **settings: Any) -> Iterator[EpochRecord]:
    usual = {"batch_size": 16, "learning_rate": 2e-3, "drop_probability": 0.2, "seed": 0}
    return fit(model, blobs(), blobs(), **(usual | settings))


def trained(seed: int = 0, **settings: float) -> tuple[CodeEnsemble, list[float], list[float]]:
    model = ensemble(hidden_widths=(16,), seed=seed)
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


def test_layers_may_be_many_or_none() -> None:
    model = ensemble(hidden_widths=(9, 7, 5))
    assert [tuple(x.weight_EIO.shape) for x in model.encoder] == [  # type: ignore[union-attr]
        (3, 6, 9),
        (3, 9, 7),
        (3, 7, 5),
        (3, 5, 2),
    ]
    assert [tuple(x.weight_EIO.shape[1:]) for x in model.decoder] == [  # type: ignore[union-attr]
        (2, 5),
        (5, 7),
        (7, 9),
        (9, 6),
    ]
    linear = ensemble(hidden_widths=())
    points = torch.rand(3, 4, 6)
    [layer] = linear.encoder
    plain = points @ layer.weight_EIO + layer.bias_E1O  # type: ignore[operator, union-attr]
    torch.testing.assert_close(linear.encode(points), plain / plain.norm(dim=2, keepdim=True))
    with pytest.raises(ValueError, match=r"hidden \(4, 0\)"):
        ensemble(hidden_widths=(4, 0))


def mean_squared_error(model: CodeEnsemble) -> float:
    return float(np.square(encode(model, blobs()).errors_ND).sum(axis=1).mean())


def test_pretraining_lowers_the_error_before_all_layers_learn_together() -> None:
    model = ensemble(hidden_widths=(16, 12))
    before = mean_squared_error(model)
    settings: dict[str, Any] = {
        "epochs": 60,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "drop_probability": 0.1,
    }
    records = list(pretrain(model, blobs(), blobs(), **settings, seed=0))
    assert mean_squared_error(model) < 0.5 * before
    assert [one.epoch for one in records] == 3 * [*range(1, 61)]
    for layer in range(3):
        assert records[60 * layer + 59].code_loss < records[60 * layer].code_loss
    again = ensemble(hidden_widths=(16, 12))
    list(pretrain(again, blobs(), blobs(), **settings, seed=0))
    assert (encode(again, blobs()).codes_NC == encode(model, blobs()).codes_NC).all()


def test_a_layer_that_has_been_pretrained_rests_while_the_next_one_learns() -> None:
    model = ensemble(hidden_widths=(5,))
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 16, "learning_rate": 2e-3}
    run = pretrain(model, blobs(), blobs(), **settings, drop_probability=0.0, seed=0)
    outer, inner = model.encoder
    starts = [layer.weight_EIO.detach().clone() for layer in (outer, inner)]  # type: ignore
    next(run)
    after_first = outer.weight_EIO.detach().clone()  # type: ignore[operator, union-attr]
    assert (after_first != starts[0]).any() and (inner.weight_EIO == starts[1]).all()
    next(run)
    assert (outer.weight_EIO == after_first).all() and (inner.weight_EIO != starts[1]).any()


def test_a_spread_of_nothing_at_no_price_is_no_spread() -> None:
    """A variational model whose variance is 0 and whose divergence weighs 0 is the plain one."""
    plain, variational = ensemble(), ensemble(is_variational=True)
    [layer] = variational.to_log_variance
    with torch.no_grad():
        layer.weight_EIO.zero_()  # type: ignore[operator, union-attr]
        layer.bias_E1O.fill_(-80)  # type: ignore[operator, union-attr]
    for model in (plain, variational):  # one epoch: spread is drawn where the next order would be
        list(records_of(model, epochs=1, drop_probability=0.0, divergence_weight=0.0))
    for name in ("codes_NC", "map_N2", "errors_ND"):
        ours, theirs = (getattr(encode(one, blobs()), name) for one in (plain, variational))
        assert ours.tobytes() == theirs.tobytes()


def test_divergence_is_that_of_normal_distributions() -> None:
    codes_EBC, log_variance_EBC = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    spread = (log_variance_EBC.exp() / 3).sqrt()
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(codes_EBC, spread),
        torch.distributions.Normal(torch.tensor(0.0), torch.tensor(1 / math.sqrt(3))),
    ).sum(dim=(0, 2))
    torch.testing.assert_close(divergence_from_prior(codes_EBC, log_variance_EBC), expected)


def test_the_dearer_the_wider_codes_spread() -> None:
    spreads = []
    for weight in (0.1, 1.0, 100.0):
        model = ensemble(hidden_widths=(16,), is_variational=True)
        list(records_of(model, epochs=80, learning_rate=1e-2, divergence_weight=weight))
        points = torch.from_numpy(blobs()) * math.sqrt(6)
        _, log_variance = model.encode_with_spread(points.expand(3, -1, -1))
        spreads.append(log_variance.mean().item())
    assert spreads[0] < spreads[1] - 1 and spreads[1] < spreads[2]
    assert spreads[2] == pytest.approx(0, abs=0.2)  # the prior's, where nothing else counts
    found = encode(model, blobs())
    np.testing.assert_allclose(np.linalg.norm(found.codes_NC, axis=1), 1, atol=1e-5)


def learned_from(features_NV: csr_matrix, recipe: ClusterRecipe, seed: int) -> LearnedCodes:
    space = TextSpace.of(features_NV, recipe.num_dimensions)
    return learn_codes(space.points(features_NV), recipe, seed)


def test_texts_become_clusters_bit_for_bit() -> None:
    random = np.random.default_rng(0)
    rates = np.kron(np.eye(3), np.ones(4)) * 5 + 0.5
    features_NV = csr_matrix(random.poisson(rates[TRUTH_N]).astype(np.float32))
    recipe = ClusterRecipe(num_dimensions=5, epochs=20)
    learned, again = (learned_from(features_NV, recipe, 1) for _ in range(2))
    assert (learned.encoding.codes_NC == again.encoding.codes_NC).all()
    groups = group_codes(learned.encoding.codes_NC, recipe, 3, 1)
    assert groups.cluster_N.tolist() == TRUTH_N.tolist()
    assert (learned.errors() >= 0).all()
    points_ND = TextSpace.of(features_NV, 5).points(features_NV)
    whole = cluster_texts(points_ND, recipe, 3, 1)
    assert (whole.learned.encoding.codes_NC == learned.encoding.codes_NC).all()
    assert (whole.grouping.membership_N == groups.membership_N).all() and whole.guard is None
    # A text that is like none of the others fits worst.
    odd = csr_matrix(np.vstack([features_NV.toarray(), np.eye(12)[:1] * 5 + np.eye(12)[11:] * 5]))
    assert learned_from(odd, recipe, 1).errors().argmax() == 60


def test_few_texts_are_gone_through_more_often() -> None:
    recipe = ClusterRecipe()
    assert num_epochs(recipe, 10_000) == recipe.epochs
    assert num_epochs(recipe, 20) == 320
    assert num_epochs(recipe, 1) == 400, "not 6,400: a single text is learned long before"
    assert num_epochs(ClusterRecipe(pretrain=True, hidden_widths=(8, 4)), 10_000) == 3 * 16 + 50
    assert num_epochs(ClusterRecipe(clusterer="dec"), 10_000) == 100
