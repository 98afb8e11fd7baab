"""The nodes of a simulated graph that put a tensor on its grid."""

__all__ = ["behind_grid", "grid_chain", "grid_of", "is_grid"]

import onnx_ir as ir

from quant.formats.onnx_functions import DOMAIN

PAIR = ("QuantizeLinear", "DequantizeLinear")


def is_grid(node: ir.Node | None) -> bool:
    """Return whether a node is a quantizer; a model that brings its own is refused at loading."""
    return node is not None and (node.op_type in PAIR or node.domain == DOMAIN)


def grid_chain(value: ir.Value | None) -> list[ir.Node]:
    """Return the grid nodes that lead up to a value, first to last; none for a plain value."""
    chain: list[ir.Node] = []
    maker = value.producer() if value is not None else None
    while maker is not None and is_grid(maker):
        chain.insert(0, maker)
        before = maker.inputs[0]
        maker = before.producer() if before is not None else None
    return chain


def behind_grid(value: ir.Value) -> ir.Value:
    """Return the value that readers get behind a value's grid nodes, or the value where it has none."""
    for use in value.uses():
        if is_grid(use.node) and use.idx == 0:
            return behind_grid(use.node.outputs[0])
    return value


def grid_of(value: ir.Value) -> list[ir.Node]:
    """Return the grid nodes of a tensor, first to last: before a network output, else behind it."""
    if chain := grid_chain(value):
        return chain
    while (node := _next(value)) is not None:
        chain.append(node)
        value = node.outputs[0]
    return chain


def _next(value: ir.Value) -> ir.Node | None:
    return next((u.node for u in value.uses() if is_grid(u.node) and u.idx == 0), None)
