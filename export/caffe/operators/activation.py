"""Convert activations: Caffe's own; Clip, HardSigmoid and HardSwish as ReLU and Power layers."""

__all__ = ["ACTIVATIONS", "Power", "write_clip", "write_elementwise", "write_power"]

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import Blob, Refusal, constant, shape_of, to_4d
from quant.export.caffe.network.files import set_weights
from quant.export.caffe.network.moves import reshaped
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import has_one_reader, read_blob

EXPONENTS = (-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0)
"""Exponents that a Power layer may have."""

INFINITE = 3e38
"""A bound beyond it counts as no bound: exporters write the largest float32."""


def write_elementwise(
    net: NetWriter, kind: str, blob: Blob, role: str = "", in_place: bool = False
) -> tuple[Any, Blob]:
    """Write a layer whose result has the shape of its one input; return its message and blob."""
    return (
        net.add_in_place(kind, blob, role) if in_place else net.add(kind, [blob], blob.shape, role)
    )


@dataclass(frozen=True, slots=True)
class Power:
    """The parameters of a Power layer: ``(shift + scale * x) ** exponent``."""

    scale: float = 1.0
    shift: float = 0.0
    exponent: float = 1.0


def write_power(net: NetWriter, blob: Blob, power: Power, role: str = "") -> Blob:
    """Write ``(shift + scale * x) ** exponent``.

    Raises:
        Refusal: NNIE does not take this exponent.
    """
    if power.exponent not in EXPONENTS:
        raise Refusal(
            17,
            f"exponent {power.exponent:g}",
            "-3, -2, -1, -0.5, 0.5, 1, 2 or 3",
            "Use one of these, or cut the network before this node.",
        )
    layer, top = write_elementwise(net, "Power", blob, role)
    param = layer.power_param
    for name, value, default in (
        ("power", power.exponent, 1),
        ("scale", power.scale, 1),
        ("shift", power.shift, 0),
    ):
        if value != default:
            setattr(param, name, value)
    return top


def write_clip(net: NetWriter, blob: Blob, low: float, high: float, in_place: bool = False) -> Blob:
    """Write ``min(max(x, low), high)`` as ``r - relu(r - (high - low)) + low``, r = relu(x - low).

    ``high - relu(high - r)`` is as exact in floats, but NNIE quantizes the input of each layer on a
    grid of relative steps: a small r, read as high - r, would be off by 2 % of high.
    """
    bounded = high < INFINITE
    if low > -INFINITE:
        if low != 0:
            blob, in_place = write_power(net, blob, Power(shift=-low), role="low"), True
        role = "low_relu" if bounded or low != 0 else ""
        _, blob = write_elementwise(net, "ReLU", blob, role, in_place)
    else:
        low = 0.0
    if bounded:
        over = write_power(net, blob, Power(shift=-(high - low)), role="high")
        _, over = write_elementwise(net, "ReLU", over, "high_relu", in_place=True)
        layer, blob = net.add("Eltwise", [blob, over], blob.shape, role="cut" if low != 0 else "")
        layer.eltwise_param.coeff.extend((1.0, -1.0))
    return write_power(net, blob, Power(shift=low)) if low != 0 else blob


def _activation(kind: str, param: str = "", **attributes: tuple[str, float]) -> Any:
    """Return a converter to one layer; `attributes` are Caffe's name = (ONNX's name, default)."""

    def convert(net: NetWriter, node: ir.Node) -> None:
        blob = read_blob(net, node.inputs[0])
        layer, top = write_elementwise(net, kind, blob, in_place=has_one_reader(node.inputs[0]))
        for name, (onnx_name, default) in attributes.items():
            setattr(getattr(layer, param), name, node.attributes.get_float(onnx_name, default))
        net.bind(node.outputs[0], top)

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


def _clip(net: NetWriter, node: ir.Node) -> None:
    """Convert Clip."""
    low, high = _bound(node, 1, -np.inf), _bound(node, 2, np.inf)
    blob = read_blob(net, node.inputs[0])
    if low > -INFINITE or high < INFINITE:
        blob = write_clip(net, blob, low, high, in_place=has_one_reader(node.inputs[0]))
    net.bind(node.outputs[0], blob)


def _hard_sigmoid(net: NetWriter, node: ir.Node) -> None:
    """Convert HardSigmoid, ``min(max(alpha * x + beta, 0), 1)``, and HardSwish, x times that."""
    swish = node.op_type == "HardSwish"
    alpha = 1 / 6 if swish else node.attributes.get_float("alpha", 0.2)
    beta = 0.5 if swish else node.attributes.get_float("beta", 0.5)
    source = read_blob(net, node.inputs[0])
    blob = write_power(net, source, Power(scale=alpha, shift=beta), role="line")
    _, blob = write_elementwise(net, "ReLU", blob, "line_relu", in_place=True)
    blob = write_power(net, blob, Power(scale=-1.0, shift=1.0), role="high")
    _, blob = write_elementwise(net, "ReLU", blob, "high_relu", in_place=True)
    blob = write_power(net, blob, Power(scale=-1.0, shift=1.0), role="gate" if swish else "")
    if swish:
        layer, blob = net.add("Eltwise", [source, blob], source.shape)
        layer.eltwise_param.operation = 0
    net.bind(node.outputs[0], blob)


def _prelu(net: NetWriter, node: ir.Node) -> None:
    """Convert PRelu with one slope, or with one slope for each channel."""
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
    blob = read_blob(net, node.inputs[0])
    if blob.shape[1] != channels:
        blob = reshaped(net, blob, to_4d(shape))
    layer, top = write_elementwise(net, "PReLU", blob, in_place=has_one_reader(node.inputs[0]))
    set_weights(layer, slope.reshape(-1))
    if slope.size == 1:
        layer.prelu_param.channel_shared = True
    net.bind(node.outputs[0], top)


def _selu(net: NetWriter, node: ir.Node) -> None:
    """Convert Selu, ``gamma * elu(x)``."""
    layer, top = write_elementwise(
        net, "ELU", read_blob(net, node.inputs[0]), "elu", has_one_reader(node.inputs[0])
    )
    layer.elu_param.alpha = node.attributes.get_float("alpha", 1.67326319217681884765625)
    gamma = node.attributes.get_float("gamma", 1.05070102214813232421875)
    net.bind(node.outputs[0], write_power(net, top, Power(scale=gamma)))


def _powered(scale: float = 1.0, exponent: float = 1.0) -> Any:
    """Return a converter to one Power layer."""

    def convert(net: NetWriter, node: ir.Node) -> None:
        net.bind(
            node.outputs[0],
            write_power(net, read_blob(net, node.inputs[0]), Power(scale=scale, exponent=exponent)),
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
