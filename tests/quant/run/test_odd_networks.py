"""Networks that are not a chain of images in and classes out go the whole way."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from quant.calibration.profiling.run_profile import Checkpoint
from quant.common.errors import InputError, UnsupportedError
from quant.common.progress import Progress
from quant.job.settings import Job
from quant.preprocess.image_to_tensor import Preprocess
from quant.run.calibrate import Run, calibrate
from tests.models import model, normal, weights

Arrays = Mapping[str, NDArray[np.generic]]


def job_of(folder: Path, proto: onnx.ModelProto, arrays: Arrays) -> Job:
    onnx.save(proto, folder / "net.onnx")
    np.savez(folder / "data.npz", **arrays)  # type: ignore[arg-type]
    return Job(
        model=str(folder / "net.onnx"),
        data=str(folder / "data.npz"),
        out=folder / "out",
        preprocess=Preprocess(),
        targets=("onnxruntime", "tensorrt"),
        samples=16,
        holdout=8,
        threads=1,
    )


def run(folder: Path, proto: onnx.ModelProto, arrays: Arrays) -> Run:
    return calibrate(job_of(folder, proto, arrays), Progress(quiet=True))


def images(count: int = 24, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    return {"x": normal(np.random.default_rng(seed), count, 3, 8, 8)}


def test_a_split_between_integer_layers_is_measured(tmp_path: Path) -> None:
    """YOLO's C2f and ShuffleNet are full of them."""
    proto = model(
        """<opset_import: ["" : 18]> g (float[N,3,8,8] x) => (float[N,4,8,8] y) {
            [conv] a = Conv(x, w1)
            [relu] r = Relu(a)
            [split] s1, s2 = Split<axis=1, num_outputs=2>(r)
            [left] b = Conv(s1, w2)
            [right] c = Conv(s2, w2)
            [join] d = Concat<axis=1>(b, c)
            [last] y = Conv(d, w3)
        }""",
        weights(0, w1=(8, 3, 1, 1), w2=(4, 4, 1, 1), w3=(4, 8, 1, 1)),
    )
    found = run(tmp_path, proto, images())
    rows = {r.layer: r for r in found.results["onnxruntime"].layers.rows}

    assert rows["split"].precision == "int8"
    assert all(np.isfinite(r.isolated_sqnr_db) for r in rows.values() if r.precision == "int8")


def test_a_fixed_batch_that_mixes_samples_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """A profile could not tell whose numbers are whose."""
    proto = model(
        """g (float[4,3,8,8] x) => (float[256,5] y) {
            [conv] a = Conv(x, w1)
            [move] t = Transpose<perm=[0,2,3,1]>(a)
            [flat] f = Reshape(t, shape)
            [fc] h = Gemm(f, w2)
            [relu] r = Relu(h)
            [last] y = Gemm(r, w3)
        }""",
        {**weights(0, w1=(8, 3, 1, 1), w2=(8, 6), w3=(6, 5)), "shape": np.array([256, 8])},
    )
    with pytest.raises(UnsupportedError) as caught:
        run(tmp_path, proto, images())

    assert "with the fixed batch of 4, tensor" in str(caught.value)
    assert str(caught.value).endswith("Export the model with a batch of 1 or a dynamic one.")


def test_as_many_outputs_as_were_found_is_no_crash(tmp_path: Path) -> None:
    """A detector with its selection inside gives another number of boxes after quantization."""
    proto = model(
        """g (float[1,3,8,8] x) => (int64[2,K] boxes, float[1,4,8,8] y) {
            [conv] a = Conv(x, w1)
            [relu] r = Relu(a)
            [last] y = Conv(r, w2)
            [flat] f = Reshape(y, shape)
            [above] m = Greater(f, zero)
            [found] boxes = NonZero(m)
        }""",
        {
            **weights(0, w1=(8, 3, 1, 1), w2=(4, 8, 1, 1)),
            "shape": np.array([1, -1]),
            "zero": np.array([0.0], np.float32),
        },
    )
    found = run(tmp_path, proto, images())
    outputs = found.facts["targets"]["onnxruntime"]["simulated"]["outputs"]

    assert [o["output"] for o in outputs] == ["y"]
    assert outputs[0]["sqnr_db"] > 20


def test_rows_that_are_not_samples_have_no_agreement(tmp_path: Path) -> None:
    """One row for each box is not one row for each image."""
    proto = model(
        """g (float[1,3,8,8] x) => (float[64,4] y) {
            [conv] a = Conv(x, w1)
            [move] t = Transpose<perm=[0,2,3,1]>(a)
            [flat] y = Reshape(t, shape)
        }""",
        {**weights(0, w1=(4, 3, 1, 1)), "shape": np.array([-1, 4])},
    )
    found = run(tmp_path, proto, images())

    assert found.facts["targets"]["onnxruntime"]["simulated"]["agreement"] is None


SMALL = """g (float[N,3,8,8] x) => (float[N,4] y) {
    [conv] a = Conv(x, w1)
    [relu] r = Relu(a)
    [pool] p = GlobalAveragePool(r)
    [flat] f = Flatten(p)
    [fc] y = Gemm(f, w2)
}"""


def small() -> onnx.ModelProto:
    return model(SMALL, weights(0, w1=(8, 3, 1, 1), w2=(8, 4)))


def test_one_broken_sample_does_not_blind_the_measurements(tmp_path: Path) -> None:
    """It is named in a warning, and the other samples still count."""
    data = images()
    data["x"][:, 0, 0, 0] = np.where(np.arange(24) % 5 == 0, np.nan, 0)
    progress = Progress(quiet=True)
    found = calibrate(job_of(tmp_path, small(), data), progress)
    target = found.facts["targets"]["onnxruntime"]

    assert all(np.isfinite(v) for v in target["observers_db"].values())
    assert np.isfinite(target["simulated"]["sqnr_db"])
    assert "are NaN or infinite, first in sample" in progress.warnings[0]


def test_an_unfinished_profile_of_other_images_is_not_taken_up(tmp_path: Path) -> None:
    """Their files may have the same names."""
    job = job_of(tmp_path, small(), images())
    clean = calibrate(job, Progress(quiet=True)).profile
    other = tmp_path / "other"
    other.mkdir()
    twin = replace(job_of(other, small(), images(seed=1)), model=job.model)
    keys = [found_key(job, i) for i in range(8)]
    Checkpoint(twin.out / "profile.unfinished.safetensors").save(clean, keys)
    fresh = calibrate(twin, Progress(quiet=True)).profile

    assert fresh.provenance.samples == 16
    assert fresh.provenance.data != clean.provenance.data


def found_key(job: Job, index: int) -> str:
    return f"{Path(job.data).name}[{index}]"


def test_a_finished_profile_of_the_same_samples_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run with another recipe need not look again."""
    job = job_of(tmp_path, small(), images())
    first = calibrate(job, Progress(quiet=True))
    progress = Progress()
    said: list[str] = []
    monkeypatch.setattr(progress, "line", said.append)
    second = calibrate(replace(job, observer="minmax"), progress)

    assert said == [f"profile: {job.out / 'profile.safetensors'} is of these samples already, 16"]
    assert second.profile.provenance == first.profile.provenance


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1.0", "it must give one number for each of the 1 samples, saw the shape ()."),
        ("raise KeyError('logits')", "KeyError: 'logits'. Check --labels, or choose another"),
        ("return outputs['y'][:3, 0]", "for each of the 8 samples, saw the shape (3,)."),
    ],
)
def test_a_users_metric_that_fails_is_named(
    body: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the user's code, and the user can mend it."""
    name = f"metric_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(f"def score(outputs, labels):\n    {body}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    data = {**images(), "labels": np.zeros(24, np.int64)}
    with pytest.raises(InputError) as caught:
        calibrate(
            replace(job_of(tmp_path, small(), data), metrics=(f"{name}:score",)),
            Progress(quiet=True),
        )

    assert str(caught.value).startswith(f"metric '{name}:score': it ")
    assert said in str(caught.value)


def test_a_label_beyond_the_classes_is_said_with_the_range(tmp_path: Path) -> None:
    """Labels that count from 1 are a common mistake."""
    data = {**images(), "labels": np.full(24, 4)}
    with pytest.raises(InputError) as caught:
        run(tmp_path, small(), data)

    assert not (tmp_path / "out" / "profile.safetensors").exists(), "said before the long work"
    assert "labels must be from 0 to 3, saw 4 to 4. Check --labels" in str(caught.value)


def test_macs_are_counted_where_the_model_leaves_its_size_open(tmp_path: Path) -> None:
    """The samples' own size is known, by hand: 3 * 8 * 1 * 1 * 64 and 8 * 4 * 64."""
    proto = model(
        """g (float[N,3,H,W] x) => (float[N,4,H,W] y) {
            [conv] a = Conv(x, w1)
            [relu] r = Relu(a)
            [last] y = Conv(r, w2)
        }""",
        weights(0, w1=(8, 3, 1, 1), w2=(4, 8, 1, 1)),
    )
    found = run(tmp_path, proto, images())

    assert [r.macs for r in found.results["onnxruntime"].layers.rows] == [1536, 2048]
