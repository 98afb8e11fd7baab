"""The result of a search in sentences, for the report's page and for pull requests."""

__all__ = [
    "additivity_sentence",
    "cost_text",
    "held_out_sentence",
    "limits_phrase",
    "points_text",
    "result_sentence",
    "sqnr_text",
]

import math
from collections.abc import Mapping

import numpy as np

from quant.results.saved_search import SavedSearch

LOSSLESS = 200.0
"""An SQNR in dB above this one is no error: float32 itself has 150."""

PLACE = "at the worst output"


def cost_text(search: SavedSearch, cost: float) -> str:
    """Return a cost with its unit; four digits tell the points of a front apart."""
    text = np.format_float_positional(cost, 4, fractional=False, trim="-")
    return f"{text if cost < 1000 else f'{cost:.0f}'} {search.unit}"


def sqnr_text(value: float) -> str:
    """Return an SQNR with its unit; "no error" where the plan is as good as float."""
    return "no error" if value >= LOSSLESS or math.isnan(value) else f"{value:.1f} dB"


def points_text(drop: float) -> str:
    """Return the drop of a metric in percentage points; negative where it gained."""
    value = 100 * drop
    return f"{0.0 if abs(value) < 0.005 else value:.2f} points"


def _lost(drop: float | None, metric: object, margin: float = 0.0) -> str:
    """Return ", 0.40 points of top1 (\u00b1 0.20) lost"; "" where no metric was measured."""
    if drop is None:
        return ""
    if margin >= 0.00005:
        metric = f"{metric or 'the metric'} (\u00b1 {100 * margin:.2f})"
    word = "gained" if 100 * drop <= -0.005 else "lost"
    return f", {points_text(abs(drop))} of {metric or 'the metric'} {word}"


def limits_phrase(search: SavedSearch) -> str:
    """Return the limits of a search as a phrase; "" where there is none."""
    parts = []
    if search.min_sqnr is not None:
        parts.append(f"at least {search.min_sqnr:g} dB {PLACE}")
    if search.max_drop is not None:
        lost = f"{100 * search.max_drop:g} points"
        parts.append(f"at most {lost} of {search.facts.get('metric') or 'the metric'} lost")
    if search.most_cost is not None:
        parts.append(f"at most {cost_text(search, search.most_cost)}")
    return ", ".join(parts)


def result_sentence(search: SavedSearch) -> str:
    """Return the chosen plan, its cost and its accuracy as one sentence."""
    best, count = search.winner, search.facts.get("asked")
    if best is None:
        return "No plan was measured: no layer can be quantized within the budget."
    limits = limits_phrase(search)
    if not search.kept:
        head = f"No plan keeps the limit ({limits}). The best plan has"
    elif search.min_sqnr is None and search.max_drop is None:
        head = f"The most exact plan ({limits or 'no limit'}) has"
    else:
        head = f"The cheapest plan within the limit ({limits}) has"
    end = "; the search stopped at its time budget" if search.facts.get("stopped") else ""
    drop = _lost(best.drop, search.facts.get("metric"), best.margin)
    return (
        f"{head} {best.layers}: {cost_text(search, best.cost)}, {sqnr_text(best.sqnr_db)} {PLACE}"
        f"{drop}, measured on {search.facts.get('samples')} calibration samples; {count} "
        f"{'plan' if count == 1 else 'plans'} measured{end}."
    )


def held_out_sentence(facts: object, metric: str) -> str:
    """Return the accuracy of the chosen plan on held-out samples as a sentence; "" without any.

    Args:
        facts: `held_out` of the target's search in `run.json`.
        metric: Name of the metric.
    """
    if not isinstance(facts, Mapping) or facts.get("sqnr_db") is None:
        return ""
    drop = facts.get("drop")
    lost = _lost(None if drop is None else float(drop), metric)
    within = "within" if facts.get("kept") else "outside"
    return (
        f"On {facts.get('samples')} held-out samples, which the search did not use: "
        f"{sqnr_text(float(facts['sqnr_db']))}{lost}, {within} the limit."
    )


def additivity_sentence(search: SavedSearch) -> str:
    """Return how well the errors of groups add up to those of whole plans, as one sentence."""
    additivity = search.facts.get("additivity")
    ratios = additivity.get("noise_ratios") if isinstance(additivity, dict) else None
    finite = [float(r) for r in ratios or [] if r is not None]
    if not finite:
        return "No plan with an error was measured, so it is not known whether errors add up."
    low, high = f"{min(finite):.2f}", f"{max(finite):.2f}"
    times = low if low == high else f"{low} to {high}"
    best = search.winner
    end = ""
    if best is not None and best.measured_db is not None:
        end = (
            f"; the chosen plan has {sqnr_text(best.measured_db)}, predicted were "
            f"{sqnr_text(best.predicted_db)}"
        )
    count = f"{len(finite)} plan{'' if len(finite) == 1 else 's'}"
    return f"In {count} the measured noise was {times} times the sum of the groups' noise{end}."
