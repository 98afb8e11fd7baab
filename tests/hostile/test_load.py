"""Models that must be refused, each with the exact message, and those that look it and load."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from quant.common.errors import InputError, QuantError, UnsupportedError
from quant.load.open_graph import load
from tests.models import conv_relu_net, model, weights

W = weights(0, w=(4, 3, 3, 3))
CONV = "g (float[N,3,8,8] x) => (float[N,4,6,6] y) { [conv] y = Conv(x, w) }"


def refused(path: Path, kind: type[QuantError]) -> str:
    """Return the message that load() raises, from the path's last part on."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(QuantError) as caught:
        load(str(path))

    assert type(caught.value) is kind
    assert sorted(path.parent.iterdir()) == before
    return str(caught.value).replace(f"{path}", path.name, 1)


def saved(tmp_path: Path, proto: onnx.ModelProto) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"hello, I am a text\n", "19 bytes that start with 'hello, I'"),
        (
            b"\x89PNG\r\n\x1a\n" + bytes(20),
            "28 bytes that start with '\\x89PNG\\x0d\\x0a\\x1a\\x0a'",
        ),
        (b"PK\x03\x04" + bytes(30), "34 bytes that start with 'PK\\x03\\x04\\x00\\x00\\x00\\x00'"),
        (bytes(64), "64 bytes that start with '" + "\\x00" * 8 + "'"),
    ],
)
def test_a_file_that_is_no_onnx_shows_how_it_starts(tmp_path: Path, data: bytes, seen: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)

    assert refused(path, InputError) == (
        f"m.onnx: A model must be an ONNX file, saw {seen}. "
        "Export the model to ONNX, or give a PyTorch one as module:factory."
    )


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.touch()

    assert refused(path, InputError) == (
        "m.onnx: A model must be an ONNX file, saw 0 bytes. Export it again."
    )


def test_a_folder_names_its_models(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    empty = refused(folder, InputError)
    (folder / "a.onnx").touch()

    assert empty == "d: A model must be a file, and this is a folder. Name an .onnx file."
    assert refused(folder, InputError) == (
        "d: A model must be a file, and this is a folder. Name one of its files: 'a.onnx'."
    )


def test_a_missing_file_offers_the_nearest_name(tmp_path: Path) -> None:
    far = refused(tmp_path / "m.onnx", InputError)
    (tmp_path / "model.onnx").touch()

    wanted = "A model must be an existing file, and nothing is here."
    assert far == f"m.onnx: {wanted} Check the path after --model."
    assert refused(tmp_path / "modle.onnx", InputError) == (
        f"modle.onnx: {wanted} Did you mean 'model.onnx'?"
    )


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    """A cut can fall between two fields, where what is left parses."""
    proto = conv_relu_net()
    data = proto.SerializeToString()
    path = tmp_path / "m.onnx"
    for size in [*range(1, 60, 7), *range(60, len(data), 997), len(data) - 6, len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(InputError):
            load(str(path))
    path.write_bytes(data[:500])

    assert refused(path, InputError) == (
        "m.onnx: An ONNX file must be whole, and after 500 bytes this one does not parse to its "
        "end: it is truncated or damaged. Copy or export it again."
    )


def test_a_cut_between_two_fields(tmp_path: Path) -> None:
    proto = model(CONV, W)
    del proto.opset_import[:]
    no_opset = refused(saved(tmp_path, proto), InputError)
    proto = onnx.ModelProto(ir_version=8, opset_import=[onnx.helper.make_opsetid("", 17)])

    assert "this one names no opset: it is truncated or damaged." in no_opset
    assert refused(saved(tmp_path, proto), InputError) == (
        "m.onnx: An ONNX file must be whole, and after 8 bytes this one holds no node: it is "
        "truncated or damaged. Copy or export it again."
    )


def test_a_cycle_names_its_nodes(tmp_path: Path) -> None:
    proto = model(CONV, W)
    node = onnx.helper.make_node
    del proto.graph.node[:]
    proto.graph.node.extend(
        [
            node("Conv", ["x", "w"], ["c"], "conv"),
            node("Add", ["c", "b"], ["a"], "first"),
            node("Relu", ["a"], ["b"], "second"),
            node("Relu", ["b"], ["y"], "last"),
        ]
    )

    assert refused(saved(tmp_path, proto), InputError) == (
        "m.onnx: Nodes must not feed themselves, and these form a cycle: 'first', 'second'. "
        "Export the model again."
    )


def test_a_value_that_nothing_gives(tmp_path: Path) -> None:
    assert refused(saved(tmp_path, model(CONV)), InputError) == (
        "m.onnx, node 'conv': Every value that a node reads must come from a node, an input or an "
        "initializer, and 'w' does not. Export the model again."
    )


def external(tmp_path: Path, location: str, **entries: str) -> Path:
    """Save a model whose weight lies at `location`."""
    proto = model(CONV, W)
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return saved(tmp_path, proto)


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/hostname", "a/../../w.bin", "C:\\w.bin", "..\\w.bin", ""]
)
def test_external_data_never_leaves_the_folder(tmp_path: Path, location: str) -> None:
    (tmp_path / "w.bin").write_bytes(W["w"].tobytes())
    folder = tmp_path / "in"
    folder.mkdir()

    assert refused(external(folder, location), InputError) == (
        "m.onnx, initializer 'w': External data must lie in the model's folder, saw "
        f"'{location}'. Save the model again with its data beside it."
    )


def test_external_data_behind_a_link_that_leads_out(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(W["w"].tobytes())
    folder = tmp_path / "in"
    folder.mkdir()
    os.symlink(tmp_path / "w.bin", folder / "w.bin")

    assert refused(external(folder, "w.bin"), InputError) == (
        "m.onnx, initializer 'w': External data must lie in the model's folder, saw 'w.bin'. "
        "Save the model again with its data beside it."
    )


def test_external_data_that_is_missing_short_or_absurd(tmp_path: Path) -> None:
    missing = refused(external(tmp_path, "w.bin"), InputError)
    (tmp_path / "w.bin").write_bytes(bytes(100))
    short = refused(external(tmp_path, "w.bin"), InputError)
    absurd = refused(external(tmp_path, "w.bin", offset="-4"), InputError)

    place = "m.onnx, initializer 'w': External data must"
    assert (
        missing == f"{place} be a file beside the model, and 'w.bin' is none. Copy it there, too."
    )
    assert short == (
        f"{place} hold 432 bytes from byte 0 on, saw 100 in 'w.bin'. Copy the data file again."
    )
    assert absurd == (
        f"{place} have an offset and a length of 0 or more, saw '-4' and '432'. "
        "Save the model again."
    )


def test_an_operator_that_onnx_runtime_does_not_have(tmp_path: Path) -> None:
    text = (
        '<opset_import: ["" : 17, "my.chip" : 1]> g (float[N,3,8,8] x) => (float[N,4,6,6] y) '
        "{ [conv] c = Conv(x, w) [odd] y = my.chip.Warp(c) }"
    )
    said = "Fatal error: my.chip:Warp(-1) is not a registered function/op"

    assert refused(saved(tmp_path, model(text, W)), UnsupportedError) == (
        "m.onnx, node 'odd': ONNX Runtime must be able to run Warp of domain 'my.chip', and "
        f"said '{said}'. Export the model with standard operators."
    )


def test_shapes_that_onnx_runtime_refuses(tmp_path: Path) -> None:
    text = "g (float[1,3,8,8] x) => (float[N,4,6,6] y) { c = Conv(x, w) [sum] y = Add(c, x) }"

    assert refused(saved(tmp_path, model(text, W)), UnsupportedError) == (
        "m.onnx, node 'sum': ONNX Runtime must be able to run Add of domain 'ai.onnx', and said "
        "'Node (sum) Op (Add) [ShapeInferenceError] Incompatible dimensions'. "
        "Export the model with standard operators."
    )


@pytest.mark.parametrize(
    ("op", "node"),
    [
        ("QuantizeLinear", "[q] q = QuantizeLinear(c, s, z) [d] y = DequantizeLinear(q, s, z)"),
        ("DynamicQuantizeLinear", "[q] q, t, u = DynamicQuantizeLinear(c) y = Cast<to=1>(q)"),
        ("QGemm", "[q] y = com.microsoft.QGemm(c, s, z)"),
    ],
)
def test_a_quantized_graph_names_its_first_quantized_node(
    tmp_path: Path, op: str, node: str
) -> None:
    held = {**W, "s": np.array(0.1, np.float32), "z": np.array(0, np.uint8)}
    text = (
        '<opset_import: ["" : 17, "com.microsoft" : 1]> g (float[N,3,8,8] x) => '
        f"(float[N,4,6,6] y) {{ [conv] c = Conv(x, w) {node} }}"
    )

    assert refused(saved(tmp_path, model(text, held)), UnsupportedError) == (
        f"m.onnx, node 'q': The model must be a float one, and {op} says that it is quantized "
        "already. Give the model from before its quantization."
    )


def test_half_and_double_weights(tmp_path: Path) -> None:
    for kind, word in ((np.float16, "float16"), (np.float64, "double")):
        text = CONV.replace("float", {"float16": "float16", "double": "double"}[word])
        proto = model(text, {"w": W["w"].astype(kind)})

        assert refused(saved(tmp_path, proto), UnsupportedError) == (
            f"m.onnx, node 'conv': Weights must be float32, and 'w' is {word}. "
            "Export the model as float32."
        )


def test_a_model_without_a_layer_to_quantize(tmp_path: Path) -> None:
    text = "g (float[N,3] x, float[3,2] w) => (float[N,2] y) { a = Relu(x) y = MatMul(a, w) }"

    assert refused(saved(tmp_path, model(text)), UnsupportedError) == (
        "m.onnx: A model must have a layer to quantize, and none of its 2 nodes is a Conv, "
        "ConvTranspose, Gemm or MatMul with a constant weight. Give a model that has one."
    )


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    bad = W["w"].copy()
    bad[0, 0, 0, :2] = np.nan, np.inf

    assert refused(saved(tmp_path, model(CONV, {"w": bad})), InputError) == (
        "m.onnx, initializer 'w': Weights must be finite, saw 2 of 108 that are not. "
        "Train or export the model again."
    )


def test_a_model_without_an_input(tmp_path: Path) -> None:
    text = "g () => (float[1,4,6,6] y) { y = Conv(x, w) }"
    held = {**W, "x": np.ones((1, 3, 8, 8), np.float32)}

    assert refused(saved(tmp_path, model(text, held)), UnsupportedError) == (
        "m.onnx: A model must have an input, saw 0. Export it with its image as an input."
    )


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("string[N]", "string"),
        ("seq(float[N])", "sequence"),
        ("optional(float[N])", "optional"),
    ],
)
def test_inputs_that_are_not_tensors_of_numbers(tmp_path: Path, kind: str, seen: str) -> None:
    text = CONV.replace("x)", f"x, {kind} s)", 1)

    assert refused(saved(tmp_path, model(text, W)), UnsupportedError) == (
        f"m.onnx, input 's': Inputs and outputs must be tensors of numbers, saw a {seen}. "
        "Export the model without it."
    )


def test_a_sparse_initializer(tmp_path: Path) -> None:
    proto = model(CONV, W)
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "v")
    indices = onnx.numpy_helper.from_array(np.zeros(1, np.int64), "v_idx")
    proto.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, [9]))

    assert refused(saved(tmp_path, proto), UnsupportedError) == (
        "m.onnx, initializer 'v': Weights must be dense tensors, and this one is sparse. "
        "Export the model with dense weights."
    )


def test_a_branch_a_function_and_loose_order_load(tmp_path: Path) -> None:
    """The main graph is what we quantize; ONNX Runtime runs the rest."""
    text = """<opset_import: ["" : 17, "local" : 1]>
        g (float[N,3,8,8] x, bool c) => (float[N,4,6,6] y) {
            h = Conv(x, w)
            r = local.twice(h)
            y = If(c) <then_branch = t () => (float[N,4,6,6] a) { a = Relu(r) },
                       else_branch = e () => (float[N,4,6,6] b) { b = Neg(r) }>
        }
        <domain: "local", opset_import: ["" : 17]> twice (a) => (b) { b = Add(a, a) }"""
    proto = model(text, W)
    proto.graph.node.insert(0, proto.graph.node.pop())
    loaded = load(str(saved(tmp_path, proto)))

    assert [node.op_type for node in loaded.graph] == ["Conv", "Add", "If"]
    assert not loaded.functions
