"""The map of the texts, as a picture and as a page that answers the mouse."""

import html
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

MAP_WIDTH_PIXELS, MAP_HEIGHT_PIXELS = 1800, 1200
_DPI = 150
_INK = "#333333"

# Okabe and Ito's "Color universal design" (2008) without its faint yellow and its black, then
# Paul Tol's muted colours. Readers who tell few colours apart have the numbers on the map.
PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#332288",
    "#999933",
    "#882255",
    "#777777",
)
_MARKERS = "o^sDvPXp*h"
_SHOWN_TERMS = 4
_LEGEND_LINES = 28  # as many fit beside the map at full size; more are drawn smaller
_HOVER_CHARACTERS = 60
_QUOTATION_CHARACTERS = 180


@dataclass(frozen=True)
class MapPoints:
    """N texts on a plane, clusters numbered from 0. All sequences but the last are N long.

    labels: what is known of each text, its genre for example; None where nothing is.
    titles, headings, quotations: the book, the section in it, and the text's first words.
    cluster_terms: for each cluster, the terms that mark it, best first.
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    clusters: npt.NDArray[np.int32]
    labels: Sequence[str] | None
    titles: Sequence[str]
    headings: Sequence[str]
    quotations: Sequence[str]
    cluster_terms: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        columns = [self.x, self.y, self.clusters, self.titles, self.headings, self.quotations]
        lengths = {len(column) for column in columns}
        if self.labels is not None:
            lengths.add(len(self.labels))
        if len(lengths) > 1 or lengths == {0}:
            raise ValueError(f"a map needs columns of one length above 0, not {sorted(lengths)}")
        if not 0 <= self.clusters.min() <= self.clusters.max() < len(self.cluster_terms):
            raise ValueError(f"there are terms for {len(self.cluster_terms)} clusters only")


def draw_map_png(points: MapPoints) -> bytes:
    """Draw the texts, coloured by cluster and shaped by label, beside each cluster's terms.

    Returns:
        A PNG of MAP_WIDTH_PIXELS × MAP_HEIGHT_PIXELS; the same bytes for the same points.
    """
    size = (MAP_WIDTH_PIXELS / _DPI, MAP_HEIGHT_PIXELS / _DPI)
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white", layout="constrained")
    grid = figure.add_gridspec(1, 2, width_ratios=(3.1, 1))
    axes, side = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    side.axis("off")
    label_N = np.array(points.labels) if points.labels is not None else np.full(len(points.x), "")
    labels = np.unique(label_N)
    for cluster in range(len(points.cluster_terms)):
        for label, marker in zip(labels, cycle(_MARKERS), strict=False):
            chosen_N = (points.clusters == cluster) & (label_N == label)
            axes.scatter(
                points.x[chosen_N],
                points.y[chosen_N],
                s=38,
                marker=marker,
                color=_colour(cluster),
                alpha=0.8,
                edgecolors="white",
                linewidths=0.5,
            )
        _draw_number(axes, points, cluster)
    axes.set_title(_heading(points), loc="left", fontsize=17, color=_INK, pad=14)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set_color("#CCCCCC")

    cluster_entries = [
        (
            "o",
            _colour(cluster),
            "\n".join(
                (
                    textwrap.fill(_cluster_name(points, cluster), 24),
                    _count(points.clusters == cluster),
                )
            ),
        )
        for cluster in range(len(points.cluster_terms))
    ]
    label_entries = [
        (marker, "#777777", f"{np.sum(label_N == label)} {label}")
        for label, marker in zip(labels, cycle(_MARKERS), strict=False)
    ]
    if points.labels is None:
        label_entries = []
    num_lines = sum(1 + text.count("\n") for *_, text in cluster_entries + label_entries)
    font_points = min(12.0, 12 * _LEGEND_LINES / num_lines)
    _draw_legend(side, "upper left", "Clusters and their terms", cluster_entries, font_points)
    if label_entries:
        _draw_legend(side, "lower left", "Labels, by shape", label_entries, font_points)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
    return png.getvalue()


def _draw_number(axes: Axes, points: MapPoints, cluster: int) -> None:
    """Put the cluster's number at its median, which strays less than the mean."""
    of_cluster_N = points.clusters == cluster
    if of_cluster_N.any():
        axes.text(
            float(np.median(points.x[of_cluster_N])),
            float(np.median(points.y[of_cluster_N])),
            str(cluster),
            fontsize=14,
            fontweight="bold",
            color=_INK,
            ha="center",
            va="center",
            bbox={
                "boxstyle": "circle,pad=0.25",
                "facecolor": "white",
                "edgecolor": _colour(cluster),
                "linewidth": 2.5,
            },
        )


def _draw_legend(
    side: Axes,
    place: Literal["upper left", "lower left"],
    title: str,
    entries: Sequence[tuple[str, str, str]],
    font_points: float,
) -> None:
    legend = Legend(
        side,
        [
            Line2D([], [], marker=marker, color=colour, markersize=10, linestyle="none")
            for marker, colour, _ in entries
        ],
        [text for *_, text in entries],
        title=title,
        loc=place,
        frameon=False,
        fontsize=font_points,
        title_fontproperties={"size": 13, "weight": "bold"},
        alignment="left",
        labelcolor=_INK,
        borderaxespad=0,
        handletextpad=0.4,
        labelspacing=0.8,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a book's dollars are no formula
    side.add_artist(legend)


def draw_map_html(points: MapPoints) -> str:
    """Draw the same map as one page that needs no network and names each text under the mouse.

    Buttons colour it by cluster or, where there are labels, by label. All text from books is
    escaped, since plotly reads tags in what it shows. The same page for the same points.
    """
    by_cluster = [
        _trace(points, points.clusters == cluster, _colour(cluster), _cluster_name(points, cluster))
        for cluster in range(len(points.cluster_terms))
    ]
    label_N = np.array([] if points.labels is None else points.labels)
    by_label = [
        _trace(points, label_N == label, _colour(index), str(label))
        for index, label in enumerate(np.unique(label_N))
    ]
    for trace in by_label:
        trace.visible = False
    buttons = [
        {
            "label": f"Colour by {name}",
            "method": "restyle",
            "args": ["visible", [shown] * len(by_cluster) + [not shown] * len(by_label)],
        }
        for name, shown in (("cluster", True), ("label", False))
    ]
    menu = {"type": "buttons", "direction": "right", "buttons": buttons}
    place = {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
    figure = go.Figure(by_cluster + by_label)
    figure.update_layout(
        template="plotly_white",
        title={"text": _heading(points), "font": {"size": 22}, "x": 0.02},
        font={"size": 15, "color": _INK},
        hoverlabel={"align": "left", "font": {"size": 14}, "bgcolor": "white"},
        legend={"itemsizing": "constant"},
        margin={"l": 30, "r": 30, "t": 110, "b": 30},
        updatemenus=[menu | place] if by_label else [],
    )
    figure.update_xaxes(showticklabels=False, zeroline=False)
    figure.update_yaxes(showticklabels=False, zeroline=False, scaleanchor="x")
    page = figure.to_html(
        include_plotlyjs=True,
        div_id="map",  # plotly's own would be random
        default_height="100vh",
        config={"displaylogo": False, "responsive": True, "scrollZoom": True},
    )
    assert isinstance(page, str)
    return page


def _trace(
    points: MapPoints, chosen_N: npt.NDArray[np.bool_], colour: str, name: str
) -> go.Scatter:
    chosen = np.flatnonzero(chosen_N).tolist()
    return go.Scatter(
        x=points.x[chosen],
        y=points.y[chosen],
        mode="markers",
        name="<br>".join(map(_escape, (*textwrap.wrap(name, 36), _count(chosen_N)))),
        marker={
            "color": colour,
            "size": 9,
            "opacity": 0.8,
            "line": {"color": "white", "width": 0.6},
        },
        text=[_hover(points, text) for text in chosen],
        hovertemplate="%{text}<extra></extra>",
    )


def _hover(points: MapPoints, text: int) -> str:
    facts = [_cluster_name(points, int(points.clusters[text]))]
    if points.labels is not None:
        facts.append(points.labels[text])
    quotation = textwrap.shorten(points.quotations[text], _QUOTATION_CHARACTERS, placeholder=" …")
    return "<br>".join(
        (
            f"<b>{_escape(points.titles[text])}</b>",
            *map(_escape, textwrap.wrap(points.headings[text], _HOVER_CHARACTERS)),
            *(f"<i>{_escape(line)}</i>" for line in textwrap.wrap(quotation, _HOVER_CHARACTERS)),
            *map(_escape, facts),
        )
    )


def _escape(text: str) -> str:
    return html.escape(text, quote=False)  # plotly knows no entity for quotation marks


def _heading(points: MapPoints) -> str:
    return f"{len(points.x)} texts in {len(points.cluster_terms)} clusters"


def _cluster_name(points: MapPoints, cluster: int) -> str:
    return f"{cluster}: {', '.join(points.cluster_terms[cluster][:_SHOWN_TERMS])}"


def _count(chosen_N: npt.NDArray[np.bool_]) -> str:
    number = int(np.count_nonzero(chosen_N))
    return f"{number} text" if number == 1 else f"{number} texts"


def _colour(index: int) -> str:
    return PALETTE[index % len(PALETTE)]
