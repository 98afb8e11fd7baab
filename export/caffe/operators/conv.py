"""Convert Conv and ConvTranspose exactly, also where the pads of two sides differ."""

__all__ = ["Convolution", "convert_conv", "convert_conv_transpose", "weight_and_bias", "write_conv"]

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import F64, Blob, Refusal, constant, shape_of, to_4d
from quant.export.caffe.network.files import set_weights
from quant.export.caffe.network.moves import padded, reshaped, set_window
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import read_blob, write_pending
from quant.export.caffe.network.shapes import Shape
from quant.export.caffe.network.windows import (
    Window,
    cropping_kernel,
    image_shape,
    padded_kernel,
    spatial_ints,
    strides_dilations_pads,
)

NO_PADS = (0, 0, 0, 0)


def weight_and_bias(net: NetWriter, node: ir.Node, channels: int) -> tuple[F64, F64 | None]:
    """Return a layer's constant weight and its bias with the plan's shift, None for no bias."""
    weight = constant(node.inputs[1])
    bias_value = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant(bias_value)
    if weight is None or (bias_value is not None and bias is None):
        raise Refusal(
            1,
            "a weight or bias that the network computes",
            "a constant",
            "Replace it by a trained constant, or cut the network before this node.",
        )
    shifted = (
        None if bias is None else np.broadcast_to(bias.reshape(-1), channels).astype(np.float64)
    )
    shift = net.shifts.get(str(node.name))
    if shift is not None:
        shifted = (np.zeros(channels) if shifted is None else shifted) + shift.astype(np.float64)
    return weight.astype(np.float64), shifted


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """The numbers and parameters of a Convolution or Deconvolution layer.

    Attributes:
        weight: float64 `[K, C / group, kh, kw]`; of a Deconvolution `[C, K / group, kh, kw]`.
        bias: float64 `[K]`, or None for no bias.
        group: Groups of channels.
        stride: Of height and width, as `dilation` and `pad` are.
        dilation: Elements from one weight to the next.
        pad: Padding on both sides.
        kind: Caffe's type.
    """

    weight: F64
    bias: F64 | None = None
    group: int = 1
    stride: Sequence[int] = (1, 1)
    dilation: Sequence[int] = (1, 1)
    pad: Sequence[int] = (0, 0)
    kind: str = "Convolution"


def write_conv(net: NetWriter, blob: Blob, conv: Convolution, shape: Shape, role: str = "") -> Blob:
    """Write a Convolution or Deconvolution whose result has this shape, and return its blob."""
    blobs = [conv.weight] if conv.bias is None else [conv.weight, conv.bias]
    layer, top = net.add(conv.kind, [blob], shape, role)
    set_weights(layer, *blobs)
    param = layer.convolution_param
    param.num_output = shape[1]
    if conv.bias is None:
        param.bias_term = False
    if conv.group != 1:
        param.group = conv.group
    set_window(param, conv.weight.shape[2:], conv.stride, conv.pad)
    rows, columns = conv.dilation
    if (rows, columns) != (1, 1):
        param.dilation.extend([rows] if rows == columns else [rows, columns])
    return top


def _prepared(net: NetWriter, node: ir.Node, weight: F64, group: int) -> tuple[Blob, F64]:
    """Return the input blob, and the weight with the input's factor and channel order in it."""
    blob, image = net.blob(node.inputs[0]), image_shape(node)
    if blob.fill or (blob.swapped and group > 1) or (blob.done and blob.shape != image):
        return read_blob(net, node.inputs[0], image), weight
    if blob.factor is not None:
        per_group = blob.factor.reshape(group, 1, -1, 1, 1)
        weight = (weight.reshape(group, -1, *weight.shape[1:]) * per_group).reshape(weight.shape)
    if blob.swapped:
        weight = weight[:, ::-1]
    return replace(blob, factor=None, swapped=False), weight


def convert_conv(net: NetWriter, node: ir.Node) -> None:
    """Convert Conv; zeros around the kernel make up for pads that differ from side to side."""
    image, out = image_shape(node), to_4d(shape_of(node.outputs[0]))
    weight, bias = weight_and_bias(net, node, out[1])
    weight = weight.reshape(*weight.shape[:2], *(*weight.shape[2:], 1)[:2])
    group = node.attributes.get_int("group", 1)
    stride, dilation, pads = strides_dilations_pads(node, weight.shape[2:], image)
    blob, weight = _prepared(net, node, weight, group)
    sums = [a + b for a, b in zip(pads, blob.pads, strict=True)]
    rows, columns = (
        padded_kernel(
            Window(
                blob.shape[2 + i],
                weight.shape[2 + i],
                stride[i],
                sums[i],
                sums[2 + i],
                dilation[i],
            )
        )
        for i in range(2)
    )
    pad = (0, 0)
    source = replace(blob, pads=NO_PADS)
    if rows is None or columns is None:  # the dilation leaves no other way
        source = padded(net, source, sums, role="pad")
    else:
        zeros = ((0, 0), (0, 0), (rows.front, rows.back), (columns.front, columns.back))
        weight, pad = np.pad(weight, zeros), (rows.pad, columns.pad)
    layer = Convolution(
        weight=weight, bias=bias, group=group, stride=stride, dilation=dilation, pad=pad
    )
    net.bind(node.outputs[0], write_conv(net, source, layer, out))


def convert_conv_transpose(net: NetWriter, node: ir.Node) -> None:
    """Convert ConvTranspose; a dilated kernel is written out with its zeros."""
    image, out = image_shape(node), to_4d(shape_of(node.outputs[0]))
    weight, bias = weight_and_bias(net, node, out[1])
    weight = weight.reshape(*weight.shape[:2], *(*weight.shape[2:], 1)[:2])
    axes = len(shape_of(node.inputs[0])) - 2
    stride, dilation = (spatial_ints(node, n, axes, 1) for n in ("strides", "dilations"))
    weight = _dense(weight, dilation)
    pad = []
    zeros = [(0, 0), (0, 0)]
    for i in range(2):
        total = stride[i] * (image[2 + i] - 1) + weight.shape[2 + i] - out[2 + i]
        before = _before(node, i, axes, total)
        kernel = cropping_kernel(1, before, total - before)
        assert kernel is not None  # a dilation of 1 always divides
        zeros.append((kernel.front, kernel.back))
        pad.append(kernel.pad)
    layer = Convolution(
        weight=np.pad(weight, zeros),
        bias=bias,
        group=node.attributes.get_int("group", 1),
        stride=stride,
        pad=pad,
        kind="Deconvolution",
    )
    blob = reshaped(net, write_pending(net, net.blob(node.inputs[0])), image)
    net.bind(node.outputs[0], write_conv(net, blob, layer, out))


def _dense(weight: F64, dilation: Sequence[int]) -> F64:
    """Return a kernel with the zeros that dilation stands for."""
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    dense = np.zeros((*weight.shape[:2], *spans))
    dense[:, :, :: dilation[0], :: dilation[1]] = weight
    return dense


def _before(node: ir.Node, axis: int, axes: int, total: int) -> int:
    """Return the elements that ConvTranspose crops at the start of an axis of the full result."""
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    if auto == "SAME_UPPER":
        return total // 2
    if auto == "SAME_LOWER" or "output_shape" in node.attributes:
        return total - total // 2
    return 0 if auto == "VALID" else spatial_ints(node, "pads", 2 * axes, 0)[axis]
