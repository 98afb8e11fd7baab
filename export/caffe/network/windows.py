"""Express ONNX's padding, cropping and rounding of sliding windows in Caffe's terms, exactly.

Caffe pads both sides alike; a convolution floors its output, a pooling ceils it. All functions are
for one axis.
"""

__all__ = [
    "PaddedKernel",
    "Window",
    "cropping_kernel",
    "image_shape",
    "padded_kernel",
    "pool_divisors",
    "spatial_ints",
    "strides_dilations_pads",
]

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from quant.export.caffe.network.blob import Refusal, shape_of, to_4d
from quant.export.caffe.network.shapes import Shape


@dataclass(frozen=True, slots=True)
class Window:
    """A window that slides along one axis, as ONNX describes it.

    Attributes:
        length: Elements of the axis.
        kernel: Weights, or elements of a pool.
        stride: Elements from one window to the next.
        before: Padding in front of the first element; a negative one crops.
        after: Padding behind the last element; a negative one crops.
        dilation: Elements from one weight to the next.
    """

    length: int
    kernel: int
    stride: int
    before: int
    after: int
    dilation: int = 1

    @property
    def span(self) -> int:
        """Elements from the first weight to the last one, both counted."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def count(self) -> int:
        """Windows that fit, rounded down, as in ONNX's and Caffe's convolution."""
        return (self.length + self.before + self.after - self.span) // self.stride + 1


@dataclass(frozen=True, slots=True)
class PaddedKernel:
    """A kernel that has zeros before and behind its weights so that one pad serves both sides.

    Attributes:
        pad: Padding on both sides.
        front: Zeros before the first weight, counted in weights.
        back: Zeros behind the last weight.
    """

    pad: int
    front: int
    back: int


def padded_kernel(window: Window) -> PaddedKernel | None:
    """Return the smallest kernel with which Caffe computes ONNX's convolution, or None.

    A zero in front of the weights moves each window back by `dilation`, so
    ``pad - front * dilation == before``; zeros behind the weights take windows away. None when the
    dilation does not divide the difference of the pads.
    """
    best: PaddedKernel | None = None
    stride, dilation = window.stride, window.dilation
    largest = max(window.before, window.after, 0) + dilation
    for pad in range(max(window.before, 0), largest + 1):
        if (pad - window.before) % dilation:
            continue
        front = (pad - window.before) // dilation
        room = window.length + 2 * pad - window.span - front * dilation
        # the fewest zeros behind that leave no more windows than ONNX has
        extra = room - (window.count * stride - 1)
        back = max(0, -(-extra // dilation))
        if (room - back * dilation) // stride + 1 != window.count:
            continue
        if best is None or front + back < best.front + best.back:
            best = PaddedKernel(pad, front, back)
    return best


def cropping_kernel(dilation: int, before: int, after: int) -> PaddedKernel | None:
    """Return the smallest kernel with which Caffe's Deconvolution crops as ConvTranspose, or None.

    `before` and `after` are the elements that ONNX cuts off the full result; negative ones append
    to it. A zero in front of the weights moves the result on by `dilation`.
    """
    least = max(before, after, 0)
    for pad in range(least, least + dilation):
        if (pad - before) % dilation == 0 and (pad - after) % dilation == 0:
            return PaddedKernel(pad, (pad - before) // dilation, (pad - after) // dilation)
    return None


def pool_divisors(window: Window, counted: tuple[int, int], count: int) -> list[int]:
    """Return how many elements an average divides by in each of `count` windows.

    Window i begins at ``i * stride - before``; only elements in ``[counted[0], counted[1])`` count.
    Caffe counts its padding: ``[-pad, length + pad)``. So does ONNX with count_include_pad, and
    without it only ``[0, length)`` counts.
    """
    low, high = counted
    starts = [i * window.stride - window.before for i in range(count)]
    return [min(start + window.kernel, high) - max(start, low) for start in starts]


def image_shape(node: ir.Node) -> Shape:
    """Return the shape `[1, C, H, W]` of a node's first input; one spatial axis gets a second."""
    shape = shape_of(node.inputs[0])
    if len(shape) not in (3, 4) or shape[0] != 1:
        raise Refusal(
            24,
            f"an input of shape {list(shape)}",
            "[1, C, H, W]",
            "Cut the network before this node.",
        )
    return to_4d(shape)


def spatial_ints(node: ir.Node, name: str, count: int, default: int) -> list[int]:
    """Return an attribute with one number for each axis, for height and width."""
    values = list(node.attributes.get_ints(name, [default] * count))
    fill = 0 if name == "pads" else 1
    if name == "pads" and count == 2:
        return [values[0], fill, values[1], fill]
    return values if count > 1 else [*values, fill]


def strides_dilations_pads(
    node: ir.Node, kernel: Sequence[int], image: Shape
) -> tuple[list[int], ...]:
    """Return strides, dilations and pads (top, left, bottom, right), with auto_pad resolved."""
    axes = len(shape_of(node.inputs[0])) - 2
    strides, dilations = (spatial_ints(node, n, axes, 1) for n in ("strides", "dilations"))
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        return strides, dilations, spatial_ints(node, "pads", 2 * axes, 0)
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
