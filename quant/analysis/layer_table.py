"""The layer table: precision, errors and reasons of each layer, from plan, profile and samples."""

__all__ = ["layer_macs", "layer_table", "measured_layers", "saturation", "weight_sqnr"]

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from quant.analysis.layer_error import LayerError
from quant.analysis.measured_errors import MeasuredErrors
from quant.graph.layer import Layer
from quant.graph.layers import macs, source_of
from quant.graph.prepared_graph import Graph, weight_of
from quant.graph.shapes import infer_shapes
from quant.metrics.squared_error import sqnr
from quant.plan.planned_graph import PlannedGraph
from quant.plan.tensor_plans import Plan, TensorPlan


def measured_layers(graph: Graph, plan: Plan) -> list[Layer]:
    """Return the layers that compute on grids."""
    return [x for x in graph.layers if plan.layers[x.name].quantized]


def layer_table(
    planned: PlannedGraph, errors: MeasuredErrors, counts: Mapping[str, int]
) -> list[LayerError]:
    """Return a row for each integer layer and each weighted one, in topological order.

    Args:
        planned: The graph with its plan and profile.
        errors: The measured errors; a layer that is missing there has nan in its row.
        counts: Multiply-accumulates of one sample by node name.
    """
    graph, plan = planned.graph, planned.plan
    rows = []
    for layer in graph.layers:
        choice = plan.layers[layer.name]
        weight = weight_of(layer.node)
        if not choice.quantized and weight is None:
            continue
        alone, sums = errors.isolated.get(layer.name), errors.cumulative.get(layer.name)
        weight_plan = plan.grid(str(weight.name), layer.name) if weight is not None else None
        grid = _reason(layer, plan)
        rows.append(
            LayerError(
                layer=layer.name,
                op=layer.op,
                precision=choice.precision,
                isolated_sqnr_db=alone.sqnr_db if alone is not None else float("nan"),
                cumulative_sqnr_db=sums.sqnr_db if sums is not None else float("nan"),
                cosine=sums.cosine if sums is not None else float("nan"),
                weight_sqnr_db=weight_sqnr(graph, weight_plan),
                saturation=saturation(planned, layer),
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


def weight_sqnr(graph: Graph, weight_plan: TensorPlan | None) -> float:
    """Return the SQNR in dB of a weight on its grid; nan without one."""
    if weight_plan is None or weight_plan.format is None or weight_plan.params is None:
        return float("nan")
    weight = graph.array(weight_plan.tensor).astype(np.float32)
    return sqnr(weight, weight_plan.format.fake_quantize(weight, weight_plan.params))


def saturation(planned: PlannedGraph, layer: Layer) -> float:
    """Return the greatest share, over the layer's inputs, of elements beyond their grid's range.

    The elements are counted on the histogram; a bin counts when its middle lies outside. nan for a
    float layer.
    """
    plan = planned.plan
    if not plan.layers[layer.name].quantized:
        return float("nan")
    shares = [0.0]
    for value in layer.data:
        tensor = plan.grid(str(value.name), layer.name)
        statistics = planned.profile.tensors.get(source_of(planned.graph, str(value.name)))
        if tensor is None or tensor.format is None or tensor.params is None or statistics is None:
            continue
        least, most = tensor.format.rounding_range(tensor.params)
        beyond = (statistics.centers < float(least.min())) | (
            statistics.centers > float(most.max())
        )
        shares.append(float(statistics.bins[beyond].sum()) / max(int(statistics.bins.sum()), 1))
    return max(shares)
