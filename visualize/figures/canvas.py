"""The canvas of the heatmap: coordinates in inches, colours, titles, scales and legend."""

__all__ = ["ALARM", "CELL", "INK", "QUIET", "STRIP", "Canvas", "colours", "drawable"]

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from matplotlib import colormaps, font_manager
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from quant.visualize.figures.heatmap_grid import COLUMNS, Scale
from quant.visualize.label import escaped, shortened

INK, QUIET, ALARM, FLOAT = "#1b1f24", "#69707a", "#a50f15", "#2f6db3"


HOLE = "#eef0f2"


CELL, STRIP = 0.68, 0.17
"""Inches: a cell's width, and the strip of precisions left of a panel."""


@cache
def _glyphs() -> frozenset[int]:
    """Return the code points that the font can draw; others would give a warning and a box."""
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return frozenset(font.get_charmap())


def drawable(text: str, most: int) -> str:
    """Return a name that the font can draw, in at most `most` characters."""
    if len(text) > 4 * most:  # the middle is cut anyway
        text = f"{text[: 2 * most]}…{text[-2 * most :]}"
    return shortened(escaped(text, _glyphs()), most)


@cache
def colours(neutral: bool = False) -> LinearSegmentedColormap:
    """Return a colour map from 0 (good) to 1 (bad) of one hue whose lightness falls evenly."""
    steps = ["#f6f7f8", "#c3cad3", "#8b96a5", "#55606f", "#2b333d"]
    if not neutral:
        steps = list(colormaps["OrRd"](np.linspace(0.03, 1.0, 9)))
    return LinearSegmentedColormap.from_list("quant", steps)


@dataclass(frozen=True, slots=True)
class Canvas:
    """A figure whose coordinates are inches from its lower left corner."""

    figure: Figure
    width: float
    height: float

    def text(self, x: float, y: float, text: str, **overrides: Any) -> None:
        """Write a line of text, which is never parsed as mathematics."""
        style: dict[str, Any] = {
            "va": "center_baseline",
            "color": INK,
            "parse_math": False,
            **overrides,
        }
        self.figure.text(x / self.width, y / self.height, text, **style)

    def line(self, a: tuple[float, float], b: tuple[float, float], colour: str) -> None:
        """Draw a line from a name to its row."""
        xs, ys = [p[0] / self.width for p in (a, b)], [p[1] / self.height for p in (a, b)]
        self.figure.add_artist(Line2D(xs, ys, color=colour, lw=0.4))

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Return axes without a frame."""
        place = (x / self.width, y / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(place)
        axes.set_axis_off()
        return axes

    def head(self, left: float, base: float, target: str, scales: Sequence[Scale]) -> None:
        """Draw a target's name, and the title, unit and scale of each column."""
        self.text(left, base + 0.92, target, size=11, weight="bold")
        for x, (column, scale) in enumerate(zip(COLUMNS, scales, strict=True)):
            middle = left + CELL * (x + 0.5)
            lines = column.title.split("\n")
            for i, line in enumerate(reversed(lines)):
                self.text(
                    middle, base + 0.52 + 0.13 * i, line, size=7.5, weight="bold", ha="center"
                )
            self.text(middle, base + 0.38, column.unit, size=6.5, color=QUIET, ha="center")
            bar = self.axes(middle - CELL / 2 + 0.04, base + 0.08, CELL - 0.08, 0.07)
            bar.imshow(
                colours(column.neutral)(np.linspace(0, 1, 64))[None],
                aspect="auto",
                interpolation="none",
            )
            for at, end, side in zip(
                (0.04, CELL - 0.04), scale.ends, ("left", "right"), strict=True
            ):
                place = middle - CELL / 2 + at
                self.text(place, base + 0.22, end, size=5.5, color=QUIET, ha=side)

    def legend(self, left: float, y: float) -> None:
        """Draw the legend of colours, hatches and the F."""
        bar = self.axes(left, y - 0.05, 0.9, 0.11)
        bar.imshow(colours(False)(np.linspace(0, 1, 64))[None], aspect="auto")
        self.text(left, y - 0.18, "best", size=6.5, color=QUIET)
        self.text(left + 0.9, y - 0.18, "worst", size=6.5, color=QUIET, ha="right")
        x = left + 1.2
        for face, hatch, words in (
            (HOLE, "/////", "not measured"),
            (colours(False)(0.0), "....", "inf: lossless"),
            (FLOAT, "", "F: stays in float"),
        ):
            box = self.axes(x, y - 0.05, 0.17, 0.11)
            box.add_patch(
                Rectangle((0, 0), 1, 1, facecolor=face, edgecolor="#9aa1aa", hatch=hatch, lw=0)
            )
            self.text(x + 0.23, y, words, size=7)
            x += 0.35 + 0.062 * len(words)
