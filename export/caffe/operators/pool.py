"""Convert pools exactly, although Caffe rounds up and pads both sides alike."""

__all__ = ["POOLS", "write_pool"]

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import Blob, Refusal, constant, shape_of, to_4d
from quant.export.caffe.network.moves import pick_elements, reshaped, set_window
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import read_blob, write_pending
from quant.export.caffe.network.shapes import Shape, pooled_length
from quant.export.caffe.network.windows import (
    Window,
    image_shape,
    padded_kernel,
    pool_divisors,
    strides_dilations_pads,
)
from quant.export.caffe.operators.conv import Convolution, write_conv

NONNEGATIVE_OPERATORS = ("Relu", "Sigmoid", "Softmax", "HardSigmoid", "Abs")
"""Operators whose results are nowhere negative, so that padding with 0 adds no new maximum."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """A pool along one axis: ONNX's window, and how many results ONNX gives."""

    window: Window
    count: int


def _matching(axis: _Axis, average: bool, counts_padding: bool) -> tuple[Window, int] | None:
    """Return Caffe's window, and the results to drop in front, that give ONNX's pool, or None."""
    window = axis.window
    divisors = pool_divisors(window, _counted(window, counts_padding), axis.count)
    for first in range(window.kernel):
        pad = window.before + first * window.stride
        if pad >= window.kernel:
            return None
        rows = pooled_length(window.length, window.kernel, window.stride, pad)
        if rows < first + axis.count:
            continue
        caffe = replace(window, before=pad, after=pad)
        caffe_divisors = pool_divisors(caffe, _counted(caffe, True), rows)
        if not average or caffe_divisors[first : first + axis.count] == divisors:
            return caffe, first
    return None


def _counted(window: Window, counts_padding: bool) -> tuple[int, int]:
    """Return the first element that counts in an average, and the one behind the last."""
    return (-window.before, window.length + window.after) if counts_padding else (0, window.length)


def _axes(node: ir.Node, blob: Blob, out: Shape) -> list[_Axis]:
    """Return ONNX's pool along height and width; a Pad before it is part of it."""
    kernel = [*node.attributes.get_ints("kernel_shape", []), 1][:2]
    strides, dilations, pads = strides_dilations_pads(node, kernel, blob.shape)
    if set(dilations) != {1}:
        raise Refusal(7, f"dilations {dilations}", "dilations 1", "Use a pool without dilation.")
    sums = [a + b for a, b in zip(pads, blob.pads, strict=True)]
    return [
        _Axis(Window(blob.shape[2 + i], kernel[i], strides[i], sums[i], sums[2 + i]), out[2 + i])
        for i in range(2)
    ]


def _counts_padding(node: ir.Node, blob: Blob) -> bool:
    """Return whether padding counts in an average; a Pad before it always does."""
    return any(blob.pads) or bool(node.attributes.get_int("count_include_pad", 0))


def _source(net: NetWriter, node: ir.Node, average: bool) -> Blob:
    """Return the pooled blob; a Pad before it stays pending where the pool can do it."""
    blob = net.blob(node.inputs[0])
    own = any(node.attributes.get_ints("pads", [])) or "auto_pad" in node.attributes
    holds = blob.fill == 0 if average else (blob.fill != 0 or _nonnegative(node.inputs[0]))
    if any(blob.pads) and holds and not (average and own) and blob.factor is None:
        return blob if not blob.swapped else write_pending(net, blob)
    return reshaped(net, write_pending(net, blob), image_shape(node))


def _nonnegative(value: ir.Value | None) -> bool:
    """Return whether the tensor that a Pad pads is nowhere negative, so that 0 is no maximum."""
    pad = value.producer() if value is not None else None
    producer = pad.inputs[0].producer() if pad is not None and pad.inputs[0] is not None else None
    if producer is None or producer.op_type != "Clip" or len(producer.inputs) < 2:
        return producer is not None and producer.op_type in NONNEGATIVE_OPERATORS
    low = constant(producer.inputs[1])
    return low is not None and bool(low >= 0)


def _pool(net: NetWriter, node: ir.Node) -> None:
    """Convert MaxPool and AveragePool; windows that only Caffe has are cut off."""
    if len(node.outputs) > 1 and node.outputs[1].uses():
        raise Refusal(1, "the indices of a MaxPool", "its values", "Do without the indices.")
    average = node.op_type == "AveragePool"
    blob, out = _source(net, node, average), to_4d(shape_of(node.outputs[0]))
    axes = _axes(node, blob, out)
    counts_padding = _counts_padding(node, blob)
    source = replace(blob, pads=(0, 0, 0, 0), fill=0.0)
    matches = [_matching(axis, average, counts_padding) for axis in axes]
    if matches[0] is None or matches[1] is None:
        if not (average and counts_padding and all(map(_full, axes))):
            raise _refuse(axes, average)
        net.bind(node.outputs[0], _as_conv(net, source, axes, out))
        return
    windows, firsts = zip(*(f for f in matches if f is not None), strict=True)
    top = write_pool(net, source, "AVE" if average else "MAX", windows)
    if top.shape != out:
        ranges = [(first, 1, count) for first, count in zip(firsts, out[2:], strict=True)]
        top = pick_elements(net, top, ranges, role="crop")
    net.bind(node.outputs[0], top)


def write_pool(
    net: NetWriter, blob: Blob, method: str, windows: Sequence[Window], role: str = ""
) -> Blob:
    """Write a Pooling layer; `windows` are Caffe's, whose pads are equal on both sides."""
    kernel, stride = [w.kernel for w in windows], [w.stride for w in windows]
    pads = [w.before for w in windows]
    sizes = [pooled_length(w.length, w.kernel, w.stride, w.before) for w in windows]
    layer, top = net.add("Pooling", [blob], (*blob.shape[:2], *sizes), role=role)
    param = layer.pooling_param
    param.pool = param.DESCRIPTOR.fields_by_name["pool"].enum_type.values_by_name[method].number
    if tuple(kernel) == blob.shape[2:] and not any(pads):
        param.global_pooling = True
    else:
        set_window(param, kernel, stride, pads)
    return top


def _full(axis: _Axis) -> bool:
    """Return whether each window counts all its elements, padding included."""
    divisors = pool_divisors(axis.window, _counted(axis.window, True), axis.count)
    return set(divisors) == {axis.window.kernel}


def _as_conv(net: NetWriter, blob: Blob, axes: Sequence[_Axis], out: Shape) -> Blob:
    """Write an average over windows of one size as a depthwise convolution."""
    windows = [axis.window for axis in axes]
    sides = [w.kernel for w in windows]
    fitted = [padded_kernel(w) for w in windows]
    kernels = [k for k in fitted if k is not None]
    weight = np.full((blob.shape[1], 1, *sides), 1 / prod(sides))
    weight = np.pad(weight, [(0, 0), (0, 0), *((k.front, k.back) for k in kernels)])
    layer = Convolution(
        weight=weight,
        group=blob.shape[1],
        stride=tuple(w.stride for w in windows),
        pad=tuple(k.pad for k in kernels),
    )
    return write_conv(net, blob, layer, out)


def _refuse(axes: Sequence[_Axis], average: bool) -> Refusal:
    """Return the reason why a pool cannot be written."""
    rows, columns = (axis.window for axis in axes)
    sides = [rows.before, columns.before, rows.after, columns.after]
    if average:
        return Refusal(
            8,
            f"an average that leaves out its padding, pads {sides}",
            "one that counts it, as Caffe's",
            "Export it with count_include_pad=1, or with pads 0.",
        )
    return Refusal(
        7,
        f"a pool with pads {sides} for kernel {[rows.kernel, columns.kernel]}",
        "pads under the kernel",
        "Pool without padding.",
    )


def _global_pool(net: NetWriter, node: ir.Node) -> None:
    """Convert GlobalAveragePool and GlobalMaxPool."""
    method = "MAX" if node.op_type == "GlobalMaxPool" else "AVE"
    net.bind(
        node.outputs[0], _global(net, read_blob(net, node.inputs[0], image_shape(node)), method)
    )


def _global(net: NetWriter, blob: Blob, method: str, role: str = "") -> Blob:
    return write_pool(net, blob, method, [Window(n, n, 1, 0, 0) for n in blob.shape[2:]], role)


POOLS: dict[str, Any] = {
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "MaxPool": _pool,
}
