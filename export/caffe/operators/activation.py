"""Activations: Caffe's own in place where they may, Clip and its kin from ReLU and Power."""

__all__ = ["ACTIVATIONS", "between", "one", "power"]

from typing import Any

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import Blob, Refusal, constant, lifted, shape_of
from quant.export.caffe.network.moves import reshaped
from quant.export.caffe.network.net import Net
from quant.export.caffe.network.read import alone, read

EXPONENTS = (-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0)
"""What a Power layer may raise to."""

INFINITE = 3e38
"""A bound beyond it is none: exporters write the largest float32."""


def one(
    net: Net, kind: str, blob: Blob, role: str = "", in_place: bool = False
) -> tuple[Any, Blob]:
    """Write a layer of one input and a result of its shape."""
    return net.add(kind, [blob], blob.shape, role=role, in_place=in_place)


def power(
    net: Net,
    blob: Blob,
    *,
    scale: float = 1.0,
    shift: float = 0.0,
    power: float = 1.0,
    role: str = "",
) -> Blob:
    """Write ``(shift + scale * x) ** power``.

    Raises:
        Refusal: The exponent is none that NNIE takes.
    """
    if power not in EXPONENTS:
        raise Refusal(
            17,
            f"exponent {power:g}",
            "-3, -2, -1, -0.5, 0.5, 1, 2 or 3",
            "Use one of these, or cut the network before this node.",
        )
    layer, made = one(net, "Power", blob, role)
    param = layer.power_param
    for name, value, default in (("power", power, 1), ("scale", scale, 1), ("shift", shift, 0)):
        if value != default:
            setattr(param, name, value)
    return made


def between(net: Net, blob: Blob, low: float, high: float, in_place: bool = False) -> Blob:
    """Write ``min(max(x, low), high)`` as ``r - relu(r - (high - low)) + low``, r = relu(x - low).

    ``high - relu(high - r)`` is as exact in floats, but NNIE quantizes the input of each layer on a
    grid of relative steps: a small r, read as high - r, would be off by 2 % of high.
    """
    bounded = high < INFINITE
    if low > -INFINITE:
        if low != 0:
            blob, in_place = power(net, blob, shift=-low, role="low"), True
        role = "low_relu" if bounded or low != 0 else ""
        _, blob = one(net, "ReLU", blob, role, in_place)
    else:
        low = 0.0
    if bounded:
        over = power(net, blob, shift=-(high - low), role="high")
        _, over = one(net, "ReLU", over, "high_relu", in_place=True)
        layer, blob = net.add("Eltwise", [blob, over], blob.shape, role="cut" if low != 0 else "")
        layer.eltwise_param.coeff.extend((1.0, -1.0))
    return power(net, blob, shift=low) if low != 0 else blob


def _activation(kind: str, param: str = "", **attributes: tuple[str, float]) -> Any:
    """Return a converter to one layer; `attributes`: Caffe's name = ONNX's name, default."""

    def convert(net: Net, node: ir.Node) -> None:
        blob = read(net, node.inputs[0])
        layer, made = one(net, kind, blob, in_place=alone(node.inputs[0]))
        for name, (theirs, default) in attributes.items():
            setattr(getattr(layer, param), name, node.attributes.get_float(theirs, default))
        net.bind(node.outputs[0], made)

    return convert


def _bound(node: ir.Node, index: int, otherwise: float) -> float:
    """Return Clip's bound, which must be a constant."""
    value = node.inputs[index] if len(node.inputs) > index else None
    if value is None or not value.name:
        return otherwise
    number = constant(value)
    if number is None:
        raise Refusal(1, "a bound that is computed", "a constant", "Clip to constants.")
    return float(number.reshape(()))


def _clip(net: Net, node: ir.Node) -> None:
    """Convert Clip."""
    low, high = _bound(node, 1, -np.inf), _bound(node, 2, np.inf)
    blob = read(net, node.inputs[0])
    if low > -INFINITE or high < INFINITE:
        blob = between(net, blob, low, high, in_place=alone(node.inputs[0]))
    net.bind(node.outputs[0], blob)


def _hard_sigmoid(net: Net, node: ir.Node) -> None:
    """Convert HardSigmoid, ``min(max(alpha * x + beta, 0), 1)``, and HardSwish, x times that."""
    swish = node.op_type == "HardSwish"
    alpha = 1 / 6 if swish else node.attributes.get_float("alpha", 0.2)
    beta = 0.5 if swish else node.attributes.get_float("beta", 0.5)
    source = read(net, node.inputs[0])
    blob = power(net, source, scale=alpha, shift=beta, role="line")
    _, blob = one(net, "ReLU", blob, "line_relu", in_place=True)
    blob = power(net, blob, scale=-1.0, shift=1.0, role="high")
    _, blob = one(net, "ReLU", blob, "high_relu", in_place=True)
    blob = power(net, blob, scale=-1.0, shift=1.0, role="gate" if swish else "")
    if swish:
        layer, blob = net.add("Eltwise", [source, blob], source.shape)
        layer.eltwise_param.operation = 0
    net.bind(node.outputs[0], blob)


def _prelu(net: Net, node: ir.Node) -> None:
    """Convert PRelu of one slope, or of one a channel."""
    slope = constant(node.inputs[1])
    shape = shape_of(node.inputs[0])
    if slope is None:
        raise Refusal(1, "a slope that is computed", "a constant", "Use a trained slope.")
    channels = shape[1] if len(shape) > 1 else 1
    behind = slope.shape[slope.ndim - len(shape) + 2 :] if slope.ndim > len(shape) - 2 else ()
    flat = len(shape) == 2 and slope.shape[-1:] == (channels,)
    if slope.size != 1 and (slope.size != channels or not (flat or all(n == 1 for n in behind))):
        raise Refusal(
            15,
            f"a slope of shape {list(slope.shape)}",
            f"one number, or one for each of {channels} channels",
            "Share the slope over height and width.",
        )
    blob = read(net, node.inputs[0])
    if blob.shape[1] != channels:
        blob = reshaped(net, blob, lifted(shape))
    layer, made = net.add(
        "PReLU", [blob], blob.shape, blobs=[slope.reshape(-1)], in_place=alone(node.inputs[0])
    )
    if slope.size == 1:
        layer.prelu_param.channel_shared = True
    net.bind(node.outputs[0], made)


def _selu(net: Net, node: ir.Node) -> None:
    """Convert Selu, ``gamma * elu(x)``."""
    layer, made = one(net, "ELU", read(net, node.inputs[0]), "elu", alone(node.inputs[0]))
    layer.elu_param.alpha = node.attributes.get_float("alpha", 1.67326319217681884765625)
    gamma = node.attributes.get_float("gamma", 1.05070102214813232421875)
    net.bind(node.outputs[0], power(net, made, scale=gamma))


def _powered(scale: float = 1.0, exponent: float = 1.0) -> Any:
    """Return a converter to one Power layer."""

    def convert(net: Net, node: ir.Node) -> None:
        net.bind(
            node.outputs[0], power(net, read(net, node.inputs[0]), scale=scale, power=exponent)
        )

    return convert


ACTIVATIONS: dict[str, Any] = {
    "Abs": _activation("AbsVal"),
    "Clip": _clip,
    "Elu": _activation("ELU", "elu_param", alpha=("alpha", 1.0)),
    "Exp": _activation("Exp"),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_sigmoid,
    "LeakyRelu": _activation("ReLU", "relu_param", negative_slope=("alpha", 0.01)),
    "Log": _activation("Log"),
    "Neg": _powered(scale=-1.0),
    "PRelu": _prelu,
    "Reciprocal": _powered(exponent=-1.0),
    "Relu": _activation("ReLU"),
    "Selu": _selu,
    "Sigmoid": _activation("Sigmoid"),
    "Sqrt": _powered(exponent=0.5),
    "Tanh": _activation("TanH"),
}
