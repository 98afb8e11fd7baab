"""Bootstrap bounds of a mean and of an SQNR, for numbers that have no exact test.

A sample is drawn with its reference and its candidate, so the comparison stays paired.
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
"""With fewer samples the bootstrap knows too little of the tails to decide anything."""
DRAWS = 4999
BEYOND = 5
"""Draws that must lie beyond a bound; at a smaller level the bounds are infinite."""
SEED = 20240801
"""Fixed, so that the same samples give the same verdict."""
MOST_BCA = 4000
"""Up to this many samples the interval is bias-corrected and accelerated (BCa), which needs a
jackknife of `samples ** 2` numbers; beyond, skewness has averaged out."""
MEMORY = 1 << 23
"""Numbers that one batch of draws may hold."""


def mean_bounds(values: F64, level: float) -> tuple[float, float]:
    """Return the bounds of the true mean; each is wrong with chance `level`.

    Args:
        values: float64 `[n]`, one number for each sample, finite.
        level: Error level, 0 to 0.5.
    """
    if level * DRAWS < BEYOND:
        return -np.inf, np.inf
    if _constant(values):
        return float(values[0]), float(values[0])
    return _bounds((values,), np.mean, level)


def sqnr_bounds(signal: F64, noise: F64, level: float) -> tuple[float, float]:
    """Return the bounds of `10 * log10(sum(signal) / sum(noise))` in dB, as `mean_bounds` does.

    Args:
        signal: float64 `[n]`, sum of squares of the reference output of each sample.
        noise: float64 `[n]`, sum of squares of the difference between both outputs.
        level: Error level, 0 to 0.5.
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
    """Return whether all numbers are equal up to the rounding of float64."""
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())


def _bounds(
    data: Sequence[F64], statistic: Callable[..., Any], level: float
) -> tuple[float, float]:
    """Return scipy's paired bootstrap interval; percentiles where BCa has no finite answer."""
    count = len(data[0])
    for method in ("BCa", "percentile") if count <= MOST_BCA else ("percentile",):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            interval = stats.bootstrap(
                data,
                statistic,
                paired=True,
                vectorized=True,
                n_resamples=DRAWS,
                batch=max(1, MEMORY // count),
                confidence_level=1 - 2 * level,
                method=method,
                rng=np.random.default_rng(SEED),
            ).confidence_interval
        low, high = float(interval.low), float(interval.high)
        if np.isfinite(low) and np.isfinite(high):
            break
    return low, high
