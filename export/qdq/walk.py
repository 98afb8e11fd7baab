"""How TensorRT walks a Q/DQ graph: what is constant, what feeds a layer, what fuses with what."""

__all__ = [
    "EPILOGUES",
    "MOVED",
    "channels",
    "constant",
    "dequantizer",
    "float_readers",
    "is_integer",
    "is_of",
    "kernel",
    "rooted",
    "weight_source",
]

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.qdq.nodes import QUANTIZERS, is_quantizer, maker, operand, plain, readers
from quant.graph.layers import ABSORBED, VIEWS
from quant.graph.prepared_graph import WEIGHTED

EPILOGUES = ABSORBED | {"BatchNormalization"}
"""What TensorRT computes inside the convolution before it."""
MOVED = VIEWS | {"MaxPool"}
"""Operators past which TensorRT moves a quantizer: the integers pass unchanged."""


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the numbers of an initializer, a Constant, or a Cast of one; None for what is computed."""
    if value is None:
        return None
    node = value.producer()
    if node is not None and plain(node) and node.op_type == "Cast":
        value = operand(node, 0)
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return np.asarray(tensor.numpy()) if tensor is not None else None


def rooted(value: ir.Value | None) -> bool:
    """Tell whether a value is a constant, also behind quantizers, casts and views."""
    while value is not None:
        node = value.producer()
        if node is None:
            return value.is_initializer()
        if not plain(node) or node.op_type not in {*QUANTIZERS, "Cast", "Constant", *VIEWS}:
            return False
        if node.op_type == "Constant":
            return True
        value = operand(node, 0)
    return False


def dequantizer(value: ir.Value | None) -> ir.Node | None:
    """Return the DequantizeLinear whose numbers a value holds, past views and MaxPool, or None."""
    node = maker(value)
    while node is not None and plain(node) and node.op_type in MOVED:
        node = maker(operand(node, 0))
    return node if is_quantizer(node, "DequantizeLinear") else None


def weight_source(node: ir.Node) -> ir.Value | None:
    """Return the constant behind input 1 of a weighted node: float, or already integers."""
    if node.op_type not in WEIGHTED or not plain(node) or len(node.inputs) < 2:
        return None
    value = operand(node, 1)
    if not rooted(value):
        return None
    while value is not None and (made := value.producer()) is not None and made.inputs:
        value = operand(made, 0)
    return value


def kernel(node: ir.Node) -> list[int]:
    """Return the shape of a weighted node's constant weight; [] where it is not known."""
    source = weight_source(node)
    tensor = ir.convenience.get_const_tensor(source) if source is not None else None
    return [int(d) for d in tensor.shape.numpy()] if tensor is not None else []


def channels(node: ir.Node) -> tuple[int, int]:
    """Return (out, in per group) of a Conv, or (N, K) of a Gemm or MatMul; (0, 0) if not known."""
    shape = kernel(node)
    if len(shape) < 2:
        return 0, 0
    if node.op_type == "Conv":
        return shape[0], shape[1]
    if node.op_type == "ConvTranspose":
        return shape[1], shape[0]
    if node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1:
        return shape[0], shape[1]
    return shape[-1], shape[-2]


def is_of(node: ir.Node | None, types: Collection[str]) -> bool:
    """Tell whether there is a node and it is of one of these standard operators."""
    return node is not None and plain(node) and node.op_type in types


def is_integer(node: ir.Node) -> bool:
    """Tell whether a weighted node has a dequantized second input."""
    return len(node.inputs) > 1 and dequantizer(operand(node, 1)) is not None


def float_readers(value: ir.Value) -> list[ir.Node]:
    """Return the readers of a value, past views and the activation that fuses with its maker."""
    found = []
    for node, _ in readers(value):
        passes = is_of(node, EPILOGUES | MOVED)
        found += float_readers(node.outputs[0]) if passes else [node]
    return found
