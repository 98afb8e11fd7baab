"""`quant calibrate` says whether half of its samples give the ranges of all."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from quant.calibration import batches, open_data
from quant.calibration.profiling.run_profile import ProfilingOptions, profile, profile_with
from quant.calibration.selection.split import shuffled
from quant.calibration.sources.data import input_specs
from quant.common.progress import Progress
from quant.job.settings import Job
from quant.load.open_graph import open_graph
from quant.preprocess.image_to_tensor import Preprocess
from quant.results.saved_run import load_run
from quant.run.calibrate import Run, calibrate
from quant.visualize.terminal.run import details_text
from tests.models import conv_relu_net, image


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model, ten times the same 8 samples, and 80 of which two are large."""
    folder = tmp_path_factory.mktemp("enough")
    onnx.save(conv_relu_net(), folder / "net.onnx")
    np.save(folder / "calm.npy", np.tile(image(0, 8), (10, 1, 1, 1)))
    x = image(0, 80)
    x[[3, 44]] *= 10
    np.save(folder / "wild.npy", x)
    return folder


def run(place: Path, data: str, out: str, samples: int = 80) -> tuple[Run, Progress]:
    progress = Progress(quiet=True)
    job = Job(
        model=str(place / "net.onnx"),
        data=str(place / data),
        preprocess=Preprocess(),
        out=place / out,
        samples=samples,
        holdout=0,
        layer_samples=0,
        observer="minmax",
        effort="fast",
    )
    return calibrate(job, progress), progress


def test_half_of_alike_samples_is_enough_and_a_second_run_says_the_same(place: Path) -> None:
    """The second one finds the profile finished, and makes that of the half anew."""
    _, progress = run(place, "calm.npy", "calm")
    first = (place / "calm" / "run.json").read_bytes()
    facts = json.loads(first)["sufficiency"]
    run(place, "calm.npy", "calm")

    assert (place / "calm" / "run.json").read_bytes() == first
    assert [step["samples"] for step in facts["steps"]] == [48], "half of 80 in batches of 16"
    assert (facts["samples"], facts["settled"], facts["observer"]) == (80, 48, "minmax")
    timing = json.loads((place / "calm" / "timing.json").read_text())
    details = " ".join(details_text(load_run(place / "calm"), timing).split())
    assert (
        "samples enough: 48 of the 80 give almost the same ranges, no tensor has over " in details
    )
    assert not [w for w in progress.warnings if "settled" in w]


def test_ranges_that_still_move_are_a_warning(place: Path) -> None:
    """The two large samples are in the other half: ten times the range, and not seen."""
    assert not {3, 44} & set(shuffled(range(80), 0)[:48])
    found, progress = run(place, "wild.npy", "wild")
    (step,) = found.facts["sufficiency"]["steps"]
    said = [w for w in progress.warnings if w.startswith("--samples: ")]

    assert found.facts["sufficiency"]["settled"] is None
    assert step["noise_db"] > 10
    assert step["largest"] > 0.8
    assert len(said) == 1
    assert said[0] == (
        "--samples: the ranges are not settled: with the first 48 of them, by lot, tensor "
        f"'{step['noisiest']}' has {step['noise_db']:.1f} dB more noise than with all 80; give more."
    )


def test_few_samples_are_not_judged(place: Path) -> None:
    """Half of 12 says nothing."""
    found, progress = run(place, "calm.npy", "few", 12)

    assert found.facts["sufficiency"] is None
    assert not [w for w in progress.warnings if "settled" in w]


def test_a_snapshot_is_the_profile_of_the_first_samples_bit_for_bit(place: Path) -> None:
    """At the end of the batch in which the number is reached, and not before."""
    graph = open_graph(str(place / "net.onnx"))[1]
    data = open_data(str(place / "calm.npy"), input_specs(graph), Preprocess())
    order = shuffled(range(80), 3)

    def stream(rows: list[int]):  # type: ignore[no-untyped-def]
        return batches(data, rows, 16, bad=[], max_bad=0.0)

    first = profile_with(ProfilingOptions(snapshot=20), graph, stream(order)).first
    late = profile_with(ProfilingOptions(snapshot=81), graph, stream(order)).first
    want = profile(graph, stream(order[:32]))

    assert first is not None
    assert first.provenance == want.provenance
    for name, seen in want.tensors.items():
        other = first.tensors[name]
        assert (seen.low, seen.high, seen.count) == (other.low, other.high, other.count)
        np.testing.assert_array_equal(seen.bins, other.bins)
        np.testing.assert_array_equal(seen.means, other.means)
    assert late is None


def test_the_lot_is_the_words_of_pcg64() -> None:
    """Of another stream than the choice itself; every index once."""
    rows = [5, 9, 2, 30, 11]
    words = np.random.PCG64([7, 1]).random_raw(5)

    assert shuffled(rows, 7) == [rows[i] for i in sorted(range(5), key=lambda i: words[i])]
