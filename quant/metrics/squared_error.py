"""SquaredError: sums of squares of a tensor and of its error, with SQNR in dB and cosine.

Every error of a tensor is summed here, and every SQNR of a run takes its equation from here.
"""

__all__ = ["SquaredError", "row_errors", "sqnr", "sqnr_of_draws"]

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.metrics.metric import Array

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SquaredError:
    """Sums over the elements of a reference tensor and another one; errors of parts are added.

    Attributes:
        signal: Sum of squares of the reference.
        noise: Sum of squares of the difference.
        other: Sum of squares of the other tensor; only the cosine needs it.
        largest: Greatest absolute difference; `+` keeps the greater one.
    """

    signal: float = 0.0
    noise: float = 0.0
    other: float = 0.0
    largest: float = 0.0

    @classmethod
    def of(cls, reference: Array, other: Array, *, pairwise: bool = False) -> "SquaredError":
        """Return the sums over the elements that are finite in `reference`, in float64.

        All four are nan where the shapes differ, as for boxes of any number.

        Args:
            reference: The exact tensor.
            other: The one that is compared with it.
            pairwise: Add up with NumPy's pairwise sum in place of its dot product. The two may
                differ in the last bit; what a caller has chosen stays, so that its files do.
        """
        if reference.shape != other.shape:
            return cls(math.nan, math.nan, math.nan, math.nan)
        x, y = _finite(reference, other)
        e = x - y
        signal, noise, square = (
            float(np.sum(v**2)) if pairwise else float(np.vdot(v, v)) for v in (x, e, y)
        )
        return cls(signal, noise, square, float(np.abs(e).max(initial=0.0)))

    def __add__(self, more: "SquaredError") -> "SquaredError":
        return SquaredError(
            self.signal + more.signal,
            self.noise + more.noise,
            self.other + more.other,
            float(np.maximum(self.largest, more.largest)),
        )

    @property
    def sqnr_db(self) -> float:
        """10 * log10(signal / noise) in dB; higher is better.

        +inf without noise, -inf for noise on a silent signal, nan if either is not finite.

        >>> SquaredError(100.0, 1.0).sqnr_db
        20.0
        """
        if not (math.isfinite(self.signal) and math.isfinite(self.noise)):
            return math.nan
        if self.noise == 0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal > 0 else -math.inf

    @property
    def cosine(self) -> float:
        """`(signal + other - noise) / (2 * sqrt(signal * other))`; 1 is best.

        1 for two silent tensors, 0 where one of them is silent.

        >>> SquaredError(25.0, 0.0, 25.0).cosine
        1.0
        """
        if self.signal <= 0 or self.other <= 0:
            return 1.0 if self.signal == self.other else 0.0
        product = self.signal + self.other - self.noise
        return max(-1.0, min(1.0, product / (2 * math.sqrt(self.signal * self.other))))


def _finite(reference: Array, other: Array) -> tuple[F64, F64]:
    """Return two tensors as float64, both 0 where the reference is not finite."""
    finite = np.isfinite(reference)
    x, y = (np.where(finite, v, 0).astype(np.float64) for v in (reference, other))
    return x, y


def row_errors(reference: Array, other: Array, rows: int) -> tuple[F64, F64]:
    """Return signal and noise of each row as `SquaredError.of` sums them, float64 `[rows]` each.

    A tensor whose first axis is not that long is one row if `rows` is 1. nan otherwise, and where
    the shapes differ.
    """
    length = len(reference) if np.ndim(reference) else 1
    if reference.shape != other.shape or (length != rows and rows != 1):
        return np.full(rows, np.nan), np.full(rows, np.nan)
    x, y = (v.reshape(rows, -1) for v in _finite(reference, other))
    e = x - y
    return np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", e, e)


def sqnr(reference: Array, other: Array) -> float:
    """Return the signal-to-quantization-noise ratio in dB of two tensors; higher is better.

    `10 * log10(sum(reference**2) / sum((reference - other)**2))`, in float64. +inf when the
    tensors are equal, -inf when the reference is all zeros and they differ, nan when an element
    is not finite or the shapes differ.

    >>> sqnr(np.array([3.0, 4.0]), np.array([3.0, 3.5]))
    20.0
    """
    if np.shape(reference) != np.shape(other):
        return math.nan
    wide = np.asarray(reference, np.float64)
    noise = wide - np.asarray(other, np.float64)
    return SquaredError(float(np.sum(wide**2)), float(np.sum(noise**2))).sqnr_db


def sqnr_of_draws(signal: Any, noise: Any, axis: int = -1) -> Any:
    """Return the SQNR in dB of sums along an axis, always finite, as resampling needs it.

    Noise and ratio are at least the smallest normal float64, which is -3077 dB.
    """
    smallest = np.finfo(np.float64).tiny
    ratio = np.sum(signal, axis=axis) / np.maximum(np.sum(noise, axis=axis), smallest)
    return 10 * np.log10(np.maximum(ratio, smallest))
