"""The grid of every constant weight that an integer layer reads."""

__all__ = ["weight_grids", "weight_range"]

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.choose.grid_inputs import GridInputs
from quant.formats.number_format import GridParams, Integer, NumberFormat, Params
from quant.formats.precision import Precision
from quant.graph.layer import Layer
from quant.graph.layers import weight_axis
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.tensor_plans import TensorPlan, tensor_key

WEIGHT_OBSERVER = "mse"

Array = NDArray[np.float32]


def weight_grids(inputs: GridInputs, tensors: Mapping[str, TensorPlan]) -> dict[str, TensorPlan]:
    """Return a grid for each weight and precision, by initializer in topological order.

    Args:
        inputs: What grids are chosen from.
        tensors: The grids of activations: a bias must fit int32 at input scale * weight scale.
    """
    target = inputs.target
    sharing: dict[tuple[str, Precision], list[Layer]] = {}
    for layer in inputs.graph.layers:
        weight = weight_of(layer.node)
        precision = inputs.placed.layers[layer.name].precision
        if weight is not None and precision in target.simulated_formats:
            sharing.setdefault((str(weight.name), precision), []).append(layer)
    plans: dict[str, TensorPlan] = {}
    for (name, precision), users in sharing.items():
        number_format = target.simulated_formats[precision][1]
        plan = _weight(inputs, name, users, number_format, tensors)
        plans[tensor_key(plan, plans)] = plan
    return plans


def _weight(
    inputs: GridInputs,
    name: str,
    users: list[Layer],
    number_format: NumberFormat,
    tensors: Mapping[str, TensorPlan],
) -> TensorPlan:
    """Return a weight's plan for the layers that share it; the first one's rules count."""
    graph, target, recipe = inputs.graph, inputs.target, inputs.rules
    first = users[0]
    axes = {weight_axis(layer.node) for layer in users}
    axis = axes.pop() if len(axes) == 1 else None
    per_tensor = recipe.wants(first.name, first.op, "weights") == "per-tensor"
    per_tensor = per_tensor or axis is None or first.op in target.per_tensor_ops
    observer = recipe.wants(first.name, first.op, "weight_observer") or WEIGHT_OBSERVER
    if target.grid_per_group or not isinstance(number_format, Integer):
        observer = "minmax"
    because = f"{'one scale' if per_tensor else 'a scale per output channel'}; {observer}"
    params: GridParams
    if target.grid_per_group:
        number_format, params, because = _by_group(graph, name, first, number_format)
    else:
        number_format = number_format.with_axis(None if per_tensor else axis)
        params = measured = _cached_range(graph, name, number_format, observer)
        if target.bias is not None and isinstance(params, Params):
            for layer in users:
                params = _room_for_bias(graph, layer, params, tensors)
            raised = int(np.count_nonzero(params.scale > measured.arrays()["scale"]))
            if raised:
                because += f"; raised in {raised} channels so that the bias fits int32"
    return TensorPlan(
        tensor=name,
        kind="weight",
        format=number_format,
        params=params,
        readers=_weight_readers(graph.values[name], users),
        because=because,
    )


def _by_group(
    graph: Graph, name: str, layer: Layer, number_format: NumberFormat
) -> tuple[NumberFormat, GridParams, str]:
    """Return one grid for a weight, or for a convolution with groups one for each group."""
    array = graph.array(name).astype(np.float32)
    groups = layer.node.attributes.get_int("group", 1)
    if layer.op not in ("Conv", "ConvTranspose") or groups == 1:
        top = np.abs(array).max(initial=0.0)
        return number_format, number_format.parameters(-top, top), "one grid; minmax"
    top = np.abs(array.reshape(groups, -1)).max(axis=1)  # groups follow one another along axis 0
    top = np.repeat(top, array.shape[0] // groups)
    number_format = number_format.with_axis(0)
    return (
        number_format,
        number_format.parameters(-top, top),
        f"a grid for each of {groups} groups; minmax",
    )


def _weight_readers(weight: ir.Value, users: list[Layer]) -> tuple[tuple[str, int], ...] | None:
    """Return the nodes that read a weight's integers: a float layer that shares it reads the floats."""
    integer_readers = tuple((layer.name, 1) for layer in users)
    readers = {(str(use.node.name), use.idx) for use in weight.uses()}
    return None if readers == set(integer_readers) else integer_readers


_RANGES: WeakKeyDictionary[Graph, dict[tuple[str, NumberFormat, str], GridParams]] = (
    WeakKeyDictionary()
)
"""Weight grids by graph: they do not change with the observer of activations."""


def _cached_range(
    graph: Graph, name: str, number_format: NumberFormat, observer: str
) -> GridParams:
    """Return `weight_range` of an initializer, worked out once for each graph."""
    ranges = _RANGES.setdefault(graph, {})
    key = (name, number_format, observer)
    if key not in ranges:
        ranges[key] = weight_range(graph.array(name).astype(np.float32), number_format, observer)
    return ranges[key]


def weight_range(array: Array, number_format: NumberFormat, observer: str = "minmax") -> Any:
    """Return the grid of a weight.

    "minmax" covers every element. "mse" shrinks each channel's range by the factor, of 1 to 0.7,
    with the least sum of squared errors. An all-zero channel gets scale 1.

    Args:
        array: float32, any shape.
        number_format: Symmetric; its axis says which channels have a scale of their own.
        observer: "minmax" or "mse"; "mse" is for integers, others keep every element.
    """
    rows = _rows(array, number_format.axis)
    top = np.abs(rows).max(axis=1).astype(np.float64) if rows.size else np.zeros(len(rows))
    best = np.ones(len(rows))
    if observer == "mse" and isinstance(number_format, Integer):
        least = np.full(len(rows), np.inf)
        for factor in np.linspace(1.0, 0.7, 16):
            scale = (np.maximum(top * factor, 1e-37) / number_format.qmax).astype(np.float32)[
                :, None
            ]
            q = np.rint(rows / scale)
            np.clip(q, number_format.qmin, number_format.qmax, out=q)
            q *= scale
            q -= rows
            error = np.einsum("ij,ij->i", q, q)
            better = error < least * (1 - 1e-6)
            least[better], best[better] = error[better], factor
    high = top * best
    if number_format.axis is None:
        high = high[0]
    return number_format.parameters(-high, high)


def _rows(array: Array, axis: int | None) -> Array:
    """Return `[channels, rest]`, or `[1, all]` without an axis."""
    if axis is None:
        return array.reshape(1, -1)
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


def _room_for_bias(
    graph: Graph, layer: Layer, params: Params, tensors: Mapping[str, TensorPlan]
) -> Params:
    """Return params with scales so large that |bias| / (input scale * weight scale) fits 31 bits.

    A channel whose weights are nearly zero has a tiny scale, and its bias would overflow.
    """
    bias = layer.node.inputs[2] if len(layer.node.inputs) > 2 else None
    data = tensors.get(str(layer.data[0].name)) if layer.data else None
    array = _constant(graph, bias)
    if array is None or data is None or not isinstance(data.params, Params):
        return params
    least = np.abs(array.astype(np.float64)) / (float(data.params.scale) * 2.0**30)
    if params.scale.ndim == 0:
        least = np.asarray(least.max(initial=0.0))
    elif least.shape != params.scale.shape:
        return params
    scale = np.maximum(params.scale, least.astype(np.float32))
    return Params(scale=scale, zero_point=params.zero_point)


def _constant(graph: Graph, value: ir.Value | None) -> NDArray[Any] | None:
    if value is None or not value.is_initializer():
        return None
    return graph.array(str(value.name))
