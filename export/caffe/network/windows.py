"""Sliding windows: ONNX's padding, cropping and rounding in the terms of Caffe, exactly.

Caffe pads both sides alike; a convolution floors its output, a pooling ceils it. All functions are
for one axis.
"""

__all__ = [
    "Kernel",
    "caffe_pooled",
    "conv_kernel",
    "deconv_kernel",
    "image_of",
    "numbers",
    "pool_divisors",
    "windowing",
    "windows",
]

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from quant.export.caffe.network.blob import Refusal, Shape, lifted, shape_of


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that has zeros before and behind its weights so that one pad serves both sides.

    Attributes:
        pad: On both sides.
        front: Zeros before the first weight, counted in weights.
        back: Zeros behind the last one.
    """

    pad: int
    front: int
    back: int


def windows(length: int, span: int, stride: int, before: int, after: int) -> int:
    """Return how many windows of `span` fit, rounded down: ONNX's and Caffe's convolution."""
    return (length + before + after - span) // stride + 1


def conv_kernel(
    length: int, kernel: int, stride: int, dilation: int, before: int, after: int
) -> Kernel | None:
    """Return the smallest kernel with which Caffe computes ONNX's convolution, or None.

    `before` and `after` are ONNX's pads; negative ones crop. A zero in front of the weights moves
    each window back by `dilation`, so ``pad - front * dilation == before``; zeros behind the
    weights take windows away. None when the dilation does not divide the difference.
    """
    span = dilation * (kernel - 1) + 1
    wanted = windows(length, span, stride, before, after)
    best: Kernel | None = None
    most = max(before, after, 0) + dilation
    for pad in range(max(before, 0), most + 1):
        if (pad - before) % dilation:
            continue
        front = (pad - before) // dilation
        room = length + 2 * pad - span - front * dilation
        # the fewest zeros behind that leave no more windows than wanted
        extra = room - (wanted * stride - 1)
        back = max(0, -(-extra // dilation))
        if (room - back * dilation) // stride + 1 != wanted:
            continue
        if best is None or front + back < best.front + best.back:
            best = Kernel(pad, front, back)
    return best


def deconv_kernel(dilation: int, before: int, after: int) -> Kernel | None:
    """Return the smallest kernel with which Caffe's Deconvolution crops as ConvTranspose, or None.

    `before` and `after` are what ONNX cuts off the full result; negative ones append to it. A zero
    in front of the weights moves the result on by `dilation`.
    """
    least = max(before, after, 0)
    for pad in range(least, least + dilation):
        if (pad - before) % dilation == 0 and (pad - after) % dilation == 0:
            return Kernel(pad, (pad - before) // dilation, (pad - after) // dilation)
    return None


def caffe_pooled(length: int, kernel: int, stride: int, pad: int) -> int:
    """Return the length of Caffe's pooling: rounded up, the last window begins inside."""
    count = -(-(length + 2 * pad - kernel) // stride) + 1
    if pad and (count - 1) * stride >= length + pad:
        count -= 1
    return count


def pool_divisors(
    kernel: int, stride: int, before: int, low: int, high: int, count: int
) -> list[int]:
    """Return how many elements an average divides by in each of `count` windows.

    Window i begins at ``i * stride - before``; only elements in `[low, high)` count. Caffe counts
    its padding: ``[-pad, length + pad)``. So does ONNX with count_include_pad, and without it
    only ``[0, length)`` counts.
    """
    starts = [i * stride - before for i in range(count)]
    return [min(start + kernel, high) - max(start, low) for start in starts]


def image_of(node: ir.Node) -> Shape:
    """Return the shape `[1, C, H, W]` of a node's first input; one spatial axis gets a second."""
    shape = shape_of(node.inputs[0])
    if len(shape) not in (3, 4) or shape[0] != 1:
        raise Refusal(
            24,
            f"an input of shape {list(shape)}",
            "[1, C, H, W]",
            "Cut the network before this node.",
        )
    return lifted(shape)


def numbers(node: ir.Node, name: str, count: int, default: int) -> list[int]:
    """Return an attribute of one number an axis for height and width."""
    found = list(node.attributes.get_ints(name, [default] * count))
    fill = 0 if name == "pads" else 1
    if name == "pads" and count == 2:
        return [found[0], fill, found[1], fill]
    return found if count > 1 else [*found, fill]


def windowing(node: ir.Node, kernel: Sequence[int], image: Shape) -> tuple[list[int], ...]:
    """Return strides, dilations and pads (top, left, bottom, right), auto_pad worked out."""
    axes = len(shape_of(node.inputs[0])) - 2
    strides, dilations = (numbers(node, n, axes, 1) for n in ("strides", "dilations"))
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        return strides, dilations, numbers(node, "pads", 2 * axes, 0)
    pads = [0, 0, 0, 0]
    if auto != "VALID":
        for axis in range(2):
            length, span = image[2 + axis], dilations[axis] * (kernel[axis] - 1) + 1
            count = -(-length // strides[axis])
            total = max((count - 1) * strides[axis] + span - length, 0)
            small, large = total // 2, total - total // 2
            upper = auto == "SAME_UPPER"
            pads[axis], pads[2 + axis] = (small, large) if upper else (large, small)
    return strides, dilations, pads
