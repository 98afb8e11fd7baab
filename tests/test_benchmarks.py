"""The benchmarks run; what they measure is for people to read, and no time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests import models
from tests.tree import ROOT


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a benchmark as a person does."""
    command = [sys.executable, str(ROOT / "benchmarks" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny model and six samples."""
    folder = tmp_path_factory.mktemp("net")
    onnx.save(models.conv_relu_net(), folder / "net.onnx")
    np.save(folder / "x.npy", models.image(batch=6))
    return folder


@pytest.mark.parametrize(
    "name",
    [
        *("analysis.py", "gate_errors.py", "profile.py", "observers.py", "quality.py"),
        *("latency.py", "roofline.py", "search.py", "selection.py", "targets.py", "vit.py"),
        "startup.py",
    ],
)
def test_help_explains_the_measurement(name: str) -> None:
    """A number nobody knows the meaning of is worse than none."""
    done = run(name, "--help")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: benchmarks/{name}")
    assert "Measure" in done.stdout


def test_startup_prints_a_row_for_each_command() -> None:
    """`python -c pass` stands first: what no command of ours can beat."""
    done = run("startup.py", "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)

    assert [row["command"] for row in rows][:3] == [
        "python -c pass",
        "quant --help",
        "quant list targets",
    ]
    assert rows[0]["ratio"] == 1.0


def test_latency_adds_layer_times_up(net: Path) -> None:
    """A row for float, for int8, and for each mixed plan, with what was predicted and what it took."""
    given = [str(net / "net.onnx"), "--data", str(net / "x.npy"), "--rounds", "2"]
    done = run("latency.py", *given)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in row] for row in rows[1:]]

    assert [r[0] for r in found] == ["float32", "int8", "ends", "10%", "30%", "60%"]
    assert [r[1] for r in found[:3]] == ["3 of 3", "0 of 3", "2 of 3"]
    assert all(float(r[2]) > 0 and float(r[3]) > 0 for r in found)
    assert "mapped: float32 " in done.stdout


def test_profile_measures_time_and_memory(net: Path) -> None:
    """Samples start again when there are fewer than asked for."""
    given = [str(net / "net.onnx"), "--data", str(net / "x.npy"), "--samples", "9", "--rounds", "1"]
    done = run("profile.py", *given, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert found["samples"] == 9
    assert list(found["seconds_per_sample"]) == ["plain, batch 16", "plain, batch 1", "profile"]
    assert found["faster"] in ("plain, batch 16", "plain, batch 1")
    assert found["ratio"] > 0
    assert len(found["peak_bytes"]) == 2


def test_profile_prints_a_verdict_for_people(net: Path) -> None:
    """The ratio stands beside what was aimed at."""
    given = [str(net / "net.onnx"), "--data", str(net / "x.npy"), "--samples", "4", "--rounds", "1"]
    done = run("profile.py", *given, "--no-memory")

    assert done.returncode == 0, done.stderr
    assert "profile / plain, batch" in done.stdout
    assert "1.5" in done.stdout


def test_a_missing_model_is_one_sentence(net: Path) -> None:
    """Also when the process that measures memory meets it first."""
    done = run("profile.py", str(net / "no.onnx"), "--data", str(net / "x.npy"))

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_observers_print_a_table_of_every_observer_and_target(net: Path) -> None:
    """The table goes into the documentation as it is."""
    text = '[[case]]\nmodel = "net.onnx"\ndata = "x.npy"\nsamples = 4\nholdout = 2\n'
    (net / "cases.toml").write_text(text)
    done = run("observers.py", str(net / "cases.toml"))
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]

    assert {tuple(row[1:3]) for row in rows} >= {
        (target, observer)
        for target in ("onnxruntime", "tensorrt")
        for observer in ("entropy", "minmax", "mse", "percentile")
    }


def test_observers_refuse_an_unknown_key(net: Path) -> None:
    """A misspelt flag would measure something else in silence."""
    (net / "bad.toml").write_text('[[case]]\nmodel = "net.onnx"\ndata = "x.npy"\nmeen = "1"\n')
    done = run("observers.py", str(net / "bad.toml"))

    assert done.returncode == 2
    assert "no key 'meen'" in done.stderr


def test_targets_print_a_row_each(net: Path) -> None:
    """Whoever repeats the table of the documents runs just this."""
    (net / "cases.toml").write_text(
        '[[case]]\nmodel = "net.onnx"\ndata = "x.npy"\nsamples = 4\nholdout = 2\n'
    )
    done = run(
        *("targets.py", str(net / "cases.toml"), "--target", "onnxruntime"),
        *("--target", "tensorrt", "--out", str(net / "out")),
    )

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[2].startswith("| net | onnxruntime | 3 int8 | ")
    assert lines[3].startswith("| net | tensorrt | 3 int8 | ")
    assert (net / "out" / "0-net" / "tensorrt" / "plan.json").exists()


def test_wrong_verdicts_are_counted_on_both_sides_of_the_limit() -> None:
    """Few decisions, just to see that the gate is undecided where a bare comparison is wrong."""
    done = run("gate_errors.py", "--decisions", "20", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    on = {
        r["gate"]: r
        for r in rows
        if r["drop"] == 0.01 and (r["samples"], r["discordant"]) == (500, 0.04)
    }

    assert on["bare"]["wrong_pass"] + on["bare"]["wrong_fail"] == 1
    assert on["bare"]["undecided"] == 0
    assert on["gate"]["undecided"] > 0.5
    assert {r["gate"] for r in rows} == {"bare", "gate", "sequential", "bootstrap"}


def test_analysis_is_measured_against_its_floor(net: Path) -> None:
    """Layers x images / 2 float runs; every part is named."""
    given = [str(net / "net.onnx"), "--data", str(net / "x.npy"), "--samples", "4", "--json"]
    done = run("analysis.py", *given)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert found["images"] == 4
    assert set(found["seconds"]) == {"isolated", "cumulative", "local", "statistics", "total"}
    assert found["ratio"] == pytest.approx(found["seconds"]["total"] / found["floor_seconds"])


def test_roofline_holds_the_prediction_against_the_clock(net: Path) -> None:
    """The ratio is measured / predicted; what it is, is for people to judge."""
    done = run("roofline.py", str(net / "net.onnx"), "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert [r["precision"] for r in found["rows"]] == ["float32", "int8"]
    assert all(r["ratio"] == r["measured_ms"] / r["predicted_ms"] > 0 for r in found["rows"])
    assert set(found["device"]["peak"]) == {"float32", "int8"}
