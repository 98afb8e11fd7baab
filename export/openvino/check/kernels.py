"""Check for quantized layers that OpenVINO's CPU plugin silently computes in float: rules 4 to 13.

Source: the runtime model of OpenVINO 2026.4.1 (`compiled_model.get_runtime_model()`, primitive types
without I8) for networks that have just one thing each; `ConvolutionTransformation` in "Low Precision
Transformations": one scale for the activation.

`vpmaddubsw` (AVX2, and AVX-512 before VNNI) adds two products of uint8 and int8 and saturates at
32767: 255 * (|a| + |b|) passes that from |a| + |b| = 129. Source: Intel's instruction reference;
oneDNN, "Nuances of int8 Computations"; NNCF's `overflow_fix` halves the weights of the first layer
for the same reason. CPUs with VNNI, AVX-VNNI or AMX add in 32 bits.
"""

__all__ = ["KERNELS", "SATURATION", "may_saturate"]

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.openvino.check.graph import Rule, finding
from quant.export.qdq.nodes import input_of, is_quantizer, is_standard, producer_of
from quant.export.qdq.quantize_once import PASSING
from quant.export.qdq.walk import constant_array, is_constant, output_axis, weight_source
from quant.graph.layer import ABSORBED
from quant.graph.prepared_graph import WEIGHTED
from quant.target.finding import Finding

BYTE_TYPES = {ir.DataType.INT8, ir.DataType.UINT8}


def _dequantizer_of(value: ir.Value | None) -> ir.Node | None:
    """Return the DequantizeLinear whose numbers a value holds, past data movers, or None."""
    node = producer_of(value)
    while node is not None and is_standard(node) and node.op_type in PASSING:
        node = producer_of(input_of(node, 0))
    return node if is_quantizer(node, "DequantizeLinear") else None


def _is_integer_concat(value: ir.Value | None) -> bool:
    """Return whether a value is a Concat of only dequantized tensors, as rule 11 requires."""
    node = producer_of(value)
    while node is not None and is_standard(node) and node.op_type in PASSING:
        node = producer_of(input_of(node, 0))
    joins = node is not None and is_standard(node) and node.op_type == "Concat"
    return joins and node is not None and all(_dequantizer_of(v) is not None for v in node.inputs)


def _weighted(model: ir.Model) -> Iterator[tuple[ir.Node, ir.Node | None, ir.Node | None]]:
    """Yield the nodes with a constant weight, each with the dequantizers of its data and weight."""
    for node in model.graph:
        if is_standard(node) and node.op_type in WEIGHTED and weight_source(node) is not None:
            yield node, _dequantizer_of(input_of(node, 0)), _dequantizer_of(input_of(node, 1))


def _integer_layers(model: ir.Model) -> Iterator[tuple[ir.Node, ir.Node, ir.Node]]:
    for node, data, weight in _weighted(model):
        if data is not None and weight is not None:
            yield node, data, weight


def _one_sided(model: ir.Model) -> Iterator[Finding]:
    for node, data, weight in _weighted(model):
        if _is_integer_concat(input_of(node, 0)):
            continue
        if (data is None) != (weight is None):
            which = "data" if data is None else "weight"
            saw, wanted = f"a float {which} beside integers", "both dequantized, or neither"
            yield finding(
                4, "warning", node, saw=saw, wanted=wanted, mend=f"Quantize its {which} too."
            )


def _types(model: ir.Model) -> Iterator[Finding]:
    for node, data, weight in _integer_layers(model):
        kinds = {_type_of(data), _type_of(weight)} - BYTE_TYPES - {None}
        if kinds:
            name = min(k.name.lower() for k in kinds if k is not None)
            mend = "Quantize it to 8 bits, or leave it float."
            yield finding(
                5, "warning", node, saw=f"integers of {name}", wanted="int8 or uint8", mend=mend
            )


def _data(model: ir.Model) -> Iterator[Finding]:
    for node, data, _ in _integer_layers(model):
        scale, zero = constant_array(input_of(data, 1)), constant_array(input_of(data, 2))
        if scale is not None and np.unique(scale).size > 1:
            saw, mend = f"{scale.size} scales for its data", "Give the activation one scale."
            yield finding(
                6, "warning", node, saw=saw, wanted="one scale: several run in float", mend=mend
            )
        elif _type_of(data) == ir.DataType.INT8 and zero is not None and np.any(zero):
            saw = f"int8 data with zero point {int(zero.ravel()[0])}"
            mend = "Store it as uint8 with the zero point 128 higher: the same numbers."
            wanted = "uint8, or zero point 0: AMX has no such kernel and computes in float"
            yield finding(7, "warning", node, saw=saw, wanted=wanted, mend=mend)


def _weights(model: ir.Model) -> Iterator[Finding]:
    for node, _, weight in _integer_layers(model):
        scale, zero = constant_array(input_of(weight, 1)), constant_array(input_of(weight, 2))
        if zero is not None and np.any(zero):
            saw = f"a weight with zero point {int(zero.ravel()[np.flatnonzero(zero)[0]])}"
            mend = "Quantize weights symmetrically."
            yield finding(
                8, "warning", node, saw=saw, wanted="0: others are computed in float", mend=mend
            )
        axis = _dequantizer_axis(weight)
        if scale is not None and scale.size > 1 and axis is not None and axis != output_axis(node):
            saw, wanted = f"weight scales along axis {axis}", f"axis {output_axis(node)}"
            mend = "Give one scale for each output channel."
            yield finding(9, "warning", node, saw=saw, wanted=wanted, mend=mend)


def _transposed(model: ir.Model) -> Iterator[Finding]:
    for node, data, _ in _integer_layers(model):
        if node.op_type != "ConvTranspose":
            continue
        zero = constant_array(input_of(data, 2))
        if node.attributes.get_int("group", 1) > 1:
            saw = "a ConvTranspose with groups"
        elif zero is not None and np.any(zero):
            saw = f"a ConvTranspose that reads zero point {int(zero.ravel()[0])}"
        else:
            continue
        mend = "Nothing to do: it runs in float on the same numbers, at float's speed."
        yield finding(10, "warning", node, saw=saw, wanted="no groups and zero point 0", mend=mend)


def _concats(model: ir.Model) -> Iterator[Finding]:
    for node in model.graph:
        sources = (
            [_dequantizer_of(v) for v in node.inputs]
            if node.op_type == "Concat" and is_standard(node)
            else []
        )
        grids = {_grid_of(n) for n in sources if n is not None and not is_constant(n.outputs[0])}
        if len(grids) > 1:
            saw = f"{len(grids)} grids at a Concat"
            mend = "Join its operands on one grid."
            wanted = "one: else the layer behind it runs in float"
            yield finding(11, "warning", node, saw=saw, wanted=wanted, mend=mend)


def _split_from_activation(model: ir.Model) -> Iterator[Finding]:
    for node in model.graph:
        dequantize = (
            producer_of(input_of(node, 0))
            if is_standard(node) and node.op_type in ABSORBED
            else None
        )
        layer = (
            producer_of(input_of(producer_of(input_of(dequantize, 0)), 0))
            if dequantize is not None
            else None
        )
        if (
            is_quantizer(dequantize, "DequantizeLinear")
            and layer is not None
            and layer.op_type in WEIGHTED
        ):
            saw = f"a quantizer between {layer.op_type} and {node.op_type}"
            mend = "Quantize behind the activation."
            yield finding(
                12,
                "warning",
                node,
                saw=saw,
                wanted="none: the two are no longer one kernel",
                mend=mend,
            )


def _grid_of(node: ir.Node) -> tuple[float, float]:
    scale, zero = constant_array(input_of(node, 1)), constant_array(input_of(node, 2))
    first = float(scale.ravel()[0]) if scale is not None and scale.size else 0.0
    return first, float(zero.ravel()[0]) if zero is not None and zero.size else 0.0


def _type_of(node: ir.Node) -> ir.DataType | None:
    value = input_of(node, 0)
    return value.dtype if value is not None else None


def _dequantizer_axis(node: ir.Node) -> int | None:
    """Return the axis of a DequantizeLinear, counted from the front."""
    value = input_of(node, 0)
    rank = len(value.shape) if value is not None and value.shape is not None else None
    axis = node.attributes.get_int("axis", 1)
    return axis if axis >= 0 else axis + rank if rank is not None else None


KERNELS: tuple[Rule, ...] = (
    _one_sided,
    _types,
    _data,
    _weights,
    _transposed,
    _concats,
    _split_from_activation,
)
"""Rules 4 to 12."""


MAX_PAIR = 32767 // 255
"""128: the largest |a| + |b| of two consecutive weights that cannot saturate."""


def may_saturate(weight: NDArray[Any], axis: int) -> bool:
    """Return whether two consecutive int8 weights along `axis` can saturate 16 bits.

    Args:
        weight: int8, any shape.
        axis: The reduced axis, along which a kernel takes its pairs.
    """
    rows = np.moveaxis(np.abs(weight.astype(np.int32)), axis, 0)
    count = len(rows) // 2 * 2
    pairs = rows[0:count:2] + rows[1:count:2]
    return bool(pairs.size and pairs.max() > MAX_PAIR)


def _saturating_pairs(model: ir.Model) -> Iterator[Finding]:
    saturating, total = [], 0
    for node in model.graph:
        dequantize = (
            producer_of(input_of(node, 1))
            if is_standard(node) and node.op_type in WEIGHTED
            else None
        )
        value = weight_source(node) if is_quantizer(dequantize, "DequantizeLinear") else None
        if value is None or value.dtype != ir.DataType.INT8 or value.const_value is None:
            continue
        total += 1
        weight = value.const_value.numpy()
        axis = 1 if node.op_type == "Conv" or _is_transposed_gemm(node) else 0
        if node.op_type == "MatMul":
            axis = weight.ndim - 2
        if weight.ndim > 1 and may_saturate(weight, axis):
            saturating.append(node)
    if saturating:
        saw = f"{len(saturating)} of {total} layers whose products of two bytes can pass 16 bits"
        mend = (
            "Nothing to do on CPUs with VNNI, AVX-VNNI or AMX; on older ones compare the accuracy."
        )
        wanted = f"|a| + |b| <= {MAX_PAIR} of two weights in a row, for CPUs without VNNI"
        yield finding(13, "info", "the weights", saw=saw, wanted=wanted, mend=mend)


def _is_transposed_gemm(node: ir.Node) -> bool:
    return node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1


SATURATION: tuple[Rule, ...] = (_saturating_pairs,)
"""Rule 13."""
