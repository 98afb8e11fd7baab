"""Every rule about TensorRT's Q/DQ graphs, broken on purpose in a good export."""

import random
from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quant.common.errors import InputError
from quant.export.tensorrt.check.rules import RULES
from quant.export.tensorrt.check.run_rules import check_export, check_model
from quant.target.deployment import Deployment
from quant.target.finding import Finding
from tests.chosen import chosen, prepared
from tests.export.tensorrt.nets import check, constant_of, export, good, node_of, pair_of
from tests.models import depthwise_net, gemm_net, model, weights

Q, DQ = "QuantizeLinear", "DequantizeLinear"


def only(found: list[Finding], number: int) -> list[tuple[str, str, str]]:
    """Return severity, place and sight of one rule's findings."""
    return [(f.severity, f.place, f.saw) for f in found if f.rule == f"tensorrt-{number}"]


def quantized(graph: ir.Model, reader: str, index: int, scale: float = 0.1) -> list[ir.Node]:
    """Put a new pair of quantizers before an input of a node."""
    node = node_of(graph, reader)
    value = node.inputs[index]
    assert value is not None
    grid = [
        constant_of(graph, f"{reader}{index}_s", np.float32(scale)),
        constant_of(graph, f"{reader}{index}_z", np.int8(0)),
    ]
    first = ir.node(Q, [value, *grid], name=f"{reader}{index}_{Q}")
    first.outputs[0].name = f"{reader}{index}_q"
    second = ir.node(DQ, [first.outputs[0], *grid], name=f"{reader}{index}_{DQ}")
    second.outputs[0].name = f"{reader}{index}_dq"
    graph.graph.insert_before(node, [first, second])
    node.replace_input_with(index, second.outputs[0])
    return [first, second]


def bypassed(graph: ir.Model, reader: str, index: int) -> None:
    """Let a node read the float tensor before a pair of quantizers."""
    node = node_of(graph, reader)
    dequantize = node.inputs[index].producer()  # type: ignore[union-attr]
    quantize = dequantize.inputs[0].producer()  # type: ignore[union-attr]
    node.replace_input_with(index, quantize.inputs[0])  # type: ignore[union-attr]
    if not dequantize.outputs[0].uses():  # type: ignore[union-attr]
        graph.graph.remove([dequantize, quantize], safe=True)  # type: ignore[list-item]


@pytest.mark.parametrize("version", ["8", "10", "11"])
def test_a_good_export_has_no_finding_at_all(version: str, tmp_path: Path) -> None:
    """Else people learn to skip the list."""
    folder = export(tmp_path, version)

    assert check_export(folder, Deployment(versions={"tensorrt": version})) == []
    assert check_export(folder / "model.onnx", Deployment(versions={"tensorrt": version})) == []


def test_there_are_thirty_rules_with_a_line_each() -> None:
    assert list(RULES) == [f"tensorrt-{n}" for n in range(1, 31)]
    assert all(20 < len(line) < 100 and not line.endswith(".") for line in RULES.values())


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


def test_a_finding_reads_as_one_sentence_and_names_the_layer() -> None:
    graph = good()
    pair_of(graph, "input")[0].resize_inputs(2)
    found = next(f for f in check(graph) if f.rule == "tensorrt-1")

    assert found.layer == "stem"
    assert str(found) == (
        "tensorrt-1 error, node 'input_QuantizeLinear': saw 2 inputs, wanted a zero point. Write an "
        "int8 zero point of 0: ONNX takes a missing one for uint8."
    )


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
    made = ir.node("Cast", [node_of(graph, "relu1").outputs[0]], {"to": 3}, name="cast")
    made.outputs[0].name = "cast_out"
    graph.graph.insert_before(node_of(graph, "conv1"), [made])
    pair_of(graph, "d")[0].replace_input_with(2, made.outputs[0])

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
    found = check(graph)

    assert only(found, 5) == [
        ("error", f"node 'b_{op}'", "16 scales for an activation") for op in (Q, DQ)
    ]
    assert only(found, 6) == []


def test_rule_6_a_missing_axis_and_one_of_another_length() -> None:
    graph = good()
    del pair_of(graph, "w2")[0].attributes["axis"]
    pair_of(graph, "w1")[0].attributes.add(ir.AttrInt64("axis", 1))

    assert sorted(only(check(graph), 6)) == [
        ("error", "node 'w1_DequantizeLinear'", "16 scales along axis 1"),
        ("error", "node 'w2_DequantizeLinear'", "no attribute axis"),
    ]


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
    made = ir.node("Transpose", [dequantize.outputs[0]], {"perm": [1, 0]}, name="turn")
    made.outputs[0].name = "turned"
    graph.graph.insert_before(node, [made])
    node.replace_input_with(1, made.outputs[0])
    node.attributes.add(ir.AttrInt64("transB", 0))

    assert only(check(graph), 7) == []
    node.attributes.add(ir.AttrInt64("transB", 1))
    assert only(check(graph), 7) == [("error", "node 'fc'", "weight scales along axis 1 of Gemm")]


def test_rule_8_a_pair_that_disagrees_and_integers_that_others_read() -> None:
    graph = good()
    pair_of(graph, "b")[1].replace_input_with(1, constant_of(graph, "s", np.float32(0.5)))
    quantize = pair_of(graph, "d")[0]
    node_of(graph, "pool").replace_input_with(0, quantize.outputs[0])
    graph.graph.outputs.append(pair_of(graph, "input")[0].outputs[0])
    found = only(check(graph), 8)

    assert found == [
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


def test_rule_9_a_bias_in_int32_as_other_tools_write_it() -> None:
    graph = good()
    grid = [
        constant_of(graph, "bq", np.zeros(16, np.int32)),
        constant_of(graph, "bs", np.full(16, 1e-3, np.float32)),
        constant_of(graph, "bz", np.zeros(16, np.int32)),
    ]
    made = ir.node(DQ, grid, {"axis": 0}, name="bias_DequantizeLinear")
    made.outputs[0].name = "bias_dq"
    graph.graph.insert_before(node_of(graph, "stem"), [made])
    node_of(graph, "stem").replace_input_with(2, made.outputs[0])
    found = check(graph)

    assert only(found, 9) == [("error", "node 'stem'", "a quantized bias")]
    assert ("error", "node 'bias_DequantizeLinear'", "integers of int32") in only(found, 2)


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
    found = [f for f in check(graph, version) if f.rule == "tensorrt-11"]

    assert [(f.severity, f.place, f.wanted) for f in found] == [(severity, "opset_import", wanted)]


def test_rule_12_version_8_wants_float_weights() -> None:
    found = sorted(only(check(good("10"), "8"), 12))

    assert len(found) == 7
    assert found[0] == ("error", "node 'w1_DequantizeLinear'", "a weight stored as int8")
    assert only(check(good("8"), "10"), 12) == []  # 10 reads both forms


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
    made = ir.node("Add", operands, name="plain_sum")
    made.outputs[0].name = "plain_sum_out"
    graph.graph.append(made)
    graph.graph.outputs.append(made.outputs[0])

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
    made = ir.node(op, [pair_of(graph, "h")[1].outputs[0]], name="float")
    made.outputs[0].name = "float_out"
    graph.graph.append(made)
    graph.graph.outputs.append(made.outputs[0])

    assert only(check(graph), 21) == [("warning", "node 'float'", "a dequantized input")]


def test_rule_22_a_convolution_with_odd_channels(tmp_path: Path) -> None:
    graph, plan = chosen(depthwise_net(), "tensorrt")
    from quant.export.tensorrt.target import write

    write(graph, plan, tmp_path)

    assert only(check_export(tmp_path, Deployment()), 22) == [
        (
            "warning",
            "node 'expand'",
            "12 output and 3 input channels a group, kernel 1x1",
        ),
        (
            "warning",
            "node 'depthwise'",
            "12 output and 1 input channels a group, kernel 3x3",
        ),
        ("warning", "node 'project'", "8 output and 12 input channels a group, kernel 1x1"),
    ]


@pytest.mark.parametrize(
    ("shape", "group", "fast"),
    [
        ((16, 16, 3, 1), 1, True),
        ((8, 16, 3, 3), 1, True),  # one side of 8, the other of 16
        ((8, 16, 3, 1), 1, False),  # no square
        ((12, 12, 3, 3), 1, False),
        ((16, 1, 3, 3), 16, True),  # depthwise of 8 and kernel 3
        ((16, 1, 1, 1), 16, False),
        ((12, 1, 3, 3), 12, False),
    ],
)
def test_rule_22_knows_the_shapes_that_have_a_kernel(
    shape: tuple[int, ...], group: int, fast: bool
) -> None:
    """ModelOpt's table, a row each; the convolution is not the first of its network."""
    within = shape[1] * group
    proto = model(
        f"""g (float[N,{within},8,8] x) => (float[N,{shape[0]},k,l] y) {{
            [before] a = Sigmoid(x)
            [conv] y = Conv<group={group}>(a, w)
        }}""",
        weights(0, w=shape),
    )
    found = only(check_model(prepared(proto), Deployment()), 22)

    assert (found == []) == fast


def test_rule_23_a_matrix_that_is_too_thin(tmp_path: Path) -> None:
    from quant.export.tensorrt.target import write

    graph, plan = chosen(gemm_net(), "tensorrt")
    write(graph, plan, tmp_path)

    assert only(check_export(tmp_path, Deployment()), 23) == [
        ("warning", "node 'fc3'", "K = 16 and N = 10")
    ]


def test_rule_24_fp8_at_the_network_s_ends() -> None:
    graph = good("8")
    graph.graph.opset_imports[""] = 19
    for tensor in ("input", "w1"):
        scale = pair_of(graph, tensor)[0].inputs[1].const_value  # type: ignore[union-attr]
        zeros = np.zeros(scale.numpy().shape, ml_dtypes.float8_e4m3fn)  # type: ignore[union-attr]
        zero = constant_of(graph, f"{tensor}_z8", zeros)
        for node in pair_of(graph, tensor):
            node.replace_input_with(2, zero)
    found = check(graph)

    assert only(found, 24) == [
        ("warning", "node 'stem'", "FP8 in the first layer, 3 input channels")
    ]
    assert only(found, 22) == [
        ("warning", "node 'stem'", "16 output and 3 input channels, filter area 9, in FP8")
    ]


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
    found = check(ir.from_proto(proto))

    assert ("error", "node 'dq'", "2 blocked axes") in only(found, 25)
    assert only(found, 14) == []  # INT4 is for weights alone


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
    made = ir.node("Identity", [zero], name="same")
    made.outputs[0].name = "same_out"
    graph.graph.insert_before(graph.graph[0], [made])
    node.replace_input_with(2, made.outputs[0])

    assert only(check(graph), 28) == [
        (
            "error",
            "tensor 'input_zero_point'",
            "8-bit numbers that pass through node 'same' (Identity)",
        )
    ]


def cache(tmp_path: Path, old: str, new: str) -> list[tuple[str, str, str]]:
    """Return what rule 29 says after an edit of the cache."""
    path = export(tmp_path) / "implicit" / "calibration.cache"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return only(check_export(tmp_path, Deployment()), 29)


def test_rule_29_the_first_line_of_a_cache(tmp_path: Path) -> None:
    assert cache(tmp_path, "TRT-100300-Entropy", "TRT-10-3-Entropy") == [
        ("error", "'implicit/calibration.cache' line 1", "'TRT-10-3-EntropyCalibration2'")
    ]


def test_rule_29_a_line_that_no_reader_takes(tmp_path: Path) -> None:
    assert cache(tmp_path, "\ninput: ", "\ninput : 0x")[0][:2] == (
        "error",
        "'implicit/calibration.cache' line 2",
    )


def test_rule_29_a_tensor_that_is_missing_and_one_that_is_strange(tmp_path: Path) -> None:
    assert cache(tmp_path, "\ninput: ", "\nInput: ") == [
        ("error", "'implicit/calibration.cache'", "'Input', which the model does not have"),
        ("error", "'implicit/calibration.cache'", "no scale for 'input'"),
    ]


def test_rule_29_a_cache_beside_quantizers_and_one_beside_nothing(tmp_path: Path) -> None:
    folder = export(tmp_path)
    text = (folder / "implicit" / "calibration.cache").read_text()
    (folder / "a.cache").write_text(text)
    (folder / "b").mkdir()
    (folder / "b" / "b.cache").write_text(text)

    assert only(check_export(folder, Deployment()), 29) == [
        ("error", "'a.cache'", "a model with Q/DQ beside it"),
        ("error", "'b/b.cache'", "no model.onnx beside it"),
    ]


def test_rule_30_version_11_knows_no_cache_and_no_lists(tmp_path: Path) -> None:
    folder = export(tmp_path, "10")

    assert only(check_export(folder, Deployment(versions={"tensorrt": "11"})), 30) == [
        ("error", "'implicit/calibration.cache'", "a calibration cache"),
        ("error", "'build.py'", "BuilderFlag.INT8"),
        ("error", "'build.sh'", "--int8"),
        ("error", "'implicit/layer_precisions.txt'", "a list of layer precisions"),
    ]


def test_a_folder_without_model_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_export(tmp_path, Deployment())
    assert str(caught.value) == (
        f"{tmp_path}: a TensorRT export must hold 'model.onnx', saw none. Give its folder, or the "
        "file itself."
    )
    path = tmp_path / "x.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(InputError) as caught:
        check_export(path, Deployment())
    assert str(caught.value).startswith(f"{path}: not a readable ONNX model: ")
    assert str(caught.value).endswith(". Export it again.")


def test_a_circle_and_a_missing_weight_file_are_refused(tmp_path: Path) -> None:
    """In a circle the rules would run for ever."""
    graph = good()
    turn, back = node_of(graph, "relu2"), node_of(graph, "relu1")
    back.replace_input_with(0, turn.outputs[0])
    with pytest.raises(InputError) as caught:
        check(graph)
    assert "not a readable ONNX model: " in str(caught.value)

    proto = onnx.load(export(tmp_path) / "model.onnx")
    onnx.save(proto, tmp_path / "model.onnx", save_as_external_data=True, location="w")
    (tmp_path / "w").unlink()
    with pytest.raises(InputError) as caught:
        check_export(tmp_path / "model.onnx", Deployment())
    assert "No such file or directory" in str(caught.value)


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        check_export(Path("x.onnx"), Deployment(versions={"tensorrt": "9"}))
    assert str(caught.value) == (
        "TensorRT version: it must be 8, 10 or 11, with or without minor and patch, saw '9'. Give "
        "one of them."
    )


def test_the_look_before_export_warns_of_what_would_be_quantized() -> None:
    proto = model(
        """<opset_import: ["" : 18]> g (float[N,3,8,8] x) => (float[N,5] y) {
            [thin] a = Conv(x, w1)
            [up] b = ConvTranspose(a, w2)
            [flat] c = Flatten(b)
            [fc] d = Gemm<transB=1>(c, w3)
            [wide] e = Cast<to=11>(d)
            [back] y = Cast<to=1>(e)
        }""",
        weights(0, w1=(6, 3, 1, 1), w2=(6, 4, 1, 1), w3=(5, 256)),
    )
    proto.graph.node[1].name = "up:1"
    found = check_model(prepared(proto), Deployment(versions={"tensorrt": "8"}))

    assert [(f.rule, f.severity, f.place, f.saw) for f in found] == [
        (
            "tensorrt-7",
            "warning",
            "node 'up:1'",
            "a ConvTranspose that would get a scale per channel",
        ),
        ("tensorrt-10", "warning", "tensor 'e'", "float64"),
        ("tensorrt-11", "error", "opset_import", "opset 18"),
        (
            "tensorrt-22",
            "warning",
            "node 'thin'",
            "6 output and 3 input channels a group, kernel 1x1",
        ),
        ("tensorrt-23", "warning", "node 'fc'", "K = 256 and N = 5"),
        ("tensorrt-27", "info", "node 'up:1'", "a name with , : ' or a line end"),
    ]


def test_the_look_before_export_finds_operators_that_are_not_imported() -> None:
    proto = model(
        """<opset_import: ["" : 17, "com.x" : 1]> g (float[N,3,8,8] x) => (float[N,16,8,8] y) {
            [odd] a = com.x.Thing(x)
            [conv] y = Conv(x, w1)
        }""",
        weights(0, w1=(16, 3, 1, 1)),
    )
    proto.graph.output.append(onnx.helper.make_tensor_value_info("a", 1, None))
    found = check_model(prepared(proto), Deployment())

    assert [(f.rule, f.severity, f.place) for f in found] == [
        ("tensorrt-10", "error", "node 'odd'")
    ]


OPERATORS = ["Conv", "Gemm", "MatMul", "Add", "Concat", "MaxPool", "Relu", "Softmax", "Transpose"]


@pytest.mark.parametrize("seed", range(30))
def test_no_broken_graph_stops_the_rules(seed: int) -> None:
    """Files of other tools come with inputs missing and attributes lost: a finding, no traceback."""
    rng = random.Random(seed)
    graph = good(rng.choice(["8", "10"]))
    nodes = list(graph.graph)
    values = [v for n in nodes for v in n.outputs] + list(graph.graph.initializers.values())
    for _ in range(3):
        node = rng.choice(nodes)
        index = rng.randrange(max(len(node.inputs), 1))
        match rng.randrange(6):
            case 0:
                node.resize_inputs(index)
            case 1 if node.inputs:
                node.replace_input_with(index, None)
            case 2 if node.inputs:
                node.replace_input_with(index, rng.choice(values))
            case 3:
                node.op_type = rng.choice([*OPERATORS, Q, DQ])
            case 4:
                node.attributes.clear()
            case _:
                node.name = rng.choice(["", "a:b", None])
    with suppress(InputError):  # a circle
        assert all(f.rule in RULES and str(f) for f in check(graph))


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
