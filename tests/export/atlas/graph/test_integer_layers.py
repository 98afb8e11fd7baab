"""The integers of a layer, computed independently, and every reason to refuse a layer."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError
from quant.export.atlas.graph.exact_sums import MAX_EXACT, pieces
from quant.export.atlas.graph.integer_layer import MIN_SCALE, IntegerLayer
from quant.export.atlas.graph.integer_layers import integer_layers
from quant.export.atlas.graph.limits import refusal
from quant.formats.number_format import Params
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from tests.atlas import by_hand
from tests.chosen import prepared
from tests.models import model, weights


def graph_of(layer: str, shape: str, held: dict[str, NDArray[Any]], rank: int = 4) -> Graph:
    sizes = ",".join(f"d{i}" for i in range(rank))
    return prepared(
        model(f"g (float[{shape}] x) => (float[{sizes}] y) {{ [layer] y = {layer} }}", held)
    )


def one(graph: Graph, plan: Plan) -> IntegerLayer:
    (layer,) = integer_layers(graph.clone(), plan)
    return layer


def refused(graph: Graph, plan: Plan) -> str:
    with pytest.raises(UnsupportedError) as caught:
        one(graph, plan)
    text = str(caught.value)
    assert text.startswith("node 'layer' (")
    assert text.endswith(". Keep the layer float in the recipe.")
    return text.split("in INT8, ")[1].removesuffix(". Keep the layer float in the recipe.")


def test_a_convolution_by_hand() -> None:
    """Weight / step, bias / (step_d * step_w), 1 / step: each worked out in float64."""
    held = {
        "w": np.array([[[[0.5]], [[-1.27]]]], np.float32),
        "b": np.array([0.3], np.float32),
    }
    graph = graph_of("Conv(x, w, b)", "1,2,3,3", held)
    plan = by_hand(graph, {"x": (0.02, -28)})
    layer = one(graph, plan)

    assert layer.weight is not None
    assert layer.weight.ravel().tolist() == [50, -127]  # a step of 1.27 / 127
    assert layer.bias is not None
    assert layer.bias.tolist() == [1500]  # 0.3 / (0.02 * 0.01)
    assert layer.reciprocal == float(np.float32(1) / np.float32(0.02))
    assert layer.scales.dtype == np.float32
    assert layer.scales.tolist() == [float(np.float32(0.02) * np.float32(1.27 / 127))]
    assert layer.largest_input == 155  # 127 - -28
    assert layer.sum_bound == 177 * 155 + 1500
    assert layer.folded_sum_bound == 177 * 128 + abs(1500 + 28 * (50 - 127))


def test_a_dead_channel_has_a_scale_that_amct_takes() -> None:
    """AMCT refuses a step under 2**-23; the channel's weights are then small integers, or zero."""
    held = {"w": np.array([1e-9, 1.0], np.float32).reshape(2, 1, 1, 1)}
    graph = graph_of("Conv(x, w)", "1,1,3,3", held)
    layer = one(graph, by_hand(graph, {"x": (0.02, 0)}))

    assert layer.weight is not None
    assert layer.scale_w[0] == np.float32(MIN_SCALE)
    assert layer.weight.ravel().tolist() == [0, 127]


def test_a_grouped_transposed_convolution_repeats_its_scales_for_each_group() -> None:
    """Output channel g * dim1 + i of group g has scale i: AMCT's dim 1 times group."""
    held = weights(0, w=(4, 3, 2, 2), b=(6,))
    graph = graph_of("ConvTranspose<group=2>(x, w, b)", "1,4,3,3", held)
    plan = by_hand(graph, {"x": (0.02, 0)})
    steps = np.float32([0.1, 0.2, 0.4])
    weight = plan.tensors["w"]
    assert weight.format is not None
    by_channel = replace(
        weight,
        format=weight.format.with_axis(1),
        params=Params(scale=steps, zero_point=np.zeros(3, np.int32)),
    )
    layer = one(graph, replace(plan, tensors={**plan.tensors, "w": by_channel}))

    assert layer.scale_w.tolist() == [*steps.tolist(), *steps.tolist()]
    assert layer.bias is not None
    wanted = np.rint(held["b"].astype(np.float64) / (np.float32(0.02) * np.tile(steps, 2)))
    assert layer.bias.tolist() == wanted.tolist()


CONV = {"w": np.ones((2, 1, 1, 1), np.float32)}


@pytest.mark.parametrize(
    ("layer", "shape", "held", "rank", "said"),
    [
        (
            "Conv<dilations=[2,1,1]>(x, w)",
            "1,2,5,5,5",
            weights(0, w=(2, 2, 2, 2, 2)),
            5,
            "saw a 3-D convolution with dilations [2, 1, 1], wanted 1 along the depth",
        ),
        (
            "ConvTranspose(x, w)",
            "1,2,5",
            weights(0, w=(2, 2, 2)),
            3,
            "saw a filter of 3 axes, wanted 4",
        ),
        (
            "ConvTranspose<dilations=[1,2]>(x, w)",
            "1,2,5,5",
            weights(0, w=(2, 2, 2, 2)),
            4,
            "saw a transposed convolution with dilations [1, 2], wanted 1",
        ),
        ("Gemm<transA=1>(x, w)", "2,3", weights(0, w=(2, 4)), 2, "saw transA=1, wanted 0"),
        (
            "MatMul(x, w)",
            "2,3,4",
            weights(0, w=(2, 4, 5)),
            3,
            "saw a right operand of 3 axes, wanted 2",
        ),
        (
            "Gemm(x, w, b)",
            "2,3",
            {**weights(0, w=(3, 4)), "b": np.ones((2, 4), np.float32)},
            2,
            "saw a bias of shape [2, 4], wanted one axis",
        ),
        (
            "Conv(x, w, b)",
            "1,1,3,3",
            {**CONV, "b": np.full(2, 1e7, np.float32)},
            4,
            "saw a bias of 6.35e+10 steps, wanted less than 2**31",
        ),
        (
            "Gemm(x, w)",
            "1,70000",
            {"w": np.ones((70000, 1), np.float32)},
            2,
            "saw sums of up to 2275840000, wanted less than 2**31",
        ),
    ],
)
def test_a_layer_without_an_int8_form_says_why(
    layer: str, shape: str, held: dict[str, NDArray[Any]], rank: int, said: str
) -> None:
    graph = graph_of(layer, shape, held, rank)

    assert refused(graph, by_hand(graph, {"x": (0.02, -128)})) == said


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        ("AveragePool<kernel_shape=[2]>", "an AveragePool over 1 axes"),
        ("AveragePool<kernel_shape=[2,2], dilations=[2,2]>", "an AveragePool with dilations"),
        ("AveragePool<kernel_shape=[4,4]>", "an AveragePool over the whole map (4x4)"),
    ],
)
def test_an_average_pool_without_an_int8_form_is_no_integer_layer(layer: str, why: str) -> None:
    sizes = "1,2,4" if "[2]" in layer else "1,2,4,4"
    proto = model(
        f'<opset_import: ["" : 19]> g (float[{sizes}] x) => (float[a] y) {{ y = {layer}(x) }}', {}
    )
    (node,) = ir.from_proto(proto).graph
    reason = refusal(node)

    assert reason is not None
    assert (reason.rule, reason.saw) == (19, why)


def test_alpha_of_a_gemm_is_refused() -> None:
    """Preparation folds it; whoever edits the graph behind it must not lose it silently."""
    graph = graph_of("Gemm(x, w)", "2,3", weights(0, w=(3, 4)), 2)
    changed = graph.clone()
    next(iter(changed.graph)).attributes.add(ir.AttrFloat32("alpha", 0.5))

    with pytest.raises(UnsupportedError, match="saw alpha or beta other than 1, wanted 1"):
        integer_layers(changed, by_hand(graph, {"x": (0.02, 0)}))


def test_a_plan_that_lacks_a_grid_is_refused() -> None:
    graph = graph_of("Conv(x, w)", "1,1,3,3", CONV)
    plan = by_hand(graph, {"x": (0.02, 0)})
    held = dict(plan.tensors)

    assert refused(graph, replace(plan, tensors={"w": held["w"]})) == (
        "saw an INT8 layer whose input has no grid in the plan, wanted one"
    )
    assert refused(graph, replace(plan, tensors={"x": held["x"]})) == (
        "saw an INT8 layer whose weight has no grid in the plan, wanted one"
    )
    other = replace(held["x"], readers=(("another", 0),))
    assert refused(graph, replace(plan, tensors={**held, "x": other})) == (
        "saw an INT8 layer whose input has no grid in the plan, wanted one"
    )


def test_a_scale_that_amct_does_not_take_is_refused() -> None:
    graph = graph_of("Conv(x, w)", "1,1,3,3", CONV)

    assert refused(graph, by_hand(graph, {"x": (1e-8, 0)})) == (
        "saw an input scale of 1e-08, wanted 1.19e-07 to 8.39e+06"
    )
    held = {"w": np.full((2, 1, 1, 1), 2e9, np.float32)}
    wide = graph_of("Conv(x, w)", "1,1,3,3", held)
    assert refused(wide, by_hand(wide, {"x": (0.02, 0)})) == (
        "saw a weight scale of 1.575e+07, wanted up to 8.39e+06"
    )


def test_scales_per_column_are_refused() -> None:
    """Gemm and MatMul have one scale: the table's per-tensor operators."""
    graph = graph_of("Gemm(x, w)", "2,3", weights(0, w=(3, 4)), 2)

    with pytest.raises(UnsupportedError) as caught:
        one(graph, by_hand(graph, {"x": (0.02, 0)}, per_tensor=()))

    assert str(caught.value) == (
        "node 'layer' (Gemm): Atlas must be able to run it in INT8, saw a weight with 4 scales, "
        "wanted one scale. Give it weights = 'per-tensor' in the recipe."
    )


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_pieces_add_up_to_the_layer_and_each_is_exact(data: st.DataObject) -> None:
    """For any weight: the pieces sum to it, and no output channel of one can pass 2**24."""
    op = data.draw(st.sampled_from(["Conv", "ConvTranspose", "Gemm"]))
    group = 1 if op == "Gemm" else data.draw(st.sampled_from([1, 2]))
    into, out, side = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 3)), 23
    kernel = () if op == "Gemm" else (side, side)
    if op == "Conv":
        shape: tuple[int, ...] = (out * group, into, *kernel)
    else:
        shape = (into * group * (1 if op != "Gemm" else 500), out, *kernel)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    weight = rng.integers(-128, 128, shape).astype(np.int8)
    layer = IntegerLayer(
        node=ir.node(op, [], {"group": group} if op != "Gemm" else {}),
        data="x",
        scale_d=np.float32(1),
        offset=data.draw(st.sampled_from([-128, 0])),
        scale_w=np.ones(1, np.float32),
        weight=weight,
        bias=None,
        add=None,
    )
    axis = 1 if op == "Conv" else 0
    total = np.zeros(shape)
    for piece in pieces(layer):
        start, end = piece.channels or (0, shape[axis])
        cut: list[slice] = [slice(None)] * len(shape)
        cut[axis] = slice(start, end)
        total[tuple(cut)] += piece.weight
        assert piece.weight.dtype == np.float32
        part = IntegerLayer(
            node=layer.node,
            data="x",
            scale_d=layer.scale_d,
            offset=layer.offset,
            scale_w=layer.scale_w,
            weight=piece.weight.astype(np.int8),
            bias=None,
            add=None,
        )
        assert part.sum_bound <= MAX_EXACT

    np.testing.assert_array_equal(total, weight)
