"""Read the nodes of a Q/DQ graph: quantizers, producers, inputs, shapes and readers."""

__all__ = [
    "QUANTIZERS",
    "input_of",
    "is_quantizer",
    "is_standard",
    "place_of",
    "producer_of",
    "readers",
    "shape_of",
]

import onnx_ir as ir

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def place_of(item: ir.Node | ir.Value) -> str:
    r"""Return "node 'x'" or "tensor 'x'" on one line; a nameless node is named by its output."""
    name = item.name or ""
    kind = "node" if isinstance(item, ir.Node) else "tensor"
    if isinstance(item, ir.Node) and not name:
        kind = "node without a name that makes"
        name = next((v.name for v in item.outputs if v.name), "")
    return f"{kind} '{name.encode('unicode_escape').decode() if not name.isprintable() else name}'"


def is_standard(node: ir.Node) -> bool:
    """Return whether a node is of the standard operator set."""
    return node.domain in ("", "ai.onnx")


def is_quantizer(node: ir.Node | None, op: str | None = None) -> bool:
    """Return whether a node is a QuantizeLinear or DequantizeLinear; with `op`, only that type."""
    types = QUANTIZERS if op is None else (op,)
    return node is not None and is_standard(node) and node.op_type in types


def producer_of(value: ir.Value | None) -> ir.Node | None:
    """Return the node that computes a value, or None for a constant or a network input."""
    return value.producer() if value is not None else None


def input_of(node: ir.Node | None, index: int) -> ir.Value | None:
    """Return an input of a node, or None where there is no such node, or no such input."""
    return node.inputs[index] if node is not None and index < len(node.inputs) else None


def shape_of(value: ir.Value | None) -> list[int | ir.SymbolicDim] | None:
    """Return a value's inferred shape, or None."""
    return list(value.shape) if value is not None and value.shape is not None else None


def readers(value: ir.Value) -> list[tuple[ir.Node, int]]:
    """Return the nodes that read a value, each with the index of the input that reads it."""
    return [(use.node, use.idx) for use in value.uses()]
