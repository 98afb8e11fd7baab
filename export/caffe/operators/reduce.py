"""Convert reductions: over height and width to a pool, over channels to a 1x1 convolution."""

__all__ = ["REDUCTIONS"]

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import Blob, Refusal, constant, shape_of, to_4d
from quant.export.caffe.network.moves import mix_channels
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import read_blob
from quant.export.caffe.network.windows import Window
from quant.export.caffe.operators.activation import Power, write_power
from quant.export.caffe.operators.pool import write_pool
from quant.export.caffe.operators.transpose import write_permute


def _reduce(net: NetWriter, node: ir.Node) -> None:
    """Convert ReduceMean, ReduceSum, ReduceMax, ReduceL2 and ReduceSumSquare."""
    shape = shape_of(node.inputs[0])
    axes = _axes(node, len(shape))
    op = node.op_type
    blob = read_blob(net, node.inputs[0], to_4d(shape))
    if len(shape) > 4 or (shape[0] != 1 and len(shape) > 3):
        raise Refusal(
            14, f"a reduction of {list(shape)}", "[1, C, H, W]", "Cut the network before this node."
        )
    lifted_axes = {a if shape[0] == 1 else a + 1 for a in axes}
    over = [a for a in (1, 2, 3) if a in lifted_axes and blob.shape[a] > 1]
    if op in ("ReduceL2", "ReduceSumSquare"):
        blob = write_power(net, blob, Power(exponent=2.0), role="square")
    blob = _reduced(net, op, blob, [a for a in over if a > 1])
    if 1 in over:
        blob = _over_channels(net, op, blob)
    if op == "ReduceL2":
        blob = write_power(net, blob, Power(exponent=0.5), role="root")
    net.bind(node.outputs[0], blob)


def _reduced(net: NetWriter, op: str, blob: Blob, over: Sequence[int]) -> Blob:
    """Reduce height, width or both by a pool; a sum is an average times the number of elements."""
    if not over:
        return blob
    top = _pooled(net, blob, over, "MAX" if op == "ReduceMax" else "AVE", "pool")
    if op in ("ReduceMean", "ReduceMax"):
        return top
    return write_power(net, top, Power(scale=float(prod(blob.shape[a] for a in over))), role="sum")


def _over_channels(net: NetWriter, op: str, blob: Blob) -> Blob:
    """Reduce channels by a convolution of equal weights; for a maximum, pool them as the width."""
    if op == "ReduceMax":
        return _pooled(net, write_permute(net, blob, "width"), [3], "MAX", "channels")
    count = blob.shape[1]
    weight = 1 / count if op == "ReduceMean" else 1.0
    return mix_channels(net, blob, np.full((1, count), weight), role="channels")


def _axes(node: ir.Node, rank: int) -> set[int]:
    """Return the reduced axes as non-negative numbers."""
    constant_axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = (
        node.attributes.get_ints("axes", None)
        if constant_axes is None
        else constant_axes.reshape(-1).tolist()
    )
    if axes is None or not len(axes):
        axes = [] if node.attributes.get_int("noop_with_empty_axes", 0) else range(rank)
    return {int(a) % rank for a in axes}


def _pooled(net: NetWriter, blob: Blob, over: Sequence[int], method: str, role: str) -> Blob:
    """Pool over the whole height, width or both."""
    kernels = [n if 2 + i in over else 1 for i, n in enumerate(blob.shape[2:])]
    windows = [Window(n, k, 1, 0, 0) for n, k in zip(blob.shape[2:], kernels, strict=True)]
    return write_pool(net, blob, method, windows, role)


REDUCTIONS: dict[str, Any] = dict.fromkeys(
    ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2", "ReduceSumSquare"), _reduce
)
