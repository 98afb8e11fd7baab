"""Replace layers by an ONNX `If` between their float form and their quantized ones."""

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
    """The forms of one layer, and which of them each turn runs.

    Attributes:
        layer: The layer of the float graph.
        versions: The values by name of each quantized graph that it is taken from.
        table: For each turn 0 for float, or k for `versions[k - 1]`.
    """

    layer: Layer
    versions: Sequence[Mapping[str, ir.Value]]
    table: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSwitch:
    """The forms of one tensor for all its readers, and which of them each turn runs.

    Attributes:
        tensor: Its name in the float graph.
        versions: The values by name of each quantized graph that its grid is taken from.
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
        turn_name: Name of the int64 input that is added: the number of the turn.
        tensors: These get an If of their own between their numbers and those on the grid; a
            quantized layer does not quantize them itself.
    """
    graph = model.graph
    turn = ir.Value(name=turn_name, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
    graph.inputs.append(turn)
    editor = _SwitchEditor(
        graph=graph,
        turn=turn,
        values=named_values(model),
        apart=frozenset(switch.tensor for switch in tensors),
    )
    nodes = {str(n.name): n for n in graph}
    for number, switch in enumerate(switches):
        activation = switch.layer.activation
        old = _FloatNodes(
            node=nodes[switch.layer.name],
            behind=nodes[str(activation.name)] if activation is not None else None,
        )
        editor.switch_layer(old, switch, f"quant.turn.{number}")
    for number, tensor in enumerate(tensors):
        editor.switch_tensor(tensor, f"quant.tensor.{number}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _FloatNodes:
    """The nodes of a layer in the graph under edit: the operator, and the activation behind it."""

    node: ir.Node
    behind: ir.Node | None

    @property
    def last(self) -> ir.Node:
        return self.behind or self.node


@dataclass(frozen=True, slots=True, kw_only=True)
class _SwitchEditor:
    """A float graph under edit, in which layers become switches.

    Attributes:
        graph: Edited in place.
        turn: The input that holds the number of the turn.
        values: The graph's values by name, kept up to date.
        apart: Names of the tensors that have a switch of their own.
    """

    graph: ir.Graph
    turn: ir.Value
    values: dict[str, ir.Value]
    apart: AbstractSet[str]

    def switch_layer(self, old: _FloatNodes, switch: Switch, name: str) -> None:
        """Replace a layer's nodes by an If among its forms; `name` is that of its table."""
        state = self._state(name, switch.table)
        self.graph.insert_before(old.node, [state])
        chosen = self._chosen(old, switch, state.outputs[0], 1)
        self.graph.insert_before(old.node, list(chosen))
        outputs = [old.last.outputs[0], *old.node.outputs[1:]]
        for output, switched in zip(outputs, chosen[-1].outputs, strict=True):
            output_name = str(output.name)
            output.replace_all_uses_with(switched, replace_graph_outputs=True)
            switched.name, switched.type = output_name, ir.TensorType(ir.DataType.FLOAT)
            output.name = f"{output_name}.replaced"
            self.values[output_name] = switched
        self.graph.remove([n for n in (old.behind, old.node) if n is not None])

    def switch_tensor(self, switch: TensorSwitch, name: str) -> None:
        """Put Ifs behind a tensor, one for each version, that let through what is on its grid."""
        if not switch.versions:
            return
        graph = self.graph
        value = self.values[switch.tensor]
        uses = [(use.node, use.idx) for use in value.uses()]
        output_places = [index for index, output in enumerate(graph.outputs) if output is value]
        state = self._state(name, switch.table)
        nodes = [state]
        current = value
        for version, quantized in enumerate(switch.versions, 1):
            condition = self._condition(state.outputs[0], version)
            label = f"{name}.{version}"
            chain = copied_chain(
                grid_of(quantized[switch.tensor]), current, label, self.values, graph
            )
            same = ir.node("Identity", [current])
            same.outputs[0].name = f"{label}.same"
            branches = []
            for branch in (chain, [same]):
                branch[-1].outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
                branches.append(ir.Graph([], [branch[-1].outputs[0]], nodes=branch, name=label))
            chosen = ir.node(
                "If",
                [condition.outputs[0]],
                {"then_branch": branches[0], "else_branch": branches[1]},
            )
            current = chosen.outputs[0]
            current.name, current.type = f"{label}.seen", ir.TensorType(ir.DataType.FLOAT)
            nodes += [condition, chosen]
        maker = value.producer()
        if maker is not None:
            graph.insert_after(maker, nodes)
        else:
            graph.insert_before(graph[0], nodes)
        for node, index in uses:
            node.replace_input_with(index, current)
        for index in output_places:
            graph.outputs[index] = current
            value.name, current.name = f"{switch.tensor}.float", switch.tensor

    def _state(self, name: str, table: Sequence[int]) -> ir.Node:
        """Return the node that looks the turn up in a table."""
        constant = self._constant(name, np.array(table, np.int64))
        return ir.node("Gather", [constant, self.turn])

    def _condition(self, state: ir.Value, version: int) -> ir.Node:
        """Return the node that is true where a state is this version."""
        number = self._constant(f"quant.version.{version}", np.array(version, np.int64))
        return ir.node("Equal", [state, number])

    def _constant(self, name: str, array: NDArray[Any]) -> ir.Value:
        """Return an initializer, the one of that name where there is one."""
        constant = self.graph.initializers.get(name)
        if constant is None:
            constant = add_constant(self.graph, name, array, typed=False)
        return constant

    def _chosen(
        self, old: _FloatNodes, switch: Switch, state: ir.Value, version: int
    ) -> tuple[ir.Node, ir.Node]:
        """Return the nodes that give version k where that is the state, else a later one or float."""
        condition = self._condition(state, version)
        quantized = switch.versions[version - 1]
        if version == len(switch.versions):
            other = _branch(old, list(old.node.inputs), "float")
        else:
            inner = self._chosen(old, switch, state, version + 1)
            for index, value in enumerate(inner[-1].outputs):
                value.name = f"later.{version}.{old.node.outputs[0].name}.{index}"
                value.type = ir.TensorType(ir.DataType.FLOAT)
            inner[0].outputs[0].name = f"later.{version}.{old.node.outputs[0].name}.condition"
            outputs = list(inner[-1].outputs)
            other = ir.Graph([], outputs, nodes=inner, name=f"later {old.node.name}")
        chosen = ir.node(
            "If",
            [condition.outputs[0]],
            {
                "then_branch": self._quantized_branch(old, quantized, version),
                "else_branch": other,
            },
            num_outputs=len(old.node.outputs),
        )
        return condition, chosen

    def _quantized_branch(
        self, old: _FloatNodes, quantized: Mapping[str, ir.Value], version: int
    ) -> ir.Graph:
        """Return the layer as the quantized graph has it, its quantizers inside the branch."""
        node = old.node
        twin = producer_of(quantized, str(node.outputs[0].name))
        tag = f"quantized.{version}"
        before: list[ir.Node] = []
        inputs: list[ir.Value | None] = []
        for index, value in enumerate(twin.inputs):
            chain = grid_chain(value)
            own = node.inputs[index] if index < len(node.inputs) else None
            if not chain or (own is not None and own.name in self.apart):
                constant = value is None or value.const_value is not None
                inputs.append(outer_twin(value, self.values, self.graph) if constant else own)
                continue
            source = chain[0].inputs[0]
            stored = chain[0].op_type == "DequantizeLinear"  # of a weight or bias kept as integers
            feed = outer_twin(source, self.values, self.graph) if stored else node.inputs[index]
            name = f"{tag}.{node.outputs[0].name}.input{index}"
            copies = copied_chain(chain, feed, name, self.values, self.graph)
            before += copies
            inputs.append(copies[-1].outputs[0])
        output = old.last.outputs[0]
        after: list[ir.Node] = []
        if output.is_graph_output() and output.name not in self.apart:
            name = str(output.name)
            chain = grid_chain(quantized[name])
            after = copied_chain(chain, None, f"{tag}.{name}", self.values, self.graph)
        return _branch(old, inputs, tag, before, after)


def _branch(
    old: _FloatNodes,
    inputs: Sequence[ir.Value | None],
    tag: str,
    before: Sequence[ir.Node] = (),
    after: Sequence[ir.Node] = (),
) -> ir.Graph:
    """Return a subgraph with copies of a layer's nodes; what it reads belongs to the outer graph."""
    first = copied_node(old.node, inputs, f"{tag}.{old.node.outputs[0].name}")
    nodes = [*before, first]
    if old.behind is not None:
        operands = [first.outputs[0], *old.behind.inputs[1:]]
        nodes.append(copied_node(old.behind, operands, f"{tag}.{old.behind.outputs[0].name}"))
    output = nodes[-1].outputs[0]
    for tail in after:
        tail.replace_input_with(0, output)
        output = tail.outputs[0]
        nodes.append(tail)
    outputs = [output, *first.outputs[1:]]
    for value in outputs:
        value.type = ir.TensorType(ir.DataType.FLOAT)
    return ir.Graph([], outputs, nodes=nodes, name=f"{tag} {old.node.name}")


def copied_node(node: ir.Node, inputs: Sequence[ir.Value | None], output: str) -> ir.Node:
    """Return a node of the same operator and attributes; its outputs are named after `output`."""
    copy = ir.node(
        node.op_type,
        list(inputs),
        dict(node.attributes),
        domain=node.domain,
        num_outputs=len(node.outputs),
        name=f"{output}.node",
    )
    for index, value in enumerate(copy.outputs):
        value.name = output if index == 0 else f"{output}.{index}"
    return copy


def copied_chain(
    chain: Sequence[ir.Node],
    feed: ir.Value | None,
    name: str,
    values: dict[str, ir.Value],
    graph: ir.Graph,
) -> list[ir.Node]:
    """Return copies of grid nodes, the first fed with `feed`.

    Args:
        chain: Grid nodes of a quantized graph, first to last.
        feed: The value that the first copy reads; None leaves it open.
        name: Prefix of the names of what the copies make.
        values: The values of `graph` by name; constants of the chain are added.
        graph: The outer graph, which gets the constants.
    """
    copies: list[ir.Node] = []
    for number, node in enumerate(chain):
        grid = [outer_twin(v, values, graph) for v in node.inputs[1:]]
        copies.append(copied_node(node, [feed, *grid], f"{name}.grid{number}"))
        feed = copies[-1].outputs[0]
    return copies


def producer_of(quantized: Mapping[str, ir.Value], name: str) -> ir.Node:
    """Return the node that makes a tensor in the quantized graph, in front of its quantizer.

    Raises:
        KeyError: No node makes the tensor.
    """
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
    while (twin := values.get(name)) is not None:
        if _same(twin.const_value, value.const_value):
            return twin
        name += "'"
    twin = ir.Value(name=name, const_value=value.const_value)
    graph.register_initializer(twin)
    values[name] = twin
    return twin


def _same(a: ir.TensorProtocol | None, b: ir.TensorProtocol) -> bool:
    """Return whether two constants hold the same bytes."""
    if a is None or a is b:
        return a is b
    return (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()
