"""Causes in where a layer stands: neighbours on its grid, heads of detectors, first and last."""

__all__ = ["head_cause", "neighbour_causes", "place_cause"]

from collections.abc import Sequence

import numpy as np

from quant.causes.cause import Cause, bits_left
from quant.causes.input_causes import InputEvidence
from quant.choose.grid_fit import producer_name, width
from quant.common.errors import few
from quant.graph.layer import Layer
from quant.graph.layers import heads, reaches_outputs, source_of
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.tensor_plans import Plan, TensorPlan
from quant.profile.statistics import Profile

SHARED = 4.0
"""Width of the grid over that of all that was seen of the tensor: 1 at most where only its own
values chose it. At 4 two bits are lost."""

MIXED = 4.0
"""Largest channel of a head's output over its median one."""

END = 1.0
"""The strength of being first or last: no measurement, so any real evidence goes before it."""


def neighbour_causes(
    graph: Graph, plan: Plan, profile: Profile, layer: Layer, seen: InputEvidence
) -> list[Cause]:
    """Compare a grid with all that was seen of its tensor: where it is wider, find out for whom."""
    own, grid, tensor = seen.own, seen.width, seen.grid
    if own <= 0 or grid / own <= SHARED:
        return []
    others = {}
    for other in plan.quantized:
        its = profile.tensors.get(source_of(graph, other.tensor))
        if its is not None and other.tensor != tensor.tensor and _same(other, tensor):
            others[other.tensor] = width(other, its.low, its.high)
    widest = max(others, key=lambda name: others[name], default=None)
    if widest is None or others[widest] <= own:
        return [_wasted(graph, seen)]
    head = layer.op == "Concat" and reaches_outputs(layer.output)
    said = "detector head: its input" if head else "its input"
    return [
        Cause(
            kind="mixed-head" if head else "shared-grid",
            strength=grid / own / SHARED,
            evidence=f"{said} '{tensor.tensor}' shares a grid with '{widest}', whose range is "
            f"{others[widest] / own:.3g} times as wide, and gets {bits_left(grid / own)} of 8 bits",
            key="precision",
            value="float",
            place=layer.name,
            also=_integer_readers(plan, layer) if layer.op == "Concat" else (),
        )
    ]


def _integer_readers(plan: Plan, layer: Layer) -> tuple[str, ...]:
    """Return the layers that read a layer's output on a grid."""
    readers = dict.fromkeys(str(use.node.name) for use in layer.output.uses())
    return tuple(n for n in readers if n in plan.layers and plan.layers[n].quantized)


def _wasted(graph: Graph, seen: InputEvidence) -> Cause:
    """Blame a range that nothing seen has asked for: of an edited plan, or of a rule."""
    ratio = seen.width / seen.own
    return Cause(
        kind="wasted-range",
        strength=ratio / SHARED,
        evidence=f"its input reaches [{seen.profile.low:.3g}, {seen.profile.high:.3g}] and its "
        f"grid is {ratio:.3g} times as wide, which leaves {bits_left(ratio)} of 8 bits",
        key="observer",
        value="minmax",
        place=producer_name(graph, seen.grid.tensor),
        here=False,
    )


def _same(a: TensorPlan, b: TensorPlan) -> bool:
    """Tell whether two activations have one grid."""
    if a.kind != b.kind or a.params is None or b.params is None:
        return False
    mine, its = a.params.arrays(), b.params.arrays()
    return mine.keys() == its.keys() and all(np.array_equal(mine[k], its[k]) for k in mine)


def head_cause(graph: Graph, plan: Plan, profile: Profile, layer: Layer) -> Cause | None:
    """Find a head whose output is on one grid and whose channels are different quantities."""
    name = str(layer.output.name)
    known = next((t for t in plan.quantized if t.tensor == name), None)
    seen = profile.tensors.get(source_of(graph, name))
    if (
        known is None
        or seen is None
        or weight_of(layer.node) is None
        or not reaches_outputs(layer.output)
    ):
        return None
    top = np.maximum(np.abs(seen.channel_low), np.abs(seen.channel_high)).astype(np.float64)
    live = top[np.isfinite(top) & (top > 0)]
    if live.size < 2 or (layer.output.shape is not None and len(layer.output.shape) < 3):
        return None  # classes of a classifier are one quantity
    ratio = float(live.max() / np.median(live))
    if ratio <= MIXED:
        return None
    return Cause(
        kind="mixed-head",
        strength=ratio / MIXED,
        evidence=f"detector head: its {live.size} output channels share one grid, the largest "
        f"reaches {live.max():.3g} and the median {np.median(live):.3g}, which gets "
        f"{bits_left(ratio)} of 8 bits",
        key="precision",
        value="float",
        place=layer.name,
    )


def place_cause(graph: Graph, every: Sequence[Layer], layer: Layer) -> Cause | None:
    """Name the first weighted layers and those behind which there is none."""
    if weight_of(layer.node) is None:
        return None
    inputs = {str(v.name) for v in graph.inputs}
    if any(source_of(graph, str(v.name)) in inputs for v in layer.data):
        return _end(layer, "first", "first layer: it sees the image at 8 bits")
    last = [x for x in every if weight_of(x.node) is not None][-1]
    if not reaches_outputs(layer.output):
        behind = "last layer" if last is layer else ""
    else:
        every_head = heads(graph)
        made = few(every_head.get(layer.name, ()), 2)
        behind = (
            "last layer" if len(every_head) == 1 else f"one of {len(every_head)} heads, of {made}"
        )
    if not behind:
        return None
    return _end(layer, "last", f"{behind}: nothing behind it averages its error out")


def _end(layer: Layer, kind: str, words: str) -> Cause:
    return Cause(
        kind=kind, strength=END, evidence=words, key="precision", value="float", place=layer.name
    )
