"""GFPQ: the logarithmic grid of HiSilicon's NNIE, 8 and 16 bit, exactly as its library computes it.

             S (steps an octave)   N (levels a sign)   DM
     8 bit          16                   128           511
    16 bit         128                  1408          4095

    m     = max |x| of the tensor, 1e-6 if that is 0
    delta = clip(floor(S * log2(m)) - (N - 1), -DM, DM)
    i     = clip(round(S * log2|x|) - delta, lo, N - 1)       lo = 0 for x > 0, else 1
    y     = sign(x) * float32(2 ** ((i + delta) / S))
    y     = 0 where |x| <= 0.5 * 2 ** ((delta + lo) / S)

One number, delta, describes a tensor. A range's maximum itself rounds down to the grid; values
are exact relative to 2.2 % (8 bit) and 0.27 % (16 bit). Source: HiSilicon's libgfpq 1.1.5, called
as a black box over 14 million values, and 28 vectors of it in `tests/golden/nnie`. That the chip
applies it to each layer's input and weight is documented; its 16 bit range of 11 octaves is the
library's, the chip's may be wider.
"""

__all__ = ["GFPQ8", "GFPQ16", "Gfpq", "GfpqParams", "gfpq_function"]

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from quant.formats.number_format import FORMATS, OnnxNode, spread
from quant.formats.onnx_functions import DOMAIN

if TYPE_CHECKING:
    import onnx_ir as ir

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

SILENT_MAXIMUM = 1e-6
"""What stands for the maximum of an all-zero tensor."""

DOUBLE, INT32 = 11, 6
"""ONNX's numbers of these types (TensorProto.DataType)."""

GRIDS = {8: (16, 128, 511), 16: (128, 1408, 4095)}
"""Steps an octave, levels a sign, largest |delta|, by bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GfpqParams:
    """The position of one tensor's grid: int32, `[]` or `[C]`."""

    delta: NDArray[np.int32]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return `delta`."""
        return {"delta": self.delta}


@FORMATS.add("gfpq")
@dataclass(frozen=True, slots=True, kw_only=True)
class Gfpq:
    """The grid with `bits` 8 or 16; `axis` where a grouped layer has a delta for each channel."""

    bits: int
    axis: int | None = None
    opset: ClassVar[int] = 13
    symmetric: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.bits not in GRIDS:
            raise ValueError(f"Gfpq.bits must be 8 or 16, saw {self.bits}.")

    @property
    def name(self) -> str:
        """`gfpq8` or `gfpq16`."""
        return f"gfpq{self.bits}"

    def with_axis(self, axis: int | None) -> "Gfpq":
        """Return the format with one delta per index of `axis`."""
        return replace(self, axis=axis)

    def parameters(self, low: Any, high: Any) -> GfpqParams:
        """Return the delta for the largest magnitude max(-low, high), finite.

        >>> int(GFPQ8.parameters(-9.0, 9.0).delta)
        -77
        """
        steps, levels, most = GRIDS[self.bits]
        top = np.maximum(-np.asarray(low, np.float32), np.asarray(high, np.float32))
        top = np.where(top > 0, top, np.float32(SILENT_MAXIMUM)).astype(np.float64)
        delta = np.floor(steps * np.log2(top)) - (levels - 1)
        return GfpqParams(delta=np.asarray(np.clip(delta, -most, most), np.int32))

    def fake_quantize(self, x: NDArray[Any], params: GfpqParams) -> F32:
        """Return the nearest levels, in the log domain; NaN becomes 0, infinities saturate."""
        steps, levels, _ = GRIDS[self.bits]
        wide = np.asarray(x, np.float32).astype(np.float64)
        delta = spread(params.delta.astype(np.float64), self.axis, wide.ndim)
        size = np.abs(np.nan_to_num(wide, nan=0.0, posinf=np.inf, neginf=-np.inf))
        lo = np.where(wide > 0, 0.0, 1.0)
        with np.errstate(divide="ignore"):
            k = np.rint(steps * np.log2(size))
        i = np.clip(k - delta, lo, levels - 1)
        level = np.exp2((i + delta) / steps).astype(np.float32)
        silent = size <= 0.5 * np.exp2((delta + lo) / steps)
        return np.asarray(np.where(silent, 0, np.sign(wide) * level), np.float32)

    def quantized_array(self, x: NDArray[Any], params: GfpqParams) -> None:
        """Return None: ONNX has no type for the codes, a weight is stored as the floats they mean."""

    def grid_range(self, params: GfpqParams) -> tuple[F32, F32]:
        """Return -+ 2 ** ((N - 1 + delta) / S)."""
        steps, levels, _ = GRIDS[self.bits]
        high = np.exp2((levels - 1 + params.delta.astype(np.float64)) / steps)
        high = np.asarray(high, np.float32)
        return -high, high

    def rounding_range(self, params: GfpqParams) -> tuple[F32, F32]:
        """Return the range and one step beyond: a maximum rounds down by less than that."""
        high = np.asarray(self.grid_range(params)[1] * np.float32(2 ** (1 / GRIDS[self.bits][0])))
        return -high, high

    def onnx_nodes(self, params: GfpqParams, rank: int) -> list[OnnxNode]:
        """Return the one node: the function of `gfpq_function`."""
        delta = spread(params.delta.astype(np.int64), self.axis, rank)
        return [
            OnnxNode(
                op=f"Gfpq{self.bits}",
                function=partial(gfpq_function, bits=self.bits),
                constants={"delta": delta},
            )
        ]

    def describe(self, params: GfpqParams) -> dict[str, Any]:
        """Return format, axis and delta."""
        return {"format": self.name, "axis": self.axis, "delta": params.delta.tolist()}

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> tuple["Gfpq", GfpqParams]:
        """Return what `describe` wrote; ValueError, KeyError or TypeError for anything else."""
        axis = None if row["axis"] is None else int(row["axis"])
        number_format = cls(bits=int(str(row["format"]).removeprefix("gfpq")), axis=axis)
        delta = np.asarray(row["delta"], np.int32)
        if delta.ndim != (axis is not None):
            raise ValueError("one delta goes with axis null, a list of deltas with a number")
        most = GRIDS[number_format.bits][2]
        if np.any(np.abs(delta) > most):
            raise ValueError(f"delta must be {-most} to {most}")
        return number_format, GfpqParams(delta=delta)


def gfpq_function(opset: int, bits: int) -> "ir.Function":
    """Return the body of `quant::Gfpq8` or `quant::Gfpq16`, of (x float32, delta int64) to float32.

    `opset` is that of the model it goes into, 13 or later. The logarithm is taken in float64, where
    no float32 is nearer than 1e-9 to a boundary between two levels; levels and half levels come
    from tables, so that ONNX Runtime gives the bits of `Gfpq.fake_quantize`.
    """
    import onnx_ir as ir  # here: it takes longer to import than all our tables

    steps, levels, most = GRIDS[bits]
    exponents = np.arange(-most, most + levels, dtype=np.float64) / steps
    body = _Body()
    x, delta = body.inputs("x", "delta")
    table, halves = (
        body.constant(t) for t in (np.exp2(exponents).astype(np.float32), 0.5 * np.exp2(exponents))
    )
    first, one = body.constant(np.int64(most)), body.constant(np.int64(1))
    least = body.node("Add", [delta, first])  # the index of the smallest positive level
    above = body.node("Greater", [x, body.constant(np.float32(0))])
    indices = [least, body.node("Add", [least, one])]  # one code is lost to zero on the other side
    bottoms = [body.node("Cast", [v], to=DOUBLE) for v in indices]
    bottom = body.node("Where", [above, *bottoms])
    top = body.node("Add", [bottoms[0], body.constant(np.float64(levels - 1))])
    size = body.node("Cast", [body.node("Abs", [x])], to=DOUBLE)
    log = body.node("Mul", [body.node("Log", [size]), body.constant(steps / np.log(2.0))])
    near = body.node("Add", [body.node("Round", [log]), body.constant(np.float64(most))])
    near = body.node("Min", [body.node("Max", [near, bottom]), top])
    level = body.node("Gather", [table, body.node("Cast", [near], to=INT32)])
    half = body.node("Where", [above, *(body.node("Gather", [halves, v]) for v in indices)])
    signed = body.node("Mul", [body.node("Sign", [x]), level])
    silent = body.node("LessOrEqual", [size, half])
    y = body.node("Where", [silent, body.constant(np.float32(0)), signed])
    graph = ir.Graph(
        [x, delta], [y], nodes=body.nodes, opset_imports={"": opset}, name=f"Gfpq{bits}"
    )
    return ir.Function(DOMAIN, f"Gfpq{bits}", "", graph=graph, attributes=[])


class _Body:
    """The nodes of a function, in the order they are made."""

    def __init__(self) -> None:
        self.nodes: list[ir.Node] = []

    def inputs(self, *names: str) -> "list[ir.Value]":
        import onnx_ir as ir

        return [ir.Value(name=name) for name in names]

    def node(self, op: str, inputs: "list[ir.Value]", **attributes: int) -> "ir.Value":
        import onnx_ir as ir

        node = ir.node(op, inputs, attributes)
        node.outputs[0].name = f"v{len(self.nodes)}"
        self.nodes.append(node)
        return node.outputs[0]

    def constant(self, array: Any) -> "ir.Value":
        import onnx_ir as ir

        node = ir.node("Constant", [], {"value": ir.tensor(np.asarray(array))})
        node.outputs[0].name = f"v{len(self.nodes)}"
        self.nodes.append(node)
        return node.outputs[0]


GFPQ8 = Gfpq(bits=8)
GFPQ16 = Gfpq(bits=16)
