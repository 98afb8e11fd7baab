"""docs/gate.md: the limits load, and every workflow's own commands run on the demo's network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import xmlschema
import yaml

from quant.cli.pytest_plugin import quant_gate
from quant.demo import unpack
from quant.gate.config_file import load_gate
from quant.gate.measures import MEASURES
from tests.tree import ROOT

PAGE = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
SCHEMA = ROOT / "tests" / "golden" / "junit" / "junit.xsd"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def workflow(name: str) -> Any:
    """Return the YAML whose first line names its file."""
    (text,) = [b for b in blocks("yaml") if b.startswith(f"# {name}")]
    return yaml.safe_load(text)


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as the runners do: `bash -e`, with `quant` on the path."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "quant").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m quant.cli "$@"\n')
    (tools / "quant").chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "GITHUB_ACTIONS": "", "PYTHONPATH": str(ROOT)}
    words = ["bash", "-e", "-c", command]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout as the page supposes it, quantized by the page's own workflow."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed, and the workflows are shell")
    folder = tmp_path_factory.mktemp("project")
    files = unpack(folder / "demo")
    (folder / "model").mkdir()
    shutil.copy(files.model, folder / "model" / "net.onnx")
    shutil.copy(files.preprocess, folder / "model" / "preprocess.toml")
    files.images.rename(folder / "photos")
    (folder / "gate.toml").write_text(blocks("toml")[0])
    steps = workflow(".github/workflows/quant.yml")["jobs"]["gate"]["steps"]
    (quantize,) = [s["run"] for s in steps if s.get("name") == "Quantize"]
    done = shell(quantize, folder)
    assert done.returncode == 0, done.stderr
    made = folder / "quant-out" / "net" / "onnxruntime" / "model.onnx"
    shutil.copy(made, folder / "model" / "net_int8.onnx")
    return folder


def checked(folder: Path) -> None:
    xmlschema.validate(folder / "quant-gate.xml", SCHEMA)
    (folder / "quant-gate.xml").unlink()


def test_the_github_workflow_gates(project: Path) -> None:
    """Its step runs, and the artifact that it uploads is there and valid."""
    steps = workflow(".github/workflows/quant.yml")["jobs"]["gate"]["steps"]
    (gate,) = [s["run"] for s in steps if s.get("name") == "Gate"]
    upload = steps[-1]
    done = shell(gate, project)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("gate passed: net keeps all 6 limits")
    for path in upload["with"]["path"].split():
        assert (project / path).exists(), path
    assert upload["if"] == "always()"
    checked(project)


def test_the_gitlab_job_gates(project: Path) -> None:
    """YAML folds its lines into the one command that the runner gets."""
    job = workflow(".gitlab-ci.yml")["quant-gate"]
    install, gate = job["script"]
    done = shell(gate, project)

    assert install.startswith("pip install --extra-index-url ")
    assert done.returncode == 0, done.stdout + done.stderr
    assert job["artifacts"]["reports"]["junit"] == "quant-gate.xml"
    checked(project)


def test_the_pre_commit_hooks_let_a_good_model_through_and_stop_a_bad_one(project: Path) -> None:
    """Both forms: the entry that pre-commit calls, and the script that git calls."""
    hook = workflow(".pre-commit-config.yaml")["repos"][0]["hooks"][0]
    (script,) = [b for b in blocks("bash") if b.startswith("#!/bin/sh")]
    config = (project / "gate.toml").read_text()
    for command in (hook["entry"], f"sh -c '{script.splitlines()[1]}'"):
        assert shell(command, project).returncode == 0
        (project / "gate.toml").write_text("[[limit]]\nmeasure = 'sqnr_db'\nmin = 99\n")
        assert shell(command, project).returncode == 1
        (project / "gate.toml").write_text(config)
    assert re.search(hook["files"], "model/net.onnx")
    assert hook["pass_filenames"] is False


def test_the_shell_commands_run_in_order(project: Path) -> None:
    """A stranger copies them one after the other."""
    commands = [line for block in blocks("sh") for line in block.strip().splitlines()]
    assert len(commands) == 5
    for command in commands:
        done = shell(command, project)

        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert (project / "baseline.json").exists()


def test_the_pytest_example_passes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its functions are called with the real fixture's function."""
    monkeypatch.chdir(project)
    (text,) = blocks("python")
    space: dict[str, Any] = {}
    exec(text, space)  # noqa: S102  our own page
    tests = [f for name, f in space.items() if name.startswith("test_")]
    check = quant_gate.__wrapped__()  # type: ignore[attr-defined]
    for test in tests:
        test(check)

    assert len(tests) == 2


def test_the_same_limits_load_from_a_pyproject(tmp_path: Path) -> None:
    text = blocks("toml")[0].replace("[[", "[[tool.quant.gate.")
    (tmp_path / "pyproject.toml").write_text("[tool.quant.gate]\n" + text)
    (tmp_path / "gate.toml").write_text(blocks("toml")[0])
    mine, its = (load_gate(tmp_path / n).limits for n in ("gate.toml", "pyproject.toml"))

    assert [str(x) for x in mine] == [str(x) for x in its]
    assert len(mine) == 6


def test_the_table_of_measures_is_the_real_one() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", PAGE, re.MULTILINE)

    assert [tuple(c.strip() for c in row) for row in rows] == [
        (m.name, m.bounded, m.unit, m.meaning) for m in MEASURES.values()
    ]
