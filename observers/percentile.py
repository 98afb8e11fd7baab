"""Percentile: cut a fixed share of the elements off each tail."""

__all__ = ["percentile"]

import numpy as np

from quant.formats.number_format import NumberFormat
from quant.observers.observer import OBSERVERS, extremes
from quant.profile.statistics import TensorProfile

SHARE = 1e-4
"""Share of the elements beyond each end: the 99.99th percentile, as TensorRT and NNCF default."""


@OBSERVERS.add("percentile")
def percentile(seen: TensorProfile, number: NumberFormat) -> tuple[float, float]:
    """Return the range that leaves at most 0.01 % of the elements beyond each end.

    Read off the histogram: the outer edges of the bins in which the cumulated count crosses the
    share, so the cut never takes more than was asked for.
    """
    low, high = extremes(seen)
    total = int(seen.bins.sum())
    if not total:
        return low, high
    below = np.cumsum(seen.bins)
    first = int(np.searchsorted(below, SHARE * total, side="right"))
    last = int(np.searchsorted(below, (1 - SHARE) * total, side="left"))
    lower = (seen.start + first) * seen.width
    upper = (seen.start + last + 1) * seen.width
    return max(low, min(lower, 0.0)), min(high, max(upper, 0.0))
