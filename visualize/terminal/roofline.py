"""The predicted cost of a network as text for a terminal: layers, totals, and slow layers."""

__all__ = ["roofline_text"]

import math
from collections.abc import Sequence

from quant.cost.network_cost import LayerPrediction, NetworkCost, Total
from quant.formats.precision import Precision
from quant.visualize.label import cells, escaped, shortened

LAYER, OP = 30, 13
"""The most columns of a name and of an operator."""
SHORT = 15
"""At most this many layers are listed as slower than predicted; the CSV has all of them."""


def roofline_text(prediction: NetworkCost) -> str:
    """Return the layers of the first network, the totals, slow layers, and the assumptions.

    Layers that take no time (views) are counted but not listed.
    """
    name = next(iter(prediction.networks))
    shapes = ", ".join(f"{escaped(n)} {'x'.join(map(str, s))}" for n, s in prediction.sizes.items())
    lines = [
        (
            f"{escaped(prediction.graph.name)} ({shapes}) on {escaped(prediction.device.title)} for {prediction.title}, "
            f"batch {prediction.batch}; times of one sample"
        ),
        "",
        *_layers(prediction, name),
        "",
        *_totals(prediction),
    ]
    if prediction.latency is not None:
        for network in prediction.networks:
            lines += _short(prediction, network)
    lines += [
        "",
        "Assumptions",
        *(f"  - {escaped(sentence)}" for sentence in prediction.assumptions),
    ]
    return "\n".join(lines)


def _layers(prediction: NetworkCost, name: Precision) -> list[str]:
    rows = prediction.rows(name)
    listed = [
        r for r in rows if r.cost.milliseconds or r.cost.bound == "unknown" or r.measured_ms > 0
    ]
    measured = prediction.latency is not None
    total = sum(r.cost.milliseconds for r in rows)
    head = ["layer", "op", "precision", "M op", "kB", "op/B", "bound", "us", "%"]
    body = [_cells(r, total, measured) for r in listed]
    lines = _table([*head, "measured us", "ratio"] if measured else head, body, 3, {6})
    hidden = len(rows) - len(listed)
    note = f"; {hidden} that only rename bytes are not listed" if hidden else ""
    return [f"Layers in {name}{note}", "", *lines]


def _cells(row: LayerPrediction, total: float, measured: bool) -> list[str]:
    cost = row.cost
    row_cells = [
        shortened(escaped(cost.layer), LAYER),
        shortened(escaped(cost.op), OP),
        cost.precision,
        _number(cost.operations / 1e6),
        _number(cost.bytes / 1e3),
        f"{cost.intensity:.3g}",
        cost.bound,
        _number(1e3 * cost.milliseconds),
        f"{100 * cost.milliseconds / total:.1f}" if total else "-",
    ]
    return (
        [*row_cells, _number(1e3 * row.measured_ms), _times(row.ratio)] if measured else row_cells
    )


def _totals(prediction: NetworkCost) -> list[str]:
    totals = prediction.totals()
    measured = any(not math.isnan(t.measured_ms) for t in totals)
    head = ["network", "M MAC", "weights MB", "convert ms", "ms, at least"]
    head += ["measured ms", "ratio", "frames/s"] if measured else ["frames/s, at most"]
    return _table(head, [_total(t, measured) for t in totals], 1, set())


def _total(total: Total, measured: bool) -> list[str]:
    row_cells = [
        total.precision,
        _number(total.macs / 1e6),
        _number(total.megabytes),
        _number(total.conversion_ms),
        _number(total.milliseconds),
    ]
    ratio = total.measured_ms / total.milliseconds if total.milliseconds else math.nan
    row_cells += [_number(total.measured_ms), _times(ratio)] if measured else []
    return [*row_cells, _number(total.fps)]


def _short(prediction: NetworkCost, network: Precision) -> list[str]:
    """Return the layers that are slower than predicted, the most lost time first."""
    measured = [r for r in prediction.rows(network) if not math.isnan(r.measured_ms)]
    if not measured:
        return []
    rows = prediction.short(network)
    lost = sum(r.lost_ms for r in rows)
    lines = [
        "",
        f"Slower than predicted in {network}: {len(rows)} of {len(measured)} measured layers",
    ]
    if not rows:
        return lines
    body = [
        [
            shortened(escaped(r.cost.layer), LAYER),
            shortened(escaped(r.cost.op), OP),
            r.cost.bound,
            _number(1e3 * r.lost_ms),
            f"{100 * r.lost_ms / lost:.1f}",
            f"{100 * r.attained:.3g}",
        ]
        for r in rows[:SHORT]
    ]
    head = ["layer", "op", "bound", "lost us", "% of lost", "% of roof"]
    more = [f"  and {len(rows) - SHORT} more; --csv has all"] if len(rows) > SHORT else []
    return [*lines, "", *_table(head, body, 3, set()), *more]


def _table(
    head: Sequence[str], body: Sequence[Sequence[str]], left: int, also: set[int]
) -> list[str]:
    """Return aligned lines: the first `left` columns and those of `also` left, the others right."""
    rows = [list(head), *map(list, body)]
    wide = [max(cells(row[i]) for row in rows) for i in range(len(head))]
    return [
        "  ".join(
            _pad(c, w, i < left or i in also)
            for i, (c, w) in enumerate(zip(row, wide, strict=True))
        ).rstrip()
        for row in rows
    ]


def _pad(text: str, wide: int, left: bool) -> str:
    space = " " * (wide - cells(text))
    return text + space if left else space + text


def _number(value: float) -> str:
    """Return a number with four digits, or whole with separated thousands; "-" for none."""
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _times(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
