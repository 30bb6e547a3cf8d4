"""Why a sentence was picked, as a picture: a row of bags and the path through them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

MOST_SLOTS = 16
MOST_CHOICES = 16  # shown of a bag: the most probable
_DPI = 150
_INK, _FAINT, _GRID, _PATH = "#333333", "#888888", "#E5E5E5", "#D55E00"
_BAR = "#0072B2"
_SLOT_INCHES, _ROW_INCHES, _FRAME_INCHES = 1.5, 0.3, 1.5
_LONGEST_LABEL = 14  # characters; longer choices are cut
_NOTHING = "(nothing)"


@dataclass(frozen=True)
class SlotPicture:
    """A bag: its choices with their probabilities, which one is taken, and the margin in nats to
    the best sentence without it, None where there is none.
    """

    choices: Sequence[tuple[str, float]]
    chosen: int
    margin: float | None


@dataclass(frozen=True)
class ReasonsPicture:
    """A sentence, its slots in order, and what the most frequent choice of each bag makes."""

    sentence: str
    slots: Sequence[SlotPicture]
    most_frequent: str


def draw_reasons_png(picture: ReasonsPicture) -> bytes:
    """Draw each bag as a column, its choices in their order, and the chosen path through them.

    A bar behind a choice is its probability given the rest of the sentence; under each column
    stands the margin. Of a long sentence the first MOST_SLOTS, of a large bag the MOST_CHOICES most
    probable and the one that was taken. A sentence of gap words alone has no column.

    Returns:
        A PNG; the same bytes for the same picture.
    """
    slots = [shown_choices(slot) for slot in picture.slots[:MOST_SLOTS]]
    height = max((len(slot.choices) for slot in slots), default=1)
    size = (
        max(6.0, _SLOT_INCHES * len(slots) + 0.6),
        _ROW_INCHES * height + _FRAME_INCHES,
    )
    foot = 0.55 / size[1]
    layout = ConstrainedLayoutEngine(rect=(0, foot, 1, 1 - foot))
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white", layout=layout)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-0.55, max(1, len(slots)) - 0.45)
    axes.set_ylim(height + 0.9, -1.1)
    for column, slot in enumerate(slots):
        _draw_slot(axes, column, slot, height)
    for column, (slot, following) in enumerate(pairwise(slots)):
        between, rows = (column + 0.45, column + 0.55), (slot.chosen, following.chosen)
        axes.plot(between, rows, color=_PATH, linewidth=3.0, solid_capstyle="butt", zorder=3)
    more = "" if len(picture.slots) <= MOST_SLOTS else f" (the first {MOST_SLOTS} of its choices)"
    title = _cut(picture.sentence, 110) + more
    axes.set_title(title, color=_INK, fontsize=12, loc="left", parse_math=False)
    figure.text(
        0.01,
        0.01,
        "bars: probability of each choice given the rest; below: nats to the best sentence without "
        f"the choice\nthe most frequent choice of each bag: {_cut(picture.most_frequent, 110)}",
        color=_FAINT,
        fontsize=8,
        va="bottom",
        parse_math=False,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_slot(axes: Axes, column: int, slot: SlotPicture, height: int) -> None:
    for row, (choice, probability) in enumerate(slot.choices):
        taken = row == slot.chosen
        axes.barh(row, 0.9, height=0.86, left=column - 0.45, color=_GRID, alpha=0.45, zorder=0)
        axes.barh(
            row,
            0.9 * probability,
            height=0.86,
            left=column - 0.45,
            color=_PATH if taken else _BAR,
            alpha=0.35,
            zorder=1,
        )
        axes.text(
            column - 0.4,
            row,
            _cut(choice, _LONGEST_LABEL) or _NOTHING,
            color=_INK if taken else _FAINT,
            weight="bold" if taken else "normal",
            fontsize=9,
            va="center",
            zorder=4,
            parse_math=False,
        )
        axes.text(
            column + 0.42, row, f"{probability:.0%}", color=_FAINT, fontsize=7, ha="right",
            va="center", zorder=4,
        )  # fmt: skip
    margin = "" if slot.margin is None else f"{slot.margin:.2f}"
    axes.text(column, height + 0.1, margin, color=_INK, fontsize=8, ha="center", va="center")
    axes.text(column, -0.85, str(column + 1), color=_FAINT, fontsize=8, ha="center", va="center")


def shown_choices(slot: SlotPicture) -> SlotPicture:
    """The most probable choices, in their order; the one that was taken always stays."""
    order = sorted(range(len(slot.choices)), key=lambda index: (-slot.choices[index][1], index))
    kept = order[:MOST_CHOICES]
    if slot.chosen not in kept:
        kept[-1] = slot.chosen
    kept.sort()
    return SlotPicture(
        [slot.choices[index] for index in kept], kept.index(slot.chosen), slot.margin
    )


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
