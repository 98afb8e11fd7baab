"""Heatmaps of SQNR with one row per layer, against images or channels."""

__all__ = ["layer_map"]

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from quant.visualize.figures.canvas import QUIET, colours, drawable

NAME = 40
BEST, WORST = 50.0, 10.0
"""SQNR in dB at the two ends of the colours: the same in every run, so that runs compare."""
TALLEST = 40.0
"""Inches of the tallest body."""
READABLE = 0.1
"""Inches between two names that can still be read."""


def layer_map(
    values: NDArray[np.float64],
    layers: Sequence[str],
    columns: Sequence[str],
    title: str,
    below: str,
) -> Figure:
    """Return a heatmap of SQNR.

    Args:
        values: float64 `[layers, columns]` in dB; nan is hatched, infinity is best.
        layers: Names, from top to bottom.
        columns: Names under the columns; as many as fit are written.
        title: Title of the figure.
        below: Label of the columns' axis.
    """
    count = max(len(layers), 1)
    row = min(0.2 if count <= 60 else 0.13, TALLEST / count)
    wide = float(np.clip(0.16 * values.shape[1], 3.5, 11.0)) if values.ndim == 2 else 3.5
    points = max(4.6, min(7.5, row * 72 * 0.75))
    left, right, top, bottom = 0.3 + 0.62 * points / 72 * NAME, 1.1, 0.55, 1.25
    width, height = left + wide + right, top + count * row + bottom
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    body = (left / width, bottom / height, wide / width, count * row / height)
    axes = figure.add_axes(body)
    axes.set_facecolor("#e3e7ec")
    axes.patch.set_hatch("////")
    axes.patch.set_edgecolor("#b9bfc7")
    clipped = np.clip(np.where(np.isposinf(values), BEST, values), WORST, BEST)
    image = axes.imshow(
        np.ma.masked_invalid(clipped),
        aspect="auto",
        interpolation="nearest",
        cmap=colours().reversed(),
        vmin=WORST,
        vmax=BEST,
    )
    step_down = max(1, int(np.ceil(READABLE / row)))
    axes.set_yticks(range(0, len(layers), step_down))
    axes.set_yticklabels([drawable(n, NAME) for n in layers[::step_down]], fontsize=points)
    step = max(1, int(np.ceil(len(columns) * 0.13 / wide)))
    axes.set_xticks(range(0, len(columns), step))
    axes.set_xticklabels([drawable(c, 16) for c in columns[::step]], rotation=90, fontsize=6.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(below, color=QUIET)
    figure.text(0.15 / width, 1 - 0.3 / height, drawable(title, int(width / 0.105)), weight="bold")
    bar = figure.add_axes(((left + wide + 0.2) / width, bottom / height, 0.14 / width, 2 / height))
    figure.colorbar(image, cax=bar, label="SQNR, dB")
    return figure
