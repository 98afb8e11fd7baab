"""Layout: views cost nothing; Transpose as Permute or a 1x1 convolution; Concat, Softmax, Pad."""

__all__ = ["LAYOUT"]

from collections.abc import Sequence
from dataclasses import replace
from math import gcd, prod
from typing import Any

import numpy as np
import onnx_ir as ir

from quant.export.caffe_blob import Blob, Shape, constant, lifted, shape_of
from quant.export.caffe_net import Net
from quant.export.caffe_pick import MOST, broadcast, mix, reshaped
from quant.export.caffe_read import LARGEST, along, finished, form_along, read
from quant.export.caffe_refusal import Refusal


def view(net: Net, node: ir.Node) -> None:
    """Convert what keeps the order of the numbers: to nothing at all."""
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
    blob = net.raw(node.inputs[0])
    if blob.done or node.op_type in ("Identity", "Dropout", "Cast"):
        net.bind(node.outputs[0], blob)
        return
    # a Gemm that reads one row still finds the channels
    keeps = not any(blob.pads) and len(shape) == 2 and shape[0] == 1
    net.bind(node.outputs[0], blob if keeps else finished(net, blob))


def transpose(net: Net, node: ir.Node) -> None:
    """Convert Transpose: two blocks of axes that change places are a Permute to 0,2,3,1."""
    shape = shape_of(node.inputs[0])
    order = node.attributes.get_ints("perm", None) or range(len(shape))[::-1]
    blocks, order = _blocks(shape, order)
    if list(order) == sorted(order):
        net.bind(node.outputs[0], read(net, node.inputs[0]))
    elif list(order) == [1, 0]:
        net.bind(node.outputs[0], _swapped(net, node, blocks))
    elif list(order) in ([1, 0, 2], [0, 2, 1, 3], [2, 1, 0, 3], [1, 2, 0, 3], [2, 0, 1, 3]):
        net.bind(node.outputs[0], _shuffled(net, node, blocks, order))
    else:
        raise Refusal(
            12,
            f"a Transpose {list(node.attributes.get_ints('perm', []))} of {list(shape)}",
            "0,2,3,1",
            "Cut the network before this node and transpose on the CPU.",
        )


def _blocks(shape: Shape, perm: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the lengths of the blocks of axes that stay together, and their new order."""
    kept = [a for a in perm if shape[a] != 1]
    runs: list[list[int]] = []
    for axis in kept:
        last = runs[-1][-1] if runs else None
        if last is not None and axis > last and not any(last < a < axis for a in kept):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    ranked = sorted(range(len(runs)), key=lambda i: runs[i][0])
    lengths = [prod(shape[a] for a in runs[i]) for i in ranked]
    return lengths, [ranked.index(i) for i in range(len(runs))]


def _swapped(net: Net, node: ir.Node, blocks: Sequence[int]) -> Blob:
    """Write a Permute of 0,2,3,1 over `[1, first block, ...]`."""
    first, second = blocks
    blob = read(net, node.inputs[0])
    if len(blob.shape) != 4 or blob.shape[1] != first:
        own = lifted(shape_of(node.inputs[0]))
        blob = reshaped(net, blob, own if own[1] == first else (1, first, *_split(second)))
    shape = (1, *blob.shape[2:], first)
    layer, made = net.add("Permute", [blob], shape)
    layer.permute_param.order.extend((0, 2, 3, 1))
    return made


def _split(length: int) -> tuple[int, int]:
    """Return two factors of a length, the second 1 where that fits."""
    wide = next((d for d in range(1, LARGEST + 1) if length % d == 0 and length // d <= LARGEST), 1)
    return length // wide, wide


def _shuffled(net: Net, node: ir.Node, blocks: Sequence[int], order: Sequence[int]) -> Blob:
    """Write a Transpose that leaves the last block in place: channels are put in another order."""
    *mixed, last = blocks
    channels = prod(mixed)
    blob = read(net, node.inputs[0])
    if len(blob.shape) != 4 or blob.shape[1] != channels:
        blob = reshaped(net, blob, (1, channels, *_split(last)))
    indices = np.arange(channels).reshape(mixed).transpose(order[:-1]).reshape(-1)
    return mix(net, blob, np.eye(channels)[indices])


def concat(net: Net, node: ir.Node) -> None:
    """Convert Concat; lengths over 4096 are split between two axes where a divisor allows it."""
    values = list(node.inputs)
    if any(constant(v) is not None for v in values):
        raise Refusal(
            15,
            "a constant among the inputs of Concat",
            "tensors that depend on the input",
            "Join the constant behind the network, on the CPU.",
        )
    shapes = [shape_of(v) for v in values]
    axis = node.attributes.get_int("axis", 0) % len(shapes[0])
    forms = _forms(net, values, shapes, axis)
    blobs = [reshaped(net, read(net, v), f) for v, (f, _) in zip(values, forms, strict=True)]
    net.bind(node.outputs[0], _joined(net, blobs, forms[0][1]))


def _forms(
    net: Net, values: Sequence[ir.Value | None], shapes: Sequence[Shape], axis: int
) -> list[tuple[Shape, int]]:
    """Return for each input the 4-D shape in which it is joined, and the axis."""
    total = sum(s[axis] for s in shapes)
    own = [
        form_along(read(net, v).shape, s, axis) if s[axis] <= LARGEST else (s, 0)
        for v, s in zip(values, shapes, strict=True)
    ]
    rest = {(*s[:i], 0, *s[i + 1 :]) for s, i in own}
    if len(rest) == 1 and len({i for _, i in own}) == 1 and total <= LARGEST:
        return own
    outer, inner = prod(shapes[0][:axis]), prod(shapes[0][axis + 1 :])
    if outer == 1:
        common = gcd(*(s[axis] for s in shapes))
        for part in (d for d in range(1, common + 1) if common % d == 0):
            if total // part <= LARGEST and inner <= LARGEST:
                if part == 1 and axis and len(shapes[0]) <= 4:
                    return [(lifted(s), axis) for s in shapes]
                return [((1, s[axis] // part, part, inner), 1) for s in shapes]
    elif total <= LARGEST and len(shapes[0]) <= 4 and shapes[0][0] == 1:
        return [(lifted(s), axis) for s in shapes]
    elif total <= LARGEST:
        return [((1, outer, s[axis], inner), 2) for s in shapes]
    raise Refusal(
        10,
        f"a Concat to {total} elements along its axis",
        f"at most {LARGEST}",
        "Leave the parts apart, and join them on the CPU.",
    )


def _joined(net: Net, blobs: list[Blob], axis: int, role: str = "") -> Blob:
    """Write a Concat; over 32 blobs in two steps."""
    if len(blobs) == 1:
        return blobs[0]
    if len(blobs) > MOST:
        parts = [blobs[i : i + MOST] for i in range(0, len(blobs), MOST)]
        blobs = [_joined(net, p, axis, f"part{i}") for i, p in enumerate(parts)]
    length = sum(b.shape[axis] for b in blobs)
    shape = tuple(length if i == axis else n for i, n in enumerate(blobs[0].shape))
    layer, made = net.add("Concat", blobs, shape, role=role)
    layer.concat_param.axis = axis
    return made


def softmax(net: Net, node: ir.Node) -> None:
    """Convert Softmax and LogSoftmax."""
    log = node.op_type == "LogSoftmax"
    blob, axis = along(net, node.inputs[0], node.attributes.get_int("axis", -1))
    layer, made = net.add("Softmax", [blob], blob.shape, role="softmax" if log else "")
    layer.softmax_param.axis = axis
    if log:
        _, made = net.add("Log", [made], made.shape)
    net.bind(node.outputs[0], made)


def pad(net: Net, node: ir.Node) -> None:
    """Convert Pad: height and width are left to the layer that reads it, channels are a 1x1 Conv."""
    shape = shape_of(node.inputs[0])
    amounts = constant(node.inputs[1])
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
    number = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
    mode = node.attributes.get_string("mode", "constant")
    fill = 0.0 if number is None or not number.size else float(number.reshape(-1)[0])
    if mode != "constant" or amounts is None or (fill != 0 and fill > -3e38):
        seen = f"mode '{mode}'" if mode != "constant" else f"padding with {fill:g}"
        raise Refusal(1, seen, "padding with 0", "Pad with zeros.")
    before, after = _amounts(amounts, axes, len(shape))
    if len(shape) not in (3, 4) or shape[0] != 1 or before[0] or after[0]:
        raise Refusal(
            14, f"padding of {list(shape)}", "of [1, C, H, W]", "Cut the network before this node."
        )
    before, after = ([*a, 0, 0][:4] for a in (before, after))
    if min(*before, *after) < 0:
        raise Refusal(1, "negative padding", "a Slice", "Write it as a Slice.")
    blob = net.raw(node.inputs[0])
    if any(blob.pads) or before[1] or after[1] or blob.shape != lifted(shape):
        blob = reshaped(net, finished(net, blob), lifted(shape))
    if before[1] or after[1]:
        table = np.pad(np.eye(shape[1]), ((before[1], after[1]), (0, 0)))
        blob = mix(net, blob, table)
    pads = before[2], before[3], after[2], after[3]
    net.bind(node.outputs[0], replace(blob, pads=pads, fill=fill if any(pads) else 0.0))


def _amounts(
    amounts: np.ndarray, axes: np.ndarray | None, rank: int
) -> tuple[list[int], list[int]]:
    """Return the elements to add before and behind each axis."""
    before, after = [0] * rank, [0] * rank
    named = range(rank) if axes is None else [int(a) % rank for a in axes.reshape(-1)]
    half = amounts.reshape(2, -1)
    for index, axis in enumerate(named):
        before[axis], after[axis] = int(half[0][index]), int(half[1][index])
    return before, after


def expand(net: Net, node: ir.Node) -> None:
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
        node.outputs[0], broadcast(net, read(net, node.inputs[0], lifted(padded)), lifted(out))
    )


LAYOUT: dict[str, Any] = {
    **dict.fromkeys(
        ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast"), view
    ),
    "Concat": concat,
    "Expand": expand,
    "LogSoftmax": softmax,
    "Pad": pad,
    "Softmax": softmax,
    "Tile": expand,
    "Transpose": transpose,
}
