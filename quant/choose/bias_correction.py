"""Bias correction: take back the mean error that rounding the weights makes."""

__all__ = ["correct_bias", "weight_shift"]

from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.recipe import NOTHING, Recipe
from quant.plan.tensor_plans import Plan, TensorPlan
from quant.profile.statistics import Profile

F64 = NDArray[np.float64]


def correct_bias(plan: Plan, graph: Graph, profile: Profile, recipe: Recipe = NOTHING) -> Plan:
    """Return the plan with a bias shift for each integer layer, so that its mean output is float's.

    Rounding the weights shifts a layer's output by (Wq - W) E[x] on the average; the bias takes it
    back: shift = -(Wq - W) E[x], with E[x] the profiled mean of each input channel. Borders, where
    padding makes the mean smaller, are neglected. Source: Nagel et al. 2019, "Data-Free
    Quantization Through Weight Equalization and Bias Correction", section 4.2.

    Layers whose input has no profiled channels, ConvTranspose (how many taps reach an output
    depends on the stride's phase), MatMul (no bias) and layers for which the recipe says
    `bias_correction = "off"` are left alone.

    Args:
        plan: With the grids of weights.
        graph: The prepared graph that the plan is for.
        profile: The profile of this graph, for the means.
        recipe: The rules for the plan's target.
    """
    shifts = {}
    for node in graph.nodes:
        weight = weight_of(node)
        weight_plan = plan.grid(str(weight.name), str(node.name)) if weight is not None else None
        layer = plan.layers.get(str(node.name))
        if weight_plan is None or layer is None or not layer.quantized:
            continue
        if recipe.wants(layer.layer, layer.op, "bias_correction") == "off":
            continue
        shift = _shift(node, weight_plan, graph, profile)
        if shift is not None and np.any(shift):
            shifts[layer.layer] = shift.astype(np.float32)
    return replace(plan, bias_shifts=shifts)


def _shift(node: ir.Node, weight_plan: TensorPlan, graph: Graph, profile: Profile) -> F64 | None:
    """Return float64 `[K]`, or None where the input has no profiled channel means."""
    source = _channels(node, graph)
    statistics = profile.tensors.get(source) if source is not None else None
    if statistics is None or weight_plan.format is None or weight_plan.params is None:
        return None
    if len(node.inputs) > 2 and node.inputs[2] is not None and not node.inputs[2].is_initializer():
        return None
    mean = statistics.channel_mean(profile.provenance.samples)
    weight = graph.array(weight_plan.tensor).astype(np.float32)
    error = weight_plan.format.fake_quantize(weight, weight_plan.params).astype(np.float64) - weight
    return weight_shift(node, error, mean)


def _channels(node: ir.Node, graph: Graph) -> str | None:
    """Return the profiled tensor whose channels are those of a node's input, or None.

    A view keeps them while it keeps the order of the elements and the length of axis 1. A profile
    takes the last axis of a rank-3 tensor for its channels, and a Conv takes the one before.
    """
    value = node.inputs[0]
    if value is None or (node.op_type == "Conv" and _rank(value) == 3):
        return None
    name = source_of(graph, str(value.name))
    source = graph.values[name]
    if source is value:
        return name
    view: ir.Value | None = value
    while view is not None and view is not source:
        maker = view.producer()
        if maker is None or maker.op_type == "Transpose":
            return None
        view = maker.inputs[0]
    if value.shape is None or source.shape is None or min(_rank(value), _rank(source)) < 2:
        return None
    return name if _rank(source) != 3 and value.shape[1] == source.shape[1] else None


def _rank(value: ir.Value) -> int:
    return len(value.shape) if value.shape is not None else 0


def weight_shift(node: ir.Node, error: F64, mean: F64) -> F64 | None:
    """Return -(Wq - W) E[x] as float64 `[K]`; None for an operator or shape it does not cover.

    Args:
        node: Conv or Gemm.
        error: Wq - W, in the weight's own layout.
        mean: float64 `[C]`, the mean of each input channel.
    """
    if node.op_type == "Conv":
        groups = node.attributes.get_int("group", 1)
        if mean.size != groups * error.shape[1]:
            return None
        taps = error.reshape(*error.shape[:2], -1).sum(axis=2)
        taps = taps.reshape(groups, -1, taps.shape[1])
        shift = np.einsum("gkc,gc->gk", taps, mean.reshape(groups, -1))
        return np.asarray(-shift.reshape(-1))
    if node.op_type == "Gemm" and not node.attributes.get_int("transA", 0):
        matrix = error if node.attributes.get_int("transB", 0) else error.T
        beta = node.attributes.get_float("beta", 1.0)
        if mean.size != matrix.shape[1] or beta == 0:
            return None
        return np.asarray(-(matrix @ mean) * node.attributes.get_float("alpha", 1.0) / beta)
    return None
