"""The figure of a search: each target's Pareto front, measured plans, limits and chosen plan."""

__all__ = ["front_panels", "front_rows"]

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from quant.results.saved_search import COSTS, SavedSearch
from quant.visualize.figures.canvas import drawable
from quant.visualize.figures.pareto_axes import (
    ELSE,
    MARK,
    ONE,
    RING,
    SPOT,
    draw_drop,
    draw_sqnr,
    is_front,
)

ACROSS = 2
WIDE, TALL, LOW, LEFT, GAP = 5.4, 3.5, 1.6, 0.72, 0.78
"""Inches of a panel: its width, heights of SQNR and of drop, margin at the left, space below."""


def front_rows(searches: Mapping[str, SavedSearch]) -> list[list[object]]:
    """Return the numbers of the figure as rows, the header first."""
    ends = ("predicted_sqnr_db", "measured_sqnr_db", "measured_drop", "layers")
    head = ("target", "point", "source", "chosen", "axis", *COSTS.values(), *ends)
    rows: list[list[object]] = [list(head)]
    for target, search in searches.items():
        for p in search.points:
            costs = [p.costs.get(axis, "") for axis in COSTS]
            row = [target, p.number, p.source, int(p.chosen), search.axis, *costs, p.predicted_db]
            measured = ["" if x is None else x for x in (p.measured_db, p.drop)]
            rows.append([*row, *measured, p.layers])
    return rows


def front_panels(searches: Mapping[str, SavedSearch], title: str) -> Figure:
    """Return one panel per target, and below it the drop of the metric where that is limited."""
    count = len(searches)
    across = min(ACROSS, count)
    panels = list(searches.items())
    lines = [panels[i : i + across] for i in range(0, count, across)]
    below = [any(s.max_drop is not None for _, s in line) for line in lines]
    high = 0.7 + 0.2 + sum(TALL + GAP + (LOW + GAP if b else 0) for b in below)
    wide = max(6.6, across * (WIDE + LEFT) + 0.2)
    each = wide / across - LEFT - (0.2 / across)
    figure = Figure(figsize=(wide, high), facecolor="white")
    figure.text(
        0.12 / wide, 1 - 0.24 / high, drawable(title, int(wide * 9)), weight="bold", size=11
    )
    top = high - 0.7
    for line, dropped in zip(lines, below, strict=True):
        for column, (target, search) in enumerate(line):
            left = column * (each + LEFT) + LEFT
            spot = (left / wide, (top - TALL) / high, each / wide, TALL / high)
            axes = figure.add_axes(spot)
            draw_sqnr(axes, search)
            axes.set_title(_head(target, search, int(each * 11)))
            if search.max_drop is not None:
                spot = (spot[0], (top - TALL - GAP - LOW) / high, spot[2], LOW / high)
                draw_drop(figure.add_axes(spot, sharex=axes), search)
        top -= TALL + GAP + (LOW + GAP if dropped else 0)
    _legend(figure, list(searches.values()))
    return figure


def _head(target: str, search: SavedSearch, most: int) -> str:
    device = str(search.facts.get("device") or "")
    device_text = f", {device}" if search.axis == "latency" and device != "unknown" else ""
    return drawable(f"{target}{device_text}", most)


def _legend(figure: Figure, searches: Sequence[SavedSearch]) -> None:
    """Draw the legend of the marks that occur."""
    all_points = [p for s in searches for p in s.points]
    marks = [
        ("Pareto front, predicted", SPOT, any(p.source == "front" for p in all_points)),
        (
            "plans on the front, measured",
            MARK,
            any(is_front(p) and p.measured_db is not None for p in all_points),
        ),
        (
            "other plans, measured",
            ELSE,
            any(not is_front(p) and p.measured_db is not None for p in all_points),
        ),
        ("one precision for all", ONE, any(s.uniform(p) for s in searches for p in s.points)),
        ("chosen", RING, any(s.winner for s in searches)),
    ]
    handles = [Line2D([], [], label=words, **style) for words, style, there in marks if there]  # type: ignore[arg-type]
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=3 if figure.get_figwidth() < 8 else 5,
        fontsize=7.5,
        handletextpad=0.4,
        columnspacing=1.4,
        borderaxespad=0.3,
    )
