"""Fittable: which layers have integers and a bias that may be fitted to what they compute."""

__all__ = ["across", "has_bias", "has_rows", "on_integers", "own_bias"]

import onnx_ir as ir

from quant.formats.number_format import Integer
from quant.improve.fit.torch_operators import can_run
from quant.plan.tensor_plans import TensorPlan


def has_rows(node: ir.Node, weight: ir.Value) -> bool:
    """Tell whether a layer's output is a product of rows with its weight, which it alone reads."""
    rank = len(weight.shape) if weight.shape is not None else 0
    if len(weight.uses()) != 1 or weight.is_graph_output():
        return False
    if node.op_type == "Conv":
        return rank == 4 and can_run(node)
    if node.op_type == "Gemm":
        told = node.attributes
        scaled = told.get_float("alpha", 1.0), told.get_float("beta", 1.0)
        return not told.get_int("transA", 0) and scaled == (1.0, 1.0)
    return node.op_type == "MatMul" and rank == 2


def has_bias(node: ir.Node) -> bool:
    """Tell whether a Conv or Gemm has a bias."""
    return node.op_type != "MatMul" and len(node.inputs) > 2 and node.inputs[2] is not None


def own_bias(node: ir.Node) -> bool:
    """Tell whether a bias is none, or a constant with one number for each output."""
    if not has_bias(node):
        return True
    bias, weight = node.inputs[2], node.inputs[1]
    assert bias is not None
    assert weight is not None
    if not bias.is_initializer() or bias.shape is None or weight.shape is None:
        return False
    axis = 0 if node.op_type == "Conv" or across(node) else 1
    return len(bias.shape) == 1 and bias.shape[0] == weight.shape[axis]


def on_integers(grid: TensorPlan) -> bool:
    """Tell whether a weight lies on uniform integers around zero, with a scale per output or one."""
    number = grid.number
    return isinstance(number, Integer) and number.symmetric and number.signed and number.bits <= 8


def across(node: ir.Node) -> bool:
    """Tell whether a matrix has its outputs along axis 0."""
    turned: int = node.attributes.get_int("transB", 0)
    return node.op_type == "Gemm" and turned == 1
