"""Blame: which layers explain that a limit was breached."""

__all__ = ["faulty_layers"]

import math
from collections.abc import Sequence

from quant.analysis.layer_error import LayerError
from quant.gate.evidence import Evidence
from quant.gate.limits import Decision, Limit

MOST = 3
"""Layers that are named; the table has the others."""
STANDS_OUT_DB = 6.0
"""A layer whose SQNR is this much below the median of all has lost a bit more than they have."""
NEAR_DB = 10.0
"""One that is this much better than the worst is not what broke the network."""

EXPLAINED = (
    "accuracy_drop",
    "accuracy",
    "agreement",
    "sqnr_db",
    "baseline_accuracy_drop",
    "baseline_sqnr_loss_db",
)


def faulty_layers(limit: Limit, worst: Decision, seen: Evidence) -> tuple[tuple[str, str], ...]:
    """Return up to three layers that explain a breach, the worst first, each with a phrase.

    Of the layers that were measured quantized alone, those that stand out below the others; the
    single worst one where none does.
    """
    if limit.measure not in EXPLAINED:
        return ()
    rows = [r for r in seen.layers if _number(r) < math.inf]
    rows.sort(key=lambda r: (_number(r), r.layer))
    if not rows:
        return ()
    middle = _number(rows[len(rows) // 2])
    near = [r for r in rows if _number(r) < _number(rows[0]) + NEAR_DB]
    far = [r for r in near if _number(r) < middle - STANDS_OUT_DB] or rows[:1]
    return tuple((r.layer, _phrase(r, middle, rows)) for r in far[:MOST])


def _number(row: LayerError) -> float:
    """Return a layer's isolated SQNR in dB, its cumulative one without, inf without both."""
    for value in (row.isolated_sqnr_db, row.cumulative_sqnr_db):
        if not math.isnan(value):
            return value
    return math.inf


def _phrase(row: LayerError, middle: float, rows: Sequence[LayerError]) -> str:
    alone = not math.isnan(row.isolated_sqnr_db)
    kind = "quantized alone" if alone else "at its own output"
    return f"{_number(row):.1f} dB {kind}, the median of {len(rows)} layers is {middle:.1f} dB"
