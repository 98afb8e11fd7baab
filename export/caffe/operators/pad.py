"""Convert Pad: zeros around height and width are left to the layer that reads the tensor."""

__all__ = ["pad"]

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import Refusal, constant, shape_of, to_4d
from quant.export.caffe.network.moves import mix_channels, reshaped
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import write_pending


def pad(net: NetWriter, node: ir.Node) -> None:
    """Convert Pad: height and width are left to the layer that reads it, channels are a 1x1 Conv."""
    shape = shape_of(node.inputs[0])
    amounts = constant(node.inputs[1])
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
    number = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
    mode = node.attributes.get_string("mode", "constant")
    fill = 0.0 if number is None or not number.size else float(number.reshape(-1)[0])
    if mode != "constant" or amounts is None or (fill != 0 and fill > -3e38):
        saw = f"mode '{mode}'" if mode != "constant" else f"padding with {fill:g}"
        raise Refusal(1, saw, "padding with 0", "Pad with zeros.")
    before, after = _amounts(amounts, axes, len(shape))
    if len(shape) not in (3, 4) or shape[0] != 1 or before[0] or after[0]:
        raise Refusal(
            14, f"padding of {list(shape)}", "of [1, C, H, W]", "Cut the network before this node."
        )
    before, after = ([*a, 0, 0][:4] for a in (before, after))
    if min(*before, *after) < 0:
        raise Refusal(1, "negative padding", "a Slice", "Write it as a Slice.")
    blob = net.blob(node.inputs[0])
    if any(blob.pads) or before[1] or after[1] or blob.shape != to_4d(shape):
        blob = reshaped(net, write_pending(net, blob), to_4d(shape))
    if before[1] or after[1]:
        table = np.pad(np.eye(shape[1]), ((before[1], after[1]), (0, 0)))
        blob = mix_channels(net, blob, table)
    pads = before[2], before[3], after[2], after[3]
    net.bind(node.outputs[0], replace(blob, pads=pads, fill=fill if any(pads) else 0.0))


def _amounts(
    amounts: np.ndarray, axes: np.ndarray | None, rank: int
) -> tuple[list[int], list[int]]:
    """Return the elements to add before and behind each axis."""
    before, after = [0] * rank, [0] * rank
    padded_axes = range(rank) if axes is None else [int(a) % rank for a in axes.reshape(-1)]
    halves = amounts.reshape(2, -1)
    for index, axis in enumerate(padded_axes):
        before[axis], after[axis] = int(halves[0][index]), int(halves[1][index])
    return before, after
