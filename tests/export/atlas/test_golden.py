"""AMCT's own deploy model: our interpreter computes it, our writer writes it, our rules accept it."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
import onnx_ir as ir
import onnxruntime as ort
import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from numpy.typing import NDArray

from quant.export.atlas.check.interpret import interpret
from quant.export.atlas.check.run_rules import check_export
from quant.export.atlas.files.record import record_text
from quant.export.atlas.graph.deploy_model import deploy_model
from quant.export.atlas.graph.integer_layer import pack_scales, unpack_scales
from quant.export.atlas.graph.integer_layers import integer_layers
from quant.export.atlas.graph.simulate import simulated
from quant.formats.number_format import Params
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import LayerPlan, Plan, TensorPlan
from quant.target.deployment import Deployment
from quant.target.finding import errors
from tests.atlas import ACTIVATION, WEIGHT, run_simulated
from tests.tree import ROOT

GOLDEN = ROOT / "tests" / "golden" / "atlas"
AXIS = {"Conv": 0, "ConvTranspose": 1}


@cache
def golden(name: str = "deploy") -> onnx.ModelProto:
    return onnx.load(GOLDEN / f"demo_{name}_model.onnx")


def schema() -> Any:
    """Return ScaleOffsetRecord of the golden .proto, compiled here without a generated file."""
    text = (GOLDEN / "scale_offset_record_amct_onnx.proto").read_text(encoding="utf-8")
    file = descriptor_pb2.FileDescriptorProto(
        name="golden.proto", package="Golden", syntax="proto2"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, body in re.findall(r"message (\w+) \{(.*?)\}", text, re.DOTALL):
        made = file.message_type.add(name=message)
        for label, kind, name, number in re.findall(r"(\w+) (\w+) (\w+) = (\d+)", body):
            field = made.field.add(name=name, number=int(number))
            field.label = getattr(kinds, f"LABEL_{label.upper()}")
            if hasattr(kinds, f"TYPE_{kind.upper()}"):
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
            else:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".Golden.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("Golden.ScaleOffsetRecord")
    return message_factory.GetMessageClass(found)


def records(text: str) -> dict[str, Any]:
    message = text_format.Parse(text, schema()())
    return {entry.key: entry.value for entry in message.record}


def golden_records() -> dict[str, Any]:
    return records((GOLDEN / "record.txt").read_text(encoding="utf-8"))


def images(seed: int, spread: float = 1.0) -> dict[str, NDArray[np.float32]]:
    made = np.random.default_rng(seed).normal(0, spread, (1, 3, 16, 16))
    return {"input": made.astype(np.float32)}


@cache
def float_graph() -> Graph:
    """Return the float network that the golden model was: weights and biases times their steps."""
    held = golden_records()
    proto = onnx.ModelProto()
    proto.CopyFrom(golden())
    arrays = {i.name: onnx.numpy_helper.to_array(i) for i in proto.graph.initializer}
    moved: dict[str, str] = {}
    nodes = []
    for node in proto.graph.node:
        if node.op_type.startswith("Ascend"):
            moved[node.output[0]] = moved.get(node.input[0], node.input[0])
            continue
        nodes.append(node)
        for index, name in enumerate(node.input):
            node.input[index] = moved.get(name, name)
        if node.name in held and len(node.input) > 1:
            dense = node.op_type == "Gemm"
            step = np.array(held[node.name].scale_w, np.float32)
            axis = AXIS.get(node.op_type, 0)
            shape = [1] * arrays[node.input[1]].ndim
            shape[axis] = -1
            whole = arrays[node.input[1]].astype(np.float32)
            arrays[node.input[1]] = whole * (step[0] if dense else step.reshape(shape))
            scale = np.float32(held[node.name].scale_d) * step
            arrays[node.input[2]] = (arrays[node.input[2]] * scale.astype(np.float64)).astype(
                np.float32
            )
    del proto.graph.node[:], proto.graph.initializer[:], proto.graph.value_info[:]
    nodes[-1].output[0] = "output"
    proto.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(a, n) for n, a in arrays.items() if n in read
    )
    return Graph(ir.from_proto(onnx.shape_inference.infer_shapes(proto)), "demo")


def golden_plan(graph: Graph) -> Plan:
    """Return the golden record as a plan."""
    held = golden_records()
    layers, tensors = {}, {}
    for node in graph.nodes:
        name = str(node.name)
        record = held.get(name)
        precision = "int8" if record is not None else "float16"
        layers[name] = LayerPlan(layer=name, op=node.op_type, precision=precision, because="")
        if record is None:
            continue
        data = str(node.inputs[0].name)  # type: ignore[union-attr]
        tensors[data] = TensorPlan(
            tensor=data,
            kind="activation",
            format=ACTIVATION,
            params=Params(
                scale=np.array(record.scale_d, np.float32),
                zero_point=np.array(record.offset_d, np.int32),
            ),
            readers=((name, 0),),
            because="",
        )
        if node.op_type != "AveragePool":
            weight = str(node.inputs[1].name)  # type: ignore[union-attr]
            axis = AXIS.get(node.op_type)
            scale = np.array(record.scale_w, np.float32)
            scale = scale[0] if axis is None else scale
            tensors[weight] = TensorPlan(
                tensor=weight,
                kind="weight",
                format=WEIGHT.with_axis(axis),
                params=Params(scale=np.asarray(scale), zero_point=np.zeros(scale.shape, np.int32)),
                because="",
            )
    return Plan(target="atlas", graph=graph.fingerprint, layers=layers, tensors=tensors)


@pytest.mark.parametrize(("seed", "spread"), [(0, 1.0), (1, 3.0), (2, 30.0)])
def test_the_interpreter_equals_amcts_own_float_simulation_bit_for_bit(
    seed: int, spread: float
) -> None:
    """The fake-quantized model is AMCT's word for what the deploy model computes."""
    feeds = images(seed, spread)
    session = ort.InferenceSession(golden("fake_quant").SerializeToString())
    (wanted,) = session.run(None, feeds)

    outputs = interpret(golden(), feeds)

    np.testing.assert_array_equal(outputs["output"], wanted)


def test_a_scale_is_packed_as_amct_packs_it() -> None:
    """0x3801B57D, worked out by hand from the record: 0.02338948 * 0.0013221765 in float32."""
    product = np.float32([0.02338948]) * np.float32(0.0013221765)

    assert pack_scales(product).tolist() == [939636093]
    assert unpack_scales(np.array([939636093], np.uint64)).tolist() == [3.0925020837457851e-05]
    assert pack_scales(product).dtype == np.uint64


def test_the_writer_writes_amcts_deploy_model() -> None:
    """The one foreign file of the format: nodes, attributes, integers and scales, one by one.

    What differs, and why it may: AMCT names a bias that it folded out of a BatchNorm anew, and its
    tensors' value_info is left over from before its passes.
    """
    graph = float_graph()
    made, wanted = deploy_model(graph, golden_plan(graph)), golden()

    assert [(o.domain, o.version) for o in made.opset_import] == [("", 11)]
    assert made.ir_version == wanted.ir_version == 6
    assert [n.name for n in made.graph.node] == [n.name for n in wanted.graph.node]
    for ours, theirs in zip(made.graph.node, wanted.graph.node, strict=True):
        assert ours.op_type == theirs.op_type
        assert ours.domain == theirs.domain == ""
        assert list(ours.input) == list(theirs.input)
        assert list(ours.output) == list(theirs.output)
        told = {a.name: (a.type, onnx.helper.get_attribute_value(a)) for a in ours.attribute}
        other = {a.name: (a.type, onnx.helper.get_attribute_value(a)) for a in theirs.attribute}
        assert told == other, ours.name
    mine = {i.name: i for i in made.graph.initializer}
    for tensor in wanted.graph.initializer:
        assert mine[tensor.name].data_type == tensor.data_type
        assert list(mine[tensor.name].dims) == list(tensor.dims)
        np.testing.assert_array_equal(
            onnx.numpy_helper.to_array(mine[tensor.name]), onnx.numpy_helper.to_array(tensor)
        )
        if tensor.data_type == onnx.TensorProto.UINT64:
            assert list(mine[tensor.name].uint64_data) == list(tensor.uint64_data)
            assert not mine[tensor.name].raw_data
    assert len(mine) == len(wanted.graph.initializer)
    assert not made.graph.value_info  # of integers it would say float
    assert [v.name for v in made.graph.input] == [v.name for v in wanted.graph.input]
    assert [v.name for v in made.graph.output] == [v.name for v in wanted.graph.output]


def test_the_simulation_of_the_golden_network_equals_amcts() -> None:
    """Between our quantizers stand float operators on integers, in the opset of prepared graphs."""
    raised = onnx.version_converter.convert_version(ir.to_proto(float_graph().model), 17)
    graph = Graph(ir.from_proto(onnx.shape_inference.infer_shapes(raised)), "demo")
    feeds = images(4)
    (outputs,) = run_simulated(simulated(graph, golden_plan(graph)), feeds)
    session = ort.InferenceSession(golden("fake_quant").SerializeToString())

    np.testing.assert_array_equal(outputs, session.run(None, feeds)[0])


def test_the_record_equals_amcts_field_by_field() -> None:
    """Parsed with the vendor's schema, and equal in every field that AMCT wrote."""
    graph = float_graph()
    text = record_text(integer_layers(graph.clone(), golden_plan(graph)), "Ascend310P3")

    made, wanted = records(text), golden_records()

    assert list(made) == list(wanted)
    for name, record in made.items():
        assert record.SerializeToString() == wanted[name].SerializeToString()
    assert text == (GOLDEN / "record.txt").read_text(encoding="utf-8")


def test_an_old_chip_gets_no_field_that_its_amct_may_not_know() -> None:
    """CANN 6.0.1 has no fields from 13 on, and text format refuses a strange field."""
    graph = float_graph()
    text = record_text(integer_layers(graph.clone(), golden_plan(graph)), "Ascend310")

    assert "act_type" not in text
    assert "wts_type" not in text
    assert list(records(text)) == list(golden_records())


def test_the_golden_model_has_no_error_under_our_rules(tmp_path: Path) -> None:
    """A rule that refuses AMCT's own file would be wrong."""
    alone = tmp_path / "model.onnx"
    alone.write_bytes((GOLDEN / "demo_deploy_model.onnx").read_bytes())
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "deploy_model.onnx").write_bytes(alone.read_bytes())
    (folder / "record.txt").write_bytes((GOLDEN / "record.txt").read_bytes())
    (folder / "simulated.onnx").write_bytes((GOLDEN / "demo_fake_quant_model.onnx").read_bytes())

    for path in (alone, folder):
        findings = check_export(path, Deployment(versions={"atlas": "Ascend310"}))

        assert errors(findings) == []
        assert {f.rule for f in findings} == {"atlas-13", "atlas-20"}
    (half,) = [f for f in findings if f.rule == "atlas-13"]
    assert half.saw == "5 of 6 AscendDequant with scales beyond float16's normal range"
