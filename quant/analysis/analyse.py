"""Analysis: what is known of each layer's error, beyond its row of the layer table.

Equations: SQNR as in `quant/compare/metrics.py`; the share of the weights is
`noise(weights alone) / (noise(weights alone) + noise(activations alone))`, both at the layer's own
output on float inputs.
"""

__all__ = ["Analysis", "LayerAnalysis", "analyse"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.analysis.cumulative import LayerSums
from quant.analysis.isolated import IsolatedError
from quant.analysis.local import LocalError
from quant.choose.grid_fit import InputStats, WeightStats, input_stats, weight_stats
from quant.graph.layer import Layer
from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerAnalysis:
    """One quantized layer.

    Attributes:
        layer: Node name.
        local_sqnr_db: At its own output, on float inputs, all of it on grids.
        weight_db: The same with its weight and bias alone on grids; nan without a weight.
        activation_db: The same with its activations alone on grids.
        weight_share: Share of the weights in the noise, 0 to 1; nan without a weight.
        isolated_by_image: float32 `[images]`, dB at the worst output, only this layer quantized.
        cumulative_by_image: float32 `[images]`, dB at this layer, all quantized.
        signal: float32 `[C]`, sum of squares of each output channel.
        noise: float32 `[C]`, of its error, on float inputs.
        cumulative_noise: float32 `[C]`, of its error with all quantized.
        inputs: The activations it reads on grids.
        weight: Of its weight, or None.
    """

    layer: str
    local_sqnr_db: float
    weight_db: float
    activation_db: float
    weight_share: float
    isolated_by_image: F32
    cumulative_by_image: F32
    signal: F32
    noise: F32
    cumulative_noise: F32
    inputs: tuple[InputStats, ...]
    weight: WeightStats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Every quantized layer of one target, in topological order.

    Attributes:
        target: Its name.
        images: Keys of the samples it was measured on.
        layers: By node name.
    """

    target: str
    images: tuple[str, ...]
    layers: Mapping[str, LayerAnalysis]


def analyse(
    graph: Graph,
    plan: Plan,
    profile: Profile,
    measured: Sequence[Layer],
    images: Sequence[str],
    alone: Mapping[str, IsolatedError],
    together: Mapping[str, LayerSums],
    local: Mapping[str, LocalError],
) -> Analysis:
    """Put the measurements of all layers and the statistics of their tensors together.

    Args:
        graph: The prepared graph.
        plan: Chosen for it.
        profile: Of it.
        measured: The layers that compute on grids.
        images: Keys of the samples.
        alone: Isolated errors by node name, of the same samples; so are the next two.
        together: Cumulative sums.
        local: Local errors.
    """
    found = {}
    for layer in measured:
        name = layer.name
        if name in alone and name in together and name in local:
            found[name] = _layer(
                graph, plan, profile, layer, alone[name], together[name], local[name]
            )
    return Analysis(target=plan.target, images=tuple(images), layers=found)


def _layer(
    graph: Graph,
    plan: Plan,
    profile: Profile,
    layer: Layer,
    alone: IsolatedError,
    together: LayerSums,
    local: LocalError,
) -> LayerAnalysis:
    weight = weight_of(layer.node)
    grid = plan.grid(str(weight.name), layer.name) if weight is not None else None
    inputs: list[InputStats] = []
    for value in layer.data:
        known = plan.grid(str(value.name), layer.name)
        seen = profile.tensors.get(source_of(graph, str(value.name)))
        if known is None or known.format is None or seen is None or seen.low > seen.high:
            continue
        if all(known.tensor != x.tensor for x in inputs):
            inputs.append(input_stats(graph, known, seen))
    weights, activations = (float(s.noise.sum()) for s in (local.weight, local.activations))
    total = weights + activations
    has = weight is not None
    return LayerAnalysis(
        layer=layer.name,
        local_sqnr_db=local.both.sqnr_db,
        weight_db=local.weight.sqnr_db if has else float("nan"),
        activation_db=local.activations.sqnr_db,
        weight_share=weights / total if has and total > 0 else float("nan"),
        isolated_by_image=alone.by_image.astype(np.float32),
        cumulative_by_image=together.parts.by_image.astype(np.float32),
        signal=local.both.signal.astype(np.float32),
        noise=local.both.noise.astype(np.float32),
        cumulative_noise=together.parts.noise.astype(np.float32),
        inputs=tuple(inputs),
        weight=weight_stats(graph, layer, grid),
    )
