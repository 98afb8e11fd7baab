"""Convert Transpose: a Permute where two blocks of axes swap, a 1x1 convolution of channels."""

__all__ = ["transpose", "write_permute"]

from collections.abc import Sequence
from itertools import accumulate
from math import prod

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import Blob, Refusal, shape_of, to_4d
from quant.export.caffe.network.moves import MAX_CONCAT_INPUTS, mix_channels, reshaped
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import MAX_LENGTH, read_blob
from quant.export.caffe.network.shapes import Shape
from quant.export.caffe.operators.concat import write_concat
from quant.export.caffe.operators.slice import write_slice


def transpose(net: NetWriter, node: ir.Node) -> None:
    """Convert Transpose: two blocks of axes that swap become a Permute to 0,2,3,1."""
    shape = shape_of(node.inputs[0])
    order = node.attributes.get_ints("perm", None) or range(len(shape))[::-1]
    blocks, order = _blocks(shape, order)
    if list(order) == sorted(order):
        net.bind(node.outputs[0], read_blob(net, node.inputs[0]))
    elif list(order) == [1, 0]:
        net.bind(node.outputs[0], _transpose_by_permute(net, node, blocks))
    elif order[-1] == len(order) - 1:
        net.bind(node.outputs[0], _transpose_channels(net, node, blocks, order))
    elif list(order) == [0, 2, 1] and blocks[0] <= MAX_CONCAT_INPUTS:
        net.bind(node.outputs[0], _transpose_parts(net, node, blocks))
    else:
        raise Refusal(
            12,
            f"a Transpose {list(node.attributes.get_ints('perm', []))} of {list(shape)}",
            "0,2,3,1",
            "Cut the network before this node and transpose on the CPU.",
        )


def _blocks(shape: Shape, perm: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the lengths of the blocks of axes that stay together, and their new order."""
    moved = [a for a in perm if shape[a] != 1]
    runs: list[list[int]] = []
    for axis in moved:
        last = runs[-1][-1] if runs else None
        if last is not None and axis > last and not any(last < a < axis for a in moved):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    ranked = sorted(range(len(runs)), key=lambda i: runs[i][0])
    lengths = [prod(shape[a] for a in runs[i]) for i in ranked]
    return lengths, [ranked.index(i) for i in range(len(runs))]


def _transpose_by_permute(net: NetWriter, node: ir.Node, blocks: Sequence[int]) -> Blob:
    """Write a Permute of 0,2,3,1 over `[1, first block, ...]`."""
    first, second = blocks
    blob = read_blob(net, node.inputs[0])
    if len(blob.shape) != 4 or blob.shape[1] != first:
        own = to_4d(shape_of(node.inputs[0]))
        blob = reshaped(net, blob, own if own[1] == first else (1, first, *_two_factors(second)))
    return write_permute(net, blob)


def write_permute(net: NetWriter, blob: Blob, role: str = "") -> Blob:
    """Write a Permute of a 4-D blob to 0,2,3,1."""
    shape = (1, *blob.shape[2:], blob.shape[1])
    layer, top = net.add("Permute", [blob], shape, role=role)
    layer.permute_param.order.extend((0, 2, 3, 1))
    return top


def _transpose_parts(net: NetWriter, node: ir.Node, blocks: Sequence[int]) -> Blob:
    """Write a Transpose of the last two of three blocks: a Permute for each part of the first."""
    count, channels, area = blocks
    blob = read_blob(net, node.inputs[0])
    if len(blob.shape) != 4 or blob.shape[1] != count * channels:
        blob = reshaped(net, blob, (1, count * channels, *_two_factors(area)))
    ends = list(accumulate([channels] * count))
    parts = write_slice(net, blob, 1, ends, role="parts")
    transposed = [write_permute(net, p, f"part{i}") for i, p in enumerate(parts)]
    return write_concat(net, transposed, 1)


def _two_factors(length: int) -> tuple[int, int]:
    """Return two factors of a length, the second 1 where that fits."""
    wide = next(
        (d for d in range(1, MAX_LENGTH + 1) if length % d == 0 and length // d <= MAX_LENGTH), 1
    )
    return length // wide, wide


def _transpose_channels(
    net: NetWriter, node: ir.Node, blocks: Sequence[int], order: Sequence[int]
) -> Blob:
    """Write a Transpose that leaves the last block in place: channels are put in another order."""
    *mixed, last = blocks
    channels = prod(mixed)
    blob = read_blob(net, node.inputs[0])
    if len(blob.shape) != 4 or blob.shape[1] != channels:
        blob = reshaped(net, blob, (1, channels, *_two_factors(last)))
    indices = np.arange(channels).reshape(mixed).transpose(order[:-1]).reshape(-1)
    return mix_channels(net, blob, np.eye(channels)[indices])
