"""ONNX Runtime runs the exported convolutions in integers, with the simulation's numbers."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quant.export.onnxruntime.write import integer_share, write
from quant.plan.recipe import Recipe, Rule
from tests.chosen import chosen, inputs, run
from tests.models import (
    concat_net,
    conv_relu_net,
    depthwise_net,
    gemm_net,
    model,
    residual_net,
    weights,
)


def saturated_depthwise_net(seed: int = 0) -> onnx.ModelProto:
    """Return the depthwise net with activations far beyond the 6 of its Clip."""
    proto = depthwise_net(seed)
    for tensor in proto.graph.initializer:
        if tensor.name in ("w1", "w2"):
            array = onnx.numpy_helper.to_array(tensor) * np.float32(5)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return proto


NETS = [
    (residual_net, [3, 3]),
    (concat_net, [3, 3]),
    (depthwise_net, [3, 3]),
    (saturated_depthwise_net, [3, 3]),
    (conv_relu_net, [2, 2]),
]


@pytest.mark.parametrize("observer", ["minmax", "mse"])
@pytest.mark.parametrize(("net", "wanted"), NETS)
def test_every_convolution_is_an_integer_kernel(
    net: object, wanted: list[int], observer: str, tmp_path: Path
) -> None:
    """A float fallback is silent and has perfect parity, so the optimized graph is what counts."""
    assert callable(net)
    graph, plan = chosen(net(), observer=observer)
    facts = write(graph, plan, tmp_path).facts["integer_kernels"]

    assert facts["by_op"]["Conv"] == wanted
    assert facts["share"] == 1.0
    assert facts["nodes"]["QLinearConv"] == wanted[0]
    assert not {"Conv", "FusedConv"} & set(facts["nodes"])


def test_products_of_matrices_are_integer_kernels(tmp_path: Path) -> None:
    graph, plan = chosen(gemm_net())
    facts = write(graph, plan, tmp_path).facts["integer_kernels"]

    assert facts["share"] == 1.0
    assert sum(count for _, count in facts["by_op"].values()) == 3


def test_a_layer_that_the_recipe_keeps_float_is_counted_as_float(tmp_path: Path) -> None:
    """ONNX Runtime quantizes a float weight between quantizers by itself unless it is kept from it."""
    recipe = Recipe(rules=(Rule(match="conv1", precision="float"),))
    graph, plan = chosen(residual_net(), recipe=recipe)
    facts = write(graph, plan, tmp_path).facts["integer_kernels"]

    assert facts["by_op"]["Conv"] == [2, 3]
    assert facts["share"] == 0.75


def test_a_transposed_convolution_keeps_its_float_weight(tmp_path: Path) -> None:
    """There is no integer kernel for it, so quantizing its weight would only cost accuracy."""
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,4,16,16] y) {
            [first] a = Conv(x, w1)
            [up] b = ConvTranspose<strides=[2,2]>(a, w2)
            [relu] c = Relu(b)
            [last] y = Conv(c, w3)
        }""",
        weights(0, w1=(4, 3, 1, 1), w2=(4, 4, 2, 2), w3=(4, 4, 1, 1)),
    )
    graph, plan = chosen(proto)
    facts = write(graph, plan, tmp_path).facts["integer_kernels"]
    built, feeds = ir.load(tmp_path / "model.onnx"), inputs(graph, seed=3)
    gap = np.abs(run(built, feeds)[0] - run(built, feeds, integer=True)[0])

    assert facts["by_op"] == {"Conv": [2, 2], "ConvTranspose": [0, 1]}
    assert np.mean(gap > 1e-6) < 0.01  # ties


def test_a_float_model_has_no_share(tmp_path: Path) -> None:
    path = tmp_path / "float.onnx"
    onnx.save(residual_net(), path)
    facts = integer_share(path)

    assert facts["by_op"] == {"Conv": [0, 3], "Gemm": [0, 1]}
    assert facts["share"] == 0.0
    assert [p.name for p in tmp_path.iterdir()] == ["float.onnx"]


@pytest.mark.parametrize(("net", "wanted"), NETS)
def test_integers_and_simulation_differ_by_one_step_at_most(
    net: object, wanted: list[int], tmp_path: Path
) -> None:
    """Sums of integers are exact and float ones are not, so a tie may fall on the other side."""
    assert callable(net)
    graph, plan = chosen(net())
    write(graph, plan, tmp_path)
    built = ir.load(tmp_path / "model.onnx")
    steps = [float(t.params.scale) for t in plan.quantized if t.params and t.kind != "weight"]
    feeds = inputs(graph, seed=3)
    simulated, integer = run(built, feeds)[0], run(built, feeds, integer=True)[0]

    assert wanted
    assert np.abs(simulated - integer).max() <= max(steps)
    assert np.mean(np.abs(simulated - integer)) < 0.2 * min(steps)


def test_a_split_and_a_pool_stay_integer(tmp_path: Path) -> None:
    proto = model(
        """g (float[N,3,16,16] x) => (float[N,2,8,8] y) {
            [conv] c = Conv<pads=[1,1,1,1]>(x, w1, b1)
            [pool] p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c)
            [split] l, r = Split<axis=1>(p)
            [left] a = Conv(l, w2)
            [right] b = Conv(r, w3)
            [add] s = Add(a, b)
            [last] y = Conv(s, w4)
        }""",
        weights(0, w1=(8, 3, 3, 3), b1=(8,), w2=(2, 4, 1, 1), w3=(2, 4, 1, 1), w4=(2, 2, 1, 1)),
    )
    graph, plan = chosen(proto)
    nodes = write(graph, plan, tmp_path).facts["integer_kernels"]["nodes"]

    assert nodes["QLinearConv"] == 4
    assert nodes["QLinearAdd"] == 1
    assert (nodes["QuantizeLinear"], nodes["DequantizeLinear"]) == (1, 1)  # the two ends


def test_squeeze_and_excite_and_silu_run_in_integers(tmp_path: Path) -> None:
    proto = model(
        """g (float[N,3,16,16] x) => (float[N,4,16,16] y) {
            [conv] a = Conv(x, w1)
            [gate] s = Sigmoid(a)
            [silu] m = Mul(a, s)
            [mean] c = GlobalAveragePool(m)
            [down] d = Conv(c, w2)
            [relu] e = Relu(d)
            [up] f = Conv(e, w3)
            [gate2] t = Sigmoid(f)
            [scale] u = Mul(m, t)
            [last] y = Conv(u, w4)
        }""",
        weights(0, w1=(8, 3, 1, 1), w2=(4, 8, 1, 1), w3=(8, 4, 1, 1), w4=(4, 8, 1, 1)),
    )
    graph, plan = chosen(proto)
    nodes = write(graph, plan, tmp_path).facts["integer_kernels"]["nodes"]

    assert nodes["QLinearConv"] == 4
    assert nodes["QLinearMul"] == nodes["QLinearSigmoid"] == 2
    assert nodes["QLinearGlobalAveragePool"] == 1
