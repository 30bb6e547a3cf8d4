"""The course of a training, as a picture."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, StrMethodFormatter

CURVE_WIDTH_PIXELS, CURVE_HEIGHT_PIXELS = 1440, 810
_DPI = 150
_TRAINING, _VALIDATION, _INK = "#56B4E9", "#D55E00", "#333333"


def draw_training_curve_png(
    tokens_seen: Sequence[int],
    train_loss_nats_per_token: Sequence[float],
    validation_points: Sequence[tuple[int, float]],
) -> bytes:
    """Draw perplexity, on a logarithmic axis, against tokens seen.

    Args:
        tokens_seen: one number for each logged step of training.
        train_loss_nats_per_token: the loss of each of these steps.
        validation_points: pairs of tokens seen and loss in nats per token; the best is named.

    Returns:
        A PNG of CURVE_WIDTH_PIXELS × CURVE_HEIGHT_PIXELS; the same bytes for the same numbers.

    Raises:
        ValueError: if there is nothing to draw, the lengths differ, or a loss is not finite.
    """
    if len(tokens_seen) != len(train_loss_nats_per_token):
        raise ValueError(
            f"{len(tokens_seen)} counts of tokens seen don't fit "
            f"{len(train_loss_nats_per_token)} training losses"
        )
    validation_tokens, validation_losses = (
        np.array([point[place] for point in validation_points], dtype=np.float64)
        for place in (0, 1)
    )
    losses = np.concatenate([train_loss_nats_per_token, validation_losses])
    if not losses.size:
        raise ValueError("there is no logged step to draw")
    if not np.isfinite(losses).all():
        raise ValueError(f"loss {losses[~np.isfinite(losses)][0]} is not finite")

    size = (CURVE_WIDTH_PIXELS / _DPI, CURVE_HEIGHT_PIXELS / _DPI)
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    axes.plot(
        tokens_seen,
        np.exp(train_loss_nats_per_token),
        color=_TRAINING,
        linewidth=1.4,
        label="training, as logged",
    )
    if validation_points:
        perplexities = np.exp(validation_losses)
        axes.plot(
            validation_tokens,
            perplexities,
            "o",
            color=_VALIDATION,
            markersize=7,
            markeredgecolor="white",
            label="validation",
        )
        best = int(perplexities.argmin())
        axes.annotate(
            f"{perplexities[best]:.1f}",
            (validation_tokens[best], perplexities[best]),
            xytext=(0, -9),
            textcoords="offset points",
            ha="center",
            va="top",
            color=_VALIDATION,
            fontsize=12,
            fontweight="bold",
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.margins(x=0.03, y=0.09)
    axes.set_title("Perplexity while training", loc="left", fontsize=15, color=_INK, pad=12)
    axes.set_xlabel("tokens seen", fontsize=12, color=_INK)
    axes.set_ylabel("perplexity (log scale)", fontsize=12, color=_INK)
    axes.tick_params(labelsize=11, colors=_INK)
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=12, labelcolor=_INK)

    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
    return png.getvalue()
