"""Pools: Caffe rounds up and pads both sides alike; what differs from ONNX is made exact."""

__all__ = ["POOLS", "Axis", "write_pool"]

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import Blob, Refusal, Shape, constant, lifted, shape_of
from quant.export.caffe.network.moves import reshaped, select, set_window
from quant.export.caffe.network.net import Net
from quant.export.caffe.network.read import finished, read
from quant.export.caffe.network.windows import (
    caffe_pooled,
    conv_kernel,
    image_of,
    pool_divisors,
    windowing,
)
from quant.export.caffe.operators.conv import write_conv

NONNEGATIVE = ("Relu", "Sigmoid", "Softmax", "HardSigmoid", "Abs")
"""Operators of whose result 0 is no new maximum."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What ONNX wants of a pool along one axis: `count` windows, with pads `before` and `after`."""

    length: int
    kernel: int
    stride: int
    before: int
    after: int
    count: int


def _matching(axis: Axis, average: bool, counted: bool) -> tuple[int, int] | None:
    """Return (pad, windows to drop in front) with which Caffe's windows are ONNX's, or None."""
    low, high = (-axis.before, axis.length + axis.after) if counted else (0, axis.length)
    wanted = pool_divisors(axis.kernel, axis.stride, axis.before, low, high, axis.count)
    for first in range(axis.kernel):
        pad = axis.before + first * axis.stride
        if pad >= axis.kernel:
            return None
        made = caffe_pooled(axis.length, axis.kernel, axis.stride, pad)
        if made < first + axis.count:
            continue
        end = axis.length + pad
        seen = pool_divisors(axis.kernel, axis.stride, pad, -pad, end, made)
        if not average or seen[first : first + axis.count] == wanted:
            return pad, first
    return None


def _axes(node: ir.Node, blob: Blob, out: Shape) -> list[Axis]:
    """Return what ONNX wants along height and width; a Pad before it is part of it."""
    kernel = [*node.attributes.get_ints("kernel_shape", []), 1][:2]
    strides, dilations, pads = windowing(node, kernel, blob.shape)
    if set(dilations) != {1}:
        raise Refusal(7, f"dilations {dilations}", "dilations 1", "Use a pool without dilation.")
    sums = [a + b for a, b in zip(pads, blob.pads, strict=True)]
    return [
        Axis(blob.shape[2 + i], kernel[i], strides[i], sums[i], sums[2 + i], out[2 + i])
        for i in range(2)
    ]


def _counts(node: ir.Node, blob: Blob) -> bool:
    """Return whether padding counts in an average; a Pad before it always does."""
    return any(blob.pads) or bool(node.attributes.get_int("count_include_pad", 0))


def _source(net: Net, node: ir.Node, average: bool) -> Blob:
    """Return the pooled blob; a Pad before it stays to be done where the pool can do it."""
    blob = net.raw(node.inputs[0])
    own = any(node.attributes.get_ints("pads", [])) or "auto_pad" in node.attributes
    holds = blob.fill == 0 if average else (blob.fill != 0 or _nonnegative(node.inputs[0]))
    if any(blob.pads) and holds and not (average and own) and blob.factor is None:
        return blob if not blob.swapped else finished(net, blob)
    return reshaped(net, finished(net, blob), image_of(node))


def _nonnegative(value: ir.Value | None) -> bool:
    """Return whether the tensor that a Pad pads is nowhere negative, so that 0 is no maximum."""
    pad = value.producer() if value is not None else None
    maker = pad.inputs[0].producer() if pad is not None and pad.inputs[0] is not None else None
    if maker is None or maker.op_type != "Clip" or len(maker.inputs) < 2:
        return maker is not None and maker.op_type in NONNEGATIVE
    low = constant(maker.inputs[1])
    return low is not None and bool(low >= 0)


def _pool(net: Net, node: ir.Node) -> None:
    """Convert MaxPool and AveragePool; windows that Caffe has too many are cut off."""
    if len(node.outputs) > 1 and node.outputs[1].uses():
        raise Refusal(1, "the indices of a MaxPool", "its values", "Do without the indices.")
    average = node.op_type == "AveragePool"
    blob, out = _source(net, node, average), lifted(shape_of(node.outputs[0]))
    axes = _axes(node, blob, out)
    counted = _counts(node, blob)
    bare = replace(blob, pads=(0, 0, 0, 0), fill=0.0)
    found = [_matching(axis, average, counted) for axis in axes]
    if found[0] is None or found[1] is None:
        if not (average and counted and all(map(_full, axes))):
            raise _refuse(axes, average)
        net.bind(node.outputs[0], _as_conv(net, bare, axes, out))
        return
    pads, firsts = zip(*(f for f in found if f is not None), strict=True)
    made = write_pool(net, bare, "AVE" if average else "MAX", axes, pads)
    if made.shape != out:
        made = select(net, made, firsts, (1, 1), out[2:], role="crop")  # type: ignore[arg-type]
    net.bind(node.outputs[0], made)


def write_pool(
    net: Net, blob: Blob, method: str, axes: Sequence[Axis], pads: Sequence[int], role: str = ""
) -> Blob:
    """Write a Pooling layer."""
    kernel, stride = [a.kernel for a in axes], [a.stride for a in axes]
    sizes = [caffe_pooled(a.length, a.kernel, a.stride, p) for a, p in zip(axes, pads, strict=True)]
    layer, made = net.add("Pooling", [blob], (*blob.shape[:2], *sizes), role=role)
    param = layer.pooling_param
    param.pool = param.DESCRIPTOR.fields_by_name["pool"].enum_type.values_by_name[method].number
    if tuple(kernel) == blob.shape[2:] and not any(pads):
        param.global_pooling = True
    else:
        set_window(param, kernel, stride, pads)
    return made


def _full(axis: Axis) -> bool:
    """Return whether each window counts all its elements, padding included."""
    low, high = -axis.before, axis.length + axis.after
    seen = pool_divisors(axis.kernel, axis.stride, axis.before, low, high, axis.count)
    return set(seen) == {axis.kernel}


def _as_conv(net: Net, blob: Blob, axes: Sequence[Axis], out: Shape) -> Blob:
    """Write an average over windows of one size as a depthwise convolution."""
    channels, area = blob.shape[1], axes[0].kernel * axes[1].kernel
    weight = np.full((channels, 1, axes[0].kernel, axes[1].kernel), 1 / area)
    found = [conv_kernel(a.length, a.kernel, a.stride, 1, a.before, a.after) for a in axes]
    kernels = [k for k in found if k is not None]
    weight = np.pad(weight, [(0, 0), (0, 0), *((k.front, k.back) for k in kernels)])
    strides, pads = [a.stride for a in axes], [k.pad for k in kernels]
    return write_conv(net, blob, weight, None, out, group=channels, stride=strides, pad=pads)


def _refuse(axes: Sequence[Axis], average: bool) -> Refusal:
    """Return why a pool cannot be written."""
    sides = [axes[0].before, axes[1].before, axes[0].after, axes[1].after]
    if average:
        return Refusal(
            8,
            f"an average that leaves out its padding, pads {sides}",
            "one that counts it, as Caffe's",
            "Export it with count_include_pad=1, or with pads 0.",
        )
    return Refusal(
        7,
        f"a pool with pads {sides} for kernel {[a.kernel for a in axes]}",
        "pads under the kernel",
        "Pool without padding.",
    )


def _global_pool(net: Net, node: ir.Node) -> None:
    """Convert GlobalAveragePool and GlobalMaxPool."""
    method = "MAX" if node.op_type == "GlobalMaxPool" else "AVE"
    net.bind(node.outputs[0], _global(net, read(net, node.inputs[0], image_of(node)), method))


def _global(net: Net, blob: Blob, method: str, role: str = "") -> Blob:
    axes = [Axis(n, n, 1, 0, 0, 1) for n in blob.shape[2:]]
    return write_pool(net, blob, method, axes, (0, 0), role)


POOLS: dict[str, Any] = {
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "MaxPool": _pool,
}
