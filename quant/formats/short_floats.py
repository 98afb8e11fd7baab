"""Short floats as number formats: float8 E4M3 with a scale, and float16."""

__all__ = ["FLOAT8", "FLOAT16", "Float8", "Float16", "float16_function"]

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from quant.formats.number_format import FORMATS, SMALLEST_SCALE, OnnxNode, Params, spread
from quant.formats.onnx_functions import DOMAIN

if TYPE_CHECKING:
    import onnx_ir as ir

F32 = NDArray[np.float32]


@FORMATS.add("float8e4m3fn")
@dataclass(frozen=True, slots=True, kw_only=True)
class Float8:
    """Float8 E4M3FN: `real = scale * float8`, 4 bits of exponent, 3 of mantissa, +-448 at most.

    Rounding is half to even, and what is beyond 448 saturates (ONNX QuantizeLinear, `saturate` 1).
    Source: Micikevicius et al. 2022, "FP8 Formats for Deep Learning"; ONNX, "Float stored in 8
    bits".
    """

    axis: int | None = None
    opset: ClassVar[int] = 19
    top: ClassVar[float] = 448.0
    bits: ClassVar[int] = 8
    symmetric: ClassVar[bool] = True
    name: ClassVar[str] = "float8e4m3fn"
    dtype: ClassVar[str] = "FLOAT8E4M3FN"

    def with_axis(self, axis: int | None) -> "Float8":
        """Return the format with one scale per index of `axis`."""
        return replace(self, axis=axis)

    def parameters(self, low: Any, high: Any) -> Params:
        """Return scale = max(-low, high) / 448; 1 for an empty range.

        >>> float(FLOAT8.parameters(-1.0, 896.0).scale)
        2.0
        """
        raw = np.maximum(-np.asarray(low, np.float64), np.asarray(high, np.float64)) / self.top
        scale = np.where(raw > 0, np.maximum(raw, SMALLEST_SCALE), 1.0).astype(np.float32)
        return Params(scale=scale, zero_point=np.zeros(scale.shape, np.int32))

    def quantized_array(self, x: NDArray[Any], params: Params) -> NDArray[Any]:
        """Return the float8 numbers nearest to `x / scale`."""
        scaled = np.asarray(x, np.float32) / spread(params.scale, self.axis, np.ndim(x))
        codes: NDArray[Any] = np.clip(scaled, -self.top, self.top).astype(ml_dtypes.float8_e4m3fn)
        return codes

    def fake_quantize(self, x: NDArray[Any], params: Params) -> F32:
        """Return scale * float8(x / scale) in float32."""
        scale = spread(params.scale, self.axis, np.ndim(x))
        return np.asarray(self.quantized_array(x, params).astype(np.float32) * scale, np.float32)

    def grid_range(self, params: Params) -> tuple[F32, F32]:
        """Return -448 * scale and 448 * scale."""
        high = np.asarray(params.scale * np.float32(self.top), np.float32)
        return -high, high

    def rounding_range(self, params: Params) -> tuple[F32, F32]:
        """Return -464 * scale and 464 * scale: half a step beyond 448."""
        high = np.asarray(params.scale * np.float32(464), np.float32)
        return -high, high

    def onnx_nodes(self, params: Params, rank: int) -> list[OnnxNode]:
        """Return QuantizeLinear and DequantizeLinear with a float8 zero point."""
        zero = np.zeros(params.scale.shape, ml_dtypes.float8_e4m3fn)
        both: dict[str, Any] = {"constants": {"scale": params.scale, "zero_point": zero}}
        both["attributes"] = {} if self.axis is None else {"axis": self.axis}
        return [
            OnnxNode(op="QuantizeLinear", dtype=self.dtype, **both),
            OnnxNode(op="DequantizeLinear", **both),
        ]

    def describe(self, params: Params) -> dict[str, Any]:
        """Return format, axis and scale."""
        return {"format": self.name, "axis": self.axis, "scale": params.scale}

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> tuple["Float8", Params]:
        """Return what `describe` wrote; ValueError, KeyError or TypeError for anything else."""
        with np.errstate(over="ignore"):
            scale = np.asarray(row["scale"], np.float32)
        number_format = cls(axis=None if row["axis"] is None else int(row["axis"]))
        if scale.ndim != (number_format.axis is not None):
            raise ValueError("one scale goes with axis null, a list of scales with a number")
        return number_format, Params(scale=scale, zero_point=np.zeros(scale.shape, np.int32))


@dataclass(frozen=True, slots=True, kw_only=True)
class _NoParams:
    """The numbers of a format that has none to measure."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return nothing."""
        return {}


@FORMATS.add("float")
@dataclass(frozen=True, slots=True, kw_only=True)
class Float16:
    """IEEE 754 binary16, half to even; beyond 65504 it is infinite, as on a chip."""

    opset: ClassVar[int] = 13
    bits: ClassVar[int] = 16
    symmetric: ClassVar[bool] = True
    name: ClassVar[str] = "float16"
    axis: ClassVar[int | None] = None

    def with_axis(self, axis: int | None) -> "Float16":
        """Return the same: there is nothing to measure along an axis."""
        return self

    def parameters(self, low: Any, high: Any) -> _NoParams:
        """Return no params, whatever the range."""
        return _NoParams()

    def fake_quantize(self, x: NDArray[Any], params: Any = None) -> F32:
        """Return the float16 nearest to `x`, as float32.

        >>> float(FLOAT16.fake_quantize(np.float32(2049)))      # 11 bits of mantissa
        2048.0
        """
        with np.errstate(over="ignore"):
            return np.asarray(np.asarray(x, np.float16), np.float32)

    def quantized_array(self, x: NDArray[Any], params: Any) -> None:
        """Return None: a weight is stored as the float32 that it becomes."""

    def grid_range(self, params: Any) -> tuple[F32, F32]:
        """Return -65504 and 65504."""
        return np.asarray(-65504, np.float32), np.asarray(65504, np.float32)

    def rounding_range(self, params: Any) -> tuple[F32, F32]:
        """Return -65520 and 65520: half a step beyond 65504."""
        return np.asarray(-65520, np.float32), np.asarray(65520, np.float32)

    def onnx_nodes(self, params: Any, rank: int) -> list[OnnxNode]:
        """Return the one node: the function of `float16_function`."""
        return [OnnxNode(op="Float16", function=float16_function)]

    def describe(self, params: Any) -> dict[str, Any]:
        """Return the format's name."""
        return {"format": self.name}

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> tuple["Float16", _NoParams]:
        """Return what `describe` wrote; ValueError for another float."""
        if row["format"] != cls.name:
            raise ValueError(f"format is {cls.name} or float32, saw '{row['format']}'")
        return cls(), _NoParams()


def float16_function(opset: int) -> "ir.Function":
    """Return the body of `quant::Float16`, for a model of `opset`: Cast to float16 and back."""
    import onnx_ir as ir  # here: it takes longer to import than all our tables

    x = ir.Value(name="x")
    half = ir.node("Cast", [x], {"to": int(ir.DataType.FLOAT16)})
    back = ir.node("Cast", half.outputs, {"to": int(ir.DataType.FLOAT)})
    graph = ir.Graph(
        [x], back.outputs, nodes=[half, back], opset_imports={"": opset}, name="Float16"
    )
    return ir.Function(DOMAIN, "Float16", "", graph=graph, attributes=[])


FLOAT8 = Float8()
FLOAT16 = Float16()
