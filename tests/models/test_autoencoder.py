"""The autoencoder on texts whose structure is planted."""

from dataclasses import astuple

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from models import autoencoder
from models.autoencoder import EpochRecord, StackedAutoencoder, encode, fit
from models.clusterers import kmeans

TOPIC_N = np.repeat(np.array([0, 1, 2], dtype=np.int32), [24, 18, 12])


def three_topics() -> csr_matrix:
    """54 texts, each of 15 words drawn from the 20 of its topic and 5 of the 10 of all topics."""
    random = np.random.default_rng(3)
    weights_NV = np.zeros((len(TOPIC_N), 70), dtype=np.float32)
    for weights_V, topic in zip(weights_NV, TOPIC_N, strict=True):
        weights_V[random.choice(20, 15, replace=False) + 20 * topic] = 1
        weights_V[random.choice(10, 5, replace=False) + 60] = 1
    return csr_matrix(weights_NV / np.linalg.norm(weights_NV, axis=1, keepdims=True))


def trained(
    features_NV: csr_matrix, *, seed: int = 0, epochs: int = 40, drop_probability: float = 0.5
) -> tuple[StackedAutoencoder, list[EpochRecord]]:
    model = StackedAutoencoder(features_NV.shape[1], layer_widths=(32,), code_width=5, seed=seed)
    records = fit(
        model,
        features_NV,
        epochs=epochs,
        batch_size=20,
        learning_rate=1e-2,
        drop_probability=drop_probability,
        seed=seed,
    )
    return model, list(records)


def test_texts_of_low_rank_are_recovered() -> None:
    """Shares are a softmax of two numbers a text, which code and map have room for."""
    random = np.random.default_rng(0)
    logits_NV = random.normal(size=(40, 2)) @ random.normal(size=(2, 30))
    share_NV = np.exp(logits_NV) / np.exp(logits_NV).sum(axis=1, keepdims=True)
    mean_V = share_NV.mean(axis=0)
    spread_N = (share_NV * np.log(share_NV / mean_V)).sum(axis=1)

    model, records = trained(csr_matrix(share_NV), epochs=120, drop_probability=0)
    error_N = encode(model, csr_matrix(share_NV)).reconstruction_error_N
    # Reading one mean of all texts from every code would cost the spread.
    assert error_N.mean() < 0.03 * spread_N.mean()
    assert records[-1].map_loss_nats < 0.1 * spread_N.mean()


def test_planted_topics_are_the_clusters_and_lie_apart_on_the_map() -> None:
    for seed in (0, 1):
        model, records = trained(three_topics(), seed=seed)
        encoding = encode(model, three_topics())
        assert (kmeans(encoding.codes_NC, 3, seed)[0] == TOPIC_N).all()
        assert (kmeans(encoding.map_N2, 3, seed)[0] == TOPIC_N).all()
        assert [record.epoch for record in records] == [*range(1, 41)]
        assert records[-1].code_loss_nats < 0.6 * records[0].code_loss_nats


def test_sparse_features_are_read_as_dense_ones_would_be() -> None:
    features_NV = csr_matrix(np.vstack([three_topics().toarray(), np.zeros((2, 70), "f4")]))
    model = StackedAutoencoder(70, layer_widths=(32,), code_width=5)
    plain = torch.from_numpy(features_NV.toarray()) @ model.terms.weight_VO + model.terms.bias_O
    torch.testing.assert_close(model.terms(features_NV), plain)
    ways = []
    for hidden in (model.terms(features_NV), plain):
        hidden.square().sum().backward()  # type: ignore[no-untyped-call]
        ways.append([x.grad.clone() for x in model.terms.parameters()])  # type: ignore[union-attr]
        model.zero_grad()
    torch.testing.assert_close(*ways)
    torch.testing.assert_close(model.terms(csr_matrix((3, 70))), model.terms.bias_O.expand(3, -1))


def test_codes_have_length_one_and_errors_are_not_negative() -> None:
    model, _ = trained(three_topics(), epochs=2)
    encoding = encode(model, three_topics())
    assert encoding.codes_NC.shape == (54, 5)
    assert encoding.map_N2.shape == (54, 2)
    assert encoding.reconstruction_error_N.shape == (54,)
    np.testing.assert_allclose(np.linalg.norm(encoding.codes_NC, axis=1), 1, rtol=1e-5)
    assert (encoding.reconstruction_error_N >= 0).all()


def test_the_same_seed_gives_the_same_bits_and_another_gives_others() -> None:
    first, again, other = (
        encode(trained(three_topics(), seed=seed, epochs=3)[0], three_topics())
        for seed in (0, 0, 1)
    )
    for ours, same, different in zip(astuple(first), astuple(again), astuple(other), strict=True):
        assert ours.tobytes() == same.tobytes() != different.tobytes()


def test_nothing_global_is_drawn_from() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tobytes()
    encode(trained(three_topics(), epochs=1)[0], three_topics())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tobytes() == numpy_state


def test_a_text_is_placed_alike_in_any_company(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = trained(three_topics(), epochs=3)
    whole = encode(model, three_topics())
    monkeypatch.setattr(autoencoder, "_ENCODE_BATCH_SIZE", 7)
    pieces = encode(model, three_topics())
    for ours, theirs in zip(astuple(whole), astuple(pieces), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_text_without_terms_is_placed_and_has_no_error() -> None:
    features_NV = csr_matrix(np.vstack([three_topics().toarray(), np.zeros((1, 70), "f4")]))
    encoding = encode(trained(features_NV, epochs=2)[0], features_NV)
    assert np.isfinite(encoding.codes_NC).all()
    assert encoding.reconstruction_error_N[-1] == 0


@pytest.mark.parametrize(("widths", "code_width"), [((), 5), ((0,), 5), ((8, 4), 0)])
def test_a_model_needs_layers_and_widths(widths: tuple[int, ...], code_width: int) -> None:
    with pytest.raises(ValueError, match="at least one layer"):
        StackedAutoencoder(70, layer_widths=widths, code_width=code_width)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs 0"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"learning_rate": 0.0}, "learning_rate 0.0"),
        ({"drop_probability": 1.0}, "drop_probability 1.0"),
    ],
)
def test_settings_out_of_range(settings: dict[str, float], message: str) -> None:
    model = StackedAutoencoder(70)
    with pytest.raises(ValueError, match=message):
        next(fit(model, three_topics(), **({"epochs": 1} | settings)))


@pytest.mark.parametrize(
    ("features_NV", "message"),
    [
        (csr_matrix((2, 69)), "knows 70 terms, not 69"),
        (csr_matrix((0, 70)), "no texts"),
        (-three_topics(), "is no weight"),
        (three_topics() * np.nan, "is no weight"),
    ],
)
def test_features_that_do_not_fit(features_NV: csr_matrix, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(StackedAutoencoder(70), features_NV)
