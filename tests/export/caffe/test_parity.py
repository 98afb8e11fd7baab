"""The benchmark of converted networks runs on a good network and on one that must be cut."""

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.models import conv_relu_net, model, weights
from tests.tree import ROOT

FILE = ROOT / "benchmarks" / "caffe_parity.py"


def run(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    """Return exit code and what was printed; in this process, for importing takes seconds."""
    code: int = runpy.run_path(str(FILE))["main"]([str(path)])
    return code, capsys.readouterr()


def test_help_has_an_example() -> None:
    command = [sys.executable, str(FILE), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "usage: benchmarks/caffe_parity.py" in done.stdout
    assert "--reference rfb320.prototxt rfb320.caffemodel" in done.stdout


def test_it_prints_an_error_for_each_output_and_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network that is its own reference differs from it by nothing."""
    onnx.save(conv_relu_net(), tmp_path / "net.onnx")
    code, captured = run(tmp_path / "net.onnx", capsys)
    assert code == 0, captured.err
    name, tensor, shape, *said = captured.out.strip().split(" | ")

    assert (Path(name).name, tensor, shape) == ("net.onnx", "output", "[1, 10]")
    assert [s.split()[0] for s in said] == ["OpenCV", "MNN"]
    assert all(float(s.split()[1]) < 1e-4 for s in said)


def test_what_is_cut_off_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = model(
        """g (float[1,3,8,8] input) => (float[1,2,8,8] output) {
            [c] a = Conv(input, w)
            [cos] output = Cos(a)
        }""",
        weights(0, w=(2, 3, 1, 1)),
    )
    onnx.save(proto, tmp_path / "net.onnx")
    code, captured = run(tmp_path / "net.onnx", capsys)

    assert code == 0, captured.err
    assert "nnie-1 error, node 'cos'" in captured.out
    assert "cut off: 1 nodes" in captured.out
    assert "net.onnx | a | [1, 2, 8, 8]" in captured.out


def test_what_cannot_be_cut_off_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proto = model(
        """g (float[1,3,8,8] input) => (float[1,2,8,8] output) {
            [cos] a = Cos(input)
            [c] output = Conv(a, w)
        }""",
        {"w": np.ones((2, 3, 1, 1), np.float32)},
    )
    onnx.save(proto, tmp_path / "net.onnx")
    code, captured = run(tmp_path / "net.onnx", capsys)

    assert code == 2
    assert captured.err == (
        f"error: {tmp_path}/net.onnx: layers with weights follow what cannot be converted, and a "
        "tail must have none. Make these nodes Custom layers.\n"
    )
