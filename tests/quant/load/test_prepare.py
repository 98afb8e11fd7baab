"""Preparation changes the graph and never its numbers; ONNX Runtime on both is the judge."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from quant.common.errors import InputError, UnsupportedError
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.load.open_graph import load
from quant.load.parity import check_parity, parity
from quant.load.prepare import prepare
from tests.models import (
    batchnorm,
    concat_net,
    conv_relu_net,
    depthwise_net,
    gemm_net,
    image,
    model,
    residual_net,
    weights,
)

NETS = [concat_net, conv_relu_net, depthwise_net, gemm_net, residual_net]
BN = "BatchNormalization(c, n_gain, n_beta, n_mean, n_var)"


def prepared(proto: onnx.ModelProto, folder: Path) -> tuple[ir.Model, Graph]:
    """Save, load and prepare."""
    path = folder / "m.onnx"
    onnx.save(proto, path)
    loaded = load(str(path))
    return loaded, prepare(loaded, "m", "m.onnx")


def ops(graph: Graph) -> list[str]:
    return [node.op_type for node in graph.nodes]


@pytest.mark.parametrize("net", NETS)
def test_a_clean_graph_stays_and_keeps_its_dynamic_batch(net: object, tmp_path: Path) -> None:
    assert callable(net)
    loaded, graph = prepared(net(), tmp_path)
    feeds = [{"input": image(batch=b)} for b in (1, 3)]

    assert check_parity(loaded, graph, feeds) < 1e-6
    assert [n.name for n in graph.nodes] == [n.name for n in loaded.graph]
    assert graph.inputs[0].shape == ir.Shape(["N", 3, 16, 16])
    assert all(graph.values[name].dtype is not None for name in graph.values)
    assert all(graph.values[name].shape is not None for name in graph.activations)


def test_clip_keeps_its_bounds_as_inputs(tmp_path: Path) -> None:
    _, graph = prepared(depthwise_net(), tmp_path)
    clips = [node for node in graph.nodes if node.op_type == "Clip"]

    assert [[float(graph.array(v.name)) for v in n.inputs[1:]] for n in clips] == [[0, 6], [0, 6]]


def test_opset_9_with_batchnorm_and_listed_initializers(tmp_path: Path) -> None:
    """The shape of every detector that was exported in 2019."""
    held = {**weights(1, w=(4, 3, 3, 3)), **batchnorm(2, "n", 4)}
    text = f"""<opset_import: ["" : 9]> g (float[N,3,16,16] x, float[4,3,3,3] w) => (float[N,4,7,7] y) {{
        c = Conv(x, w)  b = {BN}  r = Relu(b)  k = Clip<min=0.0, max=6.0>(r)
        d = Dropout(k)  y = AveragePool<kernel_shape=[2,2], strides=[2,2]>(d) }}"""
    loaded, graph = prepared(model(text, held, ir_version=3), tmp_path)

    assert ops(graph) == ["Conv", "Relu", "Clip", "AveragePool"]
    assert graph.nodes[0].name == "Conv_0"
    assert [v.name for v in graph.inputs] == [v.name for v in graph.model.graph.inputs] == ["x"]
    assert graph.model.opset_imports[""] == 17
    assert check_parity(loaded, graph, [{"x": image()}]) < 1e-5
    assert "opset 9 raised to 17" in graph.notes
    assert "1 initializers removed from the inputs" in graph.notes
    assert "1 BatchNormalization nodes folded" in graph.notes


@pytest.mark.parametrize(
    ("layer", "shape", "bias"),
    [
        ("Conv<group=2>(x, w, b)", (6, 2, 3, 3), (6,)),
        ("ConvTranspose<group=2>(x, w)", (4, 3, 3, 3), None),
        ("ConvTranspose(x, w, b)", (4, 6, 2, 2), (6,)),
        ("Gemm<transB=1, alpha=0.5, beta=2.0>(f, w, b)", (6, 100), (6,)),
        ("Gemm(f, w, b)", (100, 6), (1, 6)),
        ("Gemm(f, w)", (100, 6), None),
    ],
)
def test_batchnorm_folds_into_every_kind_of_layer(
    layer: str, shape: tuple[int, ...], bias: tuple[int, ...] | None, tmp_path: Path
) -> None:
    """Groups, transposition, alpha and beta each move where the channel lies or what it weighs."""
    held = {**weights(3, w=shape, **({"b": bias} if bias else {})), **batchnorm(4, "n", 6)}
    flat = "f = Flatten(x)" if "Gemm" in layer else ""
    dims = "N,6" if flat else "N,6,H,W"
    text = f"g (float[N,4,5,5] x) => (float[{dims}] y) {{ {flat} c = {layer} y = {BN} }}"
    loaded, graph = prepared(model(text, held), tmp_path)
    x = np.random.default_rng(5).normal(size=(2, 4, 5, 5)).astype(np.float32)

    assert ops(graph)[-1] == layer.split("(")[0].split("<")[0]
    assert check_parity(loaded, graph, [{"x": x}]) < 1e-6


def test_a_shared_weight_is_noted_and_only_its_folded_reader_gets_a_copy(tmp_path: Path) -> None:
    held = {**weights(5, w=(3, 3, 1, 1)), **batchnorm(6, "n", 3)}
    text = f"""g (float[N,3,16,16] x) => (float[N,3,16,16] y) {{
        [a] p = Conv(x, w) [b] q = Conv(p, w) [d] c = Conv(q, w) y = {BN} }}"""
    loaded, graph = prepared(model(text, held), tmp_path)

    assert [node.inputs[1].name for node in graph.nodes] == ["w", "w", "d.weight"]
    np.testing.assert_array_equal(graph.array("w"), held["w"])
    assert "1 weights are shared by several layers" in graph.notes
    assert check_parity(loaded, graph, [{"x": image()}]) < 1e-6


def test_batchnorm_stays_where_its_input_is_read_elsewhere(tmp_path: Path) -> None:
    held = {**weights(7, w=(3, 3, 1, 1)), **batchnorm(8, "n", 3)}
    text = f"""g (float[N,3,16,16] x) => (float[N,3,16,16] y, float[N,3,16,16] c) {{
        c = Conv(x, w) y = {BN} }}"""
    loaded, graph = prepared(model(text, held), tmp_path)

    assert ops(graph) == ["Conv", "BatchNormalization"]
    assert check_parity(loaded, graph, [{"x": image()}]) < 1e-6


def test_the_padding_subgraph_of_a_torchscript_export_folds_away(tmp_path: Path) -> None:
    """`padding='same'` with an even kernel and F.pad become Pad behind a dozen shape nodes."""

    class Padded(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.same = torch.nn.Conv2d(3, 4, 4, padding="same")
            self.conv = torch.nn.Conv2d(4, 4, 3, stride=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(torch.nn.functional.pad(self.same(x), [1, 2, 0, 1]))

    path = tmp_path / "m.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Padded().eval(),
            torch.zeros(1, 3, 16, 16),
            path,
            dynamo=False,
            opset_version=11,
            do_constant_folding=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "N"}},
        )
    loaded = load(str(path))
    graph = prepare(loaded, "m", str(path))

    assert len(loaded.graph) > 10
    assert set(ops(graph)) <= {"Conv", "Pad"}
    assert ops(graph).count("Conv") == 2
    assert check_parity(loaded, graph, [{"x": image(batch=b)} for b in (1, 2)]) < 1e-5


def test_external_data_is_read_where_it_lies_and_kept_in_memory(tmp_path: Path) -> None:
    proto = conv_relu_net()
    onnx.save(
        proto, tmp_path / "e.onnx", save_as_external_data=True, location="e.bin", size_threshold=0
    )
    loaded = load(str(tmp_path / "e.onnx"))
    tensors = [v.const_value for v in loaded.graph.initializers.values()]
    graph = prepare(loaded, "e", "e.onnx")
    gap = parity(loaded, graph, [{"input": image()}])
    (tmp_path / "e.bin").unlink()
    graph.save(tmp_path / "out" / "p.onnx")

    assert all(isinstance(tensor, ir.ExternalTensor) for tensor in tensors)
    assert gap == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["p.onnx"]
    assert load(str(tmp_path / "out" / "p.onnx"))


def test_a_model_over_the_protobuf_limit_keeps_its_weights_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits are lowered, not the model raised: nobody waits for 2 GB."""
    held = {**weights(9, w=(4, 3, 3, 3), v=(4, 4, 1, 1)), **batchnorm(10, "n", 4)}
    text = f"""<opset_import: ["" : 11]> g (float[N,3,16,16] x) => (float[N,4,14,14] y) {{
        c = Conv(x, w)  b = {BN}  i = Identity(b)  y = Conv(i, v) }}"""
    onnx.save(model(text, held), tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
    loaded = load(str(tmp_path / "m.onnx"))
    for module in ("graph.without_weights", "load.prepare", "graph.session"):
        monkeypatch.setattr(f"quant.{module}.PROTO_LIMIT", 100)
    monkeypatch.setattr("quant.graph.without_weights.LARGE", 40)
    graph = prepare(loaded, "m", "m.onnx")

    assert ops(graph) == ["Conv", "Conv"]
    assert isinstance(graph.model.graph.initializers["v"].const_value, ir.ExternalTensor)
    assert check_parity(loaded, graph, [{"x": image()}]) < 1e-6


def test_several_inputs_and_outputs_keep_names_order_and_odd_spellings(tmp_path: Path) -> None:
    proto = model(
        """g (float[N,3,16,16] b, float[N,3,16,16] unread, float[N,3,16,16] a)
            => (float[N,3,16,16] z, float[N,3,16,16] y, int64[N,1,16,16] x, float[N,3,16,16] same) {
            [twice] c = Conv(a, w)  [twice] d = Conv(b, w)  z = Add(c, d)
            y = Identity(d)  x = ArgMax<axis=1>(z)  same = Identity(y)  dead = Neg(c) }""",
        weights(11, w=(3, 3, 1, 1)),
    )
    proto.graph.node[2].name = "a b/c:0 \N{SNOWMAN} ../x"
    loaded, graph = prepared(proto, tmp_path)
    feed = {name: image(seed) for seed, name in enumerate(["b", "unread", "a"])}

    assert [v.name for v in graph.inputs] == ["b", "unread", "a"]
    assert [v.name for v in graph.outputs] == ["z", "y", "x", "same"]
    assert check_parity(loaded, graph, [feed]) < 1e-6
    names = [node.name for node in graph.nodes]
    assert names[:2] == ["twice", "twice_1"]
    assert "a b/c:0 \N{SNOWMAN} ../x" in names
    assert len(set(names)) == len(names)
    assert "Neg" not in ops(graph)


def test_the_same_input_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    onnx.save(model(_OPSET_11, weights(12, w=(4, 3, 3, 3))), tmp_path / "m.onnx")
    code = (
        "import sys; from pathlib import Path; from quant.load.open_graph import load; "
        "from quant.load.prepare import prepare; "
        "prepare(load('m.onnx'), 'm', 'm.onnx').save(Path(sys.argv[1]))"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", code, f"{seed}.onnx"],
            cwd=tmp_path,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path.cwd())},
        )

    assert (tmp_path / "1.onnx").read_bytes() == (tmp_path / "2.onnx").read_bytes()


_OPSET_11 = """<opset_import: ["" : 11]> g (float[N,3,16,16] x) => (float[N,r] y) {
    c = Conv(x, w)  s = Shape(c)  zero = Constant<value = int64 {0}>()
    n = Gather(s, zero)  axes = Unsqueeze<axes=[0]>(n)  rest = Constant<value = int64[1] {-1}>()
    shape = Concat<axis=0>(axes, rest)  y = Reshape(c, shape) }"""


def test_prepare_leaves_the_loaded_model_as_it_was(tmp_path: Path) -> None:
    onnx.save(model(_OPSET_11, weights(12, w=(4, 3, 3, 3))), tmp_path / "m.onnx")
    loaded = load(str(tmp_path / "m.onnx"))
    before = ir.to_proto(loaded).SerializeToString(deterministic=True)
    prepare(loaded, "m", "m.onnx")

    assert ir.to_proto(loaded).SerializeToString(deterministic=True) == before


def test_without_onnxslim_and_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("odd graph")

    loaded, _ = prepared(conv_relu_net(), tmp_path)
    monkeypatch.setattr("onnxslim.slim", fail)
    graph = prepare(loaded, "m", "m.onnx")

    assert graph.notes == ("constants not folded, for onnxslim failed with KeyError",)
    assert parity(loaded, graph, [{"input": image()}]) == 0
    assert prepare(loaded, "m", "m.onnx", simplify=False).notes == ()


def test_an_opset_that_the_converter_cannot_raise(tmp_path: Path) -> None:
    held = weights(13, w=(3, 3, 1, 1))
    text = """<opset_import: ["" : 9]> g (float[1,3,4,4] x, float[4] s) => (float[1,3,8,8] y) {
        c = Conv(x, w) [up] y = Upsample<mode="nearest">(c, s) }"""
    onnx.save(model(text, held), tmp_path / "m.onnx")
    loaded = load(str(tmp_path / "m.onnx"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quant.graph.opset._convert", _no_adapter)
        with pytest.raises(UnsupportedError) as caught:
            prepare(loaded, "m", "m.onnx")

    assert str(caught.value) == (
        "m.onnx, node 'up' (Upsample): The opset must be 13 or one that onnx's version converter "
        "raises to 17, saw 9. Export the model again with opset 13 to 17."
    )


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsampling_of_opset_9_keeps_its_grid(mode: str, tmp_path: Path) -> None:
    """Onnx's converter drops the grid that Resize had before opset 11."""
    held = {**weights(13, w=(3, 3, 1, 1)), "s": np.array([1, 1, 2.5, 2.5], np.float32)}
    text = f"""<opset_import: ["" : 9]> g (float[N,3,16,16] x) => (float[N,3,40,40] y) {{
        c = Conv(x, w) y = Upsample<mode="{mode}">(c, s) }}"""
    loaded, graph = prepared(model(text, held), tmp_path)

    assert check_parity(loaded, graph, [{"x": image()}]) < 1e-6


def test_a_factor_along_the_width_is_not_one_per_channel(tmp_path: Path) -> None:
    """Onnxslim folds it into the convolution when there are as many columns as channels."""
    held = {**weights(15, w=(3, 3, 3, 3)), "s": np.array([1, 2, 3], np.float32)}
    text = """g (float[N,3,5,5] x) => (float[N,3,3,3] y) { c = Conv(x, w) y = Mul(c, s) }"""
    loaded, graph = prepared(model(text, held), tmp_path)

    assert check_parity(loaded, graph, [{"x": image()[:, :, :5, :5]}]) < 1e-6


def _no_adapter(_: onnx.ModelProto) -> onnx.ModelProto:
    raise RuntimeError("No Adapter From Version $9 for Upsample")


def test_parity_of_nan_infinity_zero_and_shapes(tmp_path: Path) -> None:
    """Each edge of the docstring."""
    text = "g (float[N,3,16,16] x, float[N,3,16,16] z) => (float[N,3,16,16] y) { c = Conv(x, w) y = Div(c, z) }"
    loaded, graph = prepared(model(text, weights(14, w=(3, 3, 1, 1))), tmp_path)
    x, zeros = image(), np.zeros_like(image())
    worse, _ = prepared(model(text, {"w": weights(14, w=(3, 3, 1, 1))["w"] * 1.01}), tmp_path)
    with pytest.raises(UnsupportedError) as caught:
        check_parity(worse, graph, [{"x": x, "z": x}])

    assert parity(loaded, graph, []) == 0
    assert parity(loaded, graph, [{"x": zeros, "z": zeros}, {"x": x, "z": zeros}]) == 0
    assert 0.009 < parity(worse, graph, [{"x": x, "z": np.ones_like(x)}]) < 0.011
    assert str(caught.value) == (
        "m.onnx, output 'y': Preparation must not change the numbers, and it differs by 0.0099 "
        "relative, limit 0.0001. Simplify the model before, or export it with opset 17."
    )


MODULE = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(c, 2 * c, 1, bias=False), nn.BatchNorm2d(2 * c), nn.ReLU6(),
            nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c, bias=False),
            nn.BatchNorm2d(2 * c), nn.ReLU6(), nn.Conv2d(2 * c, c, 1), nn.BatchNorm2d(c))
    def forward(self, x):
        return x + self.layers(x)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), Block(4), nn.Dropout(0.2))
        self.head = nn.Linear(4, 10)
        self.example_inputs = torch.zeros(1, 3, 16, 16)
    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))

def pair():
    return Net(), (torch.zeros(1, 3, 16, 16),)

def bare():
    return nn.Conv2d(3, 4, 3)

def words():
    return "a net"

def failing():
    raise ValueError("no checkpoint")
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the working folder, gone from the imports afterwards."""
    (tmp_path / "tinynet.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "tinynet", raising=False)


@pytest.mark.usefixtures("factories")
def test_a_torch_module_through_its_factory(capfd: pytest.CaptureFixture[str]) -> None:
    """Depthwise, ReLU6, residual: what MobileNetV2 is made of; the exporters say nothing."""
    loaded = load("tinynet:Net")
    graph = prepare(loaded, "tinynet", "tinynet:Net")
    feeds = [{graph.inputs[0].name: image(batch=b)} for b in (1, 3)]
    net = sys.modules["tinynet"].Net().eval()
    with torch.no_grad():
        wanted = net(torch.from_numpy(image())).numpy()
    (made,) = open_session(graph.model).run(None, {graph.inputs[0].name: image()})

    np.testing.assert_allclose(made, wanted, atol=1e-6)
    assert check_parity(loaded, graph, feeds) < 1e-5
    assert "BatchNormalization" not in ops(graph)
    assert ops(graph).count("Conv") == 4
    assert ops(graph).count("Clip") == 2
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.usefixtures("factories")
def test_torchscript_stands_in_for_dynamo(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("graph break")

    monkeypatch.setattr("quant.load.torch_module._dynamo", fail)
    graph = prepare(load("tinynet:pair"), "tinynet", "tinynet:pair")

    assert graph.inputs[0].shape == ir.Shape(["batch", 3, 16, 16])
    assert ops(graph).count("Conv") == 4

    monkeypatch.setattr("quant.load.torch_module._script", fail)
    with pytest.raises(UnsupportedError) as caught:
        load("tinynet:pair")

    assert str(caught.value) == (
        f"tinynet:pair: torch.onnx {torch.__version__} must be able to export the module, and "
        "said 'graph break'. Export it to ONNX yourself and give the file."
    )


HOW = (
    "Return (module, example_inputs) from the factory, or set module.example_inputs, a tensor or "
    "a tuple of tensors."
)


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tinynet:bare", f"The export needs an example input, saw none. {HOW}"),
        ("tinynet:words", f"The factory must give a torch.nn.Module, saw a str. {HOW}"),
        (
            "tinynet:MODULE_NAME",
            ("'tinynet' has no 'MODULE_NAME'. Name a function or class that it has."),
        ),
        (
            "tinynet:failing",
            (
                "The factory must run without arguments, and raised ValueError 'no checkpoint'. "
                "Mend it, or wrap it in one that runs."
            ),
        ),
        (
            "tinynet:pear",
            "'tinynet' has no 'pear'. Did you mean 'pair'?",
        ),
        (
            "tinynett:pair",
            (
                "no module is named 'tinynett', neither installed nor in the current folder. "
                "Mend the name, or change to its folder."
            ),
        ),
    ],
)
def test_a_factory_that_gives_no_module(source: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(source)

    assert str(caught.value) == f"{source}: {message}"


def test_what_onnx_runtime_refuses_is_one_line() -> None:
    text = "g (float[N,3] x) => (float[N,3] y) { [odd] y = Warp(x) }"
    with pytest.raises(UnsupportedError) as caught:
        open_session(ir.from_proto(model(text)))

    message = str(caught.value)
    assert message.startswith("graph 'g': ONNX Runtime ")
    assert message.split(" ", 5)[5] == (
        'must be able to load it, and said \'In Node, ("odd", Warp, "", -1) : ("x": '
        'tensor(float),) -> ("y": tensor(float),) , Error No Op registered for Warp with '
        "domain_version of 17'. Export the model again with opset 17 and standard operators."
    )
