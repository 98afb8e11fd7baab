"""MinMax gives exactly the extremes."""

import math

import numpy as np

from quant.calibration.profiling.accumulate import exact
from quant.calibration.profiling.statistics_graph import TensorStatistics
from quant.formats.number_format import INT8, UINT8
from quant.observers.minmax import minmax

TAP = TensorStatistics(
    tensor="t", channels=1, per_channel=False, start=0, reduce=(1,), steps=(), size=None
)


def test_the_extremes_are_exact_and_widened_to_zero() -> None:
    """Not the edges of bins, and not the extremes of the sample: of every element."""
    cases = [
        ([-0.1, 0.3], (-0.1, 0.3)),
        ([0.1, 0.3], (0.0, 0.3)),
        ([-0.3, -0.1], (-0.3, 0.0)),
        ([1.0, 1e6, math.nan, math.inf], (0.0, 1e6)),
    ]
    for values, (low, high) in cases:
        seen = exact(TAP, np.array([values], np.float32), "a")

        assert minmax(seen, UINT8) == (float(np.float32(low)), float(np.float32(high)))
        assert minmax(seen, INT8) == minmax(seen, UINT8)


def test_an_outlier_that_the_histogram_did_not_sample_counts() -> None:
    strided = TensorStatistics(
        tensor="t",
        channels=1,
        per_channel=False,
        start=0,
        reduce=(1,),
        steps=((1, 0, 2),),
        size=None,
    )

    seen = exact(strided, np.array([[1.0, 77.0, 2.0, -9.0]], np.float32), "a")
    assert seen.sampled == 2
    assert minmax(seen, UINT8) == (-9.0, 77.0)
