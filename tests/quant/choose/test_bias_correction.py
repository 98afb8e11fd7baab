"""Bias correction takes the mean error back, measured in ONNX Runtime by another way."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from quant.choose.bias_correction import correct_bias, weight_shift
from quant.formats.number_format import Params
from quant.graph.prepared_graph import Graph
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests.chosen import chosen, inputs, prepared, profiled, run
from tests.models import model, residual_net, weights


def coarse(graph: Graph, plan: Plan) -> Plan:
    """Return a plan whose weights have few steps, so that their rounding shifts every mean."""
    tensors = {}
    for name, tensor in plan.tensors.items():
        if tensor.kind == "weight" and tensor.params is not None:
            scale = tensor.params.scale * np.float32(40)
            params = Params(scale=scale, zero_point=tensor.params.zero_point)
            tensors[name] = replace(tensor, params=params)
        else:
            tensors[name] = replace(tensor, format=None, params=None)
    return replace(plan, tensors=tensors)


def shrinks(proto: onnx.ModelProto, *, flat: bool = False) -> tuple[float, float, Plan]:
    """Return the largest mean error of a channel before and after the correction.

    Args:
        proto: The model.
        flat: Feed images of one colour: a window sees the same mean wherever it stands.
    """
    target = "tensorrt"
    graph, plan = chosen(proto, target)
    plan = coarse(graph, plan)
    feeds = {k: v + 1 for k, v in inputs(graph).items()}  # a mean that is not 0
    if flat:
        feeds = {k: np.zeros_like(v) + v[..., :1, :1] for k, v in feeds.items()}
    better = correct_bias(plan, graph, profiled(graph, feeds))
    (wanted,) = run(graph.model, feeds)

    def off(one: Plan) -> float:
        (made,) = run(quantize_graph(graph, one, TARGETS[target], weight_form="float"), feeds)
        axes = tuple(i for i in range(made.ndim) if i != 1)
        return float(np.abs((made - wanted).astype(np.float64).mean(axis=axes)).max())

    return off(plan), off(better), better


NETS = {
    "conv": ("float[N,3,8,8] x", "float[N,4,8,8] y", "Conv(x, w, b)", (4, 3, 1, 1)),
    "depthwise": ("float[N,6,8,8] x", "float[N,6,6,6] y", "Conv<group=6>(x, w)", (6, 1, 3, 3)),
    "grouped": ("float[N,6,8,8] x", "float[N,4,6,6] y", "Conv<group=2>(x, w, b)", (4, 3, 3, 3)),
    "linear": ("float[N,6] x", "float[N,4] y", "Gemm<transB=1>(x, w, b)", (4, 6)),
    "plain": ("float[N,6] x", "float[N,4] y", "Gemm(x, w)", (6, 4)),
    "scaled": (
        "float[N,6] x",
        "float[N,4] y",
        "Gemm<alpha=0.5, beta=2.0, transB=1>(x, w, b)",
        (4, 6),
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_the_mean_error_of_every_channel_vanishes(name: str) -> None:
    """Without borders the correction is exact for one layer, up to float32."""
    value, output, call, shape = NETS[name]
    text = f"g ({value}) => ({output}) {{ [layer] y = {call} }}"
    before, after, plan = shrinks(model(text, weights(0, w=shape, b=(4,))), flat=len(shape) == 4)

    assert before > 0.01
    assert after < 1e-4 * before
    assert plan.bias_shifts["layer"].dtype == np.float32


def test_padding_leaves_a_part_of_the_error() -> None:
    text = "g (float[N,3,16,16] x) => (float[N,4,16,16] y) { [c] y = Conv<pads=[1,1,1,1]>(x, w) }"
    before, after, _ = shrinks(model(text, weights(0, w=(4, 3, 3, 3))))

    assert after < 0.3 * before


def test_a_whole_net_comes_nearer() -> None:
    before, after, plan = shrinks(residual_net())

    assert after < before
    assert list(plan.bias_shifts) == ["stem", "conv1", "conv2", "fc"]


def test_a_permuted_view_gets_no_shift() -> None:
    """A channel shuffle keeps the number of channels and not their order."""
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,4,8,8] y) {
            [first] a = Conv(x, w1)
            [split] b = Reshape(a, apart)
            [turn] c = Transpose<perm=[0,2,1,3,4]>(b)
            [join] d = Reshape(c, together)
            [last] y = Conv(d, w2)
        }""",
        {
            **weights(0, w1=(4, 3, 1, 1), w2=(4, 4, 1, 1)),
            "apart": np.array([0, 2, 2, 8, 8]),
            "together": np.array([0, 4, 8, 8]),
        },
    )
    graph, plan = chosen(proto, "tensorrt")
    better = correct_bias(coarse(graph, plan), graph, profiled(graph))

    assert list(better.bias_shifts) == ["first"]


def test_a_convolution_over_time_gets_no_shift_of_its_steps() -> None:
    """The profile keeps the last axis of a rank-3 tensor, and here that is not the channels."""
    proto = model(
        "g (float[N,4,4] x) => (float[N,4,4] y) { [c] y = Conv(x, w) }", weights(0, w=(4, 4, 1))
    )
    graph, plan = chosen(proto, "tensorrt")

    assert correct_bias(coarse(graph, plan), graph, profiled(graph)).bias_shifts == {}


def test_a_recipe_turns_it_off() -> None:
    graph, plan = chosen(residual_net())
    recipe = Recipe(rules=(Rule(match="conv*", bias_correction="off"),))
    better = correct_bias(coarse(graph, plan), graph, profiled(graph), recipe)

    assert list(better.bias_shifts) == ["stem", "fc"]
    off = Recipe(defaults=Rule(bias_correction="off"))
    assert correct_bias(plan, graph, profiled(graph), off).bias_shifts == {}


def test_layers_that_stay_float_get_none() -> None:
    recipe = Recipe(rules=(Rule(match="conv1", precision="float"),))
    graph, plan = chosen(residual_net(), recipe=recipe)

    assert "conv1" not in correct_bias(coarse(graph, plan), graph, profiled(graph)).bias_shifts


def test_the_shift_by_hand() -> None:
    """Two groups of one channel: shift = -(sum over taps of the error) * mean."""
    proto = model(
        "g (float[N,2,8,8] x) => (float[N,2,7,8] y) { [c] y = Conv<group=2>(x, w) }",
        weights(0, w=(2, 1, 2, 1)),
    )
    node = prepared(proto).nodes[0]
    error: NDArray[np.float64] = np.array([[0.5, 0.25], [-1.0, 3.0]]).reshape(2, 1, 2, 1)
    shift = weight_shift(node, error, np.array([2.0, -1.0]))

    assert shift is not None
    assert shift.tolist() == [-1.5, 2.0]
    assert weight_shift(node, error, np.ones(3)) is None
