"""Cut a graph before the nodes that NNIE cannot compute: a head for the chip, a tail for the CPU."""

__all__ = ["cut_tail"]

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

import onnx_ir as ir
import onnx_ir.passes.common as passes

from quant.graph.fixed_shapes import with_fixed_shapes
from quant.graph.layers import VIEWS
from quant.graph.prepared_graph import Graph, named_values, weight_of

LAYOUT = VIEWS | {"Concat", "Slice", "Split", "Cast", "Expand", "Tile", "Pad"}
"""Operators that only move numbers: a cut behind them would be no better than one before them."""


def cut_tail(
    graph: Graph, refused: AbstractSet[str], sizes: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[Graph, ir.Model] | None:
    """Return the graph before the refused nodes, and the rest as a model for the host's CPU.

    Both have batch 1 and the input shapes `sizes`; tensors that depend on shapes alone are
    constant. The tail holds the nodes that depend on a refused node, and the nodes that only move
    numbers on the way to them. Run one after the other, they compute the whole graph's outputs:
    the head's outputs are the tensors that the tail reads, and then the graph's outputs that do not
    depend on a refused node. The tail's inputs are those tensors, and the network inputs that it
    reads itself.

    None when there is nothing to cut off, when a layer with weights depends on a refused node, or
    when nothing with weights would be left in the head.

    Raises:
        InputError: A size is wrong.
    """
    graph = Graph(with_fixed_shapes(graph, sizes or {}), graph.name, graph.source, graph.notes)
    nodes = graph.nodes
    tail = _downstream(nodes, refused)
    if not tail or any(weight_of(n) is not None for n in tail):
        return None
    _extend_tail(nodes, tail)
    if not any(weight_of(n) is not None for n in nodes if n not in tail):
        return None
    tail_inputs = _tail_inputs([n for n in nodes if n in tail])
    inputs = {str(v.name) for v in graph.inputs}
    crossing = [str(v.name) for v in tail_inputs if str(v.name) not in inputs]
    head_outputs = [str(v.name) for v in graph.outputs if v.producer() not in tail]
    head = graph.clone()
    values = named_values(head)
    head.graph.outputs[:] = [values[n] for n in dict.fromkeys([*crossing, *head_outputs])]
    passes.RemoveUnusedNodesPass()(head)
    notes = (*graph.notes, f"{len(tail)} nodes cut off behind {len(crossing)} tensors")
    names = {str(n.name) for n in tail}
    return Graph(head, graph.name, graph.source, notes), _tail(graph, names, tail_inputs)


def _downstream(nodes: Iterable[ir.Node], refused: AbstractSet[str]) -> set[ir.Node]:
    """Return the refused nodes and all that depend on them; `nodes` are in topological order."""
    downstream: set[ir.Node] = set()
    for node in nodes:
        if node.name in refused or any(p in downstream for p in node.predecessors()):
            downstream.add(node)
    return downstream


def _extend_tail(nodes: list[ir.Node], tail: set[ir.Node]) -> None:
    """Add to the tail the nodes that only move numbers for it, and those that compute its shapes."""
    for node in reversed(nodes):
        readers = node.successors()
        reported = any(v.is_graph_output() for v in node.outputs)
        if node in tail or reported or not any(r in tail for r in readers):
            continue
        integers = all(v.dtype not in (None, ir.DataType.FLOAT) for v in node.outputs)
        if integers or (node.op_type in LAYOUT and all(r in tail for r in readers)):
            tail.add(node)


def _tail_inputs(tail: list[ir.Node]) -> list[ir.Value]:
    """Return the tensors that the tail reads and does not compute itself, without constants."""
    inputs = [v for node in tail for v in node.inputs if v is not None and not v.is_initializer()]
    nodes = set(tail)
    return list(dict.fromkeys(v for v in inputs if v.producer() not in nodes))


def _tail(graph: Graph, names: set[str], tail_inputs: list[ir.Value]) -> ir.Model:
    """Return a model of the nodes of these names; its inputs are the tensors `tail_inputs`."""
    model = graph.clone()
    model.graph.name = f"{graph.name}_tail"
    values = named_values(model)
    inputs = []
    for value in tail_inputs:
        outer = values[str(value.name)]
        inner = ir.Value(name=f"{outer.name}", type=outer.type, shape=outer.shape)
        for use in tuple(outer.uses()):
            if use.node.name in names:
                use.node.replace_input_with(use.idx, inner)
        inputs.append(inner)
    outputs = [v for v in model.graph.outputs if (p := v.producer()) and p.name in names]
    model.graph.outputs[:] = outputs
    head = [n for n in model.graph if n.name not in names]
    model.graph.remove(head, safe=False)
    model.graph.inputs[:] = inputs
    passes.RemoveUnusedNodesPass()(model)
    return model
