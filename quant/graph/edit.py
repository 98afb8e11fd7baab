"""Edit a graph in place: free names, constants, new nodes, readers that are moved."""

__all__ = ["GraphEditor", "add_constant", "append_node", "free_name"]

from collections.abc import Container, Mapping, Sequence
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quant.graph.prepared_graph import named_values


def free_name(name: str, taken: Container[str]) -> str:
    """Return a name that is not taken: itself, or it with as many `_` behind as it needs.

    >>> free_name("conv", {"conv", "conv_"})
    'conv__'
    """
    while name in taken:
        name += "_"
    return name


def add_constant(
    graph: ir.Graph, name: str, array: NDArray[Any], *, typed: bool = True
) -> ir.Value:
    """Register an initializer under a name that no other one has.

    Args:
        graph: Edited in place.
        name: The name of the initializer, if it is free.
        array: Its numbers.
        typed: Note its type and shape at the value too; a file then lists it in `value_info`.
    """
    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, const_value=tensor)
    if typed:
        value.type, value.shape = ir.TensorType(tensor.dtype), ir.Shape(array.shape)
    graph.register_initializer(value)
    return value


def append_node(
    graph: ir.Graph,
    op: str,
    inputs: Sequence[ir.Value],
    attributes: Mapping[str, Any] | None = None,
) -> ir.Value:
    """Append a node of one output, and return that.

    Args:
        graph: Edited in place.
        op: The operator's type, of the ONNX domain.
        inputs: What the node reads.
        attributes: The values of its attributes.
    """
    node = ir.node(op, list(inputs), dict(attributes or {}))
    graph.append(node)
    return node.outputs[0]


class GraphEditor:
    """One model under edit, and the names that are taken in it.

    Attributes:
        model: Edited in place.
        values: The named values that the model had in the beginning.
        typed: Whether new constants have their type and shape in the `value_info` of a file.
    """

    def __init__(self, model: ir.Model, *, typed: bool = True) -> None:
        self.model, self.typed = model, typed
        self.values = named_values(model)
        nodes = list(model.graph.all_nodes())
        self._names = {*self.values, *(str(v.name) for n in nodes for v in n.outputs if v.name)}
        self._nodes = {str(n.name) for n in nodes}
        self._replaced: dict[str, list[ir.Value]] = {}

    def name(self, wanted: str) -> str:
        """Return a free tensor name, which is taken from then on."""
        name = free_name(wanted, self._names)
        self._names.add(name)
        return name

    def constant(self, name: str, array: NDArray[Any]) -> ir.Value:
        """Register an initializer under a free name."""
        return add_constant(self.model.graph, self.name(name), array, typed=self.typed)

    def node(
        self,
        op: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any],
        names: tuple[str, str],
        domain: str = "",
    ) -> ir.Node:
        """Make a node of one output; `names` are the node's and the output's, made free."""
        name = free_name(names[0], self._nodes)
        self._nodes.add(name)
        node = ir.node(op, list(inputs), dict(attributes), domain=domain, name=name)
        node.outputs[0].name = self.name(names[1])
        return node

    def after(self, node: ir.Node, new: Sequence[ir.Node]) -> None:
        """Put nodes right behind another."""
        self.model.graph.insert_after(node, list(new))

    def before(self, node: ir.Node, new: Sequence[ir.Node]) -> None:
        """Put nodes right before another."""
        self.model.graph.insert_before(node, list(new))

    def after_value(self, value: ir.Value, new: Sequence[ir.Node]) -> None:
        """Put nodes right behind the one that makes a value; before all others if none does."""
        graph, producer = self.model.graph, value.producer()
        if producer is not None:
            graph.insert_after(producer, list(new))
        elif len(graph):
            graph.insert_before(graph[0], list(new))

    def rename(self, value: ir.Value, wanted: str) -> None:
        """Give a value another free name."""
        value.name = self.name(wanted)

    def replace(self, node: ir.Node, index: int, value: ir.Value | NDArray[Any]) -> ir.Value:
        """Give an input another constant, which gets the old one's name if `finish` drops that."""
        old = node.inputs[index] if len(node.inputs) > index else None
        name = str(old.name) if old is not None else f"{node.name}.bias"
        if not isinstance(value, ir.Value):
            value = self.constant(name, value)
            self._replaced.setdefault(name, []).append(value)
        if len(node.inputs) <= index:
            node.resize_inputs(index + 1)
        node.replace_input_with(index, value)
        return value

    def take_over(self, old: ir.Value, new: ir.Value, keep: set[int]) -> None:
        """Let every reader of `old` but the nodes with these ids read `new`; outputs too."""
        for use in list(old.uses()):
            if id(use.node) not in keep:
                use.node.replace_input_with(use.idx, new)
        outputs = self.model.graph.outputs
        for index, output in enumerate(outputs):
            if output is old:
                new.shape, new.type = old.shape, old.type
                outputs[index] = new

    def behind(self, node: ir.Node, new: ir.Node) -> None:
        """Put a node behind another; it takes over the output's readers, shape and name."""
        old, result = node.outputs[0], new.outputs[0]
        result.shape, result.type = old.shape, old.type
        self.take_over(old, result, {id(new)})
        self.after(node, [new])
        old.name, result.name = str(result.name), str(old.name)

    def finish(self) -> None:
        """Drop initializers that nobody reads, and put the nodes in order."""
        graph = self.model.graph
        for name, value in list(graph.initializers.items()):
            if not value.uses() and value not in graph.outputs:
                del graph.initializers[name]
        for name, values in self._replaced.items():
            if len(values) == 1 and name not in graph.initializers and name in self.values:
                values[0].name = name
        graph.sort()
