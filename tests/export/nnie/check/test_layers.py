"""Rules 9 to 18: the limits of single layers."""

from pathlib import Path

import pytest

from quant.export.nnie.check.run_rules import check_export
from tests.export.nnie.check.broken_export import NOTHING, add, edit, says


@pytest.mark.parametrize(
    ("old", "new", "saw"),
    [
        ("pad: 1\n    kernel_size: 3", "pad: 256 kernel_size: 3", "pad 256 x 256"),
        ("pad: 1\n    kernel_size: 3", "kernel_h: 3 kernel_w: 256", "kernel 3 x 256"),
        ("pad: 1\n    kernel_size: 3", "kernel_size: 3 dilation: 300", "dilation 300 x 300"),
        ("pad: 1\n    kernel_size: 3", "kernel_size: 3 stride: 0", "stride 0 x 0"),
    ],
)
def test_rule_9_windows_have_limits(export: Path, old: str, new: str, saw: str) -> None:
    edit(export, "net.prototxt", f"num_output: 16\n    {old}", f"num_output: 16 {new}")

    findings = [f for f in check_export(export, NOTHING) if f.rule == "nnie-9"]
    assert {(f.severity, f.saw) for f in findings} == {("error", saw)}
    assert [f.place for f in findings] == ["layer 'conv1_hp'", "layer 'conv2'"]


def test_rule_10_more_than_4096_channels(export: Path) -> None:
    edit(export, "net.prototxt", "num_output: 10", "num_output: 5000")

    says(export, 10, "error", "layer 'fc'", "the top 'output' of [1, 5000]")


def test_rule_10_a_dense_layer_of_many_inputs_is_a_warning(export: Path) -> None:
    edit(export, "net.prototxt", "dim: 16\n      dim: 16", "dim: 128\n      dim: 128")

    says(export, 10, "warning", "layer 'fc'", "16384 inputs of an InnerProduct")


def test_rule_11_a_group_that_does_not_divide(export: Path) -> None:
    edit(
        export, "net.prototxt", 'bottom: "pool1"\n  top: "conv2"\n', 'bottom: "pool1" top: "conv2"'
    )
    text = (export / "net.prototxt").read_text(encoding="utf-8")
    head, tail = text.split('top: "conv2"', 1)
    tail = tail.replace("num_output: 16", "num_output: 16 group: 3", 1)
    (export / "net.prototxt").write_text(f'{head}top: "conv2"{tail}', encoding="utf-8")

    saw = "group 3 of 16 input and 16 output channels"
    says(export, 11, "error", "layer 'conv2'", saw)


def test_rule_12_another_permute(export: Path) -> None:
    order = "permute_param { order: 0 order: 3 order: 1 order: 2 }"
    add(export, f'layer {{ name: "p" type: "Permute" bottom: "add" top: "p" {order} }}')

    says(export, 12, "error", "layer 'p'", "order [0, 3, 1, 2]")


@pytest.mark.parametrize(
    ("dims", "saw"),
    [("dim: 0 dim: -1", "dims [0, -1]"), ("dim: 1 dim: 4 dim: -1 dim: 2", "dims [1, 4, -1, 2]")],
)
def test_rule_13_another_reshape(export: Path, dims: str, saw: str) -> None:
    shape = f"reshape_param {{ shape {{ {dims} }} }}"
    add(export, f'layer {{ name: "r" type: "Reshape" bottom: "add" top: "r" {shape} }}')

    says(export, 13, "error", "layer 'r'", saw)


def test_rule_14_the_batch_axis(export: Path) -> None:
    add(
        export,
        """layer { name: "c" type: "Concat" bottom: "add" bottom: "pool1" top: "c"
        concat_param { axis: 0 } }""",
    )

    says(export, 14, "error", "layer 'c'", "axis 0")
    edit(export, "net.prototxt", "axis: 0", "axis: -4")
    says(export, 14, "error", "layer 'c'", "axis -4")


def test_rule_14_a_concat_of_33(export: Path) -> None:
    bottoms = 'bottom: "add" ' * 33
    add(export, f'layer {{ name: "c" type: "Concat" {bottoms} top: "c" }}')

    says(export, 14, "error", "layer 'c'", "33 bottoms")


def test_rule_15_an_eltwise_of_two_shapes(export: Path) -> None:
    add(export, 'layer { name: "e" type: "Eltwise" bottom: "add" bottom: "pool2" top: "e" }')

    says(export, 15, "error", "layer 'e'", "bottoms of [1, 16, 4, 4], [1, 16, 8, 8]")


def test_rule_15_a_tile(export: Path) -> None:
    add(export, 'layer { name: "t" type: "Tile" bottom: "add" top: "t" tile_param { tiles: 2 } }')

    says(export, 15, "error", "layer 't'", "a Tile")


def test_rule_16_a_matmul_behind_a_dense_layer(export: Path) -> None:
    add(
        export,
        """layer { name: "r" type: "ReLU" bottom: "output" top: "output" }
        layer { name: "m" type: "MatMul" bottom: "output" bottom: "pool2" top: "m" }""",
    )

    says(export, 16, "error", "layer 'fc'", "a MatMul behind it")


def test_rule_16_another_layer_behind_a_dense_layer_is_a_warning(export: Path) -> None:
    add(export, 'layer { name: "s" type: "Softmax" bottom: "output" top: "s" }')
    assert "nnie-16" not in {f.rule for f in check_export(export, NOTHING)}
    add(export, 'layer { name: "w" type: "Power" bottom: "output" top: "w" }')

    says(export, 16, "warning", "layer 'fc'", "layer 'w', Power, behind an InnerProduct")


def test_rule_17_another_power(export: Path) -> None:
    text = 'layer { name: "w" type: "Power" bottom: "add" top: "w" power_param { power: 1.5 } }'
    add(export, text)

    says(export, 17, "error", "layer 'w'", "power 1.5")
    for power in ("-3", "-2", "-1", "-0.5", "0.5", "1", "2", "3"):
        edit(export, "net.prototxt", text, text.replace("1.5", power))
        assert "nnie-17" not in {f.rule for f in check_export(export, NOTHING)}
        edit(export, "net.prototxt", text.replace("1.5", power), text)


def test_rule_17_another_eps(export: Path) -> None:
    add(
        export,
        'layer { name: "n" type: "Normalize" bottom: "add" top: "n" norm_param { eps: 1e-5 } }',
    )

    says(export, 17, "error", "layer 'n'", "eps 1e-05")
    edit(export, "net.prototxt", "eps: 1e-5", "eps: 1e-10")
    assert "nnie-17" not in {f.rule for f in check_export(export, NOTHING)}


def test_rule_18_an_upsample_by_four(export: Path) -> None:
    add(
        export,
        """layer { name: "u" type: "Upsample" bottom: "add" top: "u"
        upsample_param { scale: 4 } }""",
    )

    says(export, 18, "error", "layer 'u'", "scale 4")


def test_rule_18_an_upsample_behind_the_cpu(export: Path) -> None:
    add(
        export,
        """layer { name: "x_cpu" type: "Odd" bottom: "add" top: "x" }
        layer { name: "u" type: "Upsample" bottom: "x" top: "u" upsample_param { scale: 2 } }""",
    )

    says(export, 18, "error", "layer 'u'", "layer 'x_cpu' before it")


def test_rule_18_an_interp_is_a_warning(export: Path) -> None:
    add(export, 'layer { name: "i" type: "Interp" bottom: "add" top: "i" }')

    says(export, 18, "warning", "layer 'i'", "an Interp, which many mappers refuse")
