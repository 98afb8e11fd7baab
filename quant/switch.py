"""Switch: a layer as an ONNX `If` between its float and its quantized form."""

__all__ = ["add_switches", "copied_chain", "copied_node", "outer_twin", "producer_of"]

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from quant.graph import named_values
from quant.grid_nodes import grid_chain
from quant.layers import Layer


def add_switches(
    model: ir.Model, run: Sequence[Layer], quantized: dict[str, ir.Value], turn_name: str
) -> None:
    """Replace each layer of a run by an If between its float and its quantized form.

    Args:
        model: Edited in place; it holds the layers of `run` under their names.
        run: Layers, in topological order.
        quantized: The values of the quantized graph by name.
        turn_name: Name of the int64 input that is added: the position in `run` of the layer that is
            quantized.
    """
    graph = model.graph
    turn = ir.Value(name=turn_name, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
    graph.inputs.append(turn)
    nodes = {str(n.name): n for n in graph}
    values = named_values(model)
    for offset, layer in enumerate(run):
        number = ir.Value(
            name=f"quant.turn.{offset}",
            const_value=ir.tensor(np.array(offset, np.int64), name=f"quant.turn.{offset}"),
        )
        graph.register_initializer(number)
        condition = ir.node("Equal", [turn, number])
        old = nodes[layer.name]
        behind = nodes[str(layer.activation.name)] if layer.activation is not None else None
        last = behind or old
        switch = ir.node(
            "If",
            [condition.outputs[0]],
            {
                "then_branch": _quantized_branch(old, behind, quantized, values, graph),
                "else_branch": _branch(old, behind, list(old.inputs), "float"),
            },
            num_outputs=len(old.outputs),
        )
        graph.insert_before(old, [condition, switch])
        outputs = [last.outputs[0], *old.outputs[1:]]
        for output, switched in zip(outputs, switch.outputs, strict=True):
            name = str(output.name)
            output.replace_all_uses_with(switched, replace_graph_outputs=True)
            switched.name, switched.type = name, ir.TensorType(ir.DataType.FLOAT)
            output.name = f"{name}.replaced"
            values[name] = switched
        graph.remove([n for n in (behind, old) if n is not None])


def _branch(
    node: ir.Node,
    behind: ir.Node | None,
    inputs: Sequence[ir.Value | None],
    tag: str,
    before: Sequence[ir.Node] = (),
    after: Sequence[ir.Node] = (),
) -> ir.Graph:
    """Return a subgraph with copies of a layer's nodes; what it reads belongs to the outer graph."""
    first = copied_node(node, inputs, f"{tag}.{node.outputs[0].name}")
    made = [*before, first]
    if behind is not None:
        rest = [first.outputs[0], *behind.inputs[1:]]
        made.append(copied_node(behind, rest, f"{tag}.{behind.outputs[0].name}"))
    output = made[-1].outputs[0]
    for tail in after:
        tail.replace_input_with(0, output)
        output = tail.outputs[0]
        made.append(tail)
    outputs = [output, *first.outputs[1:]]
    for value in outputs:
        value.type = ir.TensorType(ir.DataType.FLOAT)
    return ir.Graph([], outputs, nodes=made, name=f"{tag} {node.name}")


def copied_node(node: ir.Node, inputs: Sequence[ir.Value | None], output: str) -> ir.Node:
    """Return a node of the same operator and attributes; its outputs are named after `output`."""
    made = ir.node(
        node.op_type,
        list(inputs),
        dict(node.attributes),
        domain=node.domain,
        num_outputs=len(node.outputs),
        name=f"{output}.node",
    )
    for index, value in enumerate(made.outputs):
        value.name = output if index == 0 else f"{output}.{index}"
    return made


def _quantized_branch(
    node: ir.Node,
    behind: ir.Node | None,
    quantized: dict[str, ir.Value],
    values: dict[str, ir.Value],
    graph: ir.Graph,
) -> ir.Graph:
    """Return the layer as the quantized graph has it, its quantizers inside the branch."""
    twin = producer_of(quantized, str(node.outputs[0].name))
    tag = "quantized"
    before: list[ir.Node] = []
    inputs: list[ir.Value | None] = []
    for index, value in enumerate(twin.inputs):
        chain = grid_chain(value)
        if not chain:
            inputs.append(outer_twin(value, values, graph))
            continue
        source = chain[0].inputs[0]
        stored = chain[0].op_type == "DequantizeLinear"  # of a weight or bias kept as integers
        feed = outer_twin(source, values, graph) if stored else node.inputs[index]
        name = f"{tag}.{node.outputs[0].name}.input{index}"
        copies = copied_chain(chain, feed, name, values, graph)
        before += copies
        inputs.append(copies[-1].outputs[0])
    after: list[ir.Node] = []
    last = behind or node
    if last.outputs[0].is_graph_output():
        after = _output_grid(quantized, str(last.outputs[0].name), values, graph)
    return _branch(node, behind, inputs, tag, before, after)


def _output_grid(
    quantized: dict[str, ir.Value], name: str, values: dict[str, ir.Value], graph: ir.Graph
) -> list[ir.Node]:
    """Return copies of the quantizers on an output of the network, unconnected."""
    return copied_chain(grid_chain(quantized[name]), None, f"quantized.{name}", values, graph)


def copied_chain(
    chain: Sequence[ir.Node],
    feed: ir.Value | None,
    name: str,
    values: dict[str, ir.Value],
    graph: ir.Graph,
) -> list[ir.Node]:
    """Return copies of grid nodes, the first fed with `feed`."""
    copies: list[ir.Node] = []
    for number, one in enumerate(chain):
        grid = [outer_twin(v, values, graph) for v in one.inputs[1:]]
        copies.append(copied_node(one, [feed, *grid], f"{name}.grid{number}"))
        feed = copies[-1].outputs[0]
    return copies


def producer_of(quantized: dict[str, ir.Value], name: str) -> ir.Node:
    """Return the node that makes a tensor in the quantized graph, in front of its quantizer."""
    chain = grid_chain(quantized[name])
    value = chain[0].inputs[0] if chain else quantized[name]
    node = value.producer() if value is not None else None
    if node is None:
        raise KeyError(name)
    return node


def outer_twin(
    value: ir.Value | None, values: dict[str, ir.Value], graph: ir.Graph
) -> ir.Value | None:
    """Return the outer graph's twin of a constant, registering it on first use."""
    if value is None or value.const_value is None:
        return value
    known = values.get(str(value.name))
    if known is None:
        known = ir.Value(name=value.name, const_value=value.const_value)
        graph.register_initializer(known)
        values[str(value.name)] = known
    return known
