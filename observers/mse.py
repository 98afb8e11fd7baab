"""The mse observer: the range whose grid has the least mean squared error."""

__all__ = ["expected_mse", "mse"]

import numpy as np

from quant.formats.number_format import Integer, NumberFormat
from quant.observers.observer import OBSERVERS, scan
from quant.profile.statistics import TensorProfile


@OBSERVERS.add("mse", candidate=True)
def mse(profile: TensorProfile, number_format: NumberFormat) -> tuple[float, float]:
    """Return the range of least expected squared error: rounding against saturation.

    Source: Sung et al. 2015 and Banner et al. 2019 (ACIQ) minimize it in closed form for a known
    distribution; here it is computed on the histogram, whose bins are 1/8 of a step or finer.
    """
    return scan(
        profile, number_format, lambda low, high: expected_mse(profile, number_format, low, high)
    )


def expected_mse(
    profile: TensorProfile, number_format: NumberFormat, low: float, high: float
) -> float:
    """Return the mean squared error of `number_format` over [low, high] on the histogram.

    sum_i bins[i] * (c_i - fake_quantize(c_i))**2 / sum_i bins[i], with c_i the bins' centers; the
    exact zeros among them have no error. 0 for an empty profile.

    Args:
        profile: The statistics of a tensor.
        number_format: The format of its grid.
        low: The least number of the range, at most 0.
        high: The greatest, at least 0.
    """
    total = int(profile.bins.sum())
    if not total:
        return 0.0
    x = profile.centers
    if isinstance(number_format, Integer):
        params = number_format.parameters(low, high)
        scale, zero = float(params.scale), int(params.zero_point)
        q = np.clip(np.rint(x / scale) + zero, number_format.qmin, number_format.qmax)
        error = (scale * (q - zero) - x) ** 2
    else:
        error = (number_format.fake_quantize(x, number_format.parameters(low, high)) - x) ** 2
    return float(error @ profile.nonzero) / total
