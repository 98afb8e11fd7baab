"""Layers: what a chip computes in one go, and the arithmetic of each operator by hand."""

import numpy as np
import pytest

from quant.graph.layer import Layer
from quant.graph.layers import macs, source_of, weight_axis
from tests.chosen import prepared
from tests.models import depthwise_net, gemm_net, model, residual_net, weights


def named(text: str, **shapes: tuple[int, ...]) -> dict[str, Layer]:
    return {x.name: x for x in prepared(model(text, weights(0, **shapes))).layers}


def test_a_relu_or_clip_belongs_to_the_layer_before_it() -> None:
    found = prepared(depthwise_net()).layers

    assert [(x.name, str(x.output.name), x.activation is not None) for x in found] == [
        ("expand", "b", True),
        ("depthwise", "d", True),
        ("project", "e", False),
        ("pool", "f", False),
        ("flat", "h", False),
        ("fc", "output", False),
    ]


def test_an_add_absorbs_too() -> None:
    found = {x.name: str(x.output.name) for x in prepared(residual_net()).layers}

    assert found["add"] == "h"
    assert "relu3" not in found


@pytest.mark.parametrize(
    ("reader", "output"),
    [
        ("[relu] r = Relu(c)  y = Mul(c, r)", "y"),  # the input has another reader
        ("[relu] r = Relu(c)  y = Relu(r)", "y"),
    ],
)
def test_a_relu_whose_input_others_see_is_a_layer_of_its_own(reader: str, output: str) -> None:
    found = named(
        f"g (float[N,3,8,8] x) => (float[N,2,8,8] {output}) {{ [conv] c = Conv(x, w)  {reader} }}",
        w=(2, 3, 1, 1),
    )

    assert (found["conv"].activation is None) == ("Mul" in reader)
    assert ("relu" in found) == ("Mul" in reader)
    assert len(found) == (3 if "Mul" in reader else 2)  # one activation is absorbed, not two


def test_a_relu_behind_a_graph_output_is_not_absorbed() -> None:
    found = named(
        "g (float[N,3,8,8] x) => (float[N,2,8,8] c, float[N,2,8,8] y) "
        "{ [conv] c = Conv(x, w)  [relu] y = Relu(c) }",
        w=(2, 3, 1, 1),
    )

    assert list(found) == ["conv", "relu"]


def test_a_clip_bound_is_not_the_clipped_number() -> None:
    """Clip(one, y): the layer's output is a bound, and absorbing it would change the numbers."""
    proto = model(
        "g (float[N,3,1,1] x) => (float[1] y) "
        "{ [conv] c = Conv(x, w)  m = ReduceMax<keepdims=0>(c)  y = Clip(k, m) }",
        weights(0, w=(2, 3, 1, 1), k=(1,)),
    )
    found = {x.name: x.activation for x in prepared(proto).layers}

    assert not any(found.values())


def test_a_layer_knows_all_its_outputs_and_its_data() -> None:
    found = named(
        "g (float[N,4,8,8] x) => (float[N,2,8,8] y) "
        "{ [conv] c = Conv(x, w)  [split] a, b = Split<axis=1>(c)  r = Relu(a)  y = Mul(r, b) }",
        w=(4, 4, 1, 1),
    )

    assert [v.name for v in found["split"].outputs] == ["r", "b"]
    assert [v.name for v in found["conv"].data] == ["x"]


MACS = [
    (
        "float[N,6,10,12] x",
        "Conv<strides=[2,2], pads=[1,1,1,1]>(x, w)",
        (8, 6, 3, 3),
        8 * 5 * 6 * 54,
    ),
    ("float[N,6,10,12] x", "Conv<group=6>(x, w)", (6, 1, 3, 3), 6 * 8 * 10 * 9),
    ("float[N,6,10,12] x", "Conv<group=2>(x, w)", (4, 3, 1, 1), 4 * 10 * 12 * 3),
    ("float[N,6,10,12] x", "ConvTranspose<strides=[2,2]>(x, w)", (6, 5, 2, 2), 6 * 120 * 5 * 4),
    ("float[N,6,10,12] x", "ConvTranspose<group=2>(x, w)", (6, 5, 2, 2), 6 * 120 * 5 * 4),
    ("float[N,7] x", "Gemm<transB=1>(x, w)", (5, 7), 35),
    ("float[N,7] x", "Gemm(x, w)", (7, 5), 35),
    ("float[N,11,7] x", "MatMul(x, w)", (7, 5), 11 * 35),
    ("float[N,3,11,7] x", "MatMul(x, w)", (3, 7, 5), 3 * 11 * 35),
    ("float[N,11,7] x", "MatMul(x, w)", (7,), 11 * 7),
    ("float[N,6,H,W] x", "Conv(x, w)", (8, 6, 3, 3), 0),
]


@pytest.mark.parametrize(("value", "call", "shape", "wanted"), MACS)
def test_multiply_accumulates_by_hand(
    value: str, call: str, shape: tuple[int, ...], wanted: int
) -> None:
    found = _one(value, call, shape)

    assert macs(found) == wanted
    assert isinstance(macs(found), int)


def _one(value: str, call: str, shape: tuple[int, ...]) -> Layer:
    """Return the layer of a graph whose output has no shape written down."""
    rng = np.random.default_rng(0)
    text = f"g ({value}) => (float y) {{ [n] y = {call} }}"
    proto = model(text, {"w": rng.normal(size=shape).astype(np.float32)})
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return next(x for x in prepared(proto).layers if x.name == "n")


def test_an_operator_without_weight_costs_nothing() -> None:
    found = {x.name: x for x in prepared(residual_net()).layers}

    assert macs(found["add"]) == macs(found["pool"]) == 0


AXES = [
    ("float[N,6,10,12] x", "Conv(x, w)", (8, 6, 3, 3), 0),
    ("float[N,6,10,12] x", "Conv<group=6>(x, w)", (6, 1, 3, 3), 0),
    ("float[N,6,10,12] x", "ConvTranspose(x, w)", (6, 5, 2, 2), 1),
    ("float[N,6,10,12] x", "ConvTranspose<group=2>(x, w)", (6, 5, 2, 2), None),
    ("float[N,7] x", "Gemm<transB=1>(x, w)", (5, 7), 0),
    ("float[N,7] x", "Gemm(x, w)", (7, 5), 1),
    ("float[N,11,7] x", "MatMul(x, w)", (7, 5), 1),
    ("float[N,3,11,7] x", "MatMul(x, w)", (3, 7, 5), None),
    ("float[N,11,7] x", "MatMul(x, w)", (7,), None),
]


@pytest.mark.parametrize(("value", "call", "shape", "wanted"), AXES)
def test_the_output_channels_axis_of_every_weight(
    value: str, call: str, shape: tuple[int, ...], wanted: int | None
) -> None:
    assert weight_axis(_one(value, call, shape).node) == wanted


def test_a_view_has_the_numbers_of_its_source() -> None:
    graph = prepared(gemm_net())

    assert source_of(graph, "a") == "input"
    assert source_of(graph, "b") == "b"
    assert source_of(graph, "input") == "input"
