"""The minmax observer: the whole range of a tensor, outliers included."""

__all__ = ["minmax"]

from quant.formats.number_format import NumberFormat
from quant.observers.observer import OBSERVERS, extremes
from quant.profile.statistics import TensorProfile


@OBSERVERS.add("minmax", candidate=True)
def minmax(profile: TensorProfile, number_format: NumberFormat) -> tuple[float, float]:
    """Return the exact extremes: nothing saturates, and one outlier stretches every step."""
    return extremes(profile)
