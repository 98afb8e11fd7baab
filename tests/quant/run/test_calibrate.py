"""The main job on the demo's network: what it leaves, that it repeats, and that it resumes."""

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from quant.analysis.layer_error import COLUMNS
from quant.calibration.profiling import run_profile as profiling
from quant.common.errors import InputError
from quant.common.progress import Progress, T
from quant.compare.sample_table import read_samples
from quant.demo import DemoFiles, unpack
from quant.improve.ladder import LadderInputs
from quant.job.settings import Job
from quant.preprocess.image_to_tensor import Preprocess
from quant.run.calibrate import Run, calibrate


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return unpack(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def job(files: DemoFiles, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return Job(
        model=str(files.model),
        data=str(files.images),
        labels=str(files.labels),
        preprocess=Preprocess.from_toml(files.preprocess),
        out=tmp_path_factory.mktemp("run"),
        samples=60,
        holdout=200,
        targets=("onnxruntime", "tensorrt"),
        threads=1,
    )


@pytest.fixture(scope="module")
def run(job: Job) -> Run:
    return calibrate(job, Progress(quiet=True))


def contents(folder: Path) -> dict[str, bytes]:
    found = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    found.pop("timing.json")
    return found


def test_int8_keeps_the_accuracy(run: Run) -> None:
    """The demo's promise: 8 bits cost a well-behaved network nothing."""
    for target in run.facts["targets"].values():
        assert target["simulated"]["agreement"] >= 0.99
        assert target["simulated"]["sqnr_db"] > 28
        assert target["simulated"]["scores"]["top1"] >= 0.98
    assert run.facts["targets"]["onnxruntime"]["integer_kernels"]["share"] == 1.0


class Seen(Exception):
    """Ends a run when the samples that steps learn from are known."""


def test_what_steps_learn_from_is_in_no_folders_order(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder goes class by class: the quarter held aside would be its last classes alone."""

    def recover(effort: str, graph: object, plan: object, inputs: LadderInputs) -> None:
        raise Seen([key for batch in inputs.reference.batches for key in batch.keys])

    monkeypatch.setattr("quant.run.plan_target.recover_accuracy", recover)
    with pytest.raises(Seen) as caught:
        calibrate(replace(job, out=tmp_path), Progress(quiet=True))
    (keys,) = caught.value.args

    assert len(keys) == job.samples
    assert keys != sorted(keys)


def test_reported_errors_are_those_of_the_files(run: Run, job: Job) -> None:
    """Measured again with nothing but ONNX Runtime and numpy, on the same held-out samples."""
    material = run.material
    feeds = [material.data.read(i) for i in material.measured]
    (name,) = feeds[0]
    x = np.stack([f[name] for f in feeds])
    outputs = {}
    for file in ("prepared.onnx", "onnxruntime/model.onnx"):
        session = ort.InferenceSession(job.out / file, providers=["CPUExecutionProvider"])
        outputs[file] = session.run(None, {name: x})[0].astype(np.float64)
    a, b = outputs.values()
    found = run.facts["targets"]["onnxruntime"]["integer"]

    assert found["sqnr_db"] == pytest.approx(
        10 * np.log10((a**2).sum() / ((a - b) ** 2).sum()), abs=0.01
    )
    assert found["agreement"] == (a.argmax(1) == b.argmax(1)).mean()
    labels = np.array([material.data.label(i) for i in material.measured])
    assert found["float_scores"]["top1"] == pytest.approx((a.argmax(1) == labels).mean())


def test_answers_to_each_sample_are_those_of_the_files(run: Run, job: Job) -> None:
    """The table that a gate decides on, against stock ONNX Runtime and numpy.

    Its sums make up the numbers of run.json.
    """
    material = run.material
    feeds = [material.data.read(i) for i in material.measured]
    (name,) = feeds[0]
    x = np.stack([f[name] for f in feeds])
    outputs = []
    for file in ("prepared.onnx", "onnxruntime/model.onnx"):
        session = ort.InferenceSession(job.out / file, providers=["CPUExecutionProvider"])
        outputs.append(session.run(None, {name: x})[0].astype(np.float64))
    a, b = outputs
    labels = np.array([material.data.label(i) for i in material.measured])
    table = read_samples(job.out / "onnxruntime" / "samples_integer.csv")
    told = run.facts["targets"]["onnxruntime"]

    assert table.keys == tuple(material.data.key(i) for i in material.measured)
    assert len(set(table.digests)) == len(table) == 200
    np.testing.assert_array_equal(table.labels, labels)
    np.testing.assert_array_equal(table.float_class, a.argmax(1))
    np.testing.assert_array_equal(table.quantized_class, b.argmax(1))
    np.testing.assert_array_equal(table.float_scores["top1"], a.argmax(1) == labels)
    np.testing.assert_allclose(table.signal["logits"], (a**2).sum(1), rtol=1e-5)
    np.testing.assert_allclose(table.noise["logits"], ((a - b) ** 2).sum(1), rtol=1e-3)
    simulated = read_samples(job.out / "onnxruntime" / "samples.csv")
    for found, kind in ((table, "integer"), (simulated, "simulated")):
        sums = found.signal["logits"].sum(), found.noise["logits"].sum()
        assert 10 * np.log10(sums[0] / sums[1]) == pytest.approx(told[kind]["sqnr_db"], abs=1e-9)
        assert (found.float_class == found.quantized_class).mean() == told[kind]["agreement"]
    plan = (job.out / "onnxruntime" / "plan.json").read_bytes()
    assert told["plan_sha256"] == hashlib.sha256(plan).hexdigest()


def test_layer_table_has_a_row_for_each_layer(run: Run, job: Job) -> None:
    """And its columns are the documented ones."""
    with (job.out / "tensorrt" / "layers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert tuple(rows[0]) == COLUMNS
    assert (
        len({row["layer"] for row in rows}) == len(rows) == len(run.results["tensorrt"].layers.rows)
    )
    assert all(float(row["isolated_sqnr_db"]) > 20 for row in rows if row["precision"] == "int8")
    assert all(row["because"] for row in rows)


def test_the_same_run_gives_the_same_bytes(run: Run, job: Job, tmp_path: Path) -> None:
    """Without that no file of a run can be compared with another's."""
    calibrate(replace(job, out=tmp_path), Progress(quiet=True))

    first, second = contents(job.out), contents(tmp_path)
    assert set(first) == set(second)
    assert [name for name in first if first[name] != second[name]] == []


class Stop(Exception):
    """Stands for a kill."""


class Killed(Progress):
    """A voice under which the profiling stops after two batches."""

    def bar(self, items: Iterable[T], total: int, what: str) -> Iterable[T]:
        """Yield two items and stop."""
        return self._two(items) if what == "profile" else items

    def _two(self, items: Iterable[T]) -> Iterator[T]:
        for number, item in enumerate(items):
            if number == 2:
                raise Stop
            yield item


def test_a_killed_run_resumes_and_ends_in_the_same_bytes(
    run: Run, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long work must not be lost."""
    monkeypatch.setattr(profiling.Checkpoint, "due", lambda self: True)
    with pytest.raises(Stop):
        calibrate(replace(job, out=tmp_path), Killed(quiet=True))
    made = sorted(p.name for p in tmp_path.iterdir())
    assert made == ["prepared.onnx", "profile.unfinished.safetensors"]
    progress = Progress()
    said: list[str] = []
    monkeypatch.setattr(progress, "line", said.append)
    calibrate(replace(job, out=tmp_path), progress)

    assert said == ["profile: resumed, 32 of 60 samples were done"]
    assert contents(tmp_path) == contents(job.out)


def test_nothing_is_written_for_a_model_that_is_refused(job: Job, tmp_path: Path) -> None:
    """Bad input leaves nothing half-done."""
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    out = tmp_path / "out"
    with pytest.raises(InputError):
        calibrate(replace(job, model=str(bad), out=out), Progress(quiet=True))

    assert not out.exists()


def test_samples_that_are_too_few_to_hold_out_are_said(job: Job, tmp_path: Path) -> None:
    """Numbers of the calibration samples themselves are flattering."""
    progress = Progress(quiet=True)
    run = calibrate(replace(job, out=tmp_path, samples=500, targets=("tensorrt",)), progress)

    assert run.facts["data"]["held_out"] is False
    assert progress.warnings == [
        (
            "--data: no sample is left to measure on beside the 500 that calibrate, so the numbers are "
            "of the same samples. Give more data or a smaller --samples."
        )
    ]


def test_raw_pixels_are_warned_about(job: Job, tmp_path: Path) -> None:
    """Forgotten --mean and --std are the commonest mistake."""
    progress = Progress(quiet=True)
    raw = Preprocess(size=(32, 32), resize="stretch")
    calibrate(replace(job, out=tmp_path, preprocess=raw, targets=("onnxruntime",)), progress)

    assert progress.warnings[1].startswith("the float network's own top1 is 13.5 %. Check --mean")
    assert progress.warnings[:1] == [
        (
            "input 'image': its values span [0, 255], as raw pixels do. If the network was trained on "
            "scaled ones, give --mean and --std in units of 0 to 255."
        )
    ]
