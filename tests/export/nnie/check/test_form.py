"""Rules 1, 2, 4, 5, 6 and 24: the text of a prototxt, its layer types, names and inputs."""

from pathlib import Path

from quant.export.nnie.check.run_rules import check_export
from tests.export.nnie.check.broken_export import NOTHING, add, broken, edit, says


def test_rule_1_a_type_that_nnie_does_not_compute(export: Path) -> None:
    edit(export, "net.prototxt", 'type: "ReLU"', 'type: "Swish"')

    says(export, 1, "error", "layer 'relu1'", "type 'Swish'")
    edit(export, "net.prototxt", 'name: "relu1"', 'name: "relu1_cpu"')
    assert "nnie-1" not in {f.rule for f in check_export(export, NOTHING)}


def test_rule_1_layers_of_before_caffe_1(export: Path) -> None:
    edit(export, "net.prototxt", 'layer {\n  name: "relu1"', 'layers {\n  name: "relu1"')

    finding = broken(export, 1)
    assert finding.place.startswith("net.prototxt:")
    assert finding.saw == "'layers', the form before Caffe 1.0"


def test_rule_2_an_input_of_two_pictures(export: Path) -> None:
    edit(export, "net.prototxt", "dim: 1\n      dim: 3", "dim: 2\n      dim: 3")

    says(export, 2, "error", "input 'input'", "dims [2, 3, 16, 16]")


def test_rule_2_the_old_input_dim(export: Path) -> None:
    text = (export / "net.prototxt").read_text(encoding="utf-8")
    start, end = text.index("layer {"), text.index("layer {", 20)
    old = 'input: "input" input_dim: 1 input_dim: 3 input_dim: 16 input_dim: 16\n'
    (export / "net.prototxt").write_text(text[:start] + old + text[end:], encoding="utf-8")

    says(export, 2, "error", "net.prototxt", "the deprecated 'input_dim'")


def test_rule_4_a_name_twice(export: Path) -> None:
    edit(export, "net.prototxt", 'name: "conv2"', 'name: "add"')

    says(export, 4, "error", "layer 'add'", "2 layers of that name")


def test_rule_4_a_bottom_that_nobody_makes(export: Path) -> None:
    edit(export, "net.prototxt", 'bottom: "add"', 'bottom: "gone"')

    saw = "the bottom 'gone', which no earlier layer writes"
    says(export, 4, "error", "layer 'pool2'", saw)


def test_rule_4_an_input_that_nobody_reads(export: Path) -> None:
    edit(export, "net.prototxt", 'name: "net"', 'name: "net" input: "x" input_shape { dim: 1 }')

    says(export, 4, "error", "input 'x'", "no reader")


def test_rule_4_a_top_twice(export: Path) -> None:
    for end in ("top", "bottom"):
        edit(export, "net.prototxt", f'{end}: "pool2"', f'{end}: "pool1"')

    says(export, 4, "error", "layer 'pool2'", "the top 'pool1' a second time")


def test_rule_5_names_that_are_not_plain_ascii(export: Path) -> None:
    edit(export, "net.prototxt", '"conv2"', '"conv 2/é"')

    says(export, 5, "warning", "net.prototxt", "1 names with other characters: 'conv 2/é'")


def test_rule_5_an_output_whose_name_is_too_long(export: Path) -> None:
    edit(export, "net.prototxt", 'top: "output"', f'top: "{"o" * 32}"')

    saw = "32 bytes in the name of an input or output"
    says(export, 5, "warning", f"blob '{'o' * 32}'", saw)


def test_rule_6_ceil_mode(export: Path) -> None:
    edit(export, "net.prototxt", "pool: AVE", "pool: AVE ceil_mode: true")

    assert broken(export, 6).saw == "'ceil_mode' in PoolingParameter"
    assert broken(export, 6).place.startswith("net.prototxt:")


def test_rule_6_every_unknown_field_and_the_other_rules_go_on(export: Path) -> None:
    edit(export, "net.prototxt", 'type: "ReLU"', 'type: "Swish" swish_param { beta: 1 } x: 2')

    findings = check_export(export, NOTHING)
    assert [f.saw for f in findings if f.rule == "nnie-6"] == [
        "'swish_param' in LayerParameter",
        "'x' in LayerParameter",
    ]
    assert broken(export, 1).saw == "type 'Swish'"


def test_rule_6_text_that_is_no_prototxt_is_one_finding(export: Path) -> None:
    (export / "net.prototxt").write_text("layer { name: 3 }", encoding="utf-8")

    (one,) = check_export(export, NOTHING)
    assert (one.rule, one.severity, one.place) == ("nnie-6", "error", "net.prototxt:1")


def test_rule_24_a_training_layer(export: Path) -> None:
    add(export, 'layer { name: "d" type: "Dropout" bottom: "add" top: "add" }')

    says(export, 24, "error", "layer 'd'", "the training layer Dropout")


def test_rule_24_a_blob_of_five_dims(export: Path) -> None:
    shape = "shape { dim: 0 dim: 2 dim: 8 dim: 8 dim: 8 }"
    add(
        export,
        f"""layer {{ name: "r" type: "Reshape" bottom: "add" top: "r"
        reshape_param {{ {shape} }} }}""",
    )

    says(export, 24, "error", "layer 'r'", "the top 'r' of 5 dims")
