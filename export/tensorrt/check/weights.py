"""Check weights and biases: axes, stored types, clipping, INT4: rules 7, 9, 12, 25 and 26.

Source: onnx-tensorrt 10.1; NVIDIA, 'Explicit Quantization'; TensorRT issues 3360, 1675.
"""

__all__ = ["WEIGHTS"]

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.qdq.nodes import input_of, is_quantizer, producer_of, readers, shape_of
from quant.export.qdq.walk import (
    constant_array,
    dequantizer,
    is_constant,
    output_axis,
    weight_shape,
    weight_source,
)
from quant.export.tensorrt.check.network import Network, Rule, finding
from quant.graph.prepared_graph import WEIGHTED
from quant.target.finding import Finding, Severity

MAX_CLIPPED_SHARE = 0.001
"""Share of a weight's elements that may lie beyond its grid. The limit is ours."""


def _weighted(net: Network) -> Iterator[tuple[ir.Node, ir.Node]]:
    """Yield weighted nodes with the DequantizeLinear of their constant weight."""
    for node in net.ops(*WEIGHTED):
        dequantize = dequantizer(input_of(node, 1)) if weight_source(node) is not None else None
        if dequantize is not None:
            yield node, dequantize


def _axes(net: Network) -> Iterator[Finding]:
    for node, dequantize in _weighted(net):
        scale = constant_array(input_of(dequantize, 1))
        if scale is None or scale.ndim != 1 or scale.size < 2:
            continue
        axis, rank = dequantize.attributes.get_int("axis", 1), len(weight_shape(node))
        axis = _past_transposes(axis + rank if axis < 0 else axis, dequantize.outputs[0], node)
        wanted = output_axis(node)
        if axis != wanted:
            mend = "Give one scale for each output channel, or one for the whole weight."
            saw = f"weight scales along axis {axis} of {node.op_type}"
            yield finding(7, "error", node, saw=saw, wanted=f"axis {wanted}", mend=mend)


def _past_transposes(axis: int, value: ir.Value, node: ir.Node) -> int:
    """Return the index that an axis of a dequantized weight has at its layer."""
    while value is not input_of(node, 1):
        reader = next((r for r, _ in readers(value) if r.op_type == "Transpose"), None)
        if reader is None:
            return axis
        order = reader.attributes.get_ints("perm", [])
        axis = list(order).index(axis) if axis in order else axis
        value = reader.outputs[0]
    return axis


def _biases(net: Network) -> Iterator[Finding]:
    for node in net.ops("Conv", "ConvTranspose", "Gemm"):
        bias = input_of(node, 2)
        if bias is None:
            continue
        if is_quantizer(producer_of(bias)):
            mend = "Keep the bias a float initializer (QuantizeBias=False in ONNX Runtime's tool)."
            yield finding(
                9, "error", node, saw="a quantized bias", wanted="a float bias", mend=mend
            )
        elif node.op_type != "Gemm":  # whose third input is a sum of its own
            numbers = constant_array(bias)
            if numbers is None:
                saw = "a bias that is computed"
            elif numbers.ndim != 1 or (
                len(weight_shape(node)) > 1 and numbers.size != _output_channels(node)
            ):
                saw = f"a bias of shape {list(numbers.shape)}"
            else:
                continue
            mend = "Fold the graph's constants."
            yield finding(
                9, "error", node, saw=saw, wanted="a float initializer, one per channel", mend=mend
            )


def _output_channels(node: ir.Node) -> int:
    shape = weight_shape(node)
    if node.op_type == "ConvTranspose":
        return shape[1] * node.attributes.get_int("group", 1)
    return shape[0]


def _stored_integers(net: Network) -> Iterator[Finding]:
    if net.version != 8:
        return
    for node in net.quantizers:
        value = input_of(node, 0)
        if value is None or not is_constant(value) or is_quantizer(producer_of(value)):
            continue
        kind = value.dtype.name.lower() if value.dtype is not None else "unknown"
        if is_quantizer(node, "DequantizeLinear") or kind != "float":
            mend = "Store the float weight and put QuantizeLinear before (AddQDQPairToWeight)."
            yield finding(
                12,
                "error",
                node,
                saw=f"a weight stored as {kind}",
                wanted="float32, Q, DQ",
                mend=mend,
            )


def _int4(net: Network) -> Iterator[Finding]:
    for node in net.quantizers:
        zero_point = input_of(node, 2)
        scale, sizes = constant_array(input_of(node, 1)), shape_of(input_of(node, 0)) or []
        if zero_point is None or zero_point.dtype != ir.DataType.INT4:
            continue
        consumers = {r.op_type for r, _ in readers(node.outputs[0])} - {
            "DequantizeLinear",
            "Transpose",
        }
        mend = "Use INT4 only for weights of Gemm and MatMul; int8 elsewhere."
        if not is_constant(input_of(node, 0)) or consumers - {"Gemm", "MatMul"}:
            yield finding(
                25, "error", node, saw="INT4 here", wanted="weights of Gemm and MatMul", mend=mend
            )
        if sizes and isinstance(sizes[-1], int) and sizes[-1] % 2:
            yield finding(
                25,
                "error",
                node,
                saw=f"a last axis of {sizes[-1]}",
                wanted="an even one",
                mend=mend,
            )
        if scale is not None and scale.ndim == len(sizes) > 1:
            blocked = sum(a != b for a, b in zip(scale.shape, sizes, strict=True))
            if blocked != 1:
                mend = "Block along one axis."
                yield finding(
                    25,
                    "error",
                    node,
                    saw=f"{blocked} blocked axes",
                    wanted="exactly one",
                    mend=mend,
                )


def _clipped_weights(net: Network) -> Iterator[Finding]:
    # numbers up to half a step, 16, beyond 448 still round to it
    tops = {ir.DataType.INT8: 127.0, ir.DataType.FLOAT8E4M3FN: 464.0}
    for node, dequantize in _weighted(net):
        source, scale = weight_source(node), constant_array(input_of(dequantize, 1))
        zero = input_of(dequantize, 2)
        limit = tops.get(zero.dtype) if zero is not None and zero.dtype is not None else None
        array = constant_array(source)
        if array is None or scale is None or limit is None or np.any(scale <= 0):
            continue
        count = _count_beyond(array, scale, dequantize, limit)
        share = count / max(array.size, 1)
        if count:
            severity: Severity = "error" if share > MAX_CLIPPED_SHARE else "warning"
            saw = f"{count} of {array.size} weights beyond {limit:g} * scale"
            wanted = f"at most {100 * MAX_CLIPPED_SHARE:g} % of them"
            mend = "Take the scale from the largest weight of each channel."
            yield finding(26, severity, node, saw=saw, wanted=wanted, mend=mend)


def _count_beyond(
    array: NDArray[Any], scale: NDArray[Any], dequantize: ir.Node, limit: float
) -> int:
    """Return the number of elements that round to more than `limit` steps."""
    if is_quantizer(producer_of(input_of(dequantize, 0)), "QuantizeLinear"):
        scales = scale.astype(np.float64)
        if scale.ndim == 1 and scale.size > 1:
            axis = dequantize.attributes.get_int("axis", 1)
            if not -array.ndim <= axis < array.ndim or array.shape[axis] != scale.size:
                return 0  # rule 6 reports it
            scales = scales.reshape(
                [-1 if i == axis % array.ndim else 1 for i in range(array.ndim)]
            )
        elif scale.size > 1:
            return 0  # blocks
        steps = array.astype(np.float64) / scales
        return int(np.count_nonzero(np.abs(np.rint(steps) if limit == 127 else steps) > limit))
    return int(np.count_nonzero(np.abs(array.astype(np.float32)) > limit))


WEIGHTS: tuple[Rule, ...] = (_axes, _biases, _stored_integers, _int4, _clipped_weights)
"""Rules 7, 9, 12, 25 and 26."""
