"""Refuse graphs that are broken, quantized already or without layers, with one sentence each."""

__all__ = ["label", "refuse_layers", "refuse_structure"]

from collections.abc import Iterable, Iterator

import numpy as np
import onnx_ir as ir

from quant.common.errors import InputError, UnsupportedError, few
from quant.graph.layers import data_input, optional_input
from quant.graph.prepared_graph import WEIGHTED

QUANTIZED = {
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "ConvInteger",
    "MatMulInteger",
}
"""Standard operators (ONNX 1.23) that only a quantized graph has, besides those named QLinear*."""


CONTRIB = ("Q", "DynamicQuantize", "MatMulInteger", "MatMulNBits", "MatMulBnb4", "ConvInteger")
"""How the quantized operators of com.microsoft start (ONNX Runtime 1.32, ContribOperators.md)."""


PLAIN = ("", "ai.onnx")


def refuse_structure(model: ir.Model, place: str) -> None:
    """Raise unless the graph is connected, has no cycle, reads tensors and is not quantized yet.

    Raises:
        InputError: A node reads a value that nothing gives, or the nodes form a cycle.
        UnsupportedError: An input or output is not a tensor of numbers, or there is no input, or a
            node is quantized.
    """
    for node in model.graph.all_nodes():
        for value in node.inputs:
            if value is not None and _orphan(value):
                raise InputError(
                    f"{place}, node '{label(node)}': Every value that a node reads must come from "
                    f"a node, an input or an initializer, and '{value.name}' does not. "
                    "Export the model again."
                )
    _refuse_cycle(model, place)
    for node in model.graph.all_nodes():
        if _quantized(node):
            raise UnsupportedError(
                f"{place}, node '{label(node)}': The model must be a float one, and {node.op_type} "
                "says that it is quantized already. Give the model from before its quantization."
            )
    _refuse_ends(model, place)


def _orphan(value: ir.Value) -> bool:
    """Return whether nothing defines the value; an empty name stands for an absent input."""
    defined = value.producer() is not None or value.is_graph_input() or value.is_initializer()
    return bool(value.name) and not defined


def _refuse_cycle(model: ir.Model, place: str) -> None:
    """Sort the nodes; where that cannot be, name those on a cycle."""
    try:
        model.graph.sort()
    except ValueError as error:
        raise InputError(
            f"{place}: Nodes must not feed themselves, and these form a cycle: "
            f"{few(_cycle(model.graph))}. Export the model again."
        ) from error


def _cycle(graph: ir.Graph) -> list[str]:
    """Return the names of nodes that neither begin nor end what is left after peeling."""
    nodes = list(graph)
    while True:
        remaining = set(nodes)
        peeled = [
            node
            for node in nodes
            if any(p in remaining for p in node.predecessors())
            and any(s in remaining for s in node.successors())
        ]
        if len(peeled) == len(nodes):
            return [label(node) for node in nodes]
        nodes = peeled


def _quantized(node: ir.Node) -> bool:
    if node.domain in PLAIN:
        return node.op_type in QUANTIZED or node.op_type.startswith("QLinear")
    return node.domain == "com.microsoft" and (
        node.op_type in QUANTIZED or node.op_type.startswith(CONTRIB)
    )


def _refuse_ends(model: ir.Model, place: str) -> None:
    """Raise unless there is an input, and all inputs and outputs are tensors of numbers."""
    graph = model.graph
    inputs = [v for v in graph.inputs if not v.is_initializer()]
    if not inputs:
        raise UnsupportedError(
            f"{place}: A model must have an input, saw 0. Export it with its image as an input."
        )
    for kind, values in (("input", inputs), ("output", list(graph.outputs))):
        for value in values:
            kind_of_value = None
            if value.type is not None and not isinstance(value.type, ir.TensorType):
                kind_of_value = type(value.type).__name__.removesuffix("Type").lower()
            elif value.dtype == ir.DataType.STRING:
                kind_of_value = "string"
            if kind_of_value:
                raise UnsupportedError(
                    f"{place}, {kind} '{value.name}': Inputs and outputs must be tensors of "
                    f"numbers, saw a {kind_of_value}. Export the model without it."
                )


def label(node: ir.Node) -> str:
    """Return a node's name, or its operator and first output where it has none."""
    return node.name or f"{node.op_type} -> {node.outputs[0].name if node.outputs else ''}"


OTHER_FLOATS = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)


TRAINED = (*WEIGHTED, "BatchNormalization")


def refuse_layers(model: ir.Model, place: str) -> None:
    """Raise unless a layer has a constant weight, and the trained numbers are finite float32.

    Raises:
        UnsupportedError: No Conv, ConvTranspose, Gemm or MatMul has a constant weight, or one has
            its weight in another float type.
        InputError: A trained initializer holds NaN or infinity.
    """
    constant = _constants(model.graph)
    layers = [n for n in model.graph if _is(n, WEIGHTED) and optional_input(n, 1) in constant]
    if not layers:
        raise UnsupportedError(
            f"{place}: A model must have a layer to quantize, and none of its {len(model.graph)} "
            "nodes is a Conv, ConvTranspose, Gemm or MatMul with a constant weight. "
            "Give a model that has one."
        )
    for node in layers:
        weight = data_input(node, 1)
        tensor = ir.convenience.get_const_tensor(weight)
        dtype = tensor.dtype if tensor is not None else weight.dtype
        if dtype in OTHER_FLOATS:
            raise UnsupportedError(
                f"{place}, node '{label(node)}': Weights must be float32, and '{weight.name}' is "
                f"{dtype.name.lower()}. Export the model as float32."
            )
    _refuse_non_finite(_trained(model.graph), place)


def _is(node: ir.Node, types: Iterable[str]) -> bool:
    return node.domain in PLAIN and node.op_type in types


def _constants(graph: ir.Graph) -> set[ir.Value | None]:
    """Return the values of the sorted main graph that depend on no input."""
    constants: set[ir.Value | None] = set(graph.initializers.values())
    for node in graph:
        without_subgraph = all(a.type != ir.AttributeType.GRAPH for a in node.attributes.values())
        if without_subgraph and all(v is None or v in constants for v in node.inputs):
            constants.update(node.outputs)
    return constants


def _trained(graph: ir.Graph) -> Iterator[ir.Value]:
    for node in graph:
        if _is(node, TRAINED):
            yield from (v for v in node.inputs[1:] if v is not None)


def _refuse_non_finite(values: Iterable[ir.Value], place: str) -> None:
    for value in dict.fromkeys(values):
        tensor = ir.convenience.get_const_tensor(value)
        if tensor is None or not tensor.dtype.is_floating_point():
            continue
        numbers = tensor.numpy()
        bad = numbers.size - int(np.count_nonzero(np.isfinite(numbers)))
        if bad:
            raise InputError(
                f"{place}, initializer '{value.name}': Weights must be finite, saw {bad} of "
                f"{numbers.size} that are not. Train or export the model again."
            )
