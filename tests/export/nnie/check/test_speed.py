"""Rules 11 (depthwise) and 30: convolutions that are slow or coarse."""

from pathlib import Path

from quant.export.nnie.check.run_rules import check_export
from tests.export.nnie.check.broken_export import NOTHING, add, edit, says


def test_rule_11_depthwise_in_8_bit(export: Path) -> None:
    add(
        export,
        """layer { name: "dw" type: "Convolution" bottom: "add" top: "dw"
        convolution_param { num_output: 16 group: 16 kernel_size: 3 bias_term: false } }""",
    )

    says(export, 11, "warning", "layer 'dw'", "a depthwise convolution of 16 channels in 8 bit")
    edit(export, "net.prototxt", 'name: "dw"', 'name: "dw_hp"')
    assert "nnie-11" not in {f.rule for f in check_export(export, NOTHING)}


def test_rule_30_what_is_slow(good: Path, export: Path) -> None:
    assert [f.saw for f in check_export(good, NOTHING)] == [
        "input channels not a multiple of 16 in 1 of 2 convolutions: 'conv1_hp: 3'",
        "an output width not a multiple of 16 in 1 of 2 convolutions: 'conv2: 8'",
    ]
    edit(export, "net.prototxt", "num_output: 16", "num_output: 18")
    saw = "output channels not a multiple of 4 in 2 of 2 convolutions: 'conv1_hp: 18', 'conv2: 18'"
    assert saw in [f.saw for f in check_export(export, NOTHING)]
