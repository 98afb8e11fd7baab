"""The entropy observer: the range that loses least information, by Kullback-Leibler divergence."""

__all__ = ["entropy"]

import numpy as np
from numpy.typing import NDArray

from quant.formats.number_format import Integer, NumberFormat
from quant.observers.observer import OBSERVERS, extremes, scan
from quant.profile.statistics import TensorProfile

F64 = NDArray[np.float64]
CANDIDATES = 96


@OBSERVERS.add("entropy")
def entropy(profile: TensorProfile, number_format: NumberFormat) -> tuple[float, float]:
    """Return the range of least KL(p || q), p the clipped and q the quantized distribution.

    p is the histogram with what lies beyond the range added to its end bins; q spreads the count
    of each step of the grid evenly over the bins in it that are not empty. Exact zeros are left
    out: every grid represents them exactly. Source: Migacz, "8-bit Inference with TensorRT", GTC
    2017; the search runs over a histogram of 4096 bins a side, never of as many bins as steps. A
    format that is no grid of equal steps keeps the extremes.
    """
    low, high = extremes(profile)
    counts = profile.nonzero
    if low == high or counts.sum() <= 0 or not isinstance(number_format, Integer):
        return low, high
    centers = profile.centers

    def divergence(a: float, b: float) -> float:
        return _divergence(counts, centers, number_format, a, b)

    return scan(profile, number_format, divergence, CANDIDATES)


def _divergence(
    counts: F64, centers: F64, number_format: Integer, low: float, high: float
) -> float:
    """Return KL(p || q) in nats for one range."""
    inside = (centers >= low) & (centers <= high)
    used = np.flatnonzero(inside)
    if used.size < 2:
        return float("inf")
    reference = counts[used]  # q is built from what lies inside, p carries the tails too
    p = reference.copy()
    p[0] += counts[: used[0]].sum()
    p[-1] += counts[used[-1] + 1 :].sum()
    params = number_format.parameters(low, high)
    step = np.rint(centers[used] / float(params.scale)).astype(np.int64)
    step -= step[0]
    filled = reference > 0
    totals = np.bincount(step, reference)
    members = np.bincount(step, filled)
    q = np.where(filled, totals[step] / np.maximum(members[step], 1), 0.0)
    if p.sum() <= 0 or q.sum() <= 0:
        return float("inf")
    p, q = p / p.sum(), q / q.sum()
    positive = p > 0
    floor = 1e-10  # a tail folded onto an empty end bin costs much, but not infinity
    return float(np.sum(p[positive] * np.log(p[positive] / np.maximum(q[positive], floor))))
