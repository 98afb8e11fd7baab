"""The figure of a roofline: arithmetic intensity against attained rate, roofs and layers."""

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
from quant.visualize.figures.canvas import QUIET, drawable
from quant.visualize.figures.figure_file import drawing, save_figure
from quant.visualize.figures.lines import LINES, MARKS

NAMED = 5
"""Number of named layers: those that take the most time."""


@dataclass(frozen=True, slots=True)
class _Point:
    """A layer at one precision.

    Attributes:
        x: Operations per byte.
        y: Operations per second.
        row: The layer's prediction.
        measured: Whether `y` is measured or predicted.
    """

    x: float
    y: float
    row: LayerPrediction
    measured: bool


def write_roofline(prediction: NetworkCost, path: Path) -> None:
    """Write the figure as PNG, and as SVG beside it."""
    with drawing():
        save_figure(roofline_figure(prediction), path)


def roofline_figure(prediction: NetworkCost) -> Figure:
    """Return the layers of every network under the roofs of the device, with logarithmic axes.

    A filled point shows the operations per second of the measured time, a hollow one those of the
    predicted time. Layers without operations or bytes are left out.
    """
    figure = Figure(figsize=(8.2, 5.6), facecolor="white")
    axes = figure.add_axes((0.09, 0.11, 0.88, 0.77))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(EngFormatter(sep=""))
    points = _points(prediction)
    names = list(dict.fromkeys([*prediction.device.peak, *points]))
    colours = {name: LINES[i % len(LINES)] for i, name in enumerate(names)}
    marks = {name: MARKS[i % len(MARKS)] for i, name in enumerate(names)}
    span = _span(prediction, points)
    _roofs(axes, prediction, span, colours)
    for name, layer_points in points.items():
        _scatter(axes, name, layer_points, colours[name], marks[name])
    _names(axes, [p for layer_points in points.values() for p in layer_points])
    axes.set_xlim(*span)
    axes.set_xlabel("operations for each byte moved", color=QUIET)
    axes.set_ylabel("operations a second")
    axes.grid(True, which="major", axis="both")
    caption = (
        "filled: measured, hollow: predicted" if prediction.latency is not None else "predicted"
    )
    title = f"{drawable(prediction.graph.name, 34)} on {drawable(prediction.device.title, 40)} ({caption})"
    axes.set_title(title, pad=22)
    if points:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, borderaxespad=0.2)
    return figure


def _points(prediction: NetworkCost) -> dict[str, list[_Point]]:
    """Return the layers with operations and bytes, by their own precision, each once."""
    by_precision: dict[str, dict[str, _Point]] = {}
    for row in (row for name in prediction.networks for row in prediction.rows(name)):
        cost, measured = row.cost, not math.isnan(row.measured_ms)
        spent = row.measured_ms if measured else cost.milliseconds
        if cost.operations and cost.bytes and spent:
            point = _Point(cost.intensity, cost.operations / spent * 1e3, row, measured)
            by_precision.setdefault(cost.precision, {})[cost.layer] = point
    return {name: list(by_layer.values()) for name, by_layer in by_precision.items()}


def _span(prediction: NetworkCost, points: Mapping[str, Sequence[_Point]]) -> tuple[float, float]:
    """Return the lowest and the highest shown intensity; the knees of the roofs are included."""
    intensities = [p.x for layer_points in points.values() for p in layer_points]
    if prediction.device.bandwidth is not None:
        tops = [peak * prediction.device.efficiency for peak in prediction.device.peak.values()]
        intensities += [top / prediction.device.bandwidth for top in tops]
    return (min(intensities, default=1.0) / 2, max(intensities, default=1.0) * 3)


def _roofs(
    axes: Axes, prediction: NetworkCost, span: tuple[float, float], colours: Mapping[str, str]
) -> None:
    """Draw the roof of each precision; it has no slope without a bandwidth."""
    device = prediction.device
    x = np.geomspace(*span, 400)
    for name, peak in device.peak.items():
        top = np.full_like(x, peak * device.efficiency)
        slope = x * device.bandwidth if device.bandwidth is not None else top
        axes.plot(x, np.minimum(top, slope), color=colours[name], lw=1.4, zorder=1)
        label = f"{name} {EngFormatter(sep='')(float(top[0]))} "
        ends = {"ha": "right", "va": "bottom", "fontsize": 7.5, "color": colours[name]}
        axes.text(span[1], float(top[0]), label, **ends)  # type: ignore[arg-type]


def _scatter(axes: Axes, name: str, layer_points: Sequence[_Point], colour: str, mark: str) -> None:
    for measured in (False, True):
        chosen = [p for p in layer_points if p.measured == measured]
        if not chosen:
            continue
        axes.plot(
            [p.x for p in chosen],
            [p.y for p in chosen],
            linestyle="none",
            marker=mark,
            markersize=4.6,
            markerfacecolor=colour if measured else "white",
            markeredgecolor="white" if measured else colour,
            markeredgewidth=0.4 if measured else 1.0,
            label=f"layers in {name}" if measured or len(chosen) == len(layer_points) else None,
        )


def _names(axes: Axes, points: Sequence[_Point]) -> None:
    """Name the layers that take the most time, each at its slowest point."""
    candidates = [p for p in points if p.measured] or list(points)
    slowest = sorted(candidates, key=lambda p: (-p.row.cost.operations / p.y, p.row.cost.layer))
    slowest_of: dict[str, _Point] = {}
    for point in slowest:
        slowest_of.setdefault(point.row.cost.layer, point)
    apart: list[_Point] = []
    for point in slowest_of.values():
        if all(_distance(point, other) > 0.3 for other in apart):
            apart.append(point)
    for point in apart[:NAMED]:
        axes.annotate(
            drawable(point.row.cost.layer, 26),
            (point.x, point.y),
            xytext=(6, -8),
            textcoords="offset points",
            fontsize=6.5,
            color=QUIET,
        )


def _distance(first: _Point, second: _Point) -> float:
    """Return the distance of two points in powers of ten."""
    return abs(math.log10(first.x / second.x)) + abs(math.log10(first.y / second.y))
