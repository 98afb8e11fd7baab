"""Conv as Caffe's Convolution: pads that differ from side to side are made exact."""

__all__ = ["conv", "conv_transpose", "weight_and_bias", "write_conv"]

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import F64, Blob, Refusal, Shape, constant, lifted, shape_of
from quant.export.caffe.network.moves import reshaped, select, set_window
from quant.export.caffe.network.net import Net
from quant.export.caffe.network.read import finished, read
from quant.export.caffe.network.windows import (
    conv_kernel,
    deconv_kernel,
    image_of,
    numbers,
    windowing,
)

NO_PADS = (0, 0, 0, 0)


def weight_and_bias(net: Net, node: ir.Node, channels: int) -> tuple[F64, F64 | None]:
    """Return a layer's constant weight and its bias with the plan's shift, None for no bias."""
    weight = constant(node.inputs[1])
    given = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant(given)
    if weight is None or (given is not None and bias is None):
        raise Refusal(
            1,
            "a weight or bias that the network computes",
            "a constant",
            "Replace it by a trained constant, or cut the network before this node.",
        )
    made = None if bias is None else np.broadcast_to(bias.reshape(-1), channels).astype(np.float64)
    shift = net.shifts.get(str(node.name))
    if shift is not None:
        made = (np.zeros(channels) if made is None else made) + shift.astype(np.float64)
    return weight.astype(np.float64), made


def write_conv(
    net: Net,
    blob: Blob,
    weight: F64,
    bias: F64 | None,
    shape: Shape,
    *,
    group: int = 1,
    stride: Sequence[int] = (1, 1),
    dilation: Sequence[int] = (1, 1),
    pad: Sequence[int] = (0, 0),
    kind: str = "Convolution",
    role: str = "",
) -> Blob:
    """Write a Convolution or Deconvolution of these numbers and return its blob."""
    blobs = [weight] if bias is None else [weight, bias]
    layer, made = net.add(kind, [blob], shape, role=role, blobs=blobs)
    param = layer.convolution_param
    param.num_output = shape[1]
    if bias is None:
        param.bias_term = False
    if group != 1:
        param.group = group
    set_window(param, weight.shape[2:], stride, pad)
    if tuple(dilation) != (1, 1):
        param.dilation.extend(dilation[:1] if dilation[0] == dilation[1] else dilation)
    return made


def _prepared(net: Net, node: ir.Node, weight: F64, group: int) -> tuple[Blob, F64]:
    """Return the input, and the weight into which its factor and channel order went."""
    blob, image = net.raw(node.inputs[0]), image_of(node)
    if blob.fill or (blob.swapped and group > 1) or (blob.done and blob.shape != image):
        return read(net, node.inputs[0], image), weight
    if blob.factor is not None:
        per_group = blob.factor.reshape(group, 1, -1, 1, 1)
        weight = (weight.reshape(group, -1, *weight.shape[1:]) * per_group).reshape(weight.shape)
    if blob.swapped:
        weight = weight[:, ::-1]
    return replace(blob, factor=None, swapped=False), weight


def conv(net: Net, node: ir.Node) -> None:
    """Convert Conv; zeros around the kernel make up for pads that differ from side to side."""
    image, out = image_of(node), lifted(shape_of(node.outputs[0]))
    weight, bias = weight_and_bias(net, node, out[1])
    weight = weight.reshape(*weight.shape[:2], *(*weight.shape[2:], 1)[:2])
    group = node.attributes.get_int("group", 1)
    stride, dilation, pads = windowing(node, weight.shape[2:], image)
    blob, weight = _prepared(net, node, weight, group)
    sums = [a + b for a, b in zip(pads, blob.pads, strict=True)]
    found = [
        conv_kernel(
            blob.shape[2 + i], weight.shape[2 + i], stride[i], dilation[i], sums[i], sums[2 + i]
        )
        for i in range(2)
    ]
    high, wide = found
    if high is None or wide is None:
        blob, high, wide = _padded(net, blob, sums), *(None, None)
    blob = replace(blob, pads=NO_PADS)
    pad = (0, 0)
    if high is not None and wide is not None:
        weight = np.pad(weight, ((0, 0), (0, 0), (high.front, high.back), (wide.front, wide.back)))
        pad = (high.pad, wide.pad)
    made = write_conv(
        net, blob, weight, bias, out, group=group, stride=stride, dilation=dilation, pad=pad
    )
    net.bind(node.outputs[0], made)


def _padded(net: Net, blob: Blob, pads: Sequence[int]) -> Blob:
    """Write the pads as a layer of its own: where a dilation leaves no other way."""
    _, _, height, width = blob.shape
    top, left, bottom, right = pads
    count = height + top + bottom, width + left + right
    return select(net, replace(blob, pads=NO_PADS), (-top, -left), (1, 1), count, role="pad")


def conv_transpose(net: Net, node: ir.Node) -> None:
    """Convert ConvTranspose; a dilated kernel is written out with its zeros."""
    image, out = image_of(node), lifted(shape_of(node.outputs[0]))
    weight, bias = weight_and_bias(net, node, out[1])
    weight = weight.reshape(*weight.shape[:2], *(*weight.shape[2:], 1)[:2])
    axes = len(shape_of(node.inputs[0])) - 2
    stride, dilation = (numbers(node, n, axes, 1) for n in ("strides", "dilations"))
    weight = _dense(weight, dilation)
    pad = []
    grown = [(0, 0), (0, 0)]
    for i in range(2):
        total = stride[i] * (image[2 + i] - 1) + weight.shape[2 + i] - out[2 + i]
        before = _before(node, i, axes, total)
        found = deconv_kernel(1, before, total - before)
        assert found is not None  # a dilation of 1 always divides
        grown.append((found.front, found.back))
        pad.append(found.pad)
    weight = np.pad(weight, grown)
    group = node.attributes.get_int("group", 1)
    blob = reshaped(net, finished(net, net.raw(node.inputs[0])), image)
    made = write_conv(
        net, blob, weight, bias, out, group=group, stride=stride, pad=pad, kind="Deconvolution"
    )
    net.bind(node.outputs[0], made)


def _dense(weight: F64, dilation: Sequence[int]) -> F64:
    """Return a kernel with the zeros that dilation stands for."""
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    made = np.zeros((*weight.shape[:2], *spans))
    made[:, :, :: dilation[0], :: dilation[1]] = weight
    return made


def _before(node: ir.Node, axis: int, axes: int, total: int) -> int:
    """Return what ConvTranspose crops at the start of an axis of the full result."""
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    if auto == "SAME_UPPER":
        return total // 2
    if auto == "SAME_LOWER" or "output_shape" in node.attributes:
        return total - total // 2
    return 0 if auto == "VALID" else numbers(node, "pads", 2 * axes, 0)[axis]
