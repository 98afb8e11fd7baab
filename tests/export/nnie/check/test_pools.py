"""Rules 7 and 8: pools that Caffe rounds or pads in its own way."""

from pathlib import Path

from quant.export.nnie.check.run_rules import check_export
from tests.export.nnie.check.broken_export import NOTHING, broken, edit, says


def test_rule_7_a_pool_of_another_shape_than_the_source(export: Path) -> None:
    """What follows from it is not told again."""
    edit(export, "net.prototxt", "pool: MAX", "pool: MAX pad: 1")

    says(export, 7, "error", "layer 'pool1'", "1x16x9x9")
    finding = broken(export, 7)
    assert finding.wanted == "1x16x8x8, as in the source model"
    assert finding.layer == "pool1"


def test_rule_7_without_the_record_a_pool_that_rounds_up_is_a_warning(export: Path) -> None:
    (export / "tensors.csv").unlink()
    edit(export, "net.prototxt", "kernel_size: 2\n    stride: 2", "kernel_size: 3 stride: 2")

    findings = [f for f in check_export(export, NOTHING) if f.rule == "nnie-7"]
    assert [(f.severity, f.saw) for f in findings] == [
        ("warning", "8x8 by rounding up, 7x7 by rounding down"),
        ("warning", "4x4 by rounding up, 3x3 by rounding down"),
    ]


def test_rule_8_an_average_that_counts_padding(export: Path) -> None:
    edit(export, "net.prototxt", "pool: AVE", "pool: AVE pad: 1")

    saw = "an average that counts 1 x 1 padding"
    says(export, 8, "error", "layer 'pool2'", saw)
    (export / "tensors.csv").unlink()
    says(export, 8, "warning", "layer 'pool2'", saw)
