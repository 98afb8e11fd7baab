"""The files of an export: for hostile names and unusual inputs, all of them or none."""

import csv
import json
import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from PIL import Image

from quant.common.errors import InputError, UnsupportedError
from quant.export.nnie import write as nnie_write
from quant.export.nnie.check.model import check_model
from quant.export.nnie.check.run_rules import check_export
from quant.export.nnie.files.mapper_cfg import read_cfg
from quant.export.nnie.write import write
from quant.graph.prepared_graph import Graph
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.deployment import Deployment, SampleReader
from quant.target.finding import errors
from tests.chosen import prepared, run
from tests.export.nnie.exports import fed, pictures, plan_of, read_export, written
from tests.models import (
    concat_net,
    conv_relu_net,
    depthwise_net,
    gemm_net,
    model,
    residual_net,
    weights,
)

SIZED = Preprocess(size=(16, 16), mean=(1.0, 2.0, 3.0), std=(4.0,))


def cfg_of(folder: Path, name: str = "net") -> Mapping[str, str]:
    lines = read_cfg((folder / f"{name}.cfg").read_text(encoding="ascii")).lines
    return {line.key: line.value for line in lines}


def tree(folder: Path) -> dict[str, bytes]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def arrays(seed: int = 0, count: int = 20, **shapes: tuple[int, ...]) -> SampleReader:
    """Return samples of seeded normal numbers, which are no pixels."""

    def samples(n: int) -> Iterator[tuple[str, Mapping[str, NDArray[Any]]]]:
        rng = np.random.default_rng(seed)
        for i in range(min(n, count)):
            yield (
                f"{i}",
                {k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()},
            )

    return samples


@pytest.mark.parametrize("net", [concat_net, conv_relu_net, depthwise_net, gemm_net, residual_net])
def test_what_is_written_breaks_no_rule_and_is_all_listed(net: Any, tmp_path: Path) -> None:
    _, exported, deployment = written(net(), tmp_path / "out", SIZED, high=("conv1",))

    assert errors(check_export(tmp_path / "out", deployment)) == []
    assert sorted(exported.files) == sorted(tree(tmp_path / "out"))
    assert exported.files[0] == "net.prototxt"
    assert json.loads(json.dumps(exported.facts)) == exported.facts
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_the_same_input_gives_the_same_bytes_and_old_files_go(tmp_path: Path) -> None:
    for folder, count in (("a", 30), ("a", 20), ("b", 20)):
        written(conv_relu_net(), tmp_path / folder, SIZED, samples=pictures(SIZED, count=count))
        (tmp_path / "a" / "plan.json").write_text("kept", encoding="utf-8")

    (tmp_path / "b" / "plan.json").write_text("kept", encoding="utf-8")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    texts = [v for k, v in tree(tmp_path / "a").items() if not k.endswith((".png", ".caffemodel"))]
    assert b"\r" not in b"".join(texts)


@pytest.mark.parametrize(
    ("high", "floats", "mode", "marked"),
    [
        ((), (), "0", []),
        (("conv2",), (), "2", ["conv2_hp"]),
        ((), ("fc",), "2", ["fc_hp"]),
        (("conv1", "conv2", "pool", "flat", "fc"), (), "1", []),
        (("conv1", "conv2", "pool", "flat"), ("fc",), "1", []),
    ],
)
def test_the_mode_follows_the_plan(
    high: tuple[str, ...], floats: tuple[str, ...], mode: str, marked: list[str], tmp_path: Path
) -> None:
    """A float layer is in 16 bit: NNIE has no floats, and 8 bit is not what was asked for."""
    _, exported, _ = written(conv_relu_net(), tmp_path, SIZED, high=high, floats=floats)
    text = (tmp_path / "net.prototxt").read_text(encoding="ascii")

    assert cfg_of(tmp_path)["compile_mode"] == mode
    assert re.findall(r'name: "(\w*_hp)"', text) == marked
    assert exported.facts["compile_mode"] == int(mode)
    assert exported.facts["high_precision_layers"] == len(marked)
    assert exported.facts["raised_layers"] == list(floats)


def test_the_simulator_has_a_configuration_of_its_own(tmp_path: Path) -> None:
    written(conv_relu_net(), tmp_path, SIZED)
    chip, simulator = cfg_of(tmp_path), cfg_of(tmp_path, "net_sim")

    differ = {k for k in chip if chip[k] != simulator[k]}
    assert differ == {"is_simulation", "instruction_name"}
    assert (chip["is_simulation"], simulator["is_simulation"]) == ("0", "1")


def test_the_listed_pictures_are_those_of_the_calibration(tmp_path: Path) -> None:
    """Held against the pixels before the preprocessing; RGB in the file whatever the model takes."""
    rng = np.random.default_rng(7)
    noise = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(20)]
    bgr = Preprocess(size=(16, 16), channels="BGR", mean=(7.7, 8.8, 9.9), std=(3.3, 2.2, 1.1))

    def samples(n: int) -> Iterator[tuple[str, Mapping[str, NDArray[Any]]]]:
        for i, one in enumerate(noise[:n]):
            yield f"{i}", {"input": bgr.apply(Image.fromarray(one))}

    written(conv_relu_net(), tmp_path, bgr, samples=samples)
    rows = (tmp_path / "image_list.txt").read_text(encoding="ascii").splitlines()

    assert len(rows) == 20
    for row, one in zip(rows, noise, strict=True):
        with Image.open(tmp_path / row) as image:
            assert np.array_equal(np.asarray(image), one)


def test_at_most_fifty_samples_are_asked_for(tmp_path: Path) -> None:
    _, exported, _ = written(conv_relu_net(), tmp_path, SIZED, samples=pictures(SIZED, count=70))

    assert exported.facts["calibration_samples"] == 50
    assert len(list((tmp_path / "images").iterdir())) == 50


def two_inputs() -> onnx.ModelProto:
    return model(
        """g (float[N,3,16,16] input, float[N,4,16,16] other) => (float[N,4,16,16] output) {
            [conv] a = Conv<pads=[1,1,1,1]>(input, w, b)
            [add] output = Add(a, other)
        }""",
        weights(0, w=(4, 3, 3, 3), b=(4,)),
    )


def test_each_input_has_its_list_pictures_or_tensors(tmp_path: Path) -> None:
    """And OpenCV, fed from both lists, gives the model's answer."""
    seen, others = pictures(SIZED), arrays(other=(4, 16, 16))

    def samples(n: int) -> Iterator[tuple[str, Mapping[str, NDArray[Any]]]]:
        for (key, one), (_, two) in zip(seen(n), others(n), strict=True):
            yield key, {**one, **two}

    graph, _, deployment = written(two_inputs(), tmp_path, SIZED, samples=samples)
    cfg = read_cfg((tmp_path / "net.cfg").read_text(encoding="ascii"))
    assert [line.value for line in cfg.lines_of("image_list")] == [
        "./image_list_1.txt",
        "./tensor_list_2.txt",
    ]
    assert [line.value for line in cfg.lines_of("mean_file")] == ["./mean.txt", "null"]
    assert errors(check_export(tmp_path, deployment)) == []

    _, tensors = list(samples(4))[3]
    (wanted,) = run(graph.model, {k: v[None] for k, v in tensors.items()})
    row = (tmp_path / "tensor_list_2.txt").read_text(encoding="ascii").splitlines()[3]
    net = read_export(tmp_path)
    net.setInput(fed(tmp_path, 3), "input")
    other = np.array([float(x) for x in row.split()], np.float32).reshape(1, 4, 16, 16)
    assert np.array_equal(other[0], tensors["other"])
    net.setInput(other, "other")
    np.testing.assert_allclose(net.forward(), wanted, rtol=1e-5, atol=1e-4)


def test_what_is_no_picture_goes_in_as_tensors(tmp_path: Path) -> None:
    _, exported, deployment = written(
        conv_relu_net(), tmp_path, SIZED, samples=arrays(input=(3, 16, 16))
    )

    assert exported.facts["tensor_inputs"] == 1
    assert not (tmp_path / "images").exists()
    cfg = cfg_of(tmp_path)
    assert (cfg["image_type"], cfg["norm_type"], cfg["mean_file"]) == ("0", "0", "null")
    assert errors(check_export(tmp_path, deployment)) == []
    assert "image_type 0" in (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")


def test_one_sample_that_is_no_picture_makes_all_tensors(tmp_path: Path) -> None:
    """Also the last one: a picture in its place would be another sample."""
    picture_samples = pictures(SIZED)

    def samples(n: int) -> Iterator[tuple[str, Mapping[str, NDArray[Any]]]]:
        for i, (key, one) in enumerate(picture_samples(n)):
            yield key, {"input": one["input"] + np.float32(0.1 * (i == 19))}

    _, exported, _ = written(conv_relu_net(), tmp_path, SIZED, samples=samples)

    assert exported.facts["tensor_inputs"] == 1


def test_an_average_that_counts_its_padding_as_the_model_does_breaks_no_rule(
    tmp_path: Path,
) -> None:
    proto = model(
        """g (float[N,3,16,16] input) => (float[N,4,16,16] output) {
            [conv] a = Conv(input, w)
            [pool] output = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(a)
        }""",
        weights(0, w=(4, 3, 1, 1)),
    )
    _, _, deployment = written(proto, tmp_path, SIZED)

    assert "pad: 1" in (tmp_path / "net.prototxt").read_text(encoding="ascii")
    assert errors(check_export(tmp_path, deployment)) == []


def test_channels_last_tensors_are_turned_to_the_order_of_the_blob(tmp_path: Path) -> None:
    text = """g (float[N,4,5,3] input) => (float[N,2,4,5] output) {
        a = Transpose<perm=[0,3,1,2]>(input)
        output = Conv(a, w)
    }"""
    proto = model(text, weights(0, w=(2, 3, 1, 1)))
    last = Preprocess(size=(5, 4), layout="NHWC")
    _, _, deployment = written(proto, tmp_path, last, samples=arrays(input=(4, 5, 3)))
    row = (tmp_path / "tensor_list.txt").read_text(encoding="ascii").splitlines()[0]
    assert deployment.samples is not None
    _, tensors = next(iter(deployment.samples(1)))

    numbers = np.array([float(x) for x in row.split()], np.float32)
    assert np.array_equal(numbers.reshape(3, 4, 5), tensors["input"].transpose(2, 0, 1))


def test_bias_shifts_of_the_plan_are_in_the_weights(tmp_path: Path) -> None:
    graph = prepared(concat_net())
    shift = np.arange(10, dtype=np.float32)
    plan = plan_of(graph)
    plan = type(plan)(
        target="nnie",
        graph=plan.graph,
        layers=plan.layers,
        tensors={},
        bias_shifts={"mix": shift},
    )
    deployment = Deployment(preprocess=SIZED, samples=pictures(SIZED))
    write(graph, plan, tmp_path, deployment)
    net = read_export(tmp_path)
    net.setInput(fed(tmp_path, 0), "input")
    _, tensors = next(iter(pictures(SIZED)(1)))
    (wanted,) = run(graph.model, {"input": tensors["input"][None]})

    np.testing.assert_allclose(net.forward().ravel(), (wanted + shift).ravel(), atol=1e-3)


def odd_tail(middle: str) -> onnx.ModelProto:
    return model(
        f"""g (float[N,3,16,16] input) => (float[N,4] output) {{
            [conv1] a = Conv<strides=[4,4]>(input, w1)
            [relu1] b = Relu(a)
            {middle}
        }}""",
        weights(0, w1=(4, 3, 4, 4), w2=(4, 4, 1, 1)),
    )


CUT = "[erf] c = Erf(b) [pool] d = GlobalAveragePool(c) [flat] output = Flatten(d)"
BETWEEN = """[erf] c = Erf(b) [conv2] d = Conv(c, w2) [pool] e = GlobalAveragePool(d)
    [flat] output = Flatten(e)"""


def test_a_tail_that_nnie_lacks_is_cut_off_and_the_two_make_the_whole(tmp_path: Path) -> None:
    graph, exported, deployment = written(odd_tail(CUT), tmp_path, SIZED, allow_fallback=True)
    assert deployment.samples is not None
    assert exported.facts["tail_nodes"] == ["erf", "pool", "flat"]
    assert "tail.onnx" in exported.files
    assert errors(check_export(tmp_path, deployment)) == []
    assert errors(check_model(graph, deployment)) == []

    net = read_export(tmp_path)
    net.setInput(fed(tmp_path, 0), "input")
    tail = ir.load(tmp_path / "tail.onnx")
    (name,) = [str(v.name) for v in tail.graph.inputs]
    (outputs,) = run(tail, {name: net.forward()})
    _, tensors = next(iter(deployment.samples(1)))
    (wanted,) = run(graph.model, {"input": tensors["input"][None]})
    np.testing.assert_allclose(outputs, wanted, rtol=1e-4, atol=1e-4)
    text = (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")
    assert f"    '{name}': ...,  # 1x4x4x4" in text
    assert "- In float on the CPU: `erf`, `pool`, `flat`." in text


WEIGHTED_BETWEEN = """[mul] c = MatMul(b, m) [conv2] d = Conv(c, w2)
    [pool] e = GlobalAveragePool(d) [flat] output = Flatten(e)"""


def test_a_weighted_layer_on_the_cpu_is_not_told_as_16_bit(tmp_path: Path) -> None:
    """It would be promised to the chip in one line and to the CPU in the next."""
    proto = model(
        f"""g (float[N,3,16,16] input) => (float[N,4] output) {{
            [conv1] a = Conv<strides=[4,4]>(input, w1)
            [relu1] b = Relu(a)
            {WEIGHTED_BETWEEN}
        }}""",
        weights(0, w1=(4, 3, 4, 4), w2=(4, 4, 1, 1), m=(4, 4)),
    )
    _, exported, _ = written(proto, tmp_path, SIZED, floats=("mul",), allow_fallback=True)
    text = (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")

    assert exported.facts["custom_nodes"] == ["mul"]
    assert exported.facts["raised_layers"] == []
    assert cfg_of(tmp_path)["compile_mode"] == "0"
    assert "16 bit" not in text
    assert "- In float on the CPU: `mul`." in text


def test_every_layer_that_the_cpu_must_compute_is_named(tmp_path: Path) -> None:
    """The page is a to-do list: who types it cannot guess the rest of "and 2 more"."""
    names = [f"erf{i}" for i in range(10)]
    chain = " ".join(f"[{n}] x{i + 1} = Erf(x{i})" for i, n in enumerate(names))
    middle = f"[id] x0 = Relu(b) {chain} [conv2] d = Conv(x10, w2) " + (
        "[pool] e = GlobalAveragePool(d) [flat] output = Flatten(e)"
    )
    written(odd_tail(middle), tmp_path, SIZED, allow_fallback=True)
    text = (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")

    assert text.count(", ".join(f"`{n}`" for n in names)) == 2


def test_an_input_that_only_the_tail_reads_is_not_fed(tmp_path: Path) -> None:
    """The sizes of pictures, say, which decoding boxes needs and the chip does not."""
    proto = model(
        """g (float[N,3,16,16] input, float[N,4] size) => (float[N,4] output) {
            [conv1] a = Conv<strides=[4,4]>(input, w1)
            [pool] b = GlobalAveragePool(a)
            [flat] c = Flatten(b)
            [erf] d = Erf(c)
            [mul] output = Mul(d, size)
        }""",
        weights(0, w1=(4, 3, 4, 4)),
    )
    seen, others = pictures(SIZED), arrays(size=(4,))

    def samples(n: int) -> Iterator[tuple[str, Mapping[str, NDArray[Any]]]]:
        for (key, one), (_, two) in zip(seen(n), others(n), strict=True):
            yield key, {**one, **two}

    _, exported, deployment = written(proto, tmp_path, SIZED, samples=samples, allow_fallback=True)

    assert errors(check_export(tmp_path, deployment)) == []
    assert exported.facts["tensor_inputs"] == 0
    tail = ir.load(tmp_path / "tail.onnx")
    assert "size" in {v.name for v in tail.graph.inputs}
    text = (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")
    assert "    'size': ...,  # 1x4, an input of the model, preprocessed\n" in text


def test_what_stands_in_the_middle_becomes_a_custom_layer(tmp_path: Path) -> None:
    _, exported, deployment = written(odd_tail(BETWEEN), tmp_path, SIZED, allow_fallback=True)

    assert exported.facts["custom_nodes"] == ["erf"]
    assert 'type: "Custom"' in (tmp_path / "net.prototxt").read_text(encoding="ascii")
    assert errors(check_export(tmp_path, deployment)) == []
    assert "Custom layer" in (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")


def test_an_export_without_a_tail_removes_the_tail_of_the_one_before(tmp_path: Path) -> None:
    written(odd_tail(CUT), tmp_path, SIZED, allow_fallback=True)
    written(conv_relu_net(), tmp_path, SIZED, allow_fallback=True)

    assert not (tmp_path / "tail.onnx").exists()


HOSTILE = "a\"b\n'c'`d`` é $(rm -rf x) \\ [key] # | ../../e"


def hostile_net() -> onnx.ModelProto:
    """Return a network all of whose names are the same hostile one and a number."""
    proto = conv_relu_net()
    held = proto.graph
    held.name = HOSTILE
    names: dict[str, str] = {}
    for node in held.node:
        node.name = f"{HOSTILE}{node.name}"
        for ends in (node.input, node.output):
            for i, name in enumerate(ends):
                ends[i] = names.setdefault(name, f"{HOSTILE}{name}") if name else name
    for value in (*held.input, *held.output, *held.initializer):
        value.name = names[value.name]
    return proto


def test_hostile_names_reach_no_file_unescaped(tmp_path: Path) -> None:
    base = prepared(hostile_net())
    graph = Graph(base.model, HOSTILE, f"{HOSTILE}.onnx")
    name = f"{HOSTILE}input"
    feeds = pictures(SIZED, name)

    def samples(n: int) -> Iterator[tuple[str, Mapping[str, NDArray[Any]]]]:
        for key, one in feeds(n):
            yield f"{HOSTILE}{key}", one

    deployment = Deployment(preprocess=SIZED, samples=samples)
    folder = tmp_path / "ü $(x) 'y'"
    exported = write(graph, plan_of(graph, (f"{HOSTILE}conv1",)), folder, deployment)

    assert all(re.fullmatch(r"[A-Za-z0-9_./-]+", file) for file in exported.files)
    assert all(".." not in file and not file.startswith(("/", "-")) for file in exported.files)
    assert sorted(exported.files) == sorted(tree(folder))
    for file, data in tree(folder).items():
        if file.endswith((".cfg", ".prototxt", ".txt")):
            assert data.isascii()
    assert errors(check_export(folder, deployment)) == []
    with (folder / "tensors.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["node"] == f"{HOSTILE}conv1"
    text = (folder / "DEPLOY.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in text.splitlines() if re.match(r"# Deploying ```|## [A-Z][a-z]+$", line)
    ]
    assert text.count("\n```") == 4  # two code blocks, opened and closed
    assert "\n'c'" not in text
    (wanted,) = run(graph.model, {name: next(iter(feeds(1)))[1][name][None]})
    (stem,) = [p.stem for p in folder.glob("*_sim.cfg")]
    net = read_export(folder)
    net.setInput(fed(folder, 0))
    np.testing.assert_allclose(net.forward(), wanted, rtol=1e-4, atol=1e-4)
    assert re.fullmatch(r"a_b_c_d_rm_-rf_x_key_e_sim", stem)


@pytest.mark.parametrize(
    ("name", "stem"), [("é/ü", "net"), ("..", "net"), ("-x.y-", "x.y"), ("n" * 300, "n" * 60)]
)
def test_files_have_a_plain_stem(name: str, stem: str, tmp_path: Path) -> None:
    base = prepared(conv_relu_net())
    graph = Graph(base.model, name)
    exported = write(
        graph, plan_of(graph), tmp_path, Deployment(preprocess=SIZED, samples=pictures(SIZED))
    )

    assert exported.files[:4] == tuple(
        f"{stem}{end}" for end in (".prototxt", ".caffemodel", ".cfg", "_sim.cfg")
    )


def refused(proto: onnx.ModelProto, folder: Path, **options: Any) -> str:
    """Return the message of a refused export, which left everything as it was."""
    folder.mkdir()
    (folder / "net.cfg").write_text("old", encoding="utf-8")
    with pytest.raises((InputError, UnsupportedError)) as caught:
        written(proto, folder, options.pop("preprocess", SIZED), **options)
    assert tree(folder.parent) == {f"{folder.name}/net.cfg": b"old"}
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    return str(caught.value)


def test_without_samples_nothing_is_written(tmp_path: Path) -> None:
    assert refused(conv_relu_net(), tmp_path / "x", samples=None) == (
        "net.onnx: the mapper calibrates on 20 to 50 samples of its own, saw none. Give --data."
    )


def test_an_nnie_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    assert refused(conv_relu_net(), tmp_path / "x", versions={"nnie": "2.0"}) == (
        "--nnie-version: must be one of 1.1, 1.2, saw '2.0'. Choose one."
    )


def test_samples_of_two_sizes_are_refused(tmp_path: Path) -> None:
    def samples(n: int) -> Iterator[tuple[str, Mapping[str, NDArray[Any]]]]:
        for size in (16, 17):
            yield f"{size}.png", {"input": np.zeros((3, size, 16), np.float32)}

    assert refused(conv_relu_net(), tmp_path / "x", samples=samples) == (
        "net.onnx, sample '17.png': the mapper takes one size, saw 3x17x16 after 3x16x16 at input "
        "'input'. Give --size WIDTHxHEIGHT."
    )


def test_tensors_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """Found while the lists are being written: the scratch folder goes as well."""
    held = np.zeros((3, 16, 16), np.float32)
    held[0, 0, :2] = np.nan, np.inf

    def samples(n: int) -> Iterator[tuple[str, Mapping[str, NDArray[Any]]]]:
        yield "odd", {"input": held}

    assert refused(conv_relu_net(), tmp_path / "x", samples=samples) == (
        "sample 'odd', input 'input': the mapper takes finite numbers, saw 2 others of 768. Mend "
        "the data."
    )


def test_what_has_no_form_in_caffe_is_refused(tmp_path: Path) -> None:
    message = refused(odd_tail(CUT), tmp_path / "x")

    assert message.startswith("net.onnx, node 'erf': everything must have a form in NNIE's Caffe")


def test_pictures_with_channels_last_need_a_transpose(tmp_path: Path) -> None:
    text = """g (float[N,16,16,3] input) => (float[N,4] output) {
        [flat] a = Flatten(input)
        [fc] output = MatMul(a, w)
    }"""
    message = refused(
        model(text, weights(0, w=(768, 4))),
        tmp_path / "x",
        preprocess=Preprocess(size=(16, 16), layout="NHWC"),
    )

    assert message == (
        "net.onnx, input 'input': pictures have their channels in front on NNIE, saw layout NHWC "
        "and no Transpose 0,3,1,2 behind the input. Export the model with its channels first."
    )


def test_killed_while_writing_it_leaves_the_old_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(conv_relu_net(), tmp_path / "x", SIZED)
    before = tree(tmp_path)
    monkeypatch.setattr(
        nnie_write, "deploy_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        written(residual_net(), tmp_path / "x", SIZED)

    assert tree(tmp_path) == before


def test_the_page_has_the_numbers_of_the_preprocessing(tmp_path: Path) -> None:
    """By hand: a middle std of 5, so that factors are 5 / std; means turned to BGR."""
    boxed = Preprocess(
        size=(16, 16), resize="letterbox", pad=99, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 8.0)
    )
    written(conv_relu_net(), tmp_path, boxed)
    text = (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")
    start = text.index("## Preprocessing")

    assert text[start : text.index("## Precision")].splitlines() == [
        "## Preprocessing",
        "",
        "- On the host, to 16x16 (width x height): letterbox, bars of 99, bilinear.",
        "- The model takes RGB, (pixel - mean) / std, mean [1.0, 2.0, 3.0], std [4.0, 5.0, 8.0].",
        (
            "- In the `.wk`: norm_type 5, mean [3.0, 2.0, 1.0] in the order of the network's channels, "
            "then data_scale 0.2."
        ),
        "- In the first layer's weights: the channels in reverse order, because the board feeds BGR.",
        (
            "- In the first layer's weights: channels times 1.25, 1, 0.625 (RGB), because the mapper "
            "has one data_scale for all channels."
        ),
        "- The mapper calibrates on 20 samples of the network's size.",
        "",
    ]
    assert (tmp_path / "mean.txt").read_text(encoding="ascii") == "3.0\n2.0\n1.0\n"


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_the_page_has_its_sections_and_the_mapper_of_the_version(
    version: str, tmp_path: Path
) -> None:
    written(conv_relu_net(), tmp_path, SIZED, versions={"nnie": version})
    text = (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")

    assert re.findall(r"^#+ .*", text, re.MULTILINE) == [
        "# Deploying `net` on NNIE",
        "## Files",
        "## Steps",
        "## Preprocessing",
        "## Precision",
        "## Verified",
        "## Inferred",
    ]
    assert re.findall(r"^nnie_mapper_\S+ \S+", text, re.MULTILINE) == [
        f"nnie_mapper_{version.replace('.', '')} net{end}.cfg" for end in ("_sim", "")
    ]
    assert ("Hi3559AV100" in text) == (version == "1.1")
    assert "last listed sample only, `019.png`" in text
    assert "\n- `output`: blob `output`, 1x10.\n" in text
    assert max(map(len, text.splitlines())) <= 200


def test_the_reader_of_the_page_turns_rows_into_floats(tmp_path: Path) -> None:
    """The code is run as it stands there, on a blob with padded rows as the board has it."""
    written(conv_relu_net(), tmp_path, SIZED)
    text = (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "stride" in b]
    (tmp_path / "reader.py").write_text(block, encoding="utf-8")
    space = runpy.run_path(str(tmp_path / "reader.py"))
    values = np.random.default_rng(0).integers(-(2**31), 2**31, (2, 3, 5), dtype=np.int32)
    padded = np.full((2, 3, 8), 77, "<i4")
    padded[:, :, :5] = values

    made = space["blob_as_float"](padded.tobytes(), (2, 3, 5), 32)
    assert np.array_equal(made, values / 4096)
    row = space["blob_as_float"](values[0, :2].tobytes(), (1, 10), 40)
    assert np.array_equal(row.ravel(), values[0, :2].ravel() / 4096)


def test_the_record_says_which_tensor_a_layer_is(tmp_path: Path) -> None:
    """Every layer's numbers in OpenCV are those of the tensor in ONNX Runtime."""
    graph, _, deployment = written(residual_net(), tmp_path, SIZED)
    assert deployment.samples is not None
    with (tmp_path / "tensors.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["tensor"]]
    _, tensors = next(iter(deployment.samples(1)))
    names = list(dict.fromkeys(row["tensor"] for row in rows))
    found = run(graph.with_outputs(names), {"input": tensors["input"][None]})
    wanted = dict(zip(names, found, strict=True))
    net = read_export(tmp_path)
    net.enableFusion(False)
    net.setInput(fed(tmp_path, 0), "input")

    assert [row["node"] for row in rows] == [
        "stem", "relu1", "conv1", "relu2", "conv2", "add", "relu3", "pool", "fc",
    ]  # fmt: skip
    for row in rows:
        outputs = net.forward(row["layer"])
        want = wanted[row["tensor"]]
        assert row["shape"] == "x".join(map(str, want.shape))
        assert np.abs(outputs - want).max() <= 1e-5 * np.abs(want).max(), row
