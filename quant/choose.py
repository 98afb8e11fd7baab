"""Choose: put numbers on a placement, every tensor's grid with a reason."""

__all__ = ["choose", "node_types", "weight_range"]

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.errors import InputError
from quant.formats import Integer, Params
from quant.graph import Graph, weight_of
from quant.layers import Layer, layers, source_of, weight_axis
from quant.observers import OBSERVERS
from quant.place import Placement, place
from quant.plan import Plan, TensorPlan
from quant.profile import Profile, TensorProfile
from quant.recipe import NOTHING, Recipe, Rule
from quant.target import Target

OBSERVER = "mse"
"""The default; `docs/observers.md` has the measurement."""
WEIGHT_OBSERVER = "mse"

Array = NDArray[np.float32]


def choose(
    graph: Graph,
    profile: Profile,
    target: Target,
    *,
    recipe: Recipe = NOTHING,
    observer: str | None = None,
) -> Plan:
    """Return the plan of one target.

    Args:
        graph: The prepared graph.
        profile: Of this graph.
        target: The table.
        recipe: The user's rules; a rule that decides nothing is refused.
        observer: For what no rule decides; it goes before the recipe's own default.

    Raises:
        InputError: The profile is of another graph, a rule matches nothing, an unknown observer,
            or the recipe leaves no layer to quantize.
    """
    profile.must_match(graph=graph.fingerprint)
    every = layers(graph)
    recipe.check(node_types(graph))
    usable = [n for n in graph.activations if _usable(graph, profile, n)]
    placed = place(graph, target, recipe, usable)
    default = observer or recipe.defaults.observer or OBSERVER
    tensors = _activations(graph, profile, target, placed, recipe, default)
    integer = [x for x in every if placed.layers[x.name].precision == "int8"]
    if not any(weight_of(x.node) is not None for x in integer):
        raise InputError(
            f"plan for '{target.name}': no layer is left to quantize; the first weighted layer "
            f"stays float because {_first_reason(every, placed)}. Relax the recipe."
        )
    sharing: dict[str, list[Layer]] = {}
    for layer in integer:
        weight = weight_of(layer.node)
        if weight is not None:
            sharing.setdefault(str(weight.name), []).append(layer)
    for name, users in sharing.items():
        tensors[name] = _weight(graph, name, users, target, recipe, tensors)
    return Plan(target=target.name, graph=graph.fingerprint, layers=placed.layers, tensors=tensors)


def node_types(graph: Graph) -> list[tuple[str, str]]:
    """Return the `(name, type)` that a recipe's rules may be about; inputs have type "Input"."""
    inputs = [(str(v.name), "Input") for v in graph.inputs]
    return inputs + [(layer.name, layer.op) for layer in layers(graph)]


def _usable(graph: Graph, profile: Profile, name: str) -> bool:
    """Tell whether a tensor was watched, itself or as a view, and held finite numbers."""
    seen = profile.tensors.get(source_of(graph, name))
    return seen is not None and seen.low <= seen.high


def _first_reason(every: list[Layer], placed: Placement) -> str:
    weighted = (placed.layers[x.name] for x in every if weight_of(x.node) is not None)
    return next((plan.because for plan in weighted), "the graph has none")


def _activations(
    graph: Graph,
    profile: Profile,
    target: Target,
    placed: Placement,
    recipe: Recipe,
    observer: str,
) -> dict[str, TensorPlan]:
    """Choose one grid for each group."""
    found: dict[str, TensorPlan] = {}
    for group in placed.groups:
        seen = profile.group(sorted({source_of(graph, n) for n in group}))
        name = _wanted_observer(graph, group, recipe) or observer
        low, high = OBSERVERS[name](seen, target.activation)
        params = target.activation.parameters(low, high)
        for tensor in group:
            readers = placed.readers[tensor]
            found[tensor] = TensorPlan(
                tensor=tensor,
                kind="activation",
                number=target.activation,
                params=params,
                readers=None if readers is None else tuple(readers),
                because=f"{placed.because[tensor]}; {_reason(name, seen, low, high, group)}",
            )
    order = {name: i for i, name in enumerate(graph.activations)}
    return dict(sorted(found.items(), key=lambda item: order[item[0]]))


def _wanted_observer(graph: Graph, group: list[str], recipe: Recipe) -> str | None:
    """Return what the rules say of a group's first tensor that one is about, or None."""
    ruled = replace(recipe, defaults=Rule())
    for tensor in group:
        maker = graph.values[tensor].producer()
        if maker is not None and maker.op_type in ("Relu", "Clip"):
            before = maker.inputs[0].producer() if maker.inputs[0] is not None else None
            names = [n for n in (before, maker) if n is not None]
        else:
            names = [maker] if maker is not None else []
        pairs = [(str(n.name), n.op_type) for n in names] or [(tensor, "Input")]
        for name, op in pairs:
            said = ruled.wants(name, op, "observer")
            if said is not None:
                return said
    return None


def _reason(name: str, seen: TensorProfile, low: float, high: float, group: list[str]) -> str:
    """Say how the range came about."""
    full_low, full_high = min(seen.low, 0.0), max(seen.high, 0.0)
    span = full_high - full_low
    kept = (high - low) / span if span > 0 else 1.0
    said = f"{name} keeps [{low:.4g}, {high:.4g}]"
    if kept < 0.999:
        said += f", {100 * kept:.0f} % of [{full_low:.4g}, {full_high:.4g}]"
    return said + (f"; one grid for {len(group)} tensors" if len(group) > 1 else "")


def _weight(
    graph: Graph,
    name: str,
    users: list[Layer],
    target: Target,
    recipe: Recipe,
    tensors: Mapping[str, TensorPlan],
) -> TensorPlan:
    """Choose a weight's grid for the integer layers that share it; the first one's rules count."""
    first = users[0]
    axes = {weight_axis(layer.node) for layer in users}
    axis = axes.pop() if len(axes) == 1 else None
    per_tensor = recipe.wants(first.name, first.op, "weights") == "per-tensor" or axis is None
    number = target.weight.along(None if per_tensor else axis)
    observer = recipe.wants(first.name, first.op, "weight_observer") or WEIGHT_OBSERVER
    params = _known_range(graph, name, number, observer)
    measured = params.scale
    if target.bias is not None:
        for layer in users:
            params = _room_for_bias(graph, layer, params, tensors)
    raised = int(np.count_nonzero(params.scale > measured))
    because = f"{'one scale' if per_tensor else 'a scale per output channel'}; {observer}"
    if raised:
        because += f"; raised in {raised} channels so that the bias fits int32"
    return TensorPlan(
        tensor=name,
        kind="weight",
        number=number,
        params=params,
        readers=_weight_readers(graph.values[name], users),
        because=because,
    )


def _weight_readers(weight: ir.Value, users: list[Layer]) -> tuple[tuple[str, int], ...] | None:
    """Return who sees a weight's integers: a float layer that shares it keeps the float weight."""
    mine = tuple((layer.name, 1) for layer in users)
    every = {(str(use.node.name), use.idx) for use in weight.uses()}
    return None if every == set(mine) else mine


_RANGES: WeakKeyDictionary[Graph, dict[tuple[str, Integer, str], Params]] = WeakKeyDictionary()
"""Weight grids by graph: they do not change with the observer of activations."""


def _known_range(graph: Graph, name: str, number: Integer, observer: str) -> Params:
    """Return `weight_range` of an initializer, worked out once for each graph."""
    known = _RANGES.setdefault(graph, {})
    key = (name, number, observer)
    if key not in known:
        known[key] = weight_range(graph.array(name).astype(np.float32), number, observer)
    return known[key]


def weight_range(array: Array, number: Integer, observer: str = "minmax") -> Params:
    """Return the grid of a weight.

    "minmax" covers every element. "mse" shrinks each channel's range by the factor, of 1 to 0.7,
    with the least sum of squared errors. An all-zero channel gets scale 1.

    Args:
        array: float32, any shape.
        number: Symmetric; its axis says which channels have a scale of their own.
        observer: "minmax" or "mse".
    """
    rows = _rows(array, number.axis)
    top = np.abs(rows).max(axis=1).astype(np.float64) if rows.size else np.zeros(len(rows))
    best = np.ones(len(rows))
    if observer == "mse":
        least = np.full(len(rows), np.inf)
        for factor in np.linspace(1.0, 0.7, 16):
            scale = (np.maximum(top * factor, 1e-37) / number.qmax).astype(np.float32)[:, None]
            q = np.rint(rows / scale)
            np.clip(q, number.qmin, number.qmax, out=q)
            q *= scale
            q -= rows
            error = np.einsum("ij,ij->i", q, q)
            better = error < least * (1 - 1e-6)
            least[better], best[better] = error[better], factor
    high = top * best
    if number.axis is None:
        high = high[0]
    return number.parameters(-high, high)


def _rows(array: Array, axis: int | None) -> Array:
    """Return `[channels, rest]`, or `[1, all]` without an axis."""
    if axis is None:
        return array.reshape(1, -1)
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


def _room_for_bias(
    graph: Graph, layer: Layer, params: Params, tensors: Mapping[str, TensorPlan]
) -> Params:
    """Raise weight scales until |bias| / (input scale * weight scale) fits int32 with room to add.

    A channel whose weights are nearly zero has a tiny scale, and its bias would overflow.
    """
    bias = layer.node.inputs[2] if len(layer.node.inputs) > 2 else None
    data = tensors.get(str(layer.data[0].name)) if layer.data else None
    array = _constant(graph, bias)
    if array is None or data is None or data.params is None:
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
