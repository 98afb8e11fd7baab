"""Add up the outputs of profiling runs into the statistics of every tensor, exactly."""

__all__ = ["Accumulator", "binned", "exact"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.calibration.profiling.statistics_graph import TensorStatistics
from quant.profile.statistics import (
    HALF,
    SMALLEST_EXPONENT,
    TensorProfile,
    carried,
    exact_sum,
    exponent_of,
)

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

MAX_PENDING = 1 << 21
"""Sampled elements that are collected before they are binned: calls cost more than elements."""
MAX_PENDING_RUNS = 64
"""Runs that are collected at the most."""
EXACT_ROWS = 1024
"""Rows that are summed by one call of `exact_sum`."""


_NONE = np.empty(0, np.float32)


class Accumulator:
    """Accumulates the outputs of runs; memory does not grow with the number of samples."""

    def __init__(self, tensors: Sequence[TensorStatistics]) -> None:
        columns = sum(t.channels for t in tensors)
        self._tensors = tuple(tensors)
        self._low = np.full(columns, np.inf, np.float32)
        self._high = np.full(columns, -np.inf, np.float32)
        self._means = np.zeros((2, columns), np.int64)
        self._counts = np.zeros(len(tensors), np.int64)
        self._zeros = np.zeros(len(tensors), np.int64)
        self._sampled = np.zeros(len(tensors), np.int64)
        self._exponents = [SMALLEST_EXPONENT] * len(tensors)
        self._bins: list[I64] = [np.zeros(2 * HALF, np.int64) for _ in tensors]
        self._pending: list[list[F32]] = [[] for _ in tensors]
        self._pending_elements = 0
        self._rows: list[tuple[F32, F32, F32]] = []

    def add(
        self, low: F32, high: F32, mean: F32, samples: Sequence[F32], sizes: Sequence[int]
    ) -> None:
        """Add one run's outputs, padding rows removed.

        Args:
            low: float32 `[samples, columns]`, the reductions of all tensors side by side.
            high: The same shape.
            mean: The same shape.
            samples: For each tensor float32 `[samples, k]`, finite.
            sizes: For each tensor the number of elements of the whole tensor.
        """
        self._rows.append((low, high, mean))
        self._counts += np.asarray(sizes, np.int64)
        for pending, sample in zip(self._pending, samples, strict=True):
            pending.append(sample)
            self._pending_elements += sample.size
        if self._pending_elements > MAX_PENDING or len(self._rows) >= MAX_PENDING_RUNS:
            self._flush()

    def _extremes(self, tensor: TensorStatistics) -> tuple[float, float]:
        part = slice(tensor.start, tensor.start + tensor.channels)
        return float(self._low[part].min()), float(self._high[part].max())

    def _flush(self) -> None:
        """Add what was collected to the extremes, the means and the histograms."""
        if self._rows:
            low, high, mean = (np.concatenate(part) for part in zip(*self._rows, strict=True))
            np.minimum(self._low, low.min(axis=0), out=self._low)
            np.maximum(self._high, high.max(axis=0), out=self._high)
            for first in range(0, len(mean), EXACT_ROWS):
                rows = exact_sum(mean[first : first + EXACT_ROWS])
                self._means = carried(self._means + rows)
            self._rows.clear()
        for number, tensor in enumerate(self._tensors):
            parts = [sample.reshape(-1) for sample in self._pending[number]]
            x = np.concatenate(parts) if parts else _NONE
            self._pending[number].clear()
            exponent = max(self._exponents[number], exponent_of(*self._extremes(tensor)))
            shift = exponent - self._exponents[number]
            if shift:
                self._bins[number] = _coarse(self._bins[number], shift)
                self._exponents[number] = exponent
            self._bins[number] += binned(x, exponent)
            self._sampled[number] += x.size
            self._zeros[number] += x.size - np.count_nonzero(x)
        self._pending_elements = 0

    def result(self) -> dict[str, TensorProfile]:
        """Return the statistics so far, by tensor."""
        self._flush()
        profiles = {}
        for number, tensor in enumerate(self._tensors):
            part = slice(tensor.start, tensor.start + tensor.channels)
            low, high = self._extremes(tensor)
            start, bins = _trimmed(self._bins[number])
            profiles[tensor.tensor] = TensorProfile(
                count=int(self._counts[number]),
                low=low + 0.0,  # -0.0 becomes 0.0, else the order would show
                high=high + 0.0,
                channel_low=self._low[part] + np.float32(0) if tensor.per_channel else _NONE,
                channel_high=self._high[part] + np.float32(0) if tensor.per_channel else _NONE,
                means=carried(self._means[:, part if tensor.per_channel else slice(0)]),
                sampled=int(self._sampled[number]),
                zeros=int(self._zeros[number]),
                nonfinite=0,
                nonfinite_sample="",
                exponent=self._exponents[number],
                start=start,
                bins=bins,
            )
        return profiles


def binned(x: F32, exponent: int) -> I64:
    """Return int64 `[2 * HALF]`, counts of floor(x / 2**exponent) + HALF, exactly.

    Multiplying by a power of two is exact in float32 unless the product is subnormal; that can
    change the floor of a negative value only where exponent > 0, and there float64 is used.
    """
    wide: NDArray[Any] = x.astype(np.float64) if exponent > 0 else x
    index = np.floor(wide * wide.dtype.type(2.0**-exponent)).astype(np.int64)
    index += HALF
    return np.bincount(index, minlength=2 * HALF)


def _coarse(bins: I64, shift: int) -> I64:
    """Return the same counts on a grid 2**shift times as wide."""
    used = np.flatnonzero(bins)
    out = np.zeros_like(bins)
    np.add.at(out, ((used - HALF) >> min(shift, 62)) + HALF, bins[used])
    return out


def _trimmed(bins: I64) -> tuple[int, I64]:
    """Return (index of the first bin, counts) without empty bins at the ends."""
    used = np.flatnonzero(bins)
    if not used.size:
        return 0, np.zeros(0, np.int64)
    return int(used[0]) - HALF, bins[used[0] : used[-1] + 1].copy()


def exact(statistics: TensorStatistics, x: NDArray[Any], sample: str) -> TensorProfile:
    """Return the statistics of one whole tensor of one sample, which may hold NaN or infinities.

    Args:
        statistics: How the tensor is reduced and strided.
        x: float32, the tensor of one sample, with its batch axis of length 1.
        sample: The sample's key, kept when an element is not finite.
    """
    good = np.isfinite(x)
    axes = statistics.reduce if statistics.reduce is not None else tuple(range(x.ndim))
    far = np.float32(np.inf)  # also of a tensor without elements
    low = np.where(good, x, far).min(axis=axes, initial=far).reshape(-1)
    high = np.where(good, x, -far).max(axis=axes, initial=-far).reshape(-1)
    part = [slice(None)] * x.ndim
    for axis, first, step in statistics.steps:
        part[axis] = slice(first, None, step)
    strided = x[tuple(part)].reshape(-1)
    clean = np.where(good, x, np.float32(0))
    count = np.maximum(good.sum(axis=axes).reshape(-1), 1)
    mean = (clean.sum(axis=axes, dtype=np.float64).reshape(-1) / count).astype(np.float32)
    strided = strided[np.isfinite(strided)]
    exponent = exponent_of(float(low.min()), float(high.max()))
    start, bins = _trimmed(binned(strided, exponent))
    broken = int(x.size - np.count_nonzero(good))
    zero = np.float32(0)
    return TensorProfile(
        count=int(x.size),
        low=float(low.min()) + 0.0,
        high=float(high.max()) + 0.0,
        channel_low=low + zero if statistics.per_channel else _NONE,
        channel_high=high + zero if statistics.per_channel else _NONE,
        means=exact_sum(mean[None]) if statistics.per_channel else np.empty((2, 0), np.int64),
        sampled=int(strided.size),
        zeros=int(strided.size - np.count_nonzero(strided)),
        nonfinite=broken,
        nonfinite_sample=sample if broken else "",
        exponent=exponent,
        start=start,
        bins=bins,
    )
