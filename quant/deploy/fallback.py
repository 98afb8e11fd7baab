"""Fallback: a plan with some of its layers back in float, and without the grids for them alone."""

__all__ = ["kept_float"]

from collections.abc import Mapping
from dataclasses import replace

from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan, TensorPlan

Readers = tuple[tuple[str, int], ...]


def kept_float(graph: Graph, plan: Plan, refused: Mapping[str, str], precision: str) -> Plan:
    """Return the plan with layers in a float precision; one without such layers comes back as it is.

    Args:
        graph: The prepared graph.
        plan: Of a target whose integer layers quantize what they read.
        refused: By layer the reason that the plan shall give.
        precision: Of these layers; those that have no grids already keep theirs.
    """
    names = {n for n in refused if n in plan.layers and plan.layers[n].quantized}
    if not names:
        return plan
    layers = {
        name: replace(layer, precision=precision, because=refused[name]) if name in names else layer
        for name, layer in plan.layers.items()
    }
    tensors = {
        key: kept
        for key, tensor in plan.tensors.items()
        if (kept := _without(tensor, _readers(graph, tensor), names)) is not None
    }
    shifts = {name: shift for name, shift in plan.shifts.items() if name not in names}
    return replace(plan, layers=layers, tensors=tensors, shifts=shifts)


def _readers(graph: Graph, tensor: TensorPlan) -> Readers:
    """Return who sees a grid; every reader of the tensor where the plan says everybody."""
    if tensor.readers is not None:
        return tensor.readers
    value = graph.values.get(tensor.tensor)
    return tuple((str(u.node.name), u.idx) for u in value.uses()) if value is not None else ()


def _without(tensor: TensorPlan, readers: Readers, refused: set[str]) -> TensorPlan | None:
    """Return a tensor's plan without some readers; None when nobody is left."""
    kept = tuple(reader for reader in readers if reader[0] not in refused)
    if len(kept) == len(readers):
        return tensor
    return replace(tensor, readers=kept) if kept else None
