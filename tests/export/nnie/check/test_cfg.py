"""Rules 3, 25, 27 and 29: the mapper's configuration."""

from pathlib import Path

import pytest

from quant.export.nnie.check.run_rules import check_export
from tests.export.nnie.check.broken_export import NOTHING, add, broken, edit, says


def test_rule_3_a_picture_of_five_channels(export: Path) -> None:
    edit(export, "net.prototxt", "dim: 3", "dim: 5")

    says(export, 3, "error", "input 'input'", "5 channels with image_type 1")


def test_rule_3_a_picture_of_seven_rows(export: Path) -> None:
    edit(export, "net.prototxt", "dim: 16\n      dim: 16", "dim: 7\n      dim: 16")

    says(export, 3, "error", "input 'input'", "7 rows and 16 columns")


def test_rule_3_yuv_has_three_channels(export: Path) -> None:
    edit(export, "net.prototxt", "dim: 3", "dim: 1")
    assert "nnie-3" not in {f.rule for f in check_export(export, NOTHING)}
    edit(export, "net.cfg", "[image_type] 1", "[image_type] 3")

    says(export, 3, "error", "input 'input'", "1 channels with image_type 3")


@pytest.mark.parametrize(
    "key",
    [
        "prototxt_file",
        "caffemodel_file",
        "net_type",
        "image_list",
        "image_type",
        "norm_type",
        "mean_file",
    ],
)
def test_rule_25_a_key_that_is_missing(export: Path, key: str) -> None:
    lines = (export / "net.cfg").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(f"[{key}]")]
    (export / "net.cfg").write_text("\n".join(kept), encoding="utf-8")

    says(export, 25, "error", "net.cfg", f"no [{key}]")


def test_rule_25_a_group_too_many(export: Path) -> None:
    edit(export, "net.cfg", "[image_type] 1\n", "[image_type] 1\n[image_type] 1\n")

    says(export, 25, "error", "net.cfg", "[image_type] 2 times for 1 inputs")


def test_rule_25_a_key_without_a_value_or_twice(export: Path) -> None:
    edit(export, "net.cfg", "[net_type] 0", "[net_type]")
    says(export, 25, "error", "net.cfg:4", "nothing behind [net_type]")
    edit(export, "net.cfg", "[net_type]", "[net_type] 0\n[net_type] 0")
    says(export, 25, "error", "net.cfg:5", "[net_type] again")


def test_rule_25_a_file_that_does_not_exist(export: Path) -> None:
    (export / "net.caffemodel").rename(export / "other.caffemodel")

    findings = [f for f in check_export(export, NOTHING) if f.rule == "nnie-25"]
    assert [(f.place, f.saw) for f in findings] == [
        (name, "[caffemodel_file] './net.caffemodel', which is no file")
        for name in ("net.cfg", "net_sim.cfg")
    ]


def test_rule_25_a_key_that_the_mapper_lacks_is_a_warning(export: Path) -> None:
    edit(export, "net.cfg", "[instruction_name]", "[instructions_name]")

    finding = broken(export, 25, "warning")
    assert (finding.place, finding.saw) == ("net.cfg:9", "the key [instructions_name]")
    assert finding.mend == "Write [instruction_name]."


def test_rule_25_a_comment_is_a_warning(export: Path) -> None:
    edit(export, "net.cfg", "[net_type]", "# a note\n[net_type]")

    says(export, 25, "warning", "net.cfg:4", "'# a note'")


@pytest.mark.parametrize(
    ("old", "new", "saw"),
    [
        ("[data_scale] 0.25", "[data_scale] 0.000244140625", "data_scale '0.000244140625'"),
        ("[data_scale] 0.25", "[data_scale] nan", "data_scale 'nan'"),
        ("[compile_mode] 2", "[compile_mode] 3", "compile_mode '3'"),
        ("[RGB_order] BGR", "[RGB_order] bgr", "RGB_order 'bgr'"),
        ("[batch_num] 1", "[batch_num] 257", "batch_num '257'"),
        ("[batch_num] 1", "[batch_num] ²", "batch_num '²'"),
        ("[sparse_rate] 0", "[sparse_rate] 1.5", "sparse_rate '1.5'"),
        ("[internal_stride] 16", "[internal_stride] 64", "internal_stride '64'"),
        ("[log_level] 2", "[log_level] 4", "log_level '4'"),
        ("] ./net\n", f"] ./{'n' * 118}\n", "an instruction_name of 120"),
    ],
)
def test_rule_27_numbers_and_words_are_legal(export: Path, old: str, new: str, saw: str) -> None:
    edit(export, "net.cfg", old, new)

    finding = broken(export, 27)
    assert finding.place.startswith("net.cfg:")
    assert finding.saw == saw


def test_rule_27_a_coordinate_file_for_each_roi_layer(export: Path) -> None:
    (export / "net_sim.cfg").unlink()
    edit(export, "net.cfg", "[net_type] 0", "[net_type] 0\n[roi_coordinate_file] ./rois.txt")

    says(export, 27, "error", "net.cfg", "1 roi_coordinate_file for 0 ROI layers")


@pytest.mark.parametrize(
    ("told", "layer", "wanted"),
    [
        ("1", "", "0, for a plain network"),
        ("0", 'type: "LSTM"', "2, for LSTM and RNN"),
        ("0", 'type: "PSROIPooling"', "1, for ROI layers"),
    ],
)
def test_rule_29_net_type_says_what_is_in_it(
    export: Path, told: str, layer: str, wanted: str
) -> None:
    (export / "net_sim.cfg").unlink()
    edit(export, "net.cfg", "[net_type] 0", f"[net_type] {told}")
    if layer:
        add(export, f'layer {{ name: "x" bottom: "add" top: "x" {layer} }}')

    finding = broken(export, 29, "warning")
    assert (finding.place, finding.saw, finding.wanted) == ("net.cfg", f"net_type {told}", wanted)
