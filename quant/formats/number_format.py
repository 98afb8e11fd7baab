"""The grids of numbers that a chip computes in, and the uniform integers among them.

A `NumberFormat` holds no measured number; the `GridParams` of a tensor hold those.
`quant/formats/short_floats.py` has the short floats, `quant/formats/gfpq.py` the logarithmic grid of NNIE.

One equation for the uniform integers, stated once, here:

    real = scale * (integer - zero_point)          zero is always exact

(Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
Only Inference", equation 1; ONNX DequantizeLinear.) Rounding is half to even, as in ONNX
QuantizeLinear, TensorRT and MLAS.
"""

__all__ = [
    "FORMATS",
    "INT8",
    "INT32",
    "SMALLEST_SCALE",
    "UINT8",
    "GridParams",
    "Integer",
    "NumberFormat",
    "OnnxNode",
    "Params",
    "read_format",
    "spread",
]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.common.registry import Registry
from quant.formats.onnx_functions import bound_function, uniform_function

if TYPE_CHECKING:
    import onnx_ir as ir

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
"""A scale below this is subnormal: chips flush it to zero, TensorRT refuses it. The bound is ours."""


class GridParams(Protocol):
    """The measured numbers of one tensor's grid; each format defines its own."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name: `scale` and `zero_point`, or `delta`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxNode:
    """One node of fake quantization: it takes the tensor so far, and then these constants.

    Attributes:
        op: Operator type.
        function: Makes the body of the operator for a model of an opset; None for one of ONNX's own.
        constants: Names and arrays of its further inputs, stored as they are.
        attributes: ONNX attributes.
        dtype: ONNX's name of its output's type.
    """

    op: str
    function: "Callable[[int], ir.Function] | None" = None
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    attributes: Mapping[str, int] = field(default_factory=dict)
    dtype: str = "FLOAT"


class NumberFormat(Protocol):
    """A grid of numbers; one small frozen class a kind of grid."""

    opset: ClassVar[int]
    """The least ONNX opset whose graphs can hold it."""

    @property
    def name(self) -> str:
        """The name in a plan: `int8`, `float8e4m3fn`, `gfpq8`."""

    @property
    def bits(self) -> int:
        """Bits that one number takes."""

    @property
    def symmetric(self) -> bool:
        """Whether both sides of zero reach equally far, so that the larger bound alone counts."""

    @property
    def axis(self) -> int | None:
        """None for one set of params a tensor; else the axis with one for each index."""

    def with_axis(self, axis: int | None) -> Self:
        """Return the same format with numbers along `axis`."""

    def parameters(self, low: Any, high: Any) -> GridParams:
        """Return the numbers of the grid for the range [low, high], scalars or `[C]`."""

    def fake_quantize(self, x: NDArray[Any], params: Any) -> F32:
        """Return `x` rounded to the grid, as the chip sees it, float32 of the same shape."""

    def quantized_array(self, x: NDArray[Any], params: Any) -> NDArray[Any] | None:
        """Return the array that a graph stores for `x`; None where it stores floats."""

    def grid_range(self, params: Any) -> tuple[F32, F32]:
        """Return the least and the greatest number on the grid."""

    def rounding_range(self, params: Any) -> tuple[F32, F32]:
        """Return the range whose numbers are rounded; what lies beyond saturates."""

    def onnx_nodes(self, params: Any, rank: int) -> list[OnnxNode]:
        """Return the nodes that do in ONNX what `fake_quantize` does, in order."""

    def describe(self, params: Any) -> dict[str, Any]:
        """Return the format and its `params` as JSON values, floats as float32."""

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "tuple[NumberFormat, GridParams]":
        """Return what `describe` wrote; ValueError, KeyError or TypeError for anything else."""


FORMATS: Registry[type[NumberFormat]] = Registry("number format", "quant.formats")
"""The classes by family, a format's name without the digits at its end: "int", "gfpq"."""


def read_format(row: Mapping[str, Any]) -> tuple[NumberFormat, GridParams]:
    """Return the format and the numbers that a format described in a row of `plan.json`.

    Raises:
        ValueError: No format has this name, or a value is out of its range.
        KeyError: The row lacks an entry.
        TypeError: An entry is of another type.
    """
    try:
        kind = FORMATS[str(row["format"]).rstrip("0123456789")]
    except InputError as error:
        raise ValueError(str(error)) from error
    return kind.read(row)


def spread(numbers: NDArray[Any], axis: int | None, rank: int) -> NDArray[Any]:
    """Shape `[C]` so that it broadcasts along the axis: `[1, C, 1, 1]` for axis 1 of rank 4."""
    if axis is None or numbers.ndim == 0:
        return numbers
    shape = [1] * rank
    shape[axis] = -1
    return numbers.reshape(shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """The measured numbers of one tensor's uniform or float grid.

    Attributes:
        scale: float32, `[]` for per-tensor or `[C]` for per-channel; every one > 0.
        zero_point: int32, the shape of `scale`; the integer that stands for 0.0.
    """

    scale: F32
    zero_point: I32

    def __post_init__(self) -> None:
        good = np.isfinite(self.scale) & (self.scale > 0)
        if not np.all(good):
            bad = np.atleast_1d(self.scale)[~np.atleast_1d(good)][0]
            raise ValueError(f"Params.scale must be finite and above 0, saw {bad}.")
        if self.scale.shape != self.zero_point.shape:
            raise ValueError(
                f"Params.zero_point must have the shape of scale {self.scale.shape}, "
                f"saw {self.zero_point.shape}."
            )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return `scale` and `zero_point`."""
        return {"scale": self.scale, "zero_point": self.zero_point}


@FORMATS.add("int")
@FORMATS.add("uint")
@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    """Uniform integers as a format; it holds no measured number.

    Attributes:
        bits: 2 to 32.
        signed: Two's complement if true, else 0 to 2**bits - 1.
        symmetric: The zero point is fixed (0 if signed, else 2**(bits - 1)) and both sides of zero
            reach equally far. An asymmetric format places the zero point by the range.
        narrow: Leave the most negative integer out, so that the grid is its own mirror.
        axis: None for one scale per tensor; else the axis that has a scale of its own per index.
    """

    bits: int
    signed: bool
    symmetric: bool
    narrow: bool = False
    axis: int | None = None
    opset: ClassVar[int] = 13

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 32:
            raise ValueError(f"Integer.bits must be 2 to 32, saw {self.bits}.")

    @property
    def name(self) -> str:
        """`int8` or `uint8`: the ONNX spelling."""
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    @property
    def qmin(self) -> int:
        """The least integer."""
        return (-(1 << (self.bits - 1)) if self.signed else 0) + int(self.narrow)

    @property
    def qmax(self) -> int:
        """The greatest integer."""
        return (1 << (self.bits - 1 if self.signed else self.bits)) - 1

    @property
    def dtype(self) -> str:
        """ONNX's name of the type that stores it: the smallest of whole bytes that has room.

        Four bits lie in eight: ONNX before opset 21 has no smaller type, and kernels read bytes.
        """
        width = next(w for w in (8, 16, 32) if w >= self.bits)
        return f"{'INT' if self.signed else 'UINT'}{width}"

    def with_axis(self, axis: int | None) -> "Integer":
        """Return the same integers with one scale per index of `axis`."""
        return replace(self, axis=axis)

    def parameters(self, low: Any, high: Any) -> Params:
        """Return the grid that covers [low, high] and holds zero exactly.

        Symmetric: scale = max(-low, high) / qmax. Asymmetric: scale = (high - low) / (qmax - qmin)
        with zero_point = round(qmin - low / scale). The range is first widened to include 0; an
        empty one (low = high = 0, a dead tensor) gets scale 1.

        Args:
            low: float, scalar or `[C]`; finite.
            high: The same shape, high >= low.

        Raises:
            ValueError: A bound is not finite, or low > high.

        >>> UINT8.parameters(-1.0, 4.1).zero_point.tolist()      # scale = 5.1 / 255
        50
        """
        low64 = np.asarray(low, np.float64)
        high64 = np.asarray(high, np.float64)
        if not (np.all(np.isfinite(low64)) and np.all(np.isfinite(high64))):
            raise ValueError(f"A range must be finite, saw [{low64}, {high64}].")
        if np.any(low64 > high64):
            raise ValueError(f"A range's low must not exceed its high, saw [{low64}, {high64}].")
        low64, high64 = np.minimum(low64, 0.0), np.maximum(high64, 0.0)
        if self.symmetric:
            middle = 0 if self.signed else 1 << (self.bits - 1)
            scale = np.maximum(-low64, high64) / (self.qmax - middle)
        else:
            scale = (high64 - low64) / (self.qmax - self.qmin)
        scale32 = np.where(scale > 0, np.maximum(scale, SMALLEST_SCALE), 1.0).astype(np.float32)
        if self.symmetric:
            zero = np.full(scale32.shape, middle)
        else:
            zero = np.clip(np.rint(self.qmin - low64 / scale32), self.qmin, self.qmax)
        return Params(scale=scale32, zero_point=np.asarray(zero, np.int32))

    def quantize(self, x: NDArray[Any], params: Params) -> I32:
        """Return the integers nearest to `x` (half to even), clipped to [qmin, qmax]; x finite."""
        scale = spread(params.scale, self.axis, x.ndim)
        zero = spread(params.zero_point, self.axis, x.ndim)
        # float32 division, as ONNX QuantizeLinear and its kernels divide
        with np.errstate(over="ignore"):  # far beyond the range; it saturates
            near: NDArray[Any] = np.rint(np.asarray(x, np.float32) / scale)
        if self.bits > 16:  # float32 holds every integer up to 2**24 only
            near = near.astype(np.float64)
        near = np.asarray(near + zero.astype(near.dtype))
        return np.asarray(np.clip(near, self.qmin, self.qmax), np.int32)

    def dequantize(self, q: NDArray[Any], params: Params) -> F32:
        """Return scale * (q - zero_point) in float32."""
        zero = spread(params.zero_point, self.axis, q.ndim)
        scale = spread(params.scale, self.axis, q.ndim)
        wide = q if q.dtype == np.int32 and self.bits <= 16 else q.astype(np.int64)
        return np.asarray((wide - zero).astype(np.float32) * scale, np.float32)

    def fake_quantize(self, x: NDArray[Any], params: Params) -> F32:
        """Return what the chip sees of `x`: dequantize(quantize(x)).

        Within the range the error is at most scale / 2; beyond it the value saturates.
        """
        return self.dequantize(self.quantize(x, params), params)

    def quantized_array(self, x: NDArray[Any], params: Params) -> NDArray[Any] | None:
        """Return the integers in the type that ONNX stores them in; None over 8 and to 16 bits."""
        if 8 < self.bits <= 16:
            return None
        return self.quantize(x, params).astype(self.dtype.lower())

    def grid_range(self, params: Params) -> tuple[F32, F32]:
        """Return scale * (qmin - zero_point) and scale * (qmax - zero_point)."""
        low, high = (params.scale * (q - params.zero_point) for q in (self.qmin, self.qmax))
        return np.asarray(low, np.float32), np.asarray(high, np.float32)

    def rounding_range(self, params: Params) -> tuple[F32, F32]:
        """Return the grid's range and half a step on each side."""
        low, high = self.grid_range(params)
        half = params.scale / np.float32(2)
        return np.asarray(low - half, np.float32), np.asarray(high + half, np.float32)

    def onnx_nodes(self, params: Params, rank: int) -> list[OnnxNode]:
        """Return QuantizeLinear and DequantizeLinear.

        Under 8 bits a function `Bound` clips to the grid's range before them, for their integers have 8;
        with 9 to 16 bits one function `Uniform` does it all in floats, for opsets under 21 have no
        such QuantizeLinear. Both are in `quant/formats/onnx_functions.py`.
        """
        if 8 < self.bits <= 16:
            return [self._uniform(params, rank)]
        zero = params.zero_point.astype(self.dtype.lower())
        constants = {"scale": params.scale, "zero_point": zero}
        attributes = {} if self.axis is None else {"axis": self.axis}
        both: dict[str, Any] = {"constants": constants, "attributes": attributes}
        pair = [
            OnnxNode(op="QuantizeLinear", dtype=self.dtype, **both),
            OnnxNode(op="DequantizeLinear", **both),
        ]
        if self.bits == 8 or self.bits > 16:
            return pair
        low, high = (spread(x, self.axis, rank) for x in self.grid_range(params))
        return [
            OnnxNode(op="Bound", function=bound_function, constants={"low": low, "high": high}),
            *pair,
        ]

    def _uniform(self, params: Params, rank: int) -> OnnxNode:
        """Return the one node that rounds to more than 8 bits."""
        scale, zero = (spread(x, self.axis, rank) for x in (params.scale, params.zero_point))
        constants = {
            "scale": scale,
            "zero_point": zero.astype(np.float32),
            "least": np.asarray(self.qmin, np.float32),
            "most": np.asarray(self.qmax, np.float32),
        }
        return OnnxNode(op="Uniform", function=uniform_function, constants=constants)

    def describe(self, params: Params) -> dict[str, Any]:
        """Return format, symmetric, narrow, axis, scale and zero_point."""
        return {
            "format": self.name,
            "symmetric": self.symmetric,
            "narrow": self.narrow,
            "axis": self.axis,
            "scale": params.scale,
            "zero_point": params.zero_point.tolist(),
        }

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> tuple["Integer", Params]:
        """Return what `describe` wrote; ValueError, KeyError or TypeError for anything else."""
        text = str(row["format"])
        number_format = cls(
            bits=int(text.removeprefix("u").removeprefix("int")),
            signed=not text.startswith("u"),
            symmetric=bool(row["symmetric"]),
            narrow=bool(row["narrow"]),
            axis=None if row["axis"] is None else int(row["axis"]),
        )
        with np.errstate(over="ignore"):  # an infinite scale is refused by name
            scale = np.asarray(row["scale"], np.float32)
        params = Params(scale=scale, zero_point=np.asarray(row["zero_point"], np.int32))
        if scale.ndim != (number_format.axis is not None):
            raise ValueError("one scale goes with axis null, a list of scales with a number")
        if np.any(
            (params.zero_point < number_format.qmin) | (params.zero_point > number_format.qmax)
        ):
            raise ValueError(f"zero_point must be {number_format.qmin} to {number_format.qmax}")
        return number_format, params


INT8 = Integer(bits=8, signed=True, symmetric=True)


UINT8 = Integer(bits=8, signed=False, symmetric=False)


INT32 = Integer(bits=32, signed=True, symmetric=True)
