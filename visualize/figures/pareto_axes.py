"""The axes of a Pareto front: cost against SQNR and against the metric's drop, with limits."""

__all__ = ["ELSE", "MARK", "ONE", "RING", "SPOT", "draw_drop", "draw_sqnr", "is_front"]

from matplotlib.axes import Axes

from quant.job.search_goal import AXES
from quant.results.saved_search import SavedPoint, SavedSearch
from quant.visualize.figures.canvas import QUIET, drawable
from quant.visualize.figures.label_places import Placer
from quant.visualize.search_sentences import LOSSLESS, cost_text, points_text, sqnr_text

FRONT, SEEN, PALE, CHOSEN, UNIFORM = "#4c97d1", "#0b4a86", "#9aa1aa", "#d55e00", "#1b1f24"
"""The colours also differ in lightness and mark; orange and blue of Okabe and Ito 2008."""
WORDS = "#a34700"

TITLES = {
    "latency": "time of a sample, ms (estimated)",
    "size": "weights, MB",
    "ops": "bit operations, Gop (multiply-accumulates \u00d7 bits \u00d7 bits)",
}

SPOT = {"marker": "o", "ms": 3.2, "lw": 1.3, "color": FRONT}
MARK = {"marker": "D", "ms": 5.2, "ls": "", "color": SEEN, "mec": "white", "mew": 0.6}
ELSE = {"marker": "D", "ms": 4.0, "ls": "", "mfc": "white", "mec": PALE, "mew": 0.9}
ONE = {"marker": "s", "ms": 6.5, "ls": "", "mfc": "none", "mec": UNIFORM, "mew": 1.1}
RING = {"marker": "o", "ms": 12.5, "ls": "", "mfc": "none", "mec": CHOSEN, "mew": 1.9}
LIMIT = {"ls": "--", "lw": 1.2, "color": CHOSEN}
BUDGET = {"ls": "-.", "lw": 1.2, "color": CHOSEN}


def is_front(point: SavedPoint) -> bool:
    """Return whether a point is on the front or has one precision for all layers."""
    return point.source in ("front", "uniform")


def draw_sqnr(axes: Axes, search: SavedSearch) -> None:
    """Draw cost against SQNR: the predicted front, measured plans, limits and labels."""
    values = [v for p in search.points for v in (p.predicted_db, p.measured_db) if v is not None]
    finite = [v for v in values if v < LOSSLESS]
    top = max(finite, default=0.0) + 3.0

    def at(value: float) -> float:
        return value if value < LOSSLESS else top

    front = [p for p in search.points if p.source == "front"]
    axes.plot([p.cost for p in front], [at(p.predicted_db) for p in front], zorder=2, **SPOT)  # type: ignore[arg-type]
    lines = [[(p.cost, at(p.predicted_db)) for p in front]]
    for p in search.points:
        if p.measured_db is not None:
            if p.source == "front":  # how far the prediction was off
                ends = at(p.predicted_db), at(p.measured_db)
                axes.vlines(p.cost, min(ends), max(ends), color=FRONT, lw=0.8, zorder=2)
            _measured(axes, p, at(p.measured_db))
            lines.append([(p.cost, at(p.measured_db))])
    if len(finite) < len(values):
        axes.axhline(top, color=QUIET, lw=0.6)
    if search.min_sqnr is not None:
        axes.axhline(search.min_sqnr, zorder=1, **LIMIT)  # type: ignore[arg-type]
    axes.margins(x=0.06, y=0.13)
    axes.set_ylabel("SQNR at the worst output, dB (more is better)")
    _frame(axes, search)
    labels = [(p, *_point_label(search, p)) for p in search.points]
    placer = Placer(axes, [*lines, *_limit_lines(axes, search)])
    _limit_words(axes, placer, search)
    if len(finite) < len(values):
        axes.text(0.01, top, "no error", transform=axes.get_yaxis_transform(), size=7, va="bottom")
    for p, words, colour in sorted(labels, key=lambda row: not row[0].chosen):
        if words:
            x, y = p.cost, at(p.sqnr_db)
            axes.plot([x], [y], zorder=5, **(RING if p.chosen else ONE))  # type: ignore[arg-type]
            if p.chosen and search.uniform(p):
                axes.plot([x], [y], zorder=5, **ONE)  # type: ignore[arg-type]
            placer.put(x, y, words, size=8, color=colour, weight="bold" if p.chosen else "normal")


def _point_label(search: SavedSearch, point: SavedPoint) -> tuple[str, str]:
    """Return the label of a point and its colour; "" for most points."""
    name = search.uniform(point)
    uniform = f"all {drawable(name, 16)}" if name else ""
    if not point.chosen:
        return uniform, UNIFORM
    verdict = "chosen" if search.kept else "best, not enough"
    head = f"{verdict}, {uniform}" if uniform else verdict
    return f"{head}\n{sqnr_text(point.sqnr_db)}, {cost_text(search, point.cost)}", WORDS


def _measured(axes: Axes, point: SavedPoint, y: float) -> None:
    """Draw the mark of a measured plan."""
    style = MARK if is_front(point) or point.chosen else ELSE
    axes.plot([point.cost], [y], zorder=5 if point.chosen else 4 if is_front(point) else 3, **style)  # type: ignore[arg-type]


def _limit_lines(axes: Axes, search: SavedSearch) -> list[list[tuple[float, float]]]:
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    lines = []
    if search.min_sqnr is not None:
        lines.append([(left, search.min_sqnr), (right, search.min_sqnr)])
    if search.most_cost is not None and left < search.most_cost < right:
        lines.append([(search.most_cost, low), (search.most_cost, high)])
    return lines


def _limit_words(axes: Axes, placer: Placer, search: SavedSearch) -> None:
    if search.min_sqnr is not None:
        words, y = f"at least {search.min_sqnr:g} dB", search.min_sqnr
        _at_right(axes, y, words, -1)
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        corner = (right - 0.2 * (right - left), y - 0.055 * (high - low))
        placer.keep_clear(corner, (right, y))


def _at_right(axes: Axes, y: float, words: str, side: int) -> None:
    """Write above (1) or below (-1) the right end of a horizontal line."""
    axes.annotate(
        words,
        (1.0, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=(-2, 3 * side),
        textcoords="offset points",
        size=7.5,
        color=WORDS,
        ha="right",
        va="bottom" if side > 0 else "top",
    )


def _frame(axes: Axes, search: SavedSearch) -> None:
    """Draw the budget, the grid and the axis of costs."""
    if search.most_cost is not None and search.points:
        most_expensive = max(p.cost for p in search.points)
        if search.most_cost <= 1.5 * most_expensive:  # else the budget pays for every plan
            axes.axvline(search.most_cost, zorder=1, **BUDGET)  # type: ignore[arg-type]
            axes.annotate(
                f"budget {cost_text(search, search.most_cost)}",
                (search.most_cost, 0.0),
                xycoords=axes.get_xaxis_transform(),
                xytext=(-3, 4),
                textcoords="offset points",
                rotation=90,
                size=7.5,
                color=WORDS,
                ha="right",
                va="bottom",
            )
    axes.grid(True, axis="both")
    axes.set_axisbelow(True)
    axes.ticklabel_format(axis="both", useOffset=False, style="plain")
    axes.set_xlabel(TITLES.get(search.axis, AXES[search.axis]), color=QUIET)


def draw_drop(axes: Axes, search: SavedSearch) -> None:
    """Draw cost against the drop of the metric, which the search limits."""
    assert search.max_drop is not None
    most = 100 * search.max_drop
    for p in search.points:
        if p.drop is not None:
            low, high = 100 * (p.drop - p.margin), 100 * (p.drop + p.margin)
            axes.vlines(p.cost, low, high, color=FRONT if is_front(p) else PALE, lw=0.9, zorder=2)
            _measured(axes, p, 100 * p.drop)
            if p.chosen:
                axes.plot([p.cost], [100 * p.drop], zorder=6, **RING)  # type: ignore[arg-type]
    axes.axhline(most, zorder=1, **LIMIT)  # type: ignore[arg-type]
    axes.axhline(0.0, color=QUIET, lw=0.6, zorder=1)
    axes.margins(x=0.06, y=0.16)
    _frame(axes, search)
    _at_right(axes, most, f"at most {points_text(search.max_drop)}", 1)
    metric = drawable(str(search.facts.get("metric") or "metric"), 16)
    axes.set_ylabel(f"{metric} lost, points")
    samples = search.facts.get("samples")
    if isinstance(samples, int) and samples > 0:
        bars = any(p.margin > 0 for p in search.points)
        ends = "; bars: standard error, which must be within the limit too" if bars else ""
        words = f"on {samples} samples; one sample is {points_text(1 / samples)}{ends}"
        axes.set_title(words, size=7.5, weight="normal", color=QUIET)
