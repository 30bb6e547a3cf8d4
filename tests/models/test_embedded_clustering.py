"""Codes moved to their centres, and the guard that takes back what collapsed."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models import embedded_clustering
from models.code_ensemble import CodeEnsemble, encode
from models.embedded_clustering import (
    Collapse,
    GuardReport,
    Refined,
    Soundness,
    collapse_of,
    effective_rank,
    limits_from,
    refine,
    soft_assignments,
    soundness_of,
    target_distribution,
)
from models.text_clusters import Clustered, ClusterRecipe, cluster_texts, learn_codes, num_epochs
from models.text_space import neighbours

TRUTH_N = np.repeat(np.array([0, 1, 2], dtype=np.int32), [30, 20, 10])
SOUND = Soundness(smallest_share=0.2, balance=0.9, effective_rank=3.0)
RECIPE = ClusterRecipe(num_members=2, hidden_widths=(16,), code_width=3, epochs=40, batch_size=16)


def blobs() -> np.ndarray:
    """60 points near three axes of six dimensions."""
    points = np.eye(6)[TRUTH_N] + np.random.default_rng(0).normal(0, 0.1, size=(60, 6))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def clustered(clusterer: Any, seed: int = 0, **others: Any) -> Clustered:
    recipe = replace(RECIPE, clusterer=clusterer)
    return cluster_texts(blobs(), recipe, 3, seed, **others)


def refined(model: CodeEnsemble, **settings: Any) -> Refined:
    points_ND = blobs()
    usual = {
        "company_share": 0.5,
        "keeps_reading": True,
        "epochs": 5,
        "batch_size": 16,
        "learning_rate": 2e-4,
        "seed": 0,
    }
    company_NN = neighbours(encode(model, points_ND).codes_NC, 5)
    return refine(model, points_ND, points_ND, TRUTH_N, company_NN, **(usual | settings))


def weights_of(model: CodeEnsemble) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("clusterer", ["dec", "idec"])
def test_blobs_are_found_and_codes_draw_together(clusterer: str) -> None:
    before, after = clustered("kmeans"), clustered(clusterer)
    assert after.grouping.cluster_N.tolist() == TRUTH_N.tolist()
    assert after.guard is not None and after.guard.collapse is None
    assert after.guard.kept_epoch > 0
    assert before.guard is None

    def spread_within(one: Clustered) -> float:
        codes_NC = one.learned.encoding.codes_NC
        return sum(codes_NC[k == TRUTH_N].var(axis=0).sum() for k in range(3))

    assert spread_within(after) < 0.9 * spread_within(before)


def test_the_map_goes_on_with_the_codes() -> None:
    map_N2 = clustered("dec").learned.encoding.map_N2
    centre_K2 = np.stack([map_N2[k == TRUTH_N].mean(axis=0) for k in range(3)])
    nearest_N = np.square(map_N2[:, None] - centre_K2).sum(axis=2).argmin(axis=1)
    assert nearest_N.tolist() == TRUTH_N.tolist()


def test_only_idec_heeds_how_well_points_are_read() -> None:
    """Where the clusters have no say, DEC leaves the codes as they are, and IDEC does not."""
    points_ND = blobs()
    for keeps_reading in (False, True):
        model = learn_codes(points_ND, RECIPE, 0).model
        before = encode(model, points_ND).codes_NC
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(embedded_clustering, "CLUSTERING_WEIGHT", 0.0)
            refined(model, keeps_reading=keeps_reading)
        assert (encode(model, points_ND).codes_NC != before).any() == keeps_reading


def test_the_same_seed_gives_the_same_bits_and_another_gives_others() -> None:
    ours, again, other = (clustered("idec", seed).learned.encoding for seed in (1, 1, 2))
    for name in ("codes_NC", "map_N2", "errors_ND"):
        assert getattr(ours, name).tobytes() == getattr(again, name).tobytes()
        assert not np.allclose(getattr(ours, name), getattr(other, name))


def test_it_ends_when_clusters_are_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_clustering, "FEWEST_STEPS", 12)  # 4 a pass
    model = learn_codes(blobs(), RECIPE, 0).model
    epochs: list[int] = []
    found = refined(model, epochs=50, on_epoch=lambda record: epochs.append(record.epoch))
    assert epochs == [1, 2, 3] and found.guard.kept_epoch == 3
    assert found.guard.collapse is None


def test_each_stage_tells_of_its_epochs() -> None:
    stages: list[str] = []
    recipe = replace(RECIPE, clusterer="idec", pretrain=True)
    cluster_texts(blobs(), recipe, 3, 0, lambda record: stages.append(record.stage))
    assert [*dict.fromkeys(stages)] == ["pretrain", "train", "refine"]
    assert stages.count("pretrain") == stages.count("train") == 40
    assert len(stages) <= num_epochs(recipe, 60) == 120


def test_a_run_that_collapses_goes_back_to_where_it_was_sound() -> None:
    model = learn_codes(blobs(), RECIPE, 0).model
    before = weights_of(model)
    found = refined(model, learning_rate=1e6, keeps_reading=False)
    assert weights_of(model) == before
    assert found.guard.collapse is not None
    assert found.guard.collapse.epoch == 1 and found.guard.kept_epoch == 0
    assert found.guard.kept == found.guard.start
    assert found.grouping.cluster_N.tolist() == TRUTH_N.tolist()


def test_it_goes_back_to_the_last_sound_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a guard that trips in epoch 4, all is as if the first three had been the whole run."""
    model, twin = (learn_codes(blobs(), RECIPE, 0).model for _ in range(2))
    real = embedded_clustering.collapse_of

    def trips_in_epoch_4(found: Soundness, limits: Soundness, epoch: int) -> Collapse | None:
        return real(replace(found, balance=0.1) if epoch == 4 else found, limits, epoch)

    kept: list[dict[str, bytes]] = []
    refined(twin, epochs=9, on_epoch=lambda record: kept.append(weights_of(twin)))
    monkeypatch.setattr(embedded_clustering, "collapse_of", trips_in_epoch_4)
    found = refined(model, epochs=9)
    assert weights_of(model) == kept[2] != kept[3]
    collapse = found.guard.collapse
    assert collapse is not None and found.guard.kept_epoch == 3
    assert (collapse.epoch, collapse.measure, collapse.value) == (4, "balance", 0.1)
    assert str(found.guard).startswith("the clusters collapsed in epoch 4: the entropy of the ass")
    assert str(found.guard).endswith("the codes are those after epoch 3")


def test_a_collapse_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("models.text_clusters.RATE_SHARE", 1e9)
    found = clustered("dec", say=said.append)
    assert found.guard is not None and said == [str(found.guard)]
    assert "the codes are those before the first epoch" in said[0]
    assert "nan" not in str(found.guard.start)
    without = clustered("kmeans")  # from which it began, and to which it went back
    for name in ("codes_NC", "map_N2", "errors_ND"):
        ours, theirs = (getattr(one.learned.encoding, name) for one in (found, without))
        assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize(
    ("found", "measure"),
    [
        (SOUND, None),
        (Soundness(0.05, 0.72, 2.0), None),  # the limits themselves
        (replace(SOUND, smallest_share=0.04), "smallest_share"),
        (replace(SOUND, balance=0.71), "balance"),
        (replace(SOUND, effective_rank=1.9), "effective_rank"),
        (replace(SOUND, effective_rank=math.nan), "effective_rank"),
    ],
)
def test_each_measure_has_its_limit(found: Soundness, measure: str | None) -> None:
    collapse = collapse_of(found, Soundness(0.05, 0.72, 2.0), 7)
    assert (collapse and (collapse.measure, collapse.epoch)) == (measure and (measure, 7))


def test_limits_are_of_the_start_and_of_codes_on_their_centres() -> None:
    limits = limits_from(SOUND, rank_of_centres=2.0)
    assert limits.smallest_share == pytest.approx(0.25 * 0.2)
    assert limits.balance == pytest.approx(0.8 * 0.9)
    assert limits.effective_rank == pytest.approx(1 + (2 - 1) / 2)
    assert limits_from(SOUND, 9.0).effective_rank == pytest.approx(1 + (3 - 1) / 2)


def test_soundness_by_hand() -> None:
    q_NK = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    mean = 0.65
    entropy = -(mean * math.log(mean) + (1 - mean) * math.log(1 - mean))
    found = soundness_of(np.eye(4, dtype=np.float32), q_NK)
    assert found.smallest_share == 0.25
    assert found.balance == pytest.approx(entropy / math.log(2))
    assert found.effective_rank == pytest.approx(4)
    assert soundness_of(np.eye(4, dtype=np.float32), np.ones((4, 1))).balance == 1
    assert soundness_of(np.eye(2, dtype=np.float32), np.eye(3)[:2]).smallest_share == 0


def test_effective_rank_by_hand() -> None:
    for size in (1, 2, 7):
        assert effective_rank(np.eye(size)) == pytest.approx(size)
    assert effective_rank(np.outer(np.arange(5.0), np.arange(1, 4))) == pytest.approx(1)
    assert effective_rank(np.zeros((3, 2))) == 0
    assert math.isnan(effective_rank(np.array([[1.0, np.nan]])))
    # Singular values 3 and 1: shares 3/4 and 1/4.
    by_hand = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert effective_rank(np.diag([3.0, 1.0])) == pytest.approx(by_hand)


def test_target_distribution_by_hand() -> None:
    # Sizes 1.2 and 0.8; squares over them: 0.64/1.2, 0.04/0.8; 0.16/1.2, 0.36/0.8.
    p_NK = target_distribution(np.array([[0.8, 0.2], [0.4, 0.6]]))
    first, second = np.array([0.64 / 1.2, 0.04 / 0.8]), np.array([0.16 / 1.2, 0.36 / 0.8])
    np.testing.assert_allclose(p_NK, [first / first.sum(), second / second.sum()])
    assert p_NK[0, 0] > 0.8 and p_NK[1, 1] > 0.6


def test_soft_assignments_by_hand() -> None:
    codes, centres = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    # Kernels 1 and 1 / (1 + 25 / 5).
    torch.testing.assert_close(
        soft_assignments(codes, centres, width=5.0), torch.tensor([[6 / 7, 1 / 7]])
    )


def test_a_report_without_collapse() -> None:
    assert (
        str(GuardReport(SOUND, SOUND, SOUND, 8)) == "no collapse; the codes are those after epoch 8"
    )


@pytest.mark.parametrize("clusterer", ["dec", "idec"])
@pytest.mark.parametrize(
    ("points_ND", "num_clusters", "num_found"),
    [
        (np.ones((1, 1)), 1, 1),
        (np.zeros((1, 1)), 1, 1),
        (np.tile([[0.6, 0.8]], (9, 1)), 3, 1),
        (np.zeros((9, 2)), 2, 1),
        (np.eye(5), 5, 5),
        (np.repeat(np.eye(2), 6, axis=0), 3, 2),
        (blobs(), 1, 1),
    ],
)
def test_texts_too_few_or_too_much_alike(
    clusterer: Any, points_ND: np.ndarray, num_clusters: int, num_found: int
) -> None:
    recipe = replace(RECIPE, clusterer=clusterer, epochs=2)
    found = cluster_texts(points_ND.astype(np.float32), recipe, num_clusters, 0)
    assert len(set(found.grouping.cluster_N.tolist())) == num_found
    assert ((found.grouping.membership_N >= 0) & (found.grouping.membership_N <= 1)).all()
    assert np.isfinite(found.learned.encoding.codes_NC).all()


@pytest.mark.parametrize(
    ("points_ND", "num_clusters", "recipe", "message"),
    [
        (np.zeros((0, 3)), 1, RECIPE, "0 texts can't be parted into 1 clusters"),
        (np.eye(3), 4, RECIPE, "3 texts can't be parted into 4 clusters"),
        (np.eye(3), 0, RECIPE, "3 texts can't be parted into 0 clusters"),
        (
            np.full((3, 3), np.inf),
            2,
            RECIPE,
            r"the place of text 0 \(from 0\) is not made of numbers",
        ),
        (np.eye(3), 2, replace(RECIPE, num_neighbours=0), "num_neighbours 0 must be at least 1"),
        (np.eye(3), 2, replace(RECIPE, company_share=2.0), "company_share 2.0 must be in"),
        (np.eye(3), 2, replace(RECIPE, hidden_widths=(4, 0)), r"hidden \(4, 0\)"),
        (np.eye(3), 2, replace(RECIPE, divergence_weight=-1.0), "divergence_weight -1.0"),
    ],
)
def test_what_no_clusters_can_be_found_of(
    points_ND: np.ndarray, num_clusters: int, recipe: ClusterRecipe, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cluster_texts(points_ND.astype(np.float32), recipe, num_clusters, 0)
