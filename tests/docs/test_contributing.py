"""The path that CONTRIBUTING shows to a new target works as it stands, file by file."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from quant.demo import unpack
from tests.tree import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
WALK = PAGE.split("## Add a target for an imaginary chip")[1].split("\n## ")[0]
FILES = dict(re.findall(r"```python\n# (export/\S+)\n(.*?)```", WALK, re.DOTALL))
COMMANDS = re.findall(r"```sh\n(.*?)```", WALK, re.DOTALL)[0].replace("\\\n", " ").splitlines()
WITH_PEBBLE = (
    "import sys, importlib; "
    "importlib.import_module('quant.export').__path__.append(sys.argv.pop(1)); "
)
QUANT = WITH_PEBBLE + "from quant.cli.main import main; main()"
PYTEST = WITH_PEBBLE + "import pytest; sys.exit(pytest.main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that stands for a second half of `export/`, with the page's files in it."""
    folder = tmp_path_factory.mktemp("walk") / "export"
    (folder / "pebble").mkdir(parents=True)
    (folder / "pebble" / "__init__.py").write_text('"""Pebble: a chip that does not exist."""\n')
    assert set(FILES) == {"export/pebble/target.py", "export/pebble/write.py"}
    for name, text in FILES.items():
        (folder.parent / name).write_text(text)
    return folder


def python(code: str, export: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, str(export), *words],
        cwd=export.parent if code == QUANT else ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_commands_run_as_written(export: Path) -> None:
    """`quant list` names the chip, and its folder is written and judged like any other."""
    demo = "quant demo --out quant-out/demo"  # the tests of the README run it; here are its files
    assert demo in COMMANDS
    unpack(export.parent / "quant-out" / "demo" / "input")
    lines = [line for line in COMMANDS if line.startswith("quant ") and line != demo]
    commands = [shlex.split(line)[1:] for line in lines]
    printed = [python(QUANT, export, *words) for words in commands]
    graph = onnx.load(export.parent / "quant-out" / "pebble" / "pebble" / "model.onnx").graph

    assert "pebble" in printed[0]
    assert "QuantizeLinear" in {node.op_type for node in graph.node}


def test_its_target_passes_the_contracts(export: Path) -> None:
    (words,) = [shlex.split(line)[3:] for line in COMMANDS if "contracts" in line]
    words += ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    last = python(PYTEST, export, *words).strip().splitlines()[-1]

    assert re.search(r"\d\d passed", last)


def test_its_other_tests_exist() -> None:
    named = re.findall(r"tests/\w+\.py", " ".join(COMMANDS))

    assert len(named) == 3
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_its_files_are_formatted_as_ours(export: Path) -> None:
    """Whoever pastes them should not have to mend them first."""
    words = ("format", "--check", "--config", str(ROOT / "pyproject.toml"), str(export))
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
