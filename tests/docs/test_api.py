"""docs/api.md and docs/data.md: their Python runs, block after block, on the demo's network and images."""

import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

import quant
from quant.demo import unpack
from tests.tree import ROOT


def blocks(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page names: net.onnx, photos/ with labels.csv, and preprocess.toml."""
    files = unpack(tmp_path / "demo")
    shutil.copy(files.model, tmp_path / "net.onnx")
    shutil.copy(files.preprocess, tmp_path / "preprocess.toml")
    files.images.rename(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.mark.usefixtures("project")
@pytest.mark.filterwarnings("ignore:half of them|input 'x'")
def test_the_page_of_the_api_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader copies one block after the other into a notebook."""
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for code in blocks("api.md"):
        exec(compile(code, "docs/api.md", "exec"), module.__dict__)  # noqa: S102  our own page


def test_the_functions_of_the_page_of_data_are_samples(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = blocks("data.md")
    (project / "samples.py").write_text(code)
    monkeypatch.delitem(sys.modules, "samples", raising=False)
    images = quant.profile("net.onnx", "samples:images", mean=127, std=128, progress=False)
    tensors = quant.profile("net.onnx", "samples:tensors", progress=False)

    assert [p.provenance.samples for p in (images, tensors)] == [40, 40]


def test_the_page_names_every_function_and_attribute() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    public = [name for name in dir(quant.Run) if not name.startswith("_")]
    public += [f"quant.{name}" for name in quant.__all__ if name[0].islower()]

    assert [name for name in public if name not in text] == []
