"""What an observer is, and the table of them.

To add one: a file in this folder with a function `(profile, format) -> (low, high)` under
`@OBSERVERS.add("name")`, or `@OBSERVERS.add("name", candidate=True)` where it shall be tried on every
network for which the user names no observer. It reads a TensorProfile and never the data; it must hold zero, keep
within the extremes, and give a range for an empty profile too. `tests/contracts` tries it.
"""

__all__ = ["OBSERVERS", "WIDEST", "Observer", "ObserverTable", "extremes", "scan"]

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from quant.common.registry import Registry
from quant.formats.number_format import NumberFormat
from quant.profile.statistics import TensorProfile

Observer = Callable[[TensorProfile, NumberFormat], tuple[float, float]]
"""Chooses the range [low, high] that a format should cover of a tensor; low <= 0 <= high."""

U = TypeVar("U")

WIDEST = "minmax"
"""The observer that cuts nothing off: any other must be better by a margin to be taken."""


class ObserverTable(Registry[Observer]):
    """The observers by name, and which of them are tried by measurement."""

    def __init__(self) -> None:
        super().__init__("observer", "quant.observers")
        self._candidates: set[str] = set()

    def add(self, name: str, *, candidate: bool = False) -> Callable[[U], U]:
        """Return a decorator that registers an observer.

        Args:
            name: As on the command line and in recipes.
            candidate: Whether it is tried as a whole plan where the user names no observer.
        """
        if candidate:
            self._candidates.add(name)
        return super().add(name)

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names of the observers that are tried: `WIDEST`, and the others in alphabetical order."""
        return (WIDEST, *(n for n in self if n in self._candidates and n != WIDEST))


OBSERVERS = ObserverTable()


def scan(
    profile: TensorProfile,
    number_format: NumberFormat,
    score: Callable[[float, float], float],
    steps: int = 64,
) -> tuple[float, float]:
    """Return the range of lowest score among shrunken ones; ties keep the wider range.

    One-sided or symmetric ranges are shrunk by a factor from 1 down to 1 / steps. Two-sided ones
    under an asymmetric format are shrunk jointly, then each end alone.

    Args:
        profile: The statistics of a tensor; its extremes are the widest range.
        number_format: The format that the range is for.
        score: (low, high) -> what is minimized.
        steps: Number of factors.
    """
    low, high = extremes(profile)
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
    if not number_format.symmetric and low < 0 < high:
        fixed_low, fixed_high = best_low, best_high
        for factor in factors[1:]:
            attempt(fixed_low * factor, fixed_high)
        fixed_low = best_low
        for factor in factors[1:]:
            attempt(fixed_low, fixed_high * factor)
    return best_low, best_high


def extremes(profile: TensorProfile) -> tuple[float, float]:
    """Return the exact extremes, widened to hold zero; (0, 0) when no element was finite."""
    return min(profile.low, 0.0), max(profile.high, 0.0)
