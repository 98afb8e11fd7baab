"""Convert Split, Slice and Gather to Caffe's Slice, or to a 0/1 convolution."""

__all__ = ["SLICES", "take_elements", "write_slice"]

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import Blob, Refusal, constant, shape_of, to_4d
from quant.export.caffe.network.moves import Range, mix_channels, pick_elements
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import read_blob, read_with_axis

MAX_CROP = 8
"""Rows or columns that a kernel may crop; more are cut off by a Slice, whose other part the board
then reports as an output as well."""


def take_elements(
    net: NetWriter, blob: Blob, axis: int, indices: Sequence[int], role: str = ""
) -> Blob:
    """Return some elements of an axis of a 4-D blob: channels in any order, others evenly spaced."""
    if axis == 1:
        return mix_channels(net, blob, np.eye(blob.shape[1])[list(indices)], role=role)
    steps = {b - a for a, b in pairwise(indices)} or {1}
    if len(steps) > 1 or min(steps) < 1:
        raise Refusal(
            14,
            f"elements {list(indices)[:6]} of an axis",
            "evenly spaced ones",
            "Cut the network before this node.",
        )
    ranges: list[Range] = [(0, 1, length) for length in blob.shape[2:]]
    ranges[axis - 2] = (indices[0], steps.pop(), len(indices))
    return pick_elements(net, blob, ranges, role=role)


def _split(net: NetWriter, node: ir.Node) -> None:
    """Convert Split."""
    axis = node.attributes.get_int("axis", 0)
    sizes = [shape_of(v)[axis] for v in node.outputs]
    ends = list(accumulate(sizes))
    _cut(net, node.inputs[0], axis, ends, list(node.outputs))


def _cut(
    net: NetWriter,
    value: ir.Value | None,
    axis: int,
    ends: Sequence[int],
    parts: Sequence[ir.Value],
) -> None:
    """Write Caffe's Slice, whose parts end at `ends`."""
    blob, index = read_with_axis(net, value, axis)
    for part, blob_part in zip(parts, write_slice(net, blob, index, ends), strict=True):
        net.bind(part, blob_part)


def write_slice(
    net: NetWriter, blob: Blob, axis: int, ends: Sequence[int], role: str = ""
) -> list[Blob]:
    """Write a Slice of a blob into parts that end at `ends`, and return them."""
    layer, _ = net.add("Slice", [blob], blob.shape, role=role)
    layer.slice_param.axis = axis
    layer.slice_param.slice_point.extend(ends[:-1])
    sizes = [b - a for a, b in pairwise([0, *ends])]
    shapes = [tuple(n if i == axis else d for i, d in enumerate(blob.shape)) for n in sizes]
    return net.set_tops(layer, shapes)


def _ranges(node: ir.Node) -> dict[int, Range]:
    """Return the range that a Slice takes of each axis that it cuts."""
    values = [*node.inputs[1:], None, None][:4]
    arrays = [constant(v) for v in values]
    if any(g is None and v is not None for g, v in zip(arrays, values, strict=True)):
        raise Refusal(14, "bounds that are computed", "constants", "Slice at constant places.")
    shape, out = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    numbers = [None if g is None else [int(n) for n in g.reshape(-1)] for g in arrays]
    starts = numbers[0] or []
    axes = numbers[2] or list(range(len(starts)))
    steps = numbers[3] or [1] * len(starts)
    ranges = {}
    for start, axis, step in zip(starts, axes, steps, strict=True):
        axis %= len(shape)
        length = shape[axis]
        low, high = (0, length) if step > 0 else (-1, length - 1)
        first = min(max(start + length if start < 0 else start, low), high)
        if (first, step, out[axis]) != (0, 1, length):
            ranges[axis] = (first, step, out[axis])
    return ranges


def _slice(net: NetWriter, node: ir.Node) -> None:
    """Convert Slice: parts that make up a whole axis become one layer, others a 0/1 convolution."""
    if net.has(node.outputs[0]):
        return  # it was written together with a sibling
    ranges = _ranges(node)
    if not ranges:
        net.bind(node.outputs[0], read_blob(net, node.inputs[0]))
        return
    if len(ranges) == 1 and (partition := _siblings(node, *ranges)):
        parts, ends = partition
        _cut(net, node.inputs[0], next(iter(ranges)), ends, parts)
        return
    shape = shape_of(node.inputs[0])
    if len(shape) > 4 or shape[0] != 1 or 0 in ranges:
        raise Refusal(
            14, f"a Slice of {list(shape)}", "axes C, H, W", "Cut the network before this node."
        )
    blob = read_blob(net, node.inputs[0], to_4d(shape))
    net.bind(node.outputs[0], _taken(net, blob, ranges))


def _taken(net: NetWriter, blob: Blob, ranges: dict[int, Range]) -> Blob:
    """Return the elements in all the ranges; the blobs that are cut off have no reader."""
    spatial = [ranges.get(2 + i, (0, 1, blob.shape[2 + i])) for i in range(2)]
    for axis, (first, step, count) in enumerate(spatial, 2):
        if step == 1 and blob.shape[axis] - count > MAX_CROP:
            ends = dict.fromkeys((first, first + count, blob.shape[axis]))
            parts = write_slice(net, blob, axis, [e for e in ends if e], role=f"part{axis}")
            blob = parts[1 if first else 0]
            spatial[axis - 2] = (0, 1, count)
    is_partial = any(r != (0, 1, n) for r, n in zip(spatial, blob.shape[2:], strict=True))
    channels = ranges.get(1)
    if channels is not None:
        first, step, count = channels
        role = "channels" if is_partial else ""
        blob = take_elements(net, blob, 1, [first + i * step for i in range(count)], role)
    if not is_partial:
        return blob
    if min(step for _, step, _ in spatial) < 1:
        raise Refusal(
            14, "a step below 1", "steps of at least 1", "Cut the network before this node."
        )
    return pick_elements(net, blob, spatial)


def _siblings(node: ir.Node, axis: int) -> tuple[list[ir.Value], list[int]] | None:
    """Return the results of Slices that cut the same axis into parts without gap, and their ends."""
    value = node.inputs[0]
    slices = [] if value is None else [u.node for u in value.uses() if u.node.op_type == "Slice"]
    parts: dict[int, tuple[int, ir.Value]] = {}
    for sibling in dict.fromkeys(slices):
        ranges = _ranges(sibling)
        if list(ranges) == [axis] and ranges[axis][1] == 1 and ranges[axis][0] not in parts:
            parts[ranges[axis][0]] = (ranges[axis][2], sibling.outputs[0])
    end, ends, values = 0, [], []
    while end in parts:
        count, value = parts[end]
        end += count
        ends.append(end)
        values.append(value)
    complete = end == shape_of(node.inputs[0])[axis] and node.outputs[0] in values
    return (values, ends) if complete else None


def _gather(net: NetWriter, node: ir.Node) -> None:
    """Convert Gather with constant indices."""
    shape, indices = shape_of(node.inputs[0]), constant(node.inputs[1])
    axis = node.attributes.get_int("axis", 0) % len(shape)
    if indices is None or indices.ndim > 1 or len(shape) > 4 or shape[0] != 1 or axis == 0:
        raise Refusal(
            1, "a Gather", "constant places along C, H or W", "Cut the network before this node."
        )
    places = [int(i) % shape[axis] for i in indices.reshape(-1)]
    blob = read_blob(net, node.inputs[0], to_4d(shape))
    net.bind(node.outputs[0], take_elements(net, blob, axis, places))


SLICES: dict[str, Any] = {"Gather": _gather, "Slice": _slice, "Split": _split}
