"""Integer: real = scale * (integer - zero_point), by hand in float64 and against ONNX Runtime."""

import re

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quant.formats.number_format import INT8, INT32, UINT8, Integer, Params
from tests.models import model

F32 = NDArray[np.float32]

TINY = float(np.finfo(np.float32).tiny)
BIGGEST = float(np.finfo(np.float32).max)
EVERY = [
    Integer(bits=bits, signed=signed, symmetric=symmetric, narrow=narrow)
    for bits in (2, 4, 8, 16)
    for signed in (True, False)
    for symmetric in (True, False)
    for narrow in (True, False)
]
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
sane = st.floats(-1e6, 1e6, width=32)


def params(scale: object, zero: object) -> Params:
    return Params(scale=np.asarray(scale, np.float32), zero_point=np.asarray(zero, np.int32))


def runtime(number: Integer, x: F32, given: Params, axis: int = 1) -> tuple[F32, F32]:
    """Return ONNX Runtime's integers and what it reads back from them, as written."""
    rank = ", ".join(f"D{i}" for i in range(x.ndim))
    proto = model(
        f"""g (float[{rank}] x) => ({number.name}[{rank}] q, float[{rank}] y) {{
            [q] q = QuantizeLinear<axis={axis}>(x, scale, zero)
            [d] y = DequantizeLinear<axis={axis}>(q, scale, zero)
        }}""",
        {"scale": given.scale, "zero": given.zero_point.astype(number.name)},
    )
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    q, y = session.run(None, {"x": x})
    return q, y


def test_the_equation_by_hand() -> None:
    """The one equation of the whole package; everything else follows from it."""
    grid = UINT8.parameters(-1.0, 4.1)

    scale = 5.1 / 255
    assert grid.scale == np.float32(scale)
    assert grid.scale.dtype == np.float32
    assert grid.zero_point == 50
    assert grid.zero_point.dtype == np.int32
    x = np.array([-1.0, -0.5, 0.0, 0.031, 4.1], np.float32)
    assert UINT8.quantize(x, grid).tolist() == [0, 25, 50, 52, 255]
    by_hand = np.float64(grid.scale) * (np.array([0, 25, 50, 52, 255]) - 50)
    assert UINT8.fake_quantize(x, grid).tolist() == by_hand.astype(np.float32).tolist()


@pytest.mark.parametrize(
    ("number", "low", "high", "scale", "zero"),
    [
        (INT8, -1.0, 2.54, 2.54 / 127, 0),
        (INT8, -2.54, 1.0, 2.54 / 127, 0),
        (Integer(bits=8, signed=False, symmetric=True), -1.27, 0.1, 1.27 / 127, 128),
        (Integer(bits=8, signed=True, symmetric=False), 0.0, 2.55, 0.01, -128),
        (Integer(bits=8, signed=True, symmetric=False), -2.55, 0.0, 0.01, 127),
        (Integer(bits=8, signed=True, symmetric=False, narrow=True), 0.0, 2.54, 0.01, -127),
        (UINT8, 1.0, 2.55, 0.01, 0),  # widened to hold zero
        (UINT8, -2.55, -1.0, 0.01, 255),
        (Integer(bits=4, signed=True, symmetric=True), -7.0, 7.0, 1.0, 0),
        (Integer(bits=2, signed=True, symmetric=True), -3.0, 1.0, 3.0, 0),
        (INT32, 0.0, 2.0**31 - 1, 1.0, 0),
    ],
)
def test_a_range_becomes_these_parameters(
    number: Integer, low: float, high: float, scale: float, zero: int
) -> None:
    grid = number.parameters(low, high)

    assert grid.scale == np.float32(scale)
    assert grid.zero_point == zero
    assert grid.scale.shape == grid.zero_point.shape == ()


@pytest.mark.parametrize(
    ("number", "least", "greatest", "name", "dtype"),
    [
        (INT8, -128, 127, "int8", "INT8"),
        (UINT8, 0, 255, "uint8", "UINT8"),
        (INT32, -(2**31), 2**31 - 1, "int32", "INT32"),
        (
            Integer(bits=8, signed=True, symmetric=True, narrow=True),
            *(-127, 127, "int8", "INT8"),
        ),
        (Integer(bits=4, signed=False, symmetric=False), 0, 15, "uint4", "UINT8"),
        (Integer(bits=2, signed=True, symmetric=True), -2, 1, "int2", "INT8"),
        (Integer(bits=5, signed=True, symmetric=True), -16, 15, "int5", "INT8"),
        (Integer(bits=12, signed=False, symmetric=False), 0, 4095, "uint12", "UINT16"),
    ],
)
def test_what_a_format_says_of_itself(
    number: Integer, least: int, greatest: int, name: str, dtype: str
) -> None:
    assert (number.qmin, number.qmax, number.name, number.dtype) == (least, greatest, name, dtype)


def test_with_axis_changes_nothing_but_the_axis() -> None:
    assert UINT8.with_axis(1) == Integer(bits=8, signed=False, symmetric=False, axis=1)
    assert INT8.with_axis(0).with_axis(None) == INT8


def test_rounding_is_half_to_even_on_both_sides_of_zero() -> None:
    """Half away from zero is one step off on every tie: not what ONNX Runtime and TensorRT do."""
    ties = np.array([-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5], np.float32)

    assert INT8.quantize(ties, params(1, 0)).tolist() == [-4, -2, -2, 0, 0, 2, 2, 4]
    # the tie is decided before the zero point is added: an odd one changes nothing
    assert UINT8.quantize(ties, params(1, 7)).tolist() == [3, 5, 5, 7, 7, 9, 9, 11]


@pytest.mark.parametrize("number", EVERY, ids=repr)
def test_what_lies_beyond_the_range_saturates(number: Integer) -> None:
    grid = number.parameters(-1.0, 1.0)
    far = np.array([-BIGGEST, -1e9, -100.0, 100.0, 1e9, BIGGEST], np.float32)

    low, high = [number.qmin] * 3, [number.qmax] * 3
    assert number.quantize(far, grid).tolist() == low + high


def test_a_quotient_that_overflows_saturates_in_silence() -> None:
    far = np.array([-BIGGEST, BIGGEST], np.float32)

    assert UINT8.quantize(far, UINT8.parameters(0.0, 1e-30)).tolist() == [0, 255]
    assert INT32.quantize(far, INT32.parameters(0.0, 1e-30)).tolist() == [-(2**31), 2**31 - 1]


@given(low=finite, high=finite, number=st.sampled_from(EVERY))
@settings(max_examples=150, deadline=None)
def test_zero_is_always_exact(low: float, high: float, number: Integer) -> None:
    """Padding and a Relu's cut are zeros; an error in them is an error everywhere."""
    grid = number.parameters(min(low, high), max(low, high))

    zeros = np.array([0.0, -0.0], np.float32)
    assert number.quantize(zeros, grid).tolist() == [int(grid.zero_point)] * 2
    assert number.fake_quantize(zeros, grid).tolist() == [0.0, 0.0]
    assert number.qmin <= int(grid.zero_point) <= number.qmax
    assert np.isfinite(grid.scale)
    assert grid.scale >= TINY


@given(
    ends=st.tuples(sane, sane),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=20),
    number=st.sampled_from(EVERY),
)
@settings(max_examples=200, deadline=None)
def test_within_the_range_the_error_is_at_most_half_a_step(
    ends: tuple[float, float], shares: list[float], number: Integer
) -> None:
    """Half a step is the definition of rounding; the rest is what float32 does to the numbers.

    The scale, the quotient and the product are each rounded by 2**-24 of their value, which is at
    most `steps` scales.
    """
    low, high = min(*ends, 0.0), max(*ends, 0.0)
    grid = number.parameters(low, high)
    x = np.array([low + s * (high - low) for s in shares]).clip(low, high).astype(np.float32)

    error = np.abs(number.fake_quantize(x, grid).astype(np.float64) - x)
    steps = number.qmax - number.qmin
    assert error.max() <= float(grid.scale) * (0.5 + 3 * steps * 2.0**-24)


@given(x=st.lists(sane, min_size=1, max_size=20), number=st.sampled_from(EVERY))
@settings(max_examples=100, deadline=None)
def test_what_is_on_the_grid_stays_and_order_is_kept(x: list[float], number: Integer) -> None:
    grid = number.parameters(-3.0, 1000.0)
    once = number.fake_quantize(np.sort(np.array(x, np.float32)), grid)

    assert once.dtype == np.float32
    assert np.array_equal(number.fake_quantize(once, grid), once)
    assert np.all(np.diff(once) >= 0)


@given(
    x=st.lists(st.floats(-40, 40, width=32), min_size=4, max_size=4),
    ends=st.tuples(st.floats(-40, 0, width=32), st.floats(0, 40, width=32)),
    signed=st.booleans(),
    symmetric=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_onnxruntime_computes_the_same_bits_per_tensor(
    x: list[float], ends: tuple[float, float], signed: bool, symmetric: bool
) -> None:
    """The simulation is only worth something if it is what the runtime does."""
    number = Integer(bits=8, signed=signed, symmetric=symmetric)
    grid = number.parameters(*ends)
    array = np.array(x, np.float32)
    ties = (np.arange(-300, 300) + 0.5).astype(np.float32) * grid.scale
    array = np.concatenate([array, ties]).reshape(4, -1)

    q, y = runtime(number, array, grid)
    assert np.array_equal(number.quantize(array, grid), q.astype(np.int32))
    assert number.fake_quantize(array, grid).tobytes() == y.tobytes()


@pytest.mark.parametrize("axis", [0, 1, 3])
@pytest.mark.parametrize("number", [INT8, UINT8], ids=["int8", "uint8"])
def test_onnxruntime_computes_the_same_bits_per_channel(number: Integer, axis: int) -> None:
    rng = np.random.default_rng(20 + axis)
    x = rng.normal(0, 1, (3, 4, 5, 6)).astype(np.float32)
    others = tuple(a for a in range(4) if a != axis)
    per_channel = number.with_axis(axis)
    # a bit less than the range, so that some saturate
    grid = per_channel.parameters(0.8 * x.min(axis=others), 0.8 * x.max(axis=others))

    q, y = runtime(number, x, grid, axis)
    assert np.array_equal(per_channel.quantize(x, grid), q.astype(np.int32))
    assert per_channel.fake_quantize(x, grid).tobytes() == y.tobytes()


@pytest.mark.parametrize(("axis", "rank"), [(0, 4), (1, 4), (-1, 2), (0, 1), (2, 3)])
def test_each_index_of_the_axis_has_its_own_scale(axis: int, rank: int) -> None:
    shape = [2] * rank
    shape[axis] = 3
    number = INT8.with_axis(axis)
    grid = number.parameters(np.zeros(3), [127.0, 254.0, 508.0])
    x = np.full(shape, 8.0, np.float32)

    seen = np.moveaxis(number.quantize(x, grid), axis, 0)
    assert grid.scale.tolist() == [1.0, 2.0, 4.0]
    assert grid.zero_point.tolist() == [0, 0, 0]
    assert seen.shape == (3, *[2] * (rank - 1))
    assert [np.unique(part).tolist() for part in seen] == [[8], [4], [2]]
    assert np.array_equal(number.dequantize(number.quantize(x, grid), grid), x)


def test_one_scale_for_the_tensor_serves_a_format_with_an_axis() -> None:
    x = np.ones((2, 3), np.float32)

    assert np.array_equal(INT8.with_axis(1).fake_quantize(x, params(0.5, 0)), x)


@pytest.mark.parametrize("number", EVERY, ids=repr)
def test_a_dead_range_gets_scale_one(number: Integer) -> None:
    """A tensor of zeros must not divide by zero, and its zeros stay zeros."""
    grid = number.parameters([0.0, -1.0], [0.0, 1.0])

    assert grid.scale[0] == 1.0
    assert number.qmin <= grid.zero_point[0] <= number.qmax
    assert not number.fake_quantize(np.zeros(3, np.float32), number.parameters(0.0, 0.0)).any()


@pytest.mark.parametrize("number", [INT8, UINT8], ids=["int8", "uint8"])
@pytest.mark.parametrize("high", [TINY, TINY / 8, 1e-45, 1e-300])
def test_no_scale_is_subnormal(number: Integer, high: float) -> None:
    """A chip flushes such a scale to zero, and TensorRT refuses the file."""
    grid = number.parameters(-high, high)

    assert float(grid.scale) == TINY
    assert number.qmin <= int(grid.zero_point) <= number.qmax


@pytest.mark.parametrize("number", [INT8, UINT8], ids=["int8", "uint8"])
def test_the_whole_of_float32_has_a_finite_scale(number: Integer) -> None:
    grid = number.parameters(-BIGGEST, BIGGEST)

    assert np.isfinite(grid.scale)
    assert np.isfinite(number.fake_quantize(np.array([1e38], np.float32), grid)).all()


@pytest.mark.parametrize("bits", [1, 33, 0, -8])
def test_bits_out_of_range_are_refused(bits: int) -> None:
    with pytest.raises(
        ValueError, match=f"^{re.escape(f'Integer.bits must be 2 to 32, saw {bits}.')}$"
    ):
        Integer(bits=bits, signed=True, symmetric=True)


@pytest.mark.parametrize(
    ("scale", "zero", "message"),
    [
        (0.0, 0, "Params.scale must be finite and above 0, saw 0.0."),
        (-1.0, 0, "Params.scale must be finite and above 0, saw -1.0."),
        (np.nan, 0, "Params.scale must be finite and above 0, saw nan."),
        ([1.0, np.inf], [0, 0], "Params.scale must be finite and above 0, saw inf."),
        (
            *([1.0, 2.0], 0),
            "Params.zero_point must have the shape of scale (2,), saw ().",
        ),
    ],
)
def test_parameters_that_mean_nothing_are_refused(
    scale: object, zero: object, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        params(scale, zero)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (np.nan, 1.0, "A range must be finite, saw [nan, 1.0]."),
        (0.0, np.inf, "A range must be finite, saw [0.0, inf]."),
        (2.0, 1.0, "A range's low must not exceed its high, saw [2.0, 1.0]."),
        (
            *([0.0, 3.0], [1.0, 1.0]),
            "A range's low must not exceed its high, saw [[0. 3.], [1. 1.]].",
        ),
    ],
)
def test_a_range_that_is_none_is_refused(low: object, high: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        UINT8.parameters(low, high)
