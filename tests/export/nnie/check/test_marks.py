"""Rules 19 to 22: the suffixes _hp, _report and _cpu, and the segments."""

from pathlib import Path

import pytest

from quant.export.nnie.check.run_rules import check_export
from tests.export.nnie.check.broken_export import NOTHING, add, edit, says


@pytest.mark.parametrize("mode", ["0", "1"])
def test_rule_19_marks_without_the_mode(export: Path, mode: str) -> None:
    edit(export, "net.cfg", "[compile_mode] 2", f"[compile_mode] {mode}")

    saw = f"compile_mode {mode}, and names that end in '_hp': 'conv1_hp'"
    says(export, 19, "error", "net.cfg", saw)


def test_rule_19_the_mode_without_marks_is_a_warning(export: Path) -> None:
    edit(export, "net.prototxt", "conv1_hp", "conv1")
    (export / "net_sim.cfg").unlink()

    saw = "compile_mode 2 and no name that ends in '_hp'"
    says(export, 19, "warning", "net.cfg", saw)


def test_rule_19_a_mark_on_an_in_place_activation_is_a_warning(export: Path) -> None:
    edit(export, "net.prototxt", 'name: "relu1"', 'name: "relu1_hp"')

    says(export, 19, "warning", "layer 'relu1_hp'", "'_hp' on an in-place activation")


def test_rule_20_a_report_on_a_layers_name(export: Path) -> None:
    edit(export, "net.prototxt", 'name: "add"', 'name: "add_report"')

    says(export, 20, "error", "layer 'add_report'", "'_report' on a layer's name")


def test_rule_20_a_report_of_a_custom_layer(export: Path) -> None:
    text = 'layer { name: "k" type: "Custom" bottom: "add" top: "k_report" }'
    add(export, text)

    says(export, 20, "error", "layer 'k'", "the top 'k_report' of a Custom layer")
    edit(export, "net.prototxt", text, text.replace("Custom", "Proposal"))
    says(export, 20, "warning", "layer 'k'", "the top 'k_report' of a layer on the CPU")


def test_rule_20_a_report_on_an_input_is_a_warning(export: Path) -> None:
    edit(export, "net.prototxt", '"input"', '"input_report"')

    says(export, 20, "warning", "input 'input_report'", "'_report' on an input")


def test_rule_21_the_cpu_on_an_input(export: Path) -> None:
    edit(export, "net.prototxt", 'name: "input"', 'name: "input_cpu"')

    says(export, 21, "error", "layer 'input_cpu'", "'_cpu' on an input")


def test_rule_21_the_cpu_on_an_in_place_activation(export: Path) -> None:
    edit(export, "net.prototxt", 'name: "relu1"', 'name: "relu1_cpu"')

    says(export, 21, "error", "layer 'relu1_cpu'", "'_cpu' on an in-place activation")


def test_rule_21_the_cpu_behind_an_input_or_a_custom_layer(export: Path) -> None:
    add(export, 'layer { name: "x_cpu" type: "Odd" bottom: "input" top: "x" }')

    says(export, 21, "error", "layer 'x_cpu'", "input 'input' before a layer that ends in '_cpu'")
    add(
        export,
        """layer { name: "k" type: "Custom" bottom: "add" top: "k" }
        layer { name: "y_cpu" type: "Odd" bottom: "k" top: "y" }""",
    )
    findings = [f for f in check_export(export, NOTHING) if f.rule == "nnie-21"]
    assert findings[1].saw == "layer 'k' before a layer that ends in '_cpu'"


def test_rule_22_nine_segments(export: Path) -> None:
    """A Custom layer between two layers of NNIE cuts; the first segment is there already."""
    bottom = "pool2"
    for i in range(8):
        add(
            export,
            f"""layer {{ name: "k{i}" type: "Custom" bottom: "{bottom}" top: "k{i}" }}
            layer {{ name: "s{i}" type: "Sigmoid" bottom: "k{i}" top: "s{i}" }}\n""",
        )
        bottom = f"s{i}"
        if i == 6:
            assert "nnie-22" not in {f.rule for f in check_export(export, NOTHING)}

    says(export, 22, "error", "the network", "9 segments of NNIE")


def test_rule_22_seventeen_outputs_of_a_segment(export: Path) -> None:
    for i in range(16):
        add(export, f'layer {{ name: "s{i}" type: "Sigmoid" bottom: "add" top: "s{i}" }}')

    place = "segment 0, from layer 'conv1_hp' on"
    says(export, 22, "error", place, "17 outputs")


def test_rule_22_five_roi_layers(export: Path) -> None:
    for i in range(5):
        add(
            export,
            f'layer {{ name: "r{i}" type: "ROIPooling" bottom: "add" bottom: "fc" top: "r{i}" }}',
        )

    findings = [f.saw for f in check_export(export, NOTHING) if f.rule == "nnie-22"]
    assert findings == ["5 ROI layers: 'r0', 'r1', 'r2', 'r3', 'r4'", "5 ROI layers"]
