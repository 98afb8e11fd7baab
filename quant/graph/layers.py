"""What is asked of a layer: its multiply-accumulates, weight axis, bias, heads and views."""

__all__ = [
    "VIEWS",
    "bias_place",
    "connected",
    "data_input",
    "elements",
    "heads",
    "macs",
    "optional_input",
    "reaches_outputs",
    "source_of",
    "weight_axis",
]

from collections.abc import Iterable
from math import prod

import onnx_ir as ir

from quant.graph.layer import Layer
from quant.graph.prepared_graph import WEIGHTED, Graph, weight_of

VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity"})
"""Operators whose output holds exactly the numbers of their first input."""


def data_input(node: ir.Node, index: int) -> ir.Value:
    """Return an input that the operator cannot be without; raises ValueError where it is missing."""
    value = optional_input(node, index)
    if value is None:
        raise ValueError(f"{node.op_type} '{node.name}' lacks its input {index}.")
    return value


def optional_input(node: ir.Node, index: int) -> ir.Value | None:
    """Return an input, or None where the node has no such input or leaves it out."""
    return node.inputs[index] if index < len(node.inputs) else None


def source_of(graph: Graph, name: str) -> str:
    """Return the profiled tensor whose numbers `name` has: itself, or what it is a view of."""
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


def heads(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return the names of the outputs that each head leads to, by node name, in graph order."""
    heads_to_outputs = {}
    outputs = {id(v): str(v.name) for v in graph.outputs}
    for layer in graph.layers:
        if weight_of(layer.node) is not None:
            reached = _reached(layer.output)
            if reached is not None:
                heads_to_outputs[layer.name] = tuple(outputs[i] for i in outputs if i in reached)
    return heads_to_outputs


def reaches_outputs(value: ir.Value) -> bool:
    """Return whether a tensor reaches the outputs without another weighted layer."""
    return _reached(value) is not None


def _reached(value: ir.Value) -> set[int] | None:
    """Return the ids of all values behind one, or None where a weighted layer is among the readers."""
    queue, reached = [value], {id(value)}
    while queue:
        for use in queue.pop().uses():
            if use.node.op_type in WEIGHTED and weight_of(use.node) is not None:
                return None
            for output in use.node.outputs:
                if id(output) not in reached:
                    reached.add(id(output))
                    queue.append(output)
    return reached


def bias_place(node: ir.Node) -> tuple[ir.Node, int] | None:
    """Return the node and input that hold a layer's bias; None where a MatMul has none.

    Conv, ConvTranspose and Gemm have it, or may get it, as input 2. A MatMul of more than two axes,
    the layer of transformers, has it in an Add that alone reads it and whose constant of one number
    an output nobody else reads.
    """
    weight = weight_of(node)
    if node.op_type != "MatMul" or weight is None:
        return (node, 2) if weight is not None else None
    uses = tuple(node.outputs[0].uses())
    add = uses[0].node if len(uses) == 1 else None
    if add is None or add.op_type != "Add" or node.outputs[0].is_graph_output():
        return None
    index = 1 - uses[0].idx
    bias = add.inputs[index]
    constant = bias.const_value if bias is not None and bias.is_initializer() else None
    if bias is None or constant is None or weight.shape is None or add.graph is not node.graph:
        return None
    shape = [int(n) for n in constant.shape]  # type: ignore[arg-type]
    fits = bool(shape) and shape[-1] == weight.shape[-1] == constant.size
    own = len(bias.uses()) == 1 and not bias.is_graph_output()
    return (add, index) if fits and own else None


def connected(names: Iterable[str], pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the sets of names that pairs connect, each in the order of `names`, as are the sets.

    A pair with a name that is not in `names` connects nothing.

    >>> connected("abcd", [("d", "a"), ("b", "x")])
    [['a', 'd'], ['b'], ['c']]
    """
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for a, b in pairs:
        if a in parent and b in parent:
            parent[root(a)] = root(b)
    sets: dict[str, list[str]] = {}
    for name in parent:
        sets.setdefault(root(name), []).append(name)
    return list(sets.values())
