"""Read an ONNX tensor's blob with nothing pending, in a given shape or with a given axis.

A blob holds the numbers of its tensor in the same order, though not always in the same shape: ONNX's
Reshape, Flatten and Squeeze cost nothing, and a 4-D Reshape is written only where a layer needs one.
"""

__all__ = [
    "MAX_LENGTH",
    "SAME_ORDER",
    "has_one_reader",
    "read_blob",
    "read_with_axis",
    "shape_with_axis",
    "write_pending",
    "write_scale",
]

from dataclasses import replace
from math import prod

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import Blob, Refusal, shape_of, to_4d
from quant.export.caffe.network.files import set_weights
from quant.export.caffe.network.moves import mix_channels, padded, reshaped
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.shapes import Shape
from quant.graph.layers import VIEWS

MAX_LENGTH = 4096
"""Largest number of elements along an axis of a feature or weight."""

SAME_ORDER = (VIEWS - {"Transpose"}) | {"Dropout", "Cast"}
"""Operators whose result holds the numbers of the input in the same order."""


def read_blob(net: NetWriter, value: ir.Value | None, shape: Shape | None = None) -> Blob:
    """Return a tensor's blob with nothing pending, reshaped where `shape` is another."""
    blob = write_pending(net, net.blob(value))
    return blob if shape is None else reshaped(net, blob, shape)


def write_pending(net: NetWriter, blob: Blob) -> Blob:
    """Write the pending factor, swap and padding of a blob as layers of their own.

    Raises:
        Refusal: The padding is not with zeros.
    """
    if blob.done:
        return blob
    factor = None if blob.factor is None else tuple(blob.factor)
    key = ("finish", blob.name, factor, blob.swapped, blob.pads, blob.fill)
    if (written := net.cached(key)) is not None:
        return written
    written = _mixed(net, replace(blob, pads=(0, 0, 0, 0)))
    if any(blob.pads):
        if blob.fill:
            raise Refusal(
                7,
                f"padding with {blob.fill:g} before it",
                "padding with 0",
                "Pad inside the MaxPool instead of before it.",
            )
        written = padded(net, written, blob.pads, stem=f"{blob.name}_pad")
    net.cached(key, written)
    return written


def _mixed(net: NetWriter, blob: Blob) -> Blob:
    """Write the factor as Scale; with a swap of channels, as a 1x1 convolution."""
    bare = Blob(blob.name, blob.shape)
    if blob.done:
        return bare
    factor = np.ones(blob.shape[1]) if blob.factor is None else blob.factor
    if blob.swapped:
        return mix_channels(net, bare, np.diag(factor)[:, ::-1], stem=f"{blob.name}_swap")
    return write_scale(net, bare, factor, stem=f"{blob.name}_scale")


def write_scale(
    net: NetWriter,
    blob: Blob,
    factor: np.ndarray,
    offset: np.ndarray | None = None,
    stem: str = "",
) -> Blob:
    """Write a Scale layer: each channel times its factor `[C]`, plus its offset `[C]`."""
    layer, top = net.add("Scale", [blob], blob.shape, stem=stem)
    set_weights(layer, *([factor] if offset is None else [factor, offset]))
    layer.scale_param.bias_term = offset is not None
    return top


def read_with_axis(net: NetWriter, value: ir.Value | None, axis: int) -> tuple[Blob, int]:
    """Return a tensor's blob in a shape that has one of the tensor's axes as an axis, and which."""
    blob = read_blob(net, value)
    form, index = shape_with_axis(blob.shape, shape_of(value), axis)
    return reshaped(net, blob, form), index


def shape_with_axis(own: Shape, shape: Shape, axis: int) -> tuple[Shape, int]:
    """Return a blob's shape that has an axis of a tensor of `shape` as an axis, and which.

    The blob's shape `own` serves if it has the axis; else the tensor's shape in 4-D; else the axes
    before it become one axis, and so do those behind it.
    """
    axis %= max(len(shape), 1)
    length, inner, outer = shape[axis], prod(shape[axis + 1 :]), prod(shape[:axis])
    for form in (own, to_4d(shape), (1, length, inner, 1), (1, outer, length, inner)):
        for index in range(1, len(form)):
            before = prod(form[:index])
            if before == outer and form[index] == length and max(form) <= MAX_LENGTH:
                return form, index
    if length > MAX_LENGTH:
        raise Refusal(
            10,
            f"{length} elements along axis {axis} of {list(shape)}",
            f"at most {MAX_LENGTH}",
            "Cut the network before this node.",
        )
    raise Refusal(
        14,
        f"axis {axis} of {list(shape)}",
        "an axis behind the batch, of a 4-D blob",
        "Cut the network before this node.",
    )


def has_one_reader(value: ir.Value | None) -> bool:
    """Return whether a tensor's numbers have only one reader, which may then overwrite them."""
    while value is not None:
        uses = tuple(value.uses())
        producer = value.producer()
        if len(uses) != 1 or value.is_graph_output() or producer is None:
            return False
        if producer.op_type not in SAME_ORDER:
            return True
        value = producer.inputs[0]
    return False
