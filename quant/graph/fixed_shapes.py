"""Fix a graph's sizes: batch 1, the sizes given, and what was computed from shapes made constant."""

__all__ = ["with_fixed_shapes"]

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from quant.common.errors import InputError
from quant.graph.edit import add_constant, free_name
from quant.graph.prepared_graph import Graph
from quant.graph.shapes import infer_shapes

ROUNDS = 8
"""More shapes become known with every constant; networks need two or three rounds."""


def with_fixed_shapes(graph: Graph, sizes: Mapping[str, tuple[int, ...]]) -> ir.Model:
    """Return a copy with batch 1 and the input shapes `sizes`, by name, with or without the batch.

    Nodes that only compute shapes are gone. An input without a size keeps its shape, symbols too;
    with one it gets that, whatever the model says: many nets that were exported fixed are not.

    Raises:
        InputError: A size is for no input, or has another number of axes, or another batch.
    """
    model = graph.clone()
    inputs = {str(v.name): v for v in model.graph.inputs if not v.is_initializer()}
    for name in sizes:
        if name not in inputs:
            raise InputError(
                f"{graph.source or graph.name}: a size must be for an input, and '{name}' is none. "
                f"Inputs are {', '.join(repr(n) for n in inputs)}."
            )
    for name, value in inputs.items():
        value.shape = ir.Shape(_size(graph, name, value, sizes.get(name)))
    for value in model.graph.outputs:
        value.shape = None
    for _ in range(ROUNDS):
        infer_shapes(model)
        if not _fold(model):
            break
    return model


def _size(
    graph: Graph, name: str, value: ir.Value, size: tuple[int, ...] | None
) -> list[int | ir.SymbolicDim]:
    """Return an input's shape: the given one, else the model's, with 1 where the batch is free."""
    own = list(value.shape) if value.shape is not None else []
    if size is None:
        free = own[:1] and not isinstance(own[0], int)
        return [1, *own[1:]] if free else own
    full: list[int | ir.SymbolicDim] = [*(1,) * (len(size) == len(own) - 1), *size]
    if len(full) != len(own) or full[0] != 1 or min(size, default=0) < 1:
        axes = [d if isinstance(d, int) else str(d) for d in own]
        raise InputError(
            f"{graph.source or graph.name}, input '{name}': a size must be of batch 1 and have a "
            f"number for each axis of {axes}, saw {list(size)}. Mend the size."
        )
    return full


def _fold(model: ir.Model) -> int:
    """Replace nodes whose result is known by constants, and return how many."""
    folded = 0
    for node in list(model.graph):
        feeds = _known_inputs(node)
        if feeds is None or any(v.is_graph_output() for v in node.outputs):
            continue
        for value, array in zip(node.outputs, _run(model, node, feeds), strict=False):
            _make_constant(model, value, np.asarray(array))
        model.graph.remove(node, safe=True)
        folded += 1
    return folded


def _run(model: ir.Model, node: ir.Node, feeds: dict[str, NDArray[Any]]) -> list[Any]:
    """Return what one node makes of these inputs, in the model's opset."""
    ends = onnx.helper.make_empty_tensor_value_info
    proto = onnx.helper.make_graph(
        [ir.serde.serialize_node(node)],
        "one",
        [ends(name) for name in feeds],
        [ends(str(v.name)) for v in node.outputs],
    )
    opsets = [onnx.helper.make_opsetid(d, v) for d, v in model.opset_imports.items()]
    evaluator = ReferenceEvaluator(onnx.helper.make_model(proto, opset_imports=opsets))
    return list(evaluator.run(None, feeds))


def _known_inputs(node: ir.Node) -> dict[str, NDArray[Any]] | None:
    """Return a node's inputs if its result follows from constants or shapes, else None."""
    if node.domain not in ("", "ai.onnx") or any(
        a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        for a in node.attributes.values()
    ):
        return None
    feeds: dict[str, NDArray[Any]] = {}
    for value in node.inputs:
        if value is None:
            continue
        if value.const_value is not None and value.is_initializer():
            feeds[str(value.name)] = value.const_value.numpy()
        elif node.op_type in ("Shape", "Size") and value.shape is not None:
            sizes = [d for d in value.shape if isinstance(d, int)]
            if len(sizes) != len(value.shape):
                return None
            feeds[str(value.name)] = np.broadcast_to(np.float32(0), sizes)
        else:
            return None
    return feeds if feeds or node.op_type == "Constant" else None


def _make_constant(model: ir.Model, value: ir.Value, array: NDArray[Any]) -> None:
    """Register the array, and let the value's readers read it."""
    name = free_name(f"{value.name}.fixed", model.graph.initializers)
    value.replace_all_uses_with(add_constant(model.graph, name, array))
