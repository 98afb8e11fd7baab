"""Typed graphs are float16 where the plan says so, and compute what numpy does in float16."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from quant.common.errors import InputError, UnsupportedError
from quant.export.tensorrt.graph.typed import with_types
from quant.export.tensorrt.target import TENSORRT
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.finding import errors
from tests.chosen import chosen, inputs, run
from tests.export.tensorrt.nets import check, wide_net
from tests.models import concat_net, depthwise_net, gemm_net, model, residual_net, weights

F16, F32 = ir.DataType.FLOAT16, ir.DataType.FLOAT
F = NDArray[np.float32]


def edited(graph: Graph, plan: Plan, *names: str, precision: str = "float16") -> Plan:
    """Return a plan in which these layers are float, as a person would edit it."""
    nodes = {str(n.name): n for n in graph.nodes}
    layers, tensors = dict(plan.layers), dict(plan.tensors)
    for name in names:
        layers[name] = replace(layers[name], precision=precision)
        for value in nodes[name].inputs:
            tensor = tensors.get(str(value.name)) if value is not None else None
            if value is None or tensor is None:
                continue
            every = tensor.readers or tuple((str(u.node.name), u.idx) for u in value.uses())
            left = tuple(r for r in every if r[0] not in names)
            if left:
                tensors[tensor.tensor] = replace(tensor, readers=left)
            else:
                del tensors[tensor.tensor]
    return replace(plan, layers=layers, tensors=tensors)


def built(
    proto: onnx.ModelProto, *names: str, precision: str = "float16"
) -> tuple[Graph, Plan, ir.Model]:
    graph, plan = chosen(proto, "tensorrt")
    plan = edited(graph, plan, *names, precision=precision)
    quantized = quantize_graph(graph, plan, TENSORRT, weight_form="integer")
    return graph, plan, with_types(quantized, plan, graph)


def checked(typed_model: ir.Model) -> None:
    """Hold a model against onnx's checker and its strict inference."""
    proto = ir.to_proto(typed_model)
    onnx.checker.check_model(proto, full_check=True)
    onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)


def casts(typed_model: ir.Model) -> list[tuple[str, str]]:
    return [
        (str(n.inputs[0].name), str(n.outputs[0].name))  # type: ignore[union-attr]
        for n in typed_model.graph
        if n.op_type == "Cast"
    ]


def kinds(typed_model: ir.Model) -> dict[str, ir.DataType | None]:
    """Return the type of each node's first result, quantizers left out."""
    skip = ("QuantizeLinear", "DequantizeLinear", "Cast")
    return {str(n.name): n.outputs[0].dtype for n in typed_model.graph if n.op_type not in skip}


def three_convs() -> onnx.ModelProto:
    return model(
        """g (float[N,3,4,4] input) => (float[N,8,4,4] output) {
            [one] a = Conv(input, w1, b1)
            [relu1] b = Relu(a)
            [two] c = Conv(b, w2, b2)
            [relu2] d = Relu(c)
            [three] output = Conv(d, w3, b3)
        }""",
        weights(4, w1=(8, 3, 1, 1), b1=(8,), w2=(8, 8, 1, 1), b2=(8,), w3=(8, 8, 1, 1), b3=(8,)),
    )


def conv(x: F, w: F, b: F) -> F:
    """Return a 1x1 convolution in float32, exact enough for float16 results."""
    return np.asarray(
        np.einsum("nchw,kc->nkhw", x.astype(np.float64), w[:, :, 0, 0].astype(np.float64))
        + b[:, None, None],
        np.float32,
    )


def f16(x: NDArray[np.floating]) -> F:  # type: ignore[type-arg]
    return x.astype(np.float16).astype(np.float32)


def test_a_float16_layer_between_integer_ones_computes_what_numpy_computes_in_float16() -> None:
    """All but a few results agree to the last bit of float16; none is off by more than a step."""
    graph, plan, typed_model = built(three_convs(), "two")
    held = {n: graph.array(n) for n in graph.model.graph.initializers}
    scale = {t.tensor: t.params.scale for t in plan.quantized if t.params is not None}
    x = inputs(graph, seed=3)["input"]

    def weight(name: str, kind: type) -> F:
        """Return the dequantized weight; its scale in the type that the layer computes in."""
        column = scale[name].reshape(-1, 1, 1, 1)
        q = np.clip(np.rint(held[name] / column), -127, 127)
        return (q * column.astype(kind)).astype(kind).astype(np.float32)

    s_in, s_d = f16(scale["input"]), f16(scale["d"])
    q_in = np.clip(np.rint(x / s_in), -128, 127)
    b = f16(np.maximum(conv(f16(q_in * s_in), weight("w1", np.float16), f16(held["b1"])), 0))
    d = f16(np.maximum(conv(b, f16(held["w2"]), f16(held["b2"])), 0))
    q_d = np.clip(np.rint(d / s_d), -128, 127)
    wanted = conv(q_d * s_d, weight("w3", np.float32), held["b3"])
    (got,) = run(typed_model, {"input": x})
    step = float(s_d) * np.abs(held["w3"]).sum(axis=1).max()

    assert kinds(typed_model) == {"one": F16, "relu1": F16, "two": F16, "relu2": F16, "three": F32}
    assert casts(typed_model) == []
    assert np.abs(got - wanted).max() <= step
    assert np.mean(np.abs(got - wanted) <= 1e-5) > 0.99
    (untyped,) = run(quantize_graph(graph, plan, TENSORRT, weight_form="integer"), {"input": x})
    assert np.mean(np.abs(untyped - wanted) <= 1e-5) < 0.9  # so that float16 is seen at all


NETS = {
    "residual": (residual_net, ["stem", "conv1", "conv2", "fc"]),
    "concat": (concat_net, ["left", "right", "mix"]),
    "depthwise": (depthwise_net, ["expand", "depthwise", "project", "fc"]),
    "gemm": (gemm_net, ["fc1", "fc2", "fc3"]),
    "wide": (wide_net, ["stem", "conv2", "left", "mix", "up", "fc"]),
}


@pytest.mark.parametrize(
    ("net", "names"),
    [(n, [name]) for n, (_, every) in NETS.items() for name in every]
    + [(n, every) for n, (_, every) in NETS.items()],
)
def test_every_layer_can_be_float16_and_every_graph_checks_and_runs(
    net: str, names: list[str]
) -> None:
    """8 bits give 20 dB or more; types that do not fit would be refused by checker and runtime."""
    graph, _, typed_model = built(NETS[net][0](), *names)
    feeds = inputs(graph, seed=8)
    (wanted,), (got,) = run(graph.model, feeds), run(typed_model, feeds)
    noise = ((wanted - got).astype(np.float64) ** 2).sum()
    types = kinds(typed_model)

    checked(typed_model)
    assert errors(check(typed_model, "11")) == []
    assert all(types[n] == F16 for n in names)
    assert got.dtype == np.float32
    assert 10 * np.log10((wanted.astype(np.float64) ** 2).sum() / noise) > 20


def test_all_float16_needs_a_cast_at_each_end_and_no_other() -> None:
    names = ["one", "two", "three"]
    _, _, typed_model = built(three_convs(), *names)

    assert set(kinds(typed_model).values()) == {F16}
    assert casts(typed_model) == [("input", "input_float16"), ("output_float16", "output")]
    assert [v.name for v in typed_model.graph.outputs] == ["output"]
    assert typed_model.graph.outputs[0].dtype == typed_model.graph.inputs[0].dtype == F32


def test_one_cast_serves_all_readers() -> None:
    proto = model(
        """g (float[N,3,4,4] input) => (float[N,8,4,4] output) {
            [left] a = Conv(input, w1)
            [right] b = Conv(input, w2)
            [sum] output = Add(a, b)
        }""",
        weights(4, w1=(8, 3, 1, 1), w2=(8, 3, 1, 1)),
    )
    proto.graph.node.append(onnx.helper.make_node("Conv", ["output", "w3"], ["last"], "last"))
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(a, n) for n, a in weights(5, w3=(4, 8, 1, 1)).items()
    )
    proto.graph.output.append(onnx.helper.make_tensor_value_info("last", 1, None))
    graph, plan = chosen(proto, "tensorrt")
    plan = edited(graph, plan, "left", "right", "sum")
    typed_model = with_types(
        quantize_graph(graph, plan, TENSORRT, weight_form="integer"), plan, graph
    )

    checked(typed_model)
    assert casts(typed_model) == [("input", "input_float16"), ("output_float16", "output")]


def test_a_float32_layer_between_float16_ones_is_cast_to_and_from() -> None:
    graph, plan, _ = built(three_convs(), "one", "two", "three")
    layers = {**plan.layers, "two": replace(plan.layers["two"], precision="float32")}
    plan = replace(plan, layers=layers)
    typed_model = with_types(
        quantize_graph(graph, plan, TENSORRT, weight_form="integer"), plan, graph
    )

    checked(typed_model)
    assert kinds(typed_model)["two"] == F32
    assert casts(typed_model) == [
        ("input", "input_float16"),
        ("b", "b_float32"),
        ("d", "d_float16"),
        ("output_float16", "output"),
    ]


def test_a_view_keeps_the_type_of_what_it_moves() -> None:
    """Flatten is float32 in the plan, and to cast before and behind it would change no number."""
    _, plan, typed_model = built(gemm_net(), "fc1", "fc2", "fc3")

    assert plan.layers["flat"].precision == "float32"
    assert kinds(typed_model)["flat"] == F32  # it moves the network's input
    assert casts(typed_model) == [("a", "a_float16"), ("output_float16", "output")]


def test_without_float16_layers_nothing_changes() -> None:
    graph, plan, typed_model = built(residual_net())
    before = quantize_graph(graph, plan, TENSORRT, weight_form="integer")

    assert ir.to_proto(typed_model).SerializeToString(deterministic=True) == ir.to_proto(
        before
    ).SerializeToString(deterministic=True)


def scales(typed_model: ir.Model, tensor: str) -> set[tuple[str, float]]:
    """Return type and value of every scale of a tensor's quantizers."""
    found = set()
    for node in typed_model.graph:
        if node.name is not None and node.name.startswith(f"{tensor}_") and len(node.inputs) > 1:
            array = node.inputs[1].const_value.numpy()  # type: ignore[union-attr]
            found.add((str(array.dtype), float(array)))
    return found


def test_joined_tensors_and_the_two_of_a_pair_keep_equal_scales_in_both_types() -> None:
    """Rounded to float16 wherever they stand: equality is what fuses MaxPool, Concat and Add."""
    _, plan, typed_model = built(wide_net(), "left")
    exact = {n: float(plan.tensors[n].params.scale) for n in ("h", "k")}  # type: ignore[union-attr]
    seen = {n: {value for _, value in scales(typed_model, n)} for n in ("h", "k")}

    assert exact["h"] == exact["k"]
    assert seen["h"] == seen["k"] == {float(np.float16(exact["h"]))}
    assert exact["h"] != float(np.float16(exact["h"]))


def test_weights_that_stay_float_keep_equal_scales_in_their_pair() -> None:
    """The form of FP8 weights: a float32 QuantizeLinear and a float16 DequantizeLinear."""
    graph, plan = chosen(wide_net(), "tensorrt")
    plan = edited(graph, plan, "left", "conv2")
    quantized = quantize_graph(graph, plan, TENSORRT, weight_form="float")
    typed_model = with_types(quantized, plan, graph)
    ops = {str(n.name): n for n in typed_model.graph}
    pair = [ops["w2_QuantizeLinear"], ops["w2_DequantizeLinear_float16"]]
    arrays = [n.inputs[1].const_value.numpy() for n in pair]  # type: ignore[union-attr]

    checked(typed_model)
    assert errors(check(typed_model, "11")) == []
    assert [a.dtype for a in arrays] == [np.float32, np.float16]
    np.testing.assert_array_equal(arrays[0], arrays[1].astype(np.float32))


def test_a_pool_between_a_float32_and_a_float16_side_keeps_one_scale() -> None:
    proto = model(
        """g (float[N,3,4,4] input) => (float[N,8,2,2] output) {
            [one] a = Conv(input, w1)
            [pool] b = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
            [two] c = Conv(b, w2)
            [three] output = Conv(c, w3)
        }""",
        weights(6, w1=(8, 3, 1, 1), w2=(8, 8, 1, 1), w3=(8, 8, 1, 1)),
    )
    _, plan, typed_model = built(proto, "three")
    exact = float(plan.tensors["a"].params.scale)  # type: ignore[union-attr]
    rounded = float(np.float16(exact))

    assert kinds(typed_model) == {"one": F32, "pool": F32, "two": F16, "three": F16}
    assert scales(typed_model, "a") == {("float32", rounded)}
    assert scales(typed_model, "b") == {("float32", rounded), ("float16", rounded)}
    assert rounded != exact


def test_an_integer_sum_takes_the_type_of_the_float_branch_that_it_reads() -> None:
    """The convolution's operand of a residual Add has no quantizer that could change its type."""
    _, _, typed_model = built(wide_net(), "conv2")

    assert kinds(typed_model)["add"] == kinds(typed_model)["relu3"] == F16
    assert casts(typed_model) == []


def test_a_network_output_counts_as_a_float32_reader() -> None:
    proto = model(
        """g (float[N,3,4,4] input) => (float[N,8,4,4] a, float[N,8,4,4] output) {
            [one] a = Conv(input, w1)
            [two] output = Conv(a, w2)
        }""",
        weights(6, w1=(8, 3, 1, 1), w2=(8, 8, 1, 1)),
    )
    _, _, typed_model = built(proto, "two")

    assert kinds(typed_model) == {"one": F32, "two": F16}
    assert casts(typed_model) == [("a", "a_float16"), ("output_float16", "output")]


def test_a_scale_that_float16_cannot_hold_keeps_its_layer_in_float32() -> None:
    """The weight scales of a layer of tiny weights are subnormal in float16."""
    held = weights(4, w1=(8, 3, 1, 1), b1=(8,), w2=(8, 8, 1, 1), b2=(8,))
    held["w1"] = held["w1"] * np.float32(1e-4)
    proto = model(
        """g (float[N,3,4,4] input) => (float[N,8,4,4] output) {
            [one] a = Conv(input, w1, b1)
            [relu1] b = Relu(a)
            [two] output = Conv(b, w2, b2)
        }""",
        held,
    )
    _, _, typed_model = built(proto, "two")

    assert kinds(typed_model) == {"one": F32, "relu1": F32, "two": F16}
    assert casts(typed_model) == [("b", "b_float16"), ("output_float16", "output")]


def test_a_weight_beyond_float16_is_refused() -> None:
    held = weights(4, w1=(8, 3, 1, 1), w2=(8, 8, 1, 1))
    held["w2"][0, 0, 0, 0] = 70000
    proto = model(
        """g (float[N,3,4,4] input) => (float[N,8,4,4] output) {
            [one] a = Conv(input, w1)
            [two] output = Conv(a, w2)
        }""",
        held,
    )
    with pytest.raises(InputError) as caught:
        built(proto, "two")

    assert str(caught.value) == (
        "plan: layer 'two' is float16, and its constant 'w2' holds 70000, beyond float16's 65504. "
        "Give the layer float32."
    )


def with_node(text: str, held: Mapping[str, NDArray[np.float32]] | None = None) -> onnx.ModelProto:
    """Return two convolutions with other operators behind the first."""
    return model(
        f"""g (float[N,3,4,4] input) => (float[N,8,k,l] output) {{
            [one] a = Conv(input, w1)
            {text}
            [two] output = Conv(b, w2)
        }}""",
        {**weights(4, w1=(8, 3, 1, 1), w2=(8, 8, 1, 1)), **(held or {})},
    )


def test_resize_scales_stay_float32_in_a_float16_layer() -> None:
    """ONNX allows tensor(float) alone there."""
    proto = with_node('[up] b = Resize<mode="nearest">(a, , s)', {"s": np.float32([1, 1, 2, 2])})
    graph, plan = chosen(proto, "tensorrt")
    layers = {**plan.layers, "up": replace(plan.layers["up"], precision="float16")}
    plan = replace(plan, layers=layers)
    typed_model = with_types(
        quantize_graph(graph, plan, TENSORRT, weight_form="integer"), plan, graph
    )

    checked(typed_model)
    assert kinds(typed_model)["up"] == F16
    resize = next(n for n in typed_model.graph if n.op_type == "Resize")
    assert resize.inputs[2].dtype == F32  # type: ignore[union-attr]
    assert run(typed_model, inputs(graph))[0].shape == (8, 8, 8, 8)


def test_an_operator_without_float16_form_is_refused() -> None:
    proto = with_node("[odd] b = Relu(a)")
    graph, plan = chosen(proto, "tensorrt")
    quantized = quantize_graph(graph, plan, TENSORRT, weight_form="integer")
    for built_graph in (graph.model, quantized):
        node = next(n for n in built_graph.graph if n.name == "odd")
        node.op_type = "NonMaxSuppression"
    graph = Graph(graph.model, graph.name)  # its layers are those of the new operator
    row = replace(
        plan.layers["one"], layer="odd", op="NonMaxSuppression", precision=Precision.FLOAT16
    )
    with pytest.raises(UnsupportedError) as caught:
        with_types(quantized, replace(plan, layers={**plan.layers, "odd": row}), graph)

    assert str(caught.value) == (
        "plan: layer 'odd' is float16, and NonMaxSuppression has no float16 form in opset 19. Give "
        "it float32."
    )


def test_a_model_that_cannot_be_raised_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(proto: onnx.ModelProto, version: int) -> onnx.ModelProto:
        raise RuntimeError("No Adapter From Version 18 for 'Odd'")

    monkeypatch.setattr("onnx.version_converter.convert_version", fails)
    graph, plan = chosen(three_convs(), "tensorrt")
    plan = edited(graph, plan, "two")
    quantized = quantize_graph(graph, plan, TENSORRT, weight_form="integer")
    with pytest.raises(UnsupportedError) as caught:
        with_types(quantized, plan, graph)

    assert str(caught.value) == (
        "graph 'g': float16 layers need opset 19, and onnx's version converter reported 'No Adapter "
        'From Version 18 for "Odd"\'. Export the model with opset 19, or give the layers float32.'
    )


def test_what_the_converter_brings_has_names_and_no_constant_nodes() -> None:
    """ReduceMean's axes become an input in opset 18: as a Constant node without a name."""
    proto = with_node("[mean] b = ReduceMean<axes = [2, 3], keepdims = 1>(a)")
    graph, plan = chosen(proto, "tensorrt")
    names = [n for n, x in plan.layers.items() if x.quantized][:1]
    plan = edited(graph, plan, *names)
    typed_model = with_types(
        quantize_graph(graph, plan, TENSORRT, weight_form="integer"), plan, graph
    )
    checked(typed_model)

    assert all(node.name for node in typed_model.graph)
    assert not [n for n in typed_model.graph if n.op_type == "Constant"]


def test_a_subgraph_goes_on_reading_float32() -> None:
    """The body of an If sees the values around it; its own nodes keep their types."""
    proto = with_node("[id] b = Relu(a)")
    body = onnx.helper.make_graph(
        [onnx.helper.make_node("Neg", ["a"], ["inner"], "neg")],
        "body",
        [],
        [onnx.helper.make_tensor_value_info("inner", 1, None)],
    )
    proto.graph.node.insert(
        1, onnx.helper.make_node("If", ["yes"], ["c"], "if", then_branch=body, else_branch=body)
    )
    proto.graph.node.insert(1, onnx.helper.make_node("Cast", ["sum"], ["yes"], "bool", to=9))
    proto.graph.node.insert(
        1, onnx.helper.make_node("ReduceSum", ["input"], ["sum"], "sum", keepdims=0)
    )
    proto.graph.output.append(onnx.helper.make_tensor_value_info("c", 1, None))
    _, _, typed_model = built(proto, "one")

    checked(typed_model)
    assert ("a", "a_float32") in casts(typed_model)
    assert weight_of(next(n for n in typed_model.graph if n.name == "one")) is not None
