"""Every command of the README runs, as it stands."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quant.demo import unpack
from tests.tree import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.replace("\\\n", " ").strip().splitlines()]
STAND_INS = {"efficientnet_lite0.onnx": "digits.onnx", "224x224": "32x32", "photos/": "images/"}
"""The README's own network is not in the package; the demo's takes its place."""
MAIN = "quant calibrate --model efficientnet_lite0.onnx"


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_stages_run_as_written_in_order(tmp_path: Path) -> None:
    """A stranger copies them one after the other."""
    kinds = ("quant ", "ls ")
    stages = [c for c in COMMANDS if c.startswith(kinds) and not c.startswith(MAIN)]
    assert len(stages) >= 8
    for command in stages:
        if command.startswith("ls "):
            done = run(["sh", "-c", command], tmp_path)
        else:
            done = run([sys.executable, "-m", "quant.cli", *shlex.split(command)[1:]], tmp_path)

        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (tmp_path / "tensorrt" / "model.onnx").exists()


def test_the_main_command_runs_on_the_demos_network(tmp_path: Path) -> None:
    """All its options are real ones."""
    files = unpack(tmp_path)
    assert files.labels.parent.name == "images"
    (command,) = [c for c in COMMANDS if c.startswith(MAIN)]
    for name, stand_in in STAND_INS.items():
        assert name in command
        command = command.replace(name, stand_in)
    done = run([sys.executable, "-m", "quant.cli", *shlex.split(command)[1:]], tmp_path)

    assert done.returncode == 0, done.stderr
    table = README.split("| file | what |")[1].split("\n\n")[0]
    for name in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE):
        for target in ("onnxruntime", "tensorrt"):
            path = tmp_path / "quant-out" / "digits" / name.replace("<target>", target)
            assert path.exists(), path


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_knows_the_targets_the_readme_names() -> None:
    """`make demo` itself makes an environment, which is too long for a test."""
    for words in re.findall(r"^(make \w+)", "\n".join(COMMANDS), re.MULTILINE):
        done = run([*words.split(), "--dry-run"], ROOT)

        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python benchmarks/")])
def test_benchmarks_explain_themselves(command: str) -> None:
    """Their options are real ones."""
    words = shlex.split(command)
    done = run([sys.executable, words[1], "--help"], ROOT)

    assert done.returncode == 0, done.stderr
    for word in words[2:]:
        if word.startswith("--"):
            assert word in done.stdout


def test_no_command_is_forgotten() -> None:
    """A new kind of command in the README needs a test of its own."""
    known = ("quant ", "ls ", "make ", "python benchmarks/", "pip install -c constraints.txt -e .")

    assert [c for c in COMMANDS if not c.startswith(known)] == []


def test_links_lead_somewhere() -> None:
    """Documents that the README names exist."""
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
