"""Reductions over axes: over height and width a pool, over channels a 1x1 convolution of ones."""

__all__ = ["REDUCTIONS"]

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import Blob, Refusal, constant, lifted, shape_of
from quant.export.caffe.network.moves import mix
from quant.export.caffe.network.net import Net
from quant.export.caffe.network.read import read
from quant.export.caffe.operators.activation import power
from quant.export.caffe.operators.pool import Axis, write_pool
from quant.export.caffe.operators.transpose import permuted


def _reduce(net: Net, node: ir.Node) -> None:
    """Convert ReduceMean, ReduceSum, ReduceMax, ReduceL2 and ReduceSumSquare."""
    shape = shape_of(node.inputs[0])
    axes = _axes(node, len(shape))
    op = node.op_type
    blob = read(net, node.inputs[0], lifted(shape))
    if len(shape) > 4 or (shape[0] != 1 and len(shape) > 3):
        raise Refusal(
            14, f"a reduction of {list(shape)}", "[1, C, H, W]", "Cut the network before this node."
        )
    moved = {a if shape[0] == 1 else a + 1 for a in axes}
    over = [a for a in (1, 2, 3) if a in moved and blob.shape[a] > 1]
    if op in ("ReduceL2", "ReduceSumSquare"):
        blob = power(net, blob, power=2.0, role="square")
    blob = _reduced(net, op, blob, [a for a in over if a > 1])
    if 1 in over:
        blob = _over_channels(net, op, blob)
    if op == "ReduceL2":
        blob = power(net, blob, power=0.5, role="root")
    net.bind(node.outputs[0], blob)


def _reduced(net: Net, op: str, blob: Blob, over: Sequence[int]) -> Blob:
    """Reduce height, width or both by a pool; a sum is an average times the number of elements."""
    if not over:
        return blob
    made = _pooled(net, blob, over, "MAX" if op == "ReduceMax" else "AVE", "pool")
    if op in ("ReduceMean", "ReduceMax"):
        return made
    return power(net, made, scale=float(prod(blob.shape[a] for a in over)), role="sum")


def _over_channels(net: Net, op: str, blob: Blob) -> Blob:
    """Reduce channels by a convolution of equal weights; for a maximum they become the width."""
    if op == "ReduceMax":
        return _pooled(net, permuted(net, blob, "width"), [3], "MAX", "channels")
    count = blob.shape[1]
    weight = 1 / count if op == "ReduceMean" else 1.0
    return mix(net, blob, np.full((1, count), weight), role="channels")


def _axes(node: ir.Node, rank: int) -> set[int]:
    """Return the axes, none negative."""
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    found = node.attributes.get_ints("axes", None) if given is None else given.reshape(-1).tolist()
    if found is None or not len(found):
        found = [] if node.attributes.get_int("noop_with_empty_axes", 0) else range(rank)
    return {int(a) % rank for a in found}


def _pooled(net: Net, blob: Blob, over: Sequence[int], method: str, role: str) -> Blob:
    """Pool over all of height, of width or of both."""
    axes = [Axis(n, n if 2 + i in over else 1, 1, 0, 0, 1) for i, n in enumerate(blob.shape[2:])]
    return write_pool(net, blob, method, axes, (0, 0), role)


REDUCTIONS: dict[str, Any] = dict.fromkeys(
    ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2", "ReduceSumSquare"), _reduce
)
