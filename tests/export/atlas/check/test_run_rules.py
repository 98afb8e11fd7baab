"""Every rule of an Atlas export: a good export has no error, and each fault has its finding."""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.export.atlas.check.rules import RULES
from quant.export.atlas.check.run_rules import check_export
from quant.export.atlas.graph.simulate import simulated
from quant.export.atlas.write import write
from quant.graph.prepared_graph import save_model
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.deployment import Deployment
from quant.target.finding import Finding, errors
from tests.atlas import atlas_plan
from tests.models import model, weights


def samples(count: int) -> Iterator[tuple[str, dict[str, NDArray[np.float32]]]]:
    """Yield samples like those that the plan is made from."""
    rng = np.random.default_rng(7)
    for number in range(count):
        yield str(number), {"input": rng.normal(size=(3, 8, 8)).astype(np.float32)}


DEPLOYMENT = Deployment(
    preprocess=Preprocess(size=(8, 8), mean=(127.5,), std=(64.0,)),
    versions={"atlas": "Ascend310"},
    samples=samples,
)


def every_layer_net() -> onnx.ModelProto:
    """Return each operator that Atlas runs in INT8, a MatMul with a bias behind it among them."""
    return model(
        """g (float[N,3,8,8] input) => (float[N,6] output) {
            [stem] s = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(input, w0, b0)
            [relu] a = Relu(s)
            [up] b = ConvTranspose<strides=[2,2]>(a, w1, b1)
            [pool] c = AveragePool<kernel_shape=[2,2], strides=[2,2]>(b)
            [conv] d = Conv(c, w2, b2)
            [add] e = Add(d, d)
            [flat] f = Reshape(e, shape)
            [mm] h = MatMul(f, w3)
            [bias] i = Add(h, b3)
            [flat2] j = Flatten(i)
            [fc] output = Gemm<transB=1>(j, w4, b4)
        }""",
        {
            **weights(0, w0=(20, 3, 3, 3), b0=(20,), w1=(20, 18, 2, 2), b1=(18,)),
            **weights(1, w2=(5, 18, 1, 1), b2=(5,), w3=(64, 4), b3=(4,), w4=(6, 20), b4=(6,)),
            "shape": np.array([0, 5, 64], np.int64),
        },
    )


@cache
def good() -> Path:
    """Return the folder of an export, complete as a run leaves it."""
    folder = Path(mkdtemp())
    graph, plan = atlas_plan(every_layer_net())
    write(graph, plan, folder, DEPLOYMENT)
    save_model(simulated(graph, plan), folder / "simulated.onnx")
    return folder


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return Path(shutil.copytree(good(), tmp_path / "atlas"))


def check(folder: Path) -> list[Finding]:
    return check_export(folder, DEPLOYMENT)


def test_there_are_thirty_rules_and_each_has_a_line() -> None:
    assert list(RULES) == [f"atlas-{n}" for n in range(1, 31)]
    assert all(text.endswith(".") and len(text) < 100 for text in RULES.values())


def test_a_good_export_has_no_error(export: Path) -> None:
    """What is left is worth knowing: the stem gains nothing, and float16 holds scales less well."""
    findings = check(export)

    assert errors(findings) == []
    assert [(f.rule, f.severity, f.place) for f in findings] == [
        ("atlas-13", "info", "file 'deploy_model.onnx'"),
        ("atlas-20", "warning", "node 'stem'"),
    ]
    kinds = [n.op_type for n in onnx.load(export / "deploy_model.onnx").graph.node]
    assert kinds.count("AscendDequant") == 6


Model = onnx.ModelProto


def node(proto: Model, name: str) -> onnx.NodeProto:
    return next(n for n in proto.graph.node if n.name == name)


def constant(proto: Model, name: str) -> onnx.TensorProto:
    return next(i for i in proto.graph.initializer if i.name == name)


def setting(name: str, key: str, value: Any) -> Callable[[Model], None]:
    """Return a break that gives a node an attribute of another value or type."""

    def edit(proto: Model) -> None:
        owner = node(proto, name)
        kept = [a for a in owner.attribute if a.name != key]
        del owner.attribute[:]
        owner.attribute.extend(kept)
        if value is not None:
            owner.attribute.append(onnx.helper.make_attribute(key, value))

    return edit


def storing(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Model], None]:
    """Return a break that changes an initializer."""

    def edit(proto: Model) -> None:
        tensor = constant(proto, name)
        array = change(np.array(onnx.numpy_helper.to_array(tensor)))
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, name))

    return edit


def adding(text: str, place: str | None = None) -> Callable[[Model], None]:
    """Return a break that adds nodes, last or before the node of a name."""

    def edit(proto: Model) -> None:
        made = onnx.parser.parse_graph(f"g () => () {{ {text} }}")
        names = [n.name for n in proto.graph.node]
        index = len(names) if place is None else names.index(place)
        for new in reversed(made.node):
            proto.graph.node.insert(index, new)

    return edit


def other_opset(version: int) -> Callable[[Model], None]:
    def edit(proto: Model) -> None:
        proto.opset_import[0].version = version

    return edit


def two_opsets(proto: Model) -> None:
    proto.opset_import.add(domain="com.microsoft", version=1)


def renaming(name: str, key: str, value: Any) -> Callable[[Model], None]:
    def edit(proto: Model) -> None:
        setattr(node(proto, name), key, value)

    return edit


def reading(name: str, index: int, tensor: str) -> Callable[[Model], None]:
    def edit(proto: Model) -> None:
        node(proto, name).input[index] = tensor

    return edit


def giving_out(tensor: str) -> Callable[[Model], None]:
    def edit(proto: Model) -> None:
        proto.graph.output.append(onnx.helper.make_tensor_value_info(tensor, 1, None))

    return edit


def float_input(proto: Model) -> None:
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16


def another_name(proto: Model) -> None:
    proto.graph.input[0].name = "picture"
    node(proto, "stem.quant").input[0] = "picture"


def swapped(proto: Model) -> None:
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([nodes[1], nodes[0], *nodes[2:]])


def without_stem_quantizer(proto: Model) -> None:
    proto.graph.node.remove(node(proto, "stem.quant"))
    node(proto, "stem").input[0] = "input"


def external(proto: Model) -> None:
    tensor = constant(proto, "w1")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="elsewhere/w.bin")


def global_pool(proto: Model) -> None:
    setting("pool", "kernel_shape", [16, 16])(proto)


def filter_3d(proto: Model) -> None:
    storing("w2", lambda w: w.reshape(*w.shape, 1))(proto)
    setting("conv", "dilations", [2, 1, 1])(proto)


def anti_quant(scale: float) -> Callable[[Model], None]:
    def edit(proto: Model) -> None:
        adding(
            f"""[anti] z = AscendAntiQuant<scale = {scale}, offset = 0.0>("stem.quant.output0")"""
        )(proto)

    return edit


def huge(array: NDArray[Any]) -> NDArray[Any]:
    return np.full_like(array, 2**31 - 1)


MODEL_BREAKS: dict[str, tuple[int, Callable[[Model], None], str, str]] = {
    "two opsets": (1, two_opsets, "error", "file 'deploy_model.onnx'"),
    "an old opset": (1, other_opset(10), "error", "file 'deploy_model.onnx'"),
    "a new opset": (1, other_opset(19), "error", "file 'deploy_model.onnx'"),
    "an opset above 11": (1, other_opset(12), "info", "file 'deploy_model.onnx'"),
    "a requantizer": (2, renaming("relu", "op_type", "AscendRequant"), "error", "node 'relu'"),
    "a domain": (2, renaming("relu", "domain", "com.microsoft"), "error", "node 'relu'"),
    "QDQ": (3, renaming("relu", "op_type", "DequantizeLinear"), "error", "node 'relu'"),
    "QLinear": (3, renaming("relu", "op_type", "QLinearAdd"), "error", "node 'relu'"),
    "an INT scale": (4, setting("stem.quant", "scale", 3), "error", "node 'stem.quant'"),
    "no offset": (4, setting("stem.quant", "offset", None), "error", "node 'stem.quant'"),
    "an INT dst_type": (4, setting("stem.quant", "dst_type", 2), "error", "node 'stem.quant'"),
    "INT4": (4, setting("stem.quant", "dst_type", "INT4"), "error", "node 'stem.quant'"),
    "a strange attribute": (4, setting("stem.quant", "axis", 1), "error", "node 'stem.quant'"),
    "a zero scale": (5, setting("stem.quant", "scale", 0.0), "error", "node 'stem.quant'"),
    "an infinite scale": (
        5,
        setting("stem.quant", "scale", float("inf")),
        "error",
        "node 'stem.quant'",
    ),
    "a scale beyond AMCT": (5, setting("stem.quant", "scale", 1e7), "error", "node 'stem.quant'"),
    "a scale beyond float16": (
        5,
        setting("stem.quant", "scale", 70000.0),
        "info",
        "node 'stem.quant'",
    ),
    "sqrt_mode": (5, setting("stem.quant", "sqrt_mode", 0), "error", "node 'stem.quant'"),
    "half an offset": (6, setting("stem.quant", "offset", 0.5), "error", "node 'stem.quant'"),
    "a far offset": (6, setting("stem.quant", "offset", 128.0), "error", "node 'stem.quant'"),
    "another scale": (7, setting("stem.quant", "scale", 1.5), "error", "node 'stem.quant'"),
    "another offset": (7, setting("stem.quant", "offset", 99.0), "error", "node 'stem.quant'"),
    "no quantizer": (8, without_stem_quantizer, "error", "node 'stem'"),
    "sums read twice": (8, adding("[more] z = Identity(s)"), "error", "node 'stem'"),
    "a graph output of sums": (8, giving_out("h"), "error", "node 'mm'"),
    "int8 before Relu": (
        9,
        adding('[more] z = Relu("stem.quant.output0")'),
        "error",
        "node 'stem.quant'",
    ),
    "int8 as an output": (9, giving_out("stem.quant.output0"), "error", "node 'stem.quant'"),
    "int8 as a weight": (
        9,
        reading("conv", 1, "stem.quant.output0"),
        "error",
        "node 'stem.quant'",
    ),
    "no dtype": (10, setting("up.dequant", "dtype", None), "error", "node 'up.dequant'"),
    "a FLOAT dtype": (10, setting("up.dequant", "dtype", 0.0), "error", "node 'up.dequant'"),
    "int64 scales": (
        10,
        storing("up.dequant.param", lambda a: a.astype(np.int64)),
        "error",
        "node 'up.dequant'",
    ),
    "scales of two axes": (
        10,
        storing("up.dequant.param", lambda a: a.reshape(1, -1)),
        "error",
        "node 'up.dequant'",
    ),
    "a dequantizer of floats": (10, reading("up.dequant", 0, "a"), "error", "node 'up.dequant'"),
    "a shift": (
        11,
        storing("up.dequant.param", lambda a: a | np.uint64(1 << 32)),
        "error",
        "node 'up.dequant'",
    ),
    "a zero deq_scale": (
        11,
        storing("up.dequant.param", lambda a: a * 0),
        "error",
        "node 'up.dequant'",
    ),
    "another deq_scale": (
        11,
        storing("up.dequant.param", lambda a: a + np.uint64(1)),
        "error",
        "node 'up.dequant'",
    ),
    "scales per column": (
        12,
        storing("fc.dequant.param", lambda a: np.repeat(a, 6)),
        "error",
        "node 'fc'",
    ),
    "too few scales": (12, storing("up.dequant.param", lambda a: a[:9]), "error", "node 'up'"),
    "a uint8 weight": (14, storing("w2", lambda a: a.astype(np.uint8)), "error", "node 'conv'"),
    "transB": (14, setting("fc", "transB", 1), "error", "node 'fc'"),
    "a weight of three axes": (14, storing("w3", lambda a: a[None]), "error", "node 'mm'"),
    "another kernel": (14, setting("stem", "kernel_shape", [1, 9]), "error", "node 'stem'"),
    "an int64 bias": (15, storing("b2", lambda a: a.astype(np.int64)), "error", "node 'conv'"),
    "a short bias": (15, storing("b2", lambda a: a[:1]), "error", "node 'conv'"),
    "a computed bias": (15, reading("conv", 2, "input"), "error", "node 'conv'"),
    "a great bias": (15, storing("b2", huge), "warning", "node 'conv'"),
    "sums beyond int32": (16, storing("b2", huge), "error", "node 'conv'"),
    "a float weight": (17, storing("w2", lambda a: a.astype(np.float32)), "error", "node 'conv'"),
    "a float bias": (17, storing("b2", lambda a: a.astype(np.float32)), "error", "node 'conv'"),
    "a float bias of a MatMul": (
        17,
        storing("b3", lambda a: a.astype(np.float32)),
        "error",
        "node 'mm'",
    ),
    "an int8 weight at a float layer": (17, reading("add", 1, "w2"), "error", "node 'add'"),
    "int8 before Softmax": (
        18,
        adding('[more] z = Softmax("stem.quant.output0")'),
        "error",
        "node 'stem.quant'",
    ),
    "an unlike pair": (18, anti_quant(7.0), "error", "node 'anti'"),
    "an AntiQuant of floats": (
        18,
        adding("[anti] z = AscendAntiQuant<scale = 1.0, offset = 0.0>(a)"),
        "error",
        "node 'anti'",
    ),
    "dilated in depth": (19, filter_3d, "error", "node 'conv'"),
    "a dilated transposed": (19, setting("up", "dilations", [2, 2]), "error", "node 'up'"),
    "a global pool": (19, global_pool, "error", "node 'pool'"),
    "few channels": (20, storing("w2", lambda a: a[:, :8]), "warning", "node 'conv'"),
    "no name": (21, renaming("relu", "name", ""), "error", "file 'deploy_model.onnx'"),
    "a name twice": (21, renaming("relu", "name", "add"), "error", "file 'deploy_model.onnx'"),
    "a tensor twice": (
        21,
        adding("[more] a = Identity(input)"),
        "error",
        "file 'deploy_model.onnx'",
    ),
    "a layer without record": (21, renaming("conv", "name", "new"), "error", "file 'record.txt'"),
    "op_data_type": (23, setting("conv", "op_data_type", "INT8"), "error", "node 'conv'"),
    "a float16 input": (24, float_input, "error", "tensor 'input'"),
    "another input": (24, another_name, "error", "file 'deploy_model.onnx'"),
    "no order": (25, swapped, "error", "node 'stem'"),
    "an output of nobody": (25, giving_out("nobody"), "error", "tensor 'nobody'"),
    "an output of int32": (25, giving_out("s"), "error", "tensor 's'"),
    "an idle quantizer": (
        25,
        adding('[idle] z = AscendQuant<scale = 1.0, offset = 0.0, dst_type = "INT8">(a)'),
        "error",
        "node 'idle'",
    ),
    "indices": (
        29,
        adding("[top] v, i = TopK(output, k) [sum] z = Add(i, i)"),
        "warning",
        "node 'sum'",
    ),
    "weights elsewhere": (30, external, "error", "tensor 'w1'"),
}


@pytest.mark.parametrize("name", MODEL_BREAKS)
def test_a_broken_deploy_model_is_found(name: str, export: Path) -> None:
    """The rule, how bad it is and where: what a person needs to mend it."""
    rule, edit, severity, place = MODEL_BREAKS[name]
    proto = onnx.load(export / "deploy_model.onnx")
    edit(proto)
    (export / "deploy_model.onnx").write_bytes(proto.SerializeToString())

    findings = check(export)

    assert (f"atlas-{rule}", severity, place) in [(f.rule, f.severity, f.place) for f in findings]
    assert all(f.rule in RULES and f.mend.endswith((".", "?")) for f in findings)


def unreadable(name: str) -> Callable[[Model], None]:
    def edit(proto: Model) -> None:
        constant(proto, name).dims.append(9)

    return edit


def emptied(name: str, field: str) -> Callable[[Model], None]:
    def edit(proto: Model) -> None:
        node(proto, name).ClearField(field)

    return edit


@pytest.mark.parametrize(
    ("edit", "rule", "place", "saw"),
    [
        (emptied("relu", "output"), 25, "node 'relu'", "no output of Relu"),
        (emptied("conv.quant", "input"), 25, "node 'conv.quant'", "0 inputs of AscendQuant"),
        (emptied("add", "input"), 25, "node 'add'", "0 inputs of Add"),
        (setting("up", "strides", 2), 2, "node 'up'", "attribute strides of type INT"),
        (
            storing("w2", lambda a: a.reshape(-1)),
            14,
            "node 'conv'",
            "a weight of shape [90]",
        ),
        (
            adding("[anti] z = AscendAntiQuant<scale = 1.0>(a)"),
            18,
            "node 'anti'",
            "no offset, or one of another type",
        ),
    ],
)
def test_a_damaged_model_is_a_finding_and_no_crash(
    edit: Callable[[Model], None], rule: int, place: str, saw: str, export: Path
) -> None:
    """Counts and types come first: every other rule may then read what it asks for."""
    proto = onnx.load(export / "deploy_model.onnx")
    edit(proto)
    (export / "deploy_model.onnx").write_bytes(proto.SerializeToString())

    assert (f"atlas-{rule}", "error", place, saw) in [
        (f.rule, f.severity, f.place, f.saw) for f in check(export)
    ]


@pytest.mark.parametrize(("name", "rule"), [("w2", 14), ("b2", 15), ("up.dequant.param", 10)])
def test_an_initializer_with_too_few_bytes_is_found(name: str, rule: int, export: Path) -> None:
    proto = onnx.load(export / "deploy_model.onnx")
    unreadable(name)(proto)
    (export / "deploy_model.onnx").write_bytes(proto.SerializeToString())

    (error,) = [f for f in errors(check(export)) if f.place == f"tensor '{name}'"]

    assert error.rule == f"atlas-{rule}"
    assert error.saw.startswith("an initializer that cannot be read: ")


def replacing(file: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def other_simulation(folder: Path) -> None:
    proto = onnx.load(folder / "simulated.onnx")
    storing("fc.dequant.param", lambda a: a * np.float32(1.0000002))(proto)
    (folder / "simulated.onnx").write_bytes(proto.SerializeToString())


def other_float_model(folder: Path) -> None:
    proto = onnx.load(folder / "float_model.onnx")
    storing("w4", lambda a: -a)(proto)
    (folder / "float_model.onnx").write_bytes(proto.SerializeToString())


def host_and_chip(folder: Path) -> None:
    """Put a Sub of the input in front, which AIPP's mean would repeat."""
    for name in ("deploy_model.onnx", "float_model.onnx"):
        proto = onnx.load(folder / name)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32([1]), "one"))
        proto.graph.node.insert(0, onnx.helper.make_node("Sub", ["input", "one"], ["z"], "norm"))
        (folder / name).write_bytes(proto.SerializeToString())


FILE_BREAKS: dict[str, tuple[int, Callable[[Path], None], str, str]] = {
    "no record text": (
        22,
        replacing("record.txt", "scale_d", "scal"),
        "error",
        "file 'record.txt'",
    ),
    "an offset_w": (
        22,
        replacing("record.txt", "offset_w: 0", "offset_w: 1"),
        "error",
        "record 'stem'",
    ),
    "an offset_w less": (22, replacing("record.txt", "offset_w: 0", ""), "error", "record 'stem'"),
    "a shift_bit": (
        22,
        replacing("record.txt", "offset_w: 0", "offset_w: 0 shift_bit: 4"),
        "error",
        "record 'stem'",
    ),
    "a scale of zero": (
        22,
        replacing("record.txt", "scale_w: ", "scale_w: 0.0 #"),
        "error",
        "record 'stem'",
    ),
    "a far offset_d": (
        22,
        replacing("record.txt", "offset_d: ", "offset_d: 200 #"),
        "error",
        "record 'stem'",
    ),
    "another key": (
        21,
        replacing("record.txt", '"stem"', '"strange"'),
        "error",
        "file 'record.txt'",
    ),
    "a key twice": (21, replacing("record.txt", '"up"', '"stem"'), "error", "file 'record.txt'"),
    "another framework": (
        26,
        replacing("atc.sh", "--framework=5", "--framework=0"),
        "error",
        "file 'atc.sh'",
    ),
    "no chip": (26, replacing("atc.sh", "=Ascend310", "="), "error", "file 'atc.sh'"),
    "another name": (
        26,
        replacing("atc.sh", "input_shape=input:", "input_shape=x:"),
        "error",
        "file 'atc.sh'",
    ),
    "another rank": (26, replacing("atc.sh", ":1,3,8,8", ":1,3,8"), "error", "file 'atc.sh'"),
    "another size": (26, replacing("atc.sh", ":1,3,8,8", ":1,3,8,9"), "error", "file 'atc.sh'"),
    "half a mean": (27, replacing("aipp.cfg", ": 127", ": 127.5"), "error", "file 'aipp.cfg'"),
    "a negative factor": (
        27,
        replacing("aipp.cfg", "var_reci_chn_0 : ", "var_reci_chn_0 : -"),
        "error",
        "file 'aipp.cfg'",
    ),
    "fp16 nodes": (
        27,
        replacing("atc.sh", "--framework=5", "--framework=5 --input_fp16_nodes=input"),
        "error",
        "file 'atc.sh'",
    ),
    "normalized twice": (27, host_and_chip, "warning", "node 'norm'"),
    "another simulation": (28, other_simulation, "error", "tensor 'output'"),
    "another float model": (28, other_float_model, "warning", "tensor 'output'"),
}


@pytest.mark.parametrize("name", FILE_BREAKS)
def test_a_broken_file_is_found(name: str, export: Path) -> None:
    rule, edit, severity, place = FILE_BREAKS[name]
    edit(export)

    findings = check(export)

    assert (f"atlas-{rule}", severity, place) in [(f.rule, f.severity, f.place) for f in findings]


def test_every_rule_has_a_break() -> None:
    """13 is in the good export already: it is about a chip, not about a mistake."""
    broken = {rule for rule, *_ in (*MODEL_BREAKS.values(), *FILE_BREAKS.values())}

    assert broken | {13} == set(range(1, 31))


def test_a_chip_that_reads_all_of_deq_scale_hears_nothing_of_float16(export: Path) -> None:
    findings = check_export(export, Deployment(versions={"atlas": "Ascend310P3"}))

    assert [f.rule for f in findings] == ["atlas-20"]


def test_a_model_alone_needs_its_sizes_from_somewhere(export: Path) -> None:
    """Without atc.sh nothing says what the dynamic batch is to be."""
    findings = check_export(export / "deploy_model.onnx", DEPLOYMENT)

    (error,) = errors(findings)
    assert str(error) == (
        "atlas-24 error, tensor 'input': saw sizes ['N', 3, 8, 8], wanted fixed sizes. Give ATC "
        "--input_shape, as atc.sh of an export does."
    )


def test_a_folder_without_a_deploy_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_export(tmp_path, DEPLOYMENT)

    assert str(caught.value) == (
        f"{tmp_path}: an Atlas export has a 'deploy_model.onnx', and this folder has none. Name the "
        "folder of an export, or a deploy model."
    )


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"not onnx")

    with pytest.raises(InputError, match="A model must be an ONNX file"):
        check_export(tmp_path / "x.onnx", DEPLOYMENT)


def test_a_finding_says_place_seen_wanted_and_mend(export: Path) -> None:
    proto = onnx.load(export / "deploy_model.onnx")
    setting("fc", "transB", 1)(proto)
    (export / "deploy_model.onnx").write_bytes(proto.SerializeToString())

    (error,) = [f for f in errors(check(export)) if f.rule == "atlas-14"]

    assert error.layer == "fc"
    assert str(error) == (
        "atlas-14 error, node 'fc': saw transA or transB, wanted both 0, a weight [K, N]. "
        "Transpose the weight itself."
    )
