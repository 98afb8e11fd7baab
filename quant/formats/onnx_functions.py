"""ONNX functions for integers that QuantizeLinear does not have before opset 21: 2 to 7, 9 to 16 bits."""

__all__ = ["DOMAIN", "bound_function", "uniform_function"]

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

DOMAIN = "quant"
"""The ONNX domain of our model-local functions."""


def bound_function(opset: int) -> "ir.Function":
    """Return the body of `quant::Bound`: x, low, high -> min(max(x, low), high)."""
    import onnx_ir as ir  # here: it takes longer to import than all our tables

    x, low, high = (ir.Value(name=name) for name in ("x", "low", "high"))
    lower = ir.node("Max", [x, low])
    upper = ir.node("Min", [lower.outputs[0], high])
    return _function("Bound", [x, low, high], [lower, upper], opset)


def uniform_function(opset: int) -> "ir.Function":
    """Return the body of `quant::Uniform`: fake quantization in float32, half to even.

    x, scale, zero_point, least, most -> scale * (clip(round(x / scale) + zero_point) - zero_point).
    Exact for integers up to 2**24.
    """
    import onnx_ir as ir  # here: it takes longer to import than all our tables

    inputs = [ir.Value(name=n) for n in ("x", "scale", "zero_point", "least", "most")]
    x, scale, zero, least, most = inputs
    nodes = [ir.node("Div", [x, scale])]
    for op, other in (
        ("Round", None),
        ("Add", zero),
        ("Max", least),
        ("Min", most),
        ("Sub", zero),
        ("Mul", scale),
    ):
        before = nodes[-1].outputs[0]
        nodes.append(ir.node(op, [before] if other is None else [before, other]))
    return _function("Uniform", inputs, nodes, opset)


def _function(
    name: str, inputs: "list[ir.Value]", nodes: "list[ir.Node]", opset: int
) -> "ir.Function":
    import onnx_ir as ir  # here: it takes longer to import than all our tables

    graph = ir.Graph(inputs, nodes[-1].outputs, nodes=nodes, opset_imports={"": opset}, name=name)
    return ir.Function(DOMAIN, name, "", graph=graph, attributes=[])
