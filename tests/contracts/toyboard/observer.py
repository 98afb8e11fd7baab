"""Thousandth: the range without a thousandth of the elements at each end."""

__all__ = ["thousandth"]

from quant.formats.number_format import NumberFormat
from quant.observers.observer import OBSERVERS
from quant.profile.statistics import TensorProfile


@OBSERVERS.add("thousandth", candidate=True)
def thousandth(profile: TensorProfile, number: NumberFormat) -> tuple[float, float]:
    """Return the range that 99.8 % of the elements lie in, with zero in it."""
    low, high = profile.quantiles(1e-3)
    return min(low, 0.0), max(high, 0.0)
