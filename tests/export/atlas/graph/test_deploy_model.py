"""Deploy models of unusual graphs: taken names, outputs with readers, external weights."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from quant.export.atlas import write as atlas_write
from quant.export.atlas.check import integer_run as check_run
from quant.export.atlas.check.interpret import interpret
from quant.export.atlas.check.run_rules import check_export
from quant.export.atlas.graph.deploy_model import deploy_model
from quant.export.atlas.graph.simulate import simulated
from quant.export.atlas.write import write
from quant.graph.prepared_graph import save_model
from quant.target.deployment import Deployment
from quant.target.finding import errors
from tests.atlas import atlas_plan, by_hand, run_simulated
from tests.chosen import prepared
from tests.models import model, residual_net, weights


def test_names_that_are_taken_get_another() -> None:
    """A network may call a node what the export would call its quantizer."""
    graph = prepared(
        model(
            """g (float[N,3,4,4] x) => (float[N,2,4,4] y) {
                ["c.quant"] "c.quant.output0" = Relu(x)
                [c] "c.dequant.output0" = Conv("c.quant.output0", w, b)
                ["c.dequant"] y = Sigmoid("c.dequant.output0")
            }""",
            weights(0, w=(2, 3, 1, 1), b=(2,)),
        )
    )
    plan = by_hand(graph, {"c.quant.output0": (0.02, -128)})
    proto = deploy_model(graph, plan)
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)

    names = [n.name for n in proto.graph.node]
    made = [n for node in proto.graph.node for n in node.output]
    assert len(set(names)) == len(names) == 5
    assert len(set(made)) == len(made)
    np.testing.assert_array_equal(
        interpret(proto, {"x": x})["y"], run_simulated(simulated(graph, plan), {"x": x})[0]
    )


def test_an_output_that_others_read_too_is_the_dequantized_one() -> None:
    """Nobody but AscendDequant may see the sums, the graph's output least of all."""
    graph = prepared(
        model(
            """g (float[N,3,4,4] x) => (float[N,2,4,4] y, float[N,2,4,4] z) {
                [c] y = Conv(x, w, b)
                [r] z = Relu(y)
            }""",
            weights(0, w=(2, 3, 1, 1), b=(2,)),
        )
    )
    plan = by_hand(graph, {"x": (0.02, 3)})
    proto = deploy_model(graph, plan)
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)

    assert {n.name: list(n.output) for n in proto.graph.node} == {
        "c.quant": ["c.quant.output0"],
        "c": ["c_output0"],
        "c.dequant": ["y"],
        "r": ["z"],
    }
    outputs = interpret(proto, {"x": x})
    for a, b in zip(outputs.values(), run_simulated(simulated(graph, plan), {"x": x}), strict=True):
        np.testing.assert_array_equal(a, b)


def test_large_weights_go_to_a_file_beside_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ATC reads them from the same folder; protobuf ends at 2 GiB."""
    monkeypatch.setattr(atlas_write, "PROTO_LIMIT", 1000)
    graph = prepared(
        model(
            "g (float[N,64] x) => (float[N,64] y) { [fc] y = Gemm(x, w) }", weights(0, w=(64, 64))
        )
    )
    export = write(graph, by_hand(graph, {"x": (0.02, 0)}), tmp_path, Deployment())
    findings = check_export(tmp_path, Deployment())

    assert "deploy_model.onnx.data" in export.files
    assert (tmp_path / "deploy_model.onnx.data").stat().st_size >= 64 * 64
    assert errors(findings) == []
    (tmp_path / "deploy_model.onnx.data").unlink()
    (lost,) = check_export(tmp_path, Deployment())
    assert str(lost) == (
        "atlas-30 error, tensor 'w': saw no file 'deploy_model.onnx.data', wanted a file in the same "
        "folder. Keep the files of an export together."
    )


def test_a_network_too_large_to_interpret_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The count is of INT8 multiply-accumulates, worked out by hand below."""
    graph, plan = atlas_plan(residual_net())
    write(graph, plan, tmp_path, Deployment())
    save_model(simulated(graph, plan), tmp_path / "simulated.onnx")
    monkeypatch.setattr(check_run, "MAX_MACS", 1e5)
    count = 16 * 16 * 9 * (3 * 8 + 8 * 8 + 8 * 8) + 8 * 10

    (told,) = [f for f in check_export(tmp_path, Deployment()) if f.rule == "atlas-28"]

    assert (told.severity, told.saw) == (
        "info",
        f"{count / 1e9:.1f} GMAC, for which the interpreter would take minutes",
    )
    monkeypatch.setattr(check_run, "MAX_MACS", count)
    assert "atlas-28" not in {f.rule for f in check_export(tmp_path, Deployment())}


def test_the_batch_of_the_graph_is_kept() -> None:
    """atc.sh fixes it; the model stays right for every batch."""
    graph, plan = atlas_plan(residual_net())
    proto = deploy_model(graph, plan)

    (value,) = proto.graph.input
    assert [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] == [
        "N",
        3,
        16,
        16,
    ]
    assert isinstance(proto, onnx.ModelProto)
