"""Infer the shapes of a Caffe network's blobs, as Caffe 1.0 does."""

__all__ = ["Shape", "height_and_width", "pooled_length", "shape_text", "tops_of"]

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = Sequence[Shape]

_SAME = (
    "ReLU PReLU RReLU Sigmoid TanH ELU AbsVal BNLL Exp Log Power BatchNorm Scale Bias LRN MVN "
    "Normalize Softmax Threshold Dropout Eltwise ReLU6"
)
SAME = frozenset(_SAME.split())
"""Types whose top has the shape of the first bottom."""


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as text: 1x3x224x224."""
    return "x".join(map(str, shape))


def tops_of(layer: Any, bottoms: Sequence[Shape | None]) -> list[Shape | None]:
    """Return the shape of every top of a layer; None where it cannot be inferred.

    Args:
        layer: LayerParameter.
        bottoms: Shapes of the blobs that it reads, with batch axis; None where unknown.
    """
    count = len(layer.top)
    rule = _RULES.get(layer.type)
    if layer.type in ("Input", "Custom"):
        param = layer.input_param if layer.type == "Input" else layer.custom_param
        declared: list[Shape | None] = [tuple(int(d) for d in shape.dim) for shape in param.shape]
        declared = (
            declared * count if len(declared) == 1 else declared
        )  # one shape serves every top
        return [*declared, *[None] * count][:count]
    shapes = [shape for shape in bottoms if shape is not None]
    if not shapes or len(shapes) < len(bottoms) or not count:
        return [None] * count
    if layer.type == "Split":
        return [shapes[0]] * count
    if layer.type == "Slice":
        return _sliced(layer, shapes[0], count)
    if layer.type in SAME:
        return [shapes[0]] * count
    try:
        return [rule(layer, shapes) if rule is not None else None, *[None] * (count - 1)]
    except (IndexError, ZeroDivisionError, ValueError):  # a nonsense parameter, which a rule names
        return [None] * count


def height_and_width(param: Any, name: str, default: int | None = None) -> tuple[int, int]:
    """Return the height and width of kernel_size, stride, pad or dilation.

    They are repeated fields in Convolution and single ones in Pooling; both have `_h` and `_w` too.
    """
    short = {"kernel_size": "kernel"}.get(name, name)
    spelt = {f.name for f in param.DESCRIPTOR.fields}
    if f"{short}_h" in spelt and (param.HasField(f"{short}_h") or param.HasField(f"{short}_w")):
        return int(getattr(param, f"{short}_h")), int(getattr(param, f"{short}_w"))
    value = getattr(param, name)
    if isinstance(value, int):
        side = int(value) if param.HasField(name) or default is None else default
        return side, side
    if not len(value):
        return (default or 0,) * 2
    return int(value[0]), int(value[-1])


def pooled_length(length: int, kernel: int, stride: int, pad: int) -> int:
    """Return the rows of a Pooling's top: rounded up, less a window that begins in the padding.

    BVLC Caffe, pooling_layer.cpp, PoolingLayer::Reshape.
    """
    rows = -(-(length + 2 * pad - kernel) // stride) + 1
    if pad and (rows - 1) * stride >= length + pad:
        rows -= 1
    return rows


def _convolved(layer: Any, bottoms: Shapes) -> Shape:
    param = layer.convolution_param
    kernel, stride = height_and_width(param, "kernel_size"), height_and_width(param, "stride", 1)
    pad, dilation = height_and_width(param, "pad", 0), height_and_width(param, "dilation", 1)
    sizes = []
    for i, size in enumerate(bottoms[0][2:4]):
        span = dilation[i] * (kernel[i] - 1) + 1
        if layer.type == "Deconvolution":
            sizes.append(stride[i] * (size - 1) + span - 2 * pad[i])
        else:
            sizes.append((size + 2 * pad[i] - span) // stride[i] + 1)
    channels = int(param.num_output) or bottoms[0][1]
    return (bottoms[0][0], channels, *sizes)


def _pooling(layer: Any, bottoms: Shapes) -> Shape:
    param = layer.pooling_param
    if param.global_pooling:
        return (*bottoms[0][:2], 1, 1)
    kernel, stride = height_and_width(param, "kernel_size"), height_and_width(param, "stride", 1)
    pad = height_and_width(param, "pad", 0)
    sizes = [pooled_length(bottoms[0][2 + i], kernel[i], stride[i], pad[i]) for i in (0, 1)]
    return (*bottoms[0][:2], *sizes)


def _concatenated(layer: Any, bottoms: Shapes) -> Shape:
    param = layer.concat_param
    axis = param.concat_dim if param.HasField("concat_dim") else param.axis
    made = list(bottoms[0])
    made[axis] = sum(shape[axis] for shape in bottoms)
    return tuple(made)


def _sliced(layer: Any, bottom: Shape, count: int) -> list[Shape | None]:
    param = layer.slice_param
    axis = param.slice_dim if param.HasField("slice_dim") else param.axis
    if not -len(bottom) <= axis < len(bottom):
        return [None] * count
    points = [int(p) for p in param.slice_point]
    if not points:
        points = [bottom[axis] * i // count for i in range(1, count)]
    edges = [0, *points, bottom[axis]]
    parts: list[Shape | None] = []
    for low, high in pairwise(edges):
        part = list(bottom)
        part[axis] = high - low
        parts.append(tuple(part))
    return [*parts, *[None] * count][:count]


def _reshaped(layer: Any, bottoms: Shapes) -> Shape:
    """Return the shape of Reshape: 0 copies a length, -1 takes the elements that remain."""
    param, bottom = layer.reshape_param, bottoms[0]
    start = param.axis if param.axis >= 0 else len(bottom) + param.axis + 1
    stop = len(bottom) if param.num_axes == -1 else start + param.num_axes
    dims = [int(d) for d in param.shape.dim]
    lengths = [bottom[start + i] if d == 0 else d for i, d in enumerate(dims)]
    outside = prod(bottom[:start]) * prod(bottom[stop:])
    if -1 in lengths:
        fixed = prod(d for d in lengths if d != -1) * outside
        lengths[lengths.index(-1)] = prod(bottom) // fixed
    return (*bottom[:start], *lengths, *bottom[stop:])


def _flattened(layer: Any, bottoms: Shapes) -> Shape:
    param, bottom = layer.flatten_param, bottoms[0]
    start, end = param.axis % len(bottom), param.end_axis % len(bottom)
    return (*bottom[:start], prod(bottom[start : end + 1]), *bottom[end + 1 :])


def _dense(layer: Any, bottoms: Shapes) -> Shape:
    axis = layer.inner_product_param.axis % len(bottoms[0])
    return (*bottoms[0][:axis], int(layer.inner_product_param.num_output))


def _passed_through(layer: Any, bottoms: Shapes) -> Shape:
    param = layer.pass_through_param
    n, c, h, w = bottoms[0]
    rows, columns = int(param.block_height), int(param.block_width)
    return n, int(param.num_output) or c * rows * columns, h // rows, w // columns


def _interpolated(layer: Any, bottoms: Shapes) -> Shape:
    param = layer.interp_param
    n, c, h, w = bottoms[0]
    if param.height and param.width:
        return n, c, param.height, param.width
    sizes = [d + param.pad_beg + param.pad_end for d in (h, w)]
    shrunk = [(d - 1) // param.shrink_factor + 1 for d in sizes]
    return (n, c, *(d + (d - 1) * (param.zoom_factor - 1) for d in shrunk))


_RULES: dict[str, Callable[[Any, Shapes], Shape]] = {
    "Convolution": _convolved,
    "Deconvolution": _convolved,
    "DepthwiseConv": _convolved,
    "Pooling": _pooling,
    "Concat": _concatenated,
    "Reshape": _reshaped,
    "Flatten": _flattened,
    "InnerProduct": _dense,
    "PassThrough": _passed_through,
    "Interp": _interpolated,
    "Permute": lambda layer, b: tuple(b[0][i] for i in layer.permute_param.order),
    "CReLU": lambda layer, b: (b[0][0], 2 * b[0][1], *b[0][2:]),
    "Upsample": lambda layer, b: (*b[0][:2], *(d * layer.upsample_param.scale for d in b[0][2:])),
}
