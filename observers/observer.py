"""What an observer is, and the table of them.

To add one: a file in this folder with a function `(seen, format) -> (low, high)` under
`@OBSERVERS.add("name")`. It reads a TensorProfile and never the data; it must hold zero, keep
within what was seen, and give a range for an empty profile too. `tests/contracts` tries it.
"""

__all__ = ["OBSERVERS", "Observer", "extremes", "scan"]

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from quant.common.registry import Registry
from quant.formats.number_format import NumberFormat
from quant.profile.statistics import TensorProfile

Observer = Callable[[TensorProfile, NumberFormat], tuple[float, float]]
"""Chooses the range [low, high] that a format should cover of what was seen; low <= 0 <= high."""

OBSERVERS: Registry[Observer] = Registry("observer", "quant.observers")


def scan(
    seen: TensorProfile,
    number: NumberFormat,
    score: Callable[[float, float], float],
    steps: int = 64,
) -> tuple[float, float]:
    """Return the range of lowest score among shrunken ones; ties keep the wider range.

    One-sided or symmetric ranges are shrunk by a factor from 1 down to 1 / steps. Two-sided ones
    under an asymmetric format are shrunk jointly, then each end alone.
    """
    low, high = extremes(seen)
    if low == high:
        return low, high
    factors: NDArray[np.float64] = np.linspace(1.0, 1.0 / steps, steps)
    best_low, best_high = low, high
    best = score(low, high)

    def attempt(a: float, b: float) -> None:
        nonlocal best, best_low, best_high
        value = score(a, b)
        if value < best:
            best, best_low, best_high = value, a, b

    for factor in factors[1:]:
        attempt(low * factor, high * factor)
    if not number.symmetric and low < 0 < high:
        fixed_low, fixed_high = best_low, best_high
        for factor in factors[1:]:
            attempt(fixed_low * factor, fixed_high)
        fixed_low = best_low
        for factor in factors[1:]:
            attempt(fixed_low, fixed_high * factor)
    return best_low, best_high


def extremes(seen: TensorProfile) -> tuple[float, float]:
    """Return the exact extremes, widened to hold zero; (0, 0) when nothing finite was seen."""
    return min(seen.low, 0.0), max(seen.high, 0.0)
