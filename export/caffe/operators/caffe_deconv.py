"""ConvTranspose as Caffe's Deconvolution: what is cropped from either side is made exact."""

__all__ = ["conv_transpose"]

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import F64, lifted, shape_of
from quant.export.caffe.network.caffe_geometry import image_of, numbers
from quant.export.caffe.network.moves import reshaped
from quant.export.caffe.network.net import Net
from quant.export.caffe.network.read import finished
from quant.export.caffe.network.windows import deconv_kernel
from quant.export.caffe.operators.conv import weight_and_bias, write_conv


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
