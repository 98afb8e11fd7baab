"""Write layers that only move numbers: Reshape, 0/1 convolutions, and Concat as broadcast."""

__all__ = [
    "MAX_CONCAT_INPUTS",
    "Range",
    "broadcast",
    "mix_channels",
    "padded",
    "pick_elements",
    "reshaped",
    "set_window",
]

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quant.export.caffe.network.blob import Blob
from quant.export.caffe.network.files import set_weights
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.shapes import Shape
from quant.export.caffe.network.windows import Window, padded_kernel

MAX_CONCAT_INPUTS = 32
"""Largest number of inputs of a Concat."""

Range: TypeAlias = tuple[int, int, int]
"""Start, step and count of the elements that are taken along an axis."""


def reshaped(net: NetWriter, blob: Blob, shape: Shape) -> Blob:
    """Return the blob in a 4-D shape with as many elements."""
    if blob.shape == shape:
        return blob
    key = ("reshape", blob.name, shape)
    if (top := net.cached(key)) is not None:
        return top
    layer, top = net.add("Reshape", [blob], shape, stem=f"{blob.name}_reshape")
    layer.reshape_param.shape.dim.extend((0, *shape[1:]))
    net.cached(key, top)
    return top


def mix_channels(
    net: NetWriter, blob: Blob, table: NDArray[Any], role: str = "", stem: str = ""
) -> Blob:
    """Write a 1x1 convolution without bias: channel o becomes the sum of ``table[o, c] * c``."""
    shape = (1, len(table), *blob.shape[2:])
    weight = table.reshape(*table.shape, 1, 1)
    layer, top = net.add("Convolution", [blob], shape, role, stem)
    set_weights(layer, weight)
    param = layer.convolution_param
    param.num_output, param.bias_term = len(table), False
    param.kernel_size.append(1)
    return top


def pick_elements(
    net: NetWriter,
    blob: Blob,
    ranges: Sequence[Range],
    role: str = "",
    stem: str = "",
) -> Blob:
    """Write a depthwise convolution that picks rows and columns, and pads with zeros.

    Element i of an axis is element ``start + i * step`` of the blob's, or 0 outside of it.
    `ranges` has one (start, step, count) for the height and one for the width.
    """
    kernels = []
    for length, (start, step, count) in zip(blob.shape[2:], ranges, strict=True):
        after = (count - 1) * step + 1 - length + start
        kernel = padded_kernel(Window(length, 1, step, -start, after))
        assert kernel is not None  # a dilation of 1 always divides
        kernels.append(kernel)
    rows, columns = kernels
    channels = blob.shape[1]
    weight = np.zeros((channels, 1, rows.front + rows.back + 1, columns.front + columns.back + 1))
    weight[:, :, rows.front, columns.front] = 1
    shape = (1, channels, *(count for _, _, count in ranges))
    layer, top = net.add("Convolution", [blob], shape, role, stem)
    set_weights(layer, weight)
    param = layer.convolution_param
    param.num_output, param.group, param.bias_term = channels, channels, False
    steps = [step for _, step, _ in ranges]
    set_window(param, weight.shape[2:], steps, (rows.pad, columns.pad))
    return top


def padded(net: NetWriter, blob: Blob, pads: Sequence[int], role: str = "", stem: str = "") -> Blob:
    """Write zeros around a blob: `pads` are top, left, bottom, right, and negative ones crop."""
    _, _, height, width = blob.shape
    top, left, bottom, right = pads
    ranges = ((-top, 1, height + top + bottom), (-left, 1, width + left + right))
    return pick_elements(net, blob, ranges, role, stem)


def broadcast(net: NetWriter, blob: Blob, shape: Shape) -> Blob:
    """Repeat axes of length 1 until the blob has that 4-D shape; NNIE has no other way than Concat."""
    key = ("broadcast", blob.name, shape)
    if (top := net.cached(key)) is not None:
        return top
    top = blob
    for axis, count in enumerate(shape):
        if top.shape[axis] != count:
            top = _repeated(net, top, axis, count, f"{blob.name}_copies")
    net.cached(key, top)
    return top


def _repeated(net: NetWriter, blob: Blob, axis: int, count: int, stem: str) -> Blob:
    """Return `count` copies of a blob one behind the other; over 32 copies need several layers."""
    if count == 1:
        return blob
    parts = [blob] * count
    if count > MAX_CONCAT_INPUTS:
        block, rest = divmod(count, -(-count // MAX_CONCAT_INPUTS))
        parts = [_repeated(net, blob, axis, block, stem)] * ((count - rest) // block)
        parts += [blob] * rest
    shape = tuple(count * n if i == axis else n for i, n in enumerate(blob.shape))
    layer, top = net.add("Concat", parts, shape, stem=stem)
    layer.concat_param.axis = axis
    return top


def set_window(
    param: Any, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int]
) -> None:
    """Set kernel, stride and pad, in Caffe's short form where height and width agree."""
    sizes = (("kernel", kernel, 0), ("stride", stride, 1), ("pad", pad, 0))
    for name, (high, wide), default in sizes:
        if high != wide:
            setattr(param, f"{name}_h", high)
            setattr(param, f"{name}_w", wide)
        elif high != default:
            field = "kernel_size" if name == "kernel" else name
            if param.DESCRIPTOR.fields_by_name[field].is_repeated:
                getattr(param, field).append(high)
            else:
                setattr(param, field, high)
