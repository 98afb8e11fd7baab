"""Convert Concat, along any axis, also where the result has over 4096 elements along it."""

__all__ = ["concat", "write_concat"]

from collections.abc import Sequence
from math import gcd, prod

import onnx_ir as ir

from quant.export.caffe.network.blob import Blob, Refusal, constant, shape_of, to_4d
from quant.export.caffe.network.moves import MAX_CONCAT_INPUTS, reshaped
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import MAX_LENGTH, read_blob, shape_with_axis
from quant.export.caffe.network.shapes import Shape


def concat(net: NetWriter, node: ir.Node) -> None:
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
    blobs = [reshaped(net, read_blob(net, v), f) for v, (f, _) in zip(values, forms, strict=True)]
    net.bind(node.outputs[0], write_concat(net, blobs, forms[0][1]))


def _forms(
    net: NetWriter, values: Sequence[ir.Value | None], shapes: Sequence[Shape], axis: int
) -> list[tuple[Shape, int]]:
    """Return for each input the 4-D shape in which it is concatenated, and the axis."""
    total = sum(s[axis] for s in shapes)
    own = [
        shape_with_axis(read_blob(net, v).shape, s, axis) if s[axis] <= MAX_LENGTH else (s, 0)
        for v, s in zip(values, shapes, strict=True)
    ]
    other_axes = {(*s[:i], 0, *s[i + 1 :]) for s, i in own}
    if len(other_axes) == 1 and len({i for _, i in own}) == 1 and total <= MAX_LENGTH:
        return own
    outer, inner = prod(shapes[0][:axis]), prod(shapes[0][axis + 1 :])
    if outer == 1:
        divisor = gcd(*(s[axis] for s in shapes))
        for part in (d for d in range(1, divisor + 1) if divisor % d == 0):
            if total // part <= MAX_LENGTH and inner <= MAX_LENGTH:
                if part == 1 and axis and len(shapes[0]) <= 4:
                    return [(to_4d(s), axis) for s in shapes]
                return [((1, s[axis] // part, part, inner), 1) for s in shapes]
    elif total <= MAX_LENGTH and len(shapes[0]) <= 4 and shapes[0][0] == 1:
        return [(to_4d(s), axis) for s in shapes]
    elif total <= MAX_LENGTH:
        return [((1, outer, s[axis], inner), 2) for s in shapes]
    raise Refusal(
        10,
        f"a Concat to {total} elements along its axis",
        f"at most {MAX_LENGTH}",
        "Leave the parts apart, and join them on the CPU.",
    )


def write_concat(net: NetWriter, blobs: list[Blob], axis: int, role: str = "") -> Blob:
    """Write a Concat; more than 32 blobs need two steps."""
    if len(blobs) == 1:
        return blobs[0]
    if len(blobs) > MAX_CONCAT_INPUTS:
        parts = [blobs[i : i + MAX_CONCAT_INPUTS] for i in range(0, len(blobs), MAX_CONCAT_INPUTS)]
        blobs = [write_concat(net, p, axis, f"part{i}") for i, p in enumerate(parts)]
    length = sum(b.shape[axis] for b in blobs)
    shape = tuple(length if i == axis else n for i, n in enumerate(blobs[0].shape))
    layer, top = net.add("Concat", blobs, shape, role=role)
    layer.concat_param.axis = axis
    return top
