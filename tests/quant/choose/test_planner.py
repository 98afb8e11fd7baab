"""Planner: the numbers by hand, room for biases, and a reason for every tensor and layer."""

import numpy as np
import onnx
import pytest

from quant.choose.planner import Planner
from quant.choose.weight_grids import weight_range
from quant.common.errors import InputError
from quant.formats.number_format import Integer, Params
from quant.plan.recipe import Recipe, Rule
from quant.target.table import TARGETS
from tests.chosen import chosen, grids, inputs, prepared, profiled
from tests.models import (
    concat_net,
    conv_relu_net,
    depthwise_net,
    gemm_net,
    model,
    residual_net,
    weights,
)

NARROW = Integer(bits=8, signed=True, symmetric=True, narrow=True)
NETS = [concat_net, conv_relu_net, depthwise_net, gemm_net, residual_net]


def tiny() -> onnx.ModelProto:
    """Return y = relu(w x + b) with numbers that can be multiplied in the head."""
    held = {
        "w": np.array([[1.0, -2.0], [0.5, 0.25]], np.float32).reshape(2, 2, 1, 1),
        "b": np.array([0.5, -1.0], np.float32),
    }
    return model(
        """g (float[N,2,1,1] x) => (float[N,2,1,1] y) {
            [conv] a = Conv(x, w, b)
            [relu] y = Relu(a)
        }""",
        held,
    )


def tiny_feeds() -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    rows = np.array([[-1.0, 0.0], [4.0, 0.0], [0.0, -1.0], [1.0, 1.0]], np.float32)
    return {"x": rows.reshape(4, 2, 1, 1)}


def scale_of(params: Params | None) -> list[float]:
    assert params is not None
    return np.atleast_1d(params.scale).tolist()  # type: ignore[no-any-return]


def test_the_numbers_of_a_tiny_net_by_hand() -> None:
    """The input is in [-1, 4] and y = relu([-0.5, 4.5, 2.5, -0.5], [-1.5, 1, -1.25, -0.25]) in [0, 4.5]."""
    graph = prepared(tiny())
    recipe = Recipe(defaults=Rule(observer="minmax", weight_observer="minmax"))
    plan = Planner(target=TARGETS["onnxruntime"], recipe=recipe).choose(
        graph, profiled(graph, tiny_feeds())
    )
    x, y, w = (plan.tensors[n].params for n in "xyw")

    assert list(plan.tensors) == ["x", "y", "w"]
    assert scale_of(x) == [np.float32(5 / 255)]
    assert scale_of(y) == [np.float32(4.5 / 255)]
    assert scale_of(w) == [np.float32(2 / 127), np.float32(0.5 / 127)]
    assert x is not None
    assert y is not None
    assert (int(x.zero_point), int(y.zero_point)) == (51, 0)
    assert plan.tensors["x"].because == "read by an integer layer; minmax keeps [-1, 4]"
    assert plan.tensors["w"].because == "a scale per output channel; minmax"
    assert plan.layers["conv"].because == "ONNX Runtime has an integer Conv"
    assert (plan.target, plan.graph) == ("onnxruntime", graph.fingerprint)


def test_the_same_net_symmetric_for_tensorrt() -> None:
    graph = prepared(tiny())
    recipe = Recipe(defaults=Rule(weights="per-tensor", weight_observer="minmax"))
    plan = Planner(target=TARGETS["tensorrt"], recipe=recipe, observer="minmax").choose(
        graph, profiled(graph, tiny_feeds())
    )

    assert scale_of(plan.tensors["x"].params) == [np.float32(4 / 127)]
    assert scale_of(plan.tensors["w"].params) == [np.float32(2 / 127)]
    assert "y" not in plan.tensors
    assert plan.tensors["w"].because == "one scale; minmax"


def test_a_channel_of_tiny_weights_gets_room_for_its_bias() -> None:
    """|bias| / (input scale * weight scale) beyond int32 would saturate to something else."""
    proto = tiny()
    held = np.array([[1.0, -2.0], [1e-12, 0.0]], np.float32).reshape(2, 2, 1, 1)
    bias = np.array([0.5, 3.0], np.float32)
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(held, "w"))
    proto.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(bias, "b"))
    graph = prepared(proto)
    plan = Planner(target=TARGETS["onnxruntime"]).choose(graph, profiled(graph, tiny_feeds()))
    x, w = plan.tensors["x"].params, plan.tensors["w"].params
    assert x is not None
    assert w is not None
    integers = bias / (float(x.scale) * w.scale.astype(np.float64))

    assert abs(integers[1]) == pytest.approx(2**30, rel=1e-6)
    assert plan.tensors["w"].because.endswith("; raised in 1 channels so that the bias fits int32")
    float_bias = Planner(target=TARGETS["tensorrt"]).choose(graph, profiled(graph, tiny_feeds()))
    assert "raised" not in float_bias.tensors["w"].because


def test_a_shared_weight_has_room_for_the_bias_of_every_layer() -> None:
    """The room for the first bias was once forgotten when the second layer came."""
    proto = model(
        """g (float[N,2,1,1] x) => (float[N,2,1,1] y) {
            [first] a = Conv(x, w, large)
            [relu] r = Relu(a)
            [second] y = Conv(r, w, small)
        }""",
        {
            "w": np.array([[1, -2], [1e-12, 0]], np.float32).reshape(2, 2, 1, 1),
            "large": np.array([0.5, 3.0], np.float32),
            "small": np.array([0.1, 0.0], np.float32),
        },
    )
    graph = prepared(proto)
    plan = Planner(target=TARGETS["onnxruntime"]).choose(graph, profiled(graph, tiny_feeds()))
    x, w = plan.tensors["x"].params, plan.tensors["w"].params

    assert x is not None
    assert w is not None
    assert 3.0 / (float(x.scale) * float(w.scale[1])) < 2**30 * 1.000001


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_mse_on_weights_is_never_worse_than_minmax(axis: int | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    array = (rng.standard_t(2, size=(6, 5, 3, 3)) * rng.lognormal(0, 3, (6, 1, 1, 1))).astype("f4")
    array[2] = 0
    number = NARROW.with_axis(axis)
    error = {
        name: (number.fake_quantize(array, weight_range(array, number, name)) - array)
        for name in ("minmax", "mse")
    }
    other = tuple(i for i in range(4) if i != axis) if axis is not None else None
    squared = {k: np.square(e.astype(np.float64)).sum(axis=other) for k, e in error.items()}

    assert np.all(squared["mse"] <= squared["minmax"] * (1 + 1e-6))


def test_mse_gives_up_one_outlier_for_the_many() -> None:
    """50000 elements up to 0.9 gain 0.19 * step**2 / 12 each; one at 1 loses about 0.1**2."""
    array = np.random.default_rng(0).uniform(-0.9, 0.9, 50000).astype(np.float32)
    array[7] = 1.0
    params = weight_range(array, NARROW, "mse")

    assert 0.85 < 127 * float(params.scale) < 0.95


def test_a_channel_of_zeros_has_scale_1_and_extremes_are_exact() -> None:
    array = np.array([[0.0, 0.0], [-3.0, 1.0]], np.float32)
    for observer in ("minmax", "mse"):
        params = weight_range(array, NARROW.with_axis(0), observer)

        assert float(params.scale[0]) == 1.0
    assert weight_range(array, NARROW.with_axis(0)).scale[1] == np.float32(3 / 127)
    assert float(weight_range(array, NARROW).scale) == np.float32(3 / 127)


@pytest.mark.parametrize("target", list(TARGETS))
@pytest.mark.parametrize("net", NETS)
def test_every_tensor_and_layer_has_a_reason(net: object, target: str) -> None:
    assert callable(net)
    _, plan = chosen(net(), target)
    order = [t.kind for t in plan.tensors.values()]

    assert all(t.because and not t.because.startswith(";") for t in plan.tensors.values())
    assert all(x.because for x in plan.layers.values())
    assert order == sorted(order)  # activations before weights
    assert all((t.format is None) == (t.params is None) for t in plan.tensors.values())


def test_a_recipe_chooses_the_observer_and_the_weights_of_one_layer() -> None:
    recipe = Recipe(
        rules=(
            Rule(match="conv1", observer="percentile", weights="per-tensor"),
            Rule(match="input", observer="entropy"),
        ),
        defaults=Rule(observer="minmax"),
    )
    _, plan = chosen(conv_relu_net(), recipe=recipe, observer=None)
    _, asked = chosen(conv_relu_net(), recipe=recipe, observer="mse")
    w1, w2 = plan.tensors["w1"], plan.tensors["w2"]

    assert "percentile keeps" in plan.tensors["b"].because
    assert "entropy keeps" in plan.tensors["input"].because
    assert "minmax keeps" in plan.tensors["d"].because
    assert "percentile keeps" in asked.tensors["b"].because
    assert "mse keeps" in asked.tensors["d"].because, "what was asked for goes before the default"
    assert len(scale_of(w1.params)) == 1
    assert len(scale_of(w2.params)) == 16


def test_a_rule_about_any_tensor_of_a_group_goes_before_the_default() -> None:
    """The default of the file once answered for the group's first tensor, and no rule was asked."""
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,2,4,4] y) {
            [conv] a = Conv(x, w1)
            [pool] b = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
            [last] y = Conv(b, w2)
        }""",
        weights(0, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1)),
    )
    recipe = Recipe(
        rules=(Rule(match="pool", observer="minmax"),), defaults=Rule(observer="percentile")
    )
    _, plan = chosen(proto, recipe=recipe, observer=None)

    assert "minmax keeps" in plan.tensors["a"].because
    assert "minmax keeps" in plan.tensors["b"].because
    assert len(grids(plan, ["a", "b"])) == 1
    assert "percentile keeps" in plan.tensors["y"].because


def test_a_tensor_that_is_always_zero_gets_scale_1() -> None:
    proto = model(
        """g (float[N,2,1,1] x) => (float[N,2,1,1] y) {
            [conv] a = Conv(x, w, b)
            [relu] r = Relu(a)
            [last] y = Conv(r, w)
        }""",
        {
            "w": np.full((2, 2, 1, 1), 0.01, np.float32),
            "b": np.array([-9.0, -9.0], np.float32),
        },
    )
    graph = prepared(proto)
    plan = Planner(target=TARGETS["onnxruntime"]).choose(graph, profiled(graph, tiny_feeds()))

    assert scale_of(plan.tensors["r"].params) == [1.0]


def test_a_tensor_with_nothing_finite_keeps_its_layers_float() -> None:
    graph = prepared(conv_relu_net())
    feeds = {"input": inputs(graph)["input"] * np.float32(np.nan)}

    with pytest.raises(InputError) as caught:
        Planner(target=TARGETS["onnxruntime"]).choose(graph, profiled(graph, feeds))

    assert str(caught.value) == (
        "plan for 'onnxruntime': no layer is left to quantize; the first weighted layer stays "
        "float because its input was not profiled. Relax the recipe."
    )


def test_a_recipe_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        chosen(conv_relu_net(), recipe=Recipe(defaults=Rule(precision="float")))

    assert str(caught.value) == (
        "plan for 'onnxruntime': no layer is left to quantize; the first weighted layer stays "
        "float because the recipe keeps it float. Relax the recipe."
    )


def test_a_profile_of_another_graph_is_refused() -> None:
    graph, other = prepared(conv_relu_net()), prepared(conv_relu_net(seed=1))

    with pytest.raises(InputError) as caught:
        Planner(target=TARGETS["onnxruntime"]).choose(graph, profiled(other))

    assert str(caught.value) == (
        f"profile: it was made with another graph (fingerprint {other.fingerprint[:12]}, wanted "
        f"{graph.fingerprint[:12]}). Profile again with the same model."
    )


def test_a_rule_about_a_node_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="recipe:2: rule 'conv9' decides for none of the 6 nodes"):
        chosen(conv_relu_net(), recipe=Recipe(rules=(Rule(match="conv9", line=2),)))


def test_an_unknown_observer_is_refused() -> None:
    with pytest.raises(InputError, match=r"No observer is named 'minmx'\. Did you mean 'minmax'\?"):
        chosen(conv_relu_net(), observer="minmx")
