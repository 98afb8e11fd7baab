"""Runtimes: named by the tables of targets, opened in one place each."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from quant.common.errors import InputError, UnsupportedError
from quant.latency.kernel_times import kernel_times
from quant.runtimes.onnxruntime import ORT_CPU
from quant.runtimes.runtime import Runtime
from quant.target.table import TARGETS, every_runtime, find_runtime
from tests.models import conv_relu_net, image


def test_runtimes_are_known_by_the_targets_that_name_them() -> None:
    """Whoever adds a target adds its runtime in the same table; no list stands elsewhere."""
    assert list(every_runtime()) == ["onnxruntime", "openvino"]
    assert find_runtime("onnxruntime") is ORT_CPU
    assert TARGETS["onnxruntime"].runtimes[0] is ORT_CPU
    assert TARGETS["atlas"].runtimes == ()
    with pytest.raises(InputError, match=re.escape("it is onnxruntime or openvino, saw 'ncnn'.")):
        find_runtime("ncnn")


def test_a_runtime_says_its_version_or_that_it_is_not_here() -> None:
    absent = Runtime(name="none", title="None", package="no-such-package", open=ORT_CPU.open)

    assert re.fullmatch(r"[\d.]+", ORT_CPU.version or "")
    assert absent.version is None
    with pytest.raises(UnsupportedError, match="runtime none: kernel times come from"):
        kernel_times({}, {}, runtime=absent)


def test_onnx_runtime_opens_a_file_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(conv_relu_net(), path)
    session = ORT_CPU.open(path, 1)
    (output,) = session.run(None, {session.get_inputs()[0].name: image(batch=2)})

    assert np.isfinite(output).all()
    assert len(output) == 2
    with pytest.raises(InputError, match="OpenVINO's IR runs in OpenVINO"):
        ORT_CPU.open(tmp_path / "net.xml", 1)
