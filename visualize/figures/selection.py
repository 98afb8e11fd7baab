"""The figure of a selection: the pool with the chosen samples, and how the ranges settle."""

__all__ = ["PoolPoints", "selection_figure"]

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from quant.calibration.selection.sufficiency import SETTLED_DB, Sufficiency
from quant.visualize.figures.canvas import ALARM, QUIET, drawable
from quant.visualize.figures.figure_file import drawing, save_figure

POOL, CHOSEN, COPY = "#b9c2cc", "#0072b2", "#e69f00"
"""Grey, and blue and orange of Okabe and Ito 2008."""
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPoints:
    """The samples of a pool as points, and what became of them.

    Attributes:
        points: float64 `[samples, axes]`, nan where a sample has no place; two axes are drawn.
        chosen: Positions of the chosen samples.
        duplicates: Positions of the duplicates.
        out_of_domain: Positions of the samples out of domain.
    """

    points: Points
    chosen: Sequence[int]
    duplicates: Sequence[int]
    out_of_domain: Sequence[int]


def selection_figure(pool: PoolPoints, enough: Sufficiency, path: Path, title: str) -> None:
    """Write the figure as PNG and SVG.

    Args:
        pool: The samples as points.
        enough: How the ranges settle with the number of samples.
        path: Path of the PNG; the SVG lies beside it.
        title: Title of the figure.
    """
    with drawing():
        figure = Figure(figsize=(10.4, 4.8), facecolor="white")
        left = figure.add_axes((0.065, 0.12, 0.50, 0.72))
        right = figure.add_axes((0.655, 0.12, 0.325, 0.72))
        _scatter(left, pool)
        _curve(right, enough)
        figure.text(0.065, 0.955, drawable(title, 110), weight="bold", size=11)
        save_figure(figure, path)


def _scatter(axes: Axes, pool: PoolPoints) -> None:
    points = pool.points
    flat = points[:, :2] if points.shape[1] > 1 else np.pad(points, ((0, 0), (0, 1)))
    others = {*range(len(flat))} - {*pool.duplicates, *pool.out_of_domain}
    groups = [
        (sorted(others), ".", POOL, 16, "pool", 1),
        (pool.duplicates, "x", COPY, 14, "duplicates", 2),
        (pool.chosen, "o", CHOSEN, 22, "chosen", 4),
        (pool.out_of_domain, "D", ALARM, 20, "out of domain", 3),
    ]
    for rows, mark, colour, size, label, above in groups:
        if len(rows):
            x, y = flat[list(rows)].T
            width = 0.9 if mark == "x" else 0
            name = f"{label} ({len(rows)})"
            axes.scatter(
                x, y, size, colour, marker=mark, linewidths=width, label=name, zorder=above
            )
    axes.set_xlabel("first principal axis of the network's features", color=QUIET)
    axes.set_ylabel("second", color=QUIET)
    axes.legend(ncols=4, loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.2)


def _curve(axes: Axes, enough: Sufficiency) -> None:
    counts = [step.samples for step in enough.steps]
    axes.axhline(SETTLED_DB, color=QUIET, lw=0.8, ls=":")
    axes.plot(counts, [s.noise_db for s in enough.steps], "-o", color=CHOSEN, ms=4, lw=1.4)
    if enough.settled is not None:
        axes.axvline(enough.settled, color=QUIET, lw=0.8, ls=":")
    if counts:
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts)
        axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("first samples of the list", color=QUIET)
    axes.set_ylabel("more noise than with the whole pool, dB, worst tensor")
    axes.grid(True, axis="y")
    outcome = "not settled" if enough.settled is None else f"settled at {enough.settled}"
    axes.set_title(f"ranges ({drawable(enough.observer, 20)}): {outcome}")
