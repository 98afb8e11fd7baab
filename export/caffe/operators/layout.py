"""Convert views, which need no layer, Softmax along any axis, and Expand as Concat."""

__all__ = ["LAYOUT"]

from math import prod
from typing import Any

import onnx_ir as ir

from quant.export.caffe.network.blob import Refusal, shape_of, to_4d
from quant.export.caffe.network.moves import broadcast
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import read_blob, read_with_axis, write_pending
from quant.export.caffe.operators.concat import concat
from quant.export.caffe.operators.pad import pad
from quant.export.caffe.operators.transpose import transpose


def _view(net: NetWriter, node: ir.Node) -> None:
    """Convert an operator that keeps the order of the numbers: it needs no layer."""
    shape = shape_of(node.outputs[0])
    if node.outputs[0].dtype not in (None, ir.DataType.FLOAT):
        raise Refusal(
            1,
            f"a {node.op_type} to {node.outputs[0].dtype}",
            "float32",
            "Cut the network before it.",
        )
    if prod(shape) != prod(shape_of(node.inputs[0])):
        raise Refusal(
            13,
            f"a {node.op_type} of {list(shape_of(node.inputs[0]))} to {list(shape)}",
            "as many elements",
            "Export the model with the size that it is to run at.",
        )
    blob = net.blob(node.inputs[0])
    if blob.done or node.op_type in ("Identity", "Dropout", "Cast"):
        net.bind(node.outputs[0], blob)
        return
    # a Gemm that reads one row still finds the channels
    keeps = not any(blob.pads) and len(shape) == 2 and shape[0] == 1
    net.bind(node.outputs[0], blob if keeps else write_pending(net, blob))


def _softmax(net: NetWriter, node: ir.Node) -> None:
    """Convert Softmax and LogSoftmax."""
    log = node.op_type == "LogSoftmax"
    blob, axis = read_with_axis(net, node.inputs[0], node.attributes.get_int("axis", -1))
    layer, top = net.add("Softmax", [blob], blob.shape, role="softmax" if log else "")
    layer.softmax_param.axis = axis
    if log:
        _, top = net.add("Log", [top], top.shape)
    net.bind(node.outputs[0], top)


def _expand(net: NetWriter, node: ir.Node) -> None:
    """Convert Expand and Tile of axes of length 1."""
    shape, out = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    padded = (1,) * (len(out) - len(shape)) + shape
    if (
        any(a not in (1, b) for a, b in zip(padded, out, strict=True))
        or len(out) > 4
        or out[0] != 1
    ):
        raise Refusal(
            15,
            f"{list(shape)} repeated to {list(out)}",
            "no Tile",
            "Cut the network before this node.",
        )
    net.bind(
        node.outputs[0], broadcast(net, read_blob(net, node.inputs[0], to_4d(padded)), to_4d(out))
    )


LAYOUT: dict[str, Any] = {
    **dict.fromkeys(
        ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast"), _view
    ),
    "Concat": concat,
    "Expand": _expand,
    "LogSoftmax": _softmax,
    "Pad": pad,
    "Softmax": _softmax,
    "Tile": _expand,
    "Transpose": transpose,
}
