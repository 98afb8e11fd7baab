"""Whole pixels: the same float function, borders included, and no error from the input."""

import numpy as np
import pytest
from numpy.typing import NDArray

from quant.choose.planner import Planner
from quant.improve.input_grid import on_input_grid
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests.chosen import chosen, prepared, profiled, run
from tests.models import concat_net, conv_relu_net, gemm_net, model, weights

PIXELS = np.array([[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]])


def pictures(seed: int, count: int = 8) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 256, (count, 3, 16, 16)).astype(np.float64)
    mean, std = PIXELS[:, None, :, None, None]
    return ((p - mean) / std).astype(np.float32)


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_the_float_function_stays_and_the_input_costs_nothing(target: str) -> None:
    """Only the input is on a grid in both simulations: one has its error, the other none."""
    graph = prepared(conv_relu_net())
    feeds = {"input": pictures(0)}
    table = TARGETS[target]
    plan = Planner(target=table, observer="minmax").choose(graph, profiled(graph, feeds))
    made = on_input_grid(graph, plan, PIXELS)
    assert made is not None
    better, fresh = made
    (wanted,) = run(graph.model, feeds)
    (same,) = run(better.model, feeds)
    pixels = fresh.layers.keys() - plan.layers.keys()

    assert pixels == {"conv1_pixel_Pad", "conv1_pixel_Mul", "conv1_pixel_Add"}
    np.testing.assert_allclose(same, wanted, atol=2e-5)
    (name,) = {t.tensor for t in fresh.quantized} - {t.tensor for t in plan.quantized}

    def off(one: object, grids: Plan, tensor: str) -> float:
        only = frozenset({tensor})
        simulated = quantize_graph(one, grids, table, weight_form="integer", only=only)  # type: ignore[arg-type]
        (seen,) = run(simulated, feeds)
        return float(np.sqrt(((seen - wanted) ** 2).mean()))

    assert off(graph, plan, "input") > 1e-4
    # what is left is at the border: mean - 128 is no whole pixel
    assert off(better, fresh, name) < off(graph, plan, "input")


def test_without_padding_nothing_is_lost_at_all() -> None:
    proto = model(
        "g (float[N,3,16,16] input) => (float[N,4,14,14] y) { [c] y = Conv(input, w) }",
        weights(0, w=(4, 3, 3, 3)),
    )
    graph, plan = chosen(proto)
    made = on_input_grid(graph, plan, PIXELS)
    assert made is not None
    feeds = {"input": pictures(1)}
    (wanted,) = run(graph.model, feeds)
    only = frozenset({"c_pixel_Add_output"})
    simulated = quantize_graph(made[0], made[1], TARGETS["onnxruntime"], only=only)
    (seen,) = run(simulated, feeds)

    np.testing.assert_allclose(seen, wanted, atol=2e-5)


@pytest.mark.parametrize("build", [concat_net, gemm_net])
def test_an_input_that_is_read_twice_or_by_no_convolution_stays(build: object) -> None:
    graph, plan = chosen(build())  # type: ignore[operator]

    assert on_input_grid(graph, plan, PIXELS) is None


def test_it_gives_the_same_bytes_twice() -> None:
    graph, plan = chosen(conv_relu_net())
    first, second = (on_input_grid(graph, plan, PIXELS) for _ in range(2))
    assert first is not None
    assert second is not None

    assert first[0].fingerprint == second[0].fingerprint == first[1].graph
