"""Layers that move numbers without computing any: 0/1 convolutions, Concat as broadcast, Reshape."""

__all__ = ["MOST", "broadcast", "mix", "reshaped", "select", "set_window"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.export.caffe.network.blob import Blob, Shape
from quant.export.caffe.network.net import Net
from quant.export.caffe.network.windows import conv_kernel

MOST = 32
"""Most inputs of a Concat."""


def reshaped(net: Net, blob: Blob, shape: Shape) -> Blob:
    """Return the blob in a 4-D shape with as many elements."""
    if blob.shape == shape:
        return blob
    key = ("reshape", blob.name, shape)
    if (made := net.once(key)) is not None:
        return made
    layer, made = net.add("Reshape", [blob], shape, stem=f"{blob.name}_reshape")
    layer.reshape_param.shape.dim.extend((0, *shape[1:]))
    net.once(key, made)
    return made


def mix(net: Net, blob: Blob, table: NDArray[Any], role: str = "", stem: str = "") -> Blob:
    """Write a 1x1 convolution without bias: channel o becomes the sum of ``table[o, c] * c``."""
    shape = (1, len(table), *blob.shape[2:])
    weight = table.reshape(*table.shape, 1, 1)
    layer, made = net.add("Convolution", [blob], shape, role=role, stem=stem, blobs=[weight])
    param = layer.convolution_param
    param.num_output, param.bias_term = len(table), False
    param.kernel_size.append(1)
    return made


def select(
    net: Net,
    blob: Blob,
    start: tuple[int, int],
    step: tuple[int, int],
    count: tuple[int, int],
    role: str = "",
    stem: str = "",
) -> Blob:
    """Write a depthwise convolution that picks rows and columns, and pads with zeros.

    Element i of an axis is element ``start + i * step`` of the blob's, or 0 outside of it.
    """
    kernels = []
    for length, first, stride, number in zip(blob.shape[2:], start, step, count, strict=True):
        after = (number - 1) * stride + 1 - length + first
        found = conv_kernel(length, 1, stride, 1, -first, after)
        assert found is not None  # a dilation of 1 always divides
        kernels.append(found)
    high, wide = kernels
    channels = blob.shape[1]
    weight = np.zeros((channels, 1, high.front + high.back + 1, wide.front + wide.back + 1))
    weight[:, :, high.front, wide.front] = 1
    shape = (1, channels, *count)
    layer, made = net.add("Convolution", [blob], shape, role=role, stem=stem, blobs=[weight])
    param = layer.convolution_param
    param.num_output, param.group, param.bias_term = channels, channels, False
    set_window(param, weight.shape[2:], step, (high.pad, wide.pad))
    return made


def broadcast(net: Net, blob: Blob, shape: Shape) -> Blob:
    """Repeat axes of length 1 until the blob has that 4-D shape; NNIE has no other way than Concat."""
    key = ("broadcast", blob.name, shape)
    if (made := net.once(key)) is not None:
        return made
    made = blob
    for axis, count in enumerate(shape):
        if made.shape[axis] != count:
            made = _repeated(net, made, axis, count, f"{blob.name}_copies")
    net.once(key, made)
    return made


def _repeated(net: Net, blob: Blob, axis: int, count: int, stem: str) -> Blob:
    """Return `count` copies of a blob one behind the other; more than 32 in several steps."""
    if count == 1:
        return blob
    parts = [blob] * count
    if count > MOST:
        block, rest = divmod(count, -(-count // MOST))
        parts = [_repeated(net, blob, axis, block, stem)] * ((count - rest) // block)
        parts += [blob] * rest
    shape = tuple(count * n if i == axis else n for i, n in enumerate(blob.shape))
    layer, made = net.add("Concat", parts, shape, stem=stem)
    layer.concat_param.axis = axis
    return made


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
