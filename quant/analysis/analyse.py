"""The analysis of each layer's error, beyond its row of the layer table.

Equations: SQNR as in `quant/metrics/squared_error.py`; the share of the weights is
`noise(weights alone) / (noise(weights alone) + noise(activations alone))`, both at the layer's own
output on float inputs.
"""

__all__ = ["Analysis", "LayerAnalysis", "analyse"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.analysis.measured_errors import MeasuredErrors
from quant.choose.grid_fit import InputStats, WeightStats, input_stats, weight_stats
from quant.graph.layer import Layer
from quant.graph.layers import source_of
from quant.graph.prepared_graph import weight_of
from quant.plan.planned_graph import PlannedGraph

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerAnalysis:
    """One quantized layer.

    Attributes:
        layer: Node name.
        local_sqnr_db: SQNR in dB at its own output, on float inputs, with all of it on grids.
        weight_db: The same with its weight and bias alone on grids; nan without a weight.
        activation_db: The same with its activations alone on grids.
        weight_share: Share of the weights in the noise, 0 to 1; nan without a weight.
        isolated_by_image: float32 `[images]`, dB at the worst output, only this layer quantized.
        cumulative_by_image: float32 `[images]`, dB at this layer, all quantized.
        signal: float32 `[C]`, sum of squares of each output channel.
        noise: float32 `[C]`, sum of squares of its error, on float inputs.
        cumulative_noise: float32 `[C]`, sum of squares of its error with all layers quantized.
        inputs: The activations it reads on grids.
        weight: Statistics of its weight, or None.
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
        images: Keys of the samples on which it was measured.
        layers: By node name.
    """

    target: str
    images: tuple[str, ...]
    layers: Mapping[str, LayerAnalysis]


def analyse(
    planned: PlannedGraph,
    measured: Sequence[Layer],
    images: Sequence[str],
    errors: MeasuredErrors,
) -> Analysis:
    """Return the measurements of all layers with the statistics of their tensors.

    Args:
        planned: The graph with its plan and profile.
        measured: The layers that compute on grids; one that lacks an error is left out.
        images: Keys of the samples.
        errors: The errors of the layers on these samples.
    """
    analysed = {
        layer.name: _layer(planned, layer, errors)
        for layer in measured
        if all(layer.name in e for e in (errors.isolated, errors.cumulative, errors.local))
    }
    return Analysis(target=planned.plan.target, images=tuple(images), layers=analysed)


def _layer(planned: PlannedGraph, layer: Layer, errors: MeasuredErrors) -> LayerAnalysis:
    graph, plan = planned.graph, planned.plan
    alone, together = errors.isolated[layer.name], errors.cumulative[layer.name]
    local = errors.local[layer.name]
    weight = weight_of(layer.node)
    grid = plan.grid(str(weight.name), layer.name) if weight is not None else None
    inputs: list[InputStats] = []
    for value in layer.data:
        tensor = plan.grid(str(value.name), layer.name)
        statistics = planned.profile.tensors.get(source_of(graph, str(value.name)))
        if tensor is None or tensor.format is None:
            continue
        if statistics is None or statistics.low > statistics.high:
            continue
        if all(tensor.tensor != x.tensor for x in inputs):
            inputs.append(input_stats(graph, tensor, statistics))
    weights, activations = (float(s.noise.sum()) for s in (local.weight, local.activations))
    total = weights + activations
    has_weight = weight is not None
    return LayerAnalysis(
        layer=layer.name,
        local_sqnr_db=local.both.sqnr_db,
        weight_db=local.weight.sqnr_db if has_weight else float("nan"),
        activation_db=local.activations.sqnr_db,
        weight_share=weights / total if has_weight and total > 0 else float("nan"),
        isolated_by_image=alone.by_image.astype(np.float32),
        cumulative_by_image=together.parts.by_image.astype(np.float32),
        signal=local.both.signal.astype(np.float32),
        noise=local.both.noise.astype(np.float32),
        cumulative_noise=together.parts.noise.astype(np.float32),
        inputs=tuple(inputs),
        weight=weight_stats(graph, layer, grid),
    )
