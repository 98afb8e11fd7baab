"""Concat, along an axis of whatever shape the blobs have, and past NNIE's 4096 elements."""

__all__ = ["concat", "joined"]

from collections.abc import Sequence
from math import gcd, prod

import onnx_ir as ir

from quant.export.caffe.network.blob import Blob, Refusal, Shape, constant, lifted, shape_of
from quant.export.caffe.network.moves import MOST, reshaped
from quant.export.caffe.network.net import Net
from quant.export.caffe.network.read import LARGEST, form_along, read


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
    net.bind(node.outputs[0], joined(net, blobs, forms[0][1]))


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


def joined(net: Net, blobs: list[Blob], axis: int, role: str = "") -> Blob:
    """Write a Concat; over 32 blobs in two steps."""
    if len(blobs) == 1:
        return blobs[0]
    if len(blobs) > MOST:
        parts = [blobs[i : i + MOST] for i in range(0, len(blobs), MOST)]
        blobs = [joined(net, p, axis, f"part{i}") for i, p in enumerate(parts)]
    length = sum(b.shape[axis] for b in blobs)
    shape = tuple(length if i == axis else n for i, n in enumerate(blobs[0].shape))
    layer, made = net.add("Concat", blobs, shape, role=role)
    layer.concat_param.axis = axis
    return made
