"""Percentile: within one bin of numpy's, and never more cut off than was asked for."""

import numpy as np
import pytest
from numpy.typing import NDArray

from quant.calibration.profiling.accumulate import exact
from quant.calibration.profiling.statistics_graph import TensorStatistics
from quant.formats.number_format import INT8, UINT8
from quant.observers.percentile import SHARE, percentile
from quant.profile.statistics import TensorProfile

TAP = TensorStatistics(
    tensor="t", channels=1, per_channel=False, start=0, reduce=(1,), steps=(), size=None
)


def seen(x: NDArray[np.float32]) -> TensorProfile:
    return exact(TAP, x.reshape(1, -1), "a")


CROWDS = {
    "normal": lambda rng: rng.normal(0, 1, 200_000),
    "skewed": lambda rng: rng.gumbel(0, 1, 200_000),
    "heavy": lambda rng: rng.standard_t(3, 200_000),
    "mostly zero": lambda rng: np.maximum(rng.normal(-2, 1, 200_000), 0),
}


@pytest.mark.parametrize("kind", CROWDS)
def test_it_is_within_one_bin_of_numpys_quantile(kind: str) -> None:
    x = np.sort(CROWDS[kind](np.random.default_rng(1)).astype(np.float32))
    of = seen(x)

    low, high = percentile(of, UINT8)
    below, above = (
        sign * float(np.quantile(sign * x, 1 - SHARE, method="inverted_cdf")) for sign in (-1, 1)
    )
    assert abs(low - min(below, 0)) <= of.width
    assert abs(high - max(above, 0)) <= of.width
    assert np.mean(x < low) <= SHARE
    assert np.mean(x > high) <= SHARE
    assert percentile(of, INT8) == (low, high)


@pytest.mark.parametrize("outliers", [1, 10, 11, 50])
def test_up_to_one_in_ten_thousand_is_cut_off_and_not_one_more(outliers: int) -> None:
    """Ten of 100 000 may go; eleven are a part of the distribution."""
    x = np.linspace(-1, 1, 100_000, dtype=np.float32)
    x[:outliers] = 100.0

    low, high = percentile(seen(x), UINT8)
    assert (high == 100.0) == (outliers > 10)
    assert high == 100.0 or high <= 1 + seen(x).width
    assert -1 <= low < -0.99


def test_a_small_profile_loses_nothing() -> None:
    """One of a hundred is more than the share that may go."""
    x = np.append(np.full(99, 0.1), 50.0).astype(np.float32)

    assert percentile(seen(x), UINT8) == (0.0, 50.0)
    assert percentile(seen(-x), UINT8) == (-50.0, 0.0)
