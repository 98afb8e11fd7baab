"""Cost: a network's time, size and bit operations at a choice of precisions, by hand."""

from dataclasses import replace

import pytest

from quant.cost.layer_costs import CostTable, LayerCost, conversions, precision_bits
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import PRECISIONS
from tests.chosen import prepared
from tests.models import model, weights


def net() -> Graph:
    """Return conv1 -> flat view -> fc, and conv1 -> conv2 as a second output."""
    return prepared(
        model(
            """g (float[N,3,4,4] x) => (float[N,5] y, float[N,2,4,4] z) {
                [conv1] a = Conv(x, w1)
                [relu1] b = Relu(a)
                [conv2] z = Conv(b, w2)
                [flat] f = Flatten(b)
                [fc] y = Gemm(f, w3)
            }""",
            weights(0, w1=(2, 3, 1, 1), w2=(2, 2, 1, 1), w3=(32, 5)),
        )
    )


def table(**changes: object) -> CostTable:
    """Return 1 ms a layer in int8 and 3 in float32, 10 MACs, 8 or 32 bytes of weights."""
    layers = {
        (name, precision): LayerCost(
            layer=name,
            op="Conv",
            precision=precision,
            macs=10,
            bytes=1,
            weight_bytes=size,
            milliseconds=spent,
            bound="compute",
        )
        for name in ("conv1", "conv2", "flat", "fc")
        for precision, spent, size in (("int8", 1.0, 8), ("float32", 3.0, 32))
    }
    given = {"layers": layers, "elements": {"b": 32, "x": 48}, "byte_ms": 0.5, "convert_ms": 7.0}
    return CostTable(target="t", device="d", assumptions=(), **{**given, **changes})  # type: ignore[arg-type]


def test_every_precision_has_its_bits() -> None:
    assert {p: precision_bits(p) for p in PRECISIONS} == {
        "int8": (8, 8),
        "int16": (16, 16),
        "w4a8": (4, 8),
        "w4a4": (4, 4),
        "w8a16": (8, 16),
        "fp8": (8, 8),
        "float16": (16, 16),
        "float32": (32, 32),
    }


def test_a_conversion_reads_one_width_and_writes_the_other() -> None:
    """32 numbers: 4 bytes read and 1 written each, at half a millisecond, and 7 to start."""
    found = table()

    assert found.conversion("b", "float32", "int8") == 32 * 5 * 0.5 + 7
    assert found.conversion("b", "int8", "float32") == 32 * 5 * 0.5 + 7
    assert found.conversion("b", "int8", "w4a8") == 0
    assert found.conversion("not in the graph", "int8", "float32") == 7


def test_a_tensor_is_converted_once_for_each_precision_that_reads_it() -> None:
    """The view between b and fc converts nothing, and does not hide that fc reads b."""
    chosen = {"conv1": "int8", "conv2": "float32", "flat": "int8", "fc": "float32"}

    assert conversions(chosen, net()) == [("x", "float32", "int8"), ("b", "int8", "float32")]
    assert conversions({**chosen, "fc": "float16"}, net()) == [
        ("x", "float32", "int8"),
        ("b", "int8", "float32"),
        ("b", "int8", "float16"),
        ("y", "float16", "float32"),
    ]


def test_a_view_converts_nothing_whatever_a_plan_says_of_it() -> None:
    """A plan may leave a Flatten float between two integer layers: it moves no number."""
    chosen = {"conv1": "int8", "conv2": "int8", "flat": "float32", "fc": "int8"}

    assert ("b", "int8", "float32") not in conversions(chosen, net())


def test_a_product_of_two_activations_has_the_bits_of_activations_twice() -> None:
    graph = prepared(
        model(
            """g (float[N,3,4] x) => (float[N,2,4,4] y) {
                [conv1] a = MatMul(x, w)
                [conv2] y = MatMul(a, x)
            }""",
            weights(0, w=(4, 3)),
        )
    )
    wide = {key: replace(cost, precision="w4a8") for key, cost in table().layers.items()}
    chosen = {"conv1": "int8", "conv2": "int8"}

    assert table(layers=wide).bit_operations(chosen, graph) == 10 * 4 * 8 + 10 * 8 * 8


def test_equal_precisions_convert_only_at_the_ends() -> None:
    """The ONNX file's inputs and outputs are float32."""
    names = ("conv1", "conv2", "flat", "fc")

    assert conversions(dict.fromkeys(names, "float32"), net()) == []
    assert conversions(dict.fromkeys(names, "int8"), net()) == [
        ("x", "float32", "int8"),
        ("y", "int8", "float32"),
        ("z", "int8", "float32"),
    ]


def test_indices_are_not_converted() -> None:
    """An output of whole numbers has one width whatever the layers compute in."""
    graph = prepared(
        model(
            """g (float[N,3] x) => (int64[N] y) {
                [fc] a = MatMul(x, w)
                [top] y = ArgMax<axis=1, keepdims=0>(a)
            }""",
            weights(0, w=(3, 4)),
        )
    )

    assert conversions({"fc": "int8", "top": "int8"}, graph) == [("x", "float32", "int8")]


def test_a_network_is_its_layers_and_its_conversions() -> None:
    chosen = {"conv1": "int8", "conv2": "float32", "flat": "int8", "fc": "float32"}
    x, b = 48 * 5 * 0.5 + 7, 32 * 5 * 0.5 + 7

    assert table().milliseconds(chosen, net()) == 1 + 3 + 1 + 3 + x + b


def test_size_and_bit_operations_by_hand() -> None:
    """Flat has no weight here: its product would be of two activations."""
    chosen = {"conv1": "int8", "conv2": "float32", "flat": "int8", "fc": "float32"}

    assert table().megabytes(chosen, net()) == pytest.approx((8 + 32 + 8 + 32) / 1e6)
    assert table().bit_operations(chosen, net()) == 10 * (64 + 1024 + 64 + 1024)


def test_a_weight_that_two_layers_share_is_in_the_file_once() -> None:
    graph = prepared(
        model(
            """g (float[N,2,4,4] x) => (float[N,2,4,4] y) {
                [conv1] a = Conv(x, w)
                [conv2] y = Conv(a, w)
            }""",
            weights(0, w=(2, 2, 1, 1)),
        )
    )
    same, other = {"conv1": "int8", "conv2": "int8"}, {"conv1": "int8", "conv2": "float32"}

    assert table().megabytes(same, graph) == pytest.approx(8e-6)
    assert table().megabytes(other, graph) == pytest.approx(40e-6)
