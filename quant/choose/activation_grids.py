"""The grid of every quantized activation: a range for each group of tensors, by an observer."""

__all__ = ["activation_grids"]

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from quant.choose.grid_inputs import GridInputs
from quant.choose.placement import Readers
from quant.formats.number_format import NumberFormat
from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph
from quant.observers import OBSERVERS
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import TensorPlan, tensor_key
from quant.profile.statistics import TensorProfile

Parts = list[tuple[str, Readers | None]]
"""Tensors, each with those of its readers that see one format; None for every reader."""


def activation_grids(inputs: GridInputs) -> dict[str, TensorPlan]:
    """Return one grid for each group and format, by tensor in topological order."""
    plans: list[TensorPlan] = []
    for group in inputs.placed.groups:
        for number_format, parts in _by_format(inputs, group):
            plans += _grids(inputs, number_format, parts, _observer_of(inputs, group))
    order = {name: i for i, name in enumerate(inputs.graph.activations)}
    by_key: dict[str, TensorPlan] = {}
    for tensor in sorted(plans, key=lambda t: order[t.tensor]):
        by_key[tensor_key(tensor, by_key)] = tensor
    return by_key


def _by_format(inputs: GridInputs, group: list[str]) -> Iterator[tuple[NumberFormat, Parts]]:
    """Yield each format that readers want of a group, and for each of its tensors these readers."""
    placed, target = inputs.placed, inputs.target
    by_format: dict[NumberFormat, Parts] = {}
    for tensor in group:
        readers = placed.readers[tensor]
        if readers is None:
            by_format.setdefault(_shared_format(inputs, tensor), []).append((tensor, None))
            continue
        split: dict[NumberFormat, Readers] = {}
        for node, index in readers:
            number_format = target.simulated_formats[placed.layers[node].precision][0]
            axis = _group_axis(inputs.graph, tensor, node, index) if target.grid_per_group else None
            split.setdefault(number_format.with_axis(axis), []).append((node, index))
        for number_format, own in split.items():
            by_format.setdefault(number_format, []).append((tensor, own))
    yield from by_format.items()


def _shared_format(inputs: GridInputs, tensor: str) -> NumberFormat:
    """Return the format of a tensor that every reader sees: the finest that one of them wants.

    Where no reader has grids, the layer that makes the tensor decides.
    """
    graph, placed, target = inputs.graph, inputs.placed, inputs.target
    value = graph.values[tensor]
    names = [str(use.node.name) for use in value.uses()]
    reading = [placed.layers[n] for n in names if n in placed.layers]
    quantized = [x for x in reading if x.quantized and x.precision in target.simulated_formats]
    if not quantized:
        quantized = [
            placed.layers[x.name]
            for x in graph.layers
            if tensor in {str(v.name) for v in x.outputs} and placed.layers[x.name].quantized
        ]
    formats = [target.simulated_formats[x.precision][0] for x in quantized] or [target.activation]
    return max(formats, key=lambda number_format: number_format.bits)


def _group_axis(graph: Graph, tensor: str, node: str, index: int) -> int | None:
    """Return 1 for the data of a convolution with groups."""
    use = next(u.node for u in graph.values[tensor].uses() if u.node.name == node)
    grouped = use.op_type in ("Conv", "ConvTranspose") and use.attributes.get_int("group", 1) > 1
    return 1 if grouped and index == 0 else None


def _grids(
    inputs: GridInputs, number_format: NumberFormat, parts: Parts, observer: str
) -> list[TensorPlan]:
    """Return the grids of tensors that share one format and range."""
    if number_format.axis is not None:
        rows = [_grouped(inputs, number_format, *part) for part in parts]
    else:
        names = sorted({source_of(inputs.graph, tensor) for tensor, _ in parts})
        statistics = inputs.profile.group(names)
        low, high = OBSERVERS[observer](statistics, number_format)
        reason = _reason(observer, statistics, low, high, len(parts))
        rows = [(number_format, number_format.parameters(low, high), reason)] * len(parts)
    return [
        TensorPlan(
            tensor=tensor,
            kind="activation",
            format=own_format,
            params=params,
            readers=None if readers is None else tuple(readers),
            because=f"{inputs.placed.because[tensor]}; {reason}",
        )
        for (tensor, readers), (own_format, params, reason) in zip(parts, rows, strict=True)
    ]


def _grouped(
    inputs: GridInputs, number_format: NumberFormat, tensor: str, readers: Readers | None
) -> tuple[NumberFormat, Any, str]:
    """Return the grids of one tensor, one for each group of the convolution that reads it."""
    graph = inputs.graph
    statistics = inputs.profile.tensors[source_of(graph, tensor)]
    node = (readers or [("", 0)])[0][0]
    use = next(u.node for u in graph.values[tensor].uses() if u.node.name == node)
    groups = use.attributes.get_int("group", 1)
    shape = graph.values[tensor].shape
    channels = statistics.channel_low.size
    if shape is None or shape[1] != channels or channels % groups:
        whole = number_format.with_axis(None)
        return (
            whole,
            whole.parameters(*OBSERVERS["minmax"](statistics, whole)),
            "minmax, one range for all",
        )
    ends = [statistics.channel_low.reshape(groups, -1).min(axis=1)]
    ends.append(statistics.channel_high.reshape(groups, -1).max(axis=1))
    low, high = (np.repeat(np.where(np.isfinite(x), x, 0), channels // groups) for x in ends)
    return (
        number_format,
        number_format.parameters(low, high),
        f"minmax, a range for each of {groups} groups",
    )


def _observer_of(inputs: GridInputs, group: list[str]) -> str:
    """Return the observer of a group: the target's only one, the rules' or the default."""
    if inputs.target.observers:
        return inputs.target.observers[0]
    return _ruled_observer(inputs.graph, group, inputs.rules) or inputs.observer


def _ruled_observer(graph: Graph, group: list[str], recipe: Recipe) -> str | None:
    """Return the observer that a rule asks for the first tensor of a group that has such a rule."""
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
            observer = ruled.wants(name, op, "observer")
            if observer is not None:
                return observer
    return None


def _reason(name: str, statistics: TensorProfile, low: float, high: float, sharing: int) -> str:
    """Return a phrase on how the range was chosen."""
    full_low, full_high = min(statistics.low, 0.0), max(statistics.high, 0.0)
    span = full_high - full_low
    share = (high - low) / span if span > 0 else 1.0
    text = f"{name} keeps [{low:.4g}, {high:.4g}]"
    if share < 0.999:
        text += f", {100 * share:.0f} % of [{full_low:.4g}, {full_high:.4g}]"
    return text + (f"; one grid for {sharing} tensors" if sharing > 1 else "")
