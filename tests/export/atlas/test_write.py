"""The folder of an Atlas export: every file is right, is repeatable, and survives hostile names."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from PIL import Image

from quant.choose.planner import Planner
from quant.common.errors import UnsupportedError
from quant.export.atlas import write as atlas_write
from quant.export.atlas.check.interpret import interpret
from quant.export.atlas.check.run_rules import check_export
from quant.export.atlas.files.record import parse_record
from quant.export.atlas.graph.fallback import without_refused
from quant.export.atlas.graph.lower_opset import in_lowest_opset
from quant.export.atlas.graph.simulate import simulated
from quant.export.atlas.target import ATLAS
from quant.export.atlas.write import write
from quant.graph.prepared_graph import save_model
from quant.plan.tensor_plans import Plan
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.check_plan import check_plan
from quant.target.deployment import Deployment
from quant.target.finding import errors
from tests.atlas import atlas_plan, by_hand, run_simulated
from tests.chosen import prepared, profiled
from tests.models import conv_relu_net, gemm_net, model, residual_net, weights

RGB = Preprocess(size=(16, 16), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
NAMES = ("deploy_model.onnx", "float_model.onnx", "record.txt", "quant.cfg")
HOSTILE = """it's "5" $(touch owned) `touch owned` \\ é * ?"""


def exported(folder: Path, plan: Plan | None = None, **said: Any) -> tuple[str, ...]:
    graph, chosen_plan = atlas_plan(residual_net())
    return write(graph, plan or chosen_plan, folder, Deployment(**said)).files


def test_an_export_has_its_files_and_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    """The main file comes first, and nothing lies there that is not listed."""
    graph, plan = atlas_plan(residual_net())
    left = [write(graph, plan, tmp_path / str(i), Deployment(preprocess=RGB)) for i in range(2)]

    assert left[0] == left[1]
    assert left[0].files[:4] == NAMES
    assert {"aipp.cfg", "atc.sh", "DEPLOY.md"} < set(left[0].files)
    assert sorted(left[0].files) == sorted(p.name for p in (tmp_path / "0").iterdir())
    for name in left[0].files:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()
    assert left[0].facts == {
        "opset": 11,
        "int8_layers": 4,
        "refused_layers": [],
        "aipp": "aipp.cfg",
    }


def test_a_second_export_leaves_no_file_of_the_first(tmp_path: Path) -> None:
    """An aipp.cfg of other images beside a network that has none would be used by hand."""
    exported(tmp_path, preprocess=RGB)
    assert "aipp.cfg" not in exported(tmp_path)
    assert not (tmp_path / "aipp.cfg").exists()


def test_the_float_model_is_the_network_in_opset_11(tmp_path: Path) -> None:
    """AMCT builds its own deploy model from it and the record, by node name."""
    exported(tmp_path)
    x = np.random.default_rng(3).normal(size=(2, 3, 16, 16)).astype(np.float32)
    feeds = {"input": x}
    (wanted,) = ort.InferenceSession(residual_net().SerializeToString()).run(None, feeds)
    (outputs,) = ort.InferenceSession(tmp_path / "float_model.onnx").run(None, feeds)

    np.testing.assert_allclose(outputs, wanted, rtol=1e-5, atol=1e-5)
    held = onnx.load(tmp_path / "float_model.onnx")
    keys = [r.key for r in parse_record((tmp_path / "record.txt").read_text(), "record.txt")]
    assert set(keys) <= {n.name for n in held.graph.node}
    assert held.opset_import[0].version == 11


def test_a_lowered_graph_that_says_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules of lowering are ours, so every export holds them against ONNX Runtime."""
    graph, plan = atlas_plan(residual_net())

    def wrong(model_: ir.Model, place: str) -> ir.Model:
        lowered = in_lowest_opset(model_, place)
        next(n for n in lowered.graph if n.op_type == "Add").op_type = "Sub"
        return lowered

    monkeypatch.setattr(atlas_write, "in_lowest_opset", wrong)
    with pytest.raises(UnsupportedError) as caught:
        write(graph, plan, tmp_path, Deployment())

    assert re.fullmatch(
        r"net\.onnx: opset 17 in opset 11 must give the same numbers, saw a relative difference of "
        r"[0-9.]+, limit 0\.0001\. Export the model with opset 11\.",
        str(caught.value),
    )
    assert not list(tmp_path.iterdir())


def test_bias_shifts_are_in_every_file(tmp_path: Path) -> None:
    """A correction that only one of three models had would be an error that nobody finds."""
    graph = prepared(conv_relu_net())
    shift = np.linspace(1, 2, 16).astype(np.float32)
    both = {"conv2": shift, "conv1": np.ones(8, np.float32)}  # conv1 is float: nothing to take back
    plan = by_hand(graph, {"b": (0.02, -128)}, shifts=both)
    plain = replace(plan, bias_shifts={})
    write(graph, plan, tmp_path / "a", Deployment())
    write(graph, plain, tmp_path / "b", Deployment())
    step = np.float32(0.02) * np.asarray(plan.tensors["w2"].params.scale)  # type: ignore[union-attr]

    for name, unit in (("float_model.onnx", np.float32(1)), ("deploy_model.onnx", step)):
        a, b = (
            {
                i.name: onnx.numpy_helper.to_array(i)
                for i in onnx.load(tmp_path / f / name).graph.initializer
            }
            for f in "ab"
        )
        moved = (a["b2"].astype(np.float64) - b["b2"]) * unit
        np.testing.assert_allclose(moved, shift, atol=float(np.max(step)))
        np.testing.assert_array_equal(a["w2"], b["w2"])
        np.testing.assert_array_equal(a["b1"], b["b1"])


def test_keep_dtype_lists_what_is_to_stay_float32(tmp_path: Path) -> None:
    """FP16 is the chip's float; a layer that the plan calls float32 is forced."""
    graph = prepared(conv_relu_net())
    plan = by_hand(graph, {"b": (0.02, -128)}, precisions={"pool": "float32", "conv1": "float32"})
    files = write(graph, plan, tmp_path, Deployment()).files

    assert "keep_dtype.cfg" in files
    assert (tmp_path / "keep_dtype.cfg").read_text() == "conv1\nrelu1\npool\n"
    assert "--keep_dtype=keep_dtype.cfg" in (tmp_path / "atc.sh").read_text()
    none = by_hand(graph, {"b": (0.02, -128)})
    assert "keep_dtype.cfg" not in write(graph, none, tmp_path, Deployment()).files
    assert "keep_dtype" not in (tmp_path / "atc.sh").read_text()


def test_the_bias_of_an_int8_matmul_is_no_float_layer(tmp_path: Path) -> None:
    """The Add is a layer of the plan, and on the chip a part of the MatMul, in int32."""
    graph = prepared(
        model(
            """g (float[N,5,6] x) => (float[N,5,4] y) {
                [mm] a = MatMul(x, w) [add] b = Add(a, c) [relu] y = Relu(b)
            }""",
            weights(1, w=(6, 4), c=(4,)),
        )
    )
    plan = by_hand(graph, {"x": (0.03, 4)}, precisions={"add": "float32"})
    write(graph, plan, tmp_path, Deployment())

    assert (tmp_path / "keep_dtype.cfg").read_text() == "relu\n"


def test_keep_dtype_refuses_a_name_that_it_cannot_hold(tmp_path: Path) -> None:
    proto = conv_relu_net()
    proto.graph.node[0].name = "two\nlines"
    graph = prepared(proto)
    plan = by_hand(graph, {"b": (0.02, -128)}, precisions={"two\nlines": "float32"})

    with pytest.raises(UnsupportedError) as caught:
        write(graph, plan, tmp_path, Deployment())

    assert str(caught.value) == (
        "node 'two\\nlines': keep_dtype.cfg holds a name per line, saw a line break or a space at "
        "an end. Rename the node."
    )


def fake_atc(folder: Path) -> Mapping[str, str]:
    """Return an environment whose `atc` prints its arguments, one a line."""
    tool = folder / "bin" / "atc"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\nfor a in "$@"; do printf "%s\\n" "$a"; done\n')
    tool.chmod(0o755)
    return {**os.environ, "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}"}


def sh(script: Path, *arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False, cwd="/")


@pytest.mark.parametrize("aipp", [False, True])
def test_the_script_calls_atc_beside_its_files(aipp: bool, tmp_path: Path) -> None:
    """Called from anywhere, it finds the model, and both variants have an output of their own."""
    folder = tmp_path / "a folder"
    exported(folder, preprocess=RGB, versions={"atlas": "Ascend310P3"})
    process = sh(folder / "atc.sh", *(["aipp"] if aipp else []), env=fake_atc(tmp_path))

    assert process.returncode == 0
    name = "deploy_model_aipp" if aipp else "deploy_model"
    assert process.stdout.splitlines() == [
        "--framework=5",
        "--model=deploy_model.onnx",
        "--soc_version=Ascend310P3",
        "--input_format=NCHW",
        "--input_shape=input:1,3,16,16",
        "--precision_mode=force_fp16",
        "--log=error",
        "--output_type=FP32",
        f"--output=out/{name}",
        *(["--insert_op_conf=aipp.cfg"] if aipp else []),
        f"written: out/{name}.om",
    ]
    assert (folder / "out").is_dir()


def test_the_script_says_what_is_missing_or_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    exported(folder, preprocess=RGB)
    bare = sh(folder / "atc.sh", env={"PATH": "/usr/bin:/bin"})
    wrong = sh(folder / "atc.sh", "fast", env=fake_atc(tmp_path))
    exported(tmp_path / "y")
    none = sh(tmp_path / "y" / "atc.sh", "aipp", env={**os.environ, "PATH": f"{tmp_path}/bin:/bin"})

    assert (bare.returncode, bare.stderr) == (
        127,
        "atc.sh: atc is not in PATH. Run '. set_env.sh' of the CANN toolkit first.\n",
    )
    assert (wrong.returncode, wrong.stderr) == (2, "usage: sh atc.sh [aipp]\n")
    assert (none.returncode, none.stderr) == (2, "usage: sh atc.sh (this export has no AIPP)\n")


def hostile_net() -> onnx.ModelProto:
    proto = conv_relu_net()
    held = {"input": HOSTILE, "output": "out\nput"}
    for node in proto.graph.node:
        node.name = f"{node.name} {HOSTILE}\n"
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = held.get(name, name)
    proto.graph.input[0].name = HOSTILE
    proto.graph.output[0].name = "out\nput"
    return proto


def test_hostile_names_go_through_every_file(tmp_path: Path) -> None:
    """Names come from strangers' models: no shell, no parser and no page may run or lose them."""
    graph = replace(prepared(hostile_net()), name=f"net | {HOSTILE}")
    plan = by_hand(graph, {"b": (0.02, -128), "f": (0.02, -128)})
    folder = tmp_path / "x"
    write(
        graph,
        plan,
        folder,
        Deployment(preprocess=RGB, versions={"atlas": "Ascend'310'; touch owned"}),
    )
    save_model(simulated(graph, plan), folder / "simulated.onnx")
    process = sh(folder / "atc.sh", "aipp", env=fake_atc(tmp_path))

    assert process.returncode == 0
    assert f"--input_shape={HOSTILE}:1,3,16,16" in process.stdout.splitlines()
    assert "--soc_version=Ascend'310'; touch owned" in process.stdout.splitlines()
    assert not list(tmp_path.rglob("owned"))
    keys = [r.key for r in parse_record((folder / "record.txt").read_text("utf-8"), "record.txt")]
    assert keys == [f"conv2 {HOSTILE}\n", f"fc {HOSTILE}\n"]
    assert errors(check_export(folder, Deployment(preprocess=RGB))) == []
    page = (folder / "DEPLOY.md").read_text("utf-8")
    assert [line for line in page.splitlines() if line.startswith("# ")] == [
        '# Deploying net \\| it\'s "5" $(touch owned) \\`touch owned\\` \\\\ é \\* ? on Atlas (Ascend)'
    ]


@pytest.mark.parametrize("name", ["a;b", "a\nb"])
def test_an_input_name_that_atc_splits_is_refused(name: str, tmp_path: Path) -> None:
    proto = conv_relu_net()
    proto.graph.input[0].name = name
    proto.graph.node[0].input[0] = name
    graph = prepared(proto)

    with pytest.raises(UnsupportedError) as caught:
        write(graph, by_hand(graph, {"b": (0.02, -128)}), tmp_path, Deployment())

    assert str(caught.value) == (
        f"net.onnx, input {name!r}: ATC splits --input_shape at semicolons and line breaks, saw a "
        "name with one. Rename the input."
    )


def test_a_dynamic_size_behind_the_batch_is_refused(tmp_path: Path) -> None:
    graph = prepared(
        model(
            "g (float[N,3,H,8] x) => (float[N,2,h,w] y) { [c] y = Conv(x, w) }",
            weights(0, w=(2, 3, 1, 1)),
        )
    )

    with pytest.raises(UnsupportedError) as caught:
        write(graph, by_hand(graph, {"x": (0.02, 0)}), tmp_path, Deployment())

    assert str(caught.value) == (
        "net.onnx, input 'x': ATC compiles for fixed sizes, saw ['N', '3', 'H', '8']. Export the "
        "model with fixed sizes behind the batch."
    )


def test_open_sizes_are_bound_to_the_samples(tmp_path: Path) -> None:
    """Detectors are exported with open sizes, and --size says at which one they run."""
    graph = prepared(
        model(
            """g (float[N,3,H,W] x) => (float[N,2,h,w] y) {
                [c] a = Conv(x, w1)
                [s] b = Shape<start=2>(x)
                [d] d = Conv<strides=[2,2], pads=[1,1,1,1]>(a, w2)
                [n] nc = Shape<start=0, end=1>(x)
                [k] whole = Concat<axis=0>(nc, two, b)
                [r] y = Resize<mode="nearest">(d, , , whole)
            }""",
            {**weights(0, w1=(4, 3, 1, 1), w2=(2, 4, 3, 3)), "two": np.array([2], np.int64)},
        )
    )
    feeds = {"x": np.random.default_rng(0).normal(size=(1, 3, 12, 20)).astype(np.float32)}
    plan = Planner(target=ATLAS, observer="minmax").choose(graph, profiled(graph, feeds))
    deployment = Deployment(preprocess=Preprocess(size=(20, 12)))
    write(graph, plan, tmp_path, deployment)
    save_model(simulated(graph, plan), tmp_path / "simulated.onnx")
    deployed = onnx.load(tmp_path / "deploy_model.onnx")
    outputs = interpret(deployed, feeds)["y"]

    dims = deployed.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in dims] == [1, 3, 12, 20]
    assert "--input_shape=x:1,3,12,20" in (tmp_path / "atc.sh").read_text()
    assert errors(check_export(tmp_path, deployment)) == []
    np.testing.assert_array_equal(outputs, run_simulated(simulated(graph, plan), feeds)[0])


def aipp_values(folder: Path) -> dict[str, str]:
    text = (folder / "aipp.cfg").read_text()
    return dict(line.strip().split(" : ") for line in text.splitlines() if " : " in line)


@pytest.mark.parametrize("channels", ["RGB", "BGR", "GRAY"])
def test_aipp_computes_the_preprocessing(channels: str, tmp_path: Path) -> None:
    """Worked out from the file in float64, channels swapped first, against Preprocess itself."""
    count = 1 if channels == "GRAY" else 3
    mean, std = (103.53, 116.28, -1.5)[:count], (57.375, 1.0, 0.25)[:count]
    rule = Preprocess(size=(4, 4), channels=channels, mean=mean, std=std)
    graph = prepared(
        model(
            f"g (float[N,{count},4,4] x) => (float[N,2,4,4] y) {{ [c] y = Conv(x, w) }}",
            weights(0, w=(2, count, 1, 1)),
        )
    )
    write(graph, by_hand(graph, {"x": (0.02, 0)}), tmp_path, Deployment(preprocess=rule))
    values = aipp_values(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    raw = np.asarray(image.convert("L"))[..., None] if count == 1 else pixels
    if values["rbuv_swap_switch"] == "true":
        raw = raw[..., ::-1]
    made = np.stack(
        [
            (raw[..., i] - float(values[f"mean_chn_{i}"]) - float(values[f"min_chn_{i}"]))
            * float(values[f"var_reci_chn_{i}"])
            for i in range(count)
        ]
    )

    assert values["input_format"] == ("YUV400_U8" if count == 1 else "RGB888_U8")
    assert (values["src_image_size_w"], values["src_image_size_h"]) == ("4", "4")
    assert all(0 <= int(values[f"mean_chn_{i}"]) <= 255 for i in range(count))
    np.testing.assert_allclose(made, rule.apply(image), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (None, "None: the inputs are no images."),
        (replace(RGB, layout="NHWC"), "AIPP gives NCHW, and the network has another layout"),
        (
            Preprocess(size=(16, 16), channels="GRAY"),
            "the preprocessing makes 1 channels, and the input has 3",
        ),
        (
            Preprocess(size=(16, 16), std=(1e-6,)),
            "a mean or std is beyond float16, in which AIPP holds them",
        ),
    ],
)
def test_what_aipp_cannot_do_is_said(rule: Preprocess | None, why: str, tmp_path: Path) -> None:
    files = exported(tmp_path, preprocess=rule)

    assert "aipp.cfg" not in files
    assert why in (tmp_path / "DEPLOY.md").read_text()


def test_two_inputs_have_no_aipp(tmp_path: Path) -> None:
    graph = prepared(
        model(
            """g (float[N,3,4,4] x, float[N,3,4,4] z) => (float[N,2,4,4] y) {
                a = Add(x, z) [c] y = Conv(a, w)
            }""",
            weights(0, w=(2, 3, 1, 1)),
        )
    )
    export = write(graph, by_hand(graph, {"a": (0.02, 0)}), tmp_path, Deployment(preprocess=RGB))

    assert export.facts["aipp"] == "AIPP is written for one input, and the network has 2"
    assert "--input_shape=x:1,3,4,4;z:1,3,4,4" in (tmp_path / "atc.sh").read_text()


def dilated_net() -> onnx.ModelProto:
    return model(
        """g (float[N,3,8,8] x) => (float[N,4,12,12] y) {
            [a] b = Conv(x, w1)
            [up] c = ConvTranspose<dilations=[2,2]>(b, w2)
            [last] y = Conv(c, w3)
        }""",
        weights(0, w1=(4, 3, 1, 1), w2=(4, 4, 3, 3), w3=(4, 4, 1, 1)),
    )


def test_a_layer_without_an_int8_form_is_refused_or_stays_float(tmp_path: Path) -> None:
    """Refused by name; with the user's leave the layer and its grids are float in every file."""
    graph = prepared(dilated_net())
    shifts = {name: np.ones(4, np.float32) for name in ("a", "up")}
    plan = by_hand(graph, {"x": (0.02, 0), "b": (0.02, 0), "c": (0.05, 0)}, shifts=shifts)

    with pytest.raises(UnsupportedError) as caught:
        write(graph, plan, tmp_path, Deployment())
    export = write(graph, plan, tmp_path, Deployment(allow_fallback=True))
    kept, why = without_refused(graph, plan)

    assert str(caught.value) == (
        "node 'up' (ConvTranspose): Atlas must be able to run it in INT8, saw a transposed "
        "convolution with dilations [2, 2], wanted 1. Keep the layer float in the recipe."
    )
    assert export.facts["refused_layers"] == ["up"]
    assert why == {"up": str(caught.value)}
    assert [p.precision for p in kept.layers.values()] == ["int8", "float16", "int8"]
    assert sorted(kept.tensors) == ["c", "w1", "w3", "x"]
    assert list(kept.bias_shifts) == ["a"]
    check_plan(kept, graph, ATLAS)
    proto = onnx.load(tmp_path / "deploy_model.onnx")
    kinds = [n.op_type for n in proto.graph.node]
    assert kinds.count("AscendDequant") == 2
    assert errors(check_export(tmp_path, Deployment())) == []


def test_a_plan_without_refused_layers_comes_back_as_it_is() -> None:
    graph, plan = atlas_plan(gemm_net())

    assert without_refused(graph, plan) == (plan, {})


def test_a_global_average_pool_stays_float_without_a_word(tmp_path: Path) -> None:
    """AveragePool over the whole map has no INT8 form and costs nothing in float."""
    graph = prepared(
        model(
            """g (float[N,3,8,8] x) => (float[N,4,1,1] y) {
                [a] b = Conv(x, w) [pool] y = AveragePool<kernel_shape=[8,8]>(b)
            }""",
            weights(0, w=(4, 3, 1, 1)),
        )
    )
    plan = by_hand(graph, {"x": (0.02, 0), "b": (0.02, 0)})
    write(graph, plan, tmp_path, Deployment())

    kinds = [n.op_type for n in onnx.load(tmp_path / "deploy_model.onnx").graph.node]
    assert kinds == ["AscendQuant", "Conv", "AscendDequant", "AveragePool"]


def test_an_opset_above_11_is_explained(tmp_path: Path) -> None:
    graph = prepared(
        model(
            """g (float[N,4,8] x) => (float[N,4,8] y) {
                [norm] a = LayerNormalization(x, s) [mm] y = MatMul(a, w)
            }""",
            {**weights(0, w=(8, 8)), "s": np.ones(8, np.float32)},
        )
    )
    export = write(graph, by_hand(graph, {"a": (0.02, 0)}), tmp_path, Deployment())

    assert export.facts["opset"] == 17
    page = (tmp_path / "DEPLOY.md").read_text()
    assert "- Opset 17, for LayerNormalization of node 'norm' has no form in a lower one" in page
    assert "--input_format=ND" in (tmp_path / "atc.sh").read_text()


def test_the_page_has_its_sections_and_the_commands_filled_in(tmp_path: Path) -> None:
    files = exported(tmp_path, preprocess=RGB, versions={"atlas": "Ascend310P3"})
    page = (tmp_path / "DEPLOY.md").read_text()

    assert [line for line in page.splitlines() if line.startswith("#")] == [
        "# Deploying net on Atlas (Ascend)",
        "## Files",
        "## Steps",
        "## Preprocessing",
        "## Precision",
        "## Verified",
        "## Inferred",
    ]
    for name in files:
        assert f"`{name}`" in page or name == "DEPLOY.md"
    assert "The batch is 1; edit\n   `--input_shape` in atc.sh for another." in page
    for told in ("input:1,3,16,16", "sh atc.sh aipp", "Ascend310P3", "58.395", "3 Conv, 1 Gemm"):
        assert told in page


def test_the_simulation_and_the_written_model_agree_on_an_export(tmp_path: Path) -> None:
    graph, plan = atlas_plan(residual_net())
    write(graph, plan, tmp_path, Deployment())
    save_model(simulated(graph, plan), tmp_path / "simulated.onnx")

    findings = check_export(tmp_path, Deployment(versions={"atlas": "Ascend310P3"}))

    assert errors(findings) == []
    x = np.zeros((1, 3, 16, 16), np.float32)
    assert np.isfinite(run_simulated(simulated(graph, plan), {"input": x})[0]).all()


def test_a_letterbox_tells_what_its_bars_hold(tmp_path: Path) -> None:
    """Without the number nobody can prepare a picture as the calibration did."""
    boxed = Preprocess(size=(16, 16), resize="letterbox", crop="none", pad=99)
    exported(tmp_path, preprocess=boxed)
    page = (tmp_path / "DEPLOY.md").read_text()

    assert "resize letterbox with bars of 99, bilinear" in page
