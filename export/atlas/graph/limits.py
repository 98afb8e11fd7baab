"""The limits of CANN's INT8 kernels, checked on a node before anything is written."""

__all__ = [
    "ARITHMETIC",
    "INDEX_OUTPUTS",
    "INTEGER_OPS",
    "NARROW_CHANNELS",
    "ONNX_QUANTIZERS",
    "Refusal",
    "refusal",
]

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from quant.graph.prepared_graph import WEIGHTED, weight_of

INTEGER_OPS = frozenset({*WEIGHTED, "AveragePool"})
"""Operators with an INT8 form, which have an AscendQuant before and an AscendDequant behind."""


ONNX_QUANTIZERS = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "ConvInteger",
    "MatMulInteger",
)
"""ONNX's own integer operators, which ATC does not compile, like every operator named QLinear..."""

INDEX_OUTPUTS = {"TopK": 1, "ArgMax": 0, "ArgMin": 0, "NonZero": 0, "NonMaxSuppression": 0}
"""Operator to the output that holds int64 indices."""

ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Mod")
"""Operators in which int64 meets int32 in ATC's graphs, so that the compiler fails with E89999."""

NARROW_CHANNELS = 16
"""Input channels up to which INT8 is no faster: the cube pads them to 32.

Source: CANN, "manual quantization".
"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why a node has no INT8 form: the rule's number, what was seen, what is needed."""

    rule: int
    saw: str
    wanted: str


def refusal(node: ir.Node) -> Refusal | None:
    """Return the reason why Atlas cannot run a node in INT8, or None.

    Source: CANN, `quantization_layers_constraints.md` of the ATC guide, and AMCT's QAT page.
    """
    if node.domain not in ("", "ai.onnx") or node.op_type not in INTEGER_OPS:
        return Refusal(8, f"operator {node.op_type}", f"one of {', '.join(sorted(INTEGER_OPS))}")
    if node.op_type == "AveragePool":
        return _pool_refusal(node)
    weight = weight_of(node)
    if weight is None or weight.const_value is None:
        return Refusal(14, "a weight that is no constant", "a constant")
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and bias.const_value is None:
        return Refusal(15, "a bias that is no constant", "a constant")
    refused = _weighted_refusal(node, weight.const_value.shape.numpy())
    if refused is None and bias is not None and bias.const_value is not None:
        return _bias_refusal(bias.const_value.shape.numpy())
    return refused


def _weighted_refusal(node: ir.Node, shape: Sequence[int]) -> Refusal | None:
    dilations = [int(d) for d in node.attributes.get_ints("dilations", [])]
    if node.op_type == "Conv" and len(shape) == 5 and dilations[:1] not in ([], [1]):
        return Refusal(19, f"a 3-D convolution with dilations {dilations}", "1 along the depth")
    if node.op_type == "ConvTranspose":
        if len(shape) != 4:
            return Refusal(19, f"a filter of {len(shape)} axes", "4")
        if any(d != 1 for d in dilations):
            return Refusal(19, f"a transposed convolution with dilations {dilations}", "1")
    if node.op_type == "Gemm":
        if node.attributes.get_int("transA", 0):
            return Refusal(14, "transA=1", "0")
        if {node.attributes.get_float(n, 1.0) for n in ("alpha", "beta")} != {1.0}:
            return Refusal(14, "alpha or beta other than 1", "1")
    if node.op_type == "MatMul" and len(shape) != 2:
        return Refusal(14, f"a right operand of {len(shape)} axes", "2")
    return None


def _bias_refusal(shape: Sequence[int]) -> Refusal | None:
    rows = int(np.prod(shape[:-1], dtype=np.int64)) if shape else 1
    return None if rows == 1 else Refusal(15, f"a bias of shape {list(shape)}", "one axis")


def _pool_refusal(node: ir.Node) -> Refusal | None:
    """An AveragePool must be 2-D and smaller than its map: a global one has no INT8 kernel."""
    kernel = [int(k) for k in node.attributes.get_ints("kernel_shape", [])]
    if len(kernel) != 2:
        return Refusal(19, f"an AveragePool over {len(kernel)} axes", "2")
    if any(int(d) != 1 for d in node.attributes.get_ints("dilations", [])):
        return Refusal(19, "an AveragePool with dilations", "none")
    value = node.inputs[0]
    sizes: list[Any] = list(value.shape)[2:] if value is not None and value.shape else []
    if sizes and all(isinstance(s, int) and s <= k for s, k in zip(sizes, kernel, strict=False)):
        saw = f"an AveragePool over the whole map ({kernel[0]}x{kernel[1]})"
        return Refusal(19, saw, "a kernel smaller than the map")
    return None
