"""The ladder: nothing worse is kept, and what is written can be exported again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.common.errors import InputError
from quant.common.progress import Progress
from quant.demo import unpack
from quant.improve.held_out import HeldOutSqnr
from quant.improve.ladder import split_held_out
from quant.job.settings import Job
from quant.load.open_graph import open_graph
from quant.plan.file import load_plan
from quant.plan.fitted_graph import graph_for
from quant.preprocess.image_to_tensor import Preprocess
from quant.run.calibrate import Run, calibrate
from quant.run.export import export_plan
from tests.chosen import batch_of


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    files = unpack(tmp_path_factory.mktemp("demo"))
    out = tmp_path_factory.mktemp("run")
    recipe = out / "four.toml"
    recipe.write_text('precision = "w4a8"\n')
    return Job(
        model=str(files.model),
        data=str(files.images),
        labels=str(files.labels),
        preprocess=Preprocess.from_toml(files.preprocess),
        out=out / "out",
        samples=40,
        holdout=100,
        layer_samples=0,
        observer="minmax",
        recipe=recipe,
        threads=1,
    )


@pytest.fixture(scope="module")
def run(job: Job) -> Run:
    return calibrate(job, Progress(quiet=True))


def test_it_is_better_than_fast_and_says_what_each_step_bought(run: Run, job: Job) -> None:
    fast = calibrate(replace(job, effort="fast", out=job.out.parent / "fast"), Progress(quiet=True))
    found, plain = (r.facts["targets"]["onnxruntime"] for r in (run, fast))
    rungs = found["effort"]

    assert plain["effort"] == []
    assert rungs[0]["step"] == "fast"
    assert {r["step"]: r["kept"] for r in rungs}["fitted integers"]
    kept = [r["aside_db"] for r in rungs if r["kept"]]
    assert kept == sorted(kept)
    assert found["simulated"]["sqnr_db"] > plain["simulated"]["sqnr_db"] + 1
    assert not (job.out.parent / "fast" / "onnxruntime" / "graph.onnx").exists()


def test_the_same_integers_are_exported_from_the_model_and_the_plan(run: Run, job: Job) -> None:
    """The fitted weights lie beside the plan; the user's model alone would give other integers."""
    folder = job.out / "onnxruntime"
    again = job.out.parent / "again"
    bare = replace(job, data="", holdout=0, samples=1, out=again)
    profile = folder / "profile.safetensors"
    export_plan(folder / "plan.json", profile, bare)

    for name in ("model.onnx", "simulated.onnx", "plan.json", "graph.onnx"):
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name
    json.loads((again / "plan.json").read_text())


def test_a_graph_of_another_model_is_refused(run: Run, job: Job, tmp_path: Path) -> None:
    path = job.out / "onnxruntime" / "plan.json"
    plan = load_plan(path)
    graph = open_graph(job.model)[1]
    other = replace(graph, model=graph.clone())
    other.model.graph.inputs[0].name = "another"

    assert graph_for(plan, path, graph).fingerprint == plan.graph
    with pytest.raises(InputError) as error:
        graph_for(plan, path, other)
    assert str(error.value) == (
        f"{path.parent / 'graph.onnx'}: it was made of another model (fingerprint "
        f"{graph.fingerprint[:12]}, wanted {other.fingerprint[:12]}). Give the --model of that run."
    )
    lonely = tmp_path / "plan.json"
    assert graph_for(plan, lonely, graph) is graph


def test_the_samples_that_decide_are_the_last_quarter() -> None:
    batches = [batch_of({"x": np.zeros((4, 1), np.float32)}, 4) for _ in range(8)]
    learnt, aside = split_held_out(batches)

    assert (len(learnt), len(aside)) == (6, 2)
    assert split_held_out(batches[:1]) == ([], [])


def test_best_effort_is_not_under_balanced_on_what_decides(run: Run, job: Job) -> None:
    best = calibrate(replace(job, effort="best", out=job.out.parent / "best"), Progress(quiet=True))
    rungs = [r.facts["targets"]["onnxruntime"]["effort"] for r in (run, best)]
    judged = [[r for r in found if r["kept"] and r["judged"]] for found in rungs]
    tops = [max(r["aside_db"] for r in found) for found in judged]

    assert tops[1] >= tops[0]
    assert not any(r["judged"] for r in rungs[1][-1:]), "the last step learns from all samples"
    assert rungs[1][-1]["step"] == "the same on all samples"
    assert {r["step"] for r in rungs[1]} >= {"biases in sequence", "fitted integers", "ranges"}


def test_an_effort_that_does_not_exist_is_refused(job: Job) -> None:
    with pytest.raises(InputError) as error:
        replace(job, effort="great")
    assert str(error.value) == (
        "--effort: must be one of fast, balanced, best, saw 'great'. Choose one."
    )


class Fixed:
    """A session that gives one array whatever it is asked."""

    def __init__(self, made: np.ndarray) -> None:
        self.made = made

    def get_outputs(self) -> list[object]:
        """Return one output."""
        return [type("Output", (), {"name": "y"})]

    def run(self, names: list[str], feeds: object) -> list[np.ndarray]:
        """Return the array."""
        return [self.made]


def test_the_judge_by_hand() -> None:
    """Two samples at 20 and 40 dB: 30, where all together would have 22.97."""
    x = np.array([[1.0, 0.0], [1.0, 0.0]])
    off = np.array([[1.0, 0.1], [1.0, 0.01]])
    judge = HeldOutSqnr(Fixed(x), [batch_of({"x": np.zeros((2, 1), np.float32)}, 2)])

    assert judge.db(Fixed(off)) == pytest.approx(30)
    assert judge.db(Fixed(x)) == 100
    assert np.isnan(judge.db(Fixed(off[:1])))
