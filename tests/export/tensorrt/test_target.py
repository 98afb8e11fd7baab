"""TensorRT's rules of placement, one for each test, hold in the exported Q/DQ graph.

Source: onnx-tensorrt 10.1 `QuantDequantLinearHelper`; NVIDIA, 'Explicit Quantization'.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from quant.export.tensorrt.write import write
from quant.graph.layers import VIEWS
from quant.target.deployment import Deployment
from tests.chosen import chosen
from tests.models import concat_net, depthwise_net, model, residual_net, weights


def mixed_net() -> onnx.ModelProto:
    """Return every weight layout, a Concat of tensors that others read, pools and a MatMul."""
    return model(
        """g (float[N,3,16,16] input) => (float[N,6] output) {
            [c1] a = Conv<pads=[1,1,1,1]>(input, w1, b1)
            [r1] b = Relu(a)
            [up] c = ConvTranspose<strides=[2,2]>(b, w2, b2)
            [pool] d = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c)
            [p2] e = AveragePool<kernel_shape=[2,2], strides=[2,2]>(d)
            [c2] f = Conv(e, w3)
            [c3] h = Conv(e, w4)
            [join] i = Concat<axis=1>(f, e)
            [c4] j = Conv(i, w5)
            [sum] k = Add(j, h)
            [r2] l = Relu(k)
            [mean] m = GlobalAveragePool(l)
            [flat] n = Flatten(m)
            [fc1] o = Gemm(n, w6, b6)
            [r3] p = Relu(o)
            [fc2] q = Gemm<transB=1>(p, w7, b7)
            [fc3] output = MatMul(q, w8)
        }""",
        {
            **weights(0, w1=(4, 3, 3, 3), b1=(4,), w2=(4, 5, 2, 2), b2=(5,), w3=(5, 5, 1, 1)),
            **weights(1, w4=(4, 5, 1, 1), w5=(4, 10, 1, 1), w6=(4, 7), b6=(7,), w7=(8, 7)),
            **weights(2, b7=(8,), w8=(8, 6)),
        },
    )


NETS = {"residual": residual_net, "concat": concat_net, "depthwise": depthwise_net}
EVERY_NET = pytest.mark.parametrize("name", [*NETS, "mixed"])
QDQ = ("QuantizeLinear", "DequantizeLinear")
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@cache
def exported(name: str) -> ir.Model:
    with TemporaryDirectory() as folder:
        graph, plan = chosen({**NETS, "mixed": mixed_net}[name](), "tensorrt")
        write(graph, plan, Path(folder), Deployment(versions={"tensorrt": "8"}))
        loaded = ir.from_proto(onnx.load(Path(folder) / "model.onnx"))
    return loaded


def quantizers(name: str) -> list[ir.Node]:
    return [node for node in exported(name).graph if node.op_type in QDQ]


def constant(value: ir.Value | None) -> NDArray[np.float32]:
    assert value is not None
    assert value.const_value is not None
    return value.const_value.numpy()


def producer(value: ir.Value | None) -> str:
    """Return the operator that makes a value, or ""."""
    made = value.producer() if value is not None else None
    return made.op_type if made is not None else ""


def scale_of(value: ir.Value | None) -> float:
    made = value.producer() if value is not None else None
    assert made is not None
    return float(constant(made.inputs[1]))


def consumers(value: ir.Value) -> list[ir.Node]:
    return [use.node for use in value.uses()]


def real(nodes: list[ir.Node]) -> Iterator[ir.Node]:
    """Yield the nodes, and behind a view what reads the view."""
    for node in nodes:
        if node.op_type in VIEWS:
            yield from real(consumers(node.outputs[0]))
        else:
            yield node


@EVERY_NET
def test_rules_1_to_3_an_int8_zero_point_that_is_zero(name: str) -> None:
    for node in quantizers(name):
        zero = constant(node.inputs[2])

        assert len(node.inputs) == 3
        assert zero.dtype == np.int8
        assert not zero.any()
        assert zero.shape == constant(node.inputs[1]).shape


@EVERY_NET
def test_rule_4_a_scale_is_a_sane_float32_initializer(name: str) -> None:
    for node in quantizers(name):
        scale = constant(node.inputs[1])

        assert node.inputs[1] in exported(name).graph.initializers.values()
        assert scale.dtype == np.float32
        assert np.all((scale > 1e-8) & (scale < 1e6))


@EVERY_NET
def test_rules_5_to_7_a_scale_per_channel_is_for_weights_and_says_its_axis(name: str) -> None:
    for node in quantizers(name):
        scale = constant(node.inputs[1])
        if not scale.ndim:
            continue
        weight = node.inputs[0]
        if node.op_type == "DequantizeLinear":
            weight = weight.producer().inputs[0]  # type: ignore[union-attr]
            (reader,) = consumers(node.outputs[0])
            first = reader.op_type == "Conv" or reader.attributes.get_int("transB", 0) == 1
            assert node.attributes["axis"].value == (0 if first else 1)
        axis = node.attributes["axis"].value
        assert scale.size == constant(weight).shape[axis]


@EVERY_NET
def test_rule_8_the_two_of_a_pair_agree_and_nobody_else_sees_the_integers(name: str) -> None:
    graph = exported(name).graph
    for node in quantizers(name):
        if node.op_type == "QuantizeLinear":
            assert [n.op_type for n in consumers(node.outputs[0])] == ["DequantizeLinear"]
            other = consumers(node.outputs[0])[0]
            assert list(node.inputs[1:]) == list(other.inputs[1:])
            assert dict(node.attributes) == dict(other.attributes)
            assert node.outputs[0] not in graph.outputs
        else:
            assert producer(node.inputs[0]) == "QuantizeLinear"  # rule 12: also for TensorRT 8


@EVERY_NET
def test_rule_9_a_bias_is_a_float_initializer(name: str) -> None:
    for node in exported(name).graph:
        if node.op_type in WEIGHTED and len(node.inputs) > 2:
            bias = constant(node.inputs[2])

            assert bias.dtype == np.float32
            assert bias.ndim == 1


@EVERY_NET
def test_rules_10_and_11_standard_operators_of_opset_13_or_later(name: str) -> None:
    built = exported(name)

    assert set(built.graph.opset_imports) == {""}
    assert built.graph.opset_imports[""] >= 13
    assert not [n for n in built.graph if n.domain or n.op_type.startswith("QLinear")]


@EVERY_NET
def test_rule_14_all_inputs_of_a_weighted_layer_are_dequantized(name: str) -> None:
    weighted = [node for node in exported(name).graph if node.op_type in WEIGHTED]

    assert weighted
    for node in weighted:
        assert [producer(v) for v in node.inputs[:2]] == ["DequantizeLinear"] * 2


@EVERY_NET
def test_rule_15_of_a_residual_add_only_the_skip_is_dequantized(name: str) -> None:
    for node in exported(name).graph:
        if node.op_type == "Add":
            made = sorted(producer(v) for v in node.inputs)

            assert made == ["Conv", "DequantizeLinear"]


@EVERY_NET
def test_rule_16_what_reads_a_residual_add_in_integers_reads_a_quantizer(name: str) -> None:
    for node in exported(name).graph:
        if node.op_type == "Add":
            (relu,) = consumers(node.outputs[0])

            assert relu.op_type == "Relu"
            assert [n.op_type for n in consumers(relu.outputs[0])] == ["QuantizeLinear"]


@EVERY_NET
def test_rule_17_nothing_stands_between_a_layer_and_its_activation(name: str) -> None:
    for node in exported(name).graph:
        if node.op_type in ("Relu", "Clip"):
            assert producer(node.inputs[0]) in ("Conv", "Gemm", "Add")


@EVERY_NET
def test_rule_18_a_tensor_is_quantized_once(name: str) -> None:
    sources = [n.inputs[0] for n in quantizers(name) if n.op_type == "QuantizeLinear"]

    assert len(sources) == len({id(v) for v in sources})


@EVERY_NET
def test_rule_19_a_concat_and_a_pool_have_one_scale_on_both_sides(name: str) -> None:
    for node in exported(name).graph:
        if node.op_type in ("Concat", "MaxPool"):
            fed = [v for v in node.inputs if producer(v) == "DequantizeLinear"]
            (behind,) = consumers(node.outputs[0])

            assert behind.op_type == "QuantizeLinear"
            assert {scale_of(v) for v in fed} <= {float(constant(behind.inputs[1]))}
            if node.op_type == "MaxPool":
                assert len(fed) == 1


@EVERY_NET
def test_rule_20_an_operator_that_reads_integers_writes_integers(name: str) -> None:
    """A view hands them on: the quantizer may stand behind it."""
    for node in exported(name).graph:
        if node.op_type in ("AveragePool", "GlobalAveragePool", "Add", "Mul"):
            if "DequantizeLinear" not in [producer(v) for v in node.inputs]:
                continue
            behind = [n for r in consumers(node.outputs[0]) for n in real(_past_relu(r))]

            assert behind
            assert {n.op_type for n in behind} == {"QuantizeLinear"}


def _past_relu(node: ir.Node) -> list[ir.Node]:
    return consumers(node.outputs[0]) if node.op_type == "Relu" else [node]


def test_the_concat_of_the_mixed_net_has_a_quantized_input() -> None:
    """So that rule 19 is about something."""
    concat = next(n for n in exported("mixed").graph if n.op_type == "Concat")

    assert [producer(v) for v in concat.inputs] == ["Conv", "DequantizeLinear"]
