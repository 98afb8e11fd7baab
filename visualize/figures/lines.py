"""Two figures of a whole run: the error along the network, and the accuracy of each target."""

__all__ = ["accuracy_bars", "error_lines"]

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from quant.analysis.layer_error import LayerError
from quant.visualize.figures.canvas import QUIET, drawable

LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito 2008, "Color Universal Design": told apart by every eye."""
MARKS = ("o", "s", "^", "D", "v", "P", "X")

BODY, BELOW = 2.8, 1.76
"""Inches of the axes of `error_lines`, and of the names of layers below them."""
LINE, ENTRY = 0.17, 1.3
"""Inches of a line of the legend and of one of its entries."""
STYLES = {"cumulative": "-", "isolated": ":"}
"""Line style of each kind of SQNR."""


def error_lines(tables: Mapping[str, Sequence[LayerError]], title: str) -> Figure:
    """Return the cumulative and the isolated SQNR of each layer, from input to output.

    Args:
        tables: Layer tables by target.
        title: Title of the figure.
    """
    names = list(dict.fromkeys(r.layer for table in tables.values() for r in table))
    position = {name: i for i, name in enumerate(names)}
    wide = float(np.clip(0.16 * len(names), 6.5, 26))
    keys = [
        Line2D([], [], color=LINES[i % len(LINES)], marker=MARKS[i % len(MARKS)], lw=1.3, ms=3.2)
        for i in range(len(tables))
    ] + [Line2D([], [], color=QUIET, ls=style, lw=1.3) for style in STYLES.values()]
    columns = min(len(keys), int((wide - 1.0) / ENTRY))
    lines = -(-len(keys) // columns)
    tall = BELOW + BODY + 0.4 + LINE * lines
    figure = Figure(figsize=(wide, tall), facecolor="white")
    axes = figure.add_axes((0.75 / wide, BELOW / tall, 1 - 1.0 / wide, BODY / tall))
    for number, table in enumerate(tables.values()):
        colour, mark = LINES[number % len(LINES)], MARKS[number % len(MARKS)]
        for name, style in STYLES.items():
            values = [(position[r.layer], getattr(r, f"{name}_sqnr_db")) for r in table]
            finite = [(x, y) for x, y in values if np.isfinite(y)]
            axes.plot(
                [x for x, _ in finite],
                [y for _, y in finite],
                style,
                color=colour,
                marker=mark,
                markersize=3.2,
                lw=1.3,
            )
    step = max(1, int(np.ceil(len(names) / (wide * 6.5))))
    axes.set_xticks(range(0, len(names), step))
    axes.set_xticklabels([drawable(n, 26) for n in names[::step]], rotation=90, fontsize=6)
    axes.set_ylabel("SQNR, dB (more is better)")
    axes.set_xlabel("layer, from input to output", color=QUIET)
    axes.grid(True, axis="y")
    axes.margins(x=0.01)
    axes.set_title(drawable(title, int(wide * 10)), pad=10 + 72 * LINE * lines)
    axes.legend(
        keys,
        [*(drawable(target, 16) for target in tables), *STYLES],
        ncols=columns,
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        borderaxespad=0.2,
    )
    return figure


def accuracy_bars(scores: Mapping[str, Mapping[str, tuple[float, float]]], title: str) -> Figure:
    """Return bars of each target's scores beside those of the float model.

    Args:
        scores: (quantized, float) by target and metric, 0 to 1.
        title: Title of the figure.
    """
    metrics = list(dict.fromkeys(m for pairs in scores.values() for m in pairs))
    count = max(1, len(scores) * len(metrics))
    wide = max(4.6, 1.5 + 1.15 * count)
    figure = Figure(figsize=(wide, 3.8), facecolor="white")
    axes = figure.add_axes((0.7 / wide, 0.16, 1 - 0.95 / wide, 0.66))
    ticks, labels = [], []
    for number, (target, pairs) in enumerate(scores.items()):
        for offset, metric in enumerate(m for m in metrics if m in pairs):
            quantized, float_score = pairs[metric]
            x = number * (len(metrics) + 0.6) + offset
            axes.bar(
                x - 0.2, 100 * float_score, 0.38, color="#b9c2cc", label="float" if not x else None
            )
            axes.bar(
                x + 0.2, 100 * quantized, 0.38, color=LINES[0], label="quantized" if not x else None
            )
            axes.text(
                x - 0.2,
                100 * float_score,
                f"{100 * float_score:.1f}",
                ha="center",
                va="bottom",
                size=7.5,
            )
            axes.text(
                x + 0.2,
                100 * quantized,
                f"{100 * quantized:.1f}",
                ha="center",
                va="bottom",
                size=7.5,
            )
            ticks.append(x)
            labels.append(f"{drawable(target, 16)}\n{drawable(metric, 16)}")
    axes.set_xticks(ticks, labels)
    axes.set_ylim(0, 108)
    axes.set_ylabel("%")
    axes.grid(True, axis="y")
    axes.set_axisbelow(True)
    axes.set_title(drawable(title, 60), pad=22)
    if ticks:
        axes.legend(loc="lower right", ncols=2, bbox_to_anchor=(1, 1.0), borderaxespad=0.2)
    else:
        axes.text(0.5, 0.5, "no accuracy was measured", transform=axes.transAxes, ha="center")
    return figure
