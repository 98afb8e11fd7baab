"""Fitted integers against exhaustive search, and what they write against ONNX Runtime."""

from dataclasses import replace
from itertools import product

import numpy as np
import onnx_ir as ir
import pytest
import torch

from quant.formats.number_format import Integer
from quant.graph.prepared_graph import Graph
from quant.improve.fit.layer_fit import fit_layers
from quant.improve.fit.least_squares import Rows, WeightGrid, descended, fit_layer, rounded
from quant.improve.fit.settings import FitSettings
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests.chosen import chosen, inputs, run
from tests.models import concat_net, depthwise_net, gemm_net, model, residual_net, weights

FOUR = Recipe(defaults=Rule(precision="w4a8"))


def problem(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights `[1, 3, 4]` and a correlated X'X `[1, 4, 4]`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 4)) @ (np.eye(4) + 0.8 * rng.normal(size=(4, 4)))
    return torch.from_numpy(rng.normal(size=(1, 3, 4))), torch.from_numpy(x.T @ x)[None]


def error(w: torch.Tensor, q: torch.Tensor, hessian: torch.Tensor) -> np.ndarray:
    off = (w - q)[0].numpy()
    return np.einsum("mk,kl,ml->m", off, hessian[0].numpy(), off)


def test_rounding_one_input_after_the_other_beats_nearest_and_stays_near_the_best() -> None:
    """The best of all 3^4 neighbours, tried one by one, is what it is measured against."""
    total = np.zeros(4)
    for seed in range(20):
        w, hessian = problem(seed)
        scale = torch.full((1, 3), 0.4, dtype=torch.float64)
        q = rounded(w, hessian, scale, (-8, 7)) * 0.4
        near = torch.round(w / 0.4).clamp(-8, 7) * 0.4
        best = np.full(3, np.inf)
        for step in product((-1, 0, 1), repeat=4):
            other = (torch.round(w / 0.4) + torch.tensor(step)).clamp(-8, 7) * 0.4
            best = np.minimum(best, error(w, other, hessian))
        down = descended(w, q / 0.4, hessian, scale, (-8, 7)) * 0.4
        total += [error(w, x, hessian).sum() for x in (near, q, down)] + [best.sum()]
        assert np.all(error(w, down, hessian) <= error(w, q, hessian) + 1e-12)

    assert total[1] < 0.6 * total[0]
    assert total[1] < 1.5 * total[3]
    assert total[2] < 1.2 * total[3]


def test_without_correlation_it_is_rounding_to_nearest() -> None:
    w, _ = problem()
    unit = torch.eye(4, dtype=torch.float64)[None]
    scale = torch.tensor([[0.3, 0.4, 0.5]], dtype=torch.float64)

    assert torch.equal(
        rounded(w, unit, scale, (-3, 3)), torch.round(w / scale[..., None]).clamp(-3, 3)
    )


def test_the_bias_takes_back_the_mean_error_exactly() -> None:
    """mean(y) = q mean(x) + what the bias is short of, whatever the integers."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(1, 1, (2, 200, 5)).astype(np.float32))
    w = torch.from_numpy(rng.normal(size=(2, 3, 5)).astype(np.float32))
    y = x @ w.transpose(1, 2) + 0.25
    scale = torch.full((2, 3), 0.5)
    least = torch.zeros(2, 3)
    grid = WeightGrid(scale=scale, least_scale=least, limits=(-7, 7), factors=(1.0, 0.9))
    fit = fit_layer(Rows(x, y), w, grid)
    weight = fit.integers * fit.scale.double()[..., None]
    made = x.double() @ weight.transpose(1, 2) + fit.bias_change[:, None]

    assert torch.allclose(made.mean(1), y.double().mean(1), atol=1e-9)


def sqnr(graph: Graph, plan: Plan, reference: Graph, seed: int = 1) -> float:
    feeds = inputs(reference, seed, 16)
    (wanted,) = run(reference.model, feeds)
    model = quantize_graph(graph, plan, TARGETS[plan.target], weight_form="integer")
    (made,) = run(model, feeds)
    off = (made - wanted).astype(np.float64)
    return float(10 * np.log10(np.vdot(wanted, wanted) / np.vdot(off, off)))


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
@pytest.mark.parametrize("build", [residual_net, depthwise_net, concat_net])
def test_four_bits_come_nearer_on_samples_that_were_not_seen(build: object, target: str) -> None:
    graph, plan = chosen(build(), target, FOUR)  # type: ignore[operator]
    better, fitted = fit_layers(graph, plan, inputs(graph, 0, 48))

    assert sqnr(better, fitted, graph) > sqnr(graph, plan, graph) + 1


def test_few_rows_for_many_inputs_do_no_harm() -> None:
    """768 inputs that 128 samples of noise seem to correlate: chance must not round them."""
    graph, plan = chosen(gemm_net(), recipe=FOUR)
    better, fitted = fit_layers(graph, plan, inputs(graph, 0, 128))

    assert sqnr(better, fitted, graph) > sqnr(graph, plan, graph)


def test_what_is_written_lies_on_its_grid() -> None:
    """Every exporter rounds to nearest, and must find the fitted integers again."""
    graph, plan = chosen(residual_net(), recipe=FOUR)
    better, fitted = fit_layers(graph, plan, inputs(graph, 0, 16))

    assert fitted.graph == better.fingerprint != graph.fingerprint
    for tensor in fitted.quantized:
        if tensor.kind == "weight":
            assert isinstance(tensor.format, Integer)
            array = better.array(tensor.tensor)
            np.testing.assert_array_equal(
                tensor.format.fake_quantize(array, tensor.params), array, strict=True
            )
            assert not np.array_equal(array, graph.array(tensor.tensor))


def test_it_repeats() -> None:
    graph, plan = chosen(depthwise_net(), recipe=FOUR)
    feeds = inputs(graph, 0, 32)
    first, second = (
        fit_layers(graph, plan, feeds, FitSettings(seed=3))[0].fingerprint for _ in range(2)
    )

    assert first == second


def test_a_recipe_keeps_nearest_integers_and_biases() -> None:
    graph, plan = chosen(residual_net(), recipe=FOUR)
    rules = (
        Rule(match="conv1", rounding="nearest"),
        Rule(match="conv2", rounding="nearest", bias_correction="off"),
    )
    better, fitted = fit_layers(graph, plan, inputs(graph), FitSettings(recipe=Recipe(rules=rules)))

    same = {
        n: np.array_equal(better.array(n), graph.array(n)) for n in ("w1", "w2", "w3", "b2", "b3")
    }
    assert same == {"w1": False, "w2": True, "w3": True, "b2": False, "b3": True}
    assert fitted.tensors["w2"] == plan.tensors["w2"]


def test_other_grids_than_integers_keep_their_weights() -> None:
    """A float8 has no equal steps; its bias is corrected all the same."""
    graph, plan = chosen(residual_net(), "tensorrt", Recipe(defaults=Rule(precision="fp8")))
    better, _ = fit_layers(graph, plan, inputs(graph))

    assert np.array_equal(better.array("w2"), graph.array("w2"))
    assert not np.array_equal(better.array("b2"), graph.array("b2"))


def test_a_bias_stays_inside_int32() -> None:
    """A scale made smaller for better rounding must still hold the bias."""
    graph, plan = chosen(residual_net(), recipe=FOUR)
    model = graph.clone()
    model.graph.initializers["b2"].const_value = ir.tensor(np.full(8, 1e6, np.float32), name="b2")
    large = replace(graph, model=model)
    grids = replace(plan, graph=large.fingerprint)
    _, fitted = fit_layers(large, grids, inputs(large))
    step = fitted.tensors["w2"].params.scale * plan.grid("b", "conv1").params.scale  # type: ignore[union-attr]

    assert np.all(1e6 / step < 2.0**31)


def test_a_graph_of_one_batch_size_is_walked_in_its_batches() -> None:
    """A Reshape to [2, -1] cannot run sixteen samples, nor the one that is left over."""
    proto = model(
        """g (float[2,3,4,4] x) => (float[2,5] y) {
            [c] a = Conv(x, w1, b1)
            [r] b = Reshape(a, shape)
            [f] y = Gemm<transB=1>(b, w2, b2)
        }""",
        {**weights(0, w1=(4, 3, 1, 1), b1=(4,), w2=(5, 64), b2=(5,)), "shape": np.array([2, -1])},
    )
    graph, plan = chosen(proto, recipe=FOUR)
    better, _ = fit_layers(graph, plan, inputs(graph, 0, 7))

    assert not np.array_equal(better.array("w2"), graph.array("w2"))
