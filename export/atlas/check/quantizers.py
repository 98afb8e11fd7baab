"""Check AscendQuant, AscendDequant and AscendAntiQuant, and the operators beside them."""

__all__ = ["quantizer_findings"]

import math

import numpy as np
import onnx

from quant.export.atlas.check.view import Findings, View, finding
from quant.export.atlas.graph.integer_layer import MAX_SCALE, MIN_SCALE, unpack_scales
from quant.export.atlas.version import OLD_CHIP

AGAIN = "Export the model again."
FLOAT, INT, STRING = (
    onnx.AttributeProto.FLOAT,
    onnx.AttributeProto.INT,
    onnx.AttributeProto.STRING,
)
OPTIONAL = ("round_mode", "sqrt_mode")
HALF_LOW, HALF_HIGH = 2.0**-14, 65504.0
"""The normal range of float16."""
FLOAT_ONLY = (
    "GlobalAveragePool",
    "Softmax",
    "LayerNormalization",
    "Resize",
    "Concat",
    "Pad",
)
"""Operators that CANN computes only in float."""


def quantizer_findings(view: View, soc_version: str) -> Findings:
    """Yield the findings of rules 4, 5, 6, 8, 9, 10, 11, 13 and 18."""
    for node in view.of_type("AscendQuant"):
        yield from _types(node)
        yield from _scale(view, node)
        yield from _readers(view, node)
    for node in view.integer:
        yield from _neighbours(view, node)
    for node in view.of_type("AscendDequant"):
        yield from _dequantizer(view, node)
    for node in view.of_type("AscendAntiQuant"):
        yield from _mirrored(view, node)
    yield from _float16_range(view, soc_version)


def _types(node: onnx.NodeProto) -> Findings:
    """Check attribute types: ATC's parser takes a `scale` or `offset` of another type as 0."""
    kinds = {a.name: a.type for a in node.attribute}
    for name, kind, kind_name in (
        ("scale", FLOAT, "FLOAT"),
        ("offset", FLOAT, "FLOAT"),
        ("dst_type", STRING, "STRING"),
    ):
        if kinds.get(name) != kind:
            actual = kinds.get(name)
            saw = "none" if actual is None else onnx.AttributeProto.AttributeType.Name(actual)
            yield finding(
                4, "error", node, saw=f"{name} of type {saw}", wanted=kind_name, mend=AGAIN
            )
    for attribute in node.attribute:
        if attribute.name not in ("scale", "offset", "dst_type", *OPTIONAL):
            saw = f"attribute '{attribute.name}'"
            yield finding(
                4, "error", node, saw=saw, wanted="scale, offset and dst_type", mend="Remove it."
            )
        if attribute.name == "dst_type" and attribute.s != b"INT8":
            saw = f"dst_type {attribute.s.decode('utf-8', 'replace')!r}"
            yield finding(4, "error", node, saw=saw, wanted="'INT8'", mend=AGAIN)


def _scale(view: View, node: onnx.NodeProto) -> Findings:
    attributes = view.attributes_of(node)
    scale, offset = attributes.get("scale"), attributes.get("offset")
    if isinstance(scale, float):
        step = 1 / scale if scale else math.inf
        # a float32 reciprocal of the least step is off by a rounding
        good = MIN_SCALE * (1 - 1e-6) <= step <= MAX_SCALE * (1 + 1e-6)
        if not (math.isfinite(scale) and scale > 0 and good):
            mend = "Keep the layer float in the recipe."
            wanted = "1 / step with a step of 1.19e-07 to 8.39e+06"
            yield finding(5, "error", node, saw=f"scale {scale:.6g}", wanted=wanted, mend=mend)
        elif not HALF_LOW <= scale <= HALF_HIGH:
            mend = "Nothing to do: the compiler stores the square root."
            yield finding(
                5,
                "info",
                node,
                saw=f"scale {scale:.6g}",
                wanted="6.1e-05 to 65504 on Ascend310",
                mend=mend,
            )
    if "sqrt_mode" in attributes:
        yield finding(
            5,
            "error",
            node,
            saw="attribute sqrt_mode",
            wanted="none",
            mend="Remove it: ATC decides.",
        )
    if isinstance(offset, float) and not (offset.is_integer() and -128 <= offset <= 127):
        yield finding(
            6,
            "error",
            node,
            saw=f"offset {offset:.6g}",
            wanted="an integer, -128 to 127",
            mend=AGAIN,
        )


def _readers(view: View, node: onnx.NodeProto) -> Findings:
    for name in node.output:
        if name in view.outputs:
            yield finding(
                9, "error", node, saw="int8 as a graph output", wanted="an int8 layer", mend=AGAIN
            )
        for reader, index in view.readers.get(name, []):
            if reader.op_type in FLOAT_ONLY:
                saw = f"int8 before the {reader.op_type} '{reader.name}'"
                yield finding(
                    18, "error", node, saw=saw, wanted="float", mend="Keep it float in the recipe."
                )
            elif reader.op_type != "AscendAntiQuant" and (index or reader not in view.integer):
                saw = f"int8 at input {index} of the {reader.op_type} '{reader.name}'"
                yield finding(
                    9, "error", node, saw=saw, wanted="the data of an int8 layer", mend=AGAIN
                )


def _neighbours(view: View, node: onnx.NodeProto) -> Findings:
    if view.quantizer(node) is None:
        yield finding(
            8,
            "error",
            node,
            saw="data without an AscendQuant",
            wanted="an AscendQuant",
            mend=AGAIN,
        )
    if view.dequantizer(node) is None:
        count = len(view.readers.get(view.last_node(node).output[0], []))
        saw = f"int32 sums with {count} readers, or none that is an AscendDequant"
        yield finding(
            8, "error", node, saw=saw, wanted="one AscendDequant and nothing else", mend=AGAIN
        )


def _dequantizer(view: View, node: onnx.NodeProto) -> Findings:
    wanted = "sums of an int8 layer, and a uint64 initializer [1] or [channels]"
    kinds = {a.name: (a.type, a.i) for a in node.attribute}
    if kinds.get("dtype") not in ((INT, 0), (INT, 1)):
        yield finding(
            10,
            "error",
            node,
            saw="no dtype, or one of another type",
            wanted="INT 0 or 1",
            mend=AGAIN,
        )
    if len(node.input) != 2:
        yield finding(10, "error", node, saw=f"{len(node.input)} inputs", wanted=wanted, mend=AGAIN)
        return
    if not any(view.dequantizer(layer) == node for layer in view.integer):
        saw = "an input that is not from an int8 layer of its own"
        yield finding(10, "error", node, saw=saw, wanted=wanted, mend=AGAIN)
    tensor = view.constant(node, 1)
    if tensor is None or tensor.data_type != onnx.TensorProto.UINT64 or len(tensor.dims) != 1:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type) if tensor is not None else "no"
        saw = f"{kind} initializer {list(tensor.dims) if tensor is not None else ''}".strip()
        yield finding(10, "error", node, saw=saw, wanted=wanted, mend=AGAIN)
        return
    stored = onnx.numpy_helper.to_array(tensor)
    if np.any(stored >> np.uint64(32)):
        saw = "high 32 bits that are not zero"
        yield finding(11, "error", node, saw=saw, wanted="a float32 in the low 32 bits", mend=AGAIN)
    scales = unpack_scales(stored)
    if not np.all(np.isfinite(scales) & (scales > 0)):
        saw = f"a scale of {float(scales[~(np.isfinite(scales) & (scales > 0))][0])}"
        yield finding(11, "error", node, saw=saw, wanted="finite and above 0", mend=AGAIN)


def _mirrored(view: View, node: onnx.NodeProto) -> Findings:
    producer, attributes = view.producers.get(node.input[0]), view.attributes_of(node)
    if producer is None or producer.op_type != "AscendQuant":
        yield finding(
            18,
            "error",
            node,
            saw="data without an AscendQuant",
            wanted="an AscendQuant",
            mend=AGAIN,
        )
        return
    before = view.attributes_of(producer)
    step, reciprocal = attributes.get("scale", 0.0), before.get("scale", 0.0)
    equal = abs(step * reciprocal - 1) < 1e-6 and attributes.get("offset") == before.get("offset")
    if not equal:
        saw = (
            f"scale {step:.6g} and offset {attributes.get('offset')} behind scale {reciprocal:.6g}"
        )
        wanted = "the step, 1 / scale, and the offset of its AscendQuant"
        yield finding(18, "error", node, saw=saw, wanted=wanted, mend=AGAIN)


def _float16_range(view: View, soc_version: str) -> Findings:
    """Check the range of deq_scale: Ascend310 holds it in float16, or as a square beyond."""
    every = list(view.of_type("AscendDequant"))
    arrays = [view.array(node, 1) for node in every]
    small = 0
    for array in arrays:
        if array is not None and array.dtype == np.uint64:
            scales = unpack_scales(array)
            small += int(np.any((scales < HALF_LOW) | (scales > HALF_HIGH)))
    if small and soc_version == OLD_CHIP:
        saw = f"{small} of {len(every)} AscendDequant with scales beyond float16's normal range"
        mend = "Nothing to do: ATC holds float16(sqrt(scale)) squared, within 2**-10 of it."
        yield finding(
            13, "info", view.file, saw=saw, wanted="6.1e-05 to 65504 on Ascend310", mend=mend
        )
