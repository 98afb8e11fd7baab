"""What a run ends with on a terminal: the verdict at a glance, in each metric's own unit."""

from pathlib import Path
from typing import Any

import pytest

from quant.results.saved_run import load_run
from quant.visualize.terminal.run import (
    details_text,
    input_text,
    run_text,
    score_text,
    worst_layers_text,
)
from tests import models
from tests.runs import make_run

TIMING = {
    "seconds": {"load": 0.1, "report": 2.0},
    "milliseconds_per_sample": {
        "onnxruntime": {"float_ms": 2.0, "integer_ms": 1.0, "speedup": 2.0}
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    return make_run(place, models.conv_relu_net(), ("onnxruntime", "tensorrt"))


@pytest.mark.parametrize(
    ("name", "value", "before", "text"),
    [
        ("top1", 0.995, 0.995, "99.50 %, float 99.50 % (+0.00 points)"),
        ("top1", 0.8333, 0.8403, "83.33 %, float 84.03 % (-0.70 points)"),
        ("cosine", 0.999934, 1.0, "0.99993 (cosine with float; 1 is float itself)"),
        ("cosine", 0.9999978, 1.0, "1 - 2.2e-06 (cosine with float; 1 is float itself)"),
        ("cosine", 1.0, 1.0, "1.00000 (cosine with float; 1 is float itself)"),
        ("detections", 0.904, 1.0, "0.90400 (F1 against float; 1 is float itself)"),
        ("score_gap", 0.0123, 0.0, "0.01230 (score; 0 is float itself)"),
        ("mine:score", 12.5, 12.7, "12.5, float 12.7 (-0.2000)"),
        ("top1", None, 0.5, "could not be measured"),
    ],
)
def test_a_score_is_told_in_its_own_unit(
    name: str, value: float | None, before: float, text: str
) -> None:
    """Points are for shares; what compares with float has no float score, and no "-0.00"."""
    assert score_text(name, value, before) == text


def test_arrays_that_nobody_touches_are_not_called_images() -> None:
    """A mean of 0 and a std of 1 are not what happened to them: nothing did."""
    how: dict[str, Any] = {"size": None, "mean": [0.0] * 3, "std": [1.0] * 3, "channels": "RGB"}
    facts = {"preprocess": how, "data": {"source": "mydata:strips"}}

    assert input_text(facts) == "the arrays of mydata:strips, as they are"
    facts["data"]["source"] = "x.npz"
    assert input_text(facts) == "the arrays of x.npz, as they are"
    facts["data"]["source"] = "photos"
    assert input_text(facts) == "each image's own size, RGB, mean 0,0,0, std 1,1,1"
    how |= {"size": [224, 224], "resize": "shorter", "short_side": 256, "crop": "center"}
    how |= {"mean": [127.0] * 3}
    assert input_text(facts) == (
        "224x224 by shorter (256 pixels, crop center), RGB, mean 127,127,127, std 1,1,1"
    )


def test_the_verdict_is_a_few_lines_for_each_target_and_names_the_next_files(folder: Path) -> None:
    """Whoever watched the run for a minute reads the end of it."""
    run = load_run(folder)
    lines = run_text(run, TIMING, lambda text, level: f"<{level}>{text}").splitlines()
    (head,) = [x for x in lines if x.startswith("onnxruntime: ")]
    body = lines[lines.index(head) + 1 : lines.index("", lines.index(head))]

    assert head in (
        "onnxruntime: <good>GOOD",
        "onnxruntime: <fair>LOOK CLOSER",
        "onnxruntime: <bad>BROKEN",
    )
    assert "  speed      2 ms -> 1 ms a sample on this CPU: 2.00 times as fast" in body
    assert [
        x for x in body if x.startswith("  weights    ") and "; layers with weights: all 3" in x
    ]
    assert lines[-1] == f"report: {folder / 'report.html'}"
    for text in ("\n".join(lines), details_text(run, TIMING)):
        assert [x for x in text.splitlines() if len(x) > 80 and str(folder) not in x] == []


def test_layers_are_listed_where_something_is_wrong_or_on_request(folder: Path) -> None:
    """A good run needs no table; a broken one is not left without."""
    run = load_run(folder)
    good, bad = ({"sqnr_db": db, "outputs": []} for db in (40.0, 5.0))
    for target, measured in zip(run.targets, (good, bad), strict=True):
        target.facts["simulated"] = measured  # type: ignore[index]

    assert worst_layers_text(run, every=False).startswith("tensorrt: ")
    assert "onnxruntime: " not in worst_layers_text(run, every=False)
    assert "onnxruntime: " in worst_layers_text(run, every=True)
