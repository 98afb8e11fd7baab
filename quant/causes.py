"""Causes: why a layer loses accuracy, with the evidence in numbers and the remedy.

    cause                       evidence                                        remedy
    one scale for the weight    the median channel's weights are much smaller   weights = "per-channel"
    activation outlier          few elements stretch the grid                   observer = "percentile"
    saturation                  elements beyond the range of the grid           observer = "minmax"
    unequal channels            one channel of the input fills the grid alone   precision = "float"
    shared grid                 another tensor's range is forced on this one    precision = "float"
    first or last layer         reads the image, or makes the answer            precision = "float"
    rounding noise              nothing of the above

Every piece of evidence is a ratio, and has a threshold; its strength is ratio / threshold. The
strongest above 1 is the likely cause. Ties go to the order of the table. A remedy is a line for a
recipe, for the layer itself unless it names another node: the one that makes the activation.
"""

__all__ = ["likely_cause"]

from dataclasses import dataclass

import numpy as np

from quant.floats import Float8
from quant.formats import Integer
from quant.graph import Graph, weight_of
from quant.layer_error import LayerError
from quant.layers import ABSORBED, Layer, layers, source_of, weight_axis
from quant.plan import Plan, TensorPlan
from quant.profile import Profile, TensorProfile

COSTLY_DB = 25.0
"""A layer whose own error leaves less than this at the outputs is worth keeping in float."""

WEIGHT_SPREAD = 4.0
"""Largest weight of all over that of the median channel. At 4 half of the channels go without two
bits, which is 12 dB. Measured on EfficientNet-Lite0 and an SSD detector: ordinary convolutions
have mostly 1.2 to 5.8, depthwise ones 1.4 to 25."""

OUTLIER = 4.0
"""Width of the range that the grid covers, over that of the range with 0.1 % of the elements beyond
each end. A Gaussian has 1.4 to 2 with 1e5 to 1e9 elements; at 4 nearly all go without two bits."""
TAIL = 1e-3
"""The 99.9th percentile: the share of elements that may be outliers."""
CUT = 1e-4
"""What the percentile observer cuts off; where that does not halve the grid, it is no remedy."""

SATURATION = 1e-3
"""Share of elements beyond the grid. The observers that clip on purpose, mse and percentile, give
up some 0.01 %; ten times that is no trade any more but a wrong range."""

CHANNEL_SPREAD = 4.0
"""What 99.9 % of the elements keep to, over the largest value of the median channel; two bits, as
`WEIGHT_SPREAD`. With the very largest value above it, layers of a classifier have 1 to 3.1."""

SHARED = 4.0
"""Width of the grid over that of all that was seen of the tensor: without another tensor on the
same grid it is 1 at most. At 4 two bits are lost to the neighbour."""

END = 1.0
"""The strength of being first or last: no measurement, so any real evidence goes before it."""


@dataclass(frozen=True, slots=True)
class _Finding:
    strength: float
    words: str


def likely_cause(graph: Graph, plan: Plan, profile: Profile, row: LayerError) -> str:
    """Return one phrase: the likeliest cause of a layer's error, its evidence, its remedy.

    Args:
        graph: The prepared graph.
        plan: The plan that was simulated.
        profile: Of this graph.
        row: The layer's measurements.

    "rounding noise" when there is no evidence for anything else, with a remedy below COSTLY_DB; for a layer that stays float32
    the plan's reason; "not in the graph" for a name that the graph does not have.
    """
    every = layers(graph)
    layer = next((x for x in every if x.name == row.layer), None)
    if layer is None:
        return "not in the graph"
    if row.precision.startswith("float"):
        kept = f"stays {row.precision}"
        return f"{kept}: {row.because}" if row.because else kept
    inputs = [t for v in layer.data if (t := _grid(plan, layer, str(v.name))) is not None]
    known = [(t, profile.tensors.get(source_of(graph, t.tensor))) for t in inputs]
    pairs = [(t, seen) for t, seen in known if seen is not None and seen.low <= seen.high]
    found = [
        _weight(graph, plan, layer),
        *(_outlier(t, seen, _maker(graph, t.tensor)) for t, seen in pairs),
        _saturation(graph, pairs, row),
        *(_channels(t, seen) for t, seen in pairs),
        *(_shared(graph, plan, profile, t, seen) for t, seen in pairs),
        _end(graph, every, layer),
    ]
    findings = [f for f in found if f is not None]
    # max keeps the first of equals
    best = max(findings, key=lambda f: f.strength, default=None)
    if best is not None:
        return best.words
    worth = row.isolated_sqnr_db < COSTLY_DB
    return (
        'rounding noise, more than it can bear; precision = "float"' if worth else "rounding noise"
    )


def _grid(plan: Plan, layer: Layer, tensor: str) -> TensorPlan | None:
    """Return the grid of an input as this layer sees it, or None where it sees floats."""
    known = plan.grid(tensor, layer.name)
    return known if known is not None and known.number is not None else None


def _maker(graph: Graph, tensor: str) -> str:
    """Return the node whose recipe rule chooses a tensor's observer; an input stands for itself."""
    node = graph.values[tensor].producer()
    if node is not None and node.op_type in ABSORBED and node.inputs[0] is not None:
        node = node.inputs[0].producer() or node
    return str(node.name) if node is not None else tensor


def _bounds(tensor: TensorPlan) -> tuple[float, float]:
    """Return the least and the greatest number on a grid."""
    assert tensor.params is not None
    assert tensor.number is not None
    low, high = tensor.number.span(tensor.params)
    return float(low.min()), float(high.max())


def _width(tensor: TensorPlan, low: float, high: float) -> float:
    """Return how much of a grid [low, high] and zero need: both sides of zero if it is symmetric."""
    low, high = min(low, 0.0), max(high, 0.0)
    symmetric = tensor.number is not None and tensor.number.symmetric
    return 2 * max(-low, high) if symmetric else high - low


def _quantiles(seen: TensorProfile, share: float) -> tuple[float, float]:
    """Return the range that leaves at most `share` of the sampled elements beyond each end."""
    total = int(seen.bins.sum())
    if not total:
        return seen.low, seen.high
    below = np.cumsum(seen.bins)
    first = int(np.searchsorted(below, share * total, side="right"))
    last = int(np.searchsorted(below, (1 - share) * total, side="left"))
    low, high = (seen.start + first) * seen.width, (seen.start + last + 1) * seen.width
    return max(seen.low, low), min(seen.high, high)


def _weight(graph: Graph, plan: Plan, layer: Layer) -> _Finding | None:
    """Compare the channels of a weight that has one scale and could have one for each."""
    weight = weight_of(layer.node)
    axis = weight_axis(layer.node)
    known = plan.grid(str(weight.name), layer.name) if weight is not None else None
    if known is None or not isinstance(known.number, Integer | Float8):
        return None  # a logarithmic grid has no use for a scale a channel
    if axis is None or known.number.axis is not None:
        return None
    array = np.abs(graph.array(known.tensor).astype(np.float64))
    top = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1).max(axis=1, initial=0.0)
    live = top[top > 0]
    if live.size < 2:
        return None
    ratio = float(live.max() / np.median(live))
    kind = "depthwise channels" if _depthwise(layer) else "channels"
    return _strong(
        ratio / WEIGHT_SPREAD,
        f"one weight scale for {live.size} {kind}: the largest weight is {ratio:.3g} times that "
        f'of the median channel, which gets {_bits(ratio)} of 8 bits; weights = "per-channel"',
    )


def _depthwise(layer: Layer) -> bool:
    groups = layer.node.attributes.get_int("group", 1)
    weight = weight_of(layer.node)
    shape = weight.shape if weight is not None else None
    return layer.op == "Conv" and groups > 1 and shape is not None and shape[1] == 1


def _outlier(tensor: TensorPlan, seen: TensorProfile, maker: str) -> _Finding | None:
    """Compare what a tensor's own range takes of a grid with what 99.9 % of its elements need."""
    # what a neighbour on the same grid takes, or what the observer cut off already, is not counted
    grid = min(_width(tensor, *_bounds(tensor)), _width(tensor, seen.low, seen.high))
    most = _width(tensor, *_quantiles(seen, TAIL))
    if most <= 0:
        return None
    rest = _width(tensor, *_quantiles(seen, CUT))
    helps = 2 * rest <= grid
    remedy = f"observer = \"percentile\" for '{maker}'" if helps else 'precision = "float"'
    largest = max(-seen.low, seen.high)
    return _strong(
        grid / most / OUTLIER,
        f"outliers up to {largest:.3g} in its input: 99.9 % of the elements use "
        f"{100 * most / grid:.2g} % of its range; {remedy}",
    )


def _saturation(
    graph: Graph, pairs: list[tuple[TensorPlan, TensorProfile]], row: LayerError
) -> _Finding | None:
    """Take what was measured, and find the input that reaches farthest beyond its grid."""
    if not row.saturation > SATURATION or not pairs:  # nan is no evidence
        return None

    def beyond(pair: tuple[TensorPlan, TensorProfile]) -> float:
        tensor, seen = pair
        low, high = _bounds(tensor)
        return max(low - seen.low, seen.high - high) / (high - low)

    maker = _maker(graph, max(pairs, key=beyond)[0].tensor)
    return _strong(
        row.saturation / SATURATION,
        f"{100 * row.saturation:.2g} % of its input is beyond the grid; "
        f"observer = \"minmax\" for '{maker}'",
    )


def _channels(tensor: TensorPlan, seen: TensorProfile) -> _Finding | None:
    """Compare the channels of an activation: all of them share the grid of the largest."""
    top = np.maximum(np.abs(seen.channel_low), np.abs(seen.channel_high)).astype(np.float64)
    live = top[np.isfinite(top) & (top > 0)]
    if live.size < 2:
        return None
    # a few elements that stick out are an outlier, and make no channel loud
    reach = min(max(map(abs, ends)) for ends in (_bounds(tensor), _quantiles(seen, TAIL)))
    ratio = reach / float(np.median(live))
    number = int(np.flatnonzero(top == live.max())[0])
    return _strong(
        ratio / CHANNEL_SPREAD,
        f"channel {number} of its input reaches {live.max():.3g} and the median channel "
        f'{np.median(live):.3g}, which gets {_bits(ratio)} of 8 bits; precision = "float"',
    )


def _shared(
    graph: Graph, plan: Plan, profile: Profile, tensor: TensorPlan, seen: TensorProfile
) -> _Finding | None:
    """Compare a grid with all that was seen of its tensor: only a neighbour makes it wider."""
    own = _width(tensor, seen.low, seen.high)
    grid = _width(tensor, *_bounds(tensor))
    if own <= 0 or grid / own <= SHARED:
        return None
    others = {}
    for other in plan.quantized:
        its = profile.tensors.get(source_of(graph, other.tensor))
        if its is not None and other.tensor != tensor.tensor and _same(other, tensor):
            others[other.tensor] = _width(other, its.low, its.high)
    widest = max(others, key=lambda name: others[name], default=None)
    if widest is None or others[widest] <= own:
        return None
    return _strong(
        grid / own / SHARED,
        f"its input '{tensor.tensor}' shares a grid with '{widest}', whose range is "
        f"{others[widest] / own:.3g} times as wide, and gets {_bits(grid / own)} of 8 bits; "
        'precision = "float"',
    )


def _same(a: TensorPlan, b: TensorPlan) -> bool:
    """Tell whether two activations have one grid."""
    if a.kind != b.kind or a.params is None or b.params is None:
        return False
    mine, its = a.params.named(), b.params.named()
    return mine.keys() == its.keys() and all(np.array_equal(mine[k], its[k]) for k in mine)


def _end(graph: Graph, every: list[Layer], layer: Layer) -> _Finding | None:
    """Name the first and the last weighted layers: they have no neighbour that averages out."""
    if weight_of(layer.node) is None:
        return None
    inputs = {str(v.name) for v in graph.inputs}
    if any(source_of(graph, str(v.name)) in inputs for v in layer.data):
        return _Finding(END, 'first layer: it sees the image at 8 bits; precision = "float"')
    last = [x for x in every if weight_of(x.node) is not None][-1]
    if last is layer:
        words = "last layer: nothing behind it averages its error out"
        return _Finding(END, f'{words}; precision = "float"')
    return None


def _strong(strength: float, words: str) -> _Finding | None:
    """Keep a finding above its threshold."""
    return _Finding(strength, words) if strength > 1 else None


def _bits(ratio: float) -> str:
    """Return how many of 8 bits are left of a grid that is `ratio` times too wide."""
    return f"{max(8 - np.log2(ratio), 0):.1f}"
