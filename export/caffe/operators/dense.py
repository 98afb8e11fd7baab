"""Convert Gemm and MatMul to InnerProduct at the network's end, else to Convolution; BatchNorm."""

__all__ = ["DENSE"]

from typing import Any

import numpy as np
import onnx_ir as ir

from quant.export.caffe.network.blob import F64, Blob, Refusal, constant, shape_of, to_4d
from quant.export.caffe.network.files import set_weights
from quant.export.caffe.network.moves import reshaped
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import SAME_ORDER, read_blob, write_pending
from quant.export.caffe.operators.conv import Convolution, weight_and_bias, write_conv

MAX_KERNEL = 255
"""Longest side of a kernel."""
FOLLOWERS = SAME_ORDER | {"Relu", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "Elu", "Softmax"}
"""Operators that may stand between an InnerProduct and the network's output."""


def _dense(net: NetWriter, node: ir.Node) -> None:
    """Convert Gemm, or MatMul with a constant, of one row of numbers.

    The mapper lets only activations and Softmax follow an InnerProduct, so one inside the network
    becomes a Convolution whose kernel is as large as the feature.
    """
    rows, out = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    weight, bias = weight_and_bias(net, node, out[-1])
    if node.op_type == "Gemm":
        weight, bias = _gemm(node, weight, bias)
    else:
        weight = weight.T
    if weight.ndim != 2 or np.prod(rows) != weight.shape[1]:
        raise Refusal(
            16,
            f"a product with {list(rows)}",
            "one row of numbers, [1, K]",
            "Write it as a 1x1 Conv, or cut the network before this node.",
        )
    blob, weight = _input(net, node, weight)
    if _only_followers(node.outputs[0]):
        blobs = [weight] if bias is None else [weight, bias]
        layer, top = net.add("InnerProduct", [blob], (1, len(weight)))
        set_weights(layer, *blobs)
        layer.inner_product_param.num_output = len(weight)
        if bias is None:
            layer.inner_product_param.bias_term = False
        net.bind(node.outputs[0], top)
        return
    if len(blob.shape) != 4 or max(blob.shape[2:]) > MAX_KERNEL:
        blob = reshaped(net, blob, (1, weight.shape[1], 1, 1))
    kernel = weight.reshape(len(weight), *blob.shape[1:])
    net.bind(
        node.outputs[0],
        write_conv(net, blob, Convolution(weight=kernel, bias=bias), (1, len(weight), 1, 1)),
    )


def _gemm(node: ir.Node, weight: F64, bias: F64 | None) -> tuple[F64, F64 | None]:
    """Return weight `[M, K]` and bias `[M]` with Gemm's attributes worked in."""
    if node.attributes.get_int("transA", 0):
        raise Refusal(16, "transA=1", "transA=0", "Transpose the constant operand instead.")
    if not node.attributes.get_int("transB", 0):
        weight = weight.T
    if bias is not None:
        bias = bias * node.attributes.get_float("beta", 1.0)
    return weight * node.attributes.get_float("alpha", 1.0), bias


def _input(net: NetWriter, node: ir.Node, weight: F64) -> tuple[Blob, F64]:
    """Return the input blob, and the weight with the input's factor and channel order in it."""
    blob = net.blob(node.inputs[0])
    if blob.done or any(blob.pads):
        return write_pending(net, blob), weight
    table = weight.reshape(len(weight), blob.shape[1], -1)
    if blob.factor is not None:
        table = table * blob.factor[:, None]
    if blob.swapped:
        table = table[:, ::-1]
    return Blob(blob.name, blob.shape), table.reshape(weight.shape)


def _only_followers(value: ir.Value) -> bool:
    """Return whether only activations and Softmax follow."""
    readers = [use.node for use in value.uses()]
    return all(n.op_type in FOLLOWERS and all(map(_only_followers, n.outputs)) for n in readers)


def _batch_norm(net: NetWriter, node: ir.Node) -> None:
    """Convert a BatchNormalization that preparation did not fold: BatchNorm, then Scale in place."""
    parameters = [constant(v) for v in node.inputs[1:]]
    if any(p is None for p in parameters) or node.attributes.get_int("training_mode", 0) != 0:
        raise Refusal(
            1,
            "a batch normalization that learns",
            "one with constant statistics",
            "Export the model in evaluation mode.",
        )
    gain, beta, mean, variance = (np.asarray(p, np.float64) for p in parameters)
    blob = read_blob(net, node.inputs[0], to_4d(shape_of(node.inputs[0])))
    layer, top = net.add("BatchNorm", [blob], blob.shape)
    set_weights(layer, mean, variance, np.ones(1))
    layer.batch_norm_param.use_global_stats = True
    layer.batch_norm_param.eps = node.attributes.get_float("epsilon", 1e-5)
    scale, top = net.add_in_place("Scale", top, "scale")
    set_weights(scale, gain, beta)
    scale.scale_param.bias_term = True
    net.bind(node.outputs[0], top)


DENSE: dict[str, Any] = {"Gemm": _dense, "MatMul": _dense, "BatchNormalization": _batch_norm}
