"""Remove the nodes that hand their input through: Identity, and Dropout at inference."""

__all__ = ["drop_through"]

import onnx_ir as ir


def drop_through(graph: ir.Graph) -> int:
    """Remove them from the main graph and return their number; output names stay.

    An Identity from an input, initializer or output to another output must stay: one value
    cannot bear two names.
    """
    dropped = 0
    for node in list(graph):
        if not _through(node):
            continue
        source, result = node.inputs[0], node.outputs[0]
        if source is None:
            continue
        name, ends = result.name, result.is_graph_output()
        fixed = source.is_graph_input() or source.is_initializer() or source.is_graph_output()
        if ends and (fixed or source.graph is not graph):
            continue
        ir.convenience.replace_all_uses_with(result, source, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        if ends:
            source.name = name
            source.type, source.shape = result.type, result.shape
        dropped += 1
    return dropped


def _through(node: ir.Node) -> bool:
    """Return whether the node's first output equals its first input and is its only used one."""
    if node.domain != "" or any(v.uses() or v.is_graph_output() for v in node.outputs[1:]):
        return False
    if node.op_type == "Dropout":
        flag = node.inputs[2] if len(node.inputs) > 2 else None
        training = ir.convenience.get_const_tensor(flag) if flag is not None else None
        return flag is None or (training is not None and not training.numpy().any())
    return node.op_type == "Identity"
