"""Names by which a profiler's kernels are traced back to the layers of a graph.

A runtime renames fused nodes (`conv1_token_3`, `relu1_output_nchwc`), always from names that it was
given. So the profiler gets a copy of the model in which every name is `layer7` or `tensor7`; its
kernels are matched with a pattern, and no user's name can be mistaken for another one.
"""

__all__ = ["NodeNumber", "NumberedModel", "first_mark", "with_numbered_names"]

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from quant.graph.prepared_graph import Graph

MARK = re.compile(r"(layer|tensor|input)(\d+)i")


@dataclass(frozen=True, slots=True)
class NodeNumber:
    """The layer or tensor that a numbered name refers to.

    Attributes:
        kind: "layer": the operator or its activation. "tensor": a quantizer of the layer's output.
            "input": a quantizer of an input.
        index: Index of the layer in `graph.layers`, or of the input.
    """

    kind: str
    index: int


@dataclass(frozen=True, kw_only=True)
class NumberedModel:
    """A model with numbered names.

    Attributes:
        model: The renamed copy.
        inputs: Input names of the copy, by those of the original.
    """

    model: ir.Model
    inputs: Mapping[str, str]


def with_numbered_names(model: ir.Model, graph: Graph) -> NumberedModel:
    """Return a copy of a graph, or of an export of it, with numbered names.

    Args:
        model: Model whose nodes have the graph's names; other nodes are quantizers or copies.
        graph: The graph whose layers are numbered.
    """
    names: dict[str, int] = {}
    for number, layer in enumerate(graph.layers):
        names[layer.name] = number
        if layer.activation is not None:
            names[str(layer.activation.name)] = number
    copy = model.clone()
    inputs = {str(v.name): f"input{i}i" for i, v in enumerate(copy.graph.inputs)}
    taken: dict[str, int] = {}
    labels: dict[ir.Value, str] = {}
    for value in list(copy.graph.initializers.values()):
        value.name = _free("constant", taken)
    for value in copy.graph.inputs:
        if str(value.name) in inputs:
            value.name = labels[value] = inputs[str(value.name)]
    for node in copy.graph:
        index = names.get(str(node.name))
        label = f"layer{index}i" if index is not None else _of(node, labels)
        node.name = _free(label, taken)
        for value in node.outputs:
            labels[value] = label.replace("layer", "tensor") if index is not None else label
            if value.name:
                value.name = _free(f"{label}_made", taken)
    return NumberedModel(model=copy, inputs=inputs)


def _of(node: ir.Node, labels: Mapping[ir.Value, str]) -> str:
    """Return the label of a node that is not a layer: that of the tensor it reads."""
    first = node.inputs[0] if node.inputs else None
    return labels.get(first, "constant") if first is not None else "constant"


def _free(label: str, taken: dict[str, int]) -> str:
    taken[label] = taken.get(label, 0) + 1
    return f"{label}_{taken[label]}"


def first_mark(texts: Iterable[str]) -> NodeNumber | None:
    """Return the first number in names that a runtime made from numbered names, or None.

    A layer takes precedence over a tensor: a convolution with its quantizer fused is the convolution.
    """
    marks = [NodeNumber(m[1], int(m[2])) for text in texts for m in MARK.finditer(text)]
    return next((m for m in marks if m.kind == "layer"), marks[0] if marks else None)
