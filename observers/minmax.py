"""MinMax: the whole of what was seen, outliers and all."""

__all__ = ["minmax"]

from quant.formats.number_format import NumberFormat
from quant.observers.observer import OBSERVERS, extremes
from quant.profile.statistics import TensorProfile


@OBSERVERS.add("minmax", candidate=True)
def minmax(seen: TensorProfile, number: NumberFormat) -> tuple[float, float]:
    """Return the exact extremes: nothing saturates, and one outlier stretches every step."""
    return extremes(seen)
