"""Equalize the ranges of the channels between two layers.

With one scale for a whole weight, a channel of small numbers gets few steps. For a layer 1, an
activation f and a layer 2, and any s_c > 0,

    W2[:, c] f(W1[c] x + b1[c])  =  W2[:, c] s_c  f(W1[c] x / s_c + b1[c] / s_c)

where f is ReLU or nothing; s_c = sqrt(r1_c / r2_c), with r the greatest magnitude of a channel's
weights, makes both ranges sqrt(r1 r2). Source: Nagel et al. 2019, "Data-Free Quantization Through
Weight Equalization and Bias Correction", section 4.1.

A Clip (ReLU6) bounds the scaled channel at the old number, so it is the same function only for a
channel that stays below the bound. Channels that came within MARGIN of it in the profile keep s = 1,
and the others no s that would bring them there.
"""

__all__ = ["equalize"]

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.graph.layer import Layer
from quant.graph.layers import optional_input
from quant.graph.prepared_graph import Graph, weight_of
from quant.profile.statistics import Profile

MARGIN = 2.0
"""A channel's bound over its greatest value in the profile: other samples go further."""

MAX_SWEEPS = 20
"""Over all pairs; each pair disturbs its neighbours."""

MAX_FACTOR = 1e3
"""Largest factor s of a single step, and the inverse of the smallest."""

F64 = NDArray[np.float64]


@dataclass(slots=True)
class _Pair:
    """Two layers and the channels between them.

    Attributes:
        first: Weight of the layer that makes the channels, along its axis 0.
        bias: Its bias, or None.
        second: Weight of the layer that reads them.
        depthwise: Whether the second has one filter a channel.
        clip: The Clip between them; None for a Relu or nothing.
        total: float64 `[C]`, the product of all s so far.
    """

    first: str
    bias: str | None
    second: str
    depthwise: bool
    clip: "_Clip | None"
    total: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clip:
    """A Clip from 0 between two layers.

    Attributes:
        bound: Its upper bound.
        high: float64 `[C]`, the greatest value of each channel in the profile.
    """

    bound: float
    high: F64

    def within(self, s: F64, total: F64) -> F64:
        """Return the s that keep channels away from the bound, for the product of all s before."""
        free = self.high * MARGIN < self.bound
        least = self.high * MARGIN / self.bound / total
        return np.where(free, np.maximum(s, np.maximum(least, 1e-12)), 1.0)


def equalize(
    graph: Graph, profile: Profile, off: Collection[str] = (), *, clips: bool = True
) -> Graph | None:
    """Return the graph with equalized channels; None where no two layers share any.

    Pairs are a Conv, alone or with the Relu or Clip from 0 that it absorbs, whose output a single
    Conv reads, without groups or with one a channel. Weights and biases that others read are left.

    Args:
        graph: The prepared graph.
        profile: The graph's profile: how far the channels behind a Clip go.
        off: Names of nodes whose weights stay as they are.
        clips: Take a graph with a Clip between layers too: it is the same on what was seen only.
    """
    allowed = [x for x in graph.layers if x.name not in off and not _readers(x) & set(off)]
    pairs = [p for p in (_pair(graph, profile, layer) for layer in allowed) if p is not None]
    if not pairs or (not clips and any(p.clip is not None for p in pairs)):
        return None
    names = {n for p in pairs for n in (p.first, p.bias, p.second) if n is not None}
    arrays = {n: graph.array(n).astype(np.float64) for n in names}
    for _ in range(MAX_SWEEPS):
        if not _sweep(pairs, arrays):
            break
    model = graph.clone()
    for name, array in arrays.items():
        stored = ir.tensor(array.astype(np.float32), name=name)
        model.graph.initializers[name].const_value = stored
    return replace(graph, model=model)


def _readers(layer: Layer) -> set[str]:
    return {str(use.node.name) for use in layer.output.uses()}


def _sweep(pairs: Sequence[_Pair], arrays: dict[str, F64]) -> bool:
    """Equalize every pair once; return whether that still moved anything by a hundredth."""
    moved = False
    for pair in pairs:
        first, second = arrays[pair.first], arrays[pair.second]
        r1 = np.abs(first.reshape(len(first), -1)).max(axis=1)
        r2 = np.abs(second if pair.depthwise else second.swapaxes(0, 1))
        r2 = r2.reshape(len(first), -1).max(axis=1)
        live = (r1 > 0) & (r2 > 0)
        s = np.ones(len(first))
        s[live] = np.clip(np.sqrt(r1[live] / r2[live]), 1 / MAX_FACTOR, MAX_FACTOR)
        if pair.clip is not None:
            s = pair.clip.within(s, pair.total)
        moved = moved or bool(np.abs(np.log(s)).max() > 0.01)
        shape = (-1, *[1] * (first.ndim - 1))
        arrays[pair.first] = first / s.reshape(shape)
        if pair.bias is not None:
            arrays[pair.bias] = arrays[pair.bias] / s
        across = shape if pair.depthwise else (1, -1, *[1] * (second.ndim - 2))
        arrays[pair.second] = second * s.reshape(across)
        pair.total = pair.total * s
    return moved


def _pair(graph: Graph, profile: Profile, layer: Layer) -> _Pair | None:
    first = weight_of(layer.node)
    uses = tuple(layer.output.uses())
    if first is None or layer.op != "Conv" or len(uses) != 1 or layer.output.is_graph_output():
        return None
    node, index = uses[0].node, uses[0].idx
    second = weight_of(node)
    if second is None or node.op_type != "Conv" or index != 0 or node.graph is not layer.node.graph:
        return None
    channels, shape = graph.array(str(first.name)).shape[0], graph.array(str(second.name)).shape
    groups = node.attributes.get_int("group", 1)
    depthwise = groups == channels == shape[0] and shape[1] == 1
    if (groups != 1 and not depthwise) or any(len(v.uses()) != 1 for v in (first, second)):
        return None
    bias = optional_input(layer.node, 2)
    if bias is not None and (not bias.is_initializer() or len(bias.uses()) != 1):
        return None
    bound = _bound(graph, layer.activation)
    profiled = profile.tensors.get(str(layer.output.name))
    clip = None
    if bound is None:
        return None
    if np.isfinite(bound):
        if profiled is None or profiled.channel_high.size != channels:
            return None
        clip = _Clip(bound=bound, high=np.maximum(profiled.channel_high.astype(np.float64), 0.0))
    return _Pair(
        first=str(first.name),
        bias=None if bias is None else str(bias.name),
        second=str(second.name),
        depthwise=depthwise,
        clip=clip,
        total=np.ones(channels),
    )


def _bound(graph: Graph, activation: ir.Node | None) -> float | None:
    """Return the upper bound of an activation that is linear above 0; None for another one."""
    if activation is None or activation.op_type == "Relu":
        return float("inf")
    low, high = optional_input(activation, 1), optional_input(activation, 2)
    constant = [v is None or v.is_initializer() for v in (low, high)]
    if not all(constant) or low is None or float(graph.array(str(low.name))) != 0.0:
        return None
    return float("inf") if high is None else float(graph.array(str(high.name)))
