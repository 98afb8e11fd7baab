"""Rule 28: the listed calibration samples."""

from pathlib import Path

import pytest
from PIL import Image

from quant.export.nnie.check.run_rules import check_export
from tests.export.nnie.check.broken_export import NOTHING, broken, edit, says


def test_rule_28_a_picture_that_is_gone_or_of_another_size_or_kind(export: Path) -> None:
    where = "image_list './image_list.txt'"
    (export / "images" / "0001.png").unlink()
    says(export, 28, "error", where, "1 of 20 files that do not exist: './images/0001.png'")
    Image.new("RGB", (16, 17)).save(export / "images" / "0001.png")
    says(export, 28, "error", where, "1 of 20 pictures of 16x17: './images/0001.png'")
    (export / "images" / "0001.png").write_bytes(b"no picture")
    says(export, 28, "error", where, "1 of 20 files that are no pictures: './images/0001.png'")


def test_rule_28_a_path_of_other_letters_or_another_kind(export: Path) -> None:
    where = "image_list './image_list.txt'"
    (export / "images" / "0001.png").rename(export / "images" / "é.png")
    edit(export, "image_list.txt", "./images/0001.png", "./images/é.png")
    says(export, 28, "error", where, "1 of 20 paths with other characters: './images/é.png'")
    (export / "images" / "é.png").rename(export / "images" / "1.gif")
    edit(export, "image_list.txt", "./images/é.png", "./images/1.gif")
    says(export, 28, "error", where, "1 of 20 files of another kind: './images/1.gif'")


@pytest.mark.parametrize(
    ("count", "severity", "wanted"),
    [
        (19, "warning", "20, of typical scenes"),
        (9, "warning", "10 at the very least, of typical scenes"),
        (0, "error", "10 at the very least, of typical scenes"),
    ],
)
def test_rule_28_too_few(export: Path, count: int, severity: str, wanted: str) -> None:
    rows = (export / "image_list.txt").read_text(encoding="utf-8").splitlines()[:count]
    (export / "image_list.txt").write_text("\n".join(rows), encoding="utf-8")

    finding = broken(export, 28, severity)
    assert (finding.saw, finding.wanted) == (f"{count} samples", wanted)


def test_rule_28_tensors_have_every_number(export: Path) -> None:
    edit(export, "net.cfg", "[image_type] 1\n[norm_type] 5", "[image_type] 0\n[norm_type] 0")
    edit(export, "net.cfg", "./image_list.txt", "./t.txt")
    (export / "net_sim.cfg").unlink()
    row = " ".join(["0.5"] * 768)
    good, odd = [row.replace(" ", ","), *[row] * 19], row.replace("0.5", "nan", 1)
    for rows, place, saw in (
        ([*good, "1 2"], "image_list './t.txt':21", "2 numbers"),
        ([*good, odd], "image_list './t.txt':21", "'nan'"),
    ):
        (export / "t.txt").write_text("\n".join(rows), encoding="utf-8")
        says(export, 28, "error", place, saw)
    (export / "t.txt").write_text("\n".join(good), encoding="utf-8")
    assert "nnie-28" not in {f.rule for f in check_export(export, NOTHING)}
