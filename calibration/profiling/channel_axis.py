"""Channel axis: along which axis of a tensor a profile keeps extremes and means."""

__all__ = ["channel_axis"]

import onnx_ir as ir

from quant.graph.prepared_graph import weight_of


def channel_axis(value: ir.Value) -> int:
    """Return the axis along which a tensor's channels lie.

    1 of a matrix or a map, 2 of tokens. A map has its channels last where a layer of tokens makes or
    reads it: MatMul with a constant, LayerNormalization, a sum or product with a constant of that
    length; as in networks with windows.
    """
    rank = len(value.shape or ())
    if value.shape is None or rank < 4 or value.shape[-1] == 1:
        return 2 if rank == 3 else 1
    readers = [
        use.node for use in value.uses() if use.idx == 0 or use.node.op_type in ("Add", "Mul")
    ]
    if any(n.op_type in ("Conv", "ConvTranspose") for n in readers):
        return 1
    maker = value.producer()
    nodes = readers if maker is None else [*readers, maker]
    return rank - 1 if any(_of_tokens(n, value) for n in nodes) else 1


def _of_tokens(node: ir.Node, value: ir.Value) -> bool:
    """Tell whether a node treats the last axis of a map as its channels."""
    if node.op_type == "LayerNormalization":
        return node.attributes.get_int("axis", -1) in (-1, len(value.shape or ()) - 1)
    if node.op_type == "MatMul":
        return weight_of(node) is not None
    if node.op_type not in ("Add", "Mul") or value.shape is None:
        return False
    known = [v.const_value for v in node.inputs if v is not None and v.const_value is not None]
    return any(k.size > 1 and list(k.shape) == [value.shape[-1]] for k in known)
