"""How well a grid fits the activation or the weight that it holds.

Nothing runs here: activations are judged on the histogram of the profile, so over all calibration
samples, and weights as they are.
"""

__all__ = [
    "InputStats",
    "WeightStats",
    "format_of",
    "grid_noise",
    "input_stats",
    "producer_name",
    "weight_stats",
    "width",
]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.formats.number_format import NumberFormat
from quant.graph.layer import ABSORBED, Layer
from quant.graph.layers import weight_axis
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.tensor_plans import TensorPlan
from quant.profile.statistics import TensorProfile

TAIL = 1e-3
"""The 99.9th percentile: the share of elements, at each end, that may be outliers."""
POINTS_PER_BIN = 16
"""Points inside a histogram bin at which a grid's error is taken: a grid may be finer than a bin."""

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputStats:
    """An activation that a layer reads on a grid.

    Attributes:
        tensor: Its name.
        maker: Node whose recipe rule chooses its observer; a network input stands for itself.
        low: Least value of the profile, and `high` the greatest.
        high: See `low`.
        grid_low: Least number on the grid, and `grid_high` the greatest.
        grid_high: See `grid_low`.
        step: Distance of neighbours on a uniform grid; nan for others.
        saturated: Share of elements beyond the grid, 0 to 1.
        saturation_noise: Share of the grid's squared error that they make; the rest is rounding.
        used: Share of the grid's range that the values reach, 0 to 1.
        outlier: Width of the whole range over that of 99.9 % of the elements; 1 is none.
        channels: Number of channels; 0 where the tensor has none.
        dead: Channels that never change.
        spread: Largest magnitude over that of the median live channel.
    """

    tensor: str
    maker: str
    low: float
    high: float
    grid_low: float
    grid_high: float
    step: float
    saturated: float
    saturation_noise: float
    used: float
    outlier: float
    channels: int
    dead: int
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightStats:
    """A layer's weight, by output channel.

    Attributes:
        low: float32 `[C]`, least weight of each channel; `[1]` where there is no single axis.
        high: float32 `[C]`.
        scales: How many scales the grid has.
        dead: Channels that are all zero.
        spread: Largest magnitude over that of the median live channel.
        peak: Greatest ratio, over the channels, of the largest magnitude to the root mean square.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    scales: int
    dead: int
    spread: float
    peak: float


def producer_name(graph: Graph, tensor: str) -> str:
    """Return the node whose recipe rule chooses a tensor's observer; an input stands for itself."""
    node = graph.values[tensor].producer()
    if node is not None and node.op_type in ABSORBED and node.inputs[0] is not None:
        node = node.inputs[0].producer() or node
    return str(node.name) if node is not None else tensor


def width(tensor: TensorPlan, low: float, high: float) -> float:
    """Return how much of a grid [low, high] and zero need: both sides of zero if it is symmetric."""
    low, high = min(low, 0.0), max(high, 0.0)
    symmetric = tensor.format is not None and tensor.format.symmetric
    return 2 * max(-low, high) if symmetric else high - low


def input_stats(graph: Graph, tensor: TensorPlan, profile: TensorProfile) -> InputStats:
    """Return the statistics of a quantized activation; `tensor` has a grid."""
    number_format = format_of(tensor)
    least, most = number_format.grid_range(tensor.params)
    low, high = float(least.min()), float(most.max())
    total, beyond, noise, lost = grid_noise(tensor, profile)
    top = np.maximum(np.abs(profile.channel_low), np.abs(profile.channel_high)).astype(np.float64)
    typical = profile.quantiles(TAIL)
    inner = width(tensor, *typical)
    reached = min(profile.high, high) - max(profile.low, low)
    scale = tensor.params.arrays().get("scale") if tensor.params is not None else None
    return InputStats(
        tensor=tensor.tensor,
        maker=producer_name(graph, tensor.tensor),
        low=profile.low,
        high=profile.high,
        grid_low=low,
        grid_high=high,
        step=float(scale.max()) if scale is not None and hasattr(number_format, "qmin") else np.nan,
        saturated=beyond / total if total else 0.0,
        saturation_noise=lost / noise if noise > 0 else 0.0,
        used=float(np.clip(reached / (high - low), 0, 1)) if high > low else 0.0,
        outlier=width(tensor, profile.low, profile.high) / inner if inner > 0 else 1.0,
        channels=int(top.size),
        dead=int(np.count_nonzero(profile.channel_low == profile.channel_high)),
        spread=_spread(top),
    )


def grid_noise(tensor: TensorPlan, profile: TensorProfile) -> tuple[float, float, float, float]:
    """Return the error that a grid makes on the elements of a histogram, its own or another one.

    Four sums over the sampled elements: how many; how many beyond the grid; the squared error of
    all, and of those beyond. The last three are 0, nan and nan for a grid by channel, and for an
    empty histogram.
    """
    number_format, params = format_of(tensor), tensor.params
    if number_format.axis is not None or not profile.bins.size:
        return float(profile.bins.sum()), 0.0, np.nan, np.nan
    counts, total = (
        profile.nonzero,
        float(profile.bins.sum()),
    )  # zeros are no even spread over a bin
    filled = np.flatnonzero(counts)
    inside = (np.arange(POINTS_PER_BIN) + 0.5) / POINTS_PER_BIN
    points = (profile.start + filled[:, None] + inside[None]) * profile.width
    points = np.clip(points, profile.low, profile.high).astype(np.float32)
    with np.errstate(over="ignore"):
        error = (number_format.fake_quantize(points, params) - points).astype(np.float64) ** 2
    least, most = (float(x) for x in number_format.rounding_range(params))
    out = (points < least) | (points > most)
    weight = counts[filled][:, None] / POINTS_PER_BIN
    return (
        total,
        float((weight * out).sum()),
        float((weight * error).sum()),
        float((weight * error * out).sum()),
    )


def format_of(tensor: TensorPlan) -> NumberFormat:
    """Return the format of a tensor on a grid; raises ValueError for a float tensor."""
    if tensor.format is None:
        raise ValueError(f"tensor '{tensor.tensor}' has no grid")
    return tensor.format


def _spread(top: F64) -> float:
    """Return the largest magnitude over the median's of those above 0; 1 for fewer than two."""
    positive = top[np.isfinite(top) & (top > 0)]
    return float(positive.max() / np.median(positive)) if positive.size > 1 else 1.0


def weight_stats(graph: Graph, layer: Layer, tensor: TensorPlan | None) -> WeightStats | None:
    """Return the statistics of a layer's weight, None where it has none."""
    weight = weight_of(layer.node)
    if weight is None:
        return None
    array = graph.array(str(weight.name)).astype(np.float32)
    axis = weight_axis(layer.node)
    rows = array.reshape(1, -1) if axis is None else _rows(array, axis)
    top = np.abs(rows).max(axis=1, initial=0.0).astype(np.float64)
    rms = np.sqrt(np.mean(rows.astype(np.float64) ** 2, axis=1)) if rows.size else top
    scale = tensor.params.arrays().get("scale") if tensor is not None and tensor.params else None
    nonzero = rms > 0
    return WeightStats(
        low=rows.min(axis=1, initial=0.0),
        high=rows.max(axis=1, initial=0.0),
        scales=int(scale.size) if scale is not None else 0,
        dead=int(np.count_nonzero(top == 0)),
        spread=_spread(top),
        peak=float((top[nonzero] / rms[nonzero]).max()) if nonzero.any() else 1.0,
    )


def _rows(array: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
