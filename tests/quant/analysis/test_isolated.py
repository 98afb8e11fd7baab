"""Isolated and cumulative error against a computation that shares nothing but the plan."""

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from quant.analysis.cumulative import cumulative
from quant.analysis.isolated import isolated_errors
from quant.analysis.layer_table import measured_layers
from quant.calibration import Batch
from quant.graph.layer import Layer
from quant.graph.prepared_graph import Graph, weight_of
from quant.graph.session import open_session, open_simulation
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests.chosen import chosen
from tests.models import concat_net, conv_relu_net, depthwise_net, image, residual_net

NETS = [conv_relu_net, residual_net, concat_net, depthwise_net]
X = image(seed=7, batch=8)


def batch() -> Batch:
    return Batch(
        keys=tuple("abcdefgh"), feeds={"input": X}, labels=(None,) * 8, digests=(0,) * 8, count=8
    )


def decibel(want: NDArray[np.float32], got: NDArray[np.float32]) -> float:
    a, b = want.astype(np.float64), got.astype(np.float64)
    return float(10 * np.log10((a**2).sum() / ((a - b) ** 2).sum()))


def alone(graph: Graph, plan: Plan, target: str, layer: Layer) -> NDArray[np.float32]:
    """Quantize the tensors of one layer by the ordinary editor, and nothing else."""
    names = {str(v.name) for v in layer.node.inputs if v is not None}
    if layer.output.is_graph_output():
        names.add(str(layer.output.name))
    model = quantize_graph(graph, plan, TARGETS[target], only=frozenset(names))
    found: list[NDArray[np.float32]] = open_simulation(model, 1).run(None, {"input": X})
    return found[0]


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
@pytest.mark.parametrize("net", NETS)
def test_isolated_error_is_that_of_a_graph_with_only_this_layer_quantized(
    net: object, target: str
) -> None:
    """Layers whose inputs others read too are left out: there the ordinary editor does more."""
    graph, plan = chosen(net(), target)  # type: ignore[operator]
    model = quantize_graph(graph, plan, TARGETS[target], weight_form="integer")
    layers = measured_layers(graph, plan)
    errors = isolated_errors(graph, model, layers, [batch()], 1)
    (want,) = open_session(graph.model, threads=1).run(None, {"input": X})
    checked = [x for x in layers if all(len(v.uses()) == 1 for v in x.data) and weight_of(x.node)]
    assert checked
    for layer in checked:
        assert errors[layer.name].sqnr_db == pytest.approx(
            decibel(want, alone(graph, plan, target, layer)), abs=0.01
        ), layer.name


@pytest.mark.parametrize("net", NETS)
def test_cumulative_error_is_the_difference_of_the_two_networks_tensors(net: object) -> None:
    """Read out of two sessions as whole tensors, and subtracted in float64."""
    graph, plan = chosen(net())  # type: ignore[operator]
    model = quantize_graph(graph, plan, TARGETS["onnxruntime"])
    layers = measured_layers(graph, plan)
    found = cumulative(graph, model, layers, [batch()], 1)
    for layer in layers:
        name = str(layer.output.name)
        (want,) = open_session(graph.with_outputs([name]), threads=1).run(None, {"input": X})
        shown = name if layer.output.is_graph_output() else f"{name}_DequantizeLinear_Output"
        (got,) = open_simulation(_with_output(model, shown, name), 1).run(None, {"input": X})

        assert found[layer.name].sqnr_db == pytest.approx(decibel(want, got), abs=0.01), layer.name
        a, b = want.astype(np.float64).ravel(), got.astype(np.float64).ravel()
        angle = a @ b / np.sqrt((a @ a) * (b @ b))
        assert found[layer.name].cosine == pytest.approx(angle, abs=1e-5)


def _with_output(model: ir.Model, name: str, fallback: str) -> ir.Model:
    copy = model.clone()
    values = {str(v.name): v for node in copy.graph for v in node.outputs}
    copy.graph.outputs.clear()
    copy.graph.outputs.append(values.get(name) or values[fallback])
    return copy
