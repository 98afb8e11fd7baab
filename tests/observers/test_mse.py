"""Mse: the error on the histogram is the error on the data, and its range is nearly the best."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from quant.calibration.profiling.accumulate import Accumulator, exact
from quant.calibration.profiling.statistics_graph import TensorStatistics
from quant.formats.number_format import INT8, UINT8, Integer
from quant.observers.minmax import minmax
from quant.observers.mse import expected_mse, mse
from quant.profile.statistics import TensorProfile

TAP = TensorStatistics(
    tensor="t", channels=1, per_channel=False, start=0, reduce=(1,), steps=(), size=None
)
INT4 = Integer(bits=4, signed=True, symmetric=True)
UINT4 = Integer(bits=4, signed=False, symmetric=False)
FORMATS = pytest.mark.parametrize("number", [INT8, UINT8, INT4, UINT4], ids=lambda n: n.name)
CROWDS = {
    "normal": lambda rng: rng.normal(0.2, 1, 5_000),
    "relu": lambda rng: np.maximum(rng.normal(0, 1, 5_000), 0),
    "laplace": lambda rng: rng.laplace(0, 1, 5_000),
    "outlier": lambda rng: np.append(rng.normal(0, 1, 5_000), 40.0),
    "lopsided": lambda rng: np.append(rng.exponential(1, 5_000), [-9.0, 25.0]),
}
EVERY_CROWD = pytest.mark.parametrize("kind", CROWDS)


def seen(x: NDArray[np.float32]) -> TensorProfile:
    return exact(TAP, x.reshape(1, -1), "a")


def crowd(kind: str) -> NDArray[np.float32]:
    made: NDArray[np.float32] = CROWDS[kind](np.random.default_rng(2)).astype(np.float32)
    return made


def error_of(x: NDArray[np.float32], number: Integer, low: float, high: float) -> float:
    """Return the mean squared error over the raw numbers, written out in float64."""
    least = -(2 ** (number.bits - 1)) if number.signed else 0
    most = least + 2**number.bits - 1
    if number.symmetric:
        scale, zero = float(np.float32(max(-low, high) / most)), 0
    else:
        scale = float(np.float32((high - low) / (most - least)))
        zero = round(least - low / scale)
    wide = x.astype(np.float64)
    q = np.clip(np.round(wide / scale) + zero, least, most)
    return float(np.mean((wide - scale * (q - zero)) ** 2))


@FORMATS
@EVERY_CROWD
@pytest.mark.parametrize("share", [1.0, 0.6, 0.25])
def test_the_expected_error_is_that_of_the_raw_numbers(
    kind: str, share: float, number: Integer
) -> None:
    """The distance d to the nearest grid point changes by no more than its argument does.

    A center is at most w / 2 from its element, so |d(c)**2 - d(x)**2| <= w * d(x) + w**2 / 2, and
    the mean of d is at most the root of the mean of d**2.
    """
    x = crowd(kind)
    of = seen(x)
    low, high = share * min(of.low, 0.0), share * max(of.high, 0.0)

    wanted = error_of(x, number, low, high)
    bound = of.width * np.sqrt(wanted) + of.width**2 / 2
    assert abs(expected_mse(of, number, low, high) - wanted) <= bound


def test_the_expected_error_by_hand() -> None:
    """Four elements, two of them exact zeros; bins of 2**-11, and 15 steps of 0.1 over [0, 1.5]."""
    of = seen(np.array([0.0, 0.0, 1.0, 0.26], np.float32))

    centers = (np.floor(0.26 * 2**11) + 0.5) / 2**11, 1.0 + 2.0**-12
    step = float(np.float32(0.1))
    squares = (centers[0] - 3 * step) ** 2, (centers[1] - 10 * step) ** 2
    assert of.zeros == 2
    assert expected_mse(of, UINT4, 0.0, 1.5) == pytest.approx(sum(squares) / 4, rel=1e-12)


def test_exact_zeros_have_no_error() -> None:
    """The first bin's center is not 0, and after a Relu half of the elements lie there."""
    x = np.append(np.zeros(1000), 1.0).astype(np.float32)

    of = seen(x)
    assert expected_mse(of, UINT8, 0.0, 1.0) == pytest.approx(
        (1.0 + 2.0**-12 - 1.0) ** 2 / 1001, rel=1e-3
    )
    assert expected_mse(seen(np.zeros(5, np.float32)), UINT8, 0.0, 1.0) == 0.0


def test_an_empty_profile_has_no_error() -> None:
    assert expected_mse(Accumulator([TAP]).result()["t"], UINT8, 0.0, 1.0) == 0.0


@FORMATS
@EVERY_CROWD
def test_it_is_no_worse_than_minmax_and_nearly_as_good_as_any(kind: str, number: Integer) -> None:
    """Brute force over the raw numbers: 40 by 40 ranges, or 200 where one number decides."""
    x = crowd(kind)
    of = seen(x)

    low, high = mse(of, number)
    assert expected_mse(of, number, low, high) <= expected_mse(of, number, *minmax(of, number))
    ends = minmax(of, number)
    if number.symmetric or 0.0 in ends:
        tried = [(f * ends[0], f * ends[1]) for f in np.linspace(0.005, 1, 200)]
    else:
        grid = np.linspace(0.025, 1, 40)
        tried = [(a * ends[0], b * ends[1]) for a, b in product(grid, grid)]
    best = min(error_of(x, number, *one) for one in tried)
    assert error_of(x, number, low, high) <= 1.1 * best


def test_an_outlier_is_cut_off_where_that_pays() -> None:
    x = crowd("outlier")

    assert mse(seen(x), INT4)[1] < 6
    assert mse(seen(x), Integer(bits=16, signed=True, symmetric=True))[1] > 39
