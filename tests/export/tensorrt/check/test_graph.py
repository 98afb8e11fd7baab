"""Rules 10, 11, 13, 27 and 28: operators, opset, types and names."""

import numpy as np
import onnx_ir as ir
import pytest

from tests.export.tensorrt.nets import Q, check, constant_of, good, node_of, only, pair_of


@pytest.mark.parametrize(
    ("domain", "op"), [("", "QLinearConv"), ("", "DynamicQuantizeLinear"), ("com.microsoft", Q)]
)
def test_rule_10_an_operator_that_the_parser_does_not_import(domain: str, op: str) -> None:
    graph = good()
    node = node_of(graph, "relu1")
    node.domain, node.op_type = domain, op
    if domain:
        graph.graph.opset_imports[domain] = 1

    assert only(check(graph), 10) == [("error", "node 'relu1'", f"{domain}.{op}" if domain else op)]


def test_rule_10_an_unused_domain_is_a_risk_and_nvidias_own_operators_are_none() -> None:
    graph = good()
    graph.graph.opset_imports["ai.onnx.ml"] = 3
    node = node_of(graph, "relu1")
    node.domain, node.op_type = "trt", "TRT_FP8QuantizeLinear"

    assert only(check(graph), 10) == [
        ("warning", "opset_import", "an unused opset of domain 'ai.onnx.ml'")
    ]


@pytest.mark.parametrize(
    ("version", "opset", "severity", "wanted"),
    [
        ("10", 12, "error", "13 for scales per channel"),
        ("8", 18, "error", "at most 17 for TensorRT 8"),
        ("10", 25, "error", "at most 24 for TensorRT 10"),
        ("10", 21, "warning", "at most 20 for TensorRT 10"),
        ("11", 26, "error", "at most 25 for TensorRT 11"),
        ("11", 25, "warning", "at most 24 for TensorRT 11"),
    ],
)
def test_rule_11_an_opset_too_low_or_too_high(
    version: str, opset: int, severity: str, wanted: str
) -> None:
    graph = good(version)
    graph.graph.opset_imports[""] = opset
    findings = [f for f in check(graph, version) if f.rule == "tensorrt-11"]

    assert [(f.severity, f.place, f.wanted) for f in findings] == [
        (severity, "opset_import", wanted)
    ]


def test_rule_13_a_scale_and_operands_of_other_types() -> None:
    graph = good()
    graph.graph.opset_imports[""] = 19
    small = constant_of(graph, "s", np.float16(0.1))
    pair_of(graph, "input")[0].replace_input_with(1, small)
    node_of(graph, "stem").replace_input_with(
        2, constant_of(graph, "half", np.zeros(16, np.float16))
    )

    assert only(check(graph), 13) == [
        ("error", "node 'input_QuantizeLinear'", "a float16 scale for a float tensor"),
        ("error", "node 'stem'", "inputs of float and float16 for type T"),
    ]
    pair_of(graph, "h")[1].replace_input_with(1, small)
    assert [saw for _, place, saw in only(check(graph), 13) if place == "node 'left'"] == [
        "inputs of float and float16 for type T"
    ]
    assert only(check(graph, "8"), 13) == []  # version 8 is never strongly typed


@pytest.mark.parametrize(
    ("name", "place", "saw"),
    [
        ("", "node without a name that makes 'b'", "no name"),
        ("a,b", "node 'a,b'", "a name that trtexec's lists break at"),
        ("a:b", "node 'a:b'", "a name that trtexec's lists break at"),
        ("it's", "node 'it's'", "a name that trtexec's lists break at"),
        ("a\nb", "node 'a\\nb'", "a name that trtexec's lists break at"),
    ],
)
def test_rule_27_node_names_that_lists_cannot_hold(name: str, place: str, saw: str) -> None:
    graph = good()
    node_of(graph, "relu1").name = name

    assert only(check(graph), 27) == [("error", place, saw)]
    assert only(check(graph, "11"), 27) == [("warning", place, saw)]


def test_rule_27_a_star_is_a_risk_in_lists() -> None:
    graph = good()
    node_of(graph, "relu1").name = "relu*"

    assert only(check(graph), 27) == [
        ("warning", "node 'relu*'", "a '*', which trtexec's lists take for any characters")
    ]


def test_rule_27_a_name_twice_and_a_tensor_that_breaks_a_cache() -> None:
    graph = good()
    node_of(graph, "relu1").name = "relu2"
    node_of(graph, "mix").outputs[0].name = "mix: out"

    assert only(check(graph), 27) == [
        ("error", "node 'relu2'", "2 nodes of it"),
        ("error", "node 'relu2'", "2 nodes of it"),
        ("error", "tensor 'mix: out'", "a name that calibration caches break at"),
    ]


def test_rule_28_a_zero_point_that_passes_through_an_identity() -> None:
    graph = good()
    node = pair_of(graph, "input")[0]
    zero = node.inputs[2]
    new_node = ir.node("Identity", [zero], name="same")
    new_node.outputs[0].name = "same_out"
    graph.graph.insert_before(graph.graph[0], [new_node])
    node.replace_input_with(2, new_node.outputs[0])

    assert only(check(graph), 28) == [
        (
            "error",
            "tensor 'input_zero_point'",
            "8-bit numbers that pass through node 'same' (Identity)",
        )
    ]
