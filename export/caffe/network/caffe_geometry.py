"""Kernels, strides, dilations and pads of ONNX's windows, for height and width."""

__all__ = ["image_of", "numbers", "windowing"]

from collections.abc import Sequence

import onnx_ir as ir

from quant.export.caffe.network.blob import Shape, lifted, shape_of
from quant.export.caffe.network.caffe_refusal import Refusal


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
