"""The statistical tests: pass, fail or undecided for one number that was measured on samples.

*pass* is wrong with a chance of at most `level`, *fail* with a chance of at most `level / parts`.
Where a limit applies to each of several classes, all of them must pass, which needs no correction,
but a single one may fail, which does (Bonferroni).
"""

__all__ = ["decide_drop", "decide_mean", "decide_share", "decide_sqnr", "drop_outcome"]

import math
from collections.abc import Callable
from dataclasses import dataclass
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
"""The chance that the advised number of further samples decides the limit."""
MOST_ADVISED = 10_000_000
"""No number of further samples is advised beyond this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Estimate:
    """A number estimated from samples that has no exact test.

    Attributes:
        value: The estimate.
        spread: Standard deviation of one sample's part in it.
        samples: Number of samples.
        bounds: Returns the bootstrap's lower and upper bound at an error level.
    """

    value: float
    spread: float
    samples: int
    bounds: Callable[[float], tuple[float, float]]


def drop_outcome(pair: Paired, bound: float, level: float, parts: int = 1) -> Outcome:
    """Return the outcome of the exact paired test of a drop of at most `bound`."""
    if pair.drop < bound:  # an estimate on one side of the bound cannot show the other side
        return "pass" if chance_of_less(pair, bound, level) <= level else "undecided"
    share = level / parts
    return "fail" if chance_of_more(pair, bound, share) <= share else "undecided"


def decide_drop(pair: Paired, bound: float, level: float, parts: int = 1) -> Decision:
    """Decide a drop of accuracy of at most `bound` by the exact paired test."""
    low, high = drop_bounds(pair, level)
    outcome = drop_outcome(pair, bound, level, parts)
    high = min(high, bound) if outcome == "pass" else high  # bisection may end 1e-5 too far
    low = max(low, bound) if outcome == "fail" and parts == 1 else low
    n = pair.samples
    # one more discordant sample is assumed: a share of 0 is never certain
    discordant = (pair.lost + pair.won + 1) / (n + 2)
    spread = math.sqrt(max(discordant - pair.drop**2, 0))
    needed = _samples_needed(spread, pair.drop - bound, level)
    least = math.log(level) / math.log1p(-abs(bound)) if 0 < abs(bound) < 1 else 0
    return Decision(
        outcome=outcome,
        value=pair.drop,
        low=low,
        high=high,
        samples=n,
        needed=_more(outcome, max(needed, least), n),
        because=f"{pair.lost} lost, {pair.won} won",
    )


def decide_share(hits: int, n: int, bound: float, level: float, parts: int = 1) -> Decision:
    """Decide a share of samples of at least `bound` by the exact binomial test."""
    if not n:
        return Decision(outcome="undecided", value=math.nan, because="no sample")
    test = stats.binomtest(hits, n, max(bound, 0.0))
    interval = test.proportion_ci(1 - 2 * level, method="exact")
    outcome: Outcome = "undecided"
    if stats.binomtest(hits, n, max(bound, 0.0), alternative="greater").pvalue <= level:
        outcome = "pass"
    elif stats.binomtest(hits, n, max(bound, 0.0), alternative="less").pvalue <= level / parts:
        outcome = "fail"
    share = (hits + 0.5) / (n + 1)
    needed = _samples_needed(math.sqrt(share * (1 - share)), hits / n - bound, level)
    least = math.log(level) / math.log(bound) if 0 < bound < 1 else 0
    return Decision(
        outcome=outcome,
        value=hits / n,
        low=float(interval.low),
        high=float(interval.high),
        samples=n,
        needed=_more(outcome, max(needed, least), n),
        because=f"{hits} of {n}",
    )


def decide_mean(values: F64, bound: float, level: float, parts: int = 1) -> Decision:
    """Decide a mean of at most `bound` by the bootstrap."""
    estimate = _Estimate(
        value=float(values.mean()) if len(values) else math.nan,
        spread=float(values.std()) if len(values) else 0.0,
        samples=len(values),
        bounds=lambda error: mean_bounds(values, error),
    )
    return _decide_estimate(estimate, bound, level, parts, at_most=True)


def decide_sqnr(signal: F64, noise: F64, bound: float, level: float, parts: int = 1) -> Decision:
    """Decide an SQNR of at least `bound` dB by the paired bootstrap."""
    s, e = float(signal.sum()), float(noise.sum())
    value = SquaredError(s, e).sqnr_db if len(signal) else math.nan
    spread = 0.0
    if math.isfinite(value):  # by the delta method; only the advised number of samples uses it
        each = noise / e - signal / s
        spread = float(each.std()) * len(signal) * 10 / math.log(10)
    estimate = _Estimate(
        value=value,
        spread=spread,
        samples=len(signal),
        bounds=lambda error: sqnr_bounds(signal, noise, error),
    )
    return _decide_estimate(estimate, bound, level, parts, at_most=False)


def _decide_estimate(
    estimate: _Estimate, bound: float, level: float, parts: int, *, at_most: bool
) -> Decision:
    """Decide by the bootstrap whether an estimate is at most, or at least, `bound`."""
    value, n = estimate.value, estimate.samples
    missing = f"a bootstrap needs {FEWEST} samples"
    if n < FEWEST:
        return Decision(
            outcome="undecided", value=value, samples=n, needed=FEWEST - n, because=missing
        )
    low, high = wide = estimate.bounds(level) if math.isfinite(value) else (value, value)
    if parts > 1 and math.isfinite(value):
        wide = estimate.bounds(level / parts)
    outcome: Outcome = "undecided"
    if high <= bound if at_most else low >= bound:
        outcome = "pass"
    elif wide[0] > bound if at_most else wide[1] < bound:
        outcome = "fail"
    needed = _more(outcome, _samples_needed(estimate.spread, value - bound, level), n)
    why = ""
    if low == -math.inf < high == math.inf:
        needed, why = None, "the bootstrap cannot show so high a confidence"
    return Decision(
        outcome=outcome, value=value, low=low, high=high, samples=n, needed=needed, because=why
    )


def _samples_needed(spread: float, distance: float, level: float) -> float:
    """Return how many samples decide with chance POWER if spread and distance stay the same."""
    points: Any = stats.norm.isf([level, 1 - POWER])
    return math.inf if distance == 0 else (float(points.sum()) * spread / distance) ** 2


def _more(outcome: Outcome, needed: float, n: int) -> int | None:
    """Return how many more samples are needed, rounded up to two digits; None if no number helps."""
    if outcome != "undecided" or not needed < MOST_ADVISED:
        return None
    more = max(needed - n, 1)
    step: int = 10 ** max(math.floor(math.log10(more)) - 1, 0)
    return math.ceil(more / step) * step
