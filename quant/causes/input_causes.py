"""Causes in a layer's input: outliers, saturation, wasted range, loud channels, dead tails."""

__all__ = ["InputEvidence", "input_causes", "saturation_cause"]

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from quant.analysis.layer_error import LayerError
from quant.causes.cause import Cause, bits_left
from quant.choose.grid_fit import TAIL, format_of, producer_name, width
from quant.graph.layer import Layer
from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import TensorPlan
from quant.profile.statistics import TensorProfile

OUTLIER_WIDTH = 4.0
"""Width of the range that the grid covers, over that of the range with 0.1 % of the elements beyond
each end. A Gaussian has 1.4 to 2 with 1e5 to 1e9 elements; at 4 nearly all go without two bits."""
PERCENTILE_SHARE = 1e-4
"""The share that the percentile observer cuts off at each end; where that does not halve the grid, it is no remedy."""

SATURATION = 1e-3
"""Share of elements beyond the grid. The observers that clip on purpose, mse and percentile, give
up some 0.01 %; ten times that is no trade any more but a wrong range."""

CHANNEL_SPREAD = 4.0
"""What 99.9 % of the elements keep to, over the largest value of the median channel; two bits, as
for weights. With the very largest value above it, layers of a classifier have 1 to 3.1."""

NONZERO_RATIO = 4 / 3
"""Elements that are not zero, over those of them that do not round to it: a quarter is lost. Of a
softmax over many classes nearly all are; of a sigmoid gate that is mostly closed, half."""

PROBABILITIES = ("Softmax", "Sigmoid", "HardSigmoid", "LogSoftmax", "Exp")


@dataclass(frozen=True, slots=True)
class InputEvidence:
    """An input of a layer: its grid, and its statistics."""

    grid: TensorPlan
    profile: TensorProfile

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest number on the grid."""
        low, high = format_of(self.grid).grid_range(self.grid.params)
        return float(low.min()), float(high.max())

    @property
    def width(self) -> float:
        """Width of the grid."""
        return width(self.grid, *self.bounds)

    @property
    def own_width(self) -> float:
        """Width that the tensor's own range needs."""
        return width(self.grid, self.profile.low, self.profile.high)


def input_causes(graph: Graph, layer: Layer, evidence: InputEvidence) -> list[Cause]:
    """Return the causes in one input on its grid, apart from what a neighbour does to it."""
    maker = producer_name(graph, evidence.grid.tensor)
    candidates = [
        _outlier(layer, evidence, maker),
        _channels(layer, evidence),
        _tail(graph, layer, evidence),
    ]
    causes = [f for f in candidates if f is not None and f.strength > 1]
    if causes and causes[-1].kind == "tail":  # it is what makes the others, and says more
        return [replace(causes[-1], strength=max(c.strength for c in causes))]
    return causes


def _outlier(layer: Layer, evidence: InputEvidence, maker: str) -> Cause | None:
    """Return the cause where few elements take most of a grid that 99.9 % of them do not need."""
    # what a neighbour on the same grid takes, or what the observer cut off already, is not counted
    grid = min(evidence.width, evidence.own_width)
    inner = width(evidence.grid, *evidence.profile.quantiles(TAIL))
    if inner <= 0:
        return None
    after_cut = width(evidence.grid, *evidence.profile.quantiles(PERCENTILE_SHARE))
    helps = 2 * after_cut <= grid
    largest = max(-evidence.profile.low, evidence.profile.high)
    return Cause(
        kind="outlier",
        strength=grid / inner / OUTLIER_WIDTH,
        evidence=f"outliers up to {largest:.3g} in its input: 99.9 % of the elements use "
        f"{100 * inner / grid:.2g} % of its range",
        key="observer" if helps else "precision",
        value="percentile" if helps else "float",
        place=maker if helps else layer.name,
        here=not helps,
    )


def saturation_cause(
    graph: Graph, inputs: Sequence[InputEvidence], row: LayerError
) -> Cause | None:
    """Return the cause where elements lie beyond a grid, for the input that reaches farthest."""
    if not row.saturation > SATURATION or not inputs:  # nan is no evidence
        return None

    def beyond(evidence: InputEvidence) -> float:
        low, high = evidence.bounds
        return max(low - evidence.profile.low, evidence.profile.high - high) / (high - low)

    maker = producer_name(graph, max(inputs, key=beyond).grid.tensor)
    return Cause(
        kind="saturation",
        strength=row.saturation / SATURATION,
        evidence=f"{100 * row.saturation:.2g} % of its input is beyond the grid",
        key="observer",
        value="minmax",
        place=maker,
        here=False,
    )


def _channels(layer: Layer, evidence: InputEvidence) -> Cause | None:
    """Return the cause where one channel fills the grid that all channels share."""
    profile = evidence.profile
    top = np.maximum(np.abs(profile.channel_low), np.abs(profile.channel_high)).astype(np.float64)
    loud = top[np.isfinite(top) & (top > 0)]
    if loud.size < 2:
        return None
    # a few elements that stick out are an outlier, and make no channel loud
    reach = min(max(map(abs, ends)) for ends in (evidence.bounds, profile.quantiles(TAIL)))
    ratio = reach / float(np.median(loud))
    number = int(np.flatnonzero(top == loud.max())[0])
    return Cause(
        kind="channels",
        strength=ratio / CHANNEL_SPREAD,
        evidence=f"channel {number} of its input reaches {loud.max():.3g} and the median channel "
        f"{np.median(loud):.3g}, which gets {bits_left(ratio)} of 8 bits",
        key="precision",
        value="float",
        place=layer.name,
    )


def _tail(graph: Graph, layer: Layer, evidence: InputEvidence) -> Cause | None:
    """Return the cause where a grid makes zeros of the small numbers of a softmax or a sigmoid."""
    maker = graph.values[source_of(graph, evidence.grid.tensor)].producer()
    if maker is None or maker.op_type not in PROBABILITIES:
        return None
    counts = evidence.profile.bins.astype(np.float64)
    if not counts.size or evidence.grid.format is None or evidence.grid.format.axis is not None:
        return None
    if 0 <= -evidence.profile.start < counts.size:
        counts[-evidence.profile.start] = max(
            counts[-evidence.profile.start] - evidence.profile.zeros, 0.0
        )
    centers = evidence.profile.centers.astype(np.float32)
    lost = evidence.grid.format.fake_quantize(centers, evidence.grid.params) == 0
    share = float(counts[lost].sum() / counts.sum()) if counts.sum() else 0.0
    return Cause(
        kind="tail",
        strength=1 / max(1 - share, 1e-6) / NONZERO_RATIO,
        evidence=f"its input comes out of a {maker.op_type}, and {100 * share:.2g} % of the "
        "elements that are not zero round to it",
        key="precision",
        value="float",
        place=layer.name,
    )
