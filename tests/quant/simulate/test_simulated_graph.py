"""The simulated graph in ONNX Runtime equals the arithmetic by hand, whatever the names are."""

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.formats.number_format import INT8, Params
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.plan.tensor_plans import Plan, TensorPlan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests.chosen import chosen, inputs, prepared, run
from tests.models import (
    concat_net,
    conv_relu_net,
    depthwise_net,
    gemm_net,
    model,
    residual_net,
    weights,
)

ORT, TRT = TARGETS["onnxruntime"], TARGETS["tensorrt"]
F64 = NDArray[np.float64]


def fake(x: NDArray[np.float32], tensor: TensorPlan) -> NDArray[np.float32]:
    """Return scale * (clip(round(x / scale) + zero) - zero), written out once more."""
    assert tensor.params is not None
    assert tensor.format is not None
    scale, zero = tensor.params.scale, tensor.params.zero_point.astype(np.float32)
    if scale.ndim:
        shape = [-1 if i == tensor.format.axis else 1 for i in range(x.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    low, high = {"uint8": (0, 255), "int8": (-127 if tensor.format.narrow else -128, 127)}[
        tensor.format.name
    ]
    return (np.clip(np.rint(x / scale) + zero, low, high) - zero) * scale


def dense_net() -> onnx.ModelProto:
    return model(
        """g (float[N,6] x) => (float[N,3] y) {
            [fc1] a = Gemm<transB=1>(x, w1, b1)
            [relu] r = Relu(a)
            [fc2] y = Gemm(r, w2, b2)
        }""",
        weights(3, w1=(5, 6), b1=(5,), w2=(5, 3), b2=(3,)),
    )


def by_op(built: ir.Model, op: str) -> list[ir.Node]:
    return [node for node in built.graph if node.op_type == op]


def constant(value: ir.Value | None) -> NDArray[np.float32]:
    assert value is not None
    assert value.const_value is not None
    return value.const_value.numpy()


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_two_layers_by_hand(target: str) -> None:
    """float64 products of the grids' numbers, which ONNX Runtime's float32 must meet to 1e-6."""
    graph, plan = chosen(dense_net(), target)
    x = inputs(graph, seed=5)["x"]
    held = {n: graph.array(n) for n in ("w1", "b1", "w2", "b2")}
    t = plan.tensors

    def bias(name: str, source: str, weight: str) -> NDArray[np.float32]:
        if target == "tensorrt":
            return held[name]
        one, other = t[source].params, t[weight].params
        assert one is not None
        assert other is not None
        step = one.scale * other.scale
        return np.rint(held[name] / step) * step

    first = fake(x, t["x"]).astype(np.float64) @ fake(held["w1"], t["w1"]).T.astype(np.float64)
    hidden = np.maximum(first + bias("b1", "x", "w1"), 0).astype(np.float32)
    wanted = fake(hidden, t["r"]).astype(np.float64) @ fake(held["w2"], t["w2"]) + bias(
        "b2", "r", "w2"
    )
    (made,) = run(quantize_graph(graph, plan, TARGETS[target]), {"x": x})

    assert np.abs(made - wanted).max() < 1e-6 * np.abs(wanted).max()
    assert np.abs(made - run(graph.model, {"x": x})[0]).max() > 1e-4  # and it is not float


def test_weights_are_stored_as_their_integers_and_biases_as_int32() -> None:
    graph, plan = chosen(dense_net())
    built = quantize_graph(graph, plan, ORT)
    w, x = plan.tensors["w2"], plan.tensors["r"]
    assert w.params is not None
    assert x.params is not None
    last = next(node for node in built.graph if node.name == "fc2")
    weight, bias = (last.inputs[i].producer() for i in (1, 2))  # type: ignore[union-attr]
    assert weight is not None
    assert bias is not None
    step = (x.params.scale * w.params.scale).astype(np.float32)

    assert constant(weight.inputs[0]).dtype == np.int8
    assert np.array_equal(
        constant(weight.inputs[0]), np.rint(graph.array("w2") / w.params.scale[None, :])
    )
    assert weight.attributes.get_int("axis", -9) == 1
    assert constant(bias.inputs[0]).dtype == np.int32
    assert np.array_equal(constant(bias.inputs[1]), step)
    assert np.array_equal(constant(bias.inputs[0]), np.rint(graph.array("b2") / step))
    assert "w2" not in built.graph.initializers


def test_tensorrt_keeps_float_weights_and_float_biases() -> None:
    graph, plan = chosen(dense_net(), "tensorrt")
    built = quantize_graph(graph, plan, TRT)
    last = next(node for node in built.graph if node.name == "fc2")
    dequantize = last.inputs[1].producer()  # type: ignore[union-attr]
    assert dequantize is not None
    quantize = dequantize.inputs[0].producer()  # type: ignore[union-attr]
    assert quantize is not None

    assert [quantize.op_type, dequantize.op_type] == ["QuantizeLinear", "DequantizeLinear"]
    assert quantize.inputs[1] is dequantize.inputs[1]
    assert np.array_equal(constant(quantize.inputs[0]), graph.array("w2"))
    assert np.array_equal(constant(last.inputs[2]), graph.array("b2"))


@pytest.mark.parametrize("net", [residual_net, concat_net, depthwise_net, gemm_net])
def test_both_forms_of_a_weight_give_the_same_numbers(net: object) -> None:
    assert callable(net)
    graph, plan = chosen(net())
    feeds = inputs(graph, seed=1)
    made = [
        run(quantize_graph(graph, plan, ORT, weight_form=form), feeds)[0]
        for form in ("integer", "float")
    ]

    assert np.array_equal(made[0], made[1])


def test_inputs_and_outputs_keep_their_names_types_and_shapes() -> None:
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,2,8,8] y, float[N,2,8,8] c) {
            [conv] a = Conv(x, w)
            [relu] y = Relu(a)
            [conv2] c = Conv(y, w2)
        }""",
        weights(0, w=(2, 3, 1, 1), w2=(2, 2, 1, 1)),
    )
    for target in TARGETS:
        graph, plan = chosen(proto, target)
        built = quantize_graph(graph, plan, TARGETS[target])
        session = open_session(built)
        made = dict(zip(["y", "c"], run(built, inputs(graph)), strict=True))

        assert [v.name for v in session.get_inputs()] == ["x"]
        assert [v.name for v in session.get_outputs()] == ["y", "c"]
        assert [v.shape for v in session.get_outputs()] == [["N", 2, 8, 8]] * 2
        assert [v.dtype for v in built.graph.outputs] == [ir.DataType.FLOAT] * 2
        if target == "onnxruntime":  # the output is what the integers say
            assert np.array_equal(made["y"], fake(made["y"], plan.tensors["y"]))


def test_the_graph_itself_is_left_as_it_was() -> None:
    graph, plan = chosen(residual_net())
    before = graph.fingerprint
    quantize_graph(graph, plan, ORT)

    assert Graph(graph.model, "again").fingerprint == before


@pytest.mark.parametrize("target", list(TARGETS))
def test_the_same_plan_gives_the_same_bytes(target: str) -> None:
    graph, plan = chosen(residual_net(), target)
    made = [
        ir.to_proto(quantize_graph(graph, plan, TARGETS[target])).SerializeToString(
            deterministic=True
        )
        for _ in range(2)
    ]

    assert made[0] == made[1]


HOSTILE = [
    "a b",
    "it's",
    'say "x"',
    "a/b/../c",
    "a\\b",
    "层 é \U0001f600",
    "x:0",
    "a,b;c",
    "<t>",
    "%s{0}",
    "new\nline",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("target", list(TARGETS))
def test_names_of_strangers_do_no_harm(name: str, target: str) -> None:
    proto = dense_net()
    renamed = {old: f"{old} {name}" for old in ("x", "a", "r", "y", "w1", "b1", "w2", "b2")}
    for node in proto.graph.node:
        node.name = f"{node.name} {name}"
        node.input[:] = [renamed[n] for n in node.input]
        node.output[:] = [renamed[n] for n in node.output]
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        value.name = renamed[value.name]
    graph, plan = chosen(proto, target)
    made = run(quantize_graph(graph, plan, TARGETS[target]), inputs(graph))
    other, other_plan = chosen(dense_net(), target)

    assert np.array_equal(
        made[0], run(quantize_graph(other, other_plan, TARGETS[target]), inputs(other))[0]
    )


OURS = [
    "x_scale",
    "x_zero_point",
    "x_QuantizeLinear_Output",
    "x_DequantizeLinear_Output",
    "w1_quantized",
    "w1_DequantizeLinear_Output",
    "b1_of_fc1_quantized",
    "b1_of_fc1_scale",
    "y_float",
    "x_QuantizeLinear",
    "w1_corrected",
]


@pytest.mark.parametrize("target", list(TARGETS))
@pytest.mark.parametrize("taken", OURS)
def test_a_name_that_we_would_have_given_may_be_taken(taken: str, target: str) -> None:
    """A model that another tool touched has such names, and two of one name is no graph."""
    proto = dense_net()
    for node in proto.graph.node:
        node.input[:] = [taken if n == "r" else n for n in node.input]
        node.output[:] = [taken if n == "r" else n for n in node.output]
    proto.graph.node[1].name = taken
    graph, plan = chosen(proto, target)
    plan = replace(plan, bias_shifts={"fc1": np.ones(5, np.float32)})
    built = quantize_graph(graph, plan, TARGETS[target])
    names = [str(v.name) for v in (*built.graph.inputs, *built.graph.initializers.values())]
    names += [str(v.name) for node in built.graph for v in node.outputs]

    assert len(names) == len(set(names))
    assert len({n.name for n in built.graph}) == len(built.graph)
    onnx.checker.check_model(ir.to_proto(built), full_check=True)
    assert np.all(np.isfinite(run(built, inputs(graph))[0]))


@pytest.mark.parametrize("opset", range(13, 22))
@pytest.mark.parametrize("target", list(TARGETS))
def test_every_opset_gives_a_graph_that_checks_and_runs(opset: int, target: str) -> None:
    proto = depthwise_net()
    proto.opset_import[0].version = opset
    proto.ir_version = 10
    graph, plan = chosen(proto, target)
    built = quantize_graph(graph, plan, TARGETS[target])
    onnx.checker.check_model(ir.to_proto(built), full_check=True)
    feeds = inputs(graph)

    assert built.graph.opset_imports[""] == graph.model.graph.opset_imports[""]
    assert np.array_equal(run(built, feeds)[0].shape, run(graph.model, feeds)[0].shape)


def shared_net() -> onnx.ModelProto:
    return model(
        """g (float[N,4,8,8] x) => (float[N,4,8,8] y) {
            [first] a = Conv(x, w, b)
            [relu] r = Relu(a)
            [second] y = Conv(r, w, b)
        }""",
        weights(0, w=(4, 4, 1, 1), b=(4,)),
    )


def test_a_shared_weight_is_stored_once_and_a_shared_bias_for_each_layer() -> None:
    """int32 biases lie on input scale * weight scale, and the two inputs differ."""
    graph, plan = chosen(shared_net())
    built = quantize_graph(graph, plan, ORT)
    first, second = by_op(built, "Conv")
    grids = [constant(n.inputs[2].producer().inputs[1]) for n in (first, second)]  # type: ignore[union-attr]

    assert first.inputs[1] is second.inputs[1]
    assert not np.array_equal(grids[0], grids[1])
    assert "b" not in built.graph.initializers


def test_a_float_layer_reads_the_float_weight_that_it_shares() -> None:
    graph, plan = chosen(shared_net())
    tensors = dict(plan.tensors)
    tensors["w"] = replace(tensors["w"], readers=(("first", 1),))
    built = quantize_graph(graph, replace(plan, tensors=tensors), ORT)
    second = by_op(built, "Conv")[1]

    assert second.inputs[1] is not None
    assert second.inputs[1].name == "w"


def test_only_some_tensors() -> None:
    """Isolated errors quantize one layer's tensors and leave all others float."""
    graph, plan = chosen(conv_relu_net())
    built = quantize_graph(graph, plan, ORT, only=frozenset({"input", "w1"}))

    assert [n.name for n in by_op(built, "QuantizeLinear")] == ["input_QuantizeLinear"]
    assert {n.inputs[0].name for n in by_op(built, "DequantizeLinear")} == {  # type: ignore[union-attr]
        "input_QuantizeLinear_Output",
        "w1_quantized",
        "b1_of_conv1_quantized",
    }
    empty = quantize_graph(graph, plan, ORT, only=frozenset())
    assert np.array_equal(run(empty, inputs(graph))[0], run(graph.model, inputs(graph))[0])


def test_a_third_operand_that_is_no_bias_stays() -> None:
    """Two quantized operands and a constant are also what a Concat or Sum may have."""
    proto = model(
        """g (float[N,3,8,8] x) => (float[N,2,8,8] y) {
            [left] a = Conv(x, w1)
            [right] b = Conv(x, w2)
            [sum] s = Sum(a, b, k)
            [join] j = Add(a, b)
            [joined] c = Conv(j, w3)
            [last] d = Conv(s, w3)
            [end] y = Add(c, d)
        }""",
        weights(0, w1=(2, 3, 1, 1), w2=(2, 3, 1, 1), w3=(2, 2, 1, 1), k=(8,)),
    )
    graph, plan = chosen(proto)
    built = quantize_graph(graph, plan, ORT)
    total = by_op(built, "Sum")[0]

    assert total.inputs[2] is not None
    assert total.inputs[2].name == "k"


def test_a_shift_makes_a_bias_where_there_was_none() -> None:
    proto = model(
        "g (float[N,3,8,8] x) => (float[N,2,8,8] y) { [conv] y = Conv(x, w) }",
        weights(0, w=(2, 3, 1, 1)),
    )
    graph, plan = chosen(proto, "tensorrt")
    shifted = replace(plan, bias_shifts={"conv": np.array([10, -20], np.float32)})
    feeds = inputs(graph)
    before, after = (run(quantize_graph(graph, p, TRT), feeds)[0] for p in (plan, shifted))

    assert np.allclose(after - before, np.array([10, -20]).reshape(1, 2, 1, 1), atol=1e-5)
    assert np.array_equal(run(quantize_graph(graph, shifted, TRT, only=frozenset()), feeds)[0],
                          run(graph.model, feeds)[0])  # fmt: skip


def test_a_shift_moves_one_layer_of_two_that_share_a_bias() -> None:
    graph, plan = chosen(shared_net(), "tensorrt")
    shifted = replace(plan, bias_shifts={"second": np.full(4, 3, np.float32)})
    feeds = inputs(graph)
    before, after = (run(quantize_graph(graph, p, TRT), feeds)[0] for p in (plan, shifted))

    assert np.allclose(after - before, 3, atol=1e-5)


def test_scales_whose_product_is_no_float32_do_not_break_the_bias() -> None:
    graph, plan = chosen(dense_net())
    tensors = dict(plan.tensors)
    for name in ("x", "w1"):
        params = tensors[name].params
        assert params is not None
        tiny = np.full_like(params.scale, 1e-30)
        tensors[name] = replace(
            tensors[name], params=Params(scale=tiny, zero_point=params.zero_point)
        )
    made = run(quantize_graph(graph, replace(plan, tensors=tensors), ORT), inputs(graph))

    assert np.all(np.isfinite(made[0]))


def one(plan: Plan, **changes: object) -> Plan:
    """Return the plan with its entry for x changed."""
    entry = replace(plan.tensors["x"], **changes)  # type: ignore[arg-type]
    return replace(plan, tensors={**plan.tensors, "x": entry})


def test_a_plan_that_does_not_fit_says_what_is_wrong() -> None:
    graph, plan = chosen(dense_net())

    with pytest.raises(InputError) as caught:
        quantize_graph(graph, replace(plan, graph="0" * 64), ORT)
    assert str(caught.value) == (
        "plan for 'onnxruntime': it is of another graph (fingerprint 000000000000, wanted "
        f"{graph.fingerprint[:12]}). Choose again for this model."
    )
    with pytest.raises(InputError) as caught:
        quantize_graph(graph, one(plan, tensor="q"), ORT)
    assert str(caught.value) == (
        "plan for 'onnxruntime': it names tensor 'q', which the graph does not have. "
        "Remove the entry."
    )
    with pytest.raises(InputError) as caught:
        quantize_graph(graph, one(plan, readers=(("fc1", 0), ("fc9", 0), ("fc2", 0))), ORT)
    assert str(caught.value) == (
        "plan: tensor 'x' has a reader that the graph does not have: input 0 of node 'fc2'. "
        "Remove the reader."
    )


def test_an_input_that_is_also_an_output_keeps_its_name() -> None:
    proto = model(
        "g (float[N,3] x) => (float[N,2] y, float[N,3] x) { [fc] y = Gemm(x, w) }",
        weights(0, w=(3, 2)),
    )
    graph = Graph(ir.from_proto(proto), "net")
    number = INT8
    params = Params(scale=np.asarray(0.1, np.float32), zero_point=np.asarray(0, np.int32))
    x = TensorPlan(tensor="x", kind="activation", format=number, params=params, because="test")
    plan = Plan(target="tensorrt", graph=graph.fingerprint, layers={}, tensors={"x": x})
    built = quantize_graph(graph, plan, TRT)

    assert [v.name for v in built.graph.inputs] == ["x"]
    assert [v.name for v in built.graph.outputs] == ["y", "x"]


def test_a_branch_of_an_if_sees_the_grid_too() -> None:
    """A tensor that only a subgraph reads is read all the same, and its Relu stays in there."""
    proto = model(
        """g (float[N,3,8,8] x, bool flag) => (float[N,2,8,8] y) { [conv] r = Conv(x, w) }""",
        weights(0, w=(2, 3, 1, 1)),
    )
    branches = [
        onnx.parser.parse_graph(f"b () => (float[N,2,8,8] {n}) {{ {n} = {op}(r) }}")
        for n, op in (("t", "Relu"), ("e", "Abs"))
    ]
    proto.graph.node.append(
        onnx.helper.make_node(
            "If", ["flag"], ["y"], "if", then_branch=branches[0], else_branch=branches[1]
        )
    )
    graph = prepared(proto)
    params = Params(scale=np.asarray(0.5, np.float32), zero_point=np.asarray(0, np.int32))
    r = TensorPlan(tensor="r", kind="activation", format=INT8, params=params, because="test")
    plan = Plan(target="tensorrt", graph=graph.fingerprint, layers={}, tensors={"r": r})
    x = inputs(prepared(shared_net()))["x"][:, :3]
    feeds = {"x": x, "flag": np.asarray(False)}
    built = quantize_graph(graph, plan, TRT)
    made = run(built, feeds)[0]

    assert next(x for x in graph.layers if x.name == "conv").activation is None
    assert np.array_equal(made, np.abs(fake(run(without_if(graph), {"x": x})[0], r)))


def without_if(graph: Graph) -> ir.Model:
    """Return the convolution alone."""
    built = graph.clone()
    convolution = built.graph[0]
    built.graph.remove(built.graph[1], safe=False)
    del built.graph.inputs[1]
    built.graph.outputs[:] = [convolution.outputs[0]]
    return built
