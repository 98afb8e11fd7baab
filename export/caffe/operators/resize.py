"""Convert Resize, SpaceToDepth and DepthToSpace to 0/1 convolutions."""

__all__ = ["RESIZES"]

from itertools import pairwise
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.caffe.network.blob import Blob, Refusal, constant, shape_of
from quant.export.caffe.network.moves import broadcast, pick_elements
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import read_blob
from quant.export.caffe.network.windows import image_shape
from quant.export.caffe.operators.conv import Convolution, write_conv

Indices = NDArray[np.int64]


def _resize(net: NetWriter, node: ir.Node) -> None:
    """Convert Resize by nearest neighbour: doubling is a grouped Deconvolution of ones."""
    image, out = image_shape(node), shape_of(node.outputs[0])
    blob = read_blob(net, node.inputs[0], image)
    mode = node.attributes.get_string("mode", "nearest")
    if image == out:
        net.bind(node.outputs[0], blob)
    elif len(out) == 4 and out[:2] == image[:2] and image[2:] == (1, 1):
        net.bind(node.outputs[0], broadcast(net, blob, out))
    elif len(out) == 4 and out[:2] == image[:2] and mode == "nearest":
        net.bind(node.outputs[0], _nearest(net, node, blob))
    else:
        raise Refusal(
            18,
            f"a Resize of {list(image)} to {list(out)} with mode '{mode}'",
            "nearest by 2",
            "Use nearest by 2, or a ConvTranspose.",
        )


def _nearest(net: NetWriter, node: ir.Node, blob: Blob) -> Blob:
    """Return the blob with every row and column repeated, or some of them picked."""
    scales = _scales(node)
    places = [
        _places(node, n, m, s)
        for n, m, s in zip(blob.shape[2:], shape_of(node.outputs[0])[2:], scales, strict=True)
    ]
    times = [len(p) // n for p, n in zip(places, blob.shape[2:], strict=True)]
    repeated = [np.repeat(np.arange(n), t) for n, t in zip(blob.shape[2:], times, strict=True)]
    if all(np.array_equal(p, r) for p, r in zip(places, repeated, strict=True)):
        return _repeated(net, blob, times)
    steps = [{b - a for a, b in pairwise(p.tolist())} or {1} for p in places]
    if any(len(s) != 1 or min(s) < 1 for s in steps):
        raise Refusal(
            18,
            f"a nearest Resize of {list(blob.shape)} to {list(shape_of(node.outputs[0]))}",
            "nearest by a whole number",
            "Use nearest by 2 with coordinate_transformation_mode asymmetric.",
        )
    ranges = [(int(p[0]), s.pop(), len(p)) for p, s in zip(places, steps, strict=True)]
    return pick_elements(net, blob, ranges)


def _scales(node: ir.Node) -> list[float]:
    """Return the scales of height and width: the node's own, else from the sizes."""
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if scales is not None and scales.size:
        return [float(s) for s in scales.reshape(-1)[-2:]]
    lengths = zip(shape_of(node.outputs[0])[2:], shape_of(node.inputs[0])[2:], strict=True)
    return [a / b for a, b in lengths]


def _places(node: ir.Node, length: int, count: int, scale: float) -> Indices:
    """Return the index of the element that each result copies, after ONNX's Resize."""
    x = np.arange(count, dtype=np.float64)
    mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    if mode == "asymmetric":
        source = x / scale
    elif mode == "align_corners":
        source = x * (length - 1) / (count - 1) if count > 1 else x * 0
    elif mode in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric"):
        source = (x + 0.5) / scale - 0.5
    else:
        raise Refusal(18, f"coordinates '{mode}'", "'asymmetric'", "Use asymmetric coordinates.")
    rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
    rounded = {
        "floor": np.floor(source),
        "ceil": np.ceil(source),
        "round_prefer_ceil": np.floor(source + 0.5),
        "round_prefer_floor": np.ceil(source - 0.5),
    }[rounding]
    indices: Indices = np.clip(rounded, 0, length - 1).astype(np.int64)
    return indices


def _repeated(net: NetWriter, blob: Blob, times: list[int]) -> Blob:
    """Write one Deconvolution of ones for each prime factor: only kernel 2, stride 2 is proven."""
    steps = []
    remaining = list(times)
    while max(remaining) > 1:
        step = [next((p for p in range(2, n + 1) if n % p == 0), 1) for n in remaining]
        steps.append(step)
        remaining = [n // s for n, s in zip(remaining, step, strict=True)]
    channels = blob.shape[1]
    for index, (rows, columns) in enumerate(steps):
        shape = (1, channels, blob.shape[2] * rows, blob.shape[3] * columns)
        role = "" if index == len(steps) - 1 else f"step{index}"
        layer = Convolution(
            weight=np.ones((channels, 1, rows, columns)),
            group=channels,
            stride=(rows, columns),
            kind="Deconvolution",
        )
        blob = write_conv(net, blob, layer, shape, role)
    return blob


def _space_to_depth(net: NetWriter, node: ir.Node) -> None:
    """Convert SpaceToDepth: a convolution whose kernel and stride are the block."""
    image, size = image_shape(node), node.attributes.get_int("blocksize", 1)
    channels = image[1]
    eye = np.eye(channels * size * size).reshape(size, size, channels, size, size, channels)
    weight = eye.transpose(0, 1, 2, 5, 3, 4).reshape(-1, channels, size, size)
    blob = read_blob(net, node.inputs[0], image)
    layer = Convolution(weight=weight, stride=(size, size))
    top = write_conv(net, blob, layer, shape_of(node.outputs[0]))
    net.bind(node.outputs[0], top)


def _depth_to_space(net: NetWriter, node: ir.Node) -> None:
    """Convert DepthToSpace: a Deconvolution whose kernel and stride are the block."""
    image, size = image_shape(node), node.attributes.get_int("blocksize", 1)
    channels = image[1] // (size * size)
    eye = np.eye(image[1])
    if node.attributes.get_string("mode", "DCR") == "DCR":
        weight = eye.reshape(image[1], size, size, channels).transpose(0, 3, 1, 2)
    else:
        weight = eye.reshape(image[1], channels, size, size)
    blob = read_blob(net, node.inputs[0], image)
    layer = Convolution(weight=weight, stride=(size, size), kind="Deconvolution")
    top = write_conv(net, blob, layer, shape_of(node.outputs[0]))
    net.bind(node.outputs[0], top)


RESIZES: dict[str, Any] = {
    "DepthToSpace": _depth_to_space,
    "Resize": _resize,
    "SpaceToDepth": _space_to_depth,
}
