"""Switch: a layer as an ONNX `If` between its float form and its quantized ones."""

__all__ = [
    "Switch",
    "TensorSwitch",
    "add_switches",
    "copied_chain",
    "copied_node",
    "outer_twin",
    "producer_of",
]

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.graph.edit import add_constant
from quant.graph.layer import Layer
from quant.graph.prepared_graph import named_values
from quant.simulate.quantizer_nodes import grid_chain, grid_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """What becomes of one layer, turn by turn.

    Attributes:
        layer: Of the float graph.
        versions: For each quantized graph that it is taken from the values by name.
        table: For each turn 0 for float, or k for `versions[k - 1]`.
    """

    layer: Layer
    versions: Sequence[Mapping[str, ir.Value]]
    table: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSwitch:
    """What becomes of one tensor for all its readers, turn by turn.

    Attributes:
        tensor: Its name in the float graph.
        versions: For each quantized graph that its grid is taken from the values by name.
        table: For each turn 0 for float, or k for `versions[k - 1]`.
    """

    tensor: str
    versions: Sequence[Mapping[str, ir.Value]]
    table: Sequence[int]


def add_switches(
    model: ir.Model,
    switches: Sequence[Switch],
    turn_name: str,
    tensors: Sequence[TensorSwitch] = (),
) -> None:
    """Replace layers by an If between their float and their quantized forms.

    Args:
        model: Edited in place; it holds the layers under their names.
        switches: In topological order.
        turn_name: Name of the int64 input that is added: whose turn it is.
        tensors: These get an If of their own between their numbers and those on the grid; a
            quantized layer does not quantize them itself.
    """
    graph = model.graph
    turn = ir.Value(name=turn_name, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
    graph.inputs.append(turn)
    nodes = {str(n.name): n for n in graph}
    values = named_values(model)
    apart = {switch.tensor for switch in tensors}
    for number, switch in enumerate(switches):
        old = nodes[switch.layer.name]
        activation = switch.layer.activation
        behind = nodes[str(activation.name)] if activation is not None else None
        table = _constant(graph, f"quant.turn.{number}", np.array(switch.table, np.int64))
        state = ir.node("Gather", [table, turn])
        graph.insert_before(old, [state])
        made = _chosen(old, behind, switch, values, graph, state.outputs[0], 1, apart)
        graph.insert_before(old, list(made))
        last = behind or old
        outputs = [last.outputs[0], *old.outputs[1:]]
        for output, switched in zip(outputs, made[-1].outputs, strict=True):
            name = str(output.name)
            output.replace_all_uses_with(switched, replace_graph_outputs=True)
            switched.name, switched.type = name, ir.TensorType(ir.DataType.FLOAT)
            output.name = f"{name}.replaced"
            values[name] = switched
        graph.remove([n for n in (behind, old) if n is not None])
    for number, own in enumerate(tensors):
        _switch_tensor(own, f"quant.tensor.{number}", turn, values, graph)


def _switch_tensor(
    switch: TensorSwitch,
    name: str,
    turn: ir.Value,
    values: dict[str, ir.Value],
    graph: ir.Graph,
) -> None:
    """Put Ifs behind a tensor, one for each version, that let through what is on its grid."""
    if not switch.versions:
        return
    value = values[switch.tensor]
    uses = [(use.node, use.idx) for use in value.uses()]
    shown = [index for index, output in enumerate(graph.outputs) if output is value]
    table = _constant(graph, name, np.array(switch.table, np.int64))
    state = ir.node("Gather", [table, turn])
    made = [state]
    seen = value
    for version, quantized in enumerate(switch.versions, 1):
        number = _constant(graph, f"quant.version.{version}", np.array(version, np.int64))
        condition = ir.node("Equal", [state.outputs[0], number])
        label = f"{name}.{version}"
        chain = copied_chain(grid_of(quantized[switch.tensor]), seen, label, values, graph)
        same = ir.node("Identity", [seen])
        same.outputs[0].name = f"{label}.same"
        branches = []
        for nodes in (chain, [same]):
            nodes[-1].outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
            branches.append(ir.Graph([], [nodes[-1].outputs[0]], nodes=nodes, name=label))
        chosen = ir.node(
            "If",
            [condition.outputs[0]],
            {"then_branch": branches[0], "else_branch": branches[1]},
        )
        seen = chosen.outputs[0]
        seen.name, seen.type = f"{label}.seen", ir.TensorType(ir.DataType.FLOAT)
        made += [condition, chosen]
    maker = value.producer()
    if maker is not None:
        graph.insert_after(maker, made)
    else:
        graph.insert_before(graph[0], made)
    for node, index in uses:
        node.replace_input_with(index, seen)
    for index in shown:
        graph.outputs[index] = seen
        value.name, seen.name = f"{switch.tensor}.float", switch.tensor


def _chosen(
    old: ir.Node,
    behind: ir.Node | None,
    switch: Switch,
    values: dict[str, ir.Value],
    graph: ir.Graph,
    state: ir.Value,
    version: int,
    apart: AbstractSet[str],
) -> tuple[ir.Node, ir.Node]:
    """Return the nodes that give version k where that is the state, and else a later one, or float."""
    number = _constant(graph, f"quant.version.{version}", np.array(version, np.int64))
    condition = ir.node("Equal", [state, number])
    quantized = switch.versions[version - 1]
    if version == len(switch.versions):
        other = _branch(old, behind, list(old.inputs), "float")
    else:
        inner = _chosen(old, behind, switch, values, graph, state, version + 1, apart)
        for index, value in enumerate(inner[-1].outputs):
            value.name = f"later.{version}.{old.outputs[0].name}.{index}"
            value.type = ir.TensorType(ir.DataType.FLOAT)
        inner[0].outputs[0].name = f"later.{version}.{old.outputs[0].name}.condition"
        other = ir.Graph([], list(inner[-1].outputs), nodes=inner, name=f"later {old.name}")
    chosen = ir.node(
        "If",
        [condition.outputs[0]],
        {
            "then_branch": _quantized_branch(old, behind, quantized, values, graph, version, apart),
            "else_branch": other,
        },
        num_outputs=len(old.outputs),
    )
    return condition, chosen


def _constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """Return an initializer, the one of that name where there is one."""
    known = graph.initializers.get(name)
    if known is None:
        known = add_constant(graph, name, array, typed=False)
    return known


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
    quantized: Mapping[str, ir.Value],
    values: dict[str, ir.Value],
    graph: ir.Graph,
    version: int,
    apart: AbstractSet[str],
) -> ir.Graph:
    """Return the layer as the quantized graph has it, its quantizers inside the branch."""
    twin = producer_of(quantized, str(node.outputs[0].name))
    tag = f"quantized.{version}"
    before: list[ir.Node] = []
    inputs: list[ir.Value | None] = []
    for index, value in enumerate(twin.inputs):
        chain = grid_chain(value)
        own = node.inputs[index] if index < len(node.inputs) else None
        if not chain or (own is not None and own.name in apart):
            constant = value is None or value.const_value is not None
            inputs.append(outer_twin(value, values, graph) if constant else own)
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
    if last.outputs[0].is_graph_output() and last.outputs[0].name not in apart:
        after = _output_grid(quantized, str(last.outputs[0].name), tag, values, graph)
    return _branch(node, behind, inputs, tag, before, after)


def _output_grid(
    quantized: Mapping[str, ir.Value],
    name: str,
    tag: str,
    values: dict[str, ir.Value],
    graph: ir.Graph,
) -> list[ir.Node]:
    """Return copies of the quantizers on an output of the network, unconnected."""
    return copied_chain(grid_chain(quantized[name]), None, f"{tag}.{name}", values, graph)


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


def producer_of(quantized: Mapping[str, ir.Value], name: str) -> ir.Node:
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
    """Return the outer graph's twin of a constant, registering it on first use.

    Two quantized graphs may hold different numbers under one name, as a fitted bias and the float
    graph's own: then it gets another name.
    """
    if value is None or value.const_value is None:
        return value
    name = str(value.name)
    while (known := values.get(name)) is not None:
        if _same(known.const_value, value.const_value):
            return known
        name += "'"
    known = ir.Value(name=name, const_value=value.const_value)
    graph.register_initializer(known)
    values[name] = known
    return known


def _same(a: ir.TensorProtocol | None, b: ir.TensorProtocol) -> bool:
    """Tell whether two constants hold the same bytes."""
    if a is None or a is b:
        return a is b
    return (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()
