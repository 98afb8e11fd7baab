"""Causes in what a layer reads: outliers, saturation, wasted range, loud channels, dead tails."""

__all__ = ["InputEvidence", "input_causes", "saturation_cause"]

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from quant.analysis.layer_error import LayerError
from quant.causes.cause import Cause, bits_left
from quant.choose.grid_fit import TAIL, producer_name, width
from quant.graph.layer import Layer
from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import TensorPlan
from quant.profile.statistics import TensorProfile

OUTLIER = 4.0
"""Width of the range that the grid covers, over that of the range with 0.1 % of the elements beyond
each end. A Gaussian has 1.4 to 2 with 1e5 to 1e9 elements; at 4 nearly all go without two bits."""
CUT = 1e-4
"""What the percentile observer cuts off; where that does not halve the grid, it is no remedy."""

SATURATION = 1e-3
"""Share of elements beyond the grid. The observers that clip on purpose, mse and percentile, give
up some 0.01 %; ten times that is no trade any more but a wrong range."""

CHANNEL_SPREAD = 4.0
"""What 99.9 % of the elements keep to, over the largest value of the median channel; two bits, as
for weights. With the very largest value above it, layers of a classifier have 1 to 3.1."""

SURVIVORS = 4 / 3
"""Elements that are not zero, over those of them that do not round to it: a quarter is lost. Of a
softmax over many classes nearly all are; of a sigmoid gate that is mostly closed, half."""

PROBABILITIES = ("Softmax", "Sigmoid", "HardSigmoid", "LogSoftmax", "Exp")


@dataclass(frozen=True, slots=True)
class InputEvidence:
    """An input of a layer: its grid, and what was seen of it."""

    grid: TensorPlan
    profile: TensorProfile

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest number on the grid."""
        assert self.grid.format is not None
        low, high = self.grid.format.grid_range(self.grid.params)
        return float(low.min()), float(high.max())

    @property
    def width(self) -> float:
        """Width of the grid."""
        return width(self.grid, *self.bounds)

    @property
    def own(self) -> float:
        """Width that all that was seen needs."""
        return width(self.grid, self.profile.low, self.profile.high)


def input_causes(graph: Graph, layer: Layer, seen: InputEvidence) -> list[Cause]:
    """Return what is wrong with one input on its grid, what a neighbour does to it left out."""
    maker = producer_name(graph, seen.grid.tensor)
    found = [_outlier(layer, seen, maker), _channels(layer, seen), _tail(graph, layer, seen)]
    causes = [f for f in found if f is not None and f.strength > 1]
    if causes and causes[-1].kind == "tail":  # it is what makes the others, and says more
        return [replace(causes[-1], strength=max(c.strength for c in causes))]
    return causes


def _outlier(layer: Layer, seen: InputEvidence, maker: str) -> Cause | None:
    """Compare what a tensor's own range takes of a grid with what 99.9 % of its elements need."""
    # what a neighbour on the same grid takes, or what the observer cut off already, is not counted
    grid = min(seen.width, seen.own)
    most = width(seen.grid, *seen.profile.quantiles(TAIL))
    if most <= 0:
        return None
    rest = width(seen.grid, *seen.profile.quantiles(CUT))
    helps = 2 * rest <= grid
    largest = max(-seen.profile.low, seen.profile.high)
    return Cause(
        kind="outlier",
        strength=grid / most / OUTLIER,
        evidence=f"outliers up to {largest:.3g} in its input: 99.9 % of the elements use "
        f"{100 * most / grid:.2g} % of its range",
        key="observer" if helps else "precision",
        value="percentile" if helps else "float",
        place=maker if helps else layer.name,
        here=not helps,
    )


def saturation_cause(graph: Graph, pairs: Sequence[InputEvidence], row: LayerError) -> Cause | None:
    """Take what was measured, and find the input that reaches farthest beyond its grid."""
    if not row.saturation > SATURATION or not pairs:  # nan is no evidence
        return None

    def beyond(seen: InputEvidence) -> float:
        low, high = seen.bounds
        return max(low - seen.profile.low, seen.profile.high - high) / (high - low)

    maker = producer_name(graph, max(pairs, key=beyond).grid.tensor)
    return Cause(
        kind="saturation",
        strength=row.saturation / SATURATION,
        evidence=f"{100 * row.saturation:.2g} % of its input is beyond the grid",
        key="observer",
        value="minmax",
        place=maker,
        here=False,
    )


def _channels(layer: Layer, seen: InputEvidence) -> Cause | None:
    """Compare the channels of an activation: all of them share the grid of the largest."""
    profile = seen.profile
    top = np.maximum(np.abs(profile.channel_low), np.abs(profile.channel_high)).astype(np.float64)
    live = top[np.isfinite(top) & (top > 0)]
    if live.size < 2:
        return None
    # a few elements that stick out are an outlier, and make no channel loud
    reach = min(max(map(abs, ends)) for ends in (seen.bounds, profile.quantiles(TAIL)))
    ratio = reach / float(np.median(live))
    number = int(np.flatnonzero(top == live.max())[0])
    return Cause(
        kind="channels",
        strength=ratio / CHANNEL_SPREAD,
        evidence=f"channel {number} of its input reaches {live.max():.3g} and the median channel "
        f"{np.median(live):.3g}, which gets {bits_left(ratio)} of 8 bits",
        key="precision",
        value="float",
        place=layer.name,
    )


def _tail(graph: Graph, layer: Layer, seen: InputEvidence) -> Cause | None:
    """Count what a grid makes zero of the many small numbers of a softmax or a sigmoid."""
    maker = graph.values[source_of(graph, seen.grid.tensor)].producer()
    if maker is None or maker.op_type not in PROBABILITIES:
        return None
    counts = seen.profile.bins.astype(np.float64)
    if not counts.size or seen.grid.format is None or seen.grid.format.axis is not None:
        return None
    if 0 <= -seen.profile.start < counts.size:
        counts[-seen.profile.start] = max(counts[-seen.profile.start] - seen.profile.zeros, 0.0)
    centers = seen.profile.centers.astype(np.float32)
    lost = seen.grid.format.fake_quantize(centers, seen.grid.params) == 0
    share = float(counts[lost].sum() / counts.sum()) if counts.sum() else 0.0
    return Cause(
        kind="tail",
        strength=1 / max(1 - share, 1e-6) / SURVIVORS,
        evidence=f"its input comes out of a {maker.op_type}, and {100 * share:.2g} % of the "
        "elements that are not zero round to it",
        key="precision",
        value="float",
        place=layer.name,
    )
