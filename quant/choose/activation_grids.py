"""Activation grids: a range for every group of tensors, by an observer, from the profile."""

__all__ = ["activation_grids"]

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from quant.choose.placement import Placement, Readers
from quant.formats.number_format import NumberFormat
from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph
from quant.observers import OBSERVERS
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import TensorPlan, tensor_key
from quant.profile.statistics import Profile, TensorProfile
from quant.target.table import Target

Parts = list[tuple[str, Readers | None]]
"""Tensors, each with those of its readers that see one format; None for every reader."""


def activation_grids(
    graph: Graph,
    profile: Profile,
    target: Target,
    placed: Placement,
    recipe: Recipe,
    observer: str,
) -> dict[str, TensorPlan]:
    """Return one grid for each group and format, by tensor in topological order.

    Args:
        graph: The prepared graph.
        profile: Of it.
        target: The table.
        placed: Which tensors, for whom, in which groups.
        recipe: The target's rules.
        observer: For what no rule decides.
    """
    made: list[TensorPlan] = []
    for group in placed.groups:
        for number, parts in _by_format(graph, placed, target, group):
            name = (_wanted_observer(graph, group, recipe) if not target.observers else None) or (
                target.observers[0] if target.observers else observer
            )
            made += _grids(graph, profile, placed, number, parts, name)
    order = {name: i for i, name in enumerate(graph.activations)}
    found: dict[str, TensorPlan] = {}
    for tensor in sorted(made, key=lambda t: order[t.tensor]):
        found[tensor_key(tensor, found)] = tensor
    return found


def _by_format(
    graph: Graph, placed: Placement, target: Target, group: list[str]
) -> Iterator[tuple[NumberFormat, Parts]]:
    """Yield each format that readers want of a group, and for each of its tensors these readers."""
    found: dict[NumberFormat, Parts] = {}
    for tensor in group:
        readers = placed.readers[tensor]
        if readers is None:
            found.setdefault(_shared(graph, placed, target, tensor), []).append((tensor, None))
            continue
        split: dict[NumberFormat, Readers] = {}
        for node, index in readers:
            number = target.simulated_formats[placed.layers[node].precision][0]
            axis = _group_axis(graph, tensor, node, index) if target.grid_per_group else None
            split.setdefault(number.with_axis(axis), []).append((node, index))
        for number, some in split.items():
            found.setdefault(number, []).append((tensor, some))
    yield from found.items()


def _shared(graph: Graph, placed: Placement, target: Target, tensor: str) -> NumberFormat:
    """Return the format of a tensor that every reader sees: the finest that one of them wants.

    Where no reader has grids, the tensor's maker decides.
    """
    value = graph.values[tensor]
    names = [str(use.node.name) for use in value.uses()]
    known = [placed.layers[n] for n in names if n in placed.layers]
    made = [x for x in known if x.quantized and x.precision in target.simulated_formats]
    if not made:
        made = [
            placed.layers[x.name]
            for x in graph.layers
            if tensor in {str(v.name) for v in x.outputs} and placed.layers[x.name].quantized
        ]
    formats = [target.simulated_formats[x.precision][0] for x in made] or [target.activation]
    return max(formats, key=lambda number: number.bits)


def _group_axis(graph: Graph, tensor: str, node: str, index: int) -> int | None:
    """Return 1 for the data of a convolution with groups."""
    use = next(u.node for u in graph.values[tensor].uses() if u.node.name == node)
    grouped = use.op_type in ("Conv", "ConvTranspose") and use.attributes.get_int("group", 1) > 1
    return 1 if grouped and index == 0 else None


def _grids(
    graph: Graph,
    profile: Profile,
    placed: Placement,
    number: NumberFormat,
    parts: Parts,
    observer: str,
) -> list[TensorPlan]:
    """Return the grids of tensors that share one format and range."""
    if number.axis is not None:
        rows = [_grouped(graph, profile, number, *part) for part in parts]
    else:
        names = sorted({source_of(graph, tensor) for tensor, _ in parts})
        seen = profile.group(names)
        low, high = OBSERVERS[observer](seen, number)
        said = _reason(observer, seen, low, high, len(parts))
        rows = [(number, number.parameters(low, high), said)] * len(parts)
    return [
        TensorPlan(
            tensor=tensor,
            kind="activation",
            format=kept,
            params=params,
            readers=None if readers is None else tuple(readers),
            because=f"{placed.because[tensor]}; {said}",
        )
        for (tensor, readers), (kept, params, said) in zip(parts, rows, strict=True)
    ]


def _grouped(
    graph: Graph, profile: Profile, number: NumberFormat, tensor: str, readers: Readers | None
) -> tuple[NumberFormat, Any, str]:
    """Return the grids of one tensor, one for each group of the convolution that reads it."""
    seen = profile.tensors[source_of(graph, tensor)]
    node = (readers or [("", 0)])[0][0]
    use = next(u.node for u in graph.values[tensor].uses() if u.node.name == node)
    groups = use.attributes.get_int("group", 1)
    shape = graph.values[tensor].shape
    channels = seen.channel_low.size
    if shape is None or shape[1] != channels or channels % groups:
        one = number.with_axis(None)
        return one, one.parameters(*OBSERVERS["minmax"](seen, one)), "minmax, one range for all"
    ends = [seen.channel_low.reshape(groups, -1).min(axis=1)]
    ends.append(seen.channel_high.reshape(groups, -1).max(axis=1))
    low, high = (np.repeat(np.where(np.isfinite(x), x, 0), channels // groups) for x in ends)
    return number, number.parameters(low, high), f"minmax, a range for each of {groups} groups"


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


def _reason(name: str, seen: TensorProfile, low: float, high: float, sharing: int) -> str:
    """Say how the range came about."""
    full_low, full_high = min(seen.low, 0.0), max(seen.high, 0.0)
    span = full_high - full_low
    kept = (high - low) / span if span > 0 else 1.0
    said = f"{name} keeps [{low:.4g}, {high:.4g}]"
    if kept < 0.999:
        said += f", {100 * kept:.0f} % of [{full_low:.4g}, {full_high:.4g}]"
    return said + (f"; one grid for {sharing} tensors" if sharing > 1 else "")
