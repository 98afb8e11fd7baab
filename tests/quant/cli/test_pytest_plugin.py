"""The fixture, in a pytest of its own: it passes, it fails with the table, it says what to mend."""

import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import onnx
import pytest

from tests import models
from tests.tree import ROOT

TESTS = """
import pytest
from quant.preprocess.image_to_tensor import Preprocess

GIVEN = {"reference": "net.onnx", "candidate": "net.onnx", "data": "x.npz"}


def test_passes(quant_gate):
    assert quant_gate(**GIVEN, min_agreement=0.9, undecided="pass").passed
    quant_gate(**GIVEN, min_sqnr=20, preprocess=Preprocess())


def test_fails(quant_gate):
    quant_gate(**GIVEN, max_drop=0.01)


def test_cannot(quant_gate):
    quant_gate(run="nowhere", max_drop=0.01)


def test_calls_it_wrongly(quant_gate):
    with pytest.raises(TypeError, match="needs run=, or reference=, candidate=, data=; data= is"):
        quant_gate(reference="a", candidate="b", max_drop=0.01)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what pytest says of the tests above, beside a tiny network compared with itself."""
    folder = tmp_path_factory.mktemp("project")
    onnx.save(models.conv_relu_net(), folder / "net.onnx")
    net = onnx.load(folder / "net.onnx")
    x = models.image(batch=40)
    np.savez(folder / "x.npz", **{net.graph.input[0].name: x, "labels": np.zeros(40, np.int64)})
    (folder / "test_gate.py").write_text(TESTS)
    installed = any(e.value == "quant.cli.pytest_plugin" for e in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "quant.cli.pytest_plugin"]
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugin, "test_gate.py"]
    paths = {"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(folder)}
    done = subprocess.run(words, cwd=folder, env=paths, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_a_gate_is_a_test(said: str) -> None:
    """Two pass, one fails by its limit, one because there is no run; no traceback in either."""
    assert "2 passed" in said, said
    assert "2 failed" in said
    assert "Traceback" not in said


def test_a_failing_gate_shows_its_table(said: str) -> None:
    """40 equal answers cannot show a margin of 1 point."""
    assert "gate undecided, which counts as failed: net.onnx leaves its limit undecided" in said
    assert "undecided  net.onnx  accuracy_drop at most 1 point" in said


def test_what_must_be_mended_is_one_sentence(said: str) -> None:
    assert (
        "quant gate: nowhere: the folder of a run holds a run.json, saw none. Give --run the --out "
        "folder of quant calibrate."
    ) in said


def test_the_fixture_costs_a_pytest_that_does_not_use_it_nothing() -> None:
    """The plugin is loaded into every run of pytest on the machine."""
    code = (
        "import sys, quant.cli.pytest_plugin;"
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'scipy', 'click'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
