"""Reconstruction: nearer to the float network, on the grid, the same every time, as the recipe says."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import onnx
import pytest
import torch

import quant.improve.rounding.learn_block
from quant.formats.number_format import Integer
from quant.graph.prepared_graph import Graph
from quant.improve.fit.layer_fit import fit_layers
from quant.improve.fit.layerwise_run import LayerwiseRun
from quant.improve.fit.settings import FitSettings
from quant.improve.fit.torch_operators import can_run
from quant.improve.rounding.blocks import find_blocks
from quant.improve.rounding.learn_block import learn_block
from quant.improve.rounding.quantized_block import QuantizedBlock, straight_through
from quant.improve.rounding.reconstruct import reconstruct, worth_learning
from quant.plan.recipe import NOTHING, Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests.chosen import chosen, inputs, run
from tests.models import concat_net, depthwise_net, model, residual_net, weights

FOUR = Recipe(defaults=Rule(precision="w4a8"))
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Nets this small lose more to threads that wait than the work takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise(graph: Graph, plan: Plan, reference: Graph) -> float:
    """Return the squared error at the output on samples that were not seen, in ONNX Runtime."""
    feeds = inputs(reference, 1, 32)
    (wanted,) = run(reference.model, feeds)
    made = run(quantize_graph(graph, plan, TARGETS[plan.target], weight_form="integer"), feeds)[0]
    return float(np.sum((made - wanted).astype(np.float64) ** 2))


@pytest.mark.parametrize("build", [residual_net, depthwise_net, concat_net])
def test_the_output_comes_nearer_and_the_weights_lie_on_their_grid(build: object) -> None:
    """From integers rounded to nearest; every exporter must find the learned ones again."""
    graph, plan = chosen(build(), recipe=FOUR)  # type: ignore[operator]
    better, learned = reconstruct(graph, graph, plan, inputs(graph, 0, 48))

    assert noise(better, learned, graph) < 0.95 * noise(graph, plan, graph)
    assert learned.graph == better.fingerprint != graph.fingerprint
    assert not learned.bias_shifts
    assert "learned with its block" in " ".join(t.because for t in learned.quantized)
    for tensor in learned.quantized:
        if tensor.because.endswith("; learned with its block"):
            assert isinstance(tensor.format, Integer)
            array = better.array(tensor.tensor)
            on_grid = tensor.format.fake_quantize(array, tensor.params)
            np.testing.assert_array_equal(on_grid, array, strict=True)


def test_the_same_seed_gives_the_same_bytes() -> None:
    graph, plan = chosen(residual_net(), recipe=FOUR)
    fitted = fit_layers(graph, plan, inputs(graph, 0, 32))
    made = [
        reconstruct(graph, *fitted, inputs(graph, 0, 32), FitSettings(seed=s))[0] for s in (3, 3, 4)
    ]

    assert made[0].fingerprint == made[1].fingerprint != made[2].fingerprint


def test_a_recipe_keeps_fitted_integers_and_biases() -> None:
    graph, plan = chosen(residual_net(), recipe=FOUR)
    plan = replace(plan, bias_shifts={})
    rules = (
        Rule(match="conv1", rounding="fitted"),
        Rule(match="conv2", rounding="nearest", bias_correction="off"),
    )
    better, learned = reconstruct(
        graph, graph, plan, inputs(graph, 0, 32), FitSettings(recipe=Recipe(rules=rules))
    )

    same = {n: np.array_equal(better.array(n), graph.array(n)) for n in ("w2", "b2", "w3", "b3")}
    assert same == {"w2": True, "b2": False, "w3": True, "b3": True}
    assert learned.tensors["w2"] == plan.tensors["w2"]


def test_it_is_worth_it_under_8_bits_or_where_the_recipe_says_so() -> None:
    graph, eight = chosen(residual_net())
    _, four = chosen(residual_net(), recipe=FOUR)
    fitted = Recipe(defaults=Rule(rounding="fitted"))
    learned = Recipe(rules=(Rule(match="conv1", rounding="learned"),))

    found = [worth_learning(graph, p, r) for p in (eight, four) for r in (NOTHING, fitted, learned)]
    assert found == [False, False, True, True, False, True]


def test_a_block_that_does_not_come_nearer_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps a thousand times too long spoil everything; the network must not pay for it."""
    graph, plan = chosen(residual_net(), recipe=FOUR)
    fitted, better = fit_layers(graph, replace(plan, bias_shifts={}), inputs(graph, 0, 16))
    rates = {"v": 0.0, "e": 3.0, "bias": 30.0}
    monkeypatch.setattr(quant.improve.rounding.learn_block, "RATES", rates)

    assert reconstruct(graph, fitted, better, inputs(graph, 0, 16))[0].fingerprint == (
        fitted.fingerprint
    )


def one_layer() -> onnx.ModelProto:
    """Return a layer of 6 weights for one output."""
    held = weights(5, w=(1, 6), b=(1,))
    return model(
        "g (float[N,6] input) => (float[N,1] output) { [fc] output = Gemm<transB=1>(input, w, b) }",
        held,
    )


def test_the_roundings_of_one_layer_against_all_that_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """2^6 choices of up and down, each tried in float64: the learned one is among the best."""
    graph, plan = chosen(one_layer(), recipe=FOUR)
    plan = replace(plan, bias_shifts={})
    rng = np.random.default_rng(2)
    x = (rng.normal(size=(64, 6)) @ (np.eye(6) + 0.9 * rng.normal(size=(6, 6)))).astype(np.float32)
    run_ = LayerwiseRun(graph, plan, {"input": x}, floats=graph, chunk=8)
    twin = QuantizedBlock(run_, find_blocks(graph, can_run)[0], NOTHING, CPU)
    rates = {"v": 0.2, "e": 0.0, "bias": 0.0}
    monkeypatch.setattr(quant.improve.rounding.learn_block, "RATES", rates)
    monkeypatch.setattr(quant.improve.rounding.learn_block, "QUANTIZED_SHARE", 1.0)
    (rounding,) = twin.roundings.values()
    low = rounding.integers().numpy().astype(np.float64)
    step = np.where(graph.array("w") / rounding.scale().detach().numpy()[:, None] >= low, 1, -1)

    def error(q: np.ndarray) -> float:
        w = q * rounding.scale().detach().numpy().astype(np.float64)[:, None]
        seen = np.concatenate([c.numpy() for c in run_.quantized_values["input"]])
        return float(np.mean((seen @ w.T - x @ graph.array("w").T) ** 2))

    every = sorted(error(low + step * np.reshape(s, (1, 6))) for s in product((0, 1), repeat=6))
    learn_block(twin, 0)
    learned = error(rounding.integers().numpy().astype(np.float64))

    assert learned < error(low)
    assert learned <= every[3]


def test_the_gradient_of_a_grid_is_one_inside_and_nothing_beyond() -> None:
    _, plan = chosen(residual_net())
    grid = plan.tensors["input"]
    assert grid.format is not None
    low, high = grid.format.grid_range(grid.params)
    x = torch.tensor([float(low) - 1, 0.3 * float(high), float(high) + 1], requires_grad=True)
    made = straight_through(x, grid)
    made.sum().backward()  # type: ignore[no-untyped-call]
    wanted = grid.format.fake_quantize(x.detach().numpy(), grid.params)

    np.testing.assert_allclose(made.detach().numpy(), wanted, rtol=1e-6)
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 0]


def test_a_bias_that_a_layer_got_is_in_the_run_() -> None:
    """A Conv without one gets one from the steps; what is behind must be taught behind it."""
    proto = model(
        "g (float[N,3,4,4] input) => (float[N,2,4,4] output) { [c] output = Conv(input, w) }",
        weights(0, w=(2, 3, 1, 1)),
    )
    graph, plan = chosen(proto)
    plan = replace(plan, bias_shifts={}, tensors={})
    runs = [LayerwiseRun(graph, plan, inputs(graph)) for _ in range(2)]
    (node,) = graph.nodes
    runs[1].use("c", 2, torch.tensor([100.0, 200.0]))
    for one in runs:
        one.advance(node)
    off = runs[1].quantized_values["output"][0] - runs[0].quantized_values["output"][0]

    assert off.mean((0, 2, 3)).tolist() == pytest.approx([100, 200], abs=1e-3)
