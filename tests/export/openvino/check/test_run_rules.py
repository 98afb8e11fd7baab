"""Each rule of OpenVINO on a graph with that one fault, and OpenVINO itself where installed."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from quant.common.errors import InputError
from quant.export.openvino.check.kernels import may_saturate
from quant.export.openvino.check.model import check_model
from quant.export.openvino.check.rules import RULES
from quant.export.openvino.check.run_rules import check_export
from quant.export.qdq.quantize_once import PASSING
from quant.target.deployment import Deployment
from quant.target.finding import Finding
from tests.chosen import prepared
from tests.export.openvino.nets import executed
from tests.models import model, weights

openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="openvino is not installed: pip install 'boardquant[openvino]'",
)
Numbers = Mapping[str, Any]

DATA = "q = QuantizeLinear(x, s, z)\n d = DequantizeLinear(q, s, z)\n"
WEIGHT = "wd = DequantizeLinear<axis=0>(w, ws, wz)\n"
CONV = "[conv] y = Conv(d, wd)\n"
BYTES = np.random.default_rng(0).integers(-60, 61, (8, 8, 3, 3)).astype(np.int8)
USUAL: Numbers = {
    "s": np.float32(0.03),
    "z": np.uint8(128),
    "w": BYTES,
    "ws": np.linspace(0.01, 0.02, 8, dtype=np.float32),
    "wz": np.zeros(8, np.int8),
}


def net(body: str, opset: int = 17, **numbers: Any) -> onnx.ModelProto:
    """Return a graph of `float[1,8,12,12] x` to y with the usual numbers, or these."""
    held = {k: np.asarray(v) for k, v in {**USUAL, **numbers}.items()}
    extra = ', "com.microsoft" : 1, "mine" : 1'
    text = f"""<opset_import: ["" : {opset}{extra}]>
        g (float[1,8,12,12] x) => (float[a,b,c,d] y) {{ {body} }}"""
    ir_model = model(text, held, ir_version=8 if opset < 19 else 10)
    used = {name for node in ir_model.graph.node for name in node.input}
    for tensor in [t for t in ir_model.graph.initializer if t.name not in used]:
        ir_model.graph.initializer.remove(tensor)
    return ir_model


TWO = """
    [left] a = Conv(d, wd)
    aq = QuantizeLinear(a, s, z)
    ad = DequantizeLinear(aq, s, z)
    [right] b = Conv(d, wd)
    bq = QuantizeLinear(b, s2, z)
    bd = DequantizeLinear(bq, s2, z)
    [join] c = Concat<axis=1>(ad, bd)
    wd2 = DequantizeLinear<axis=0>(w2, ws, wz)
    [behind] y = Conv(c, wd2)
"""
WIDE = np.random.default_rng(1).integers(-60, 61, (8, 16, 1, 1)).astype(np.int8)
LINEAR = "yq = QLinearConv(q, s, z, w, ws, wz, s, z)\n y = DequantizeLinear(yq, s, z)"
SUM = "yq = com.microsoft.QLinearAdd(q, s, z, q, s, z, s, z)\n y = DequantizeLinear(yq, s, z)"
INTEGER = "i = ConvInteger(q, w, z)\n y = Cast<to=1>(i)"
UP = "[up] y = ConvTranspose(d, wd)"

FAULTS: dict[str, tuple[onnx.ModelProto, str]] = {
    "operator": (
        net("[det] y = Det(x)"),
        (
            "openvino-1 error, node 'det': saw Det, wanted an operator that OpenVINO's reader converts. "
            "Export with standard operators: the reader inlines no function of a model."
        ),
    ),
    "custom": (
        net("[own] y = mine.Foo(x)"),
        (
            "openvino-1 error, node 'own': saw mine.Foo, wanted an operator that OpenVINO's reader "
            "converts. Export with standard operators: the reader inlines no function of a model."
        ),
    ),
    "qlinear": (
        net(DATA.split("\n")[0] + LINEAR, w=BYTES[:4], ws=USUAL["ws"][:4], wz=USUAL["wz"][:4]),
        (
            "openvino-2 error, node without a name that makes 'yq': saw QLinearConv with a scale per "
            "channel, which it refuses, or applies to the input channels, wanted QuantizeLinear and DequantizeLinear. Export it as Q/DQ "
            "(QuantFormat.QDQ)."
        ),
    ),
    "microsoft": (
        net(DATA.split("\n")[0] + SUM),
        (
            "openvino-2 error, node without a name that makes 'yq': saw QLinearAdd, which it converts to "
            "floats that do not saturate, wanted QuantizeLinear and DequantizeLinear. Export it as Q/DQ "
            "(QuantFormat.QDQ)."
        ),
    ),
    "integer": (
        net(DATA.split("\n")[0] + INTEGER),
        (
            "openvino-2 warning, node without a name that makes 'i': saw ConvInteger, which it computes "
            "in float, wanted QuantizeLinear and DequantizeLinear. Export it as Q/DQ (QuantFormat.QDQ)."
        ),
    ),
    "scale": (
        net(
            "q = QuantizeLinear(x, s, z)\n [dq] y = DequantizeLinear(q, s2, z)", s2=np.float32(-0.5)
        ),
        (
            "openvino-3 error, node 'dq': saw a scale of -0.5, wanted a constant, finite and above 0. "
            "Give a dead tensor or channel the scale 1."
        ),
    ),
    "computed": (
        net("t = ReduceMax<keepdims=0>(x)\n [q] e = QuantizeLinear(x, t, z)\n y = Cast<to=1>(e)"),
        (
            "openvino-3 warning, node 'q': saw a scale that is computed, so that its readers run in "
            "float, wanted a constant, finite and above 0. Quantize with static scales and fold the "
            "graph's constants."
        ),
    ),
    "weight alone": (
        net(WEIGHT + "[conv] y = Conv(x, wd)"),
        (
            "openvino-4 warning, node 'conv': saw a float data beside integers, wanted both dequantized, "
            "or neither. Quantize its data too."
        ),
    ),
    "data alone": (
        net(DATA + "[conv] y = Conv(d, v)", v=BYTES.astype(np.float32)),
        (
            "openvino-4 warning, node 'conv': saw a float weight beside integers, wanted both "
            "dequantized, or neither. Quantize its weight too."
        ),
    ),
    "16 bits": (
        net(DATA + WEIGHT + CONV, 21, s=np.float32(1e-4), z=np.uint16(32768)),
        (
            "openvino-5 warning, node 'conv': saw integers of uint16, wanted int8 or uint8. Quantize it "
            "to 8 bits, or leave it float."
        ),
    ),
    "per channel": (
        net(
            DATA.replace("Linear(", "Linear<axis=1>(") + WEIGHT + CONV,
            s=np.linspace(0.02, 0.03, 8, dtype=np.float32),
            z=np.full(8, 128, np.uint8),
        ),
        (
            "openvino-6 warning, node 'conv': saw 8 scales for its data, wanted one scale: several run in "
            "float. Give the activation one scale."
        ),
    ),
    "signed": (
        net(DATA + WEIGHT + CONV, z=np.int8(7)),
        (
            "openvino-7 warning, node 'conv': saw int8 data with zero point 7, wanted uint8, or zero point "
            "0: AMX has no such kernel and computes in float. Store it as uint8 with the zero point 128 "
            "higher: the same numbers."
        ),
    ),
    "weight zero": (
        net(DATA + WEIGHT + CONV, wz=np.full(8, 5, np.int8)),
        (
            "openvino-8 warning, node 'conv': saw a weight with zero point 5, wanted 0: others are computed "
            "in float. Quantize weights symmetrically."
        ),
    ),
    "axis": (
        net(DATA + WEIGHT.replace("axis=0", "axis=1") + CONV),
        (
            "openvino-9 warning, node 'conv': saw weight scales along axis 1, wanted axis 0. Give one scale "
            "for each output channel."
        ),
    ),
    "transposed": (
        net(DATA + WEIGHT.replace("axis=0", "axis=1") + UP),
        (
            "openvino-10 warning, node 'up': saw a ConvTranspose that reads zero point 128, wanted no "
            "groups and zero point 0. Nothing to do: it runs in float on the same numbers, at float's "
            "speed."
        ),
    ),
    "concat": (
        net(DATA + WEIGHT + TWO, s2=np.float32(0.11), w2=WIDE),
        (
            "openvino-11 warning, node 'join': saw 2 grids at a Concat, wanted one: else the layer behind "
            "it runs in float. Join its operands on one grid."
        ),
    ),
    "between": (
        net(
            DATA
            + WEIGHT
            + "[conv] c = Conv(d, wd)\n e = QuantizeLinear(c, s, z)\n f = DequantizeLinear(e, s, z)\n"
            + "[relu] y = Relu(f)"
        ),
        (
            "openvino-12 warning, node 'relu': saw a quantizer between Conv and Relu, wanted none: the two "
            "are no longer one kernel. Quantize behind the activation."
        ),
    ),
    "saturation": (
        net(DATA + WEIGHT + CONV, w=np.full((8, 8, 3, 3), 65, np.int8)),
        (
            "openvino-13 info, the weights: saw 1 of 1 layers whose products of two bytes can pass 16 "
            "bits, wanted |a| + |b| <= 128 of two weights in a row, for CPUs without VNNI. Nothing to do "
            "on CPUs with VNNI, AVX-VNNI or AMX; on older ones compare the accuracy."
        ),
    ),
}
REFUSED = ("operator", "custom", "qlinear")
FLOAT = (
    *("integer", "weight alone", "data alone", "16 bits", "per channel", "weight zero"),
    *("axis", "transposed"),
)
"""Faults for which OpenVINO 2026.4.1 has no integer kernel on any CPU."""


def checked(proto: onnx.ModelProto, folder: Path) -> list[Finding]:
    onnx.save(proto, folder / "model.onnx")
    return check_export(folder, Deployment())


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_is_told_with_place_and_mend(name: str, tmp_path: Path) -> None:
    proto, told = FAULTS[name]

    assert [str(f) for f in checked(proto, tmp_path)] == [told]


def test_every_rule_has_a_fault() -> None:
    assert {told.split(" ")[0] for _, told in FAULTS.values()} == set(RULES)


def test_a_sound_graph_has_no_finding(tmp_path: Path) -> None:
    proto = net(DATA + WEIGHT + TWO, s2=np.float32(0.03), w2=WIDE)

    assert checked(proto, tmp_path) == []


@openvino
@pytest.mark.parametrize("name", REFUSED)
def test_openvino_refuses_what_the_rules_say_it_refuses(name: str, tmp_path: Path) -> None:
    onnx.save(FAULTS[name][0], tmp_path / "model.onnx")

    with pytest.raises(RuntimeError, match=r"No conversion rule|scale elements"):
        executed(tmp_path / "model.onnx")


@openvino
@pytest.mark.parametrize("name", FLOAT)
def test_openvino_computes_in_float_what_the_rules_say_it_does(name: str, tmp_path: Path) -> None:
    onnx.save(FAULTS[name][0], tmp_path / "model.onnx")
    kernels = [
        kernel
        for kind, kernel, _, _ in executed(tmp_path / "model.onnx")
        if kind in ("Convolution", "Deconvolution")
    ]

    assert kernels
    assert [k for k in kernels if k.lower().endswith("i8")] == []


@openvino
def test_behind_unlike_grids_a_layer_runs_in_float_and_behind_one_in_integers(
    tmp_path: Path,
) -> None:
    kernels = {}
    for name, scale in (("one", 0.03), ("two", 0.11)):
        onnx.save(net(DATA + WEIGHT + TWO, s2=np.float32(scale), w2=WIDE), tmp_path / "model.onnx")
        rows = [r for r in executed(tmp_path / "model.onnx") if r[0] == "Convolution"]
        kernels[name] = [r[1].lower().endswith("i8") for r in rows]

    assert kernels == {"one": [True, True], "two": [True, False]}, "left and right are one"


def test_a_graph_before_export_is_asked_for_operators_and_groups(tmp_path: Path) -> None:
    """What no plan can mend is told before the long work."""
    text = """g (float[1,8,8,8] x) => (float[1,8,17,17] y) {
        [up] a = ConvTranspose<group=8, strides=[2,2], kernel_shape=[3,3]>(x, w)
        [side] b = Conv(x, v)
        [det] c = Det(b)
        [sum] y = Add(a, c)
    }"""
    graph = prepared(model(text, weights(0, w=(8, 1, 3, 3), v=(1, 8, 1, 1))))

    assert [str(f) for f in check_model(graph, Deployment())] == [
        FAULTS["operator"][1],
        (
            "openvino-10 warning, node 'up': saw a ConvTranspose with groups, wanted none: it is "
            "computed in float. Nothing to do: it runs at float's speed."
        ),
    ]


def test_pairs_of_weights_saturate_from_129() -> None:
    """255 * 128 = 32640 fits int16, 255 * 129 = 32895 does not: Intel's vpmaddubsw."""
    row = np.array([[64, 64, 127, 1], [0, -128, 3, 3]], np.int8)

    assert not may_saturate(row, 1)
    assert may_saturate(row + np.array([[0, 1, 0, 0], [0, 0, 0, 0]], np.int8), 1)
    assert not may_saturate(np.full((4, 1), 127, np.int8), 1), "one weight has no neighbour"


def test_no_model_and_no_onnx_are_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_export(tmp_path, Deployment())
    assert str(caught.value) == (
        f"{tmp_path}: an OpenVINO export must hold 'model.onnx', saw none. Give its folder, or the "
        "file itself."
    )
    circle = net("a = Add(x, b)\n b = Relu(a)\n y = Relu(b)")
    onnx.save(circle, tmp_path / "model.onnx")
    with pytest.raises(InputError) as caught:
        check_export(tmp_path, Deployment())
    assert str(caught.value).startswith(f"{tmp_path / 'model.onnx'}: not a readable ONNX model: ")
    assert str(caught.value).endswith(". Export it again.")


def test_passing_operators_are_standard_ones() -> None:
    assert [op for op in sorted(PASSING) if not onnx.defs.has(op)] == []
