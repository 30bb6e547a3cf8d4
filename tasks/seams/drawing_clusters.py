"""Pictures of what the clusters hold: the labels in each, and each book's way through them."""

import textwrap
from collections.abc import Iterator
from itertools import groupby, pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from tasks.seams.drawing_map import GREY, INK, draw_legends, new_figure, png_bytes
from tasks.seams.map_points import (
    BookLine,
    Confusion,
    MapPoints,
    book_lines,
    cluster_name,
    colour,
    confusion,
    counted,
    is_light,
    shown_text,
)

MOST_BOOKS = 40
_SHARES = LinearSegmentedColormap.from_list("shares", ["#FFFFFF", "#0072B2"])
_NAME_CHARACTERS = 30
_FRAME_PIXELS = 190  # title, axis and their margins
_LEGEND_LINE_PIXELS, _LEGEND_FRAME_PIXELS = 30, 150
_MOST_LEGEND_PIXELS = 1500
_LEAST_HEIGHT_PIXELS = 600
_MOST_NUMBERED_CLUSTERS = 24  # more columns are too narrow for counts
_DARK_SHARE = 0.55  # letters on darker cells are white
_NUMBERED_SHARE = 0.035  # of a book; a cluster's number has no room on shorter stretches


def draw_confusion_png(points: MapPoints) -> bytes:
    """Draw how many texts of each label are in each cluster, and what share of the label.

    Returns:
        A PNG of MAP_WIDTH_PIXELS across, higher for more labels; the same for the same points.

    Raises:
        ValueError: the texts have no labels.
    """
    found = confusion(points)
    num_labels = len(found.labels)
    height = _height(points, num_labels * (70 if num_labels < 12 else 58))
    figure = new_figure(height)
    grid = figure.add_gridspec(1, 2, width_ratios=(2.7, 1))
    axes, side = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    axes.imshow(found.shares, cmap=_SHARES, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(np.arange(points.num_clusters), [str(k) for k in range(points.num_clusters)])
    for cluster, tick in enumerate(axes.get_xticklabels()):
        shade = colour(cluster)
        tick.set(fontweight="bold", fontsize=11, color=_letters_on(shade))
        tick.set_bbox({"boxstyle": "round,pad=0.25", "facecolor": shade, "edgecolor": "none"})
    sizes = found.counts_LK.sum(axis=1)
    axes.set_yticks(
        np.arange(num_labels),
        [
            f"{shown_text(label, _NAME_CHARACTERS)}  ({size})"
            for label, size in zip(found.labels, sizes, strict=True)
        ],
        fontsize=12,
        color=INK,
        parse_math=False,
    )
    axes.set_xticks(np.arange(points.num_clusters + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(num_labels + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=3)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    if points.num_clusters <= _MOST_NUMBERED_CLUSTERS:
        _write_cells(axes, found)
    axes.set_xlabel("cluster", fontsize=12, color=INK)
    axes.set_title(
        "Labels in clusters: texts, and share of the label",
        loc="left",
        fontsize=17,
        color=INK,
        pad=14,
    )
    _draw_side(side, points, height)
    return png_bytes(figure)


def _write_cells(axes: Axes, found: Confusion) -> None:
    num_labels, num_clusters = found.counts_LK.shape
    font_points = 12 if num_clusters <= 10 else 9
    has_shares = num_labels <= 20 and num_clusters <= 12
    for (row, column), count in np.ndenumerate(found.counts_LK):
        if count:
            share = float(found.shares[row, column])
            text = f"{count}\n{share:.0%}" if has_shares else f"{count}"
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=font_points,
                linespacing=1.1,
                color="white" if share > _DARK_SHARE else INK,
            )


def draw_book_lines_png(points: MapPoints) -> bytes:
    """Draw each book as a strip from its start to its end, coloured by the texts' clusters.

    Of more than MOST_BOOKS books the first are drawn; a line says how many are left out.

    Returns:
        A PNG of MAP_WIDTH_PIXELS across, higher for more books; the same for the same points.
    """
    lines = book_lines(points)
    shown = lines[:MOST_BOOKS]
    height = _height(points, 40 * len(shown))
    figure = new_figure(height)
    grid = figure.add_gridspec(1, 2, width_ratios=(2.7, 1))
    axes, side = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    for row, line in enumerate(shown):
        spans = [(left, right - left) for left, right in pairwise(line.borders)]
        axes.broken_barh(
            spans,
            (row - 0.38, 0.76),
            facecolors=[colour(int(points.clusters[text])) for text in line.texts],
            edgecolors="white",
            linewidths=0.6 if len(spans) <= 80 else 0,
        )
        for cluster, middle in _numbers(points, line):
            axes.text(
                middle,
                row,
                str(cluster),
                ha="center",
                va="center_baseline",
                fontsize=9,
                fontweight="bold",
                color=_letters_on(colour(cluster)),
            )
    axes.set_yticks(
        range(len(shown)),
        [
            ("★ " if line.is_placed else "") + shown_text(line.title, _NAME_CHARACTERS)
            for line in shown
        ],
        fontsize=11,
        color=INK,
        parse_math=False,
    )
    num_rows = max(len(shown), (height - _FRAME_PIXELS) // 60)  # a few books are no thick bars
    axes.set_ylim(num_rows - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["start of the book", "middle", "end"], fontsize=11, color=INK)
    axes.get_xticklabels()[0].set_horizontalalignment("left")
    axes.get_xticklabels()[-1].set_horizontalalignment("right")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if left_out := len(lines) - len(shown):
        axes.set_xlabel(f"and {counted(left_out, 'more book')}", loc="left", color=GREY)
    title = "Each book's way through the clusters"
    axes.set_title(title, loc="left", fontsize=17, color=INK, pad=14)
    _draw_side(side, points, height)
    return png_bytes(figure)


def _numbers(points: MapPoints, line: BookLine) -> Iterator[tuple[int, float]]:
    """The cluster's number for each long stretch of one cluster, amid its longest text."""
    for cluster, stretch in groupby(
        range(len(line.texts)), lambda index: int(points.clusters[line.texts[index]])
    ):
        spans = [line.borders[index : index + 2] for index in stretch]
        if spans[-1][1] - spans[0][0] >= _NUMBERED_SHARE:
            left, right = max(spans, key=lambda span: span[1] - span[0])
            yield cluster, (left + right) / 2


def _letters_on(shade: str) -> str:
    return INK if is_light(shade) else "white"


def _height(points: MapPoints, rows_pixels: int) -> int:
    """So high that the rows have room, and the legend too unless that makes an endless picture."""
    lines = (
        1 + len(textwrap.wrap(cluster_name(points, k), 24)) for k in range(points.num_clusters)
    )
    legend_pixels = min(
        _LEGEND_FRAME_PIXELS + _LEGEND_LINE_PIXELS * sum(lines), _MOST_LEGEND_PIXELS
    )
    return max(_FRAME_PIXELS + rows_pixels, legend_pixels, _LEAST_HEIGHT_PIXELS)


def _draw_side(side: Axes, points: MapPoints, height_pixels: int) -> None:
    draw_legends(
        side, points, "", [], (height_pixels - _LEGEND_FRAME_PIXELS) // _LEGEND_LINE_PIXELS
    )
