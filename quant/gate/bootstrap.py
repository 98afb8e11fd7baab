"""Bootstrap: bounds of what has no exact test, by drawing the same samples again.

Reference and candidate are drawn together, sample by sample, so the comparison stays paired.
"""

__all__ = ["FEWEST", "mean_bounds", "sqnr_bounds"]

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from quant.metrics.squared_error import SquaredError, sqnr_of_draws

F64 = NDArray[np.float64]

FEWEST = 30
"""Below this many samples a bootstrap says too little of the tails to decide anything."""
DRAWS = 4999
BEYOND = 5
"""Draws that must lie beyond a bound for it to be known; a smaller level has no bounds but infinity."""
SEED = 20240801
"""Fixed, so that the same samples give the same verdict."""
EXACT = 4000
"""Up to this many samples the interval is bias-corrected and accelerated (BCa), which needs a
jackknife of `samples ** 2` numbers; beyond, skewness has averaged out."""
MEMORY = 1 << 23
"""Numbers that one batch of draws may hold."""


def mean_bounds(values: F64, level: float) -> tuple[float, float]:
    """Return the numbers between which the true mean lies; each bound is wrong with chance `level`.

    Args:
        values: One for each sample, `[n]`, finite.
        level: 0 to 0.5.
    """
    if level * DRAWS < BEYOND:
        return -np.inf, np.inf
    if _constant(values):
        return float(values[0]), float(values[0])
    return _bounds((values,), np.mean, level)


def sqnr_bounds(signal: F64, noise: F64, level: float) -> tuple[float, float]:
    """Return the bounds of `10 * log10(sum(signal) / sum(noise))` in dB, as `mean_bounds` does.

    Args:
        signal: Sum of squares of each sample's reference output, `[n]`.
        noise: The same of the difference to the candidate's.
        level: 0 to 0.5.
    """
    if level * DRAWS < BEYOND:
        return -np.inf, np.inf
    total = float(noise.sum())
    if total == 0:
        return np.inf, np.inf
    if _constant(noise) and _constant(signal):
        value = SquaredError(float(signal.sum()), total).sqnr_db
        return value, value
    return _bounds((signal, noise), sqnr_of_draws, level)


def _constant(values: F64) -> bool:
    """Tell whether numbers are equal but for the rounding of float64."""
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())


def _bounds(data: Sequence[F64], what: Callable[..., Any], level: float) -> tuple[float, float]:
    """Return scipy's paired bootstrap interval; the plain percentiles where BCa has no answer."""
    count = len(data[0])
    for method in ("BCa", "percentile") if count <= EXACT else ("percentile",):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            found = stats.bootstrap(
                data,
                what,
                paired=True,
                vectorized=True,
                n_resamples=DRAWS,
                batch=max(1, MEMORY // count),
                confidence_level=1 - 2 * level,
                method=method,
                rng=np.random.default_rng(SEED),
            ).confidence_interval
        low, high = float(found.low), float(found.high)
        if np.isfinite(low) and np.isfinite(high):
            break
    return low, high
