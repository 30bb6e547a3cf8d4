"""What is said of a map, from figures whose meaning is plain."""

from typing import Any

import numpy as np
import pytest

from models.cluster_scores import DEFAULT_METHOD
from tasks.judge import label_shares
from tasks.seams.map_verdict import verdict


def score(method: str, nmi: float | None, **more: Any) -> dict[str, Any]:
    row = {"method": method, "accuracy": 0.5, "nmi": nmi, "nmi_sd": 0.01, "num_seeds": 5}
    row["num_clusters"] = 3
    return {**row, "silhouette": 0.2, "stability": 0.95, **more}


FOLLOWS = [
    {"factor": "label", "num_values": 3, "agreement": 0.2, "within_label": None},
    {"factor": "book", "num_values": 9, "agreement": 0.6, "within_label": 0.4},
]


def said(scores: list[dict[str, Any]], probes: list[dict[str, Any]]) -> str:
    return " ".join(verdict(["A note."], scores, probes, FOLLOWS, num_texts=100))


@pytest.mark.parametrize(
    ("own", "other", "words"),
    [(0.5, 0.4, "more than"), (0.4, 0.5, "less than"), (0.5, 0.49, "about as much as")],
)
def test_held_against_the_best_simple_method(own: float, other: float, words: str) -> None:
    text = said([score(DEFAULT_METHOD, own), score("NMF", 0.1), score("LSA", other)], [])
    assert text.startswith("A note.")
    assert f"NMI {own:.2f} ± 0.01 over 5 seeds; {words} the best simple method, LSA" in text
    assert "come out the same (adjusted Rand index 0.95)" in text
    assert "Clusters follow the book (0.60) more than the label (0.20)" in text


def test_without_labels_nothing_is_said_of_them() -> None:
    text = said([score(DEFAULT_METHOD, None, accuracy=None), score("NMF", None)], [])
    assert "labels" not in text and "simple method" not in text


def probe(name: str, accuracy: float) -> dict[str, Any]:
    return {
        "probe": "network", "input": name, "accuracy": accuracy, "held_out": "books",
        "majority_accuracy": 0.3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("codes", "terms", "words"),
    [
        (0.6, 0.9, "the codes lost some of what tells labels apart"),
        (0.9, 0.9, "the codes know labels that the clusters miss"),
        (0.5, 0.5, "by guessing the commonest)."),
    ],
)
def test_whether_the_code_lost_it_or_the_clusters_missed_it(
    codes: float, terms: float, words: str
) -> None:
    text = said([score(DEFAULT_METHOD, 0.5)], [probe("codes", codes), probe("terms", terms)])
    assert words in text and f"{codes:.0%} of held-out books' texts" in text


def test_more_clusters_than_labels_may_be_right() -> None:
    """Half of the texts are in surplus clusters, each of one label: nothing is missed."""
    finer = score(DEFAULT_METHOD, 0.7, num_clusters=6)
    text = said([finer], [probe("codes", 0.9), probe("terms", 0.9)])
    assert "which no method sees: NMI 0.70 ± 0.01 over 5 seeds" in text
    assert "right cluster" not in text and "clusters miss" not in text
    assert "90% of held-out books' texts theirs from the codes" in text


def test_one_cluster_is_neither_steady_nor_apart() -> None:
    alone = score(DEFAULT_METHOD, 0.0, num_clusters=1, stability=None, silhouette=0.0)
    text = said([alone], [])
    assert "another seed" not in text and "silhouette" not in text


def test_shares_of_labels_by_hand() -> None:
    rows = label_shares(np.array([0, 0, 0, 1, 1], dtype=np.int32), ["b", "a", "a", None, "a"])
    assert rows == [
        {"cluster": 0, "label": "a", "num_texts": 2, "share": pytest.approx(2 / 3)},
        {"cluster": 0, "label": "b", "num_texts": 1, "share": pytest.approx(1 / 3)},
        {"cluster": 1, "label": "a", "num_texts": 1, "share": 1.0},
    ]
