"""The figure of a roofline: intensity against attained rate, the roofs, and the layers below."""

__all__ = ["roofline_figure", "write_roofline"]

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from quant.cost.network_cost import LayerPrediction, NetworkCost
from quant.visualize.figures.canvas import QUIET, plain
from quant.visualize.figures.figure_file import drawing, save_figure
from quant.visualize.figures.lines import LINES, MARKS

NAMED = 5
"""Layers whose names stand beside their points: those that take the most time."""


@dataclass(frozen=True, slots=True)
class _Point:
    """A layer at one precision: operations a byte, operations a second, and whether measured."""

    x: float
    y: float
    row: LayerPrediction
    measured: bool


def write_roofline(roof: NetworkCost, path: Path) -> None:
    """Write the figure as PNG, and as SVG beside it."""
    with drawing():
        save_figure(roofline_figure(roof), path)


def roofline_figure(roof: NetworkCost) -> Figure:
    """Return the layers of every network under the roofs of the device, both axes logarithmic.

    A filled point stands at the operations a second of the measured time; a hollow one at those of
    the predicted time. Layers without operations or bytes have no place and are left out.
    """
    figure = Figure(figsize=(8.2, 5.6), facecolor="white")
    axes = figure.add_axes((0.09, 0.11, 0.88, 0.77))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(EngFormatter(sep=""))
    points = _points(roof)
    names = list(dict.fromkeys([*roof.device.peak, *points]))
    colours = {name: LINES[i % len(LINES)] for i, name in enumerate(names)}
    marks = {name: MARKS[i % len(MARKS)] for i, name in enumerate(names)}
    span = _span(roof, points)
    _roofs(axes, roof, span, colours)
    for name, found in points.items():
        _scatter(axes, name, found, colours[name], marks[name])
    _names(axes, [p for found in points.values() for p in found])
    axes.set_xlim(*span)
    axes.set_xlabel("operations for each byte moved", color=QUIET)
    axes.set_ylabel("operations a second")
    axes.grid(True, which="major", axis="both")
    how = "filled: measured, hollow: predicted" if roof.latency is not None else "predicted"
    title = f"{plain(roof.graph.name, 34)} on {plain(roof.device.title, 40)} ({how})"
    axes.set_title(title, pad=22)
    if points:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, borderaxespad=0.2)
    return figure


def _points(roof: NetworkCost) -> dict[str, list[_Point]]:
    """Return the layers that have a place, by their own precision; each once."""
    found: dict[str, dict[str, _Point]] = {}
    for row in (row for name in roof.networks for row in roof.rows(name)):
        cost, measured = row.cost, not math.isnan(row.measured_ms)
        spent = row.measured_ms if measured else cost.milliseconds
        if cost.operations and cost.bytes and spent:
            point = _Point(cost.intensity, cost.operations / spent * 1e3, row, measured)
            found.setdefault(cost.precision, {})[cost.layer] = point
    return {name: list(some.values()) for name, some in found.items()}


def _span(roof: NetworkCost, points: Mapping[str, Sequence[_Point]]) -> tuple[float, float]:
    """Return the least and the greatest intensity that is shown, the knees of the roofs too."""
    seen = [p.x for found in points.values() for p in found]
    if roof.device.bandwidth is not None:
        tops = [peak * roof.device.efficiency for peak in roof.device.peak.values()]
        seen += [top / roof.device.bandwidth for top in tops]
    return (min(seen, default=1.0) / 2, max(seen, default=1.0) * 3)


def _roofs(
    axes: Axes, roof: NetworkCost, span: tuple[float, float], colours: Mapping[str, str]
) -> None:
    """Draw the roof of each precision; without a bandwidth it has no slope."""
    device = roof.device
    x = np.geomspace(*span, 400)
    for name, peak in device.peak.items():
        top = np.full_like(x, peak * device.efficiency)
        slope = x * device.bandwidth if device.bandwidth is not None else top
        axes.plot(x, np.minimum(top, slope), color=colours[name], lw=1.4, zorder=1)
        label = f"{name} {EngFormatter(sep='')(float(top[0]))} "
        ends = {"ha": "right", "va": "bottom", "fontsize": 7.5, "color": colours[name]}
        axes.text(span[1], float(top[0]), label, **ends)  # type: ignore[arg-type]


def _scatter(axes: Axes, name: str, found: Sequence[_Point], colour: str, mark: str) -> None:
    for measured in (False, True):
        some = [p for p in found if p.measured == measured]
        if not some:
            continue
        axes.plot(
            [p.x for p in some],
            [p.y for p in some],
            linestyle="none",
            marker=mark,
            markersize=4.6,
            markerfacecolor=colour if measured else "white",
            markeredgecolor="white" if measured else colour,
            markeredgewidth=0.4 if measured else 1.0,
            label=f"layers in {name}" if measured or len(some) == len(found) else None,
        )


def _names(axes: Axes, points: Sequence[_Point]) -> None:
    """Name the layers that take the most time; of one layer the slowest point."""
    known = [p for p in points if p.measured] or list(points)
    slowest = sorted(known, key=lambda p: (-p.row.cost.operations / p.y, p.row.cost.layer))
    shown: dict[str, _Point] = {}
    for point in slowest:
        shown.setdefault(point.row.cost.layer, point)
    apart: list[_Point] = []
    for point in shown.values():
        if all(_distance(point, other) > 0.3 for other in apart):
            apart.append(point)
    for point in apart[:NAMED]:
        axes.annotate(
            plain(point.row.cost.layer, 26),
            (point.x, point.y),
            xytext=(6, -8),
            textcoords="offset points",
            fontsize=6.5,
            color=QUIET,
        )


def _distance(one: _Point, other: _Point) -> float:
    """Return how far two points are apart, in powers of ten: names nearer than that overlap."""
    return abs(math.log10(one.x / other.x)) + abs(math.log10(one.y / other.y))
