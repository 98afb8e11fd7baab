"""A whole export, and its build scripts run with stand-ins for trtexec and for tensorrt."""

import ast
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quant.common.errors import UnsupportedError
from quant.export.tensorrt.check.run_rules import check_export
from quant.export.tensorrt.files.calibration_cache import read_cache
from quant.export.tensorrt.target import TENSORRT
from quant.export.tensorrt.write import write
from quant.graph.prepared_graph import Graph
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.preprocess.image_to_tensor import Preprocess
from quant.simulate.simulated_graph import quantize_graph
from quant.target.deployment import Deployment
from quant.target.finding import errors
from quant.target.table import Exported
from tests.chosen import chosen, inputs, profiled, run
from tests.export.tensorrt.graph.test_typed import edited
from tests.export.tensorrt.nets import export, wide_net
from tests.models import conv_relu_net, model, residual_net, weights

VERSIONS = pytest.mark.parametrize("version", ["8", "10", "11"])
IMPLICIT = [
    "implicit/model.onnx",
    "implicit/calibration.cache",
    "implicit/dynamic_range.json",
    "implicit/dynamic_range.txt",
    "implicit/layer_precisions.txt",
]
END = ["build.sh", "build.py", "DEPLOY.md"]


def made(
    folder: Path, version: str = "10", *, half: bool = False, proto: onnx.ModelProto | None = None
) -> Exported:
    """Write an export of the residual net, `conv1` in float16 with `half`."""
    graph, plan = chosen(proto or residual_net(), "tensorrt")
    plan = edited(graph, plan, "conv1") if half else plan
    deployment = Deployment(profile=profiled(graph), versions={"tensorrt": version})
    return write(graph, plan, folder, deployment)


@VERSIONS
@pytest.mark.parametrize("half", [False, True])
def test_files_by_version_and_the_same_bytes_twice(
    version: str, half: bool, tmp_path: Path
) -> None:
    left = [made(tmp_path / str(i), version, half=half) for i in range(2)]
    lists = ["layer_precisions.txt"] if version == "8" and half else []
    wanted = ["model.onnx", *lists, *(IMPLICIT if version != "11" else []), *END]

    assert left[0] == left[1]
    assert list(left[0].files) == wanted
    found = [p for p in (tmp_path / "0").rglob("*") if p.is_file()]
    assert sorted(p.relative_to(tmp_path / "0").as_posix() for p in found) == sorted(wanted)
    for name in wanted:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()
    assert errors(check_export(tmp_path / "0", Deployment(versions={"tensorrt": version}))) == []
    json.dumps(left[0].facts)


@VERSIONS
def test_every_version_computes_what_was_simulated(version: str, tmp_path: Path) -> None:
    """Also 8, whose QuantizeLinear knows a -128 that the plan's narrow weights have not."""
    graph, plan = chosen(wide_net(), "tensorrt", observer=None)
    write(graph, plan, tmp_path, Deployment(versions={"tensorrt": version}))
    simulated = quantize_graph(graph, plan, TENSORRT, weight_form="integer")
    feeds = inputs(graph, seed=2)

    (wanted,) = run(simulated, feeds)
    (got,) = run(ir.load(tmp_path / "model.onnx"), feeds)
    np.testing.assert_array_equal(got, wanted)


def test_a_weight_beyond_its_grid_is_held_to_it_in_version_8(tmp_path: Path) -> None:
    graph, plan = chosen(conv_relu_net(), "tensorrt")
    tensor = plan.tensors["w2"]
    assert tensor.params is not None
    params = replace(tensor.params, scale=tensor.params.scale / 2)
    plan = replace(plan, tensors={**plan.tensors, "w2": replace(tensor, params=params)})
    write(graph, plan, tmp_path, Deployment(versions={"tensorrt": "8"}))
    feeds = inputs(graph, seed=2)
    (wanted,) = run(quantize_graph(graph, plan, TENSORRT, weight_form="integer"), feeds)
    (got,) = run(ir.load(tmp_path / "model.onnx"), feeds)

    np.testing.assert_array_equal(got, wanted)
    assert np.abs(graph.array("w2")).max() > 100 * params.scale.max()  # the graph's own is whole


def test_a_float_layer_that_shares_a_clipped_weight_keeps_it(tmp_path: Path) -> None:
    proto = model(
        """g (float[N,4,8,8] input) => (float[N,4,8,8] y, float[N,4,8,8] z) {
            [left] y = Conv(input, w)
            [right] z = Conv(input, w)
        }""",
        weights(0, w=(4, 4, 1, 1)),
    )
    graph, plan = chosen(proto, "tensorrt")
    plan = edited(graph, plan, "right", precision="float32")
    tensor = plan.tensors["w"]
    assert tensor.params is not None
    params = replace(tensor.params, scale=tensor.params.scale / 2)
    plan = replace(plan, tensors={**plan.tensors, "w": replace(tensor, params=params)})
    write(graph, plan, tmp_path, Deployment(versions={"tensorrt": "8"}))
    feeds = inputs(graph, seed=2)
    wanted = run(quantize_graph(graph, plan, TENSORRT, weight_form="integer"), feeds)
    got = run(ir.load(tmp_path / "model.onnx"), feeds)

    np.testing.assert_array_equal(got[0], wanted[0])
    np.testing.assert_array_equal(got[1], run(graph.model, feeds)[1])


def test_the_implicit_graph_is_the_float_one_and_its_cache_covers_it(tmp_path: Path) -> None:
    graph, plan = chosen(residual_net(), "tensorrt")
    write(
        graph, plan, tmp_path, Deployment(profile=profiled(graph), versions={"tensorrt": "8.6.1"})
    )
    twin = ir.load(tmp_path / "implicit" / "model.onnx")
    feeds = inputs(graph, seed=2)
    held = read_cache(tmp_path / "implicit" / "calibration.cache")
    ranges = json.loads((tmp_path / "implicit" / "dynamic_range.json").read_text())

    np.testing.assert_array_equal(run(twin, feeds)[0], run(graph.model, feeds)[0])
    assert (held.number, held.algorithm) == (8601, "EntropyCalibration2")
    assert list(held.scales) == graph.activations
    params = plan.tensors["b"].params
    assert params is not None
    assert held.scales["b"] == params.scale
    assert ranges["act_quant_info"]["b"] == np.float32(float(params.scale) * 127)


def test_no_implicit_twin_without_profile_or_in_version_11(tmp_path: Path) -> None:
    graph, plan = chosen(residual_net(), "tensorrt")
    without = write(graph, plan, tmp_path / "a", Deployment())
    eleven = made(tmp_path / "b", "11")

    assert (
        without.facts["no_implicit_because"]
        == "there was no profile to take the ranges of all tensors from"
    )
    assert eleven.facts["no_implicit_because"] == "TensorRT 11 has no calibration cache"
    assert list(without.files) == list(eleven.files) == ["model.onnx", *END]
    assert "There is no implicit build: there was no profile" in (
        tmp_path / "a" / "DEPLOY.md"
    ).read_text(encoding="utf-8")


def test_an_export_for_another_version_leaves_nothing_of_the_last_one(tmp_path: Path) -> None:
    """Else the cache of version 8 would lie beside the graph of version 11."""
    made(tmp_path, "8", half=True)
    (tmp_path / "implicit" / "mine.txt").write_text("a person's")
    left = made(tmp_path, "11", half=True)
    found = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()]

    assert sorted(found) == sorted([*left.files, "implicit/mine.txt"])
    (tmp_path / "implicit" / "mine.txt").unlink()
    made(tmp_path, "11")
    assert not (tmp_path / "implicit").exists()


HOSTILE = "in: $(touch pwned) \"q\" 'a',`b`é"


CLEAN = 'in_$(touch pwned) "q" _a__`b`é'


def hostile_net() -> onnx.ModelProto:
    """Return a network whose names break shells, lists, caches and Markdown."""
    proto = conv_relu_net()
    renamed = {"input": HOSTILE, "a": "t\n| x", "output": "out:0"}
    for node in proto.graph.node:
        node.name = f"{node.name},:'*$(touch pwned)\n`"
        for values in (node.input, node.output):
            values[:] = [renamed.get(v, v) for v in values]
    for value in (*proto.graph.input, *proto.graph.output):
        value.name = renamed.get(value.name, value.name)
    return proto


@VERSIONS
def test_hostile_names_are_renamed_alike_in_every_file(version: str, tmp_path: Path) -> None:
    left = made(tmp_path, version, proto=hostile_net())
    names = {v.name for v in ir.load(tmp_path / "model.onnx").graph.inputs}
    page = (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")

    assert errors(check_export(tmp_path, Deployment(versions={"tensorrt": version}))) == []
    assert names == {CLEAN}
    assert left.facts["renamed_tensors"][HOSTILE] == CLEAN
    assert left.facts["renamed_nodes"]["conv1,:'*$(touch pwned)\n`"] == "conv1____$(touch pwned)_`"
    assert "t\\n\\| x" in page
    assert "\n| x" not in page.replace("\n| `", "").replace("\n| ``", "")
    if version != "11":
        held = read_cache(tmp_path / "implicit" / "calibration.cache")
        twin = ir.load(tmp_path / "implicit" / "model.onnx")
        assert names == {v.name for v in twin.graph.inputs}
        assert {n.name for n in twin.graph} <= {
            n.name for n in ir.load(tmp_path / "model.onnx").graph
        }
        assert set(held.scales) >= names
        assert not (tmp_path / "implicit" / "dynamic_range.txt").exists()  # 'out:0' has a colon


TRTEXEC = f"""#!{sys.executable}
import json, pathlib, shutil, sys
if sys.argv[1:] == ["--help"]:
    print("&&&& RUNNING TensorRT.trtexec [TensorRT v101305] [b42] # trtexec --help")
    sys.exit(0)
seen = {{"args": sys.argv[1:]}}
for arg in sys.argv[1:]:
    if arg.startswith("--calib="):
        seen["cache"] = pathlib.Path(arg[8:]).read_text()
pathlib.Path("seen.json").write_text(json.dumps(seen))
"""


def shell(folder: Path, *args: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run build.sh from elsewhere, with this PATH."""
    env = {**os.environ, "PATH": path or "/usr/bin:/bin"}
    command = ["sh", str(folder / "build.sh"), *args]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False, cwd="/")


def traced(folder: Path, bin_: Path, *args: str) -> dict[str, object]:
    """Run build.sh with a stand-in for trtexec and return what that one saw."""
    bin_.mkdir(exist_ok=True)
    (bin_ / "trtexec").write_text(TRTEXEC)
    (bin_ / "trtexec").chmod(0o755)
    result = shell(folder, *args, path=f"{bin_}:/usr/bin:/bin")
    assert (result.returncode, result.stderr) == (0, "")
    seen: dict[str, object] = json.loads((folder / "seen.json").read_text())
    return seen


@VERSIONS
def test_without_trtexec_the_script_says_one_sentence_and_exits_with_2(
    version: str, tmp_path: Path
) -> None:
    result = shell(export(tmp_path, version))

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"error: trtexec is not on PATH: install TensorRT {version}, or add its bin folder.\n"
    )


SHAPES = [
    "--maxShapes=input:32x3x16x16",
    "--optShapes=input:8x3x16x16",
    "--minShapes=input:1x3x16x16",
]


@pytest.mark.parametrize(
    ("version", "half", "flags"),
    [
        ("8", False, ["--int8"]),
        (
            "8",
            True,
            [
                "--int8",
                "--fp16",
                "--precisionConstraints=prefer",
                "--layerOutputTypes=conv1:fp16,relu2:fp16",
                "--layerPrecisions=conv1:fp16,relu2:fp16",
            ],
        ),
        ("10", False, ["--int8"]),
        ("10", True, ["--stronglyTyped"]),
        ("11", False, []),
        ("11", True, []),
    ],
)
def test_the_flags_of_trtexec_by_version(
    version: str, half: bool, flags: list[str], tmp_path: Path
) -> None:
    """Strong typing and type flags exclude each other; version 11 knows neither."""
    folder = tmp_path / "out"
    made(folder, version, half=half)
    trace = traced(folder, tmp_path / "bin", "--verbose")

    assert trace["args"] == [
        "--onnx=model.onnx",
        "--saveEngine=engine.plan",
        *flags,
        *SHAPES,
        "--verbose",
    ]


def test_the_implicit_build_gives_the_cache_with_the_installed_version(tmp_path: Path) -> None:
    """A header of another version makes TensorRT calibrate anew, and trtexec on random numbers."""
    folder = tmp_path / "out"
    made(folder, "10", half=True)
    trace = traced(folder, tmp_path / "bin", "implicit")
    args = trace["args"]
    assert isinstance(args, list)
    own = (folder / "implicit" / "calibration.cache").read_text()

    assert args[:4] == [
        "--onnx=implicit/model.onnx",
        "--saveEngine=engine.plan",
        "--int8",
        "--fp16",
    ]
    assert args[5] == "--precisionConstraints=prefer"
    assert "--layerOutputTypes=conv1:fp16,relu2:fp16" in args
    assert any(a.startswith("--layerPrecisions=stem:int8,relu1:int8,conv1:fp16") for a in args)
    assert trace["cache"] == own.replace("TRT-100300-", "TRT-101305-")


def test_the_implicit_build_of_version_11_is_refused(tmp_path: Path) -> None:
    folder, bin_ = export(tmp_path / "out", "11"), tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "trtexec").write_text("#!/bin/sh\n")
    (bin_ / "trtexec").chmod(0o755)
    result = shell(folder, "implicit", path=f"{bin_}:/usr/bin:/bin")

    assert result.returncode == 2
    assert result.stderr == "error: there is no implicit build of this export: use explicit.\n"


def test_an_input_with_a_colon_is_quoted_for_trtexec(tmp_path: Path) -> None:
    """TensorFlow's names end in :0, and trtexec would read 0:1x3x16x16."""
    proto = conv_relu_net()
    proto.graph.input[0].name = proto.graph.node[0].input[0] = "input:0"
    made(tmp_path / "out", "10", proto=proto)
    args = traced(tmp_path / "out", tmp_path / "bin")["args"]
    assert isinstance(args, list)

    assert "--minShapes='input:0':1x3x16x16" in args


def test_hostile_names_reach_trtexec_as_they_are_and_nothing_runs(tmp_path: Path) -> None:
    folder = tmp_path / "o'u $(t)"
    made(folder, "8", proto=hostile_net())
    trace = traced(folder, tmp_path / "bin", "implicit")
    args = trace["args"]
    assert isinstance(args, list)
    name = CLEAN

    assert f"--minShapes={name}:1x3x16x16" in args
    assert any("conv1____$(touch pwned)_`:int8" in a for a in args)
    assert [p for p in tmp_path.rglob("pwned*")] == []


FAKE = '''
"""A stand-in for TensorRT's Python API that writes down what is asked of it."""
import json, pathlib

__version__ = "@VERSION@"
float32, float16, int8 = "float32", "float16", "int8"
LOG = []


class BuilderFlag:
    INT8, FP16, PREFER_PRECISION_CONSTRAINTS = "INT8", "FP16", "PREFER"


class NetworkDefinitionCreationFlag:
    EXPLICIT_BATCH, STRONGLY_TYPED = 0, 1


class Logger:
    WARNING = 1

    def __init__(self, level): ...


class Tensor:
    def __init__(self, name): self.name = name

    def __setattr__(self, key, value):
        if key == "dynamic_range": LOG.append(["range", self.name, value[1]])
        object.__setattr__(self, key, value)


class Layer:
    num_outputs = 1

    def __init__(self, name, output): self.name, self._output = name, Tensor(output)

    def get_output(self, i): return self._output

    def set_output_type(self, i, kind): LOG.append(["output", self.name, kind])

    def __setattr__(self, key, value):
        if key == "precision": LOG.append(["precision", self.name, value])
        object.__setattr__(self, key, value)


class Network:
    def __init__(self, flags): LOG.append(["flags", flags])

    def fill(self, path):
        import onnx
        graph = onnx.load(path).graph
        self.layers = [Layer(n.name, n.output[0]) for n in graph.node]
        self.inputs = [Tensor(v.name) for v in graph.input]
        self.num_layers, self.num_inputs = len(self.layers), len(self.inputs)

    def get_layer(self, i): return self.layers[i]

    def get_input(self, i): return self.inputs[i]


class OnnxParser:
    num_errors = 0

    def __init__(self, network, logger): self.network = network

    def parse_from_file(self, path):
        LOG.append(["parse", "/".join(pathlib.Path(path).parts[-2:])])
        self.network.fill(path)
        return True


class Profile:
    def set_shape(self, name, low, usual, high): LOG.append(["shape", name, low, usual, high])


class Config:
    def set_flag(self, flag): LOG.append(["flag", flag])

    def add_optimization_profile(self, profile): LOG.append(["profile"])


class Builder:
    def __init__(self, logger): ...

    def create_network(self, flags): return Network(flags)

    def create_builder_config(self): return Config()

    def create_optimization_profile(self): return Profile()

    def build_serialized_network(self, network, config):
        pathlib.Path("log.json").write_text(json.dumps(LOG))
        return b"engine"
'''


def python(
    folder: Path, *args: str, module: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run build.py in its folder, with or without a stand-in for tensorrt."""
    env = {
        **os.environ,
        "PYTHONPATH": str(module) if module else "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "build.py", *args]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False, cwd=folder)


def calls(folder: Path, base: Path, version: str, *args: str) -> list[list[object]]:
    """Run build.py with a stand-in of this version and return what it was asked."""
    (base / "fake").mkdir(exist_ok=True)
    (base / "fake" / "tensorrt.py").write_text(FAKE.replace("@VERSION@", version))
    result = python(folder, *args, module=base / "fake")
    assert (result.returncode, result.stderr) == (0, "")
    assert (folder / "engine.plan").read_bytes() == b"engine"
    log: list[list[object]] = json.loads((folder / "log.json").read_text())
    return log


@VERSIONS
def test_without_tensorrt_python_says_one_sentence_and_exits_with_2(
    version: str, tmp_path: Path
) -> None:
    result = python(export(tmp_path, version))

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"error: the module tensorrt is missing: install TensorRT {version} for this Python.\n"
    )


@pytest.mark.parametrize(
    ("version", "half", "wanted"),
    [
        ("8.6.1", False, [["flags", 1], ["flag", "INT8"]]),
        (
            "8.6.1",
            True,
            [
                ["flags", 1],
                ["flag", "INT8"],
                ["flag", "FP16"],
                ["flag", "PREFER"],
                ["precision", "conv1", "float16"],
                ["output", "conv1", "float16"],
                ["precision", "relu2", "float16"],
                ["output", "relu2", "float16"],
            ],
        ),
        ("10.3.0", False, [["flags", 0], ["flag", "INT8"]]),
        ("10.3.0", True, [["flags", 2]]),
        ("11.0.0", True, [["flags", 0]]),
    ],
)
def test_what_python_asks_of_tensorrt_by_version(
    version: str, half: bool, wanted: list[list[object]], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    made(folder, version, half=half)
    log = calls(folder, tmp_path, version)
    rest = [row for row in log if row[0] not in ("parse", "shape", "profile")]

    assert rest == wanted
    assert ["parse", "out/model.onnx"] in log
    assert ["shape", "input", [1, 3, 16, 16], [8, 3, 16, 16], [32, 3, 16, 16]] in log


def test_the_implicit_build_in_python_sets_every_range(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    made(folder, "10")
    log = calls(folder, tmp_path, "10.13.3", "implicit")
    ranges = {row[1]: row[2] for row in log if row[0] == "range"}
    held = read_cache(folder / "implicit" / "calibration.cache")

    assert ["parse", "implicit/model.onnx"] in log
    assert list(ranges) == list(held.scales)
    for name, scale in held.scales.items():
        assert ranges[name] == np.float32(scale * 127)


@pytest.mark.parametrize(
    ("installed", "args", "message"),
    [
        ("10.3.0", ("other",), "there is no build named 'other' of this export: use explicit."),
        ("8.6.1", (), "these files are for TensorRT 10, and this is 8.6.1."),
    ],
)
def test_python_refuses_another_mode_and_another_version(
    installed: str, args: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    made(folder, "10")
    (tmp_path / "tensorrt.py").write_text(FAKE.replace("@VERSION@", installed))
    result = python(folder, *args, module=tmp_path)

    assert (result.returncode, result.stderr) == (2, f"error: {message}\n")


@VERSIONS
def test_python_scripts_parse_with_hostile_names(version: str, tmp_path: Path) -> None:
    made(tmp_path, version, proto=hostile_net(), half=False)

    ast.parse((tmp_path / "build.py").read_text(encoding="utf-8"))


def fp8(rules: tuple[Rule, ...] = (Rule(op="Conv", precision="fp8"),)) -> tuple[Graph, Plan]:
    """Return the wide net with its convolutions in FP8."""
    return chosen(wide_net(), "tensorrt", recipe=Recipe(rules=rules))


def test_fp8_is_refused_for_version_8(tmp_path: Path) -> None:
    graph, plan = fp8()
    with pytest.raises(UnsupportedError) as caught:
        write(graph, plan, tmp_path, Deployment(versions={"tensorrt": "8"}))

    assert str(caught.value) == (
        "plan for 'tensorrt': it has FP8 tensors, and TensorRT 8 has no FP8. Export for version 10 "
        "or 11."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["10", "11"])
@pytest.mark.parametrize("half", [False, True])
def test_fp8_is_built_strongly_typed_and_computes_what_was_simulated(
    version: str, half: bool, tmp_path: Path
) -> None:
    """INT8 and FP8 flags exclude each other, so that only types in the graph can mix them."""
    rules = (Rule(match="mix", precision="float16"),) if half else ()
    graph, plan = fp8((*rules, Rule(op="Conv", precision="fp8")))
    left = write(
        graph, plan, tmp_path, Deployment(profile=profiled(graph), versions={"tensorrt": version})
    )
    built = ir.load(tmp_path / "model.onnx")
    feeds = inputs(graph, seed=4)
    (wanted,) = run(quantize_graph(graph, plan, TENSORRT, weight_form="integer"), feeds)
    (got,) = run(built, feeds)
    zeros = {v.dtype for n, v in built.graph.initializers.items() if n.endswith("zero_point")}
    noise = ((wanted.astype(np.float64) - got) ** 2).sum()

    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    assert zeros == {ir.DataType.INT8, ir.DataType.FLOAT8E4M3FN}
    assert left.facts["flags"] == (["--stronglyTyped"] if version == "10" else [])
    assert not left.facts["implicit"]
    assert errors(check_export(tmp_path, Deployment(versions={"tensorrt": version}))) == []
    if half:  # float16 rounds scales and results by 2**-11: 66 dB, and a few integers flip
        assert noise < 10**-4 * (wanted.astype(np.float64) ** 2).sum()
    else:
        np.testing.assert_array_equal(got, wanted)


def test_a_float16_layer_of_a_recipe_is_typed_and_keeps_the_implicit_twin(tmp_path: Path) -> None:
    """In a plan it has grids of its own, which only the simulation knows."""
    rules = (Rule(match="conv2", precision="float16"),)
    graph, plan = chosen(wide_net(), "tensorrt", recipe=Recipe(rules=rules))
    left = write(
        graph, plan, tmp_path, Deployment(profile=profiled(graph), versions={"tensorrt": "10"})
    )
    conv2 = next(n for n in ir.load(tmp_path / "model.onnx").graph if n.name == "conv2")

    assert left.facts["implicit"]
    assert conv2.outputs[0].dtype == ir.DataType.FLOAT16
    assert "conv2:fp16" in (tmp_path / "implicit" / "layer_precisions.txt").read_text()
    assert errors(check_export(tmp_path, Deployment())) == []


def test_open_axes_get_lengths_from_a_sample_or_the_preprocessing(tmp_path: Path) -> None:
    proto = model(
        """g (float[N,3,H,W] x) => (float[N,4,K,L] y) { [conv] y = Conv(x, w1) }""",
        weights(0, w1=(4, 3, 1, 1)),
    )
    graph, plan = chosen(_sized(proto), "tensorrt")
    from quant.export.tensorrt.files.build_scripts import shape_ranges

    def samples(n: int):  # type: ignore[no-untyped-def]
        yield "a", {"x": np.zeros((3, 48, 64), np.float32)}

    sized = Deployment(preprocess=Preprocess(size=(96, 80)))
    free = _opened(graph)

    assert shape_ranges(graph, Deployment(), {})["x"][1] == (8, 3, 16, 16)
    assert shape_ranges(free, Deployment(samples=samples), {})["x"][0] == (1, 3, 48, 64)
    assert shape_ranges(free, sized, {"x": "z"})["z"][2] == (32, 3, 80, 96)
    assert shape_ranges(free, Deployment(), {})["x"][1] == (8, 3, 224, 224)
    assert plan.target == "tensorrt"


def _sized(proto: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for dim in copy.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = 16
    return copy


def _opened(graph):  # type: ignore[no-untyped-def]
    built = graph.clone()
    built.graph.inputs[0].shape = ir.Shape(["N", 3, "H", "W"])
    return replace(graph, model=built)


def test_a_static_network_needs_no_shapes(tmp_path: Path) -> None:
    proto = conv_relu_net()
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    made(tmp_path / "out", "10", proto=proto)
    trace = traced(tmp_path / "out", tmp_path / "bin")

    assert trace["args"] == ["--onnx=model.onnx", "--saveEngine=engine.plan", "--int8"]
    assert "batches" not in (tmp_path / "out" / "DEPLOY.md").read_text(encoding="utf-8")


SECTIONS = ["Files", "Steps", "Preprocessing", "Precision", "Verified", "Inferred"]


@VERSIONS
def test_the_page_has_its_sections_and_names_every_file(version: str, tmp_path: Path) -> None:
    graph, plan = chosen(residual_net(), "tensorrt")
    preprocess = Preprocess(size=(16, 16), mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))
    deployment = Deployment(
        profile=profiled(graph), versions={"tensorrt": version}, preprocess=preprocess
    )
    left = write(graph, plan, tmp_path, deployment)
    page = (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")
    titles = [line[3:] for line in page.splitlines() if line.startswith("## ")]

    assert page.startswith(f"# Deploying net on TensorRT {version}\n")
    assert titles == SECTIONS
    assert [f for f in left.files if f != "DEPLOY.md" and f"`{f}`" not in page] == []
    assert "mean (0..255): [123.7, 116.3, 103.5]; std: [58.4, 57.1, 57.4]" in page
    assert "- int8: 6 layers" in page
    assert "`flat` (Flatten, float32): TensorRT computes Flatten in float" in page
    assert ("sh build.sh implicit" in page) == (version != "11")
    assert len(page.splitlines()) < 100


def test_a_letterbox_tells_what_its_bars_hold(tmp_path: Path) -> None:
    """Without the number nobody can prepare a picture as the calibration did."""
    graph, plan = chosen(residual_net(), "tensorrt")
    boxed = Preprocess(size=(16, 16), resize="letterbox", crop="none", pad=99)
    write(graph, plan, tmp_path, Deployment(preprocess=boxed))
    text = (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")

    assert "resize: letterbox, bars of 99; bilinear" in text
