"""A small map, with text as hostile as a book's may be."""

from collections.abc import Sequence

import numpy as np

from tasks.seams.map_points import MapPoints

HOSTILE = "<script>alert(1)</script>"
FOUR_LABELS = ("comedy", "_odd_", "comedy", "roman")


def points(labels: Sequence[str] | None = FOUR_LABELS) -> MapPoints:
    """Four texts of three books in three clusters."""
    return MapPoints(
        x=np.array([0, 1, 2, 3], dtype=np.float32),
        y=np.array([0, 3, 1, 2], dtype=np.float32),
        clusters=np.array([0, 1, 0, 2], dtype=np.int32),
        labels=labels,
        titles=["Hamlet", HOSTILE, "Hamlet", "R&D"],
        headings=["ACT I", "ACT II", "", "ACT $x_1$ <b>"],
        quotations=["Who's there?", "word " * 200, "two\nlines\u2028\x00", "%{x} $5 </script>"],
        book_ids=["h", "s", "h", "r"],
        places=np.array([0.2, 0.5, 0.8, 0.5], dtype=np.float32),
        memberships=np.array([0.9, 0.5, 0.4, 1], dtype=np.float32),
        errors=np.array([0.1, 0.9, 0.3, 0.2], dtype=np.float32),
        strange_terms=[["crow"], ["<img src=x onerror=alert(2)>", "auk"], [], ["daw"]],
        cluster_terms=[["king", "crown"], ["_sea_", "$ship$"], ["</style>"]],
        typical=[[0, 2], [1], [3]],
        edge=[[2], [], []],
        verdict=["The clusters follow <i>nothing</i>."],
    )
