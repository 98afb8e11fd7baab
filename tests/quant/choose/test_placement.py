"""Placement: where the integers begin and end on each target, seen in the plan."""

import numpy as np
import onnx
import pytest

from quant.choose.placement import place
from quant.plan.recipe import NOTHING, Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.target.table import TARGETS
from tests.chosen import chosen, grids, prepared, quantized_names
from tests.models import (
    concat_net,
    conv_relu_net,
    depthwise_net,
    gemm_net,
    model,
    residual_net,
    weights,
)


def float_layers(plan: Plan) -> dict[str, str]:
    return {x.layer: x.because for x in plan.layers.values() if x.precision == "float32"}


def readers(plan: Plan) -> dict[str, set[tuple[str, int]] | None]:
    return {
        t.tensor: None if t.readers is None else set(t.readers)
        for t in plan.quantized
        if t.kind == "activation"
    }


# ------------------------------------------------------------------------------- onnxruntime


def test_every_tensor_between_integer_layers_has_a_grid() -> None:
    _, plan = chosen(residual_net())

    assert quantized_names(plan) == {"input", "b", "d", "e", "h", "i", "j"}
    assert float_layers(plan) == {}
    assert all(reader is None for reader in readers(plan).values())


def test_what_an_activation_absorbs_has_no_grid() -> None:
    """A quantizer between Conv and Relu would cost a rounding and break the fusion."""
    _, plan = chosen(depthwise_net())

    assert quantized_names(plan) == {"input", "b", "d", "e", "f", "h"}


def test_concat_keeps_a_grid_for_each_branch() -> None:
    """ONNX Runtime's QLinearConcat rescales, so branches of unlike range keep their own step."""
    _, plan = chosen(concat_net())

    assert len(grids(plan, ["b", "d", "e"])) >= 2
    assert {"b", "d", "e", "f"} <= quantized_names(plan)


def test_a_graph_output_of_a_conv_is_quantized_and_that_of_a_gemm_is_not() -> None:
    """QLinearConv can only write integers; QGemm also writes floats."""
    conv = model(
        "g (float[N,3,8,8] x) => (float[N,2,8,8] y) { [conv] y = Conv(x, w) }",
        weights(0, w=(2, 3, 1, 1)),
    )
    _, plan = chosen(conv)
    _, other = chosen(conv_relu_net())

    assert quantized_names(plan) == {"x", "y"}
    assert "output" not in quantized_names(other)
    assert other.layers["fc"].precision == "int8"


def test_gemm_and_matmul_quantize_what_the_next_one_reads() -> None:
    _, plan = chosen(gemm_net())

    assert quantized_names(plan) == {"a", "c", "e"}
    assert float_layers(plan) == {"flat": "its input is float"}


VIEWS_NET = """g (float[N,3,16,16] input) => (float[N,4] output) {
    [conv] a = Conv<pads=[1,1,1,1]>(input, w1)
    [pool] b = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
    [turn] c = Transpose<perm=[0,1,3,2]>(b)
    [conv2] d = Conv(c, w2)
    [mean] e = GlobalAveragePool(d)
    [flat] f = Flatten(e)
    [fc] output = Gemm<transB=1>(f, w3)
}"""


def views_net() -> onnx.ModelProto:
    return model(VIEWS_NET, weights(0, w1=(4, 3, 3, 3), w2=(4, 4, 1, 1), w3=(4, 4)))


def test_operators_that_hand_integers_through_share_a_grid() -> None:
    _, plan = chosen(views_net())

    assert len(grids(plan, ["a", "b", "c"])) == 1
    assert len(grids(plan, ["e", "f"])) == 1
    assert len(grids(plan, ["a", "d", "e"])) == 3
    assert "one grid for 3 tensors" in plan.tensors["b"].because


def test_all_outputs_of_a_split_have_the_grid_of_its_input() -> None:
    """The second output was once forgotten, and the convolution behind it ran in float."""
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,2,8,8] y) {
            [conv] c = Conv(x, w1)
            [split] l, r = Split<axis=1>(c)
            [left] a = Conv(l, w2)
            [right] b = Conv(r, w3)
            [add] s = Add(a, b)
            [last] y = Conv(s, w4)
        }""",
        weights(0, w1=(4, 3, 1, 1), w2=(2, 2, 1, 1), w3=(2, 2, 1, 1), w4=(2, 2, 1, 1)),
    )
    _, plan = chosen(proto)

    assert {"c", "l", "r"} <= quantized_names(plan)
    assert len(grids(plan, ["c", "l", "r"])) == 1


def test_squeeze_and_excite_is_integer_all_the_way() -> None:
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,2,8,8] y) {
            [conv] a = Conv(x, w1)
            [relu] b = Relu(a)
            [mean] c = GlobalAveragePool(b)
            [down] d = Conv(c, w2)
            [relu2] e = Relu(d)
            [up] f = Conv(e, w3)
            [gate] s = Sigmoid(f)
            [mul] m = Mul(b, s)
            [last] y = Conv(m, w4)
        }""",
        weights(0, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), w3=(4, 2, 1, 1), w4=(2, 4, 1, 1)),
    )
    _, plan = chosen(proto)

    assert float_layers(plan) == {}
    assert quantized_names(plan) == {"x", "b", "c", "e", "f", "s", "m", "y"}


def test_silu_is_integer_between_convolutions_and_float_behind_the_last() -> None:
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,2,8,8] y) {
            [conv] a = Conv(x, w1)
            [gate1] s = Sigmoid(a)
            [mul1] m = Mul(a, s)
            [last] b = Conv(m, w2)
            [gate2] t = Sigmoid(b)
            [mul2] y = Mul(b, t)
        }""",
        weights(0, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1)),
    )
    _, plan = chosen(proto)

    assert quantized_names(plan) == {"x", "a", "s", "m", "b"}
    assert float_layers(plan) == dict.fromkeys(["gate2", "mul2"], "no integer layer follows")


def detector() -> onnx.ModelProto:
    """Return two heads whose boxes and scores are joined, as in every detector."""
    return model(
        """g (float[N,3,8,8] x) => (float[N,128,2] scores, float[N,128,4] boxes) {
            [stem] a = Conv<pads=[1,1,1,1]>(x, w1)
            [relu] b = Relu(a)
            [c1] c = Conv<pads=[1,1,1,1]>(b, w2)
            [c2] d = Conv<pads=[1,1,1,1]>(b, w3)
            [t1] e = Transpose<perm=[0,2,3,1]>(c)
            [t2] f = Transpose<perm=[0,2,3,1]>(d)
            [r1] h = Reshape(e, two)
            [r2] i = Reshape(f, two)
            [join] j = Concat<axis=1>(h, i)
            [soft] scores = Softmax<axis=2>(j)
            [b1] k = Conv<pads=[1,1,1,1]>(b, w4)
            [r3] l = Reshape(k, four)
            [decode] m = Mul(l, anchors)
            [b2] n = Add(m, anchors)
            [r4] boxes = Concat<axis=1>(n, n)
        }""",
        {
            **weights(0, w1=(4, 3, 3, 3), w2=(2, 4, 3, 3), w3=(2, 4, 3, 3), w4=(4, 4, 3, 3)),
            "two": np.array([0, 64, 2]),
            "four": np.array([0, 64, 4]),
            "anchors": np.random.default_rng(0).normal(size=(1, 64, 4)).astype(np.float32),
        },
    )


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_what_follows_the_last_weighted_layer_stays_float(target: str) -> None:
    """The decoding of boxes mixes pixels and shares on one axis: a shared grid ruins one of them."""
    _, plan = chosen(detector(), target)
    tail = {"t1", "t2", "r1", "r2", "join", "soft", "r3", "decode", "b2", "r4"}

    assert set(float_layers(plan)) == tail
    assert (
        quantized_names(plan)
        == {
            "onnxruntime": {"x", "b", "c", "d", "k"},
            "tensorrt": {"x", "b"},
        }[target]
    )


def test_an_activation_with_a_second_reader_before_it_keeps_both_tensors() -> None:
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,2,8,8] y) {
            [conv] a = Conv(x, w1)
            [relu] b = Relu(a)
            [add] c = Add(a, b)
            [last] y = Conv(c, w2)
        }""",
        weights(0, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1)),
    )
    _, plan = chosen(proto)

    assert "a" in quantized_names(plan)
    assert plan.layers["relu"].because == "ONNX Runtime computes Relu in float"
    assert plan.layers["add"].because == "its operand 'b' is float and as large as its output"


def test_an_operand_that_is_a_constant_keeps_an_add_float() -> None:
    """Its grid is in no profile, and the kernel wants integers on both sides."""
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,2,8,8] y) {
            [conv] a = Conv(x, w1)
            [add] b = Add(a, k)
            [last] y = Conv(b, w2)
        }""",
        weights(0, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), k=(8,)),
    )
    for target in [name for name in TARGETS if "Add" in TARGETS[name].integer_ops]:
        _, plan = chosen(proto, target)

        assert plan.layers["add"].because == "one operand is a constant"
        assert "b" in quantized_names(plan)


def test_the_recipe_keeps_a_layer_float() -> None:
    recipe = Recipe(rules=(Rule(match="conv2", precision="float"),))
    _, plan = chosen(conv_relu_net(), recipe=recipe)

    assert plan.layers["conv2"].because == "the recipe keeps it float"
    assert "w2" not in plan.tensors
    assert quantized_names(plan) == {"input", "b", "f"}
    assert plan.layers["pool"].because == "no integer layer feeds it"


def test_a_dynamic_bias_or_a_transposed_activation_keeps_a_layer_float() -> None:
    proto = model(
        """g (float[N,3,8,8] x, float[2] bias, float[5,N] z) => (float[N,2,8,8] y, float[N,2] u) {
            [odd] c = Conv(x, w1, bias)
            [turned] u = Gemm<transA=1>(z, w2)
            [even] y = Conv(c, w3)
        }""",
        weights(0, w1=(2, 3, 1, 1), w2=(5, 2), w3=(2, 2, 1, 1)),
    )
    graph = prepared(proto)
    placed = place(graph, TARGETS["onnxruntime"], NOTHING, graph.activations)

    assert placed.layers["odd"].because == "its bias is no constant"
    assert placed.layers["turned"].because == "a transposed activation has no integer kernel"
    assert placed.layers["even"].precision == "int8"


def test_a_tensor_without_a_finite_number_keeps_its_layers_float() -> None:
    graph = prepared(conv_relu_net())
    names = [n for n in graph.activations if n != "d"]
    placed = place(graph, TARGETS["onnxruntime"], NOTHING, names)

    assert placed.layers["conv2"].because == "its output was not profiled"
    assert placed.layers["conv1"].precision == "int8"
    assert "d" not in placed.readers


def test_every_layer_has_a_plan_and_every_grid_one_group() -> None:
    for net in (residual_net, concat_net, depthwise_net, gemm_net, views_net, detector):
        for target in TARGETS:
            graph = prepared(net())
            placed = place(graph, TARGETS[target], NOTHING, graph.activations)
            members = [name for group in placed.groups for name in group]

            assert list(placed.layers) == [x.name for x in graph.layers]
            assert sorted(members) == sorted(placed.readers) == sorted(placed.because)


# ---------------------------------------------------------------------------------- tensorrt


def test_an_identity_skip_is_the_only_operand_and_reuses_the_block_inputs_grid() -> None:
    _, plan = chosen(residual_net(), "tensorrt")

    assert readers(plan) == {
        "input": {("stem", 0)},
        "b": {("conv1", 0), ("add", 1)},
        "d": {("conv2", 0)},
        "h": {("pool", 0)},
        "j": {("fc", 0)},
    }


def test_of_two_convolved_operands_the_shorter_way_is_the_skip() -> None:
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,2,8,8] y) {
            [stem] a = Conv(x, w1)
            [relu] b = Relu(a)
            [down] s = Conv(b, w2)
            [conv1] c = Conv(b, w3)
            [relu2] d = Relu(c)
            [conv2] e = Conv(d, w4)
            [add] f = Add(s, e)
            [relu3] h = Relu(f)
            [last] y = Conv(h, w5)
        }""",
        weights(
            0, **{f"w{i}": (4, 3 if i == 1 else 4, 1, 1) for i in range(1, 5)}, w5=(2, 4, 1, 1)
        ),
    )
    _, plan = chosen(proto, "tensorrt")

    assert readers(plan)["s"] == {("add", 0)}
    assert "e" not in plan.tensors
    assert readers(plan)["h"] == {("last", 0)}


def golden_net() -> onnx.ModelProto:
    """Return the network whose placement by NVIDIA's own tool the next test holds."""
    shapes = {
        "w0": (32, 3, 3, 3),
        "w1": (32, 32, 3, 3),
        "w2": (32, 32, 3, 3),
        "w3": (32, 1, 3, 3),
        "w4": (64, 32, 1, 1),
        "w5": (64, 32, 1, 1),
        "w6": (64, 128, 3, 3),
        "w7": (64, 32, 2, 2),
        "w8": (100, 32),
    }
    return model(
        """g (float[N,3,32,32] input) => (float[N,100] output) {
            [conv1] a0 = Conv<pads=[1,1,1,1], strides=[2,2]>(input, w0)
            [conv1_relu] a = Relu(a0)
            [maxpool] mp = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
            [l1_conv1] b0 = Conv<pads=[1,1,1,1]>(mp, w1)
            [l1_conv1_relu] b = Relu(b0)
            [l1_conv2] c = Conv<pads=[1,1,1,1]>(b, w2)
            [add1] d0 = Add(c, mp)
            [add1_relu] d = Relu(d0)
            [dw] e0 = Conv<pads=[1,1,1,1], group=32>(d, w3)
            [dw_relu] e = Relu(e0)
            [pw] f0 = Conv(e, w4)
            [pw_relu] f = Relu(f0)
            [br2] h0 = Conv(d, w5)
            [br2_relu] h = Relu(h0)
            [cat] i = Concat<axis=1>(f, h)
            [post] j0 = Conv<pads=[1,1,1,1]>(i, w6)
            [post_relu] j = Relu(j0)
            [dc] k = ConvTranspose<strides=[2,2]>(j, w7)
            [gap] l = GlobalAveragePool(k)
            [flat] m = Flatten(l)
            [fc] output = Gemm<transB=1>(m, w8)
        }""",
        weights(0, **shapes),
    )


def test_the_placement_is_that_of_nvidias_model_optimizer() -> None:
    """Quantizers and their readers, read off its INT8 output (0.47, opset 19) for these nodes."""
    _, plan = chosen(golden_net(), "tensorrt")

    assert readers(plan) == {
        "input": {("conv1", 0)},
        "a": {("maxpool", 0)},
        "mp": {("l1_conv1", 0), ("add1", 1)},
        "b": {("l1_conv2", 0)},
        "d": {("dw", 0), ("br2", 0)},
        "e": {("pw", 0)},
        "i": {("post", 0)},
        "j": {("dc", 0)},
        "k": {("gap", 0)},
        "m": {("fc", 0)},
    }
    assert len(grids(plan, ["a", "mp"])) == 1
    axes = {t.tensor: t.format.axis for t in plan.quantized if t.kind == "weight" and t.format}
    assert axes == {f"w{i}": 1 if i == 7 else 0 for i in range(9)}


def test_concat_shares_a_grid_where_its_inputs_have_other_readers() -> None:
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,2,8,8] y, float[N,2,8,8] z) {
            [left] a = Conv(x, w1)
            [right] b = Conv(x, w2)
            [third] u = Conv(x, w6)
            [join] c = Concat<axis=1>(a, b, u)
            [last] y = Conv(c, w3)
            [beside] d = Conv(a, w4)
            [beside2] e = Conv(b, w5)
            [sum] z = Add(d, e)
        }""",
        {
            **weights(0, w1=(4, 3, 1, 1), w2=(4, 3, 1, 1), w3=(2, 12, 1, 1), w4=(2, 4, 1, 1)),
            **weights(1, w5=(2, 4, 1, 1), w6=(4, 3, 1, 1)),
        },
    )
    _, plan = chosen(proto, "tensorrt")

    assert len(grids(plan, ["a", "b", "c"])) == 1
    assert "u" not in plan.tensors  # TensorRT moves the quantizer behind the join up to it


def test_a_max_pool_has_one_grid_on_both_sides_even_through_a_view() -> None:
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,5] y) {
            [conv] a = Conv(x, w1)
            [pool] b = MaxPool<kernel_shape=[8,8]>(a)
            [flat] c = Flatten(b)
            [fc] y = Gemm<transB=1>(c, w2)
        }""",
        weights(0, w1=(4, 3, 1, 1), w2=(5, 4)),
    )
    _, plan = chosen(proto, "tensorrt")

    assert quantized_names(plan) == {"x", "a", "c"}
    assert len(grids(plan, ["a", "c"])) == 1


def test_tensorrt_grids_are_symmetric_and_weighted_outputs_stay_float() -> None:
    for net in (residual_net, concat_net, depthwise_net, conv_relu_net, gemm_net):
        graph, plan = chosen(net(), "tensorrt")

        assert all(np.all(t.params.zero_point == 0) for t in plan.quantized if t.params)
        assert not {str(v.name) for v in graph.outputs} & quantized_names(plan)


# ----------------------------------------------------------------------------- shared weights


def shared_net() -> onnx.ModelProto:
    return model(
        """g (float[N,4,8,8] x) => (float[N,4,8,8] y) {
            [first] a = Conv(x, w, b)
            [relu] r = Relu(a)
            [second] y = Conv(r, w, b)
        }""",
        weights(0, w=(4, 4, 1, 1), b=(4,)),
    )


def test_layers_that_share_a_weight_share_its_grid() -> None:
    _, plan = chosen(shared_net())

    assert plan.tensors["w"].readers is None
    assert plan.layers["first"].precision == plan.layers["second"].precision == "int8"


def test_a_float_layer_keeps_the_float_weight_that_it_shares() -> None:
    recipe = Recipe(rules=(Rule(match="second", precision="float"),))
    _, plan = chosen(shared_net(), recipe=recipe)

    assert plan.tensors["w"].readers == (("first", 1),)


def test_a_weight_that_two_layers_read_along_different_axes_has_one_scale() -> None:
    proto = model(
        """g (float[N,4] x) => (float[N,4] y) {
            [first] a = Gemm<transB=1>(x, w)
            [second] y = Gemm(a, w)
        }""",
        weights(0, w=(4, 4)),
    )
    _, plan = chosen(proto)
    params = plan.tensors["w"].params

    assert params is not None
    assert params.scale.shape == ()
    assert plan.tensors["w"].because.startswith("one scale; ")
