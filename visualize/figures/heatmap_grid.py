"""The numbers of a heatmap, layers x metrics, and the scale of each metric's colours."""

__all__ = ["COLUMNS", "Column", "Grid", "Scale"]

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.analysis.layer_error import LayerError

F64 = NDArray[np.float64]

WORST = 10
"""The number of layers that are ranked and named in bold, whatever the number of layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One metric of the heatmap.

    Attributes:
        title: Name of the metric, over two lines.
        unit: Unit of the printed numbers.
        value: Reads the metric from a row; the second argument is the sum of all MACs.
        badness: Turns values into what the colour is proportional to; greater is worse.
        best: Value from which the colour is the palest.
        worst: Value from which the colour is the darkest; nan for the greatest of the table.
        ends: The two ends of the scale as text; "" for the value itself.
        text: Formats a number.
        neutral: Whether the metric is a size and no error: grey instead of red.
    """

    title: str
    unit: str
    value: Callable[[LayerError, float], float]
    badness: Callable[[F64], F64]
    best: float
    worst: float
    ends: tuple[str, str]
    text: Callable[[float], str]
    neutral: bool = False


def _share(value: float) -> str:
    """Format a percentage in four characters."""
    if 0 < value < 0.005:
        return "<.01"
    return "0" if value == 0 else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _cosine(value: float) -> str:
    """Format a cosine; "1.0000" only for 1."""
    return ">.9999" if 0.99995 <= value < 1 else f"{value:.4f}"


def _decibel_column(
    title: str, read: Callable[[LayerError], float], best: float, worst: float
) -> Column:
    return Column(
        title=title,
        unit="dB",
        value=lambda row, _: read(row),
        badness=lambda x: -x,
        best=best,
        worst=worst,
        ends=(f"≥{best:g}", f"≤{worst:g}"),
        text=lambda x: f"{x:.1f}",
    )


COLUMNS = (
    _decibel_column("isolated\nSQNR", lambda row: row.isolated_sqnr_db, 50.0, 10.0),
    _decibel_column("cumulative\nSQNR", lambda row: row.cumulative_sqnr_db, 40.0, 0.0),
    Column(
        title="cosine",
        unit="1 is best",
        value=lambda row, _: row.cosine,
        # 1 - cosine is half the noise's share of the power: in decibels, as the others
        badness=lambda x: 10 * np.log10(np.clip(1 - x, 1e-6, 2)),
        best=0.9999,
        worst=0.5,
        ends=("≥.9999", "≤.5"),
        text=_cosine,
    ),
    _decibel_column("weight\nSQNR", lambda row: row.weight_sqnr_db, 50.0, 10.0),
    Column(
        title="saturated",
        unit="% of input",
        value=lambda row, _: 100 * row.saturation,
        badness=np.sqrt,  # small shares are told apart too
        best=0.0,
        worst=1.0,
        ends=("0", "≥1"),
        text=_share,
    ),
    Column(
        title="MACs",
        unit="% of all",
        value=lambda row, total: 100 * row.macs / total if total else 0.0,
        badness=lambda x: x,
        best=0.0,
        worst=math.nan,
        ends=("0", ""),
        text=_share,
        neutral=True,
    ),
)
"""The columns. The scales of errors are those of `report.html`: the same in every run, so that the
colours of two runs compare."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What the two ends of a column's colours stand for.

    Attributes:
        best: Badness from which the colour is the palest.
        worst: Badness from which the colour is the darkest.
        ends: Both ends as text.
    """

    best: float
    worst: float
    ends: tuple[str, str]

    def share(self, bad: F64) -> F64:
        """Return the position of each badness on the scale: 0 for the best, 1 for the worst."""
        return np.clip((bad - self.best) / (self.worst - self.best), 0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The layers of all targets, matched by name.

    Attributes:
        names: The layers, in the order of their first appearance.
        rows: Rows by target and by layer; a target may lack layers.
        values: By target float64 `[layers, columns]`, nan where nothing was measured.
        worst: The rank, from 1, of the ten layers with the least isolated SQNR in any target.
    """

    names: Sequence[str]
    rows: Mapping[str, Mapping[str, LayerError]]
    values: Mapping[str, F64]
    worst: Mapping[str, int]

    @classmethod
    def of(cls, tables: Mapping[str, Sequence[LayerError]]) -> "Grid":
        """Return the grid of layer tables by target."""
        rows = {target: {r.layer: r for r in table} for target, table in tables.items()}
        names = list(dict.fromkeys(r.layer for table in tables.values() for r in table))
        values = {target: _values(names, by_name) for target, by_name in rows.items()}
        return cls(names=names, rows=rows, values=values, worst=_worst(names, rows))

    def op(self, name: str) -> str:
        """Return a layer's operator."""
        return next(rows[name].op for rows in self.rows.values() if name in rows)

    def scale(self, x: int) -> Scale:
        """Return the scale of column `x`, one for all targets."""
        column = COLUMNS[x]
        worst, (first, last) = column.worst, column.ends
        if math.isnan(worst):
            values = np.concatenate([v[:, x] for v in self.values.values()] or [np.zeros(0)])
            worst = max(1.0, float(np.max(values[np.isfinite(values)], initial=0.0)))
        best, end = column.badness(np.array([column.best, worst]))
        return Scale(float(best), float(end), (first, last or column.text(worst)))


def _values(names: Sequence[str], rows: Mapping[str, LayerError]) -> F64:
    """Return float64 `[layers, columns]`, nan where there is nothing."""
    values = np.full((len(names), len(COLUMNS)), np.nan)
    total = float(sum(row.macs for row in rows.values()))
    for y, name in enumerate(names):
        row = rows.get(name)
        if row is not None:
            values[y] = [column.value(row, total) for column in COLUMNS]
    return values


def _worst(names: Sequence[str], rows: Mapping[str, Mapping[str, LayerError]]) -> dict[str, int]:
    """Return the rank, from 1, of the layers with the least isolated SQNR in any target."""
    least: dict[str, float] = {}
    for table in rows.values():
        for name, row in table.items():
            value = row.isolated_sqnr_db
            if value < least.get(name, math.inf):  # false for nan, and for lossless
                least[name] = value
    order = sorted(least, key=lambda name: (least[name], names.index(name)))
    return {name: rank for rank, name in enumerate(order[:WORST], 1)}
