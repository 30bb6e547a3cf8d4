"""Typical and edge texts on a line, where everybody sees which they are."""

import numpy as np
import pytest

from models.cluster_texts import ShownText, cluster_centres, shown_texts

#      cluster 0:  0 1 2 6      cluster 1:  9 10 11
CODES_NC = np.array([[0], [1], [2], [6], [9], [10], [11]], dtype=np.float32)
CLUSTER_N = np.array([0, 0, 0, 0, 1, 1, 1], dtype=np.int32)


def test_centres_by_hand() -> None:
    assert cluster_centres(CODES_NC, CLUSTER_N).tolist() == [[2.25], [10.0]]


def test_typical_and_edge_by_hand() -> None:
    """6 lies 3.75 from its own centre and 4 from the other's; 9 lies 1 and 6.75 from them."""
    assert shown_texts(CODES_NC, CLUSTER_N, 1) == [
        ShownText(0, "typical", 0, 2),
        ShownText(0, "edge", 0, 3),
        ShownText(1, "typical", 0, 5),
        ShownText(1, "edge", 0, 4),
    ]


def test_small_clusters_show_what_they_have() -> None:
    kinds = [(one.cluster, one.kind, one.text) for one in shown_texts(CODES_NC, CLUSTER_N, 3)]
    assert [text for cluster, kind, text in kinds if (cluster, kind) == (0, "edge")] == [3]
    assert [text for cluster, kind, text in kinds if (cluster, kind) == (1, "edge")] == []


def test_one_cluster_has_no_edge() -> None:
    alone = shown_texts(CODES_NC, np.zeros(7, dtype=np.int32), 2)
    assert [(one.kind, one.text) for one in alone] == [("typical", 3), ("typical", 4)]


def test_none_is_no_number_of_texts() -> None:
    with pytest.raises(ValueError, match="top_n is 0"):
        shown_texts(CODES_NC, CLUSTER_N, 0)
