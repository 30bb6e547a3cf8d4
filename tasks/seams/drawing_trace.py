"""What a language model carries along a text, as a picture."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

TRACE_WIDTH_PIXELS, TRACE_HEIGHT_PIXELS = 1800, 1350
MOST_TOKENS = 60
MOST_UNITS = 40
_DPI = 150
_INK, _FAINT, _GRID = "#333333", "#888888", "#E5E5E5"
_SURPRISE, _CHANGE = "#D55E00", "#0072B2"
_MEMORY = LinearSegmentedColormap.from_list("memory", ["#0072B2", "#FFFFFF", "#D55E00"])
_LONGEST_LABEL = 13  # characters; longer tokens are cut
_LYING_UP_TO = 14  # so many tokens have room for words that lie flat
_SETTLING_TOKENS = 8  # at most; cells that only leave zero and then stay tell little
_LEAST_SPREAD = 0.25  # of the widest: others would fill the map with one colour
_SPECIAL = ("_start_", "_end_", "_unknown_")


@dataclass(frozen=True)
class TracedText:
    """T tokens as a model read them, with L layers of H memory cells.

    The first token is the opening, which nothing predicted: None in the three columns of what was.
    expected: the token that was most probable where the token came.
    cells_TLH: the memory cells after each token.
    """

    tokens: Sequence[str]
    log_probability_nats: Sequence[float | None]
    entropy_nats: Sequence[float | None]
    expected: Sequence[str | None]
    cells_TLH: npt.NDArray[np.float32]
    state_changes: Sequence[float]

    def __post_init__(self) -> None:
        columns = (self.log_probability_nats, self.entropy_nats, self.expected, self.state_changes)
        lengths = {len(self.tokens), len(self.cells_TLH), *map(len, columns)}
        if len(lengths) > 1 or lengths == {0}:
            raise ValueError(f"a trace needs columns of one length above 0, not {sorted(lengths)}")


def draw_trace_png(text: TracedText) -> bytes:
    """Draw surprise, memory and the state's change, token by token.

    From the top: each token's surprise beside the one expected, and the token that was expected
    instead; up to MOST_UNITS memory cells that vary most, those that go together
    beside each other; how far each token moved the state. Of a long text, the first MOST_TOKENS.

    Returns:
        A PNG of TRACE_WIDTH_PIXELS × TRACE_HEIGHT_PIXELS; the same bytes for the same text.
    """
    num_tokens = min(len(text.tokens), MOST_TOKENS)
    size = (TRACE_WIDTH_PIXELS / _DPI, TRACE_HEIGHT_PIXELS / _DPI)
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white", layout="constrained")
    grid = figure.add_gridspec(3, 1, height_ratios=(1.6, 4.4, 1))
    surprise, memory, change = (figure.add_subplot(grid[row]) for row in range(3))
    _draw_surprise(surprise, text, num_tokens)
    _draw_memory(figure, memory, text, num_tokens)
    _draw_changes(change, text, num_tokens)
    for axes in (surprise, memory, change):
        axes.set_xlim(-0.5, num_tokens - 0.5)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, colors=_INK)
        for place, token in enumerate(text.tokens[: num_tokens - 1]):
            if token in ("_start_", "_end_"):
                colour = "white" if axes is memory else _FAINT
                axes.axvline(place + 0.5, color=colour, linewidth=2 if axes is memory else 0.8)
    for axes in (surprise, change):
        _name_tokens(axes, text.tokens[:num_tokens])
        axes.yaxis.grid(color=_GRID, linewidth=0.8)
        axes.set_axisbelow(True)
    memory.set_xticks([])
    surprise.set_title(_title(text), loc="left", fontsize=15, color=_INK, pad=34)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
    return png.getvalue()


def _draw_surprise(axes: Axes, text: TracedText, num_tokens: int) -> None:
    shown = range(1, num_tokens)
    surprises = [-float(text.log_probability_nats[place] or 0.0) for place in shown]
    entropies = [float(text.entropy_nats[place] or 0.0) for place in shown]
    bars = axes.bar(shown, surprises, width=0.8, color=_SURPRISE)
    lines = axes.hlines(
        entropies,
        [place - 0.4 for place in shown],
        [place + 0.4 for place in shown],
        color=_INK,
        linewidth=1.4,
    )
    top = max([*surprises, *entropies, 1.0])
    flat = num_tokens <= _LYING_UP_TO
    for place, surprise, entropy in zip(shown, surprises, entropies, strict=True):
        expected = text.expected[place]
        assert expected is not None
        if expected != text.tokens[place]:
            axes.text(
                place,
                max(surprise, entropy) + 0.05 * top,
                _shortened(expected),
                rotation=0 if flat else 90,
                ha="center",
                va="bottom",
                fontsize=_font_points(num_tokens) - 1,
                fontstyle="italic",
                color=_FAINT,
                parse_math=False,
            )
    axes.set_ylim(0, top * (1.25 if flat else 1.6))
    axes.set_ylabel("surprise\n(nats)", fontsize=11, color=_INK)
    legend = axes.legend(
        [bars, lines, Line2D([], [], linestyle="none")],
        ["surprise", "surprise expected", "what was most probable instead"],
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=3,
        frameon=False,
        fontsize=10,
        labelcolor=_INK,
        borderpad=0,
        borderaxespad=0.6,
        columnspacing=1.4,
    )
    legend.get_texts()[-1].set(color=_FAINT, fontstyle="italic")


def _draw_memory(figure: Figure, axes: Axes, text: TracedText, num_tokens: int) -> None:
    cells_TLH = np.tanh(text.cells_TLH[:num_tokens].astype(np.float64))
    _, num_layers, width = cells_TLH.shape
    cells_TU = cells_TLH.reshape(num_tokens, num_layers * width)
    settled_TU = cells_TU[min(_SETTLING_TOKENS, num_tokens // 4) :]
    spread_U = settled_TU.std(axis=0)
    most_varied = np.argsort(-spread_U, kind="stable")[:MOST_UNITS]
    most_varied = most_varied[spread_U[most_varied] >= _LEAST_SPREAD * spread_U.max()]
    units = most_varied[order_by_likeness(cells_TU[:, most_varied])]
    picture = axes.imshow(
        cells_TU[:, units].T, cmap=_MEMORY, vmin=-1, vmax=1, aspect="auto", interpolation="nearest"
    )
    names = [f"{1 + unit // width}·{unit % width}" for unit in units]
    axes.set_yticks(range(len(units)), names if num_layers > 1 else [str(unit) for unit in units])
    axes.tick_params(axis="y", labelsize=6)
    layered = " (layer·cell)" if num_layers > 1 else ""
    axes.set_ylabel(f"memory cells that vary most{layered}", fontsize=11, color=_INK)
    bar = figure.colorbar(picture, ax=axes, pad=0.01, aspect=40, ticks=[-1, 0, 1])
    bar.set_label("tanh of the cell", fontsize=10, color=_INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, colors=_INK, labelsize=9)


def _draw_changes(axes: Axes, text: TracedText, num_tokens: int) -> None:
    axes.bar(range(num_tokens), text.state_changes[:num_tokens], width=0.8, color=_CHANGE)
    axes.set_ylabel("change\nof the state", fontsize=11, color=_INK)


def order_by_likeness(values_TU: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """An order of the columns in which those that rise and fall together are neighbours.

    By their angle on the plane of their correlations' two largest eigenvectors, the circle being
    cut where its gap is widest: M. Friendly, Corrgrams, The American Statistician 56(4), 2002.
    """
    deviations_TU = values_TU - values_TU.mean(axis=0)
    lengths_U = np.linalg.norm(deviations_TU, axis=0)
    scaled_TU = deviations_TU / np.where(lengths_U > 0, lengths_U, 1.0)
    _, _, axes_XU = np.linalg.svd(scaled_TU, full_matrices=False)
    plane_2U = np.zeros((2, values_TU.shape[1]))
    plane_2U[: len(axes_XU[:2])] = axes_XU[:2]
    # A singular vector may point either way; the first column's side is called positive.
    plane_2U *= np.where(plane_2U[:, :1] < 0, -1.0, 1.0)
    angles_U = np.arctan2(plane_2U[1], plane_2U[0])
    order_U = np.argsort(angles_U, kind="stable")
    gaps_U = np.diff(angles_U[order_U], append=angles_U[order_U[0]] + 2 * np.pi)
    return np.roll(order_U, -1 - int(gaps_U.argmax()))


def _name_tokens(axes: Axes, tokens: Sequence[str]) -> None:
    """The tokens below a strip, upright where they have no room to lie."""
    axes.set_xticks(
        range(len(tokens)),
        [_shortened(token) for token in tokens],
        rotation=0 if len(tokens) <= _LYING_UP_TO else 90,
        fontsize=_font_points(len(tokens)),
    )
    for label, token in zip(axes.get_xticklabels(), tokens, strict=True):
        label.set_parse_math(False)  # a book's dollars are no formula
        if token in _SPECIAL:
            label.set_color(_FAINT)


def _shortened(token: str) -> str:
    return token if len(token) <= _LONGEST_LABEL else f"{token[: _LONGEST_LABEL - 1]}…"


def _font_points(num_tokens: int) -> float:
    return 12.0 if num_tokens <= 25 else 10.0


def _title(text: TracedText) -> str:
    title = "What the network carries along"
    if len(text.tokens) > MOST_TOKENS:
        title += f": the first {MOST_TOKENS} of {len(text.tokens)} tokens"
    return title
