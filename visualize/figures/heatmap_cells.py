"""The cells of a heatmap: a target's layers as coloured rectangles with their numbers."""

__all__ = ["draw_panel"]

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from quant.visualize.figures.canvas import CELL, FLOAT, HOLE, INK, STRIP, colours
from quant.visualize.figures.heatmap_grid import COLUMNS, Grid


def draw_panel(axes: Axes, grid: Grid, target: str, *, numbered: bool, mark: float | None) -> None:
    """Draw the cells of one target; a unit of the axes is an inch across and a row down.

    Args:
        axes: Empty axes.
        grid: The layers of all targets.
        target: Name of the target.
        numbered: Whether numbers are printed in the cells.
        mark: Font size of the F on a row that stays in float; None where there is no room.
    """
    values, count = grid.values[target], len(grid.names)
    axes.set_xlim(0, STRIP + CELL * len(COLUMNS))
    axes.set_ylim(count, 0)
    holes, lossless = [], []
    for x, column in enumerate(COLUMNS):
        scale = grid.scale(x)
        left = STRIP + CELL * x
        column_values = values[:, x]
        with np.errstate(invalid="ignore", divide="ignore"):
            bad = scale.share(column.badness(column_values))
        shades = colours(column.neutral)(np.nan_to_num(bad)[:, None])
        axes.imshow(
            shades, extent=(left, left + CELL, count, 0), aspect="auto", interpolation="none"
        )
        holes += _runs(np.isnan(column_values), left)
        lossless += _runs(np.isposinf(column_values), left)
        for y, value in enumerate(column_values if numbered else ()):
            if not math.isnan(value):
                axes.text(
                    left + CELL / 2,
                    y + 0.5,
                    column.text(value) if math.isfinite(value) else f"{value:g}",
                    size=7,
                    ha="center",
                    va="center_baseline",
                    color="white" if bad[y] > 0.58 else INK,
                    parse_math=False,
                )
    _hatch(axes, holes, "/////", HOLE, "#b9bfc7")
    if not numbered:
        _hatch(axes, lossless, "....", "none", "#7b828c")
    edges = [STRIP + CELL * x for x in range(len(COLUMNS) + 1)]
    axes.vlines(edges, 0, count, color="white", lw=1.2)
    if numbered:
        axes.hlines(range(count + 1), STRIP, edges[-1], color="white", lw=1.2)
    _precisions(axes, grid, target, mark)
    axes.set_xlim(0, STRIP + CELL * len(COLUMNS))
    axes.set_ylim(count, 0)


def _precisions(axes: Axes, grid: Grid, target: str, mark: float | None) -> None:
    """Mark the rows that stay in float: blue, with an F where there is room."""
    rows = grid.rows[target]
    marks = np.array([n in rows and not rows[n].precision.quantized for n in grid.names])
    for start, stop in _spans(marks):
        axes.add_patch(
            Rectangle((0.02, start), STRIP - 0.05, stop - start, facecolor=FLOAT, linewidth=0)
        )
    if mark is None:
        return
    for y in np.flatnonzero(marks):
        axes.text(
            STRIP / 2 - 0.005,
            y + 0.5,
            "F",
            size=mark,
            ha="center",
            va="center_baseline",
            color="white",
            weight="bold",
        )


def _spans(marks: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return [start, stop) of each run of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marks.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _runs(marks: NDArray[np.bool_], left: float) -> list[Rectangle]:
    """Return a rectangle over each run of marked cells of a column."""
    return [Rectangle((left, a), CELL, b - a) for a, b in _spans(marks)]


def _hatch(axes: Axes, boxes: list[Rectangle], hatch: str, face: str, line: str) -> None:
    if boxes:
        axes.add_collection(
            PatchCollection(
                boxes, facecolor=face, edgecolor=line, hatch=hatch, linewidth=0, zorder=1.5
            ),
            autolim=False,
        )
