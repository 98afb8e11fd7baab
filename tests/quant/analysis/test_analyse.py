"""The analysis of layers against computations that share nothing with it but the plan."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from quant.analysis.analyse import Analysis, LayerAnalysis
from quant.analysis.file import analysis_csv, load_analysis, save_analysis
from quant.analysis.isolated import isolated_errors
from quant.analysis.layer_table import measured_layers
from quant.choose.planner import Planner
from quant.common.errors import InputError
from quant.compare.error_sums import ErrorSums
from quant.graph.prepared_graph import Graph, named_values, weight_of
from quant.graph.session import open_simulation
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests import models
from tests.chosen import batch_of, chosen, inputs, prepared, profiled
from tests.models import concat_net, conv_relu_net, depthwise_net, image, residual_net
from tests.runs import measured

NETS = [conv_relu_net, residual_net, concat_net, depthwise_net]
X = image(seed=7, batch=8)


def tensor(model: ir.Model, name: str, feed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a tensor of a model."""
    copy = model.clone()
    copy.graph.outputs.clear()
    copy.graph.outputs.append(named_values(copy)[name])
    found: NDArray[np.float32] = open_simulation(copy, 1).run(None, {"input": feed})[0]
    return found


def decibel(want: NDArray[np.float32], got: NDArray[np.float32]) -> float:
    a, b = want.astype(np.float64), got.astype(np.float64)
    noise = ((a - b) ** 2).sum()
    return float(10 * np.log10((a**2).sum() / noise)) if noise else math.inf


def analysed(graph: Graph, plan: Plan) -> Analysis:
    return measured(graph, plan, profiled(graph), [batch_of({"input": X}, 8)])[1]


@pytest.mark.parametrize("net", NETS)
def test_weight_and_activation_error_are_those_of_graphs_with_one_of_them_quantized(
    net: object,
) -> None:
    """The halves of a layer's noise say where to look; each is measured by the ordinary editor."""
    graph, plan = chosen(net())  # type: ignore[operator]
    found = analysed(graph, plan).layers
    target = TARGETS["onnxruntime"]
    checked = 0
    for layer in graph.layers:
        weight = weight_of(layer.node)
        if weight is None or any(len(v.uses()) > 1 for v in layer.data):
            continue
        name = str(layer.output.name)
        want = tensor(graph.model, name, X)
        for key, tensors in (
            ("weight_db", {str(weight.name)}),
            ("activation_db", {str(v.name) for v in layer.data}),
        ):
            model = quantize_graph(graph, plan, target, only=frozenset(tensors))
            got = decibel(want, tensor(model, name, X))
            # a bias lies on its grid only where both scales are there: far below the noise
            assert getattr(found[layer.name], key) == pytest.approx(got, abs=0.05), layer.name
            checked += 1
        share = found[layer.name].weight_share
        w, a = (10 ** (-getattr(found[layer.name], k) / 10) for k in ("weight_db", "activation_db"))
        assert share == pytest.approx(w / (w + a), rel=1e-3)
    assert checked >= 2


def test_the_error_of_each_image_is_that_of_a_run_on_it_alone() -> None:
    """The image that breaks a layer is found by this number."""
    graph, plan = chosen(conv_relu_net())
    model = quantize_graph(graph, plan, TARGETS["onnxruntime"], weight_form="integer")
    every = measured_layers(graph, plan)
    together = isolated_errors(graph, model, every, [batch_of({"input": X}, 8)], 1)
    for number in range(3):
        one = batch_of({"input": X[number : number + 1]}, 1)
        alone = isolated_errors(graph, model, every, [one], 1)
        for name, error in alone.items():
            assert together[name].by_image[number] == pytest.approx(error.sqnr_db, abs=0.01)


def test_padding_is_no_image() -> None:
    """A short last batch repeats its last sample, and counting that would weigh it double."""
    graph, plan = chosen(conv_relu_net())
    model = quantize_graph(graph, plan, TARGETS["onnxruntime"], weight_form="integer")
    every = measured_layers(graph, plan)
    padded = isolated_errors(graph, model, every, [batch_of({"input": X[:3]}, 8)], 1)
    exact = isolated_errors(graph, model, every, [batch_of({"input": X[:3]}, 3)], 1)
    for name, error in exact.items():
        assert padded[name].by_image.shape == (3,)
        assert padded[name].sqnr_db == pytest.approx(error.sqnr_db, abs=1e-3)


def test_the_noise_of_each_channel_is_that_of_its_numbers() -> None:
    """By hand, over images and positions, in float64."""
    graph, plan = chosen(conv_relu_net())
    found = analysed(graph, plan).layers["conv2"]
    layer = next(x for x in graph.layers if x.name == "conv2")
    want = tensor(graph.model, str(layer.output.name), X).astype(np.float64)
    names = {str(v.name) for v in layer.node.inputs if v is not None}
    model = quantize_graph(graph, plan, TARGETS["onnxruntime"], only=frozenset(names))
    got = tensor(model, str(layer.output.name), X).astype(np.float64)

    assert found.signal == pytest.approx((want**2).sum(axis=(0, 2, 3)), rel=1e-4)
    assert found.noise == pytest.approx(((want - got) ** 2).sum(axis=(0, 2, 3)), rel=1e-3)


def test_saturation_and_rounding_are_told_apart() -> None:
    """Against the elements themselves: their errors beyond the grid, and within it."""
    graph = prepared(conv_relu_net())
    feeds = inputs(graph)
    profile = profiled(graph, feeds)
    plan = Planner(target=TARGETS["onnxruntime"], observer="minmax").choose(graph, profile)
    known = plan.tensors["input"]
    assert known.format is not None
    cut = known.format.parameters(-1.5, 1.5)
    plan = replace(plan, tensors={**plan.tensors, "input": replace(known, params=cut)})
    one = measured(graph, plan, profile, [batch_of(feeds, 8)])[1].layers["conv1"].inputs[0]

    x = feeds["input"].astype(np.float64)
    error = (known.format.fake_quantize(feeds["input"], cut) - x) ** 2
    low, high = (float(v) for v in known.format.rounding_range(cut))
    out = (x < low) | (x > high)
    assert one.saturated == pytest.approx(out.mean(), abs=2e-3)
    assert one.saturation_noise == pytest.approx(error[out].sum() / error.sum(), abs=2e-3)
    assert one.used == 1.0
    assert one.channels == 3


def test_what_is_not_finite_is_left_out_of_the_sums() -> None:
    """One infinite element must not blind the analysis of all others."""
    sums = ErrorSums()
    signal, noise = np.ones((2, 3)), np.ones((2, 3))
    noise[1, 2] = np.nan
    sums.add(signal, noise, batch_of({"x": np.ones((2, 1))}, 2))

    assert sums.signal.tolist() == [2, 2, 1]
    assert sums.by_image.tolist() == [0.0, 0.0]


def test_channels_that_change_from_image_to_image_are_added_up() -> None:
    """A network of any size has outputs whose flattened length depends on the image."""
    sums = ErrorSums()
    sums.add(np.ones((1, 2)), np.ones((1, 2)), batch_of({"x": np.ones((1, 1))}, 1))
    sums.add(np.ones((1, 3)), np.ones((1, 3)), batch_of({"x": np.ones((1, 1))}, 1))

    assert sums.signal.tolist() == [5.0]


def test_an_analysis_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """`quant report` has nothing else; and equal analyses are equal files."""
    graph, plan = chosen(depthwise_net())
    made = analysed(graph, plan)
    save_analysis(made, tmp_path / "a")
    save_analysis(load_analysis(tmp_path / "a"), tmp_path / "b")
    back = load_analysis(tmp_path / "b")

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert back.images == made.images
    assert list(back.layers) == list(made.layers)
    first, second = made.layers["depthwise"], back.layers["depthwise"]
    assert second.inputs == first.inputs
    assert np.array_equal(second.noise, first.noise)
    assert second.weight is not None
    assert first.weight is not None
    assert second.weight.spread == first.weight.spread


def test_the_csv_names_the_worst_image_and_channel() -> None:
    """A spreadsheet is where many people look first."""
    graph, plan = chosen(conv_relu_net())
    made = analysed(graph, plan)
    head, *rows = analysis_csv(made).splitlines()
    cells = dict(zip(head.split(","), rows[1].split(","), strict=True))
    known = made.layers[cells["layer"]]

    assert cells["worst_image"] == made.images[int(np.argmin(known.isolated_by_image))]
    assert int(cells["worst_channel"]) == int(np.argmax(known.noise))


def test_a_file_that_is_no_analysis_costs_one_sentence(tmp_path: Path) -> None:
    """Whoever copied a run by halves is told what to do."""
    path = tmp_path / "analysis.safetensors"
    with pytest.raises(InputError) as missing:
        load_analysis(path)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError) as broken:
        load_analysis(path)
    graph, plan = chosen(conv_relu_net())
    save_analysis(analysed(graph, plan), path)
    path.write_bytes(path.read_bytes().replace(b"quant-analysis-1", b"quant-analysis-9"))
    with pytest.raises(InputError) as other:
        load_analysis(path)

    assert str(missing.value) == (
        f"{path}: not a readable analysis: no such file. Run quant calibrate again."
    )
    assert str(broken.value).startswith(f"{path}: not a readable analysis: ")
    assert str(other.value) == (
        f"{path}: not an analysis of this version: its format is 'quant-analysis-9', wanted "
        "'quant-analysis-1'. Run quant calibrate again."
    )


def test_layers_without_a_weight_have_no_share() -> None:
    """An Add has activations alone."""
    graph, plan = chosen(residual_net())
    found: LayerAnalysis = next(
        x for x in analysed(graph, plan).layers.values() if x.weight is None and x.inputs
    )

    assert math.isnan(found.weight_db)
    assert math.isnan(found.weight_share)


ROOT = """
g (float[N,3,16,16] input) => (float[N,3,16,16] y) {
    [keep] t = Conv <kernel_shape=[1,1]> (input, w1)
    [log] y = Log (t)
}
"""


def test_an_output_that_is_broken_by_quantization_is_no_number(tmp_path: Path) -> None:
    """Small numbers become zero, and their logarithm infinite; the analysis is kept all the same."""
    x = np.full((4, 3, 16, 16), 1e-4, np.float32)
    x[:, :, 0] = 3
    proto = models.model(ROOT, {"w1": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)})
    graph = prepared(proto)
    profile = profiled(graph, {"input": x})
    plan = Planner(target=TARGETS["onnxruntime"], observer="minmax").choose(graph, profile)
    rows, found = measured(graph, plan, profile, [batch_of({"input": x}, 4)])
    save_analysis(found, tmp_path / "a")

    assert math.isnan(rows[0].isolated_sqnr_db)
    back = load_analysis(tmp_path / "a").layers["keep"].isolated_by_image
    assert back.shape == (4,)
    assert np.isnan(back).all()
