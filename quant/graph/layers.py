"""Layers: the nodes of a graph as a chip sees them, an operator with the Relu or Clip behind it."""

__all__ = [
    "ABSORBED",
    "VIEWS",
    "Layer",
    "absorbed",
    "elements",
    "layers",
    "macs",
    "source_of",
    "weight_axis",
]

from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from quant.graph.prepared_graph import WEIGHTED, Graph, weight_of

ABSORBED = frozenset({"Relu", "Clip"})
"""Activations that every chip computes inside the operator before them."""

VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity"})
"""Operators whose output holds exactly the numbers of their first input."""


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
        found = [v for v in self.node.inputs if v is not None and not v.is_initializer()]
        return [v for v in found if v.dtype in (None, ir.DataType.FLOAT)]


def absorbed(value: ir.Value) -> ir.Node | None:
    """Return the Relu or Clip that is the only reader of `value`, or None."""
    uses = tuple(value.uses())
    maker = value.producer()
    if maker is None or len(uses) != 1 or value.is_graph_output() or maker.op_type in ABSORBED:
        return None
    reader, index = uses[0].node, uses[0].idx
    beside = reader.graph is maker.graph  # and not in a branch of an If
    return reader if reader.op_type in ABSORBED and index == 0 and beside else None


def layers(graph: Graph) -> list[Layer]:
    """Return the layers in topological order; an absorbed activation is no layer of its own."""
    found = []
    taken: set[int] = set()
    for node in graph.nodes:
        if id(node) in taken:
            continue
        behind = absorbed(node.outputs[0]) if node.outputs else None
        if behind is not None:
            taken.add(id(behind))
        found.append(Layer(node=node, activation=behind))
    return found


def source_of(graph: Graph, name: str) -> str:
    """Return the watched tensor whose numbers `name` has: itself, or what it is a view of."""
    maker = graph.values[name].producer()
    while maker is not None and maker.op_type in VIEWS and maker.inputs[0] is not None:
        name = str(maker.inputs[0].name)
        maker = graph.values[name].producer()
    return name


def weight_axis(node: ir.Node) -> int | None:
    """Return the axis of a weight that is the output channel; None where there is no single one.

    Conv 0; ConvTranspose 1 without groups; Gemm 0 if transB else 1; MatMul the last of two.
    """
    weight = weight_of(node)
    rank = len(weight.shape) if weight is not None and weight.shape is not None else 0
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1 if node.attributes.get_int("group", 1) == 1 else None
    if node.op_type == "Gemm":
        return 0 if node.attributes.get_int("transB", 0) else 1
    return 1 if node.op_type == "MatMul" and rank == 2 else None


def macs(layer: Layer) -> int:
    """Return the multiply-accumulates of one sample; 0 for other operators or unknown shapes.

    Conv: output elements * weight elements / output channels. Gemm and MatMul: output elements *
    the length of the reduced axis. ConvTranspose: input elements * weight elements / input channels.
    """
    weight = weight_of(layer.node)
    if layer.op not in WEIGHTED or weight is None or weight.shape is None:
        return 0
    kernel = [int(d) for d in weight.shape if isinstance(d, int)]
    if layer.op == "ConvTranspose":
        return elements(layer.node.inputs[0]) * prod(kernel[1:])
    output = elements(layer.node.outputs[0])
    if layer.op == "Conv":
        return output * prod(kernel[1:])
    if layer.op == "Gemm":
        return output * kernel[1 if layer.node.attributes.get_int("transB", 0) else 0]
    return output * kernel[-2 if len(kernel) > 1 else 0]


def elements(value: ir.Value | None) -> int:
    """Return the elements of one sample, 0 where a length is not known."""
    if value is None or value.shape is None:
        return 0
    sizes = [d for d in list(value.shape)[1:] if isinstance(d, int)]
    return prod(sizes) if len(sizes) == len(value.shape) - 1 else 0
