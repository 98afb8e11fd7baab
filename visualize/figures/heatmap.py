"""The heatmap of a run: layers x metrics, one panel per target, the worst layers in bold."""

__all__ = ["heatmap"]

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from quant.analysis.layer_error import LayerError
from quant.visualize.figures.canvas import ALARM, CELL, INK, QUIET, STRIP, Canvas, drawable
from quant.visualize.figures.figure_file import drawing, save_figure
from quant.visualize.figures.heatmap_cells import draw_panel
from quant.visualize.figures.heatmap_grid import COLUMNS, Grid
from quant.visualize.label import cells

WITH_NUMBERS = 60
"""Up to this many layers every cell has its number printed."""
NAME, OP = 46, 12
"""The most characters of a layer's name and of its operator."""
TALLEST = 45.0
"""Inches of the tallest body: 6750 pixels, which every viewer opens."""
SMALLEST = 0.105
"""Inches between two names that can still be read: 16 pixels."""
GLYPH = 0.64
"""Width of a character of DejaVu Sans, in its size: at most this, on the average of a name."""
BETWEEN = 0.42
"""Inches between panels."""
NUMBER, RANK = 0.6, 0.7
"""Inches from the left to the end of a layer's number, and to the beginning of its rank."""


def heatmap(tables: Mapping[str, Sequence[LayerError]], path: Path, title: str) -> None:
    """Write a PNG and an SVG of layers x metrics, one panel for each target, side by side.

    In each column darker is worse, on a scale that is the same in every run and is drawn under the
    column's title. Cells that were not measured are hatched; an infinite SQNR, "inf", is lossless
    and best. Rows whose layer stays in float carry a blue F.

    Up to 60 layers the numbers are printed. The ten layers of least isolated SQNR are named in
    bold with their rank; all other layers are named too up to about 430, then every n-th.

    Args:
        tables: Layer tables by target, in the order of the layers; layers are matched by name.
        path: Path of the PNG, written atomically; the SVG lies beside it. Equal tables give equal
            bytes.
        title: Title, drawn as plain text.
    """
    sheet = _Sheet(Grid.of(tables), title)
    with drawing():
        save_figure(sheet.drawn(), path)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The layout of the heatmap in inches."""

    grid: Grid
    title: str

    @property
    def row_height(self) -> float:
        """Height of one layer's row in inches."""
        count = max(len(self.grid.names), 1)
        height = 0.235 if count <= WITH_NUMBERS else 0.15 if count <= 150 else SMALLEST
        return min(height, TALLEST / count)

    @property
    def points(self) -> float:
        """Font size of the names."""
        return min(8.0, max(5.4, self.row_height * 72 * 0.72))

    def drawn(self) -> Figure:
        """Return the figure."""
        size = self.points
        labels = [drawable(name, NAME) for name in self.grid.names]
        ops = [drawable(self.grid.op(name), OP) for name in self.grid.names]
        glyph = size / 72 * GLYPH
        left = RANK + 0.35 + glyph * max([cells(t) for t in labels], default=8)
        left += 0.15 + glyph * max([cells(t) for t in ops], default=4) + 0.1
        panel = STRIP + CELL * len(COLUMNS)
        count = max(len(self.grid.rows), 1)
        width = left + count * panel + (count - 1) * BETWEEN + 0.3
        width = max(width, left + panel + 0.3)
        body = max(self.row_height * len(self.grid.names), 0.6)
        top, bottom = 1.72, 0.72
        height = top + body + bottom
        figure = Figure(figsize=(width, height), facecolor="white")
        FigureCanvasAgg(figure)
        canvas = Canvas(figure, width, height)
        room = int((width - 0.6) / 0.125)
        canvas.text(0.3, height - 0.36, drawable(self.title, room), size=13, weight="bold")
        canvas.text(0.3, height - 0.60, self._caption(), size=8, color=QUIET)
        if not self.grid.names:
            canvas.text(0.3, bottom + body / 2, "There is no layer in the table.", size=10)
            return figure
        scales = [self.grid.scale(x) for x in range(len(COLUMNS))]
        numbered = len(self.grid.names) <= WITH_NUMBERS
        mark = min(6.5, size) if self.row_height >= SMALLEST else None
        for number, target in enumerate(self.grid.rows):
            x = left + number * (panel + BETWEEN)
            canvas.head(x + STRIP, bottom + body, drawable(target, 44), scales)
            axes = canvas.axes(x, bottom, panel, body)
            draw_panel(axes, self.grid, target, numbered=numbered, mark=mark)
        canvas.text(NUMBER, bottom + body + 0.08, "layer", size=6.5, color=QUIET, ha="right")
        canvas.text(RANK, bottom + body + 0.08, "rank", size=6.5, color=QUIET)
        self._labels(canvas, labels, ops, (left, bottom, body))
        canvas.legend(max(0.3, min(left + STRIP, width - 5.0)), 0.36)
        return figure

    def _caption(self) -> str:
        count = len(self.grid.names)
        ranked = (
            f"bold, with their rank: the {len(self.grid.worst)} of least isolated SQNR"
            if self.grid.worst
            else ""
        )
        return "  ·  ".join(t for t in (f"{count} layers, the input on top", ranked) if t)

    def _labels(
        self,
        canvas: Canvas,
        labels: Sequence[str],
        ops: Sequence[str],
        place: tuple[float, float, float],
    ) -> None:
        """Write number, rank, name and operator of each named layer."""
        left, bottom, body = place
        count, size = len(self.grid.names), self.points
        step = body / count
        glyph = size / 72 * GLYPH
        edge = left - 0.1 - glyph * max(cells(t) for t in ops) - 0.15
        for y, at in _placed(self._named(), step, body):
            rank = self.grid.worst.get(self.grid.names[y])
            weight, colour = ("bold", ALARM) if rank else ("normal", INK)
            height = bottom + body - at
            canvas.text(NUMBER, height, f"{y + 1}", size=size, color=QUIET, ha="right")
            if rank:
                canvas.text(RANK, height, f"#{rank}", size=size, weight=weight, color=colour)
            canvas.text(edge, height, labels[y], size=size, ha="right", weight=weight, color=colour)
            canvas.text(edge + 0.15, height, ops[y], size=size, color=QUIET)
            if step < SMALLEST:
                canvas.line((left - 0.1, height), (left, bottom + body - (y + 0.5) * step), colour)

    def _named(self) -> list[int]:
        """Return the layers that are named: all, or the worst and every n-th not near to them."""
        count = len(self.grid.names)
        step = self.row_height
        if step >= SMALLEST:
            return list(range(count))
        stride = math.ceil(SMALLEST / step)
        ranked = [y for y, name in enumerate(self.grid.names) if name in self.grid.worst]
        room = [
            y for y in range(0, count, stride) if all(abs(y - r) * step >= SMALLEST for r in ranked)
        ]
        return sorted({*ranked, *room})


def _placed(named: Sequence[int], step: float, body: float) -> list[tuple[int, float]]:
    """Return (layer, inches from the top) of each name, moved apart where names would overlap."""
    least = min(step, SMALLEST) if step >= SMALLEST else SMALLEST
    at = [(y + 0.5) * step for y in named]
    for i in range(1, len(at)):
        at[i] = max(at[i], at[i - 1] + least)
    limit = max(body, least * len(at))
    for i in reversed(range(len(at))):
        at[i] = min(at[i], limit)
        limit = at[i] - least
    return list(zip(named, at, strict=True))
