"""Sums, products and maxima: Eltwise between tensors, Power and Scale with a constant."""

__all__ = ["ARITHMETIC"]

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import F64, Blob, Refusal, Shape, constant, lifted, shape_of
from quant.export.caffe.network.moves import broadcast, reshaped
from quant.export.caffe.network.net import Net
from quant.export.caffe.network.read import along, factored, read
from quant.export.caffe.operators.activation import between, power

PROD, SUM, MAX = 0, 1, 2


def _eltwise(
    net: Net, blobs: Sequence[Blob], operation: int, coeff: Sequence[float] = (), role: str = ""
) -> Blob:
    """Write an Eltwise layer over blobs of one shape."""
    layer, made = net.add("Eltwise", blobs, blobs[0].shape, role=role)
    if operation != SUM:
        layer.eltwise_param.operation = operation
    layer.eltwise_param.coeff.extend(coeff)
    return made


def _alike(net: Net, values: Sequence[ir.Value | None], shape: Shape) -> list[Blob]:
    """Return the operands in one shape, those of length 1 along an axis repeated."""
    if all(shape_of(v) == shape for v in values):
        first = read(net, values[0])
        return [first, *(reshaped(net, read(net, v), first.shape) for v in values[1:])]
    if len(shape) > 4 or shape[0] != 1:
        raise Refusal(
            15,
            f"operands of shapes {[list(shape_of(v)) for v in values]}",
            "operands of one shape",
            "Cut the network before this node.",
        )
    found = []
    for value in values:
        own = shape_of(value)
        padded = (1,) * (len(shape) - len(own)) + own
        found.append(broadcast(net, read(net, value, lifted(padded)), lifted(shape)))
    return found


def _binary(net: Net, node: ir.Node) -> None:
    """Convert Add, Sub, Mul, Div, Max, Min and Sum, Mean of tensors or with a constant."""
    constants = [constant(v) for v in node.inputs]
    given = [c for c in constants if c is not None]
    if not given:
        net.bind(node.outputs[0], _between_tensors(net, node))
        return
    if len(constants) != 2 or len(given) != 1:
        raise Refusal(15, "several constants", "one constant", "Fold the constants into one.")
    left = constants[0] is not None
    net.bind(node.outputs[0], _with_constant(net, node, np.asarray(given[0], np.float64), left))


def _between_tensors(net: Net, node: ir.Node) -> Blob:
    """Return what an operator makes of tensors that depend on the input."""
    op = node.op_type
    values = list(node.inputs)
    if len(values) == 1:
        return read(net, values[0])
    blobs = _alike(net, values, shape_of(node.outputs[0]))
    if op == "Mul" and blobs[0] == blobs[1]:
        return power(net, blobs[0], power=2.0)
    if op == "Div":
        inverse = power(net, blobs[1], power=-1.0, role="inverse")
        return _eltwise(net, [blobs[0], inverse], PROD)
    if op == "Min":
        negative = [power(net, b, scale=-1.0, role=f"negative{i}") for i, b in enumerate(blobs)]
        return power(net, _eltwise(net, negative, MAX, role="most"), scale=-1.0)
    if op == "Mean":
        return power(net, _eltwise(net, blobs, SUM, role="sum"), scale=1 / len(blobs))
    coeff = (1.0, -1.0) if op == "Sub" else ()
    return _eltwise(net, blobs, {"Mul": PROD, "Max": MAX}.get(op, SUM), coeff)


def _with_constant(net: Net, node: ir.Node, number: F64, left: bool) -> Blob:
    """Return what an operator makes of a tensor and a constant, which is its left operand or not."""
    value, op = node.inputs[1 if left else 0], node.op_type
    shape = shape_of(value)
    if number.size and np.all(number == number.flat[0]) and shape == shape_of(node.outputs[0]):
        return _with_number(net, op, read(net, value), float(number.flat[0]), left)
    channels = _per_channel(number, shape, shape_of(node.outputs[0]))
    blob, axis = along(net, value, 1)
    if axis != 1:
        blob = reshaped(net, blob, lifted(shape))
    if op == "Div" and left:
        inverse = power(net, blob, power=-1.0, role="inverse")
        return factored(net, inverse, channels, None)
    if op in ("Mul", "Div"):
        return factored(net, blob, channels if op == "Mul" else 1 / channels, None)
    if op in ("Add", "Sum", "Sub"):
        sign = -1.0 if op == "Sub" and left else 1.0
        offset = -channels if op == "Sub" and not left else channels
        return factored(net, blob, np.full(len(channels), sign), offset)
    raise Refusal(15, f"a {op} by channels", "one number", "Use one bound for all channels.")


def _with_number(net: Net, op: str, blob: Blob, number: float, left: bool) -> Blob:
    """Return what an operator makes of a tensor and one number."""
    if op in ("Add", "Sum"):
        return power(net, blob, shift=number)
    if op == "Sub":
        return power(net, blob, scale=-1.0 if left else 1.0, shift=number if left else -number)
    if op == "Mul":
        return power(net, blob, scale=number)
    if op == "Div" and left:
        return (
            power(net, blob, scale=1 / number, power=-1.0) if number else power(net, blob, scale=0)
        )
    if op == "Div":
        return power(net, blob, scale=1 / number)
    if op == "Mean":
        return power(net, blob, scale=0.5, shift=number / 2)
    return between(net, blob, *((number, np.inf) if op == "Max" else (-np.inf, number)))


def _per_channel(number: F64, shape: Shape, out: Shape) -> F64:
    """Return a constant as `[C]`; raises Refusal where it varies along another axis."""
    aligned = number.reshape((1,) * (len(out) - number.ndim) + number.shape)
    if len(out) < 2 or out != shape or aligned.size != aligned.shape[1]:
        raise Refusal(
            15,
            f"a constant of shape {list(number.shape)} for a tensor of {list(shape)}",
            "one number, or one for each channel",
            "Share it over the other axes, or cut the network before this node.",
        )
    return np.broadcast_to(aligned.reshape(-1), prod(shape[1:2])).astype(np.float64)


def _raised(net: Net, node: ir.Node) -> None:
    """Convert Pow by a constant exponent."""
    exponent = constant(node.inputs[1])
    if exponent is None or exponent.size != 1:
        raise Refusal(17, "an exponent that is no number", "a number", "Use one exponent.")
    number = float(exponent.reshape(-1)[0])
    net.bind(node.outputs[0], power(net, read(net, node.inputs[0]), power=number))


ARITHMETIC: dict[str, Any] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean"), _binary),
    "Pow": _raised,
}
