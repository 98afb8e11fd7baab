"""What the rules about TensorRT's Q/DQ graphs speak of: a network, its quantizers, and findings."""

__all__ = [
    "QUANTIZERS",
    "is_quantizer",
    "label",
    "maker",
    "operand",
    "plain",
    "readers",
    "shape_of",
]

import onnx_ir as ir

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def label(thing: ir.Node | ir.Value) -> str:
    r"""Return "node 'x'" or "tensor 'x'" on one line; a node without name is told by its output."""
    name = thing.name or ""
    what = "node" if isinstance(thing, ir.Node) else "tensor"
    if isinstance(thing, ir.Node) and not name:
        what = "node without a name that makes"
        name = next((v.name for v in thing.outputs if v.name), "")
    return f"{what} '{name.encode('unicode_escape').decode() if not name.isprintable() else name}'"


def plain(node: ir.Node) -> bool:
    """Tell whether a node is of the standard operator set."""
    return node.domain in ("", "ai.onnx")


def is_quantizer(node: ir.Node | None, op: str | None = None) -> bool:
    """Tell whether a node is a QuantizeLinear or DequantizeLinear, or just the one of type `op`."""
    wanted = QUANTIZERS if op is None else (op,)
    return node is not None and plain(node) and node.op_type in wanted


def maker(value: ir.Value | None) -> ir.Node | None:
    """Return the node that makes a value, or None."""
    return value.producer() if value is not None else None


def operand(node: ir.Node | None, index: int) -> ir.Value | None:
    """Return an input of a node, or None where there is no such node, or no such input."""
    return node.inputs[index] if node is not None and index < len(node.inputs) else None


def shape_of(value: ir.Value | None) -> list[int | ir.SymbolicDim] | None:
    """Return a value's inferred shape, or None."""
    return list(value.shape) if value is not None and value.shape is not None else None


def readers(value: ir.Value) -> list[tuple[ir.Node, int]]:
    """Return who reads a value, and at which input."""
    return [(use.node, use.idx) for use in value.uses()]
