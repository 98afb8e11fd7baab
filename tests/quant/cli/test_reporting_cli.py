"""`quant report` and `quant diff` as a person types them."""

import json
import sys
from pathlib import Path

import pytest

from quant.cli.main import main
from tests import models
from tests.runs import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"), models.conv_relu_net(), ("onnxruntime",))


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run the command line and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["quant", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("html", "report.html"),
        ("markdown", "report.md"),
        ("model-explorer", "model-explorer-onnxruntime.json"),
        ("netron", "netron-onnxruntime.onnx"),
    ],
)
def test_a_report_lands_in_the_run_and_its_path_is_printed(
    run: Path,
    form: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So that a shell can go on with it."""
    assert call(monkeypatch, "report", run, "--format", form) == 0
    assert capsys.readouterr().out == f"{run / name}\n"
    assert (run / name).stat().st_size > 100


def test_out_is_a_file_or_a_folder(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page and a comment are one file, the viewers' data one for each target."""
    call(monkeypatch, "report", run, "--format", "markdown", "--out", tmp_path / "c.md")
    call(monkeypatch, "report", run, "--format", "model-explorer", "--out", tmp_path / "data")

    assert (tmp_path / "c.md").read_text(encoding="utf-8").startswith("## Quantization of net\n")
    assert (tmp_path / "data" / "model-explorer-onnxruntime.json").exists()


def test_a_diff_is_text_json_or_a_page(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For eyes, machines and mails."""
    page = tmp_path / "diff.html"
    assert call(monkeypatch, "diff", run, run, "--html", page) == 0
    assert "no layer changed" in capsys.readouterr().out
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert call(monkeypatch, "diff", run, run, "--json") == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1


def test_a_folder_that_is_no_run_costs_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2: it can be mended."""
    for words in (("report", tmp_path), ("diff", tmp_path, tmp_path)):
        assert call(monkeypatch, *words) == 2
        assert capsys.readouterr().err == (
            f"error: {tmp_path / 'run.json'}: not a readable summary of a run: there is no such "
            "file. Give the --out folder of quant calibrate.\n"
        )
