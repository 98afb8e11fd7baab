"""Decide: pass, fail or undecided, from numbers that were measured on samples.

Each function shows that the truth is within the bound (*pass*) with a chance of at most `level` of
being wrong, and that it is beyond (*fail*) with a chance of at most `level / parts`: where a limit
holds for each of several classes, all of them must pass, which needs no correction, but any of
them may fail, which does (Bonferroni).
"""

__all__ = ["decide_drop", "decide_mean", "decide_share", "decide_sqnr", "drop_outcome"]

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from quant.gate.bootstrap import FEWEST, mean_bounds, sqnr_bounds
from quant.gate.limits import Decision, Outcome
from quant.gate.paired_test import Paired, chance_of_less, chance_of_more, drop_bounds
from quant.metrics.squared_error import SquaredError

F64 = NDArray[np.float64]

POWER = 0.8
"""The chance with which the samples that are said to be needed decide."""
MOST = 10_000_000
"""More samples than this are no advice; then none is given."""


def drop_outcome(seen: Paired, bound: float, level: float, parts: int = 1) -> Outcome:
    """Return what the exact paired test says of a drop that may be at most `bound`."""
    if seen.drop < bound:  # what lies on one side of the bound cannot show the other one
        return "pass" if chance_of_less(seen, bound, level) <= level else "undecided"
    share = level / parts
    return "fail" if chance_of_more(seen, bound, share) <= share else "undecided"


def decide_drop(seen: Paired, bound: float, level: float, parts: int = 1) -> Decision:
    """Judge a drop of accuracy, which may be at most `bound`, by the exact paired test."""
    low, high = drop_bounds(seen, level)
    outcome = drop_outcome(seen, bound, level, parts)
    high = min(high, bound) if outcome == "pass" else high  # bisection may end 1e-5 beyond
    low = max(low, bound) if outcome == "fail" and parts == 1 else low
    n = seen.samples
    spread = (seen.lost + seen.won + 1) / (
        n + 2
    )  # as if one more were discordant: 0 is never known
    wanted = _wanted(math.sqrt(max(spread - seen.drop**2, 0)), seen.drop - bound, level)
    least = math.log(level) / math.log1p(-abs(bound)) if 0 < abs(bound) < 1 else 0
    return Decision(
        outcome=outcome,
        value=seen.drop,
        low=low,
        high=high,
        samples=n,
        needed=_more(outcome, max(wanted, least), n),
        because=f"{seen.lost} lost, {seen.won} won",
    )


def decide_share(hits: int, n: int, bound: float, level: float, parts: int = 1) -> Decision:
    """Judge a share of samples, which must be at least `bound`, by the exact binomial test."""
    if not n:
        return Decision(outcome="undecided", value=math.nan, because="no sample")
    found = stats.binomtest(hits, n, max(bound, 0.0))
    interval = found.proportion_ci(1 - 2 * level, method="exact")
    outcome: Outcome = "undecided"
    if stats.binomtest(hits, n, max(bound, 0.0), alternative="greater").pvalue <= level:
        outcome = "pass"
    elif stats.binomtest(hits, n, max(bound, 0.0), alternative="less").pvalue <= level / parts:
        outcome = "fail"
    share = (hits + 0.5) / (n + 1)
    wanted = _wanted(math.sqrt(share * (1 - share)), hits / n - bound, level)
    least = math.log(level) / math.log(bound) if 0 < bound < 1 else 0
    return Decision(
        outcome=outcome,
        value=hits / n,
        low=float(interval.low),
        high=float(interval.high),
        samples=n,
        needed=_more(outcome, max(wanted, least), n),
        because=f"{hits} of {n}",
    )


def decide_mean(values: F64, bound: float, level: float, parts: int = 1) -> Decision:
    """Judge the mean of a number, which may be at most `bound`, by the bootstrap."""
    spread = float(values.std()) if len(values) else 0.0
    return _resampled(
        (values,), float(values.mean()) if len(values) else math.nan, mean_bounds, bound, level,
        parts, spread, at_most=True,
    )  # fmt: skip


def decide_sqnr(signal: F64, noise: F64, bound: float, level: float, parts: int = 1) -> Decision:
    """Judge an SQNR in dB, which must be at least `bound`, by the paired bootstrap."""
    s, e = float(signal.sum()), float(noise.sum())
    value = SquaredError(s, e).sqnr_db if len(signal) else math.nan
    spread = 0.0
    if math.isfinite(value):  # by the delta method, for the advice alone
        each = noise / e - signal / s
        spread = float(each.std()) * len(signal) * 10 / math.log(10)
    return _resampled(
        (signal, noise), value, sqnr_bounds, bound, level, parts, spread, at_most=False
    )


def _resampled(
    data: tuple[F64, ...],
    value: float,
    bounds: Callable[..., tuple[float, float]],
    bound: float,
    level: float,
    parts: int,
    spread: float,
    at_most: bool,
) -> Decision:
    n = len(data[0])
    missing = f"a bootstrap needs {FEWEST} samples"
    if n < FEWEST:
        return Decision(
            outcome="undecided", value=value, samples=n, needed=FEWEST - n, because=missing
        )
    low, high = bounds(*data, level) if math.isfinite(value) else (value, value)
    wide = bounds(*data, level / parts) if parts > 1 and math.isfinite(value) else (low, high)
    outcome: Outcome = "undecided"
    if high <= bound if at_most else low >= bound:
        outcome = "pass"
    elif wide[0] > bound if at_most else wide[1] < bound:
        outcome = "fail"
    wanted = _wanted(spread, value - bound, level)
    needed = _more(outcome, wanted, n)
    why = ""
    if low == -math.inf < high == math.inf:
        needed, why = None, "a bootstrap does not resolve so high a confidence"
    return Decision(
        outcome=outcome, value=value, low=low, high=high, samples=n, needed=needed, because=why
    )


def _wanted(spread: float, away: float, level: float) -> float:
    """Return how many samples decide with chance POWER if spread and distance stay as they are."""
    points: Any = stats.norm.isf([level, 1 - POWER])
    return math.inf if away == 0 else (float(points.sum()) * spread / away) ** 2


def _more(outcome: Outcome, wanted: float, n: int) -> int | None:
    """Return how many more samples are needed, with two digits."""
    if outcome != "undecided" or not wanted < MOST:
        return None
    more = max(wanted - n, 1)
    step: int = 10 ** max(math.floor(math.log10(more)) - 1, 0)
    return math.ceil(more / step) * step
