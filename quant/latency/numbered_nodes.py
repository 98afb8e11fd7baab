"""Numbered: a model whose nodes say which layer of a graph they belong to, whatever fuses them.

A runtime renames what it fuses (`conv1_token_3`, `relu1_output_nchwc`), always from names that it was
given. So a copy of the model goes to its profiler in which every name is `layer7` or `tensor7`: what
comes back is read with a pattern, and a stranger's names cannot be taken for another's.
"""

__all__ = ["NodeNumber", "NumberedModel", "marked", "numbered"]

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from quant.graph.prepared_graph import Graph

MARK = re.compile(r"(layer|tensor|input)(\d+)i")


@dataclass(frozen=True, slots=True)
class NodeNumber:
    """What a name says: "layer", of what a layer computes; "tensor" or "input", of its numbers' form.

    Attributes:
        kind: "layer": the operator or its activation. "tensor": a quantizer of what the layer makes.
            "input": a quantizer of an input.
        index: Of the layer in `graph.layers`, or of the input.
    """

    kind: str
    index: int


@dataclass(frozen=True, kw_only=True)
class NumberedModel:
    """A model with numbered names.

    Attributes:
        model: The copy.
        inputs: Its input names by those of the original.
    """

    model: ir.Model
    inputs: Mapping[str, str]


def numbered(model: ir.Model, graph: Graph) -> NumberedModel:
    """Return a copy with numbered names of a graph, or of an export of it.

    Args:
        model: Its nodes have the graph's names; what has none of them is a quantizer, or copies.
        graph: Says what the layers are.
    """
    names: dict[str, int] = {}
    for number, layer in enumerate(graph.layers):
        names[layer.name] = number
        if layer.activation is not None:
            names[str(layer.activation.name)] = number
    copy = model.clone()
    inputs = {str(v.name): f"input{i}i" for i, v in enumerate(copy.graph.inputs)}
    taken: dict[str, int] = {}
    made: dict[ir.Value, str] = {}
    for value in list(copy.graph.initializers.values()):
        value.name = _free("constant", taken)
    for value in copy.graph.inputs:
        if str(value.name) in inputs:
            value.name = made[value] = inputs[str(value.name)]
    for node in copy.graph:
        index = names.get(str(node.name))
        label = f"layer{index}i" if index is not None else _of(node, made)
        node.name = _free(label, taken)
        for value in node.outputs:
            made[value] = label.replace("layer", "tensor") if index is not None else label
            if value.name:
                value.name = _free(f"{label}_made", taken)
    return NumberedModel(model=copy, inputs=inputs)


def _of(node: ir.Node, made: Mapping[ir.Value, str]) -> str:
    """Return the label of a node that is no layer: whose numbers it reads."""
    first = node.inputs[0] if node.inputs else None
    return made.get(first, "constant") if first is not None else "constant"


def _free(label: str, taken: dict[str, int]) -> str:
    taken[label] = taken.get(label, 0) + 1
    return f"{label}_{taken[label]}"


def marked(texts: Iterable[str]) -> NodeNumber | None:
    """Return the first mark in texts that a runtime made of numbered names, or None.

    A layer goes before a tensor: a convolution that swallowed its quantizer is the convolution.
    """
    found = [NodeNumber(m[1], int(m[2])) for text in texts for m in MARK.finditer(text)]
    return next((m for m in found if m.kind == "layer"), found[0] if found else None)
