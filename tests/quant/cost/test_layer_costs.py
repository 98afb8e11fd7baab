"""A network's time and size at a choice of precisions, by hand."""

import pytest

from quant.cost.layer_costs import CostTable, LayerCost, conversions
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph
from tests.chosen import prepared
from tests.models import model, weights

INT8, W4A8 = Precision.INT8, Precision.W4A8
FLOAT16, FLOAT32 = Precision.FLOAT16, Precision.FLOAT32


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
        for precision, spent, size in ((INT8, 1.0, 8), (FLOAT32, 3.0, 32))
    }
    given = {"layers": layers, "elements": {"b": 32, "x": 48}, "byte_ms": 0.5, "convert_ms": 7.0}
    return CostTable(target="t", device="d", assumptions=(), **{**given, **changes})  # type: ignore[arg-type]


def test_a_conversion_reads_one_width_and_writes_the_other() -> None:
    """32 numbers: 4 bytes read and 1 written each, at half a millisecond, and 7 to start."""
    found = table()

    assert found.conversion("b", FLOAT32, INT8) == 32 * 5 * 0.5 + 7
    assert found.conversion("b", INT8, FLOAT32) == 32 * 5 * 0.5 + 7
    assert found.conversion("b", INT8, W4A8) == 0
    assert found.conversion("not in the graph", INT8, FLOAT32) == 7


def test_a_tensor_is_converted_once_for_each_precision_that_reads_it() -> None:
    """The view between b and fc converts nothing, and does not hide that fc reads b."""
    chosen = {"conv1": INT8, "conv2": FLOAT32, "flat": INT8, "fc": FLOAT32}

    assert conversions(chosen, net()) == [("x", FLOAT32, INT8), ("b", INT8, FLOAT32)]
    assert conversions({**chosen, "fc": FLOAT16}, net()) == [
        ("x", FLOAT32, INT8),
        ("b", INT8, FLOAT32),
        ("b", INT8, FLOAT16),
        ("y", FLOAT16, FLOAT32),
    ]


def test_a_view_converts_nothing_whatever_a_plan_says_of_it() -> None:
    """A plan may leave a Flatten float between two integer layers: it moves no number."""
    chosen = {"conv1": INT8, "conv2": INT8, "flat": FLOAT32, "fc": INT8}

    assert ("b", INT8, FLOAT32) not in conversions(chosen, net())


def test_equal_precisions_convert_only_at_the_ends() -> None:
    """The ONNX file's inputs and outputs are float32."""
    names = ("conv1", "conv2", "flat", "fc")

    assert conversions(dict.fromkeys(names, FLOAT32), net()) == []
    assert conversions(dict.fromkeys(names, INT8), net()) == [
        ("x", FLOAT32, INT8),
        ("y", INT8, FLOAT32),
        ("z", INT8, FLOAT32),
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

    assert conversions({"fc": INT8, "top": INT8}, graph) == [("x", FLOAT32, INT8)]


def test_a_network_is_its_layers_and_its_conversions() -> None:
    chosen = {"conv1": INT8, "conv2": FLOAT32, "flat": INT8, "fc": FLOAT32}
    x, b = 48 * 5 * 0.5 + 7, 32 * 5 * 0.5 + 7

    assert table().milliseconds(chosen, net()) == 1 + 3 + 1 + 3 + x + b


def test_size_by_hand() -> None:
    chosen = {"conv1": INT8, "conv2": FLOAT32, "flat": INT8, "fc": FLOAT32}

    assert table().megabytes(chosen, net()) == pytest.approx((8 + 32 + 8 + 32) / 1e6)


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
    same, other = {"conv1": INT8, "conv2": INT8}, {"conv1": INT8, "conv2": FLOAT32}

    assert table().megabytes(same, graph) == pytest.approx(8e-6)
    assert table().megabytes(other, graph) == pytest.approx(40e-6)
