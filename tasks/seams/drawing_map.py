"""The map of the texts as a picture."""

import io
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from tasks.seams.map_points import (
    MapPoints,
    cluster_name,
    colour,
    counted,
    map_heading,
    shown_text,
    star_names,
)

MAP_WIDTH_PIXELS, MAP_HEIGHT_PIXELS = 1800, 1200
DPI = 150
INK = "#333333"
GREY = "#777777"
_MARKERS, _OTHERS = "o^sDvPXp*h", "."
_FEW_TEXTS = 3
_LEGEND_CHARACTERS, _LEGEND_TITLE_LINES, _LEGEND_GAP_LINES = 24, 3, 2 / 3
_LEGEND_LINES = 36  # as many fit beside the map at full size; more are drawn smaller
_MOST_STAR_NAMES = 12
_STAR_NAME_CHARACTERS = 28

Entry = tuple[str, str, str]
"""A marker, its colour, and what it stands for."""


def draw_map_png(points: MapPoints) -> bytes:
    """Draw the texts, coloured by cluster and shaped by label, beside each cluster's terms.

    Texts that were placed later are stars on top, their books named.

    Returns:
        A PNG of MAP_WIDTH_PIXELS × MAP_HEIGHT_PIXELS; the same bytes for the same points.
    """
    figure = new_figure(MAP_HEIGHT_PIXELS)
    grid = figure.add_gridspec(1, 2, width_ratios=(3.1, 1))
    axes, side = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    label_N = np.array(points.labels) if points.labels is not None else np.full(len(points), "")
    shape_of = _shapes(label_N[~points.was_placed].tolist())
    for cluster in range(points.num_clusters):
        for label, marker in shape_of.items():
            chosen_N = (points.clusters == cluster) & (label_N == label) & ~points.was_placed
            if chosen_N.any():
                axes.scatter(
                    points.x[chosen_N],
                    points.y[chosen_N],
                    s=38,
                    marker=marker,
                    color=colour(cluster),
                    alpha=0.8,
                    edgecolors="white",
                    linewidths=0.5,
                )
    for cluster in range(points.num_clusters):
        _draw_number(axes, points, cluster)
    _draw_stars(axes, points)
    axes.set_title(map_heading(points), loc="left", fontsize=17, color=INK, pad=14)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set_color("#CCCCCC")

    label_entries: list[Entry] = []
    if points.labels is not None:
        label_entries = [
            (
                marker,
                GREY,
                f"{np.sum((label_N == label) & ~points.was_placed)} {shown_text(label, 24)}",
            )
            for label, marker in shape_of.items()
            if marker != _OTHERS
        ]
    if num_others := list(shape_of.values()).count(_OTHERS):
        label_entries.append((_OTHERS, GREY, counted(num_others, "other label")))
    if num_placed := int(points.was_placed.sum()):
        label_entries.append(("*", INK, f"{counted(num_placed, 'text')} placed later"))
    draw_legends(side, points, "Labels, by shape", label_entries, _LEGEND_LINES)
    return png_bytes(figure)


def _shapes(labels: Sequence[str]) -> dict[str, str]:
    """A marker for each of the commonest labels; the others share one."""
    counts = Counter(labels)
    commonest = sorted(counts, key=lambda label: (-counts[label], label))[: len(_MARKERS)]
    shape_of = dict(zip(sorted(commonest), _MARKERS, strict=False))
    return {label: shape_of.get(label, _OTHERS) for label in sorted(counts)}


def _draw_number(axes: Axes, points: MapPoints, cluster: int) -> None:
    """Put the cluster's number at its median, which strays less than the mean; above it where the
    number would hide the texts themselves.
    """
    of_cluster_N = points.clusters == cluster
    if of_cluster_N.any():
        middle = float(np.median(points.x[of_cluster_N])), float(np.median(points.y[of_cluster_N]))
        axes.annotate(
            str(cluster),
            middle,
            (0, 0 if np.count_nonzero(of_cluster_N) > _FEW_TEXTS else 22),
            textcoords="offset points",
            fontsize=14,
            fontweight="bold",
            color=INK,
            ha="center",
            va="center",
            bbox={
                "boxstyle": "circle,pad=0.25",
                "facecolor": "white",
                "edgecolor": colour(cluster),
                "linewidth": 2.5,
            },
            zorder=5,
        )


def _draw_stars(axes: Axes, points: MapPoints) -> None:
    placed = np.flatnonzero(points.was_placed)
    axes.scatter(
        points.x[placed],
        points.y[placed],
        s=230,
        marker="*",
        c=[colour(int(cluster)) for cluster in points.clusters[placed]],
        edgecolors=INK,
        linewidths=1.0,
        zorder=4,
    )
    _name_stars(axes, points)


def _name_stars(axes: Axes, points: MapPoints) -> None:
    for name in star_names(points, _MOST_STAR_NAMES):
        axes.annotate(
            shown_text(points.titles[name.text], _STAR_NAME_CHARACTERS),
            (float(points.x[name.text]), float(points.y[name.text])),
            xytext=(name.x, name.y),
            ha="right" if name.is_left else "left",
            va="center",
            fontsize=11,
            color=INK,
            bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": GREY},
            arrowprops={"arrowstyle": "-", "color": INK, "shrinkB": 4},
            zorder=6,
        ).set_parse_math(False)


def new_figure(height_pixels: int) -> Figure:
    """An empty picture of MAP_WIDTH_PIXELS by so many."""
    size = (MAP_WIDTH_PIXELS / DPI, height_pixels / DPI)
    return Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")


def png_bytes(figure: Figure) -> bytes:
    """The picture as a PNG without what would differ from one machine's library to the next."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return png.getvalue()


def draw_legends(
    side: Axes, points: MapPoints, title: str, entries: Sequence[Entry], num_lines: int
) -> None:
    """Name the clusters at the top and what else there is at the bottom, in so many lines' room."""
    side.axis("off")
    sizes = points.cluster_sizes.tolist()
    names = [cluster_name(points, cluster) for cluster in range(points.num_clusters)]
    font_points, wrapped = 0.0, names
    for width in (_LEGEND_CHARACTERS, 36, 48):  # smaller letters have room for longer lines
        tried = [
            "\n".join((textwrap.fill(name, width), counted(size, "text")))
            for name, size in zip(names, sizes, strict=True)
        ]
        texts = [*tried, *(text for *_, text in entries)]
        lines = sum(1 + _LEGEND_GAP_LINES + text.count("\n") for text in texts)
        lines += _LEGEND_TITLE_LINES if entries else 0
        fitting = 12 * min(1.0, num_lines / lines, _LEGEND_CHARACTERS / width)
        if fitting > font_points:
            font_points, wrapped = fitting, tried
    clusters = [("o", colour(cluster), text) for cluster, text in enumerate(wrapped)]
    _draw_legend(side, "upper left", "Clusters and their terms", clusters, font_points)
    if entries:
        _draw_legend(side, "lower left", title, entries, font_points)


def _draw_legend(
    side: Axes,
    place: Literal["upper left", "lower left"],
    title: str,
    entries: Sequence[Entry],
    font_points: float,
) -> None:
    legend = Legend(
        side,
        [
            Line2D(
                [],
                [],
                marker=marker,
                color=shade,
                markersize=min(10.0, font_points),
                linestyle="none",
            )
            for marker, shade, _ in entries
        ],
        [text for *_, text in entries],
        title=title,
        loc=place,
        frameon=False,
        fontsize=font_points,
        title_fontproperties={"size": 13, "weight": "bold"},
        alignment="left",
        labelcolor=INK,
        borderaxespad=0,
        handletextpad=0.4,
        labelspacing=0.8,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a book's dollars are no formula
    side.add_artist(legend)
