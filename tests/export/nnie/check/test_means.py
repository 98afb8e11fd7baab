"""Rule 26: the mean file fits the normalization."""

from pathlib import Path

import numpy as np

from quant.export.caffe.network.files import blob_bytes
from quant.export.nnie.check.run_rules import check_export
from tests.export.nnie.check.broken_export import NOTHING, edit, says


def test_rule_26_tensors_with_a_norm(export: Path) -> None:
    edit(export, "net.cfg", "[image_type] 1", "[image_type] 0")

    says(export, 26, "error", "net.cfg", "norm_type 5 with image_type 0")


def test_rule_26_a_mean_of_two_channels(export: Path) -> None:
    (export / "mean.txt").write_text("1\n2\n", encoding="utf-8")

    says(export, 26, "error", "mean_file './mean.txt'", "2 numbers")
    (export / "mean.txt").write_text("1\n2\nx\n", encoding="utf-8")
    says(export, 26, "error", "mean_file './mean.txt'", "'x'")
    (export / "mean.txt").unlink()
    saw = "a file that cannot be read (there is no such file)"
    says(export, 26, "error", "mean_file './mean.txt'", saw)


def test_rule_26_a_mean_image(export: Path) -> None:
    edit(export, "net.cfg", "[norm_type] 5", "[norm_type] 4")
    says(export, 26, "error", "net.cfg", "mean_file './mean.txt' with norm_type 4")
    edit(export, "net.cfg", "./mean.txt", "./mean.binaryproto")
    where = "mean_file './mean.binaryproto'"
    for array, saw in ((np.zeros((3, 16, 8)), "a mean of [3, 16, 8]"), (np.zeros((3, 16, 16)), "")):
        (export / "mean.binaryproto").write_bytes(blob_bytes(array))
        if saw:
            says(export, 26, "error", where, saw)
    assert "nnie-26" not in {f.rule for f in check_export(export, NOTHING)}


def test_rule_26_a_mean_that_is_not_read_is_a_warning(export: Path) -> None:
    edit(export, "net.cfg", "[norm_type] 5", "[norm_type] 3")

    saw = "mean_file './mean.txt' with norm_type 3, which reads none"
    says(export, 26, "warning", "net.cfg", saw)
