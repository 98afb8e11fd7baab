"""Heads: the weighted layers behind which there is no other, and the outputs that they make."""

__all__ = ["ends", "heads"]

import onnx_ir as ir

from quant.graph.layers import layers
from quant.graph.prepared_graph import WEIGHTED, Graph, weight_of


def heads(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return the names of the outputs that each head leads to, by node name, in graph order."""
    found = {}
    outputs = {id(v): str(v.name) for v in graph.outputs}
    for layer in layers(graph):
        if weight_of(layer.node) is not None:
            reached = _reached(layer.output)
            if reached is not None:
                found[layer.name] = tuple(outputs[i] for i in outputs if i in reached)
    return found


def ends(value: ir.Value) -> bool:
    """Tell whether a tensor reaches the outputs without another weighted layer."""
    return _reached(value) is not None


def _reached(value: ir.Value) -> set[int] | None:
    """Return the ids of all values behind one, or None where a weighted layer is among the readers."""
    queue, known = [value], {id(value)}
    while queue:
        for use in queue.pop().uses():
            if use.node.op_type in WEIGHTED and weight_of(use.node) is not None:
                return None
            for made in use.node.outputs:
                if id(made) not in known:
                    known.add(id(made))
                    queue.append(made)
    return known
