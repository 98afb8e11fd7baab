"""Rules 14 to 17: layers, their activations and residual sums."""

import onnx_ir as ir
import pytest

from tests.export.tensorrt.nets import bypassed, check, good, only, pair_of, quantized


@pytest.mark.parametrize(("index", "which"), [(0, "weight"), (1, "activation")])
def test_rule_14_a_weighted_layer_with_one_float_input(index: int, which: str) -> None:
    graph = good("8")
    bypassed(graph, "conv1", index)

    assert only(check(graph, "8"), 14) == [
        ("error", "node 'conv1'", f"only the {which} dequantized")
    ]


def test_rule_15_a_residual_whose_convolution_is_quantized_too() -> None:
    graph = good()
    quantized(graph, "add", 0)

    assert only(check(graph), 15) == [
        ("error", "node 'add'", "both operands dequantized, one of them a convolution's")
    ]


def test_rule_15_is_not_about_sums_without_a_convolution() -> None:
    graph = good()
    operands = [pair_of(graph, "b")[1].outputs[0], pair_of(graph, "h")[1].outputs[0]]
    new_node = ir.node("Add", operands, name="plain_sum")
    new_node.outputs[0].name = "plain_sum_out"
    graph.graph.append(new_node)
    graph.graph.outputs.append(new_node.outputs[0])

    assert only(check(graph), 15) == []


def test_rule_15_a_residual_whose_skip_is_float() -> None:
    graph = good()
    bypassed(graph, "add", 1)

    assert only(check(graph), 15) == [
        ("warning", "node 'add'", "a float skip operand and an integer result")
    ]


def test_rule_16_a_float_sum_before_an_integer_layer() -> None:
    graph = good()
    bypassed(graph, "left", 0)

    assert only(check(graph), 16) == [
        ("warning", "node 'add'", "the float sum read by node 'left', which is integer")
    ]


def test_rule_17_quantizers_between_a_layer_and_its_activation() -> None:
    graph = good()
    quantized(graph, "relu2", 0)

    assert only(check(graph), 17) == [
        ("warning", "node 'relu2'", "Q and DQ between it and node 'conv1'")
    ]
