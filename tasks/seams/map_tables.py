"""The tables of a map, read for whoever draws it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from data.book_schemas import BOOKS, SECTIONS
from data.text_schemas import (
    CLUSTER_CONFOUNDS,
    CLUSTER_NOTES,
    CLUSTER_PROBES,
    CLUSTER_SCORES,
    CLUSTER_TERMS,
    CLUSTER_TEXTS,
    TEXT_CODES,
    TEXT_FEATURES,
)
from tasks.seams.map_points import MapPoints
from tasks.seams.map_verdict import verdict
from tasks.seams.text_names import titles_and_headings

MAP_TABLES = (
    BOOKS,
    SECTIONS,
    TEXT_FEATURES,
    TEXT_CODES,
    CLUSTER_NOTES,
    CLUSTER_TERMS,
    CLUSTER_TEXTS,
    CLUSTER_SCORES,
    CLUSTER_PROBES,
    CLUSTER_CONFOUNDS,
)
Read = Callable[..., pa.Table]
"""A table, or the columns of it that are listed."""


def read_map_points(read: Read) -> MapPoints:
    """Everything that the pictures show, from the tables that `read` reads."""
    names = ["book_id", "section_index", "char_end", "place", "label", "quotation"]
    texts = read(TEXT_FEATURES, names)
    codes = read(TEXT_CODES)
    labels = texts["label"].to_pylist()
    terms_of = _by_cluster(read(CLUSTER_TERMS), "term")
    num_clusters = int(np.max(codes["cluster"].to_numpy())) + 1
    shown = read(CLUSTER_TEXTS)
    titles, headings = titles_and_headings(
        read(BOOKS, ["book_id", "title"]),
        read(SECTIONS, ["book_id", "section_index", "heading", "char_end"]),
        texts,
    )
    return MapPoints(
        x=codes["map_x"].to_numpy(),
        y=codes["map_y"].to_numpy(),
        clusters=codes["cluster"].to_numpy(),
        labels=[label or "no label" for label in labels] if any(labels) else None,
        titles=titles,
        headings=headings,
        quotations=texts["quotation"].to_pylist(),
        book_ids=texts["book_id"].to_pylist(),
        places=texts["place"].to_numpy(),
        memberships=codes["membership"].to_numpy(),
        errors=codes["reconstruction_error"].to_numpy(),
        strange_terms=codes["strange_terms"].to_pylist(),
        cluster_terms=[terms_of[number] for number in range(num_clusters)],
        typical=_shown(shown, "typical", num_clusters),
        edge=_shown(shown, "edge", num_clusters),
        verdict=verdict(
            [row["note"] for row in read(CLUSTER_NOTES).to_pylist()],
            read(CLUSTER_SCORES).to_pylist(),
            read(CLUSTER_PROBES).to_pylist(),
            read(CLUSTER_CONFOUNDS).to_pylist(),
            num_texts=texts.num_rows,
        ),
        placed=None,
    )


def _by_cluster(rows: pa.Table, column: str) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows.to_pylist():
        found[row["cluster"]].append(row[column])
    return found


def _shown(rows: pa.Table, kind: str, num_clusters: int) -> Sequence[Sequence[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for row in rows.to_pylist():
        if row["kind"] == kind:
            found[row["cluster"]].append(row["text_id"])
    return [found[number] for number in range(num_clusters)]
