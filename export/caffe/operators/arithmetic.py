"""Convert sums, products and maxima: Eltwise between tensors, Power and Scale with a constant."""

__all__ = ["ARITHMETIC"]

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import F64, Blob, Refusal, constant, shape_of, to_4d
from quant.export.caffe.network.moves import broadcast, reshaped
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import read_blob, read_with_axis, write_scale
from quant.export.caffe.network.shapes import Shape
from quant.export.caffe.operators.activation import Power, write_clip, write_power

PROD, SUM, MAX = 0, 1, 2


def _eltwise(
    net: NetWriter,
    blobs: Sequence[Blob],
    operation: int,
    coeff: Sequence[float] = (),
    role: str = "",
) -> Blob:
    """Write an Eltwise layer over blobs of one shape."""
    layer, top = net.add("Eltwise", blobs, blobs[0].shape, role=role)
    if operation != SUM:
        layer.eltwise_param.operation = operation
    layer.eltwise_param.coeff.extend(coeff)
    return top


def _alike(net: NetWriter, values: Sequence[ir.Value | None], shape: Shape) -> list[Blob]:
    """Return the operands in one shape, those of length 1 along an axis repeated."""
    if all(shape_of(v) == shape for v in values):
        first = read_blob(net, values[0])
        return [first, *(reshaped(net, read_blob(net, v), first.shape) for v in values[1:])]
    if len(shape) > 4 or shape[0] != 1:
        raise Refusal(
            15,
            f"operands of shapes {[list(shape_of(v)) for v in values]}",
            "operands of one shape",
            "Cut the network before this node.",
        )
    blobs = []
    for value in values:
        own = shape_of(value)
        padded = (1,) * (len(shape) - len(own)) + own
        blobs.append(broadcast(net, read_blob(net, value, to_4d(padded)), to_4d(shape)))
    return blobs


def _binary(net: NetWriter, node: ir.Node) -> None:
    """Convert Add, Sub, Mul, Div, Max, Min and Sum, Mean of tensors or with a constant."""
    constants = [constant(v) for v in node.inputs]
    arrays = [c for c in constants if c is not None]
    if not arrays:
        net.bind(node.outputs[0], _between_tensors(net, node))
        return
    if len(constants) != 2 or len(arrays) != 1:
        raise Refusal(15, "several constants", "one constant", "Fold the constants into one.")
    is_left = constants[0] is not None
    net.bind(node.outputs[0], _with_constant(net, node, np.asarray(arrays[0], np.float64), is_left))


def _between_tensors(net: NetWriter, node: ir.Node) -> Blob:
    """Return the result of an operator on tensors that depend on the input."""
    op = node.op_type
    values = list(node.inputs)
    if len(values) == 1:
        return read_blob(net, values[0])
    blobs = _alike(net, values, shape_of(node.outputs[0]))
    if op == "Mul" and blobs[0] == blobs[1]:
        return write_power(net, blobs[0], Power(exponent=2.0))
    if op == "Div":
        inverse = write_power(net, blobs[1], Power(exponent=-1.0), role="inverse")
        return _eltwise(net, [blobs[0], inverse], PROD)
    if op == "Min":
        negative = [
            write_power(net, b, Power(scale=-1.0), role=f"negative{i}") for i, b in enumerate(blobs)
        ]
        return write_power(net, _eltwise(net, negative, MAX, role="most"), Power(scale=-1.0))
    if op == "Mean":
        return write_power(net, _eltwise(net, blobs, SUM, role="sum"), Power(scale=1 / len(blobs)))
    coeff = (1.0, -1.0) if op == "Sub" else ()
    return _eltwise(net, blobs, {"Mul": PROD, "Max": MAX}.get(op, SUM), coeff)


def _with_constant(net: NetWriter, node: ir.Node, number: F64, is_left: bool) -> Blob:
    """Return the result of an operator on a tensor and a constant, the left operand or the right."""
    value, op = node.inputs[1 if is_left else 0], node.op_type
    shape = shape_of(value)
    if number.size and np.all(number == number.flat[0]) and shape == shape_of(node.outputs[0]):
        return _with_number(net, op, read_blob(net, value), float(number.flat[0]), is_left)
    channels = _per_channel(number, shape, shape_of(node.outputs[0]))
    blob, axis = read_with_axis(net, value, 1)
    if axis != 1:
        blob = reshaped(net, blob, to_4d(shape))
    if op == "Div" and is_left:
        inverse = write_power(net, blob, Power(exponent=-1.0), role="inverse")
        return write_scale(net, inverse, channels)
    if op in ("Mul", "Div"):
        return write_scale(net, blob, channels if op == "Mul" else 1 / channels)
    if op in ("Add", "Sum", "Sub"):
        sign = -1.0 if op == "Sub" and is_left else 1.0
        offset = -channels if op == "Sub" and not is_left else channels
        return write_scale(net, blob, np.full(len(channels), sign), offset)
    raise Refusal(15, f"a {op} by channels", "one number", "Use one bound for all channels.")


def _with_number(net: NetWriter, op: str, blob: Blob, number: float, is_left: bool) -> Blob:
    """Return the result of an operator on a tensor and one number."""
    if op in ("Add", "Sum"):
        return write_power(net, blob, Power(shift=number))
    if op == "Sub":
        return write_power(
            net, blob, Power(scale=-1.0 if is_left else 1.0, shift=number if is_left else -number)
        )
    if op == "Mul":
        return write_power(net, blob, Power(scale=number))
    if op == "Div" and is_left:
        return (
            write_power(net, blob, Power(scale=1 / number, exponent=-1.0))
            if number
            else write_power(net, blob, Power(scale=0))
        )
    if op == "Div":
        return write_power(net, blob, Power(scale=1 / number))
    if op == "Mean":
        return write_power(net, blob, Power(scale=0.5, shift=number / 2))
    return write_clip(net, blob, *((number, np.inf) if op == "Max" else (-np.inf, number)))


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


def _raised(net: NetWriter, node: ir.Node) -> None:
    """Convert Pow by a constant exponent."""
    exponent = constant(node.inputs[1])
    if exponent is None or exponent.size != 1:
        raise Refusal(17, "an exponent that is no number", "a number", "Use one exponent.")
    number = float(exponent.reshape(-1)[0])
    net.bind(
        node.outputs[0], write_power(net, read_blob(net, node.inputs[0]), Power(exponent=number))
    )


ARITHMETIC: dict[str, Any] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean"), _binary),
    "Pow": _raised,
}
