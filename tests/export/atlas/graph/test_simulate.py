"""The simulated graph in stock ONNX Runtime computes the deploy model, bit for bit."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quant.export.atlas.check.interpret import interpret
from quant.export.atlas.graph.deploy_model import deploy_model
from quant.export.atlas.graph.exact_sums import MAX_EXACT, pieces
from quant.export.atlas.graph.integer_layers import integer_layers
from quant.export.atlas.graph.simulate import simulated
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_simulation
from quant.plan.tensor_plans import Plan
from tests.atlas import atlas_plan, by_hand, run_simulated, sqnr_db
from tests.chosen import inputs, prepared, run
from tests.export.tensorrt.test_target import mixed_net
from tests.models import (
    concat_net,
    conv_relu_net,
    depthwise_net,
    gemm_net,
    model,
    residual_net,
    weights,
)

NETS = [conv_relu_net, residual_net, concat_net, depthwise_net, gemm_net, mixed_net]
Feeds = dict[str, NDArray[np.float32]]


def held_equal(graph: Graph, plan: Plan, feeds: Feeds) -> list[NDArray[Any]]:
    """Hold both models equal, optimized by ONNX Runtime and not; return the outputs."""
    whole = simulated(graph, plan)
    onnx.checker.check_model(ir.to_proto(whole), full_check=True)
    wanted = list(interpret(deploy_model(graph, plan), feeds).values())
    runs = [run_simulated(whole, feeds, optimize=optimize) for optimize in (False, True)]
    runs.append(open_simulation(whole, threads=1).run(None, feeds))
    for made in runs:
        for a, b in zip(wanted, made, strict=True):
            assert a.dtype == b.dtype == np.float32
            np.testing.assert_array_equal(a, b)
    return wanted


@pytest.mark.parametrize("net", NETS)
def test_whole_networks_are_bit_equal_and_near_the_float_one(net: Any) -> None:
    """8 bits give some 30 dB on a few layers; 20 dB is lost only by a wrong grid."""
    graph, plan = atlas_plan(net())
    feeds = inputs(graph, seed=5)

    (outputs,) = held_equal(graph, plan, feeds)
    (wanted,) = run(graph.model, feeds)

    assert sqnr_db(wanted, outputs) > 20


@pytest.mark.parametrize("net", [residual_net, gemm_net])
def test_tensors_keep_their_names_and_mean_the_same(net: Any) -> None:
    """Whoever compares layer by layer asks the simulated graph for the float graph's tensors."""
    graph, plan = atlas_plan(net())
    whole = Graph(simulated(graph, plan), "simulated")
    names = [n for n in graph.activations if n not in [str(v.name) for v in graph.inputs]]
    feeds = inputs(graph, seed=5)

    wanted = run(graph.with_outputs(names), feeds)
    outputs = run_simulated(whole.with_outputs(names), feeds)

    assert len(wanted) == len(names)
    for a, b in zip(wanted, outputs, strict=True):
        assert a.shape == b.shape
        assert sqnr_db(a, b) > 20


def single(text: str, held: dict[str, NDArray[np.float32]]) -> Graph:
    return prepared(model(text, held))


def extreme(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Return inputs of which most saturate at both ends."""
    return np.random.default_rng(seed).normal(0, 1e4, shape).astype(np.float32)


CASES = {
    "wide": ("Conv<pads=[1,1,1,1]>", (1, 200, 5, 5), (3, 200, 3, 3), 3),
    "wide 1x1": ("Conv", (1, 3000, 2, 2), (2, 3000, 1, 1), 2),
    "huge kernel": ("Conv<pads=[15,15,15,15]>", (1, 2, 9, 9), (2, 2, 31, 31), 2),
    "huge depthwise": ("Conv<group=2, pads=[15,15,15,15]>", (1, 2, 9, 9), (2, 1, 31, 31), 2),
    "wide groups": ("Conv<group=2>", (1, 800, 3, 3), (4, 400, 3, 3), 4),
    "1-D": ("Conv<pads=[2,2], dilations=[2], strides=[2]>", (2, 4, 17), (5, 4, 3), 5),
    "3-D": ("Conv<dilations=[1,2,2], pads=[1,0,1,0,1,0]>", (1, 3, 5, 7, 6), (4, 3, 2, 3, 2), 4),
    "same upper": ('Conv<auto_pad="SAME_UPPER", strides=[2,3]>', (1, 3, 8, 7), (4, 3, 3, 2), 4),
    "same lower": ('Conv<auto_pad="SAME_LOWER", strides=[2,2]>', (1, 3, 7, 8), (4, 3, 2, 4), 4),
    "transposed": ("ConvTranspose<strides=[2,3]>", (1, 4, 5, 5), (4, 6, 2, 3), 6),
    "transposed groups": (
        "ConvTranspose<strides=[2,2], group=2, pads=[1,0,0,1], output_padding=[1,0]>",
        (1, 4, 5, 5),
        (4, 3, 3, 3),
        6,
    ),
    "transposed shape": (
        "ConvTranspose<strides=[2,2], output_shape=[10,9]>",
        (1, 4, 5, 5),
        (4, 6, 3, 4),
        6,
    ),
    "transposed same": (
        'ConvTranspose<strides=[2,2], auto_pad="SAME_UPPER">',
        (1, 4, 5, 5),
        (4, 6, 3, 3),
        6,
    ),
    "wide transposed": ("ConvTranspose<strides=[2,2]>", (1, 1500, 2, 2), (1500, 2, 3, 3), 2),
    "wide Gemm": ("Gemm", (2, 9000), (9000, 4), 4),
    "transposed Gemm": ("Gemm<transB=1>", (2, 9000), (4, 9000), 4),
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("offset", [-128, 7, 127])
def test_layers_of_every_form_are_bit_equal_with_saturated_inputs(
    name: str, offset: int, bias: bool
) -> None:
    """Among them those whose sums float32 cannot hold: integers beyond 2**24 have gaps."""
    operator, shape, kernel, channels = CASES[name]
    rank = len(shape)
    text = f"""g (float[{",".join(map(str, shape))}] x) => (float{[f"d{i}" for i in range(rank)]} y) {{
        [layer] y = {operator}(x, w{", b" if bias else ""})
    }}""".replace("'", "")
    held = weights(3, w=kernel, **({"b": (channels,)} if bias else {}))
    held["w"] = np.sign(held["w"]) + held["w"] / 4  # large integers: every sum is near its bound
    graph = single(text, held)
    plan = by_hand(graph, {"x": (0.05, offset)})

    held_equal(graph, plan, {"x": extreme(*shape)})
    held_equal(graph, plan, {"x": np.full(shape, -1e6 if offset > 0 else 1e6, np.float32)})


@pytest.mark.parametrize(
    ("name", "count", "sliced"),
    [("wide", 4, True), ("wide Gemm", 18, True), ("huge depthwise", 2, False), ("1-D", 1, False)],
)
def test_only_what_float32_cannot_hold_is_cut(name: str, count: int, sliced: bool) -> None:
    """A cut costs copies: layers of usual width stay one float32 operator."""
    operator, shape, kernel, channels = CASES[name]
    held = weights(3, w=kernel)
    held["w"] = np.ones(kernel, np.float32)
    sizes = ",".join(map(str, shape))
    graph = single(
        f"g (float[{sizes}] x) => (float{[f'd{i}' for i in range(len(shape))]} y) "
        f"{{ [layer] y = {operator}(x, w) }}".replace("'", ""),
        held,
    )
    (layer,) = integer_layers(graph.clone(), by_hand(graph, {"x": (0.05, -128)}))
    parts = pieces(layer)

    assert layer.sum_bound == 127 * 255 * int(np.prod(kernel)) // channels
    assert (layer.sum_bound <= MAX_EXACT) == (count == 1)
    assert len(parts) == count
    assert all((p.channels is not None) == sliced for p in parts)


def test_matmul_with_a_bias_behind_it_is_dequantized_once_behind_the_bias() -> None:
    """AMCT takes the Add as the bias; a MatMul of three axes is not joined to Gemm."""
    graph = single(
        """g (float[N,5,6] x) => (float[N,5,4] y) {
            [mm] a = MatMul(x, w)
            [add] y = Add(b, a)
        }""",
        weights(1, w=(6, 4), b=(4,)),
    )
    plan = by_hand(graph, {"x": (0.03, 4)}, shifts={"mm": np.full(4, 0.2, np.float32)})
    feeds = {"x": np.random.default_rng(2).normal(size=(3, 5, 6)).astype(np.float32)}

    held_equal(graph, plan, feeds)
    deployed = deploy_model(graph, plan)

    assert [n.op_type for n in deployed.graph.node] == [
        "AscendQuant",
        "MatMul",
        "Add",
        "AscendDequant",
    ]


def test_optimizers_for_quantizers_find_none_behind_a_layer() -> None:
    """ONNX Runtime 1.32.0 rounds what a Transpose reads to uint8, if DequantizeLinear made it."""
    graph = single(
        """g (float[N,5,6] x) => (float[N,4,5] y, float[N,2,5,2] z) {
            [mm] a = MatMul(x, w)
            [tr] b = Transpose<perm=[0,2,1]>(a)
            [r] y = Relu(b)
            [rs] c = Reshape(a, to)
            [tr2] d = Transpose<perm=[0,3,1,2]>(c)
            [s] z = Neg(d)
        }""",
        {**weights(1, w=(6, 4)), "to": np.array([0, 5, 2, 2], np.int64)},
    )
    feeds = {"x": np.random.default_rng(2).normal(size=(3, 5, 6)).astype(np.float32)}

    held_equal(graph, by_hand(graph, {"x": (0.03, 4)}), feeds)


def test_average_pool_with_padding_is_the_mean_of_integers_worked_out_by_hand() -> None:
    """count_include_pad=0 divides a corner by what it sees, and a pad is the real number 0."""
    graph = single(
        """g (float[1,1,4,4] x) => (float[1,1,3,3] y, float[1,1,4,4] z) {
            [pool] y = AveragePool<kernel_shape=[2,2], strides=[2,2], pads=[1,1,1,1]>(x)
            [layer] z = Conv(x, w)
        }""",
        weights(0, w=(1, 1, 1, 1)),
    )
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)

    outputs, _ = held_equal(graph, by_hand(graph, {"x": (0.5, -100)}), {"x": x})

    q = np.pad(np.clip(np.rint(x[0, 0] / 0.5) - 100, -128, 127) + 100, 1)
    seen = np.pad(np.ones((4, 4)), 1)
    blocks = q.reshape(3, 2, 3, 2).sum((1, 3)) / seen.reshape(3, 2, 3, 2).sum((1, 3))
    np.testing.assert_array_equal(outputs[0, 0], (blocks.astype(np.float32) * np.float32(0.5)))


def test_a_quantizer_is_shared_and_a_shared_weight_is_stored_once() -> None:
    """One AscendQuant feeds every layer with the same numbers: AMCT's QuantFusionPass."""
    graph = single(
        """g (float[N,3,6,6] x) => (float[N,4,4,4] y) {
            [a] p = Conv(x, w)
            [b] q = Conv(x, w, bias)
            [c] y = Add(p, q)
        }""",
        weights(0, w=(4, 3, 3, 3), bias=(4,)),
    )
    plan = by_hand(graph, {"x": (0.05, 3)})
    held_equal(graph, plan, {"x": extreme(2, 3, 6, 6)})

    proto = deploy_model(graph, plan)

    kinds = [n.op_type for n in proto.graph.node]
    assert kinds.count("AscendQuant") == 1
    assert [n.op_type for n in simulated(graph, plan).graph].count("AscendQuant") == 1
    assert kinds.count("AscendDequant") == 2
    assert [i.name for i in proto.graph.initializer if i.data_type == onnx.TensorProto.INT8] == [
        "w"
    ]


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_random_layers_are_bit_equal(data: st.DataObject) -> None:
    """The property that holds for any layer, not only for those that somebody thought of."""
    draw = data.draw
    group = draw(st.sampled_from([1, 1, 2, 3]))
    into, out = group * draw(st.integers(1, 4)), group * draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(2)]
    strides = [draw(st.integers(1, 3)) for _ in range(2)]
    transposed = draw(st.booleans())
    pads = [draw(st.integers(0, k - 1)) for k in kernel * 2]
    dilations = [1, 1] if transposed else [draw(st.integers(1, 2)) for _ in range(2)]
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    shape = (into, out // group, *kernel) if transposed else (out, into // group, *kernel)
    op = "ConvTranspose" if transposed else "Conv"
    graph = single(
        f"""g (float[N,{into},7,6] x) => (float[N,{out},h,w] y) {{
            [layer] y = {op}<group={group}, kernel_shape={kernel}, strides={strides},
                dilations={dilations}, pads={pads}>(x, weight, bias)
        }}""",
        {
            "weight": rng.normal(size=shape).astype(np.float32),
            "bias": rng.normal(size=out).astype(np.float32),
        },
    )
    plan = by_hand(graph, {"x": (draw(st.floats(1e-4, 10)), draw(st.integers(-128, 127)))})

    held_equal(graph, plan, {"x": rng.normal(0, 3, (2, into, 7, 6)).astype(np.float32)})
