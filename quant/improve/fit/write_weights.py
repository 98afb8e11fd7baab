"""Fitted weights and biases written into a graph, and the plan that is about it."""

__all__ = ["FittedConstants", "write_layers"]

from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir
import torch

from quant.graph.edit import add_constant, free_name
from quant.graph.layers import optional_input
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan, TensorPlan


@dataclass(frozen=True, slots=True)
class FittedConstants:
    """The constants that were fitted so far, layer by layer.

    Attributes:
        weights: By initializer name, float32 in its own layout, on their grid.
        biases: By name and input of the node that holds it, the layer or the Add behind it: float32
            `[M]`; the layer's shift is in them.
        grids: By weight name, instead of those of the plan.
    """

    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    biases: dict[tuple[str, int], torch.Tensor] = field(default_factory=dict)
    grids: dict[str, TensorPlan] = field(default_factory=dict)


def write_layers(graph: Graph, plan: Plan, fitted: FittedConstants) -> tuple[Graph, Plan]:
    """Return a copy of the graph with these constants, and its plan.

    Args:
        graph: Any of the same names.
        plan: The graph's plan.
        fitted: What is written.
    """
    model = graph.clone()
    values = {str(k): v for k, v in model.graph.initializers.items()}
    for name, array in fitted.weights.items():
        values[name].const_value = _stored(name, array)
    for node in model.graph:
        for index in range(3):
            bias = fitted.biases.get((str(node.name), index))
            if bias is not None:
                _set_bias(model, node, index, bias)
    written = replace(graph, model=model)
    tensors = {
        key: fitted.grids.get(t.tensor, t) if t.kind == "weight" else t
        for key, t in plan.tensors.items()
    }
    shifts = {k: v for k, v in plan.bias_shifts.items() if (k, 2) not in fitted.biases}
    return written, replace(plan, graph=written.fingerprint, tensors=tensors, bias_shifts=shifts)


def _stored(name: str, array: torch.Tensor) -> ir.TensorProtocol:
    return ir.tensor(np.ascontiguousarray(array.numpy()), name=name)


def _set_bias(model: ir.Model, node: ir.Node, index: int, bias: torch.Tensor) -> None:
    """Give a layer, or the Add behind it, a bias of its own."""
    old = optional_input(node, index)
    name = str(old.name) if old is not None else f"{node.name}_bias"
    if old is not None and len(old.uses()) == 1 and not old.is_graph_output():
        old.const_value = _stored(name, bias)
        return
    name = free_name(name, model.graph.initializers)
    fresh = add_constant(model.graph, name, np.ascontiguousarray(bias.numpy()))
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(index, fresh)
