"""Causes in a layer's weight: one scale for all of it, and outliers."""

__all__ = ["weight_causes"]

import numpy as np
from numpy.typing import NDArray

from quant.causes.cause import Cause, bits_left
from quant.choose.weight_grids import weight_range
from quant.formats.number_format import Integer, Params
from quant.formats.short_floats import Float8
from quant.graph.layer import Layer
from quant.graph.layers import weight_axis
from quant.graph.prepared_graph import Graph, weight_of
from quant.metrics.squared_error import sqnr
from quant.plan.tensor_plans import Plan, TensorPlan

WEIGHT_SPREAD = 4.0
"""Largest weight of all over that of the median channel. At 4 half of the channels go without two
bits, which is 12 dB. Measured on EfficientNet-Lite0 and an SSD detector: ordinary convolutions
have mostly 1.2 to 5.8, depthwise ones 1.4 to 25."""

WEIGHT_PEAK = 12.0
"""Root mean square of the channels' largest weights over that of all weights. A Gaussian has 2 to
4.5 with 9 to 1e5 weights a channel; at 12 an 8-bit grid gives under 31 dB."""
MSE_HELPS = 1.0
"""In dB; below it the weight observer is no remedy."""


def weight_causes(graph: Graph, plan: Plan, layer: Layer) -> list[Cause]:
    """Return the causes in a layer's weight on its grid."""
    weight = weight_of(layer.node)
    weight_plan = plan.grid(str(weight.name), layer.name) if weight is not None else None
    if weight_plan is None or not isinstance(weight_plan.format, Integer | Float8):
        return []  # a logarithmic grid has no use for a scale a channel
    array = graph.array(weight_plan.tensor).astype(np.float32)
    candidates = [_scale(array, weight_plan, layer), _outlier(array, weight_plan, layer)]
    return [f for f in candidates if f is not None and f.strength > 1]


def _rows(array: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1).astype(np.float64)


def _scale(array: NDArray[np.float32], weight_plan: TensorPlan, layer: Layer) -> Cause | None:
    """Return the cause where a weight has one scale and could have one for each channel."""
    axis = weight_axis(layer.node)
    if axis is None or weight_plan.format is None or weight_plan.format.axis is not None:
        return None
    top = np.abs(_rows(array, axis)).max(axis=1, initial=0.0)
    nonzero = top[top > 0]
    if nonzero.size < 2:
        return None
    ratio = float(nonzero.max() / np.median(nonzero))
    kind = "depthwise channels" if _depthwise(layer) else "channels"
    return Cause(
        kind="weight-scale",
        strength=ratio / WEIGHT_SPREAD,
        evidence=f"one weight scale for {nonzero.size} {kind}: the largest weight is {ratio:.3g} "
        f"times that of the median channel, which gets {bits_left(ratio)} of 8 bits",
        key="weights",
        value="per-channel",
        place=layer.name,
    )


def _depthwise(layer: Layer) -> bool:
    groups = layer.node.attributes.get_int("group", 1)
    weight = weight_of(layer.node)
    shape = weight.shape if weight is not None else None
    return layer.op == "Conv" and groups > 1 and shape is not None and shape[1] == 1


def _outlier(array: NDArray[np.float32], weight_plan: TensorPlan, layer: Layer) -> Cause | None:
    """Return the cause where the largest weights stretch the scale of typical ones."""
    number_format, params = weight_plan.format, weight_plan.params
    axis = weight_axis(layer.node)  # channels that are unequal are another cause
    rows = _rows(array, axis) if axis is not None else array.reshape(1, -1).astype(np.float64)
    power = float(np.mean(rows**2)) if rows.size else 0.0
    if power <= 0 or number_format is None:
        return None
    top = np.abs(rows).max(axis=1)
    peak = float(np.sqrt(np.mean(top**2) / power))
    helps = False
    if (
        isinstance(number_format, Integer)
        and isinstance(params, Params)
        and number_format.symmetric
    ):
        better = number_format.fake_quantize(array, weight_range(array, number_format, "mse"))
        now = sqnr(array, number_format.fake_quantize(array, params))
        helps = sqnr(array, better) > now + MSE_HELPS
    key, value = ("weight_observer", "mse") if helps else ("precision", "float")
    return Cause(
        kind="weight-outlier",
        strength=peak / WEIGHT_PEAK,
        evidence=f"outliers in its weight: the largest is {peak:.3g} times the root mean square "
        f"of its channel, and typical weights get {bits_left(peak / 3)} of 8 bits",
        key=key,
        value=value,
        place=layer.name,
    )
