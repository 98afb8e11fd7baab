"""Bias place: where a layer's bias stands, its own input or the constant of the Add behind it."""

__all__ = ["bias_place"]

import onnx_ir as ir

from quant.graph.prepared_graph import weight_of


def bias_place(node: ir.Node) -> tuple[ir.Node, int] | None:
    """Return the node and input that hold a layer's bias; None where a MatMul has none.

    Conv, ConvTranspose and Gemm have it, or may get it, as input 2. A MatMul of more than two axes,
    the layer of transformers, has it in an Add that alone reads it and whose constant of one number
    an output nobody else reads.
    """
    weight = weight_of(node)
    if node.op_type != "MatMul" or weight is None:
        return (node, 2) if weight is not None else None
    uses = tuple(node.outputs[0].uses())
    add = uses[0].node if len(uses) == 1 else None
    if add is None or add.op_type != "Add" or node.outputs[0].is_graph_output():
        return None
    index = 1 - uses[0].idx
    bias = add.inputs[index]
    known = bias.const_value if bias is not None and bias.is_initializer() else None
    if bias is None or known is None or weight.shape is None or add.graph is not node.graph:
        return None
    shape = [int(n) for n in known.shape]  # type: ignore[arg-type]
    fits = bool(shape) and shape[-1] == weight.shape[-1] == known.size
    own = len(bias.uses()) == 1 and not bias.is_graph_output()
    return (add, index) if fits and own else None
