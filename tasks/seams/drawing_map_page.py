"""The map of the texts as one page that answers mouse, keyboard and search without a network."""

import json
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

from tasks.seams.map_points import (
    MapPoints,
    book_lines,
    cluster_name,
    colour,
    confusion,
    is_light,
    map_heading,
    shown_text,
    star_names,
)

_PAGE = Path(__file__).parent / "map_page.html"
_STYLE = Path(__file__).parent / "map_page.css"
_SCRIPT = Path(__file__).parent / "map_page.js"
PAGE_FILES = (_PAGE, _STYLE, _SCRIPT)
_NUM_STRANGERS = 12
_MOST_STAR_NAMES = 20
_QUOTATION_CHARACTERS = 300
# A script element ends at the first "</script", whatever it stands in.
_IN_SCRIPT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def draw_map_html(points: MapPoints) -> str:
    """Draw the map, its clusters, their labels, the books' ways and the strangers as one page.

    The page holds all it needs, and its content security policy forbids it to fetch anything.
    Text from books is in it only as escaped JSON, which its script shows as text, never as markup.
    The same page for the same points.
    """
    data = json.dumps(_page_data(points), allow_nan=False, separators=(",", ":"))
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        style=_STYLE.read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
        data=data.translate(_IN_SCRIPT),
        script=_SCRIPT.read_text(encoding="utf-8"),
    )


def _page_data(points: MapPoints) -> dict[str, Any]:
    lines = book_lines(points)
    book_of = {text: book for book, line in enumerate(lines) for text in line.texts}
    labels = [] if points.labels is None else sorted(set(points.labels))
    place_of = {label: place for place, label in enumerate(labels)}
    label_of = None if points.labels is None else [place_of[label] for label in points.labels]
    strangers = np.argsort(-points.errors, kind="stable")[:_NUM_STRANGERS]
    return {
        "heading": map_heading(points),
        "verdict": [shown_text(sentence) for sentence in points.verdict],
        "x": _rounded(points.x),
        "y": _rounded(points.y),
        "cluster": points.clusters.tolist(),
        "label": label_of,
        "book": [book_of[text] for text in range(len(points))],
        "heading_of": [shown_text(heading) for heading in points.headings],
        "quotation": [shown_text(text, _QUOTATION_CHARACTERS) for text in points.quotations],
        "membership": _rounded(points.memberships),
        "error": _rounded(points.errors),
        "strange": [[shown_text(term) for term in terms] for terms in points.strange_terms],
        "placed": np.flatnonzero(points.was_placed).tolist(),
        "star_names": [asdict(name) for name in star_names(points, _MOST_STAR_NAMES)],
        "clusters": [_cluster(points, cluster) for cluster in range(points.num_clusters)],
        "labels": _groups([shown_text(label) for label in labels]),
        "books": [
            group
            | {"texts": line.texts, "borders": _rounded(line.borders), "placed": line.is_placed}
            for line, group in zip(
                lines, _groups([shown_text(line.title) for line in lines]), strict=True
            )
        ],
        "confusion": _confusion(points),
        "strangers": strangers.tolist(),
    }


def _cluster(points: MapPoints, cluster: int) -> dict[str, Any]:
    of_cluster_N = points.clusters == cluster
    middle = None
    if of_cluster_N.any():
        middle = _rounded([np.median(points.x[of_cluster_N]), np.median(points.y[of_cluster_N])])
    shade = colour(cluster)
    return {
        "name": cluster_name(points, cluster),
        "colour": shade,
        "light": is_light(shade),
        "middle": middle,
        "terms": [shown_text(term) for term in points.cluster_terms[cluster]],
        "typical": list(points.typical[cluster]),
        "edge": list(points.edge[cluster]),
    }


def _groups(names: list[str]) -> list[dict[str, Any]]:
    return [{"name": name, "colour": colour(place)} for place, name in enumerate(names)]


def _confusion(points: MapPoints) -> dict[str, Any] | None:
    if points.labels is None:
        return None
    found = confusion(points)
    labels = [shown_text(label) for label in found.labels]
    return {"labels": labels, "counts": found.counts_LK.tolist()}


def _rounded(numbers: Any) -> list[float]:
    """Six digits are more than a screen shows."""
    return [float(f"{float(number):.6g}") for number in numbers]
