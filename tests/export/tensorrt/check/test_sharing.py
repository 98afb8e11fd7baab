"""Rules 18 to 21: shared scales, and operators without an integer form."""

import numpy as np
import onnx_ir as ir
import pytest

from tests.export.tensorrt.nets import (
    bypassed,
    check,
    constant_of,
    good,
    node_of,
    only,
    pair_of,
    quantized,
)


@pytest.mark.parametrize(("equal", "word"), [(True, "equal"), (False, "different")])
def test_rule_18_a_tensor_that_is_quantized_twice(equal: bool, word: str) -> None:
    graph = good()
    scale = pair_of(graph, "b")[0].inputs[1].const_value.numpy()  # type: ignore[union-attr]
    bypassed(graph, "add", 1)
    quantized(graph, "add", 1, float(scale) if equal else 0.5)

    assert only(check(graph), 18) == [("warning", "tensor 'b'", f"2 quantizers of {word} scales")]


def test_rule_19_a_concat_of_two_scales_of_a_float_or_without_quantizer() -> None:
    graph = good()
    other = constant_of(graph, "s", np.float32(0.5))
    for node in pair_of(graph, "h"):
        node.replace_input_with(1, other)
    assert only(check(graph), 19) == [("warning", "node 'join'", "2 scales around it")]

    graph = good()
    node_of(graph, "join").replace_input_with(0, node_of(graph, "relu1").outputs[0])
    assert only(check(graph), 19) == [("warning", "node 'join'", "a float operand, tensor 'b'")]

    graph = good()
    bypassed(graph, "mix", 0)
    assert only(check(graph), 19) == [("warning", "node 'join'", "integers in and a float result")]


def test_rule_20_a_pool_with_integers_in_and_floats_out() -> None:
    graph = good()
    bypassed(graph, "fc", 0)

    assert only(check(graph), 20) == [
        (
            "warning",
            "node 'mean'",
            "dequantized operands, and a result read in float by node 'fc'",
        )
    ]


@pytest.mark.parametrize("op", ["Softmax", "Sigmoid", "Exp", "Erf"])
def test_rule_21_a_float_operator_behind_a_quantizer(op: str) -> None:
    graph = good()
    new_node = ir.node(op, [pair_of(graph, "h")[1].outputs[0]], name="float")
    new_node.outputs[0].name = "float_out"
    graph.graph.append(new_node)
    graph.graph.outputs.append(new_node.outputs[0])

    assert only(check(graph), 21) == [("warning", "node 'float'", "a dequantized input")]
