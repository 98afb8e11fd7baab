"""The form of OpenVINO's Q/DQ graph, and its numbers in OpenVINO itself where installed.

Source: "Low Precision Transformations"; runtime models of OpenVINO 2026.4.1, `tests/golden/openvino`.
"""

import csv
import importlib.util
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quant.choose.planner import Planner
from quant.export.openvino.target import OPENVINO
from quant.export.openvino.write import write
from quant.export.qdq.quantize_once import quantize_once
from quant.gate.candidate import open_candidate
from quant.graph.session import open_simulation
from quant.preprocess.image_to_tensor import Preprocess
from quant.simulate.simulated_graph import quantize_graph
from quant.target.deployment import Deployment
from quant.target.table import find_runtime
from tests.chosen import chosen, inputs, prepared, profiled, run
from tests.export.openvino.nets import every_net, executed
from tests.models import concat_net, depthwise_net, gemm_net, model, residual_net, weights
from tests.tree import ROOT

openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="openvino is not installed: pip install 'boardquant[openvino]'",
)
GOLDEN = ROOT / "tests" / "golden" / "openvino"
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
NETS = {
    "every": every_net,
    "residual": residual_net,
    "concat": concat_net,
    "depthwise": depthwise_net,
    "gemm": gemm_net,
}


@cache
def exported(name: str = "every") -> tuple[ir.Model, dict[str, Any], str]:
    with TemporaryDirectory() as folder:
        graph, plan = chosen(NETS[name](), "openvino")
        facts = write(graph, plan, Path(folder), Deployment(preprocess=Preprocess())).facts
        loaded = ir.from_proto(onnx.load(Path(folder) / "model.onnx"))
        page = (Path(folder) / "DEPLOY.md").read_text(encoding="utf-8")
    return loaded, facts, page


def maker(value: ir.Value | None) -> ir.Node:
    assert value is not None
    node = value.producer()
    assert node is not None
    return node


def node(name: str) -> ir.Node:
    return next(n for n in exported()[0].graph if n.name == name)


def test_every_weighted_layer_reads_bytes_and_keeps_its_float_bias() -> None:
    """The CPU plugin adds the bias in float behind the sum: to round it would only lose."""
    for layer in (n for n in exported()[0].graph if n.op_type in WEIGHTED):
        weight = maker(layer.inputs[1])
        assert weight.op_type == "DequantizeLinear", layer.name
        assert weight.inputs[0] is not None
        assert weight.inputs[0].dtype == ir.DataType.INT8
        assert weight.inputs[2] is not None
        assert weight.inputs[2].const_value is not None
        assert not weight.inputs[2].const_value.numpy().any()
        for bias in layer.inputs[2:]:
            assert bias is not None
            assert bias.is_initializer()
            assert bias.dtype == ir.DataType.FLOAT


def test_activations_are_unsigned_and_behind_a_relu_start_at_zero() -> None:
    """Signed data has kernels on AMX only; a zero point at the end of the range saves the Relu."""
    for quantizer in exported()[0].graph:
        if quantizer.op_type != "QuantizeLinear":
            continue
        zero = quantizer.inputs[2]
        assert zero is not None
        assert zero.const_value is not None
        assert zero.dtype == ir.DataType.UINT8
        made = quantizer.inputs[0].producer() if quantizer.inputs[0] is not None else None
        if made is not None and made.op_type == "Relu":
            assert int(zero.const_value.numpy()) == 0


def test_only_the_skip_operand_of_a_sum_is_quantized() -> None:
    """The sum runs inside the convolution; the kernel reads the other operand from memory."""
    total = node("sum")

    assert maker(total.inputs[0]).name == "block"
    assert maker(total.inputs[1]).op_type == "DequantizeLinear"


def test_what_moves_numbers_is_quantized_once() -> None:
    """A second quantizer with the same grid is a pass over the tensor for nothing."""
    _, facts, _ = exported()

    assert [u.node.op_type for u in node("pool").outputs[0].uses()] == ["Conv", "Concat"]
    assert [u.node.op_type for u in node("swap").outputs[0].uses()] == ["Conv"]
    assert facts["repeated"] == 2


def test_a_quantizer_of_another_grid_stays() -> None:
    """It rounds; the same grid does not. Removal is decided by the numbers."""
    text = """g (float[1,2,4,4] input) => (float[1,2,2,2] output) {
        q = QuantizeLinear(input, s, z)
        d = DequantizeLinear(q, s, z)
        m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(d)
        q2 = QuantizeLinear(m, s2, z)
        d2 = DequantizeLinear(q2, s2, z)
        output = Relu(d2)
    }"""
    held = {"s": np.float32(0.1), "s2": np.float32(0.2), "z": np.uint8(3)}
    net = ir.from_proto(model(text, {k: np.asarray(v) for k, v in held.items()}))

    assert quantize_once(net) == 0
    assert len(list(net.graph)) == 6
    same = ir.from_proto(
        model(text, {**{k: np.asarray(v) for k, v in held.items()}, "s2": np.asarray(held["s"])})
    )
    assert quantize_once(same) == 1


@pytest.mark.parametrize("name", list(NETS))
def test_quantizing_once_changes_no_number(name: str) -> None:
    """rint(scale * q / scale) is q again."""
    graph, plan = chosen(NETS[name](), "openvino")
    twice = quantize_graph(graph, plan, OPENVINO)
    feeds = inputs(graph, seed=5)

    np.testing.assert_array_equal(run(exported(name)[0], feeds)[0], run(twice, feeds)[0])


def structure(net: ir.Model) -> list[tuple[str, str, list[str | None], list[str | None]]]:
    return [
        (
            n.op_type,
            str(n.name),
            [v.name if v else None for v in n.inputs],
            [v.name for v in n.outputs],
        )
        for n in net.graph
    ]


def golden() -> list[dict[str, str]]:
    with (GOLDEN / "layers.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_export_is_the_graph_that_openvino_ran_in_integers() -> None:
    """The golden file says what the runtime made of this graph; another one would need another run."""
    before = ir.from_proto(onnx.load(GOLDEN / "model.onnx"))

    assert structure(exported()[0]) == structure(before)


def test_openvino_ran_every_weighted_layer_of_it_in_integers() -> None:
    """The primitive's name ends in I8: the runtime's precision alone has been seen to lie."""
    fused = [r["names"].split(",") for r in golden() if r["kernel"].lower().endswith("i8")]
    integer = {name.split("/")[0] for names in fused for name in names}
    layers = [n for n in exported()[0].graph if n.op_type in WEIGHTED]

    assert len(layers) == 8
    assert [n.name for n in layers if not {n.name, n.outputs[0].name} & integer] == []


@openvino
def test_openvino_runs_it_as_the_golden_file_says(tmp_path: Path) -> None:
    """Kernels have other names on other CPUs; whether they are of integers does not change."""
    ir.save(exported()[0], tmp_path / "model.onnx")
    found = [
        (k, kernel.lower().endswith("i8"), o)
        for k, kernel, o, _ in executed(tmp_path / "model.onnx")
    ]

    before = [(r["type"], r["kernel"].lower().endswith("i8"), r["output"]) for r in golden()]
    weighted = ("Convolution", "Deconvolution", "FullyConnected")
    assert [x for x in found if x[0] in weighted] == [x for x in before if x[0] in weighted]


@openvino
@pytest.mark.parametrize("name", list(NETS))
def test_openvino_computes_what_the_simulation_computes(name: str, tmp_path: Path) -> None:
    """Sums of float32 and of int32 round a few numbers apart: less than what the plan costs."""
    graph, plan = chosen(NETS[name](), "openvino")
    ir.save(exported(name)[0], tmp_path / "model.onnx")
    feeds = inputs(graph, seed=9)
    rival = open_candidate(
        tmp_path / "model.onnx", ["input"], ["output"], find_runtime("openvino"), threads=1
    )
    wanted = open_simulation(quantize_graph(graph, plan, OPENVINO), threads=1).run(None, feeds)[0]
    outputs = rival.run(["output"], feeds)[0]

    before = run(graph.model, feeds)[0]
    assert np.linalg.norm(outputs - wanted) < np.linalg.norm(wanted - before)


def python_of(page: str) -> str:
    return page.split("```python\n")[1].split("```")[0]


def test_the_page_holds_the_numbers_of_the_preprocessing() -> None:
    graph, plan = chosen(residual_net(), "openvino")
    preprocess = Preprocess(
        size=(16, 16), resize="stretch", crop="none", mean=(1, 2, 3), std=(4, 5, 6), channels="BGR"
    )
    with TemporaryDirectory() as folder:
        write(graph, plan, Path(folder), Deployment(preprocess=preprocess))
        page = (Path(folder) / "DEPLOY.md").read_text(encoding="utf-8")

    assert ".mean([1.0, 2.0, 3.0]).scale([4.0, 5.0, 6.0])" in page
    assert ".mean(std::vector<float>{1.0, 2.0, 3.0})" in page
    assert "set_shape([1, 16, 16, 3])" in page
    assert "uint8 BGR" in page
    assert "benchmark_app -m model.onnx -d CPU -hint latency -shape 'input[1,3,16,16]'" in page


@openvino
def test_the_lines_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever copies them gets the numbers of the graph, from bytes."""
    graph = prepared(residual_net())
    preprocess = Preprocess(
        size=(16, 16), resize="stretch", crop="none", mean=(100, 120, 140), std=(50, 60, 70)
    )
    pixels = np.random.default_rng(4).integers(0, 256, (1, 16, 16, 3)).astype(np.uint8)
    tensor = ((pixels - np.float32([100, 120, 140])) / np.float32([50, 60, 70])).transpose(
        0, 3, 1, 2
    )
    plan = Planner(target=OPENVINO, observer="minmax").choose(graph, profiled(graph))
    write(graph, plan, tmp_path, Deployment(preprocess=preprocess))
    monkeypatch.chdir(tmp_path)
    held: dict[str, Any] = {"feeds": [pixels]}
    exec(python_of((tmp_path / "DEPLOY.md").read_text(encoding="utf-8")), held)  # noqa: S102

    wanted = run(ir.load(tmp_path / "model.onnx"), {"input": tensor.astype(np.float32)})[0]
    np.testing.assert_allclose(held["results"][0], wanted, atol=0.05 * float(np.abs(wanted).max()))


def test_hostile_names_stay_out_of_the_commands() -> None:
    """A name goes into no shell line, and no line of code holds one."""
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y) {
        [c] y = Conv<pads=[1,1,1,1]>(x, w)
    }"""
    net = model(text, weights(0, w=(4, 3, 3, 3)))
    for name in (net.graph.input[0], net.graph.output[0]):
        name.name = f"{name.name}'; rm -rf ~ #\n```"
    net.graph.node[0].input[0], net.graph.node[0].output[0] = (
        net.graph.input[0].name,
        net.graph.output[0].name,
    )
    graph, plan = chosen(net, "openvino")
    with TemporaryDirectory() as folder:
        write(graph, plan, Path(folder), Deployment(preprocess=Preprocess()))
        page = (Path(folder) / "DEPLOY.md").read_text(encoding="utf-8")

    assert "rm -rf" not in page.split("## In a program")[0]
    assert "rm -rf" not in python_of(page)
    assert len([x for x in page.split("\n") if x.lstrip().startswith("```")]) == 10
