"""Read an ONNX tensor's blob: with nothing left to do, in the shape or along the axis wanted.

A blob holds the numbers of its tensor in the same order, though not always in the same shape: ONNX's
Reshape, Flatten and Squeeze cost nothing, and a 4-D Reshape is written only where a layer needs one.
"""

__all__ = ["LARGEST", "SAME_ORDER", "alone", "along", "factored", "finished", "form_along", "read"]

from dataclasses import replace
from math import prod

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import Blob, Refusal, Shape, lifted, shape_of
from quant.export.caffe.network.moves import mix, reshaped, select
from quant.export.caffe.network.net import Net
from quant.graph.layers import VIEWS

LARGEST = 4096
"""Most elements along an axis of a feature or weight."""

SAME_ORDER = (VIEWS - {"Transpose"}) | {"Dropout", "Cast"}
"""Operators that hand the numbers on in the same order."""


def read(net: Net, value: ir.Value | None, shape: Shape | None = None) -> Blob:
    """Return a tensor's blob with nothing left to do, reshaped where `shape` is another."""
    found = finished(net, net.raw(value))
    return found if shape is None else reshaped(net, found, shape)


def finished(net: Net, blob: Blob) -> Blob:
    """Write what is left to do with a blob as layers of its own."""
    if blob.done:
        return blob
    factor = None if blob.factor is None else tuple(blob.factor)
    key = ("finish", blob.name, factor, blob.swapped, blob.pads, blob.fill)
    if (made := net.once(key)) is not None:
        return made
    made = _mixed(net, replace(blob, pads=(0, 0, 0, 0)))
    if any(blob.pads):
        if blob.fill:
            raise Refusal(
                7,
                f"padding with {blob.fill:g} before it",
                "padding with 0",
                "Pad inside the MaxPool instead of before it.",
            )
        top, left, bottom, right = blob.pads
        _, _, height, width = made.shape
        count = height + top + bottom, width + left + right
        made = select(net, made, (-top, -left), (1, 1), count, stem=f"{blob.name}_pad")
    net.once(key, made)
    return made


def _mixed(net: Net, blob: Blob) -> Blob:
    """Write the factor as Scale; with a swap of channels, as a 1x1 convolution."""
    bare = Blob(blob.name, blob.shape)
    if blob.done:
        return bare
    factor = np.ones(blob.shape[1]) if blob.factor is None else blob.factor
    if blob.swapped:
        return mix(net, bare, np.diag(factor)[:, ::-1], stem=f"{blob.name}_swap")
    return factored(net, bare, factor, None, stem=f"{blob.name}_scale")


def factored(
    net: Net,
    blob: Blob,
    factor: np.ndarray,
    offset: np.ndarray | None,
    *,
    role: str = "",
    stem: str = "",
    in_place: bool = False,
) -> Blob:
    """Write a Scale layer: each channel times its factor, plus its offset."""
    blobs = [factor] if offset is None else [factor, offset]
    layer, made = net.add(
        "Scale", [blob], blob.shape, role=role, stem=stem, blobs=blobs, in_place=in_place
    )
    layer.scale_param.bias_term = offset is not None
    return made


def along(net: Net, value: ir.Value | None, axis: int) -> tuple[Blob, int]:
    """Return a tensor's blob in a shape that has one of the tensor's axes as an axis, and which."""
    blob = read(net, value)
    form, index = form_along(blob.shape, shape_of(value), axis)
    return reshaped(net, blob, form), index


def form_along(own: Shape, shape: Shape, axis: int) -> tuple[Shape, int]:
    """Return a blob's shape that has an axis of a tensor of `shape` as an axis, and which.

    `own`, the shape that the blob has, serves if it has the axis; else the tensor's, in 4-D; else
    what stands before the axis is one, and what stands behind it is one.
    """
    axis %= max(len(shape), 1)
    length, inner, outer = shape[axis], prod(shape[axis + 1 :]), prod(shape[:axis])
    for form in (own, lifted(shape), (1, length, inner, 1), (1, outer, length, inner)):
        for index in range(1, len(form)):
            before = prod(form[:index])
            if before == outer and form[index] == length and max(form) <= LARGEST:
                return form, index
    if length > LARGEST:
        raise Refusal(
            10,
            f"{length} elements along axis {axis} of {list(shape)}",
            f"at most {LARGEST}",
            "Cut the network before this node.",
        )
    raise Refusal(
        14,
        f"axis {axis} of {list(shape)}",
        "an axis behind the batch, of a 4-D blob",
        "Cut the network before this node.",
    )


def alone(value: ir.Value | None) -> bool:
    """Return whether a tensor's numbers have one reader only, so that it may write in their place."""
    while value is not None:
        uses = tuple(value.uses())
        maker = value.producer()
        if len(uses) != 1 or value.is_graph_output() or maker is None:
            return False
        if maker.op_type not in SAME_ORDER:
            return True
        value = maker.inputs[0]
    return False
