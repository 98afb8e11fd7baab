"""Every command of the README runs, as it stands, and prints what the README says."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quant.demo import unpack
from quant.target.table import TARGETS
from tests.tree import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.replace("\\\n", " ").strip().splitlines()]
IN_CLONE = ".venv/bin/quant "
"""How the main job is called in a clone, before anything is on the path."""
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
NEAR = 1.0
"""Points and decibels by which another machine's numbers may differ."""


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def quant(command: str, folder: Path) -> str:
    """Run a `quant` command of the README, and return what it prints."""
    done = run([sys.executable, "-m", "quant.cli", *shlex.split(command)[1:]], folder)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def steady(text: str) -> list[str]:
    """Return the lines of a summary without the entry `speed`, which is the machine's."""
    lines, inside = [], False
    for line in text.strip().splitlines():
        inside = line.startswith("  speed ") or (inside and line.startswith(" " * 8))
        if not inside:
            lines.append(line)
    return lines


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that `make demo` leaves in a clone."""
    folder = tmp_path_factory.mktemp("clone")
    unpack(folder / "quant-out" / "demo" / "input")
    return folder


@pytest.fixture(scope="module")
def printed(clone: Path) -> str:
    """Return what the main command prints."""
    (command,) = [c for c in COMMANDS if c.startswith(IN_CLONE)]
    return quant(command, clone)


def test_the_main_command_prints_what_the_readme_shows(printed: str) -> None:
    """Line by line; numbers may differ as far as another machine's arithmetic does."""
    (shown,) = re.findall(r"```\n(digits: calibrated .*?)```", README, re.DOTALL)
    ours, theirs = steady(shown), steady(printed)

    assert [NUMBER.sub("#", line) for line in ours] == [NUMBER.sub("#", line) for line in theirs]
    for line, other in zip(ours, theirs, strict=True):
        for a, b in zip(NUMBER.findall(line), NUMBER.findall(other), strict=True):
            assert abs(float(a) - float(b)) <= NEAR, (line, other)
    assert re.search(r"^  speed +[0-9.]+ ms -> [0-9.]+ ms a sample", shown, re.MULTILINE)


def test_the_main_command_leaves_the_files_of_the_table(clone: Path, printed: str) -> None:
    """A stranger looks for them in the folder of the run."""
    table = README.split("| file | content |")[1].split("\n\n")[0]
    names = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    assert len(names) >= 12
    for name in names:
        for target in ("onnxruntime", "tensorrt"):
            assert (clone / "quant-out" / "digits" / name.replace("<target>", target)).exists()


def test_stages_run_as_written_in_order(clone: Path) -> None:
    """A stranger copies them one after the other."""
    stages = [c for c in COMMANDS if c.startswith(("quant ", "ls "))]
    assert len(stages) >= 16
    for command in stages:
        if command.startswith("ls "):
            assert run(["sh", "-c", command], clone).returncode == 0
        else:
            quant(command, clone)
    assert (clone / "tensorrt" / "model.onnx").exists()


def test_the_python_lines_run(clone: Path) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = run([sys.executable, "-c", lines], clone)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("digits: calibrated on ")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_knows_the_targets_the_readme_names() -> None:
    """`make demo` itself makes an environment, which is too long for a test."""
    for words in re.findall(r"^(make \w+)", "\n".join(COMMANDS), re.MULTILINE):
        done = run([*words.split(), "--dry-run"], ROOT)

        assert done.returncode == 0, done.stderr
        assert IN_CLONE in done.stdout  # where the next command looks for it


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
    known = ("quant ", IN_CLONE, "ls ", "make ", "python benchmarks/")
    pip = ("pip install -c constraints.txt -e .", "pip wheel --no-deps --wheel-dir dist .")

    assert [c for c in COMMANDS if not c.startswith(known) and c not in pip] == []


def test_the_table_of_tools_has_the_numbers_of_docs_quality() -> None:
    """A claim without its measurement is advertising."""
    page = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8").split("## Other tools")[1]
    measured: dict[str, list[str]] = {}
    for line in page.split("## Transformers")[0].splitlines():
        if line.startswith("| "):
            tool = line.split("|")[1].split("(")[0].strip()
            measured[tool] = measured.get(tool, []) + NUMBER.findall(line)
    rows = {
        "quant, `fast`": "quant, fast",
        "quant, `balanced` (default)": "quant, balanced",
        "ONNX Runtime, minmax": "onnxruntime minmax",
        "ONNX Runtime, percentile": "onnxruntime percentile",
        "NNCF 3.4.0": "nncf",
        "AIMET 2.42.0": "aimet-onnx",
        "ModelOpt 0.47.0, entropy": "modelopt entropy",
    }
    table = README.split("| tool |")[1].split("\n\n")[0].splitlines()[2:]
    assert [line.split("|")[1].strip() for line in table] == list(rows)
    for line, name in zip(table, rows.values(), strict=True):
        for number in NUMBER.findall(line.split("|", 2)[2]):
            assert number in measured[name], (number, name)


def test_the_number_of_rules_is_the_real_one() -> None:
    count = sum(len(target.rules) for target in TARGETS.values())

    assert f"{count} rules" in README


@pytest.mark.parametrize(
    "page",
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")],
    ids=lambda page: page.name,
)
def test_links_lead_somewhere(page: Path) -> None:
    """Files and headings that a page names exist."""
    for link in re.findall(r"\]\((?!http)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        target, _, heading = link.partition("#")
        path = page.parent / target if target else page
        assert path.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles]
            assert heading in anchors, link


def test_the_picture_is_small() -> None:
    """It is the first thing that loads."""
    assert (ROOT / "docs" / "img" / "report.png").stat().st_size < 150_000
