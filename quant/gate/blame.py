"""The layers that explain why a limit was breached."""

__all__ = ["faulty_layers"]

import math
from collections.abc import Sequence

from quant.analysis.layer_error import LayerError
from quant.gate.evidence import Evidence
from quant.gate.limits import Decision, Limit

MOST_NAMED = 3
"""At most this many layers are named; the layer table has the others."""
STANDS_OUT_DB = 6.0
"""A layer stands out whose SQNR is this far below the median: it has lost one bit more."""
NEAR_DB = 10.0
"""A layer that is this much better than the worst is not what broke the network."""

EXPLAINED = (
    "accuracy_drop",
    "accuracy",
    "agreement",
    "sqnr_db",
    "baseline_accuracy_drop",
    "baseline_sqnr_loss_db",
)


def faulty_layers(limit: Limit, worst: Decision, evidence: Evidence) -> tuple[tuple[str, str], ...]:
    """Return up to three layers that explain a breach, the worst first, each with a phrase.

    These are the layers whose isolated SQNR stands out below the others; the single worst layer
    where none stands out.
    """
    if limit.measure not in EXPLAINED:
        return ()
    rows = [r for r in evidence.layers if _sqnr(r) < math.inf]
    rows.sort(key=lambda r: (_sqnr(r), r.layer))
    if not rows:
        return ()
    median = _sqnr(rows[len(rows) // 2])
    near_worst = [r for r in rows if _sqnr(r) < _sqnr(rows[0]) + NEAR_DB]
    outstanding = [r for r in near_worst if _sqnr(r) < median - STANDS_OUT_DB] or rows[:1]
    return tuple((r.layer, _phrase(r, median, rows)) for r in outstanding[:MOST_NAMED])


def _sqnr(row: LayerError) -> float:
    """Return a layer's isolated SQNR in dB, else its cumulative one, else inf."""
    for value in (row.isolated_sqnr_db, row.cumulative_sqnr_db):
        if not math.isnan(value):
            return value
    return math.inf


def _phrase(row: LayerError, median: float, rows: Sequence[LayerError]) -> str:
    isolated = not math.isnan(row.isolated_sqnr_db)
    kind = "quantized alone" if isolated else "at its own output"
    return f"{_sqnr(row):.1f} dB {kind}, the median of {len(rows)} layers is {median:.1f} dB"
