"""Causes in a layer's place: neighbours on its grid, heads of detectors, first and last layers."""

__all__ = ["head_cause", "neighbour_causes", "place_cause"]

import numpy as np

from quant.causes.cause import Cause, CauseKind, bits_left
from quant.causes.input_causes import InputEvidence
from quant.choose.grid_fit import producer_name, width
from quant.common.errors import few
from quant.graph.layer import Layer
from quant.graph.layers import heads, reaches_outputs, source_of
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.planned_graph import PlannedGraph
from quant.plan.tensor_plans import Plan, TensorPlan

SHARED_WIDTH = 4.0
"""Width of the grid over that of the tensor's own range: 1 at most where only its own
values chose it. At 4 two bits are lost."""

MIXED_RATIO = 4.0
"""Largest channel of a head's output over its median one."""

END_STRENGTH = 1.0
"""The strength of being first or last: no measurement, so any real evidence takes precedence."""


def neighbour_causes(planned: PlannedGraph, layer: Layer, evidence: InputEvidence) -> list[Cause]:
    """Return the cause where a grid is wider than its tensor's range, with the tensor it serves."""
    own, grid, tensor = evidence.own_width, evidence.width, evidence.grid
    if own <= 0 or grid / own <= SHARED_WIDTH:
        return []
    others = {}
    for other in planned.plan.quantized:
        name = source_of(planned.graph, other.tensor)
        statistics = planned.profile.tensors.get(name)
        if statistics is None or other.tensor == tensor.tensor:
            continue
        if _same_grid(other, tensor):
            others[other.tensor] = width(other, statistics.low, statistics.high)
    widest = max(others, key=lambda name: others[name], default=None)
    if widest is None or others[widest] <= own:
        return [_wasted(planned.graph, evidence)]
    head = layer.op == "Concat" and reaches_outputs(layer.output)
    input_text = "detector head: its input" if head else "its input"
    return [
        Cause(
            kind="mixed-head" if head else "shared-grid",
            strength=grid / own / SHARED_WIDTH,
            evidence=f"{input_text} '{tensor.tensor}' shares a grid with '{widest}', whose range is "
            f"{others[widest] / own:.3g} times as wide, and gets {bits_left(grid / own)} of 8 bits",
            key="precision",
            value="float",
            place=layer.name,
            also=_integer_readers(planned.plan, layer) if layer.op == "Concat" else (),
        )
    ]


def _integer_readers(plan: Plan, layer: Layer) -> tuple[str, ...]:
    """Return the layers that read a layer's output on a grid."""
    readers = dict.fromkeys(str(use.node.name) for use in layer.output.uses())
    return tuple(n for n in readers if n in plan.layers and plan.layers[n].quantized)


def _wasted(graph: Graph, evidence: InputEvidence) -> Cause:
    """Return the cause where no tensor needs a grid that wide: an edited plan's, or a rule's."""
    ratio = evidence.width / evidence.own_width
    return Cause(
        kind="wasted-range",
        strength=ratio / SHARED_WIDTH,
        evidence=f"its input reaches [{evidence.profile.low:.3g}, {evidence.profile.high:.3g}] and its "
        f"grid is {ratio:.3g} times as wide, which leaves {bits_left(ratio)} of 8 bits",
        key="observer",
        value="minmax",
        place=producer_name(graph, evidence.grid.tensor),
        here=False,
    )


def _same_grid(a: TensorPlan, b: TensorPlan) -> bool:
    """Return whether two activations have one grid."""
    if a.kind != b.kind or a.params is None or b.params is None:
        return False
    first, second = a.params.arrays(), b.params.arrays()
    same_names = first.keys() == second.keys()
    return same_names and all(np.array_equal(first[k], second[k]) for k in first)


def head_cause(planned: PlannedGraph, layer: Layer) -> Cause | None:
    """Return the cause where a head's channels are different quantities on one grid."""
    name = str(layer.output.name)
    grid = next((t for t in planned.plan.quantized if t.tensor == name), None)
    statistics = planned.profile.tensors.get(source_of(planned.graph, name))
    if (
        grid is None
        or statistics is None
        or weight_of(layer.node) is None
        or not reaches_outputs(layer.output)
    ):
        return None
    top = np.maximum(np.abs(statistics.channel_low), np.abs(statistics.channel_high))
    top = top.astype(np.float64)
    loud = top[np.isfinite(top) & (top > 0)]
    if loud.size < 2 or (layer.output.shape is not None and len(layer.output.shape) < 3):
        return None  # classes of a classifier are one quantity
    ratio = float(loud.max() / np.median(loud))
    if ratio <= MIXED_RATIO:
        return None
    return Cause(
        kind="mixed-head",
        strength=ratio / MIXED_RATIO,
        evidence=f"detector head: its {loud.size} output channels share one grid, the largest "
        f"reaches {loud.max():.3g} and the median {np.median(loud):.3g}, which gets "
        f"{bits_left(ratio)} of 8 bits",
        key="precision",
        value="float",
        place=layer.name,
    )


def place_cause(graph: Graph, layer: Layer) -> Cause | None:
    """Return the cause of the first weighted layers, and of those behind which there is none."""
    if weight_of(layer.node) is None:
        return None
    inputs = {str(v.name) for v in graph.inputs}
    if any(source_of(graph, str(v.name)) in inputs for v in layer.data):
        return _end(layer, "first", "first layer: it sees the image at 8 bits")
    last = [x for x in graph.layers if weight_of(x.node) is not None][-1]
    if not reaches_outputs(layer.output):
        behind = "last layer" if last is layer else ""
    else:
        outputs_by_head = heads(graph)
        outputs = few(outputs_by_head.get(layer.name, ()), 2)
        behind = (
            "last layer"
            if len(outputs_by_head) == 1
            else f"one of {len(outputs_by_head)} heads, of {outputs}"
        )
    if not behind:
        return None
    return _end(layer, "last", f"{behind}: nothing behind it averages its error out")


def _end(layer: Layer, kind: CauseKind, words: str) -> Cause:
    return Cause(
        kind=kind,
        strength=END_STRENGTH,
        evidence=words,
        key="precision",
        value="float",
        place=layer.name,
    )
