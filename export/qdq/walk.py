"""Follow a Q/DQ graph from node to node: constants, weights, dequantizers and fused activations."""

__all__ = [
    "EPILOGUES",
    "TRANSPARENT",
    "channels",
    "constant_array",
    "dequantizer",
    "float_readers",
    "is_constant",
    "is_integer",
    "is_one_of",
    "output_axis",
    "weight_shape",
    "weight_source",
]

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.qdq.nodes import (
    QUANTIZERS,
    input_of,
    is_quantizer,
    is_standard,
    producer_of,
    readers,
)
from quant.graph.layer import ABSORBED
from quant.graph.layers import VIEWS
from quant.graph.prepared_graph import WEIGHTED

EPILOGUES = ABSORBED | {"BatchNormalization"}
"""Operators that TensorRT computes inside the convolution before them."""
TRANSPARENT = VIEWS | {"MaxPool"}
"""Operators past which TensorRT moves a quantizer: the integers pass unchanged."""


def constant_array(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the numbers of an initializer, a Constant, or a Cast of one; None if computed."""
    if value is None:
        return None
    node = value.producer()
    if node is not None and is_standard(node) and node.op_type == "Cast":
        value = input_of(node, 0)
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return np.asarray(tensor.numpy()) if tensor is not None else None


def is_constant(value: ir.Value | None) -> bool:
    """Return whether a value is a constant, also behind quantizers, casts and views."""
    while value is not None:
        node = value.producer()
        if node is None:
            return value.is_initializer()
        if not is_standard(node) or node.op_type not in {*QUANTIZERS, "Cast", "Constant", *VIEWS}:
            return False
        if node.op_type == "Constant":
            return True
        value = input_of(node, 0)
    return False


def dequantizer(value: ir.Value | None) -> ir.Node | None:
    """Return the DequantizeLinear whose numbers a value holds, past views and MaxPool, or None."""
    node = producer_of(value)
    while node is not None and is_standard(node) and node.op_type in TRANSPARENT:
        node = producer_of(input_of(node, 0))
    return node if is_quantizer(node, "DequantizeLinear") else None


def weight_source(node: ir.Node) -> ir.Value | None:
    """Return the constant behind input 1 of a weighted node: float, or already integers."""
    if node.op_type not in WEIGHTED or not is_standard(node) or len(node.inputs) < 2:
        return None
    value = input_of(node, 1)
    if not is_constant(value):
        return None
    while value is not None and (producer := value.producer()) is not None and producer.inputs:
        value = input_of(producer, 0)
    return value


def weight_shape(node: ir.Node) -> list[int]:
    """Return the shape of a weighted node's constant weight, or [] where it is not known."""
    source = weight_source(node)
    tensor = ir.convenience.get_const_tensor(source) if source is not None else None
    return [int(d) for d in tensor.shape.numpy()] if tensor is not None else []


def channels(node: ir.Node) -> tuple[int, int]:
    """Return (out, in per group) of a Conv, or (N, K) of a Gemm or MatMul; (0, 0) if not known."""
    shape = weight_shape(node)
    if len(shape) < 2:
        return 0, 0
    if node.op_type == "Conv":
        return shape[0], shape[1]
    if node.op_type == "ConvTranspose":
        return shape[1], shape[0]
    if node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1:
        return shape[0], shape[1]
    return shape[-1], shape[-2]


def output_axis(node: ir.Node) -> int:
    """Return the axis of a weighted node's weight that is the output channel."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if node.attributes.get_int("transB", 0) else 1
    return len(weight_shape(node)) - 1


def is_one_of(node: ir.Node | None, types: Collection[str]) -> bool:
    """Return whether there is a node, and its operator is one of these standard ones."""
    return node is not None and is_standard(node) and node.op_type in types


def is_integer(node: ir.Node) -> bool:
    """Return whether a weighted node has a dequantized second input."""
    return len(node.inputs) > 1 and dequantizer(input_of(node, 1)) is not None


def float_readers(value: ir.Value) -> list[ir.Node]:
    """Return the readers of a value, past views and the activation that fuses with its producer."""
    nodes = []
    for node, _ in readers(value):
        passes = is_one_of(node, EPILOGUES | TRANSPARENT)
        nodes += float_readers(node.outputs[0]) if passes else [node]
    return nodes
