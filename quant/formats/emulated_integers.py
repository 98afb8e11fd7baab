"""Integers of 4 and 16 bits, emulated in float32 by functions that every ONNX opset can hold."""

__all__ = ["EMULATED", "bound_function", "unexportable", "uniform_function"]

from collections.abc import Collection
from typing import TYPE_CHECKING

from quant.formats.number_format import DOMAIN
from quant.formats.precision import Precision

if TYPE_CHECKING:
    import onnx_ir as ir

EMULATED = (Precision.W4A8, Precision.W4A4, Precision.W8A16)
"""The precisions that every target of 8-bit integers can simulate, whatever its kernels are."""


def unexportable(
    precisions: Collection[Precision], formats: Collection[Precision]
) -> list[Precision]:
    """Return the precisions of a plan for which a target has no kernels.

    "w4a8" is not among them where there is "int8": 4-bit integers are 8-bit integers.

    Args:
        precisions: Those of the plan's layers.
        formats: Those of the target's table.
    """
    able = {*formats, *((Precision.W4A8,) if Precision.INT8 in formats else ())}
    return sorted({p for p in precisions if p in EMULATED and p not in able})


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
