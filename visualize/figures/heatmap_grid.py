"""What the heatmap shows: layers x columns as numbers, and what a column's colours stand for."""

__all__ = ["COLUMNS", "Column", "Grid", "Scale"]

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.analysis.layer_error import LayerError

F64 = NDArray[np.float64]

WORST = 10
"""So many layers are named whatever the number of layers, and ranked in bold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
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


def _decibel_column(title: str, read: Callable[[LayerError], float]) -> Column:
    return Column(
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
    Column(
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
    Column(
        title="saturated",
        unit="% of input",
        value=lambda row, _: 100 * row.saturation,
        badness=np.sqrt,  # one bad layer must not wash out the others
        back=lambda bad: bad**2,
        span=math.sqrt(0.1),
        reach=10.0,
        text=_share,
    ),
    Column(
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


@dataclass(frozen=True, slots=True)
class Scale:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The layers of all targets, merged by name.

    Attributes:
        names: The layers, in the order of their first appearance.
        rows: By target, then by layer; a target may lack layers.
        values: By target: float64 `[layers, columns]`, nan where there is nothing.
        worst: The rank, from 1, of the ten layers with the least isolated SQNR in any target.
    """

    names: Sequence[str]
    rows: Mapping[str, Mapping[str, LayerError]]
    values: Mapping[str, F64]
    worst: Mapping[str, int]

    @classmethod
    def of(cls, tables: Mapping[str, Sequence[LayerError]]) -> "Grid":
        """Return the grid of rows by target name."""
        rows = {target: {r.layer: r for r in table} for target, table in tables.items()}
        names = list(dict.fromkeys(r.layer for table in tables.values() for r in table))
        values = {target: _values(names, found) for target, found in rows.items()}
        return cls(names=names, rows=rows, values=values, worst=_worst(names, rows))

    def op(self, name: str) -> str:
        """Return a layer's operator."""
        return next(rows[name].op for rows in self.rows.values() if name in rows)

    def scale(self, x: int) -> Scale:
        """Return the scale of a column, one for all targets."""
        column = COLUMNS[x]
        every = np.concatenate([v[:, x] for v in self.values.values()] or [np.zeros(0)])
        every = every[np.isfinite(every)]
        if column.neutral or not every.size:
            bad = column.badness(every) if every.size else np.zeros(1)
            return Scale(0.0 if column.neutral else -1.0, max(float(bad.max()), column.span), False)
        bad = column.badness(every)
        best, worst = float(bad.min()), float(bad.max())
        cut = worst - best > column.reach
        best = max(best, worst - column.reach)
        return Scale(best, max(worst, best + column.span), cut)


def _values(names: Sequence[str], rows: Mapping[str, LayerError]) -> F64:
    """Return float64 `[layers, columns]`, nan where there is nothing."""
    found = np.full((len(names), len(COLUMNS)), np.nan)
    total = float(sum(row.macs for row in rows.values()))
    for y, name in enumerate(names):
        row = rows.get(name)
        if row is not None:
            found[y] = [column.value(row, total) for column in COLUMNS]
    return found


def _worst(names: Sequence[str], rows: Mapping[str, Mapping[str, LayerError]]) -> dict[str, int]:
    """Return the rank, from 1, of the layers with the least isolated SQNR in any target."""
    least: dict[str, float] = {}
    for found in rows.values():
        for name, row in found.items():
            value = row.isolated_sqnr_db
            if value < least.get(name, math.inf):  # false for nan, and for lossless
                least[name] = value
    order = sorted(least, key=lambda name: (least[name], names.index(name)))
    return {name: rank for rank, name in enumerate(order[:WORST], 1)}
