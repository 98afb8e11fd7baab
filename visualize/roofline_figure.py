"""The figure of a roofline: intensity against attained rate, the roofs, and the layers below."""

__all__ = ["roofline_figure", "write_roofline"]

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quant.device import Device
from quant.roof import Roof, RoofRow
from quant.visualize.figure_file import drawing, save_figure
from quant.visualize.figure_lines import LINES, MARKS
from quant.visualize.heatmap_page import QUIET, plain

NAMED = 4
"""Layers whose names stand beside their points: those that take the most time."""


def write_roofline(roof: Roof, path: Path) -> None:
    """Write the figure as PNG, and as SVG beside it."""
    with drawing():
        save_figure(roofline_figure(roof), path)


def roofline_figure(roof: Roof) -> Figure:
    """Return the layers of every network under the roofs of the device, both axes logarithmic.

    A point stands at the operations a second of the measured time where there is one, else of the
    predicted one. Layers without operations or bytes have no place and are left out.
    """
    figure = Figure(figsize=(8.2, 5.6), facecolor="white")
    axes = figure.add_axes((0.1, 0.11, 0.87, 0.75))
    axes.set_xscale("log")
    axes.set_yscale("log")
    points = {name: _placed(roof.rows(name)) for name in roof.networks}
    every = [x for found in points.values() for x, _, _ in found] or [1.0]
    knees = (
        [p / roof.device.bandwidth for p in roof.device.peak.values()]
        if roof.device.bandwidth
        else []
    )
    span = (min([*every, *knees]) / 2, max([*every, *knees]) * 2.5)
    for number, (name, found) in enumerate(points.items()):
        colour, mark = LINES[number % len(LINES)], MARKS[number % len(MARKS)]
        axes.plot(
            [x for x, _, _ in found],
            [y for _, y, _ in found],
            linestyle="none",
            marker=mark,
            markersize=4.2,
            markerfacecolor=colour,
            markeredgecolor="white",
            markeredgewidth=0.4,
            label=f"layers, network in {name}",
        )
    for number, (name, peak) in enumerate(roof.device.peak.items()):
        _roof(axes, roof.device, name, peak, span, LINES[number % len(LINES)])
    if roof.latency is not None or len(points) == 1:
        _name(axes, roof)
    axes.set_xlim(*span)
    axes.set_xlabel("operations for each byte moved", color=QUIET)
    axes.set_ylabel("operations a second")
    axes.grid(True, which="major", axis="both", color="#e3e7ec")
    how = "measured" if roof.latency is not None else "predicted"
    title = f"{plain(roof.graph.name, 40)} on {plain(roof.device.title, 44)}, {how}"
    axes.set_title(title, pad=34)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderaxespad=0.2)
    return figure


def _placed(rows: list[RoofRow]) -> list[tuple[float, float, RoofRow]]:
    """Return intensity, operations a second and row of the layers that have both."""
    found = []
    for row in rows:
        measured = not math.isnan(row.measured_ms)
        spent = row.measured_ms if measured else row.cost.milliseconds
        if row.cost.operations and row.cost.bytes and spent:
            found.append((row.cost.intensity, row.cost.operations / spent * 1e3, row))
    return found


def _roof(
    axes: Axes, device: Device, name: str, peak: float, span: tuple[float, float], colour: str
) -> None:
    """Draw the roof of one precision; without a bandwidth it has no slope."""
    x = np.geomspace(*span, 200)
    top = np.full_like(x, peak * device.efficiency)
    slope = x * device.bandwidth if device.bandwidth is not None else top
    axes.plot(x, np.minimum(top, slope), color=colour, lw=1.4, zorder=1)
    axes.text(
        span[1],
        peak * device.efficiency,
        f"{name} {peak * device.efficiency / 1e12:.3g}T ",
        ha="right",
        va="bottom",
        fontsize=7.5,
        color=colour,
    )


def _name(axes: Axes, roof: Roof) -> None:
    """Name the layers that take the most time."""
    found = [p for name in roof.networks for p in _placed(roof.rows(name))]
    found.sort(key=lambda p: -p[2].cost.operations / p[1])
    for x, y, row in found[:NAMED]:
        axes.annotate(
            plain(row.cost.layer, 26),
            (x, y),
            xytext=(5, -9),
            textcoords="offset points",
            fontsize=6.5,
            color=QUIET,
        )
