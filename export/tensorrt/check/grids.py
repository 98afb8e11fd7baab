"""Check zero points, scales and axes of quantizers: rules 1 to 6 and 8.

Source: onnx-tensorrt 10.1, `QuantDequantLinearHelper`; NvInfer.h 11.1, IQuantizeLayer.
"""

__all__ = ["GRID"]

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from quant.export.qdq.nodes import QUANTIZERS, input_of, is_quantizer, place_of, readers, shape_of
from quant.export.qdq.walk import constant_array, is_constant
from quant.export.tensorrt.check.network import Network, Rule, finding
from quant.target.finding import Finding

TYPES = {ir.DataType.INT8, ir.DataType.FLOAT8E4M3FN, ir.DataType.INT4}
SCALES = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16}
MIN_SCALE, MAX_SCALE = 1e-8, 1e6
"""A scale outside these limits is of a dead or diverging tensor. The limits are ours."""


def _zero_point(node: ir.Node) -> ir.Value | None:
    return input_of(node, 2)


def _three_inputs(net: Network) -> Iterator[Finding]:
    for node in net.ops(*QUANTIZERS):
        if _zero_point(node) is None:
            mend = "Write an int8 zero point of 0: ONNX takes a missing one for uint8."
            yield finding(
                1, "error", node, saw=f"{len(node.inputs)} inputs", wanted="a zero point", mend=mend
            )


def _types(net: Network) -> Iterator[Finding]:
    for node in net.quantizers:
        values = [_zero_point(node)]
        if is_quantizer(node, "DequantizeLinear"):
            values.append(input_of(node, 0))
        kinds = [v.dtype for v in values if v is not None and v.dtype is not None]
        wrong = [k for k in kinds if k not in TYPES]
        if wrong:
            saw, mend = f"integers of {wrong[0].name.lower()}", "Quantize it as symmetric int8."
            yield finding(2, "error", node, saw=saw, wanted="int8, float8e4m3fn or int4", mend=mend)


def _zero_points(net: Network) -> Iterator[Finding]:
    for node in net.quantizers:
        zero = _zero_point(node)
        if zero is None:
            continue
        zeros, scale = constant_array(zero), constant_array(input_of(node, 1))
        if zeros is None:
            saw, wanted = "a zero point that is computed", "a constant"
        elif np.any(zeros.astype(np.float32)):
            flat = zeros.astype(np.float32).ravel()
            saw, wanted = f"a zero point of {flat[flat != 0][0]:g}", "0: symmetric quantization"
        elif scale is not None and scale.size != zeros.size:
            saw, wanted = f"{zeros.size} zero points for {scale.size} scales", "one for each"
        else:
            continue
        yield finding(
            3,
            "error",
            node,
            saw=saw,
            wanted=wanted,
            mend="Quantize symmetrically, zero points all 0.",
        )


def _scales(net: Network) -> Iterator[Finding]:
    for node in net.quantizers:
        value = input_of(node, 1)
        scale = constant_array(value)
        if value is None or scale is None:
            mend = "Fold the graph's constants, and keep the scale an initializer."
            yield finding(
                4, "error", node, saw="a scale that is computed", wanted="a constant", mend=mend
            )
            continue
        if value.dtype is not None and value.dtype not in SCALES:
            saw = f"a scale of {value.dtype.name.lower()}"
            mend = "Store the scale as float32."
            yield finding(
                4, "error", node, saw=saw, wanted="float32, float16 or bfloat16", mend=mend
            )
        numbers = scale.astype(np.float64).ravel()
        bad = numbers[~(np.isfinite(numbers) & (numbers > 0))]
        odd = numbers[(numbers < MIN_SCALE) | (numbers > MAX_SCALE)]
        if bad.size or not numbers.size:
            saw = f"a scale of {bad[0]:g}" if bad.size else "no scale"
            mend = "Give a dead tensor or channel scale 1."
            yield finding(4, "error", node, saw=saw, wanted="finite and above 0", mend=mend)
        elif odd.size:
            saw, wanted = f"a scale of {odd[0]:.3g}", f"{MIN_SCALE:g} to {MAX_SCALE:g}"
            mend = "Look at the tensor's range: it is dead or diverges."
            yield finding(4, "warning", node, saw=saw, wanted=wanted, mend=mend)


def _per_channel_roots(net: Network) -> Iterator[Finding]:
    for node in net.quantizers:
        scale = constant_array(input_of(node, 1))
        if scale is not None and scale.size > 1 and not is_constant(input_of(node, 0)):
            saw = f"{scale.size} scales for an activation"
            mend = "Give the activation one scale."
            yield finding(5, "error", node, saw=saw, wanted="a scale per tensor", mend=mend)


def _axes(net: Network) -> Iterator[Finding]:
    for node in net.quantizers:
        scale, shape = constant_array(input_of(node, 1)), shape_of(input_of(node, 0))
        if scale is None or scale.size < 2 or (shape is not None and scale.ndim == len(shape) > 1):
            continue
        if "axis" not in node.attributes:
            mend = "Write the axis: ONNX takes a missing one for 1, TensorRT for 0."
            yield finding(
                6, "error", node, saw="no attribute axis", wanted="axis with many scales", mend=mend
            )
            continue
        axis = node.attributes.get_int("axis", 1)
        if shape is None or scale.ndim != 1:
            continue
        length = shape[axis] if -len(shape) <= axis < len(shape) else None
        if length != scale.size:
            saw, wanted = f"{scale.size} scales along axis {axis}", f"{length} of them"
            yield finding(
                6,
                "error",
                node,
                saw=saw,
                wanted=wanted,
                mend="Give one scale for each output channel.",
            )


def _pairs(net: Network) -> Iterator[Finding]:
    outputs = set(net.model.graph.outputs)
    for node in net.quantizers:
        if not is_quantizer(node, "QuantizeLinear"):
            continue
        if node.outputs[0] in outputs:
            mend = "End the graph behind a DequantizeLinear."
            yield finding(
                8, "error", node, saw="integers as an output", wanted="float outputs", mend=mend
            )
        for reader, _ in readers(node.outputs[0]):
            if not is_quantizer(reader, "DequantizeLinear"):
                saw = f"integers read by {place_of(reader)} ({reader.op_type})"
                mend = "Put a DequantizeLinear before the reader."
                yield finding(
                    8, "error", node, saw=saw, wanted="DequantizeLinear as only reader", mend=mend
                )
            elif not _same_grid(node, reader):
                saw = f"another scale, zero point or axis than {place_of(reader)}"
                mend = "Let both use the same initializers and axis."
                yield finding(
                    8,
                    "error",
                    node,
                    saw=saw,
                    wanted="equal numbers in the two of a pair",
                    mend=mend,
                )


def _same_grid(first: ir.Node, second: ir.Node) -> bool:
    for index in (1, 2):
        values = [constant_array(input_of(n, index)) for n in (first, second)]
        a, b = values
        if (a is None) != (b is None):
            return False
        if a is None or b is None:
            continue
        if a.shape != b.shape or np.any(a.astype(np.float64) != b.astype(np.float64)):
            return False
    names = ("axis", "block_size")
    return all(first.attributes.get_int(n, 1) == second.attributes.get_int(n, 1) for n in names)


GRID: tuple[Rule, ...] = (
    _three_inputs,
    _types,
    _zero_points,
    _scales,
    _per_channel_roots,
    _axes,
    _pairs,
)
"""Rules 1 to 6 and 8."""
