"""Rules 7, 9, 12, 25 and 26: weights and biases."""

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest

from tests.export.tensorrt.nets import (
    DQ,
    check,
    constant_of,
    good,
    node_of,
    only,
    pair_of,
)
from tests.models import model, weights


def test_rule_7_scales_along_the_input_channels() -> None:
    """16 input and 16 output channels: nothing but the operator's type tells them apart."""
    graph = good()
    pair_of(graph, "w6")[0].attributes.add(ir.AttrInt64("axis", 0))
    pair_of(graph, "w2")[0].attributes.add(ir.AttrInt64("axis", 1))

    assert only(check(graph), 7) == [
        ("error", "node 'conv1'", "weight scales along axis 1 of Conv"),
        ("error", "node 'up'", "weight scales along axis 0 of ConvTranspose"),
    ]


def test_rule_7_follows_a_transpose_between_weight_and_layer() -> None:
    graph = good()
    node, (dequantize,) = node_of(graph, "fc"), pair_of(graph, "w7")
    new_node = ir.node("Transpose", [dequantize.outputs[0]], {"perm": [1, 0]}, name="turn")
    new_node.outputs[0].name = "turned"
    graph.graph.insert_before(node, [new_node])
    node.replace_input_with(1, new_node.outputs[0])
    node.attributes.add(ir.AttrInt64("transB", 0))

    assert only(check(graph), 7) == []
    node.attributes.add(ir.AttrInt64("transB", 1))
    assert only(check(graph), 7) == [("error", "node 'fc'", "weight scales along axis 1 of Gemm")]


def test_rule_9_a_bias_in_int32_as_other_tools_write_it() -> None:
    graph = good()
    grid = [
        constant_of(graph, "bq", np.zeros(16, np.int32)),
        constant_of(graph, "bs", np.full(16, 1e-3, np.float32)),
        constant_of(graph, "bz", np.zeros(16, np.int32)),
    ]
    new_node = ir.node(DQ, grid, {"axis": 0}, name="bias_DequantizeLinear")
    new_node.outputs[0].name = "bias_dq"
    graph.graph.insert_before(node_of(graph, "stem"), [new_node])
    node_of(graph, "stem").replace_input_with(2, new_node.outputs[0])
    findings = check(graph)

    assert only(findings, 9) == [("error", "node 'stem'", "a quantized bias")]
    assert ("error", "node 'bias_DequantizeLinear'", "integers of int32") in only(findings, 2)


def test_rule_9_a_bias_of_another_length_or_computed() -> None:
    graph = good()
    node_of(graph, "stem").replace_input_with(
        2, constant_of(graph, "three", np.zeros(3, np.float32))
    )
    node_of(graph, "up").replace_input_with(2, node_of(graph, "relu1").outputs[0])

    assert only(check(graph), 9) == [
        ("error", "node 'stem'", "a bias of shape [3]"),
        ("error", "node 'up'", "a bias that is computed"),
    ]


def test_rule_12_version_8_wants_float_weights() -> None:
    findings = sorted(only(check(good("10"), "8"), 12))

    assert len(findings) == 7
    assert findings[0] == ("error", "node 'w1_DequantizeLinear'", "a weight stored as int8")
    assert only(check(good("8"), "10"), 12) == []  # 10 reads both forms


def test_rule_25_int4_in_a_convolution_and_of_an_odd_axis() -> None:
    graph = good("8")
    graph.graph.opset_imports[""] = 21
    zero = constant_of(graph, "z4", np.zeros(16, ml_dtypes.int4))
    for node in pair_of(graph, "w2"):
        node.replace_input_with(2, zero)

    assert only(check(graph), 25) == [
        ("error", "node 'w2_QuantizeLinear'", "a last axis of 3"),
        ("error", "node 'w2_DequantizeLinear'", "INT4 here"),
        ("error", "node 'w2_DequantizeLinear'", "a last axis of 3"),
    ]


def test_rule_25_int4_scales_block_one_axis() -> None:
    proto = model(
        """<opset_import: ["" : 21]> g (float[N,32] x) => (float[N,32] y) {
            q = QuantizeLinear<axis=0, block_size=16>(w, s, z)
            [dq] d = DequantizeLinear<axis=0, block_size=16>(q, s, z)
            [fc] y = MatMul(x, d)
        }""",
        {
            **weights(0, w=(32, 32)),
            "s": np.full((2, 2), 0.1, np.float32),
            "z": np.zeros((2, 2), ml_dtypes.int4),
        },
        ir_version=10,
    )
    findings = check(ir.from_proto(proto))

    assert ("error", "node 'dq'", "2 blocked axes") in only(findings, 25)
    assert only(findings, 14) == []  # INT4 is for weights alone


def test_rule_26_weights_beyond_their_grid() -> None:
    graph = good("8")
    scale = pair_of(graph, "w5")[0].inputs[1].const_value.numpy()  # type: ignore[union-attr]
    small = constant_of(graph, "s", scale / 2)
    for node in pair_of(graph, "w5"):
        node.replace_input_with(1, small)
    array = graph.graph.initializers["w5"].const_value.numpy()  # type: ignore[union-attr]
    over = int((np.abs(np.rint(array / (scale / 2)[:, None, None, None])) > 127).sum())

    assert 0.001 < over / array.size < 0.5
    assert only(check(graph, "8"), 26) == [
        ("error", "node 'mix'", f"{over} of {array.size} weights beyond 127 * scale")
    ]


def test_rule_26_a_single_minus_128_among_thousands_is_a_warning() -> None:
    graph = good()
    value = graph.graph.initializers["w2_quantized"]
    array = value.const_value.numpy().copy()  # type: ignore[union-attr]
    array[0, 0, 0, 0] = -128
    value.const_value = ir.tensor(array, name="w2_quantized")

    assert only(check(graph), 26) == [
        ("warning", "node 'conv1'", "1 of 2304 weights beyond 127 * scale")
    ]


@pytest.mark.parametrize(("largest", "found"), [(460, 0), (480, 1)])
def test_rule_26_knows_that_float8_rounds_down_to_448(largest: float, found: int) -> None:
    """Its last step is 32 wide: what is under 464 rounds to 448, and is not clipped."""
    graph = good("8")
    graph.graph.opset_imports[""] = 19
    array = graph.graph.initializers["w2"].const_value.numpy()  # type: ignore[union-attr]
    scale = (np.abs(array).max(axis=(1, 2, 3)) / np.float32(largest)).astype(np.float32)
    grid = [
        constant_of(graph, "s", scale),
        constant_of(graph, "z8", np.zeros(16, ml_dtypes.float8_e4m3fn)),
    ]
    for node in pair_of(graph, "w2"):
        for index, value in enumerate(grid, 1):
            node.replace_input_with(index, value)

    assert len(only(check(graph), 26)) == found
