"""A layer: one operator as a chip sees it, with the Relu or Clip behind it."""

__all__ = ["ABSORBED", "Layer", "absorbed", "layers_of"]

from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir

ABSORBED = frozenset({"Relu", "Clip"})
"""Activations that every chip computes inside the operator before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One operator, and the activation it absorbs.

    Attributes:
        node: The operator.
        activation: The Relu or Clip behind it, or None.
    """

    node: ir.Node
    activation: ir.Node | None

    @property
    def name(self) -> str:
        """The operator's node name."""
        return str(self.node.name)

    @property
    def op(self) -> str:
        """The operator's type."""
        return self.node.op_type

    @property
    def output(self) -> ir.Value:
        """The first output, behind the activation."""
        return (self.activation or self.node).outputs[0]

    @property
    def outputs(self) -> list[ir.Value]:
        """Every output that has a name, the first behind the activation."""
        return [self.output, *(v for v in self.node.outputs[1:] if v.name)]

    @property
    def data(self) -> list[ir.Value]:
        """The inputs that depend on the network's input, without weights and constants."""
        inputs = [v for v in self.node.inputs if v is not None and not v.is_initializer()]
        return [v for v in inputs if v.dtype in (None, ir.DataType.FLOAT)]


def absorbed(value: ir.Value) -> ir.Node | None:
    """Return the Relu or Clip that is the only reader of `value`, or None."""
    uses = tuple(value.uses())
    maker = value.producer()
    if maker is None or len(uses) != 1 or value.is_graph_output() or maker.op_type in ABSORBED:
        return None
    reader, index = uses[0].node, uses[0].idx
    beside = reader.graph is maker.graph  # and not in a branch of an If
    return reader if reader.op_type in ABSORBED and index == 0 and beside else None


def layers_of(nodes: Iterable[ir.Node]) -> tuple[Layer, ...]:
    """Return the layers of nodes in topological order; an absorbed activation is none."""
    layers = []
    taken: set[int] = set()
    for node in nodes:
        if id(node) in taken:
            continue
        activation = absorbed(node.outputs[0]) if node.outputs else None
        if activation is not None:
            taken.add(id(activation))
        layers.append(Layer(node=node, activation=activation))
    return tuple(layers)
