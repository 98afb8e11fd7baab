"""The heatmap of a run: layers x metrics, one panel a target, the worst layers found at a glance."""

__all__ = ["heatmap"]

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, font_manager, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from quant.files import atomic
from quant.layer_error import LayerError
from quant.visualize.label import cells, escaped, shortened

F64 = NDArray[np.float64]

WITH_NUMBERS = 60
"""Up to this many layers every cell has its number printed."""
WORST = 10
"""So many layers are named whatever the number of layers, and ranked in bold."""
NAME, OP = 46, 12
"""The most characters of a layer's name and of its operator."""
DPI = 150
TALLEST = 45.0
"""Inches of the tallest body: 6750 pixels, which every viewer opens."""
SMALLEST = 0.105
"""Inches between two names that can still be read: 16 pixels."""
GLYPH = 0.64
"""Width of a character of DejaVu Sans, in its size: at most this, on the average of a name."""

INK, QUIET, LINE, ALARM, FLOAT = "#1b1f24", "#69707a", "#d5d9de", "#a50f15", "#2f6db3"
HOLE = "#eef0f2"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """One metric.

    Attributes:
        title: Its name, over two lines.
        unit: Of the numbers printed.
        value: Reads it off a row; the second argument is the sum of all MACs.
        badness: Turns values into what the colour is proportional to; higher is worse.
        back: The inverse of `badness`, for the ends of the scale.
        span: The least range of badness that the colours are spread over, so that a difference
            nobody would act on does not look like one.
        reach: The greatest range; what is better than that has the best colour.
        text: Prints a number.
        neutral: Whether it is a size and no error: grey instead of red.
    """

    title: str
    unit: str
    value: Callable[[LayerError, float], float]
    badness: Callable[[F64], F64]
    back: Callable[[float], float]
    span: float
    reach: float
    text: Callable[[float], str]
    neutral: bool = False


def _share(value: float) -> str:
    """Print a percentage in four characters."""
    if 0 < value < 0.005:
        return "<.01"
    return "0" if value == 0 else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _cosine(value: float) -> str:
    """Print a cosine; 1 only for 1."""
    return ">.9999" if 0.99995 <= value < 1 else f"{value:.4f}"


def _decibel_column(title: str, read: Callable[[LayerError], float]) -> _Column:
    return _Column(
        title=title,
        unit="dB",
        value=lambda row, _: read(row),
        badness=lambda x: -x,
        back=lambda bad: -bad,
        span=10.0,
        reach=50.0,
        text=lambda x: f"{x:.1f}",
    )


COLUMNS = (
    _decibel_column("isolated\nSQNR", lambda row: row.isolated_sqnr_db),
    _decibel_column("cumulative\nSQNR", lambda row: row.cumulative_sqnr_db),
    _Column(
        title="cosine",
        unit="1 is best",
        value=lambda row, _: row.cosine,
        # 1 - cosine is half the noise's share of the power: in decibels, as the others
        badness=lambda x: 10 * np.log10(np.clip(1 - x, 1e-6, 2)),
        back=lambda bad: 1 - 10 ** (bad / 10),
        span=10.0,
        reach=50.0,
        text=_cosine,
    ),
    _decibel_column("weight\nSQNR", lambda row: row.weight_sqnr_db),
    _Column(
        title="saturated",
        unit="% of input",
        value=lambda row, _: 100 * row.saturation,
        badness=np.sqrt,  # one bad layer must not wash out the others
        back=lambda bad: bad**2,
        span=math.sqrt(0.1),
        reach=10.0,
        text=_share,
    ),
    _Column(
        title="MACs",
        unit="% of all",
        value=lambda row, total: 100 * row.macs / total if total else 0.0,
        badness=lambda x: x,
        back=lambda bad: bad,
        span=1.0,
        reach=100.0,
        text=_share,
        neutral=True,
    ),
)

CELL, STRIP, BETWEEN = 0.68, 0.17, 0.42
"""Inches: a cell's width, the strip of precisions left of a panel, and the space between panels."""


def heatmap(tables: Mapping[str, Sequence[LayerError]], path: Path, title: str) -> None:
    """Write a PNG of layers x metrics, one panel for each target, side by side.

    In each column darker is worse, from the best to the worst value that any target has there; the
    scale is drawn under the column's title. What was not measured is hatched, and infinite SQNR,
    "inf", is lossless and best. Rows whose layer stays float32 carry a blue F.

    Up to 60 layers the numbers are printed. The ten layers of least isolated SQNR are named in
    bold with their rank; all others are named too up to about 430 layers, then every n-th.

    Args:
        tables: Rows by target name, in the order of the layers; the rows of a layer meet by name.
        path: Written atomically; equal tables give equal bytes.
        title: Whatever it says is drawn as plain text.
    """
    sheet = _Sheet(tables, title)
    with style.context("default"):  # whatever the user's matplotlibrc says
        figure = sheet.drawn()
        with atomic(path) as scratch:
            figure.savefig(scratch, format="png", dpi=DPI, metadata={"Software": None})


@cache
def _glyphs() -> frozenset[int]:
    """Return the code points that the font can draw; another one would be a warning and a box."""
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return frozenset(font.get_charmap())


def _plain(text: str, most: int) -> str:
    """Return a name that can be drawn, in at most `most` characters."""
    if len(text) > 4 * most:  # only what can be seen is looked at
        text = f"{text[: 2 * most]}…{text[-2 * most :]}"
    return shortened(escaped(text, _glyphs()), most)


@cache
def _colours(neutral: bool) -> LinearSegmentedColormap:
    """Return a map from 0 (good) to 1 (bad) whose lightness falls evenly: one hue, for any eye."""
    steps = ["#f6f7f8", "#c3cad3", "#8b96a5", "#55606f", "#2b333d"]
    if not neutral:
        steps = list(colormaps["OrRd"](np.linspace(0.03, 1.0, 9)))
    return LinearSegmentedColormap.from_list("quant", steps)


@dataclass(slots=True)
class _Scale:
    """What the two ends of a column's colours stand for, in badness.

    Attributes:
        best: Where the palest colour ends.
        worst: Where the darkest begins.
        cut: Whether some values are better than `best`.
    """

    best: float
    worst: float
    cut: bool

    def share(self, bad: F64) -> F64:
        """Return 0 for the best, 1 for the worst."""
        return np.clip((bad - self.best) / (self.worst - self.best), 0, 1)


@dataclass(slots=True)
class _Sheet:
    """Everything that is drawn, measured in inches before it is drawn."""

    tables: Mapping[str, Sequence[LayerError]]
    title: str
    names: list[str] = field(init=False)
    rows: dict[str, dict[str, LayerError]] = field(init=False)
    values: dict[str, F64] = field(init=False)
    worst: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = {target: {r.layer: r for r in rows} for target, rows in self.tables.items()}
        self.names = list(dict.fromkeys(r.layer for rows in self.tables.values() for r in rows))
        self.values = {target: self._values(rows) for target, rows in self.rows.items()}
        self.worst = self._worst()

    def _values(self, rows: Mapping[str, LayerError]) -> F64:
        """Return float64 `[layers, columns]`, nan where there is nothing."""
        found = np.full((len(self.names), len(COLUMNS)), np.nan)
        total = float(sum(row.macs for row in rows.values()))
        for y, name in enumerate(self.names):
            row = rows.get(name)
            if row is not None:
                found[y] = [column.value(row, total) for column in COLUMNS]
        return found

    def _worst(self) -> dict[str, int]:
        """Return the rank, from 1, of the layers with the least isolated SQNR in any target."""
        least: dict[str, float] = {}
        for rows in self.rows.values():
            for name, row in rows.items():
                value = row.isolated_sqnr_db
                if value < least.get(name, math.inf):  # false for nan, and for lossless
                    least[name] = value
        order = sorted(least, key=lambda name: (least[name], self.names.index(name)))
        return {name: rank for rank, name in enumerate(order[:WORST], 1)}

    def _scale(self, x: int) -> _Scale:
        """Return the scale of a column, one for all targets."""
        column = COLUMNS[x]
        every = np.concatenate([v[:, x] for v in self.values.values()] or [np.zeros(0)])
        every = every[np.isfinite(every)]
        if column.neutral or not every.size:
            bad = column.badness(every) if every.size else np.zeros(1)
            return _Scale(
                0.0 if column.neutral else -1.0, max(float(bad.max()), column.span), False
            )
        bad = column.badness(every)
        best, worst = float(bad.min()), float(bad.max())
        cut = worst - best > column.reach
        best = max(best, worst - column.reach)
        return _Scale(best, max(worst, best + column.span), cut)

    @property
    def row_height(self) -> float:
        """Inches of one layer."""
        count = max(len(self.names), 1)
        wanted = 0.235 if count <= WITH_NUMBERS else 0.15 if count <= 150 else SMALLEST
        return min(wanted, TALLEST / count)

    @property
    def points(self) -> float:
        """The size of the names."""
        return min(8.0, max(5.4, self.row_height * 72 * 0.72))

    def drawn(self) -> Figure:
        """Return the figure."""
        size = self.points
        labels = [_plain(name, NAME) for name in self.names]
        ops = [_plain(self._op(name), OP) for name in self.names]
        glyph = size / 72 * GLYPH
        left = 0.75 + glyph * max([cells(t) for t in labels], default=8)
        left += 0.15 + glyph * max([cells(t) for t in ops], default=4) + 0.1
        panel = STRIP + CELL * len(COLUMNS)
        count = max(len(self.tables), 1)
        width = left + count * panel + (count - 1) * BETWEEN + 0.3
        width = max(width, left + panel + 0.3)
        body = max(self.row_height * len(self.names), 0.6)
        top, bottom = 1.72, 0.72
        height = top + body + bottom
        figure = Figure(figsize=(width, height), facecolor="white")
        FigureCanvasAgg(figure)
        page = _Page(figure, width, height)
        room = int((width - 0.6) / 0.125)
        page.text(0.3, height - 0.36, _plain(self.title, room), size=13, weight="bold")
        page.text(0.3, height - 0.60, self._caption(), size=8, color=QUIET)
        if not self.names:
            page.text(0.3, bottom + body / 2, "There is no layer in the table.", size=10)
            return figure
        scales = [self._scale(x) for x in range(len(COLUMNS))]
        for number, target in enumerate(self.tables):
            x = left + number * (panel + BETWEEN)
            page.head(x + STRIP, bottom + body, _plain(target, 44), scales)
            axes = page.axes(x, bottom, panel, body)
            self._panel(axes, target, scales)
        self._labels(page, labels, ops, (left, bottom, body))
        page.legend(max(0.3, min(left + STRIP, width - 5.0)), 0.36)
        return figure

    def _caption(self) -> str:
        count = len(self.names)
        ranked = f"bold: the {len(self.worst)} of least isolated SQNR" if self.worst else ""
        return "  ·  ".join(t for t in (f"{count} layers, the input on top", ranked) if t)

    def _op(self, name: str) -> str:
        return next(rows[name].op for rows in self.rows.values() if name in rows)

    def _panel(self, axes: Axes, target: str, scales: Sequence[_Scale]) -> None:
        """Draw the cells of one target; a unit of the axes is an inch across and a row down."""
        values, count = self.values[target], len(self.names)
        axes.set_xlim(0, STRIP + CELL * len(COLUMNS))
        axes.set_ylim(count, 0)
        holes, lossless = [], []
        numbered = count <= WITH_NUMBERS
        for x, (column, scale) in enumerate(zip(COLUMNS, scales, strict=True)):
            left = STRIP + CELL * x
            known = values[:, x]
            with np.errstate(invalid="ignore", divide="ignore"):
                bad = scale.share(column.badness(known))
            colours = _colours(column.neutral)(np.nan_to_num(bad)[:, None])
            axes.imshow(
                colours, extent=(left, left + CELL, count, 0), aspect="auto", interpolation="none"
            )
            holes += _runs(np.isnan(known), left)
            lossless += _runs(np.isposinf(known), left)
            for y, value in enumerate(known if numbered else ()):
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
        self._precisions(axes, target)
        axes.set_xlim(0, STRIP + CELL * len(COLUMNS))
        axes.set_ylim(count, 0)

    def _precisions(self, axes: Axes, target: str) -> None:
        """Mark the rows that stay float32: blue, with an F where there is room."""
        rows = self.rows[target]
        marks = np.array([n in rows and rows[n].precision == "float32" for n in self.names])
        for start, stop in _spans(marks):
            axes.add_patch(
                Rectangle((0.02, start), STRIP - 0.05, stop - start, facecolor=FLOAT, linewidth=0)
            )
        if self.row_height < SMALLEST:
            return
        for y in np.flatnonzero(marks):
            axes.text(
                STRIP / 2 - 0.005,
                y + 0.5,
                "F",
                size=min(6.5, self.points),
                ha="center",
                va="center_baseline",
                color="white",
                weight="bold",
            )

    def _labels(
        self,
        page: "_Page",
        labels: Sequence[str],
        ops: Sequence[str],
        place: tuple[float, float, float],
    ) -> None:
        """Write number, name and operator of each layer that has room, the worst before others."""
        left, bottom, body = place
        count, size = len(self.names), self.points
        step = body / count
        glyph = size / 72 * GLYPH
        edge = left - 0.1 - glyph * max(cells(t) for t in ops) - 0.15
        for y, at in _placed(self._named(), step, body):
            rank = self.worst.get(self.names[y])
            weight, colour = ("bold", ALARM) if rank else ("normal", INK)
            height = bottom + body - at
            tip = f"#{rank}" if rank else f"{y + 1}"
            page.text(0.3, height, tip, size=size, weight=weight, color=ALARM if rank else QUIET)
            page.text(edge, height, labels[y], size=size, ha="right", weight=weight, color=colour)
            page.text(edge + 0.15, height, ops[y], size=size, color=QUIET)
            if step < SMALLEST:
                page.line((left - 0.1, height), (left, bottom + body - (y + 0.5) * step), colour)

    def _named(self) -> list[int]:
        """Return which layers are named: all, or the worst and every n-th not too near to them."""
        count = len(self.names)
        step = self.row_height
        if step >= SMALLEST:
            return list(range(count))
        every = math.ceil(SMALLEST / step)
        ranked = [y for y, name in enumerate(self.names) if name in self.worst]
        room = [
            y for y in range(0, count, every) if all(abs(y - r) * step >= SMALLEST for r in ranked)
        ]
        return sorted({*ranked, *room})


def _placed(named: Sequence[int], step: float, body: float) -> list[tuple[int, float]]:
    """Return (layer, inches from the top), moved apart where two names would overlap."""
    least = min(step, SMALLEST) if step >= SMALLEST else SMALLEST
    at = [(y + 0.5) * step for y in named]
    for i in range(1, len(at)):
        at[i] = max(at[i], at[i - 1] + least)
    limit = max(body, least * len(at))
    for i in reversed(range(len(at))):
        at[i] = min(at[i], limit)
        limit = at[i] - least
    return list(zip(named, at, strict=True))


def _spans(marks: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return [start, stop) of each run of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marks.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _runs(marks: NDArray[np.bool_], left: float) -> list[Rectangle]:
    """Return a rectangle over each run of marked cells of a column."""
    return [Rectangle((left, a), CELL, b - a) for a, b in _spans(marks)]


def _hatch(axes: Axes, found: list[Rectangle], hatch: str, face: str, line: str) -> None:
    if found:
        axes.add_collection(
            PatchCollection(
                found, facecolor=face, edgecolor=line, hatch=hatch, linewidth=0, zorder=1.5
            ),
            autolim=False,
        )


@dataclass(frozen=True, slots=True)
class _Page:
    """A figure whose coordinates are inches from its lower left corner."""

    figure: Figure
    width: float
    height: float

    def text(self, x: float, y: float, text: str, **how: Any) -> None:
        """Write a line, never read as mathematics."""
        given: dict[str, Any] = {"va": "center_baseline", "color": INK, "parse_math": False, **how}
        self.figure.text(x / self.width, y / self.height, text, **given)

    def line(self, a: tuple[float, float], b: tuple[float, float], colour: str) -> None:
        """Lead from a name to its row."""
        xs, ys = [p[0] / self.width for p in (a, b)], [p[1] / self.height for p in (a, b)]
        self.figure.add_artist(Line2D(xs, ys, color=colour, lw=0.4))

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Return bare axes."""
        place = (x / self.width, y / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(place)
        axes.set_axis_off()
        return axes

    def head(self, left: float, base: float, target: str, scales: Sequence[_Scale]) -> None:
        """Write a target's name, and each column's title, unit and scale."""
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
                _colours(column.neutral)(np.linspace(0, 1, 64))[None],
                aspect="auto",
                interpolation="none",
            )
            ends = [column.text(column.back(b)) for b in (scale.best, scale.worst)]
            ends[0] = f"≥{ends[0]}" if scale.cut else ends[0]
            for at, end, side in zip((0.04, CELL - 0.04), ends, ("left", "right"), strict=True):
                place = middle - CELL / 2 + at
                self.text(place, base + 0.22, end, size=5.5, color=QUIET, ha=side)

    def legend(self, left: float, y: float) -> None:
        """Say what colours, hatches and the F mean."""
        bar = self.axes(left, y - 0.05, 0.9, 0.11)
        bar.imshow(_colours(False)(np.linspace(0, 1, 64))[None], aspect="auto")
        self.text(left, y - 0.18, "best", size=6.5, color=QUIET)
        self.text(left + 0.9, y - 0.18, "worst", size=6.5, color=QUIET, ha="right")
        x = left + 1.2
        for face, hatch, words in (
            (HOLE, "/////", "not measured"),
            (_colours(False)(0.0), "....", "inf: lossless"),
            (FLOAT, "", "F: stays float32"),
        ):
            box = self.axes(x, y - 0.05, 0.17, 0.11)
            box.add_patch(
                Rectangle((0, 0), 1, 1, facecolor=face, edgecolor="#9aa1aa", hatch=hatch, lw=0)
            )
            self.text(x + 0.23, y, words, size=7)
            x += 0.35 + 0.062 * len(words)
