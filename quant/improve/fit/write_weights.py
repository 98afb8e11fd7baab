"""Write: fitted weights and biases put into a graph, and the plan that is about it."""

__all__ = ["write_layers"]

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import torch

from quant.graph.edit import add_constant, free_name
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan, TensorPlan


def write_layers(
    graph: Graph,
    plan: Plan,
    weights: Mapping[str, torch.Tensor],
    biases: Mapping[tuple[str, int], torch.Tensor],
    grids: Mapping[str, TensorPlan],
) -> tuple[Graph, Plan]:
    """Return a copy of the graph with these numbers, and its plan.

    Args:
        graph: Any of the same names.
        plan: Of it.
        weights: By initializer name, float32 in its own layout, on their grid.
        biases: By name and input of the node that holds it, the layer or the Add behind it: float32
            `[M]`; the layer's shift is in them.
        grids: By weight name, instead of those of the plan.
    """
    model = graph.clone()
    values = {str(k): v for k, v in model.graph.initializers.items()}
    for name, array in weights.items():
        values[name].const_value = _stored(name, array)
    for node in model.graph:
        for index in range(3):
            if (str(node.name), index) in biases:
                _set_bias(model, node, index, biases[str(node.name), index])
    made = replace(graph, model=model)
    tensors = {k: grids.get(t.tensor, t) for k, t in plan.tensors.items() if t.kind == "weight"}
    tensors = {**plan.tensors, **tensors}
    shifts = {k: v for k, v in plan.bias_shifts.items() if (k, 2) not in biases}
    return made, replace(plan, graph=made.fingerprint, tensors=tensors, bias_shifts=shifts)


def _stored(name: str, array: torch.Tensor) -> ir.TensorProtocol:
    return ir.tensor(np.ascontiguousarray(array.numpy()), name=name)


def _set_bias(model: ir.Model, node: ir.Node, index: int, bias: torch.Tensor) -> None:
    """Give a layer, or the Add behind it, a bias of its own."""
    old = node.inputs[index] if len(node.inputs) > index else None
    name = str(old.name) if old is not None else f"{node.name}_bias"
    if old is not None and len(old.uses()) == 1 and not old.is_graph_output():
        old.const_value = _stored(name, bias)
        return
    name = free_name(name, model.graph.initializers)
    fresh = add_constant(model.graph, name, np.ascontiguousarray(bias.numpy()))
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(index, fresh)
