"""The percentile observer: cut a fixed share of the elements off each tail."""

__all__ = ["percentile"]

from quant.formats.number_format import NumberFormat
from quant.observers.observer import OBSERVERS
from quant.profile.statistics import TensorProfile

SHARE = 1e-4
"""Share of the elements beyond each end: the 99.99th percentile, as TensorRT and NNCF default."""


@OBSERVERS.add("percentile", candidate=True)
def percentile(profile: TensorProfile, number_format: NumberFormat) -> tuple[float, float]:
    """Return the range that leaves at most 0.01 % of the elements beyond each end.

    Read off the histogram, at the outer edges of its bins: never more is cut than was asked for.
    """
    low, high = profile.quantiles(SHARE)
    return min(low, 0.0), max(high, 0.0)
