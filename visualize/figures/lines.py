"""Figures of a whole run: the error along the network, and the accuracy of each target."""

__all__ = ["accuracy_bars", "error_lines"]

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from quant.analysis.layer_error import LayerError
from quant.visualize.figures.canvas import QUIET, plain

LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito 2008, "Color Universal Design": told apart by every eye."""
MARKS = ("o", "s", "^", "D", "v", "P", "X")


def error_lines(tables: Mapping[str, Sequence[LayerError]], title: str) -> Figure:
    """Return the cumulative SQNR at each layer, and the isolated one, from input to output."""
    names = list(dict.fromkeys(r.layer for table in tables.values() for r in table))
    at = {name: i for i, name in enumerate(names)}
    wide = float(np.clip(0.16 * len(names), 6.5, 26))
    figure = Figure(figsize=(wide, 4.9), facecolor="white")
    axes = figure.add_axes((0.75 / wide, 0.36, 1 - 1.0 / wide, 0.57))
    for number, (target, table) in enumerate(tables.items()):
        colour, mark = LINES[number % len(LINES)], MARKS[number % len(MARKS)]
        for key, how in (("cumulative_sqnr_db", "-"), ("isolated_sqnr_db", ":")):
            pairs = [(at[r.layer], getattr(r, key)) for r in table]
            known = [(x, y) for x, y in pairs if np.isfinite(y)]
            label = f"{plain(target, 30)}, {key.split('_')[0]}"
            axes.plot(
                [x for x, _ in known],
                [y for _, y in known],
                how,
                color=colour,
                marker=mark,
                markersize=3.2,
                lw=1.3,
                label=label,
            )
    step = max(1, int(np.ceil(len(names) / (wide * 6.5))))
    axes.set_xticks(range(0, len(names), step))
    axes.set_xticklabels([plain(n, 26) for n in names[::step]], rotation=90, fontsize=6)
    axes.set_ylabel("SQNR, dB (more is better)")
    axes.set_xlabel("layer, from input to output", color=QUIET)
    axes.grid(True, axis="y")
    axes.margins(x=0.01)
    axes.set_title(plain(title, int(wide * 6)))
    if tables:
        axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1.0), borderaxespad=0.2)
    return figure


def accuracy_bars(scores: Mapping[str, Mapping[str, tuple[float, float]]], title: str) -> Figure:
    """Return each target's scores beside float's.

    Args:
        scores: By target, by metric: quantized and float, 0 to 1.
        title: Above it.
    """
    metrics = list(dict.fromkeys(m for found in scores.values() for m in found))
    count = max(1, len(scores) * len(metrics))
    wide = max(4.6, 1.5 + 1.15 * count)
    figure = Figure(figsize=(wide, 3.8), facecolor="white")
    axes = figure.add_axes((0.7 / wide, 0.16, 1 - 0.95 / wide, 0.66))
    ticks, labels = [], []
    for number, (target, found) in enumerate(scores.items()):
        for offset, metric in enumerate(m for m in metrics if m in found):
            got, want = found[metric]
            x = number * (len(metrics) + 0.6) + offset
            axes.bar(x - 0.2, 100 * want, 0.38, color="#b9c2cc", label="float" if not x else None)
            axes.bar(x + 0.2, 100 * got, 0.38, color=LINES[0], label="quantized" if not x else None)
            axes.text(x - 0.2, 100 * want, f"{100 * want:.1f}", ha="center", va="bottom", size=7.5)
            axes.text(x + 0.2, 100 * got, f"{100 * got:.1f}", ha="center", va="bottom", size=7.5)
            ticks.append(x)
            labels.append(f"{plain(target, 16)}\n{plain(metric, 16)}")
    axes.set_xticks(ticks, labels)
    axes.set_ylim(0, 108)
    axes.set_ylabel("%")
    axes.grid(True, axis="y")
    axes.set_axisbelow(True)
    axes.set_title(plain(title, 60), pad=22)
    if ticks:
        axes.legend(loc="lower right", ncols=2, bbox_to_anchor=(1, 1.0), borderaxespad=0.2)
    else:
        axes.text(0.5, 0.5, "nothing was judged", transform=axes.transAxes, ha="center")
    return figure
