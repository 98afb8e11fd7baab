"""Rules 1 to 6 and 8: zero points, scales and axes of quantizers."""

import numpy as np
import onnx_ir as ir
import pytest

from tests.export.tensorrt.nets import DQ, Q, check, constant_of, good, node_of, only, pair_of


def test_rule_1_a_missing_zero_point() -> None:
    graph = good()
    for node in pair_of(graph, "input"):
        node.resize_inputs(2)

    assert only(check(graph), 1) == [
        ("error", "node 'input_QuantizeLinear'", "2 inputs"),
        ("error", "node 'input_DequantizeLinear'", "2 inputs"),
    ]


def test_rule_1_a_quantizer_of_one_input_does_not_stop_the_others() -> None:
    graph = good()
    pair_of(graph, "d")[0].resize_inputs(1)

    assert only(check(graph), 1) == [("error", "node 'd_QuantizeLinear'", "1 inputs")]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32])
def test_rule_2_integers_of_another_type(kind: type) -> None:
    graph = good()
    zero = constant_of(graph, "z", np.zeros((), kind))
    for node in pair_of(graph, "input"):
        node.replace_input_with(2, zero)

    assert only(check(graph), 2) == [
        ("error", f"node 'input_{op}'", f"integers of {np.dtype(kind).name}") for op in (Q, DQ)
    ]


def test_rule_3_a_zero_point_that_is_not_zero() -> None:
    graph = good()
    zero = constant_of(graph, "z", np.int8(3))
    for node in pair_of(graph, "input"):
        node.replace_input_with(2, zero)

    assert only(check(graph), 3) == [
        ("error", f"node 'input_{op}'", "a zero point of 3") for op in (Q, DQ)
    ]


def test_rule_3_zero_points_fewer_than_scales_or_computed() -> None:
    graph = good()
    pair_of(graph, "w1")[0].replace_input_with(2, constant_of(graph, "z", np.int8(0)))
    new_node = ir.node("Cast", [node_of(graph, "relu1").outputs[0]], {"to": 3}, name="cast")
    new_node.outputs[0].name = "cast_out"
    graph.graph.insert_before(node_of(graph, "conv1"), [new_node])
    pair_of(graph, "d")[0].replace_input_with(2, new_node.outputs[0])

    assert only(check(graph), 3) == [
        ("error", "node 'w1_DequantizeLinear'", "1 zero points for 16 scales"),
        ("error", "node 'd_QuantizeLinear'", "a zero point that is computed"),
    ]


@pytest.mark.parametrize(
    ("scale", "severity", "saw"),
    [
        (0.0, "error", "a scale of 0"),
        (-1.0, "error", "a scale of -1"),
        (np.inf, "error", "a scale of inf"),
        (np.nan, "error", "a scale of nan"),
        (1e-9, "warning", "a scale of 1e-09"),
        (1e7, "warning", "a scale of 1e+07"),
    ],
)
def test_rule_4_a_scale_that_is_no_scale(scale: float, severity: str, saw: str) -> None:
    graph = good()
    value = constant_of(graph, "s", np.float32(scale))
    for node in pair_of(graph, "input"):
        node.replace_input_with(1, value)

    assert only(check(graph), 4) == [(severity, f"node 'input_{op}'", saw) for op in (Q, DQ)]


def test_rule_4_a_scale_that_is_computed_or_double() -> None:
    graph = good()
    first, second = pair_of(graph, "d")
    first.replace_input_with(1, node_of(graph, "relu1").outputs[0])
    second.replace_input_with(1, constant_of(graph, "s", np.float64(0.1)))

    assert only(check(graph), 4) == [
        ("error", "node 'd_QuantizeLinear'", "a scale that is computed"),
        ("error", "node 'd_DequantizeLinear'", "a scale of double"),
    ]


def test_rule_5_an_activation_with_a_scale_per_channel() -> None:
    graph = good()
    grid = [
        constant_of(graph, "s", np.full(16, 0.1, np.float32)),
        constant_of(graph, "z", np.zeros(16, np.int8)),
    ]
    for node in pair_of(graph, "b"):
        for index, value in enumerate(grid, 1):
            node.replace_input_with(index, value)
        node.attributes.add(ir.AttrInt64("axis", 1))
    findings = check(graph)

    assert only(findings, 5) == [
        ("error", f"node 'b_{op}'", "16 scales for an activation") for op in (Q, DQ)
    ]
    assert only(findings, 6) == []


def test_rule_6_a_missing_axis_and_one_of_another_length() -> None:
    graph = good()
    del pair_of(graph, "w2")[0].attributes["axis"]
    pair_of(graph, "w1")[0].attributes.add(ir.AttrInt64("axis", 1))

    assert sorted(only(check(graph), 6)) == [
        ("error", "node 'w1_DequantizeLinear'", "16 scales along axis 1"),
        ("error", "node 'w2_DequantizeLinear'", "no attribute axis"),
    ]


def test_rule_8_a_pair_that_disagrees_and_integers_that_others_read() -> None:
    graph = good()
    pair_of(graph, "b")[1].replace_input_with(1, constant_of(graph, "s", np.float32(0.5)))
    quantize = pair_of(graph, "d")[0]
    node_of(graph, "pool").replace_input_with(0, quantize.outputs[0])
    graph.graph.outputs.append(pair_of(graph, "input")[0].outputs[0])
    findings = only(check(graph), 8)

    assert findings == [
        ("error", "node 'input_QuantizeLinear'", "integers as an output"),
        (
            "error",
            "node 'b_QuantizeLinear'",
            "another scale, zero point or axis than node 'b_DequantizeLinear'",
        ),
        ("error", "node 'd_QuantizeLinear'", "integers read by node 'pool' (MaxPool)"),
    ]


def test_rule_8_a_pair_whose_axes_differ() -> None:
    graph = good("8")
    pair_of(graph, "w2")[1].attributes.add(ir.AttrInt64("axis", 1))

    assert only(check(graph, "8"), 8) == [
        (
            "error",
            "node 'w2_QuantizeLinear'",
            "another scale, zero point or axis than node 'w2_DequantizeLinear'",
        )
    ]
