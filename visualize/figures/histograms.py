"""Panels of the worst layers: what they read on its grid, and the range of their weights."""

__all__ = ["histogram_panels", "weight_panels"]

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quant.analysis.analyse import LayerAnalysis
from quant.choose.grid_fit import InputStats
from quant.graph.layers import source_of
from quant.profile.statistics import TensorProfile
from quant.results.saved_run import SavedTarget
from quant.visualize.figures.canvas import ALARM, QUIET, plain

BLUE = "#2f6db3"
BARS = 160
ACROSS = 2


def _panels(count: int, title: str, height: float) -> tuple[Figure, list[Axes]]:
    down = max(1, -(-count // ACROSS))
    tall = 0.6 + height * down
    figure = Figure(figsize=(10.5, tall), facecolor="white")
    figure.text(0.02, 1 - 0.3 / tall, plain(title, 96), weight="bold", size=11)
    figure.subplots_adjust(
        left=0.075, right=0.985, bottom=0.5 / tall, top=1 - 0.75 / tall, wspace=0.2, hspace=0.62
    )
    grid = figure.subplots(down, ACROSS, squeeze=False)
    every = list(grid.flat)
    for axes in every[count:]:
        axes.set_axis_off()
    return figure, every[:count]


def histogram_panels(target: SavedTarget, worst: Sequence[LayerAnalysis], title: str) -> Figure:
    """Return a histogram of each layer's first input, with clip points and grid; counts are log."""
    shown = [x for x in worst if x.inputs]
    figure, every = _panels(len(shown), title, 2.3)
    for axes, layer in zip(every, shown, strict=True):
        one = layer.inputs[0]
        known = one.tensor in target.graph.values
        name = source_of(target.graph, one.tensor) if known else one.tensor
        seen = target.profile.tensors.get(name)
        if seen is not None:
            _histogram(axes, seen, one)
        axes.set_title(plain(layer.layer, 54), size=9)
        axes.set_xlabel(
            f"value of {plain(one.tensor, 32)}; {100 * one.used:.3g} % of the grid used, "
            f"{100 * one.saturated:.2g} % saturated",
            color=QUIET,
            size=7.5,
        )
        axes.set_ylabel("elements")
    return figure


def _histogram(axes: Axes, seen: TensorProfile, one: InputStats) -> None:
    low, high = min(one.low, one.grid_low), max(one.high, one.grid_high)
    if not high > low:
        axes.text(0.5, 0.5, "constant", transform=axes.transAxes, ha="center")
        return
    # a bin's centre may lie beyond the last value of the bin: clipped values belong to the end
    centers = np.clip(seen.centers, low, high)
    counts, edges = np.histogram(centers, BARS, (low, high), weights=seen.bins)
    middle = (edges[:-1] + edges[1:]) / 2
    out = (middle < one.grid_low) | (middle > one.grid_high)
    tall = np.log10(np.maximum(counts, 0.5))
    floor = np.log10(0.5)
    for mask, colour in ((~out, BLUE), (out, ALARM)):
        axes.stairs(np.where(mask, tall, floor), edges, baseline=floor, fill=True, color=colour)
    top = float(max(tall.max() + 0.5, 1.0))
    ticks = range(0, int(top) + 1, max(1, int(top) // 3))
    axes.set_ylim(floor - 0.25, top)
    axes.set_yticks(list(ticks), [f"{10**t:.0e}" if t > 3 else f"{10**t}" for t in ticks])
    for at in (one.grid_low, one.grid_high):
        axes.axvline(at, color=ALARM, lw=1, ls="--")
    if np.isfinite(one.step) and one.step > 0:
        levels = np.arange(one.grid_low, one.grid_high + one.step / 2, one.step)
        levels = levels[:: max(1, -(-levels.size // 128))]
        axes.plot(levels, np.full(levels.size, floor - 0.12), "|", color=ALARM, ms=3.5, mew=0.5)
    axes.margins(x=0.02)


def weight_panels(worst: Sequence[LayerAnalysis], title: str) -> Figure:
    """Return the range of each output channel of the layers' weights."""
    shown = [x for x in worst if x.weight is not None]
    figure, every = _panels(len(shown), title, 2.0)
    for axes, layer in zip(every, shown, strict=True):
        weight = layer.weight
        assert weight is not None
        at = np.arange(weight.low.size)
        wide = max(0.5, 300 / max(at.size, 1))
        axes.vlines(at, weight.low, weight.high, color=BLUE, lw=min(wide, 6))
        axes.axhline(0, color="#8b96a5", lw=0.6)
        axes.set_title(plain(layer.layer, 54), size=9)
        scales = f"{weight.scales} scale{'' if weight.scales == 1 else 's'}"
        axes.set_xlabel(
            f"output channel; {scales}, largest {weight.spread:.3g} times the median",
            color=QUIET,
            size=7.5,
        )
        axes.set_ylabel("weight")
        axes.margins(x=0.01)
    return figure
