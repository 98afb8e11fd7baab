"""Panels of the worst layers: histograms of their inputs, and the ranges of their weights."""

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
from quant.visualize.figures.canvas import ALARM, QUIET, drawable

BLUE = "#2f6db3"
BARS = 160
ACROSS = 2


def _panels(count: int, title: str, height: float) -> tuple[Figure, list[Axes]]:
    down = max(1, -(-count // ACROSS))
    tall = 0.6 + height * down
    figure = Figure(figsize=(10.5, tall), facecolor="white")
    figure.text(0.02, 1 - 0.3 / tall, drawable(title, 96), weight="bold", size=11)
    figure.subplots_adjust(
        left=0.075, right=0.985, bottom=0.5 / tall, top=1 - 0.75 / tall, wspace=0.2, hspace=0.62
    )
    grid = figure.subplots(down, ACROSS, squeeze=False)
    all_axes = list(grid.flat)
    for axes in all_axes[count:]:
        axes.set_axis_off()
    return figure, all_axes[:count]


def histogram_panels(target: SavedTarget, worst: Sequence[LayerAnalysis], title: str) -> Figure:
    """Return a logarithmic histogram of each layer's first input, with its grid and clip points."""
    layers = [x for x in worst if x.inputs]
    figure, all_axes = _panels(len(layers), title, 2.3)
    for axes, layer in zip(all_axes, layers, strict=True):
        stats = layer.inputs[0]
        in_graph = stats.tensor in target.graph.values
        name = source_of(target.graph, stats.tensor) if in_graph else stats.tensor
        tensor_profile = target.profile.tensors.get(name)
        if tensor_profile is not None:
            _histogram(axes, tensor_profile, stats)
        axes.set_title(drawable(layer.layer, 54), size=9)
        axes.set_xlabel(
            f"value of {drawable(stats.tensor, 32)}; {100 * stats.used:.3g} % of the grid used, "
            f"{100 * stats.saturated:.2g} % saturated",
            color=QUIET,
            size=7.5,
        )
        axes.set_ylabel("elements")
    return figure


def _histogram(axes: Axes, tensor_profile: TensorProfile, stats: InputStats) -> None:
    low, high = min(stats.low, stats.grid_low), max(stats.high, stats.grid_high)
    if not high > low:
        axes.text(0.5, 0.5, "constant", transform=axes.transAxes, ha="center")
        return
    # a bin's centre may lie beyond the last value of the bin: clipped values belong to the end
    centers = np.clip(tensor_profile.centers, low, high)
    counts, edges = np.histogram(centers, BARS, (low, high), weights=tensor_profile.bins)
    middle = (edges[:-1] + edges[1:]) / 2
    out = (middle < stats.grid_low) | (middle > stats.grid_high)
    tall = np.log10(np.maximum(counts, 0.5))
    floor = np.log10(0.5)
    for mask, colour in ((~out, BLUE), (out, ALARM)):
        axes.stairs(np.where(mask, tall, floor), edges, baseline=floor, fill=True, color=colour)
    top = float(max(tall.max() + 0.5, 1.0))
    ticks = range(0, int(top) + 1, max(1, int(top) // 3))
    axes.set_ylim(floor - 0.25, top)
    axes.set_yticks(list(ticks), [f"{10**t:.0e}" if t > 3 else f"{10**t}" for t in ticks])
    for at in (stats.grid_low, stats.grid_high):
        axes.axvline(at, color=ALARM, lw=1, ls="--")
    if np.isfinite(stats.step) and stats.step > 0:
        levels = np.arange(stats.grid_low, stats.grid_high + stats.step / 2, stats.step)
        levels = levels[:: max(1, -(-levels.size // 128))]
        axes.plot(levels, np.full(levels.size, floor - 0.12), "|", color=ALARM, ms=3.5, mew=0.5)
    axes.margins(x=0.02)


def weight_panels(worst: Sequence[LayerAnalysis], title: str) -> Figure:
    """Return the range of each output channel of each layer's weight."""
    layers = [x for x in worst if x.weight is not None]
    figure, all_axes = _panels(len(layers), title, 2.0)
    for axes, layer in zip(all_axes, layers, strict=True):
        weight = layer.weight
        assert weight is not None
        at = np.arange(weight.low.size)
        wide = max(0.5, 300 / max(at.size, 1))
        axes.vlines(at, weight.low, weight.high, color=BLUE, lw=min(wide, 6))
        axes.axhline(0, color="#8b96a5", lw=0.6)
        axes.set_title(drawable(layer.layer, 54), size=9)
        scales = f"{weight.scales} scale{'' if weight.scales == 1 else 's'}"
        axes.set_xlabel(
            f"output channel; {scales}, largest {weight.spread:.3g} times the median",
            color=QUIET,
            size=7.5,
        )
        axes.set_ylabel("weight")
        axes.margins(x=0.01)
    return figure
