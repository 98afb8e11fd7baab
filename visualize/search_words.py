"""Search words: what a search looked for and found, in sentences for page and pull request."""

__all__ = ["added_up", "amount", "decibels", "found", "held_out", "limits", "points"]

import math
from collections.abc import Mapping

import numpy as np

from quant.results.saved_search import SavedSearch

LOSSLESS = 200.0
"""More dB than this is no error: float32 itself has 150."""

PLACE = "at the worst output"


def amount(search: SavedSearch, cost: float) -> str:
    """Print a cost with its unit.

    Four digits tell the points of a front apart.
    """
    text = np.format_float_positional(cost, 4, fractional=False, trim="-")
    return f"{text if cost < 1000 else f'{cost:.0f}'} {search.unit}"


def decibels(value: float) -> str:
    """Print an SQNR; "no error" for what is as good as float."""
    return "no error" if value >= LOSSLESS or math.isnan(value) else f"{value:.1f} dB"


def points(drop: float) -> str:
    """Print what a metric lost, in percentage points; less than nothing where it gained."""
    value = 100 * drop
    return f"{0.0 if abs(value) < 0.005 else value:.2f} points"


def _lost(drop: float | None, metric: object, margin: float = 0.0) -> str:
    """Return ", 0.40 points of top1 (\u00b1 0.20) lost"; "" where nothing was judged."""
    if drop is None:
        return ""
    if margin >= 0.00005:
        metric = f"{metric or 'the metric'} (\u00b1 {100 * margin:.2f})"
    word = "gained" if 100 * drop <= -0.005 else "lost"
    return f", {points(abs(drop))} of {metric or 'the metric'} {word}"


def limits(search: SavedSearch) -> str:
    """Return what a plan had to keep, as a phrase; "" where nothing is limited."""
    told = []
    if search.min_sqnr is not None:
        told.append(f"at least {search.min_sqnr:g} dB {PLACE}")
    if search.max_drop is not None:
        lost = f"{100 * search.max_drop:g} points"
        told.append(f"at most {lost} of {search.facts.get('metric') or 'the metric'} lost")
    if search.most_cost is not None:
        told.append(f"at most {amount(search, search.most_cost)}")
    return ", ".join(told)


def found(search: SavedSearch) -> str:
    """Return in one sentence what the search found."""
    best, asked = search.winner, search.facts.get("asked")
    if best is None:
        return "No plan was measured: nothing can be quantized here within the budget."
    wanted = limits(search)
    if not search.kept:
        head = f"No plan keeps the limit ({wanted}); the best has"
    elif search.min_sqnr is None and search.max_drop is None:
        head = f"The most exact plan ({wanted or 'no limit'}) has"
    else:
        head = f"The cheapest plan ({wanted}) has"
    end = "; the time ended before the search did" if search.facts.get("stopped") else ""
    drop = _lost(best.drop, search.facts.get("metric"), best.margin)
    return (
        f"{head} {best.layers}: {amount(search, best.cost)}, {decibels(best.sqnr_db)} {PLACE}"
        f"{drop}, measured on {search.facts.get('samples')} calibration samples; {asked} "
        f"{'plan' if asked == 1 else 'plans'} measured{end}."
    )


def held_out(told: object, metric: str) -> str:
    """Return in one sentence what the chosen plan has on samples the search did not see; "" for none.

    Args:
        told: `held_out` of the target's search in `run.json`.
        metric: Whose points were lost.
    """
    if not isinstance(told, Mapping) or told.get("sqnr_db") is None:
        return ""
    drop = told.get("drop")
    lost = _lost(None if drop is None else float(drop), metric)
    within = "within" if told.get("kept") else "outside"
    return (
        f"On {told.get('samples')} samples that the search did not see: "
        f"{decibels(float(told['sqnr_db']))}{lost}, {within} the limit."
    )


def added_up(search: SavedSearch) -> str:
    """Return in one sentence how well the groups' own errors added up to those of whole plans."""
    told = search.facts.get("additivity")
    ratios = told.get("noise_ratios") if isinstance(told, dict) else None
    known = [float(r) for r in ratios or [] if r is not None]
    if not known:
        return "No plan with an error was measured, so whether errors add up is not known."
    low, high = f"{min(known):.2f}", f"{max(known):.2f}"
    times = low if low == high else f"{low} to {high}"
    best = search.winner
    end = ""
    if best is not None and best.measured_db is not None:
        end = (
            f"; the chosen plan was predicted {decibels(best.predicted_db)} and has "
            f"{decibels(best.measured_db)}"
        )
    count = f"{len(known)} plan{'' if len(known) == 1 else 's'}"
    return f"On {count} the measured noise was {times} times the sum of the groups' own{end}."
