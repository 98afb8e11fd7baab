"""Layers that Atlas cannot run in INT8 stay float, where the user allows it."""

__all__ = ["without_refused"]

from dataclasses import replace

from quant.errors import UnsupportedError
from quant.export.atlas_edit import corrected
from quant.export.atlas_limits import INTEGER_OPS
from quant.export.atlas_numbers import integer_layer
from quant.graph import Graph
from quant.plan import Plan, TensorPlan


def without_refused(graph: Graph, plan: Plan) -> tuple[Plan, dict[str, str]]:
    """Return the plan with the layers that Atlas refuses in FP16, and why, by layer.

    Grids that nobody reads any more are dropped; a plan without such layers comes back as it is.
    """
    why: dict[str, str] = {}
    for node in corrected(graph, plan).graph:
        layer = plan.layers.get(str(node.name))
        if layer is None or layer.precision != "int8" or node.op_type not in INTEGER_OPS:
            continue
        try:
            integer_layer(node, plan)
        except UnsupportedError as error:
            why[str(node.name)] = str(error)
    if not why:
        return plan, why
    layers = {
        name: replace(layer, precision="float16", because="Atlas cannot run it in INT8")
        if name in why
        else layer
        for name, layer in plan.layers.items()
    }
    readers = _readers(graph, plan)
    tensors = {
        name: kept
        for name, tensor in plan.tensors.items()
        if (kept := _without(tensor, readers[name], set(why))) is not None
    }
    shifts = {name: shift for name, shift in plan.shifts.items() if name not in why}
    return replace(plan, layers=layers, tensors=tensors, shifts=shifts), why


def _readers(graph: Graph, plan: Plan) -> dict[str, tuple[tuple[str, int], ...]]:
    """Return who sees each grid, every INT8 reader where the plan says everybody."""
    found: dict[str, tuple[tuple[str, int], ...]] = {}
    for name, tensor in plan.tensors.items():
        uses = graph.values[name].uses() if name in graph.values else []
        every = tuple((str(use.node.name), use.idx) for use in uses)
        found[name] = every if tensor.readers is None else tensor.readers
    return found


def _without(
    tensor: TensorPlan, readers: tuple[tuple[str, int], ...], refused: set[str]
) -> TensorPlan | None:
    """Return a tensor's plan without some readers; None when nobody is left."""
    kept = tuple(reader for reader in readers if reader[0] not in refused)
    if len(kept) == len(readers):
        return tensor
    return replace(tensor, readers=kept) if kept else None
