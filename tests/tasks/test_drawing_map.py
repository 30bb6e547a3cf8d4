"""The map as a picture and as a page."""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest

from tasks.seams.drawing_map import (
    MAP_HEIGHT_PIXELS,
    MAP_WIDTH_PIXELS,
    PALETTE,
    MapPoints,
    draw_map_html,
    draw_map_png,
)

HOSTILE = "<script>alert(1)</script>"


def points(labels: Sequence[str] | None = ("comedy", "_odd_", "comedy", "roman")) -> MapPoints:
    return MapPoints(
        x=np.array([0, 1, 2, 3], dtype=np.float32),
        y=np.array([0, 3, 1, 2], dtype=np.float32),
        clusters=np.array([0, 1, 0, 2], dtype=np.int32),
        labels=labels,
        titles=["Hamlet", HOSTILE, "Othello", "R&D"],
        headings=["ACT I", "ACT II", "", "ACT $x_1$ <b>"],
        quotations=["Who's there?", "word " * 200, "two\nlines", "%{x} $5 and $6"],
        cluster_terms=[["king", "crown"], ["_sea_", "$ship$"], []],
    )


def test_a_picture_of_the_declared_size_with_the_clusters_colours() -> None:
    png = draw_map_png(points())
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png == draw_map_png(points())
    picture = np.round(matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).astype(int)
    assert picture.shape == (MAP_HEIGHT_PIXELS, MAP_WIDTH_PIXELS, 3)
    for colour, shown in zip(PALETTE[:4], (True, True, True, False), strict=True):
        rgb = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        assert bool((picture == rgb).all(axis=-1).any()) == shown


def test_more_clusters_and_labels_than_colours_and_shapes() -> None:
    number = 25
    many = MapPoints(
        x=np.arange(number, dtype=np.float32),
        y=np.zeros(number, dtype=np.float32),
        clusters=np.arange(number, dtype=np.int32),
        labels=[f"label {index}" for index in range(number)],
        titles=["t"] * number,
        headings=["h"] * number,
        quotations=["q"] * number,
        cluster_terms=[["term"]] * number,
    )
    assert draw_map_png(many) != draw_map_png(replace(many, labels=None))


class Tags(HTMLParser):
    """Every tag and attribute that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= dict(attrs)


def figure_data(page: str) -> list[dict[str, object]]:
    """The traces that the page hands to plotly."""
    start = page.rindex("Plotly.newPlot(")
    decoder = json.JSONDecoder()
    traces, _ = decoder.raw_decode(page, page.index("[", start))
    assert isinstance(traces, list)
    return traces


def test_a_page_is_one_file_and_the_same_for_the_same_points() -> None:
    page = draw_map_html(points())
    assert page == draw_map_html(points())
    seen = Tags()
    seen.feed(page)
    assert {"src", "href"}.isdisjoint(seen.attributes)
    assert "link" not in seen.tags
    assert not re.search(r"<script[^>]+src", page)


def test_text_from_books_is_escaped_for_page_and_plotly() -> None:
    page = draw_map_html(points())
    assert HOSTILE not in page
    hovers = "\n".join(text for trace in figure_data(page) for text in trace["text"])
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in hovers
    assert "R&amp;D" in hovers
    assert set(re.findall(r"<[^>]*>", hovers)) == {"<b>", "</b>", "<br>", "<i>", "</i>"}


def test_a_hover_names_the_text_and_quotes_its_first_words() -> None:
    first = figure_data(draw_map_html(points()))[0]
    assert first["name"] == "0: king, crown<br>2 texts"
    assert first["text"] == [
        "<b>Hamlet</b><br>ACT I<br><i>Who's there?</i><br>0: king, crown<br>comedy",
        "<b>Othello</b><br><i>two lines</i><br>0: king, crown<br>comedy",
    ]


def test_labels_have_traces_and_a_button_where_there_are_labels() -> None:
    with_labels, without = draw_map_html(points()), draw_map_html(points(labels=None))
    assert [trace["name"] for trace in figure_data(with_labels)[3:]] == [
        "_odd_<br>1 text",
        "comedy<br>2 texts",
        "roman<br>1 text",
    ]
    assert [trace.get("visible", True) for trace in figure_data(with_labels)] == [True] * 3 + [
        False
    ] * 3
    assert "Colour by label" in with_labels
    assert len(figure_data(without)) == 3
    assert "Colour by label" not in without


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"titles": ["one"]}, r"columns of one length above 0, not \[1, 4\]"),
        ({"labels": []}, r"columns of one length above 0, not \[0, 4\]"),
        ({"cluster_terms": [["king"]]}, "terms for 1 clusters only"),
    ],
)
def test_columns_that_do_not_fit(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(points(), **change)
