"""What every observer promises, whoever wrote it: a range that any format can be laid over."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quant.calibration.profiling.accumulate import Accumulator, exact
from quant.calibration.profiling.statistics_graph import TensorStatistics
from quant.formats.number_format import INT8, UINT8, Integer
from quant.observers import OBSERVERS
from quant.profile.statistics import TensorProfile

FORMATS = [
    INT8,
    UINT8,
    Integer(bits=8, signed=True, symmetric=False),
    Integer(bits=8, signed=False, symmetric=True),
    Integer(bits=4, signed=True, symmetric=True, narrow=True),
    Integer(bits=16, signed=False, symmetric=False),
]
EVERY_OBSERVER = pytest.mark.parametrize("name", list(OBSERVERS))
EVERY_FORMAT = pytest.mark.parametrize("number", FORMATS, ids=lambda n: f"{n.name}-{n.symmetric}")
TAP = TensorStatistics(
    tensor="t", channels=1, per_channel=False, start=0, reduce=(1,), steps=(), size=None
)

element = st.one_of(
    st.sampled_from([0.0, -0.0, 1e-45, -1e-38, 3.4e38, -3.4e38, 1.0, 6.0]).map(np.float32),
    st.floats(-8, 8, width=32),
)
lists = st.lists(element, max_size=40)


def seen(values: object) -> TensorProfile:
    """Return what is seen of these numbers in one tensor."""
    return exact(TAP, np.asarray(values, np.float32).reshape(1, -1), "a")


def nothing() -> TensorProfile:
    return Accumulator([TAP]).result()["t"]


def crowd(seed: int, kind: str) -> NDArray[np.float32]:
    """Return the kinds of activations that networks have."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.3, 1, 4000)
    made = {
        "normal": x,
        "relu": np.maximum(x, 0),
        "negative": -np.abs(x),
        "outlier": np.append(x, [300.0]),
        "two outliers": np.append(x, [300.0, -50.0]),
        "uniform": rng.uniform(-1, 3, 4000),
        "heavy": rng.standard_cauchy(4000),
        "two values": np.where(x > 0, 5.0, -2.0),
        "far from zero": x + 100,
    }
    return made[kind].astype(np.float32)


KINDS = [
    *("normal", "relu", "negative", "outlier", "two outliers"),
    *("uniform", "heavy", "two values", "far from zero"),
]


def assert_sound(chosen: tuple[float, float], of: TensorProfile, number: Integer) -> None:
    low, high = chosen
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert min(of.low, 0.0) <= low <= 0.0 <= high <= max(of.high, 0.0)
    grid = number.parameters(low, high)
    zero = np.zeros(1, np.float32)
    assert number.fake_quantize(zero, grid) == 0.0


def test_the_four_are_there() -> None:
    assert set(OBSERVERS) >= {"entropy", "minmax", "mse", "percentile"}


@EVERY_OBSERVER
@given(values=lists, number=st.sampled_from(FORMATS))
@settings(max_examples=25, deadline=None)
def test_the_range_holds_zero_is_finite_and_within_the_extremes(
    name: str, values: list[float], number: Integer
) -> None:
    """Zero must be exact after quantization, and beyond the extremes steps are wasted."""
    of = seen(values)

    assert_sound(OBSERVERS[name](of, number), of, number)


@EVERY_OBSERVER
@EVERY_FORMAT
def test_crowds_of_every_kind_get_a_range_that_keeps_most_of_them(
    name: str, number: Integer
) -> None:
    for kind in KINDS:
        x = crowd(1, kind)
        of = seen(x)
        low, high = OBSERVERS[name](of, number)

        assert_sound((low, high), of, number)
        assert low < high, kind
        assert np.mean((x >= low - of.width) & (x <= high + of.width)) > 0.5, kind


@EVERY_OBSERVER
@EVERY_FORMAT
def test_an_empty_profile_gives_a_range_too(name: str, number: Integer) -> None:
    """A branch that no sample took, or a tensor that was all NaN."""
    for of in (nothing(), seen([np.nan, np.inf])):
        assert OBSERVERS[name](of, number) == (0.0, 0.0)


@EVERY_OBSERVER
@EVERY_FORMAT
def test_a_tensor_of_zeros_gives_the_empty_range(name: str, number: Integer) -> None:
    low, high = OBSERVERS[name](seen([0.0, -0.0, 0.0]), number)

    assert (low, high) == (0.0, 0.0)
    assert number.parameters(low, high).scale == 1.0


@EVERY_OBSERVER
@pytest.mark.parametrize("value", [2.5, -2.5, 1e-45, 3e38])
def test_a_constant_keeps_nearly_its_value(name: str, value: float) -> None:
    """All elements equal: clipping the only value there is would be an error without a gain."""
    constant = float(np.float32(value))
    low, high = OBSERVERS[name](seen([constant] * 500), UINT8)

    assert min(low, high, key=abs) == 0.0
    assert max(low, high, key=abs) == pytest.approx(constant, rel=1 / 64)


@EVERY_OBSERVER
@EVERY_FORMAT
def test_the_same_profile_gives_the_same_range(name: str, number: Integer) -> None:
    x = crowd(2, "two outliers")
    halves = seen(x[::2]) + seen(x[1::2])

    assert OBSERVERS[name](seen(x), number) == OBSERVERS[name](halves, number)


@EVERY_OBSERVER
@EVERY_FORMAT
@pytest.mark.parametrize("power", [-20, 1, 5])
def test_twice_the_numbers_have_exactly_twice_the_range(
    name: str, number: Integer, power: int
) -> None:
    """A power of two changes no mantissa, so a choice that depends on it is an accident."""
    for kind in ("normal", "relu", "outlier"):
        x = crowd(3, kind)
        low, high = OBSERVERS[name](seen(x), number)

        scaled = OBSERVERS[name](seen(x * np.float32(2.0**power)), number)
        assert scaled == (low * 2.0**power, high * 2.0**power), kind


@EVERY_OBSERVER
def test_the_mirror_image_has_the_mirrored_range_under_a_symmetric_format(name: str) -> None:
    """Up to the width of a bin: they are closed on the left only."""
    x = crowd(4, "two outliers")
    of = seen(x)
    narrow = replace(INT8, narrow=True)

    low, high = OBSERVERS[name](of, narrow)
    mirrored = OBSERVERS[name](seen(-x), narrow)
    step = max(high, -low) / 64 + of.width
    assert abs(mirrored[0] + high) <= step
    assert abs(mirrored[1] + low) <= step


@EVERY_OBSERVER
def test_an_observer_leaves_the_profile_as_it_was(name: str) -> None:
    of = seen(crowd(5, "relu"))
    before = of.bins.copy(), of.channel_low.copy(), of.means.copy()

    OBSERVERS[name](of, UINT8)
    for a, b in zip(before, (of.bins, of.channel_low, of.means), strict=True):
        assert np.array_equal(a, b)
