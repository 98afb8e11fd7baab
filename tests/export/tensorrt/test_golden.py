"""Findings on what other tools write for TensorRT, and ModelOpt's placement of quantizers."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from quant.choose.planner import Planner
from quant.export.tensorrt.check.run_rules import check_export
from quant.export.tensorrt.files.calibration_cache import cache_text, read_cache
from quant.export.tensorrt.write import write
from quant.load.prepare import prepare
from quant.target.deployment import Deployment
from quant.target.finding import Finding, errors
from quant.target.table import TARGETS
from tests.chosen import profiled
from tests.models import conv_relu_net
from tests.tree import ROOT

GOLDEN = ROOT / "tests" / "golden" / "tensorrt"
Q, DQ = "QuantizeLinear", "DequantizeLinear"

Placed = dict[str, tuple[frozenset[tuple[str, int]], int | None, int]]


def said(path: Path, version: str = "10") -> list[Finding]:
    return check_export(path, Deployment(versions={"tensorrt": version}))


@pytest.mark.parametrize("version", ["10", "11"])
@pytest.mark.parametrize("name", ["fp32", "int8_qdq", "int8_fp16"])
def test_nothing_is_said_of_nvidias_own_int8_graphs(name: str, version: str) -> None:
    assert said(GOLDEN / f"{name}.onnx", version) == []


@pytest.mark.parametrize("version", ["10", "11"])
@pytest.mark.parametrize(
    ("name", "place", "saw"),
    [
        # the depthwise convolution behind the sum stays float16, so that the sum is read twice
        ("fp8", "node 'add1'", "dequantized operands, and a result read in float by node 'dw'"),
        # the block ends the network: its sum is an output, and an output is float
        ("resblock_qdq", "node 'add'", "dequantized operands, and a float network output"),
    ],
)
def test_the_other_golden_graphs_get_one_warning(
    name: str, version: str, place: str, saw: str
) -> None:
    findings = said(GOLDEN / f"{name}.onnx", version)

    assert [(f.rule, f.severity, f.place, f.saw) for f in findings] == [
        ("tensorrt-20", "warning", place, saw)
    ]


def test_version_8_reads_neither_opset_19_nor_stored_integers() -> None:
    """ModelOpt writes for version 10 and later, and says so."""
    rules = {name: _rules(errors(said(GOLDEN / f"{name}.onnx", "8"))) for name in NAMES}

    assert rules == {
        "int8_qdq": {"tensorrt-11"},
        "int8_fp16": {"tensorrt-11", "tensorrt-12"},
        "fp8": {"tensorrt-11", "tensorrt-12"},
        "resblock_qdq": {"tensorrt-11"},
    }


NAMES = ["int8_qdq", "int8_fp16", "fp8", "resblock_qdq"]


def _rules(findings: list[Finding]) -> set[str]:
    return {f.rule for f in findings}


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Seeded samples for onnxruntime's quantizer."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.rows = iter([rng.normal(size=(1, 3, 16, 16)).astype(np.float32) for _ in range(4)])

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[type-arg]
        """Return the next sample, or None."""
        row = next(self.rows, None)
        return None if row is None else {"input": row}


def quantized(folder: Path, **options: object) -> Path:
    """Return what onnxruntime's quantize_static makes of a small network."""
    onnx.save(conv_relu_net(), folder / "float.onnx")
    made = folder / "made.onnx"
    quantize_static(folder / "float.onnx", made, Reader(), **options)
    return made


def test_onnxruntimes_defaults_are_refused_for_what_tensorrt_refuses(tmp_path: Path) -> None:
    """Unsigned, asymmetric, int32 biases: pains 1, 2 and 3 of TensorRT's users."""
    findings = said(quantized(tmp_path, per_channel=True, activation_type=QuantType.QUInt8))
    by_rule = {
        r: [f.saw for f in errors(findings) if f.rule == r] for r in _rules(errors(findings))
    }

    assert set(by_rule) == {"tensorrt-2", "tensorrt-3", "tensorrt-9"}
    assert set(by_rule["tensorrt-2"]) == {"integers of uint8", "integers of int32"}
    assert all(saw.startswith("a zero point of ") for saw in by_rule["tensorrt-3"])
    assert by_rule["tensorrt-9"] == ["a quantized bias"] * 3
    assert "tensorrt-12" in _rules(errors(said(tmp_path / "made.onnx", "8")))


def test_onnxruntimes_operator_format_cannot_be_imported(tmp_path: Path) -> None:
    findings = said(quantized(tmp_path, quant_format=QuantFormat.QOperator))

    assert ("tensorrt-10", "error") in {(f.rule, f.severity) for f in findings}
    assert "QLinearConv" in {f.saw for f in findings}


def test_onnxruntimes_options_for_tensorrt_pass(tmp_path: Path) -> None:
    """The options of ModelOpt; warnings remain for outputs that it quantizes as well."""
    made = quantized(
        tmp_path,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "AddQDQPairToWeight": True,
            "QuantizeBias": False,
        },
    )

    assert errors(said(made)) == []
    assert errors(said(made, "8")) == []


def test_a_pytorch_quantization_export_passes(tmp_path: Path) -> None:
    """Its form: int8 zero points as Constant nodes, one pair for every reader, slashes in names."""
    proto = onnx.load(GOLDEN / "resblock_qdq.onnx")
    held = {i.name: i for i in proto.graph.initializer}
    nodes = []
    for node in list(proto.graph.node):
        node.name = f"/layer/{node.name}"
        if node.op_type in (Q, DQ) and node.input[1] in held:
            for index in (1, 2):
                name = f"{node.name}_const{index}"
                made = onnx.helper.make_node("Constant", [], [name], name=name)
                value = onnx.helper.make_attribute("value", held[node.input[index]])
                made.attribute.append(value)
                nodes.append(made)
                node.input[index] = name
        nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    onnx.save(proto, tmp_path / "model.onnx")

    assert errors(said(tmp_path / "model.onnx")) == []


def test_the_golden_cache_reads_back_to_its_bytes_and_fits_its_network(tmp_path: Path) -> None:
    held = read_cache(GOLDEN / "c.cache")
    (tmp_path / "model.onnx").write_bytes((GOLDEN / "fp32.onnx").read_bytes())
    (tmp_path / "c.cache").write_bytes((GOLDEN / "c.cache").read_bytes())

    assert (
        cache_text(held.scales, "8.6.1", held.algorithm).encode()
        == (GOLDEN / "c.cache").read_bytes()
    )
    assert said(tmp_path, "8") == []


def placement(model: onnx.ModelProto) -> Placed:
    """Return for each quantized tensor its readers, its axis and the number of its scales."""
    graph = model.graph
    held = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    source = {n.output[0]: n.input[0] for n in graph.node if n.op_type == Q}
    found: Placed = {}
    for node in graph.node:
        if node.op_type != DQ:
            continue
        tensor = source.get(node.input[0], node.input[0].removesuffix("_quantized"))
        readers = frozenset(
            (reader.name, index)
            for reader in graph.node
            for index, name in enumerate(reader.input)
            if name == node.output[0]
        )
        axis = next((a.i for a in node.attribute if a.name == "axis"), None)
        found[tensor] = readers, axis, held[node.input[1]].size
    return found


@pytest.mark.parametrize("version", ["8", "10"])
def test_our_placement_in_nvidias_network_is_that_of_nvidias_tool(
    version: str, tmp_path: Path
) -> None:
    """Tensor by tensor: who reads the integers, along which axis, how many scales. No difference.

    The graph's own data are random, so that only the placement is golden, and not the scales.
    """
    graph = prepare(ir.load(GOLDEN / "fp32.onnx"), "fp32", "fp32.onnx")
    profile = profiled(graph)
    plan = Planner(target=TARGETS["tensorrt"], observer="minmax").choose(graph, profile)
    write(graph, plan, tmp_path, Deployment(profile=profile, versions={"tensorrt": version}))
    mine = placement(onnx.load(tmp_path / "model.onnx"))
    theirs = placement(onnx.load(GOLDEN / "int8_qdq.onnx"))

    assert len(theirs) == 19
    assert mine == theirs
    assert said(tmp_path, version) == []


def test_readme_names_every_golden_file() -> None:
    text = (GOLDEN / "README.md").read_text(encoding="utf-8")

    assert [p.name for p in GOLDEN.iterdir() if f"`{p.name}`" not in text] == ["README.md"]
