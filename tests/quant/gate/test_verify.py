"""Verifying: integers of a runtime against the simulation's, and what a difference looks like."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from quant.common.errors import InputError
from quant.common.progress import Progress
from quant.demo import DemoFiles, unpack
from quant.gate.verify import (
    LayerParity,
    certificate_text,
    count_steps,
    parity_csv,
    runtimes_of,
    verify_run,
)
from quant.job.settings import Job
from quant.preprocess.image_to_tensor import Preprocess
from quant.run.calibrate import calibrate


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return unpack(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def run(files: DemoFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.getbasetemp() / "verified"
    if not out.exists():
        job = Job(
            model=str(files.model),
            data=str(files.images),
            labels=str(files.labels),
            preprocess=Preprocess.from_toml(files.preprocess),
            out=out,
            samples=32,
            holdout=32,
            layer_samples=0,
            observer="minmax",
            targets=("onnxruntime", "tensorrt"),
            threads=1,
        )
        calibrate(job, Progress(quiet=True))
    return Path(shutil.copytree(out, tmp_path_factory.mktemp("copy") / "run"))


def test_the_certificate_is_in_the_run_and_says_what_the_table_says(run: Path) -> None:
    """Hardly an integer is off, by a step where a float32 sum falls on the other side of a half."""
    found = verify_run(run, samples=32, threads=1)
    (one, *_) = found["onnxruntime"]
    facts = json.loads((run / "run.json").read_text())
    with (run / "onnxruntime" / "verify_onnxruntime.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert facts["targets"]["onnxruntime"]["verified"][0] == one
    assert facts["targets"]["tensorrt"]["verified"] == found["tensorrt"] == []
    assert one["off_by_one"] < 1e-3
    assert one["off_by_more"] < 1e-4
    assert one["version"] == ort.__version__
    total = sum(int(r["elements"]) for r in rows)
    assert one["off_by_one"] == sum(int(r["off_by_one"]) for r in rows) / total
    assert one["layers"] == len(rows) == 15
    text = certificate_text(found)
    assert "tensorrt: not verified, because no runtime for its files is installed here" in text
    assert f"onnxruntime in onnxruntime {ort.__version__}, 32 samples: " in text
    assert not list(run.rglob(".verified*"))


def test_verifying_twice_gives_the_same_bytes(run: Path) -> None:
    """And leaves the run a run that a gate reads."""
    verify_run(run, samples=16, threads=1)
    first = (run / "run.json").read_bytes()
    verify_run(run, samples=16, threads=1)

    assert (run / "run.json").read_bytes() == first


def test_the_integers_are_those_that_the_runtime_computes(run: Path) -> None:
    """One layer's int8 output, asked of stock ONNX Runtime by hand, float against fused kernels."""
    tensor = "/stem/act/Relu_output_0"
    made = {}
    x = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)
    for name, entries in (("model", {}), ("simulated", {"session.disable_quant_qdq": "1"})):
        proto = onnx.load(run / "onnxruntime" / f"{name}.onnx")
        (node,) = [
            n for n in proto.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == tensor
        ]
        proto.graph.output.append(onnx.helper.make_tensor_value_info(node.output[0], 2, None))
        options = ort.SessionOptions()
        options.log_severity_level = 4
        for key, value in entries.items():
            options.add_session_config_entry(key, value)
        session = ort.InferenceSession(proto.SerializeToString(), options)
        made[name] = session.run([node.output[0]], {"image": x})[0]

    assert made["model"].dtype == np.uint8
    assert count_steps(made["model"], made["simulated"])[1] == 0


def test_a_graph_that_is_not_the_simulated_one_is_found_out_at_its_layer(run: Path) -> None:
    """A weight of the exported file is changed behind the tool's back."""
    path = run / "onnxruntime" / "model.onnx"
    model = onnx.load(path)
    layer = next(n for n in model.graph.node if n.name == "/mix/conv/Conv")
    dequantize = next(n for n in model.graph.node if layer.input[1] in n.output)
    weight = next(i for i in model.graph.initializer if i.name == dequantize.input[0])
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), weight.name))
    onnx.save(model, path)
    verify_run(run, samples=16, threads=1)
    with (run / "onnxruntime" / "verify_onnxruntime.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = [r["layer"] for r in rows if int(r["off_by_more"]) > int(r["elements"]) / 100]

    assert wrong[0] == "/mix/conv/Conv"
    assert set(wrong) <= {"/mix/conv/Conv", "/GlobalAveragePool", "/Flatten"}


def test_steps_are_counted() -> None:
    """By hand: equal, one up, one down, and 255 apart, which must not wrap around."""
    a = np.array([0, 1, 2, 0], np.uint8)
    b = np.array([0, 2, 1, 255], np.uint8)

    assert count_steps(a, b) == (2, 1, 255)
    assert count_steps(a[:0], b[:0]) == (0, 0, 0)
    row = LayerParity(layer="=a", tensor="t", elements=4, off_by_one=2, off_by_more=1, largest=255)
    assert row.share == 0.75
    assert parity_csv([row]) == (
        "layer,tensor,elements,off_by_one,off_by_more,largest\n'=a,t,4,2,1,255\n"
    )


def test_runtimes_at_hand_are_those_that_execute_the_target() -> None:
    first = runtimes_of("onnxruntime")[0]
    assert (first.name, first.version) == ("onnxruntime", ort.__version__)
    assert runtimes_of("tensorrt") == []


def test_data_that_is_gone_costs_one_sentence(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    facts["data"]["source"] = "gone"
    (run / "run.json").write_text(json.dumps(facts))
    with pytest.raises(InputError) as caught:
        verify_run(run)
    assert str(caught.value) == (
        "--data gone: does not exist. Give a folder of images, a .txt list, a .npy or .npz file, or "
        "module:function."
    )
    with pytest.raises(InputError) as caught:
        verify_run(run, samples=0)
    assert str(caught.value) == "--samples: must be 1 or more, saw 0. Raise it."


def test_an_export_that_is_gone_costs_one_sentence(run: Path) -> None:
    path = run / "onnxruntime" / "simulated.onnx"
    path.unlink()
    with pytest.raises(InputError) as caught:
        verify_run(run)

    assert str(caught.value).startswith(f"{path}: cannot be read: there is no such file")
    assert str(caught.value).endswith(". Run quant calibrate again.")
