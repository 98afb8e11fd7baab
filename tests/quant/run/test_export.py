"""`quant export` and `quant check`: a target's whole folder from files, and what it will not take."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from quant.cli.main import main
from tests.models import conv_relu_net, image, model, weights


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["quant", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        main()
    code = exit_.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, samples, and a profile of them."""
    folder = tmp_path_factory.mktemp("net")
    onnx.save(conv_relu_net(), folder / "net.onnx")
    np.save(folder / "x.npy", image(batch=6))
    patch = pytest.MonkeyPatch()
    words = ("--model", folder / "net.onnx", "--data", folder / "x.npy", "--quiet")
    assert call(patch, "profile", *words, "--out", folder / "p.safetensors") == 0
    patch.undo()
    return folder


@pytest.mark.parametrize("target", ["tensorrt", "atlas", "onnxruntime"])
def test_a_profile_and_a_plan_give_the_whole_folder(
    target: str, net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Profile once, on the machine with the pictures; choose and export anywhere."""
    base = ("--model", net / "net.onnx")
    plan, profile = tmp_path / "plan.json", ("--profile", net / "p.safetensors")
    assert call(monkeypatch, "choose", *base, *profile, "--target", target, "--out", plan) == 0
    out = tmp_path / "out"

    assert call(monkeypatch, "export", *base, "--plan", plan, *profile, "--out", out) == 0
    names = {p.name for p in out.iterdir()}
    assert {"plan.json", "simulated.onnx", "check.json"} <= names
    assert (out / "plan.json").read_bytes() == plan.read_bytes()
    if target != "onnxruntime":
        assert "DEPLOY.md" in names
        assert call(monkeypatch, "check", out, "--target", target) == 0


def test_the_folder_of_export_is_that_of_the_main_job(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that was edited back and forth must come out as it went in."""
    data = ("--model", net / "net.onnx", "--data", net / "x.npy", "--samples", "4")
    run = ("--target", "tensorrt", "--target", "atlas", "--quiet", "--out", tmp_path / "run")
    assert call(monkeypatch, "calibrate", *data, "--holdout", "2", *run) == 0
    for target in ("tensorrt", "atlas"):
        folder, out = tmp_path / "run" / target, tmp_path / target
        rest = ("--plan", folder / "plan.json", "--profile", tmp_path / "run/profile.safetensors")
        assert call(monkeypatch, "export", *data, *rest, "--out", out) == 0
        for path in (p for p in out.rglob("*") if p.is_file()):
            same = folder / path.relative_to(out)
            assert same.read_bytes() == path.read_bytes(), path


def test_a_model_is_checked_before_and_an_export_after(
    net: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Errors are counted by the exit code, so that a script may stop there."""
    bad = model(
        "g (float[N,3,16,16] input) => (float[N,4,16,16] y) { y = Conv(input, w) }",
        weights(0, w=(4, 3, 1, 1)),
    )
    bad.opset_import[0].version = 20
    onnx.save(bad, tmp_path / "new.onnx")

    assert call(monkeypatch, "check", net / "net.onnx", "--target", "tensorrt") == 0
    capsys.readouterr()
    words = ("--target", "tensorrt", "--trt-version", "8")
    assert call(monkeypatch, "check", tmp_path / "new.onnx", *words) == 1
    told = capsys.readouterr()
    assert "tensorrt-11 error" in told.out
    assert told.err == (
        f"error: {tmp_path / 'new.onnx'}: 1 error for tensorrt. Mend what is named above.\n"
    )


def test_json_of_a_check_is_one_object(
    net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--target", "tensorrt", "--target", "atlas", "--json")
    assert call(monkeypatch, "check", net / "net.onnx", *words) == 0
    told = json.loads(capsys.readouterr().out)

    assert [c["target"] for c in told["checks"]] == ["tensorrt", "atlas"]
    assert all(c["errors"] == 0 for c in told["checks"])


def test_what_cannot_be_checked_says_so(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "check", tmp_path / "none", "--target", "tensorrt") == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 'none'}: no such file or folder. Name a model, or an export's "
        "folder.\n"
    )
    assert call(monkeypatch, "check", tmp_path, "--target", "onnxruntime") == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}: ONNX Runtime has no check of exports. Give the float model, or "
        "another --target.\n"
    )


def test_a_refused_model_stops_the_main_job_before_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    proto = conv_relu_net()
    proto.opset_import[0].version = 20
    onnx.save(proto, tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", image(batch=6))
    words = ("--model", tmp_path / "net.onnx", "--data", tmp_path / "x.npy", "--quiet")
    chip = ("--target", "tensorrt", "--trt-version", "8", "--out", tmp_path / "out")

    assert call(monkeypatch, "calibrate", *words, *chip) == 2
    assert "tensorrt-11 error" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_rules_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "list", "rules") == 0
    lines = capsys.readouterr().out.splitlines()

    assert sum(line.startswith("tensorrt-") for line in lines) == 30
    assert sum(line.startswith("atlas-") for line in lines) == 30
