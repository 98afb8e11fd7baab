"""Rules 29 and 30: calibration caches, and what version 11 removed."""

from pathlib import Path

from quant.export.tensorrt.check.run_rules import check_export
from quant.target.deployment import Deployment
from tests.export.tensorrt.nets import export, only


def cache(tmp_path: Path, old: str, new: str) -> list[tuple[str, str, str]]:
    """Return what rule 29 says after an edit of the cache."""
    path = export(tmp_path) / "implicit" / "calibration.cache"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return only(check_export(tmp_path, Deployment()), 29)


def test_rule_29_the_first_line_of_a_cache(tmp_path: Path) -> None:
    assert cache(tmp_path, "TRT-100300-Entropy", "TRT-10-3-Entropy") == [
        ("error", "'implicit/calibration.cache' line 1", "'TRT-10-3-EntropyCalibration2'")
    ]


def test_rule_29_a_line_that_no_reader_takes(tmp_path: Path) -> None:
    assert cache(tmp_path, "\ninput: ", "\ninput : 0x")[0][:2] == (
        "error",
        "'implicit/calibration.cache' line 2",
    )


def test_rule_29_a_tensor_that_is_missing_and_one_that_is_strange(tmp_path: Path) -> None:
    assert cache(tmp_path, "\ninput: ", "\nInput: ") == [
        ("error", "'implicit/calibration.cache'", "'Input', which the model does not have"),
        ("error", "'implicit/calibration.cache'", "no scale for 'input'"),
    ]


def test_rule_29_a_cache_beside_quantizers_and_one_beside_nothing(tmp_path: Path) -> None:
    folder = export(tmp_path)
    text = (folder / "implicit" / "calibration.cache").read_text()
    (folder / "a.cache").write_text(text)
    (folder / "b").mkdir()
    (folder / "b" / "b.cache").write_text(text)

    assert only(check_export(folder, Deployment()), 29) == [
        ("error", "'a.cache'", "a model with Q/DQ beside it"),
        ("error", "'b/b.cache'", "no model.onnx beside it"),
    ]


def test_rule_30_version_11_knows_no_cache_and_no_lists(tmp_path: Path) -> None:
    folder = export(tmp_path, "10")

    assert only(check_export(folder, Deployment(versions={"tensorrt": "11"})), 30) == [
        ("error", "'implicit/calibration.cache'", "a calibration cache"),
        ("error", "'build.py'", "BuilderFlag.INT8"),
        ("error", "'build.sh'", "--int8"),
        ("error", "'implicit/layer_precisions.txt'", "a list of layer precisions"),
    ]
