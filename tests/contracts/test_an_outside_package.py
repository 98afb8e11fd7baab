"""A package of somebody else's adds a target, a metric, an observer and a data source by itself.

`toyboard` is installed as pip would do it, beside us and with entry points, for processes of their
own. No file of ours knows it: whatever these tests need of a new part must come from its table.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quant.demo import DemoFiles, unpack
from tests.tree import ROOT

TOYBOARD = Path(__file__).with_name("toyboard")
ENTRY_POINTS = """\
[quant.export]
toy = toyboard.target

[quant.metrics]
margin = toyboard.metric

[quant.observers]
thousandth = toyboard.observer

[quant.sources]
reel = toyboard.source
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for `sys.path` in which the package is installed."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(TOYBOARD, site / "toyboard", ignore=shutil.ignore_patterns("__pycache__"))
    info = site / "toyboard-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toyboard\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return site


def python(site: Path, *words: object) -> str:
    """Run Python with the package installed, and return what it printed."""
    path = os.pathsep.join([str(site), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def quant(site: Path, *words: object) -> str:
    return python(site, "-m", "quant.cli", *words)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return unpack(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def run(site: Path, demo: DemoFiles) -> Path:
    """Calibrate the demo's digits for the toy board, from its own source, judged by its metric."""
    out = demo.model.parent / "out"
    words = ["--model", demo.model, "--data", f"reel://{demo.images}", "--out", out]
    words += ["--preprocess", demo.preprocess, "--samples", 40, "--holdout", 40]
    words += ["--target", "toy", "--toy-version", 1, "--metric", "margin", "--effort", "fast"]
    quant(site, "calibrate", *words, "--quiet")
    return out


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("targets", "toy"),
        ("metrics", "margin"),
        ("observers", "thousandth"),
        ("sources", "reel"),
        ("rules", "toy-2"),
    ],
)
def test_its_parts_are_listed(kind: str, line: str, site: Path) -> None:
    names = [row.split()[0] for row in quant(site, "list", kind).splitlines() if row.strip()]

    assert line in names


def test_its_version_is_an_option_of_the_command_line(site: Path) -> None:
    assert "--toy-version" in quant(site, "calibrate", "--help")


def test_the_main_job_runs_with_all_four(run: Path) -> None:
    """The target writes its own kind of main file, and its observer is tried among ours."""
    facts: dict[str, Any] = json.loads((run / "run.json").read_text())
    toy = facts["targets"]["toy"]

    assert toy["files"][0] == "network.toy"
    assert (run / "toy" / "network.toy").read_bytes().startswith(b"TOY1")
    assert set(toy["observers_db"]) == {"thousandth", "minmax", "mse", "percentile"}
    assert toy["simulated"]["scores"]["margin"] > 0
    assert facts["data"]["source"].startswith("reel://")
    assert json.loads((run / "toy" / "check.json").read_text())["errors"] == 0
    assert (run / "report.html").is_file()


def test_its_checks_and_its_runtime_are_used(site: Path, run: Path, demo: DemoFiles) -> None:
    """`quant verify` runs the export in the toy board's own simulator, which reads no ONNX."""
    check = ("check", run / "toy" / "network.toy", "--target", "toy", "--toy-version", 1)
    assert "nothing found" in quant(site, *check)
    assert "nothing found" in quant(site, "check", demo.model, "--target", "toy")
    assert "toy in toysim" in quant(site, "verify", "--run", run)
    verified = json.loads((run / "run.json").read_text())["targets"]["toy"]["verified"]
    assert verified[0]["runtime"] == "toysim"
    assert verified[0]["largest"] == 0


def test_a_gate_judges_its_run_and_its_runtime(site: Path, run: Path, demo: DemoFiles) -> None:
    limit = ("--min-sqnr", 15)
    quant(site, "gate", "--run", run, *limit)
    models = ("--reference", demo.model, "--candidate", run / "toy" / "network.toy")
    data = ("--data", demo.images, "--preprocess", demo.preprocess, "--samples", 40)
    quant(site, "gate", *models, *data, "--runtime", "toysim", *limit)


@pytest.mark.parametrize("contract", ["target", "metric", "observer", "format"])
def test_our_contracts_try_its_parts(contract: str, site: Path) -> None:
    """Who adds a part runs `tests/contracts`, which reads the tables, and writes no test of ours."""
    names = {"target": "toy", "metric": "margin", "observer": "thousandth", "format": "int8"}
    module = ROOT / "tests" / "contracts" / f"test_every_{contract}.py"
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-x", "--rootdir", ROOT, module)
    last = python(site, *words, "-k", names[contract]).strip().splitlines()[-1]

    assert " passed" in last
