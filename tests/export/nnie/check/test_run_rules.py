"""A good export has no finding, and no file, whatever it holds, stops the check."""

from pathlib import Path

import numpy as np
import pytest

from quant.common.errors import InputError
from quant.export.nnie.check.rules import RULES
from quant.export.nnie.check.run_rules import check_export
from quant.target.finding import errors
from tests.export.nnie.check.broken_export import NOTHING, edit


def test_the_good_export_breaks_no_rule(good: Path) -> None:
    """Only the rule about speed has a finding."""
    findings = check_export(good, NOTHING)

    assert errors(findings) == []
    assert {f.rule for f in findings} == {"nnie-30"}


def test_there_are_thirty_rules() -> None:
    assert list(RULES) == [f"nnie-{i}" for i in range(1, 31)]
    assert all(10 < len(text) <= 100 and "\n" not in text for text in RULES.values())


def test_a_lone_prototxt_or_cfg_can_be_checked(export: Path) -> None:
    edit(export, "net.prototxt", 'type: "ReLU"', 'type: "Swish"')
    for name in ("net.prototxt", "net.cfg"):
        assert "nnie-1" in {f.rule for f in check_export(export / name, NOTHING)}
    for path in export.glob("*.cfg"):
        path.unlink()
    assert "nnie-1" in {f.rule for f in check_export(export, NOTHING)}


def test_paths_of_windows_are_found(export: Path) -> None:
    r"""RuyiStudio, the Windows program around the mapper, writes .\images\1.png."""
    edit(export, "net.cfg", "./", ".\\")
    edit(export, "image_list.txt", "./images/", ".\\images\\")

    assert errors(check_export(export / "net.cfg", NOTHING)) == []


def test_pictures_are_also_found_beside_their_list(export: Path) -> None:
    """Where the mapper seeks them depends on where it runs."""
    (export / "lists").mkdir()
    rows = (export / "image_list.txt").read_text(encoding="utf-8").replace("./images", "../images")
    (export / "lists" / "a.txt").write_text(rows, encoding="utf-8")
    edit(export, "net.cfg", "./image_list.txt", "./lists/a.txt")

    assert errors(check_export(export / "net.cfg", NOTHING)) == []


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_text("", encoding="utf-8")
    for path, seen in (
        (tmp_path, "a folder without either"),
        (tmp_path / "x.onnx", "none of these"),
    ):
        with pytest.raises(InputError) as caught:
            check_export(path, NOTHING)

        assert str(caught.value) == (
            f"{path}: NNIE's export is a .cfg or a .prototxt, or a folder with one, saw {seen}. "
            "Give the folder that quant export wrote."
        )


def test_files_of_anything_never_stop_the_check(export: Path) -> None:
    """It reads what others made: random bytes, and every file emptied or cut."""
    rng = np.random.default_rng(0)
    for name in ("net.prototxt", "net.caffemodel", "net.cfg", "image_list.txt", "mean.txt"):
        kept = (export / name).read_bytes()
        for data in (b"", kept[: len(kept) // 2], rng.bytes(300), kept + b"\0", b"\xff" + kept):
            (export / name).write_bytes(data)
            assert isinstance(check_export(export, NOTHING), list)
        (export / name).write_bytes(kept)


FOREIGN = """name: "face"
  input: "data"
  input_shape: { dim: 1 dim: 3 dim: 64 dim: 64 }

layer {
  name: "conv0" type: "Convolution" bottom: "data" top: "conv0"
  param { lr_mult: 1.0 decay_mult: 0.0 }
  convolution_param {
    num_output: 8 bias_term: false group: 1 stride: 2 pad_h: 1 pad_w: 1 kernel_h: 3 kernel_w: 3
    weight_filler { type: "msra" }
  }
}
layer {
  name: "bn0" type: "BatchNorm" bottom: "conv0" top: "bn0"
  batch_norm_param { use_global_stats: true eps: 9.999999747378752e-06 }
}
layer { name: "bn0_scale" type: "Scale" bottom: "bn0" top: "bn0" scale_param { bias_term: true } }
layer { name: "relu0" type: "ReLU" bottom: "bn0" top: "bn0" }
layer {
  name: "dw1" type: "Convolution" bottom: "bn0" top: "dw1"
  convolution_param { num_output: 8 group: 8 stride: 2 pad: 1 kernel_size: 3 }
}
layer {
  name: "up" type: "Deconvolution" bottom: "dw1" top: "up" param { lr_mult: 0.0 }
  convolution_param {
    num_output: 8 bias_term: false pad: 0 kernel_size: 2 group: 8 stride: 2 dilation: 1
    weight_filler: { type: "constant" value: 1 }
  }
}
layer {
  name: "plus" type: "Eltwise" bottom: "bn0" bottom: "up" top: "plus"
  eltwise_param { operation: SUM }
}
layer { name: "joined" type: "Concat" bottom: "plus" bottom: "up" top: "joined"
#  concat_param {
#    axis: 1
#  }
}
layer {
  name: "score" type: "Convolution" bottom: "joined" top: "score"
  convolution_param { num_output: 4 pad: 1 kernel_h: 5 kernel_w: 1 }
}
layer {
  name: "score_reshape" type: "Reshape" bottom: "score" top: "score_reshape"
  reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 0 } }
}
layer {
  name: "prob" type: "Softmax" bottom: "score_reshape" top: "prob" softmax_param { axis: 1 }
}
layer {
  name: "prob_reshape" type: "Reshape" bottom: "prob" top: "prob_reshape"
  reshape_param { shape { dim: 0 dim: 4 dim: -1 dim: 0 } }
}
"""


def test_what_others_got_a_wk_from_breaks_no_rule(tmp_path: Path) -> None:
    """The idioms of two published networks that run on boards: RetinaFace (nniefacelib), ENet."""
    (tmp_path / "face.prototxt").write_text(FOREIGN, encoding="utf-8")
    findings = check_export(tmp_path / "face.prototxt", NOTHING)

    assert errors(findings) == []
    assert {f.rule for f in findings} == {"nnie-11", "nnie-30"}
