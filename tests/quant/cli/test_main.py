"""The command line: help, exit codes, one sentence for each mistake."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from quant.cli.main import main, quant
from quant.demo import DemoFiles, unpack


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return unpack(tmp_path_factory.mktemp("demo"))


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["quant", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        main()
    code = exit_.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("name", sorted(quant.commands))
def test_every_command_has_help_with_an_example(name: str) -> None:
    """People look there first."""
    shown = CliRunner().invoke(quant, [name, "--help"])

    assert shown.exit_code == 0
    assert len(shown.output.splitlines()) > 6
    assert name == "demo" or f"\n  quant {name}" in shown.output, "an example on a line of its own"
    assert "\\b" not in shown.output


HEAVY = ("onnx", "onnx_ir", "onnxruntime", "sympy", "torch", "matplotlib", "scipy", "sklearn")


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], ("numpy", "PIL", *HEAVY)),
        (["calibrate", "--help"], ("PIL", *HEAVY)),
        (["list", "targets"], ("PIL", *HEAVY)),
        (["list", "rules"], ("PIL", *HEAVY)),
        (["list", "observers"], ("PIL", *HEAVY)),
        (["list", "metrics"], ("PIL", *HEAVY)),
        (["list", "devices"], ("PIL", *HEAVY)),
        (["list", "precisions"], ("PIL", *HEAVY)),
        (["list", "sources"], HEAVY),
    ],
)
def test_what_is_only_looked_up_imports_nothing_heavy(
    words: list[str], heavy: tuple[str, ...]
) -> None:
    """`quant --help` and `quant list` must answer at once: import what works inside functions."""
    code = (
        f"import sys; from quant.cli.main import quant; quant({words}, standalone_mode=False);"
        f"seen = set({heavy}) & set(sys.modules); sys.exit(str(seen) if seen else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target", "tensort"], "error: No target is named 'tensort'. Did you mean 'tensorrt'?"),
        (["--observer", "kl"], "error: No observer is named 'kl'."),
        (["--metric", "top3"], "error: No metric is named 'top3'. Did you mean 'top5'?"),
        (
            ["--metric", "nowhere:score"],
            "error: --metric nowhere:score: no module is named 'nowhere', neither",
        ),
        (["--samples", "0"], "error: --samples: must be 1 or more, saw 0. Raise it."),
        (["--max-bad", "7"], "error: --max-bad: a share is written 1% or 0.01, saw '7'. Write 7%."),
        (
            ["--channels", "RGBA"],
            "error: --channels: must be RGB, BGR or GRAY, saw 'RGBA'. Did you",
        ),
        (["--effort", "fsat"], "error: --effort: must be fast, balanced or best, saw 'fsat'. Did"),
        (["--size", "big"], "error: "),
        (["--recipe", "none.toml"], "error: none.toml: "),
    ],
)
def test_mistakes_cost_one_sentence_and_exit_2(
    words: list[str],
    said: str,
    files: DemoFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a traceback, and with nothing written."""
    monkeypatch.chdir(tmp_path)
    base = ["calibrate", "--model", files.model, "--data", files.images, "--out", "out", "--quiet"]
    code = call(monkeypatch, *base, "--preprocess", files.preprocess, *words)
    err = capsys.readouterr().err

    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(said)
    assert not (tmp_path / "out").exists()


def test_an_unknown_option_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the near name, as click says it."""
    assert call(monkeypatch, "calibrate", "--modle", "x") == 2
    assert "--model" in capsys.readouterr().err


def test_our_own_bug_exits_3_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that it can be reported."""

    def broken(kind: str) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr("quant.cli.parts.parts", broken)

    assert call(monkeypatch, "list", "targets") == 3
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith(
        "error: this is a bug of quant, not of your input: RuntimeError('planted')\n"
    )


def test_json_is_one_object_on_stdout(
    files: DemoFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For machines; it is run.json."""
    code = call(
        monkeypatch,
        *["calibrate", "--model", files.model, "--data", files.images, "--json"],
        *["--preprocess", files.preprocess, "--samples", 16, "--holdout", 16, "--out", tmp_path],
    )
    shown = capsys.readouterr().out

    assert code == 0
    assert json.loads(shown) == json.loads((tmp_path / "run.json").read_text())


def test_a_profile_of_other_preprocessing_is_refused(
    files: DemoFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ranges of differently scaled images do not add."""
    base = ["profile", "--model", files.model, "--data", files.images, "--samples", 16, "--quiet"]
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert call(monkeypatch, *base, "--preprocess", files.preprocess, "--out", a) == 0
    assert call(monkeypatch, *base, "--size", "32x32", "--resize", "stretch", "--out", b) == 0
    capsys.readouterr()

    assert call(monkeypatch, "merge", a, b, "--out", tmp_path / "all.safetensors") == 2
    assert f"error: {b}: it was made with another preprocessing" in capsys.readouterr().err
    assert not (tmp_path / "all.safetensors").exists()


def test_halves_merge_to_the_bits_of_the_whole(
    files: DemoFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On files, through the command line, over disjoint lists of images."""
    images = sorted(files.images.glob("*.png"))[:90]
    for name, part in (("a", images[:37]), ("b", images[37:]), ("whole", images[::-1])):
        (tmp_path / f"{name}.txt").write_text("".join(f"{p}\n" for p in part))
        words = ["profile", "--model", files.model, "--data", tmp_path / f"{name}.txt", "--quiet"]
        out = tmp_path / f"{name}.safetensors"
        assert call(monkeypatch, *words, "--preprocess", files.preprocess, "--out", out) == 0
    a, b, merged = (tmp_path / f"{n}.safetensors" for n in ("a", "b", "merged"))
    assert call(monkeypatch, "merge", b, a, "--out", merged) == 0

    assert merged.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_a_users_metric_is_judged(
    files: DemoFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`module:function` gets the outputs and the labels and gives a number for each sample."""
    (tmp_path / "mine.py").write_text(
        "def right(outputs, labels):\n    return outputs['logits'].argmax(axis=1) == labels\n"
    )
    monkeypatch.chdir(tmp_path)
    code = call(
        monkeypatch,
        *["calibrate", "--model", files.model, "--data", files.images, "--labels", files.labels],
        *["--preprocess", files.preprocess, "--samples", 16, "--holdout", 50, "--quiet"],
        *["--metric", "mine:right", "--metric", "top1", "--out", "out"],
    )
    scores = json.loads(Path("out/run.json").read_text())["targets"]["onnxruntime"]["simulated"]

    assert code == 0
    assert scores["scores"]["mine:right"] == scores["scores"]["top1"]
    assert np.isfinite(scores["scores"]["top1"])
