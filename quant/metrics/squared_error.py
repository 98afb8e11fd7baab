"""Errors from sums of squares: SQNR in dB and cosine, the one place of their equations."""

__all__ = ["cosine_of_sums", "sqnr", "sqnr_of_sums"]

import math

import numpy as np

from quant.metrics.metric import Array


def sqnr_of_sums(signal: float, noise: float) -> float:
    """Return 10 * log10(signal / noise) in dB from two sums of squares; higher is better.

    +inf without noise, -inf for noise on a silent signal, nan if either is not finite.

    >>> sqnr_of_sums(100.0, 1.0)
    20.0
    """
    if not (math.isfinite(signal) and math.isfinite(noise)):
        return math.nan
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def sqnr(reference: Array, simulated: Array) -> float:
    """Return the signal-to-quantization-noise ratio in dB; higher is better.

    `10 * log10(sum(reference**2) / sum((reference - simulated)**2))`, in float64, both of one
    shape. +inf when the tensors are equal, -inf when the reference is all zeros and they differ.

    >>> sqnr(np.array([3.0, 4.0]), np.array([3.0, 3.5]))
    20.0
    """
    wide = np.asarray(reference, np.float64)
    noise = wide - np.asarray(simulated, np.float64)
    return sqnr_of_sums(float(np.sum(wide**2)), float(np.sum(noise**2)))


def cosine_of_sums(signal: float, other: float, noise: float) -> float:
    """Return the cosine of two tensors from sums of squares: theirs and their difference's.

    `(signal + other - noise) / (2 * sqrt(signal * other))`, 1 is best. 1 for two silent tensors,
    0 for one.

    >>> cosine_of_sums(25.0, 25.0, 0.0)
    1.0
    """
    if signal <= 0 or other <= 0:
        return 1.0 if signal == other else 0.0
    return max(-1.0, min(1.0, (signal + other - noise) / (2 * math.sqrt(signal * other))))
