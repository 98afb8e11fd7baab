"""Layer table: what the plan, the profile and the measurements say of each layer, row by row."""

__all__ = ["layer_macs", "layer_table", "measured_layers", "saturation", "weight_sqnr"]

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from quant.analysis.cumulative import LayerSums
from quant.analysis.layer_error import LayerError
from quant.graph.layer import Layer
from quant.graph.layers import macs, source_of
from quant.graph.prepared_graph import Graph, weight_of
from quant.graph.shapes import infer_shapes
from quant.metrics.squared_error import sqnr
from quant.plan.tensor_plans import Plan, TensorPlan
from quant.profile.statistics import Profile


def measured_layers(graph: Graph, plan: Plan) -> list[Layer]:
    """Return the layers that compute on grids."""
    return [x for x in graph.layers if plan.layers[x.name].quantized]


def layer_table(
    graph: Graph,
    plan: Plan,
    profile: Profile,
    alone: Mapping[str, float],
    together: Mapping[str, LayerSums],
    counts: Mapping[str, int],
) -> list[LayerError]:
    """Return a row for each integer layer and each weighted one, in topological order.

    Args:
        graph: The prepared graph.
        plan: Chosen for it.
        profile: Of it.
        alone: Isolated SQNR in dB by node name.
        together: Cumulative sums by node name.
        counts: Multiply-accumulates of one sample by node name.
    """
    rows = []
    for layer in graph.layers:
        choice = plan.layers[layer.name]
        weight = weight_of(layer.node)
        if not choice.quantized and weight is None:
            continue
        sums = together.get(layer.name)
        known = plan.grid(str(weight.name), layer.name) if weight is not None else None
        grid = _reason(layer, plan)
        rows.append(
            LayerError(
                layer=layer.name,
                op=layer.op,
                precision=choice.precision,
                isolated_sqnr_db=alone.get(layer.name, float("nan")),
                cumulative_sqnr_db=sums.sqnr_db if sums is not None else float("nan"),
                cosine=sums.cosine if sums is not None else float("nan"),
                weight_sqnr_db=weight_sqnr(graph, known),
                saturation=saturation(graph, layer, plan, profile),
                macs=counts.get(layer.name, 0),
                because=f"{choice.because}; {grid}" if grid else choice.because,
            )
        )
    return rows


def layer_macs(graph: Graph, sizes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Return each layer's multiply-accumulates of one sample, at these shapes of the inputs.

    Args:
        graph: The prepared graph; its dynamic axes get the lengths of `sizes`.
        sizes: By input name, batch axis included.
    """
    fixed = Graph(graph.clone(), graph.name)
    for value in fixed.inputs:
        if str(value.name) in sizes:
            value.shape = ir.Shape(sizes[str(value.name)])
    for value in fixed.outputs:
        value.shape = None
    infer_shapes(fixed.model)
    return {layer.name: macs(layer) for layer in fixed.layers}


def _reason(layer: Layer, plan: Plan) -> str:
    """Return why the layer's first input has its grid."""
    if not plan.layers[layer.name].quantized:
        return ""
    grids = (plan.grid(str(v.name), layer.name) for v in layer.data)
    return next((g.because.split("; ", 1)[-1] for g in grids if g is not None), "")


def weight_sqnr(graph: Graph, known: TensorPlan | None) -> float:
    """Return the SQNR in dB of a weight on its grid; nan without one."""
    if known is None or known.format is None or known.params is None:
        return float("nan")
    weight = graph.array(known.tensor).astype(np.float32)
    return sqnr(weight, known.format.fake_quantize(weight, known.params))


def saturation(graph: Graph, layer: Layer, plan: Plan, profile: Profile) -> float:
    """Return the greatest share, over the layer's inputs, of elements beyond their grid's range.

    Counted on the histogram; a bin counts when its middle lies outside. nan for a float layer.
    """
    if not plan.layers[layer.name].quantized:
        return float("nan")
    shares = [0.0]
    for value in layer.data:
        known = plan.grid(str(value.name), layer.name)
        seen = profile.tensors.get(source_of(graph, str(value.name)))
        if known is None or known.format is None or known.params is None or seen is None:
            continue
        least, most = known.format.rounding_range(known.params)
        beyond = (seen.centers < float(least.min())) | (seen.centers > float(most.max()))
        shares.append(float(seen.bins[beyond].sum()) / max(int(seen.bins.sum()), 1))
    return max(shares)
