"""An INT8 layer of Atlas as integers; every file of an export is written from it."""

__all__ = ["MAX_SCALE", "MIN_SCALE", "IntegerLayer", "pack_scales", "unpack_scales", "weight_rows"]

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

F32 = NDArray[np.float32]


I8 = NDArray[np.int8]


I32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerLayer:
    """One INT8 layer: ``y = float32(sum((q - offset) * weight) + bias) * scales``.

    Attributes:
        node: The Conv, ConvTranspose, Gemm, MatMul or AveragePool.
        data: Name of the float tensor that is quantized for it.
        scale_d: float32, the step of its input.
        offset: The integer that stands for 0.0, -128 to 127.
        scale_w: float32 `[1]` or `[output channels]`, the step of the weight.
        weight: int8, in the node's layout, a Gemm's as `[K, N]`; None for AveragePool.
        bias: int32 `[output channels]`, without the offset's share; None where there is none.
        add: The Add behind a MatMul whose constant is the bias, or None.
    """

    node: ir.Node
    data: str
    scale_d: np.float32
    offset: int
    scale_w: F32
    weight: I8 | None
    bias: I32 | None
    add: ir.Node | None

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.node.name)

    @property
    def reciprocal(self) -> float:
        """AscendQuant's `scale`: 1 / scale_d in float32."""
        return float(np.float32(1) / self.scale_d)

    @property
    def scales(self) -> F32:
        """AscendDequant's scales: scale_d * scale_w in float32."""
        return np.asarray(self.scale_d * self.scale_w, np.float32)

    @property
    def largest_input(self) -> int:
        """The largest |q - offset| of an int8 input."""
        return max(127 - self.offset, self.offset + 128)

    @property
    def last_node(self) -> ir.Node:
        """The last node that computes in int32: the bias Add of a MatMul, or the node itself."""
        return self.add or self.node

    @property
    def sum_bound(self) -> int:
        """An upper bound of |sum|, bias included, over every int8 input."""
        if self.weight is None:
            kernel = self.node.attributes.get_ints("kernel_shape", [1])
            return self.largest_input * int(np.prod(kernel, dtype=np.int64))
        rows = np.abs(self._rows(self.weight)).sum(1)
        return int((rows * self.largest_input + np.abs(self._bias)).max())

    @property
    def folded_sum_bound(self) -> int:
        """The bound of |sum| as ATC splits it: q * weight, and -offset * weight in the bias."""
        if self.weight is None:
            return self.sum_bound
        rows = self._rows(self.weight)
        folded = np.abs(self._bias - self.offset * rows.sum(1))
        return int((np.abs(rows).sum(1) * 128 + folded).max())

    def _rows(self, weight: I8) -> NDArray[np.int64]:
        group = self.node.attributes.get_int("group", 1)
        return weight_rows(self.node.op_type, weight, group).astype(np.int64)

    @property
    def _bias(self) -> NDArray[np.int64]:
        return np.zeros(1, np.int64) if self.bias is None else self.bias.astype(np.int64)


def weight_rows(op: str, weight: NDArray[Any], group: int = 1) -> NDArray[Any]:
    """Return a weight as `[output channels, elements that are summed]`; a Gemm's is `[K, N]`."""
    if op == "Conv":
        return weight.reshape(weight.shape[0], -1)
    if op == "ConvTranspose":
        parts = weight.reshape(group, weight.shape[0] // group, weight.shape[1], -1)
        return np.ascontiguousarray(parts.transpose(0, 2, 1, 3)).reshape(
            group * weight.shape[1], -1
        )
    return weight.T


MIN_SCALE = float(np.finfo(np.float32).eps)
"""The smallest step that AMCT accepts, 2**-23 (`parse_record_file.py`: FLT_EPSILON)."""


MAX_SCALE = 1.0 / MIN_SCALE
"""The largest step that AMCT accepts, 2**23."""


def pack_scales(scales: NDArray[Any]) -> NDArray[np.uint64]:
    """Return AscendDequant's `deq_scale`: the bits of the float32, with zeros as the high 32 bits.

    The high bits are a shift N and a weight offset, which hand-made models must leave zero (CANN,
    "manual quantization"; GE `quant_host_cpu_op_common.h`).

    Args:
        scales: float32 `[C]`, input scale * weight scale.

    >>> pack_scales(np.float32([0.02338948]) * np.float32(0.0013221765)).tolist()
    [939636093]
    """
    return np.asarray(scales, np.float32).view(np.uint32).astype(np.uint64)


def unpack_scales(stored: NDArray[np.uint64]) -> F32:
    """Return the float32 in the low 32 bits of each number.

    >>> float(unpack_scales(np.array([1065353216], np.uint64))[0])
    1.0
    """
    low = np.asarray(stored, np.uint64) & np.uint64(0xFFFFFFFF)
    return low.astype(np.uint32).view(np.float32)
