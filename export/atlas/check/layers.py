"""Check INT8 layers: weights, biases, scales, sums, and forms that have a kernel."""

__all__ = ["layer_findings"]

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from quant.export.atlas.check.integrity import shapes_of
from quant.export.atlas.check.view import Findings, View, finding
from quant.export.atlas.graph.integer_layer import weight_rows
from quant.export.atlas.graph.limits import NARROW_CHANNELS

AGAIN = "Export the model again."
FLOATING = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
INT8, INT32 = onnx.TensorProto.INT8, onnx.TensorProto.INT32


def layer_findings(view: View) -> Findings:
    """Yield the findings of rules 12, 14, 15, 16, 17, 19 and 20."""
    shapes = shapes_of(view.model)
    for node in view.integer:
        yield from _weight(view, node)
        yield from _bias(view, node)
        yield from _scales(view, node)
        yield from _sums(view, node)
        yield from _form(view, node, shapes.get(node.input[0]))
    for name, tensor in view.constants.items():
        if tensor.data_type == INT8:
            yield from _int8_readers(view, name)


def _name(kind: int) -> str:
    return str(onnx.TensorProto.DataType.Name(kind))


def _weight(view: View, node: onnx.NodeProto) -> Findings:
    if node.op_type == "AveragePool":
        return
    tensor, attributes = view.constant(node, 1), view.attributes_of(node)
    if tensor is None:
        yield finding(
            14, "error", node, saw="a weight that is no initializer", wanted="int8", mend=AGAIN
        )
        return
    if tensor.data_type in FLOATING:
        yield finding(
            17, "error", node, saw=f"a {_name(tensor.data_type)} weight", wanted="INT8", mend=AGAIN
        )
    elif tensor.data_type != INT8:
        yield finding(
            14, "error", node, saw=f"a {_name(tensor.data_type)} weight", wanted="INT8", mend=AGAIN
        )
    dims = list(tensor.dims)
    if node.op_type == "Gemm" and (attributes.get("transA", 0) or attributes.get("transB", 0)):
        mend = "Transpose the weight itself."
        yield finding(
            14, "error", node, saw="transA or transB", wanted="both 0, a weight [K, N]", mend=mend
        )
    if node.op_type in ("Gemm", "MatMul") and len(dims) != 2:
        yield finding(
            14, "error", node, saw=f"a weight of shape {dims}", wanted="two axes", mend=AGAIN
        )
    kernel = attributes.get("kernel_shape")
    if kernel is not None and list(kernel) != dims[2:]:
        saw = f"a weight of shape {dims} with kernel_shape {list(kernel)}"
        yield finding(
            14, "error", node, saw=saw, wanted="the shape of the float weight", mend=AGAIN
        )


def _channels(node: onnx.NodeProto, attributes: dict[str, Any], dims: Sequence[int]) -> int:
    """Return the number of output channels."""
    if node.op_type == "ConvTranspose":
        return int(dims[1] * attributes.get("group", 1))
    return int(dims[0] if node.op_type == "Conv" else dims[-1])


def _bias(view: View, node: onnx.NodeProto) -> Findings:
    end, weight = view.last_node(node), view.constant(node, 1)
    if end is not node:
        index = 1 if end.input[0] == node.output[0] else 0
        tensor = view.constant(end, index)
    else:
        index, tensor = 2, view.constant(node, 2)
    if tensor is None or weight is None:
        if end is not node or (len(node.input) > 2 and node.input[2]):
            yield finding(
                15, "error", node, saw="a bias that is no initializer", wanted="int32", mend=AGAIN
            )
        return
    if tensor.data_type in FLOATING:
        yield finding(
            17, "error", node, saw=f"a {_name(tensor.data_type)} bias", wanted="INT32", mend=AGAIN
        )
        return
    if tensor.data_type != INT32:
        yield finding(
            15, "error", node, saw=f"a {_name(tensor.data_type)} bias", wanted="INT32", mend=AGAIN
        )
        return
    channels = _channels(node, view.attributes_of(node), list(weight.dims))
    if list(tensor.dims) != [channels]:
        saw = f"a bias of shape {list(tensor.dims)}"
        yield finding(15, "error", node, saw=saw, wanted=f"[{channels}]", mend=AGAIN)
    largest = np.abs(onnx.numpy_helper.to_array(tensor).astype(np.int64)).max(initial=0)
    if largest > 2**30:
        mend = "Give the weight a greater scale, or keep the layer float."
        yield finding(
            15, "warning", node, saw=f"a bias of {largest}", wanted="at most 2**30", mend=mend
        )


def _scales(view: View, node: onnx.NodeProto) -> Findings:
    dequantizer = view.dequantizer(node)
    stored = view.array(dequantizer, 1) if dequantizer is not None else None
    weight = view.constant(node, 1)
    if stored is None:
        return
    allowed = [1]
    if node.op_type in ("Conv", "ConvTranspose") and weight is not None:
        allowed.append(_channels(node, view.attributes_of(node), list(weight.dims)))
    if stored.size not in allowed:
        wanted = " or ".join(map(str, allowed))
        yield finding(12, "error", node, saw=f"{stored.size} deq_scales", wanted=wanted, mend=AGAIN)


def _sums(view: View, node: onnx.NodeProto) -> Findings:
    weight, quantizer = view.array(node, 1), view.quantizer(node)
    offset = view.attributes_of(quantizer).get("offset") if quantizer is not None else None
    if weight is None or weight.dtype != np.int8 or not isinstance(offset, float):
        return
    last = view.last_node(node)
    index = 2 if last is node else 1 if last.input[0] == node.output[0] else 0
    bias = view.array(last, index)
    group = view.attributes_of(node).get("group", 1)
    rows = weight_rows(node.op_type, weight.astype(np.int64), group)
    shift = np.zeros(1) if bias is None else bias.reshape(-1).astype(np.float64)
    if shift.size not in (1, len(rows)):
        return  # rule 15 reports it
    worst = np.abs(rows).sum(1) * 255.0 + np.abs(shift - offset * rows.sum(1))
    if worst.max() >= 2**31:
        saw = f"sums of up to {worst.max():.6g}"
        mend = "Keep the layer float in the recipe."
        yield finding(
            16, "error", node, saw=saw, wanted="less than 2**31, for they are int32", mend=mend
        )


def _form(view: View, node: onnx.NodeProto, shape: Sequence[int | None] | None) -> Findings:
    attributes, weight = view.attributes_of(node), view.constant(node, 1)
    dilations = list(attributes.get("dilations", []))
    dims = list(weight.dims) if weight is not None else []
    mend = "Keep the layer float in the recipe."
    if node.op_type == "Conv" and len(dims) == 5 and dilations[:1] not in ([], [1]):
        saw = f"a 3-D convolution with dilations {dilations}"
        yield finding(19, "error", node, saw=saw, wanted="1 along the depth", mend=mend)
    if node.op_type == "ConvTranspose" and (len(dims) != 4 or any(d != 1 for d in dilations)):
        saw = f"a filter of {len(dims)} axes with dilations {dilations or 1}"
        yield finding(19, "error", node, saw=saw, wanted="4 axes and dilations of 1", mend=mend)
    if node.op_type == "AveragePool" and shape is not None:
        kernel = attributes.get("kernel_shape", [])
        sizes = zip(shape[2:], kernel, strict=False)
        if len(kernel) != 2 or all(s is not None and s <= k for s, k in sizes):
            saw = f"an AveragePool {list(kernel)} of a map {list(shape[2:])}"
            yield finding(
                19, "error", node, saw=saw, wanted="2-D and smaller than the map", mend=mend
            )
    if node.op_type == "Conv" and dims and dims[1] * attributes.get("group", 1) <= NARROW_CHANNELS:
        saw = f"{dims[1] * attributes.get('group', 1)} input channels"
        narrow = "Keep it float in the recipe, which costs no time and saves its error."
        yield finding(
            20,
            "warning",
            node,
            saw=saw,
            wanted=f"more than {NARROW_CHANNELS} for INT8 to be faster",
            mend=narrow,
        )


def _int8_readers(view: View, name: str) -> Findings:
    """Yield the float operators that read an int8 initializer."""
    for reader, index in view.readers.get(name, []):
        quantizer = reader.op_type in ("AscendAntiQuant", "AscendWeightQuant")
        if not quantizer and (index != 1 or reader not in view.integer):
            saw = f"the int8 initializer '{name}'"
            yield finding(
                17, "error", reader, saw=saw, wanted="float for a float operator", mend=AGAIN
            )
