"""Edit a graph for Atlas: free names, constants, moved readers, and shifted biases."""

__all__ = ["Edit", "with_bias_shifts"]

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.atlas.graph.integer_layers import bias_add
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph, named_values
from quant.plan.tensor_plans import Plan


class Edit:
    """One model under edit, and the names that are taken in it."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self.values = named_values(model)
        self._names = set(self.values)
        self._nodes = {str(n.name) for n in model.graph}
        self._replaced: dict[str, list[ir.Value]] = {}

    def name(self, wanted: str) -> str:
        """Return a free tensor name: the wanted one, or it with `_` behind."""
        return _free(wanted, self._names)

    def constant(self, name: str, array: NDArray[Any]) -> ir.Value:
        """Register an initializer under a free name."""
        tensor = ir.tensor(array, name=self.name(name))
        shape, kind = ir.Shape(array.shape), ir.TensorType(tensor.dtype)
        value = ir.Value(name=tensor.name, shape=shape, type=kind, const_value=tensor)
        self.model.graph.register_initializer(value)
        return value

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

    def node(
        self,
        op: str,
        inputs: list[ir.Value | None],
        attributes: dict[str, Any],
        names: tuple[str, str],
        domain: str = "",
    ) -> ir.Node:
        """Make a node of one output; `names` are the node's and the output's, made free."""
        node = ir.node(op, inputs, attributes, domain=domain, name=_free(names[0], self._nodes))
        node.outputs[0].name = self.name(names[1])
        return node

    def after(self, node: ir.Node, made: list[ir.Node]) -> None:
        """Put nodes right behind another."""
        self.model.graph.insert_after(node, made)

    def before(self, node: ir.Node, made: list[ir.Node]) -> None:
        """Put nodes right before another."""
        self.model.graph.insert_before(node, made)

    def rename(self, value: ir.Value, wanted: str) -> None:
        """Give a value another free name."""
        value.name = self.name(wanted)

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

    def behind(self, node: ir.Node, made: ir.Node) -> None:
        """Put a node behind another; it takes over the output's readers, shape and name."""
        old, new = node.outputs[0], made.outputs[0]
        new.shape, new.type = old.shape, old.type
        self.take_over(old, new, {id(made)})
        self.after(node, [made])
        old.name, new.name = str(new.name), str(old.name)

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


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def with_bias_shifts(graph: Graph, plan: Plan) -> ir.Model:
    """Return a copy of the graph with the plan's bias shifts added to its biases, still in float.

    A shared bias keeps its numbers for its other readers. A MatMul without a bias gets an Add.
    """
    edit = Edit(graph.clone())
    for node in list(edit.model.graph):
        shift = plan.bias_shifts.get(str(node.name))
        if shift is None or plan.layers[str(node.name)].precision is not Precision.INT8:
            continue
        add = bias_add(node)
        if node.op_type != "MatMul":
            _shift_input(edit, node, 2, shift)
        elif add is not None:
            _shift_input(edit, add, 1 - next(iter(node.outputs[0].uses())).idx, shift)
        else:
            bias = edit.constant(f"{node.name}.bias", np.asarray(shift, np.float32))
            made = edit.node(
                "Add", [node.outputs[0], bias], {}, (f"{node.name}.bias_add", f"{node.name}.sum")
            )
            edit.behind(node, made)
    edit.finish()
    return edit.model


def _shift_input(edit: Edit, node: ir.Node, index: int, shift: NDArray[np.float32]) -> None:
    old = node.inputs[index] if len(node.inputs) > index else None
    held = old.const_value.numpy() if old is not None and old.const_value is not None else 0.0
    edit.replace(node, index, np.asarray(held + shift, np.float32))
