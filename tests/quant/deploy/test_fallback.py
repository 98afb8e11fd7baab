"""Fallback: the plan, the simulation and the export agree on which layers are float."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quant.choose.planner import Planner
from quant.deploy.target_folder import TargetFolder
from quant.job.settings import Job
from quant.plan.file import save_plan
from quant.preprocess.image_to_tensor import Preprocess
from quant.run.calibrate import calibrate
from quant.run.export import export_plan
from quant.target.deployment import Deployment
from quant.target.table import TARGETS
from tests.chosen import prepared, profiled
from tests.models import model, weights

HELD = weights(0, w1=(8, 3, 3, 3), b1=(8,), w2=(8, 8, 3, 3), b2=(8,))


def dilated() -> onnx.ModelProto:
    """Return a network with a ConvTranspose that Atlas has in float only."""
    return model(
        """g (float[1,3,16,16] input) => (float[1,8,20,20] output) {
            [conv1] a = Conv<pads=[1,1,1,1]>(input, w1, b1)
            [relu1] b = Relu(a)
            [up] c = ConvTranspose<dilations=[2,2]>(b, w2, b2)
            [conv2] output = Conv<pads=[1,1,1,1]>(c, w2, b2)
        }""",
        HELD,
    )


def with_tail() -> onnx.ModelProto:
    """Return a network whose Erf NNIE has not, and whose Add behind it it would have."""
    return model(
        """g (float[1,3,16,16] input) => (float[1,8,16,16] output) {
            [conv1] a = Conv<pads=[1,1,1,1]>(input, w1, b1)
            [erf] b = Erf(a)
            [add] output = Add(a, b)
        }""",
        HELD,
    )


def exported(proto: onnx.ModelProto, target: str, tmp_path: Path, *, allowed: bool) -> Path:
    """Export a plan that was chosen without a thought of what the chip takes."""
    graph = prepared(proto)
    onnx.save(proto, tmp_path / "net.onnx")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(8, 3, 16, 16)).astype(np.float32))
    save_plan(
        Planner(target=TARGETS[target]).choose(graph, profiled(graph)), tmp_path / "plan.json"
    )
    job = Job(
        model=str(tmp_path / "net.onnx"),
        data=str(tmp_path / "x.npy"),
        preprocess=Preprocess(),
        out=tmp_path / "out",
        samples=8,
        holdout=0,
        allow_fallback=allowed,
    )
    export_plan(tmp_path / "plan.json", None, job)
    return tmp_path / "out"


def precision(folder: Path, layer: str) -> str:
    rows = json.loads((folder / "plan.json").read_text())["layers"]
    return str(next(row["precision"] for row in rows if row["layer"] == layer))


def feeds_of(folder: Path, layer: str) -> set[str]:
    graph = ir.load(folder / "simulated.onnx").graph
    node = next(n for n in graph if n.name == layer)
    return {v.producer().op_type for v in node.inputs if v is not None and v.producer() is not None}


def test_a_plan_that_knew_nothing_of_a_refusal_is_exported_with_that_layer_float(
    tmp_path: Path,
) -> None:
    folder = exported(dilated(), "atlas", tmp_path, allowed=True)

    assert precision(folder, "up") == "float16"
    assert precision(folder, "conv2") == "int8"
    assert feeds_of(folder, "up") == {"Relu"}


def test_what_nnie_leaves_to_the_host_is_float_in_plan_and_simulation(tmp_path: Path) -> None:
    """tail.onnx computes in float; a simulation with grids there would be of another machine."""
    folder = exported(with_tail(), "nnie", tmp_path, allowed=True)

    assert (folder / "tail.onnx").exists()
    assert precision(folder, "add") == "float32"
    assert feeds_of(folder, "add") == {"Conv", "Erf"}


def test_a_layer_that_is_float_already_needs_no_leave(tmp_path: Path) -> None:
    """The check says "keep it float"; who has done so is not told again, and the plan is final."""
    proto = dilated()
    first = exported(proto, "atlas", tmp_path, allowed=True)
    out = tmp_path / "again"
    job = Job(
        model=str(tmp_path / "net.onnx"), data="", preprocess=Preprocess(), out=out, holdout=0
    )
    export_plan(first / "plan.json", None, job)
    found = json.loads((tmp_path / "again" / "check.json").read_text())

    assert (tmp_path / "again/plan.json").read_bytes() == (first / "plan.json").read_bytes()
    assert found["errors"] == 0
    assert any(row["layer"] == "up" for row in found["findings"])


def test_a_rule_that_keeps_a_refused_layer_float_is_heard(tmp_path: Path) -> None:
    onnx.save(dilated(), tmp_path / "net.onnx")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(6, 3, 16, 16)).astype(np.float32))
    (tmp_path / "r.toml").write_text('[[rule]]\nmatch = "up"\nprecision = "float"\n')
    job = Job(
        model=str(tmp_path / "net.onnx"),
        data=str(tmp_path / "x.npy"),
        preprocess=Preprocess(),
        targets=("atlas",),
        recipe=tmp_path / "r.toml",
        samples=4,
        holdout=2,
        out=tmp_path / "out",
    )
    run = calibrate(job)

    assert run.results["atlas"].planned.plan.layers["up"].precision == "float16"


@pytest.mark.parametrize("allowed", [False, True])
def test_numbers_that_the_chip_cannot_hold_fall_back_in_every_file(
    allowed: bool, tmp_path: Path
) -> None:
    """Only the plan shows them: activations near 1e-6 have steps below Atlas's least."""
    held = dict(HELD, w1=HELD["w1"] * np.float32(1e-6), b1=HELD["b1"] * np.float32(1e-6))
    graph = prepared(
        model(
            """g (float[1,3,16,16] input) => (float[1,8,16,16] output) {
                [conv1] a = Conv<pads=[1,1,1,1]>(input, w1, b1)
                [conv2] output = Conv<pads=[1,1,1,1]>(a, w2, b2)
            }""",
            held,
        )
    )
    atlas = TARGETS["atlas"]
    plan = Planner(target=atlas).choose(graph, profiled(graph))
    if not allowed:
        with pytest.raises(Exception, match=r"'conv2'.*saw an input scale of"):
            TargetFolder(path=tmp_path / "out", target=atlas, deployment=Deployment()).write(
                graph, plan
            )
        assert not (tmp_path / "out").exists()
        return
    left = TargetFolder(
        path=tmp_path / "out", target=atlas, deployment=Deployment(allow_fallback=True)
    ).write(graph, plan)

    assert left.plan.layers["conv2"].precision == "float16"
    assert left.exported.facts["refused_layers"] == ["conv2"]
    assert precision(tmp_path / "out", "conv2") == "float16"
    assert feeds_of(tmp_path / "out", "conv2") == {"AscendDequant"}
