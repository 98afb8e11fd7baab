"""quant search on the demo's network: what it finds, leaves, says, and that it repeats and resumes."""

import csv
import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from quant.cli.main import quant
from quant.common.errors import InputError
from quant.common.progress import Progress
from quant.demo import DemoFiles, unpack
from quant.job.search_goal import Budget, SearchGoal
from quant.job.settings import Job
from quant.plan.file import load_plan
from quant.plan.recipe import load_recipe
from quant.preprocess.image_to_tensor import Preprocess
from quant.run.calibrate import Run, calibrate
from quant.run.export import check_file
from quant.search import target_search as searching
from quant.search.group_errors import GroupErrors, GroupErrorsFile
from quant.target.deployment import Deployment
from quant.target.finding import errors
from quant.target.table import TARGETS

LEAST = 42.0
GOAL = SearchGoal(min_sqnr=LEAST, samples=32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return unpack(tmp_path_factory.mktemp("demo"))


def job(files: DemoFiles, out: Path, **said: object) -> Job:
    told = {
        "model": str(files.model),
        "data": str(files.images),
        "labels": str(files.labels),
        "preprocess": Preprocess.from_toml(files.preprocess),
        "out": out,
        "samples": 48,
        "holdout": 100,
        "targets": ("tensorrt", "onnxruntime"),
        "threads": 1,
        "layer_samples": 0,
        "effort": "fast",
        "goal": GOAL,
    }
    return Job(**(told | said))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(files: DemoFiles, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return calibrate(job(files, tmp_path_factory.mktemp("run")), Progress(quiet=True))


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "pareto.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_the_plan_is_within_the_limit_and_cheaper_than_float(run: Run) -> None:
    for name in ("tensorrt", "onnxruntime"):
        told = run.facts["targets"][name]["search"]
        assert told["kept"]
        assert told["sqnr_db"] >= LEAST
        assert told["cost"] < told["whole_cost"]
        assert len(told["precisions_chosen"]) > 1, "it is more than int8 has"
        assert told["held_out"]["samples"] == 100
        assert told["held_out"]["sqnr_db"] == pytest.approx(LEAST, abs=2.5)


def test_the_front_is_monotone_and_holds_the_uniform_plan(run: Run) -> None:
    for name, axis in (("tensorrt", "latency_ms"), ("onnxruntime", "latency_ms")):
        rows = table(run.out / name / "search")
        front = [r for r in rows if r["source"] == "front"]
        costs = [float(r[axis]) for r in front]
        wrong = [float(r["predicted_error"]) for r in front]

        assert costs == sorted(costs)
        assert wrong == sorted(wrong, reverse=True)
        assert sum(int(r["chosen"]) for r in rows) == 1
        assert any(r["layers"].endswith(" int8") and "," not in r["layers"] for r in rows)


def test_each_plan_is_told_with_what_may_follow(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched = run.results["tensorrt"].planned.search
    assert searched is not None
    found = searching.search_target(replace(searched.inputs, folder=tmp_path), Progress()).best
    lines = [
        x for x in capsys.readouterr().err.splitlines() if x.startswith("search for tensorrt: ")
    ]

    assert len(lines) == len(found.measured)
    assert re.fullmatch(
        r"search for tensorrt: [\d.]+ ms has [\d.]+ dB, top1 [+-][\d.]+ points; [\d.]+ s a plan, "
        r"\d+ plans at most",
        lines[0],
    )


def test_with_eight_groups_the_front_is_the_optimum_of_every_assignment(
    run: Run, tmp_path: Path
) -> None:
    """On measured errors and costs; 3 ** 8 assignments added up here by their definition."""
    searched = run.results["tensorrt"].planned.search
    assert searched is not None
    search_inputs = replace(searched.inputs, goal=replace(GOAL, groups=8), folder=tmp_path)
    space = searching.additive_model(search_inputs, Progress(quiet=True)).space
    made = space.problem
    free = len(made.errors) - made.fixed
    rest = tuple(int(k) for k in made.errors[free:].argmin(axis=1))
    able = [np.flatnonzero(np.isfinite(made.errors[g])).tolist() for g in range(free)]
    errors, costs = [], []
    for chosen in itertools.product(*able, *([k] for k in rest)):
        errors.append(sum(made.errors[g, k] for g, k in enumerate(chosen)))
        cost = sum(made.costs[g, k] for g, k in enumerate(chosen))
        for link in made.links:
            cost += sum(
                link.costs[chosen[link.maker], q] for q in {chosen[r] for r in link.readers}
            )
        costs.append(cost)
    known = np.array(errors), np.array(costs)

    assert free == 8
    assert len(errors) == 3**8
    assert not made.shared, "TensorRT quantizes for each reader"
    for one in space.front:
        assert one.error == pytest.approx(
            known[0][known[1] <= one.cost * (1 + 1e-9)].min(), rel=1e-6
        )


def test_what_was_predicted_is_what_the_written_simulation_measures(run: Run) -> None:
    """Errors add up: a third of the noise power at most, on the samples that decided and on others.

    ONNX Runtime's plans are chosen by times measured here, so which one wins differs from run to
    run; there the median over all plans that were measured is judged.
    """
    for name in ("tensorrt", "onnxruntime"):
        ratios = run.facts["targets"][name]["search"]["additivity"]["noise_ratios"]
        assert np.median(ratios) == pytest.approx(1.0, abs=0.2)
    search = run.facts["targets"]["tensorrt"]["search"]
    for measured in (search["additivity"]["measured_sqnr_db"], search["held_out"]["sqnr_db"]):
        difference = search["additivity"]["predicted_sqnr_db"] - measured
        assert 10 ** (difference / 10) == pytest.approx(1.0, abs=0.35)


def test_the_plan_says_why_each_layer_has_its_precision(run: Run) -> None:
    plan = load_plan(run.out / "tensorrt" / "plan.json")
    facts = json.loads((run.out / "tensorrt" / "search" / "search.json").read_text())
    inside = [name for group in facts["groups"] for name in group["layers"]]

    assert inside
    for name in inside:
        said = plan.layers[name].because
        if plan.layers[name].op not in ("Conv", "Gemm"):
            continue
        assert "of the output error at int8" in said, name
        assert said.startswith(("in int8: ", "kept float16: ", "kept float32: ")) or "float" in said


def test_an_exported_mixed_plan_passes_the_checks(run: Run) -> None:
    for name in ("tensorrt", "onnxruntime"):
        assert run.facts["targets"][name]["check"]["error"] == 0
    assert not errors(
        check_file(run.out / "tensorrt", "tensorrt", Deployment(preprocess=Preprocess()))
    )


def test_every_point_has_a_recipe_that_makes_its_plan(
    run: Run, files: DemoFiles, tmp_path: Path
) -> None:
    folder = run.out / "tensorrt" / "search"
    rows = table(folder)
    picked = next(r for r in rows if int(r["chosen"]))
    recipe = folder / picked["recipe"]
    for row in rows:
        load_recipe(folder / row["recipe"], [])
    again = calibrate(
        job(files, tmp_path, goal=None, recipe=recipe, targets=("tensorrt",)), Progress(quiet=True)
    )
    one, other = (load_plan(r.out / "tensorrt" / "plan.json") for r in (run, again))

    assert {n: x.precision for n, x in one.layers.items()} == {
        n: x.precision for n, x in other.layers.items()
    }


def test_equal_searches_leave_equal_bytes_and_a_killed_one_goes_on(
    run: Run, files: DemoFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut once while sensitivities are measured, and once while plans are."""
    cut = job(files, tmp_path, targets=("tensorrt",))
    real_write, real_compare = GroupErrorsFile.write, searching.compare
    saved = asked = 0

    def write(file: GroupErrorsFile, errors: GroupErrors) -> None:
        nonlocal saved
        real_write(file, errors)
        saved += 1
        if saved == 1:
            raise KeyboardInterrupt

    def compare(*args: object) -> object:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise KeyboardInterrupt
        return real_compare(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(GroupErrorsFile, "write", write)
    with pytest.raises(KeyboardInterrupt):
        calibrate(cut, Progress(quiet=True))
    monkeypatch.setattr(searching, "compare", compare)
    with pytest.raises(KeyboardInterrupt):
        calibrate(cut, Progress(quiet=True))
    assert (tmp_path / "tensorrt" / "plan.json").is_file(), "the best so far is on disk"
    calibrate(cut, Progress(quiet=True))

    one, other = (bytes_of(out / "tensorrt" / "search") for out in (run.out, tmp_path))
    assert one == other


def test_probes_of_other_samples_are_not_believed(
    run: Run, files: DemoFiles, tmp_path: Path
) -> None:
    shutil.copytree(run.out, tmp_path / "run")
    before = (tmp_path / "run/tensorrt/search/probes.safetensors").read_bytes()
    calibrate(job(files, tmp_path / "run", seed=1, targets=("tensorrt",)), Progress(quiet=True))

    assert (tmp_path / "run/tensorrt/search/probes.safetensors").read_bytes() != before


def planted(source: Path, path: Path) -> tuple[str, str]:
    """Scale one channel before the classifier by 1000, and back in it: the float function stays.

    Returns the names of the layer that writes it and of the one that reads it.
    """
    model = onnx.load(source)
    held = {t.name: t for t in model.graph.initializer}
    nodes = {n.name: n for n in model.graph.node}
    writer, reader = nodes["/mix/conv/Conv"], nodes["/head/Gemm"]
    for name, cut, factor in (
        (writer.input[1], np.s_[0], 1000.0),
        (writer.input[2], np.s_[0], 1000.0),
        (reader.input[1], np.s_[:, 0], 1e-3),
    ):
        array = numpy_helper.to_array(held[name]).copy()
        array[cut] *= factor
        held[name].CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, path)
    return writer.name, reader.name


def test_a_planted_bad_layer_is_the_first_to_be_kept_in_higher_precision(
    run: Run, files: DemoFiles, tmp_path: Path
) -> None:
    """One channel scaled by 1000, for every target, on the first point of the front that differs."""
    names = planted(run.out / "prepared.onnx", tmp_path / "net.onnx")
    targets = tuple(name for name in TARGETS if len(TARGETS[name].search_candidates) > 1)
    made = calibrate(
        job(
            files,
            tmp_path / "out",
            model=str(tmp_path / "net.onnx"),
            goal=replace(GOAL, min_sqnr=10.0),
            targets=targets,
        ),
        Progress(quiet=True),
    )
    assert set(made.results) == set(targets)
    for target in targets:
        told = json.loads((tmp_path / "out" / target / "search" / "search.json").read_text())
        groups = told["groups"]
        worst = max(groups, key=lambda g: g["errors"][0])
        assert set(names) & set(worst["layers"]), target
        front = [p["assignment"] for p in told["points"] if p["source"] == "front"]
        first = next(a for a in front if a != front[0])
        raised = [
            g for g, (k, before) in enumerate(zip(first, front[0], strict=True)) if k != before
        ]
        assert any(set(names) & set(groups[g]["layers"]) for g in raised), target


def test_a_limit_that_no_plan_keeps_ends_with_1_and_leaves_the_best(
    files: DemoFiles, tmp_path: Path
) -> None:
    told = ["--model", str(files.model), "--data", str(files.images), "--quiet"]
    told += ["--preprocess", str(files.preprocess), "--samples", "24", "--holdout", "20"]
    told += ["--effort", "fast", "--layer-samples", "0", "--search-samples", "8"]
    told += ["--target", "onnxruntime", "--precisions", "w4a4,w4a8", "--out", str(tmp_path)]
    found = CliRunner().invoke(quant, ["search", *told, "--min-sqnr", "60"])
    said = str(found.exception)

    assert said.startswith(
        "onnxruntime: no plan with integers keeps the limit at least 60 dB; the best of "
    )
    assert said.endswith(
        "and was written. Loosen the limit, add a precision with --precisions, or keep the network "
        "in float."
    )
    assert "search for" not in found.stderr, "--quiet"
    assert (tmp_path / "onnxruntime" / "plan.json").is_file()
    assert "kept w4a8: " in (tmp_path / "onnxruntime" / "plan.json").read_text()


def test_calibrate_searches_where_a_limit_is_given_and_says_so(
    files: DemoFiles, tmp_path: Path
) -> None:
    told = ["--model", str(files.model), "--data", str(files.images), "--quiet"]
    told += ["--preprocess", str(files.preprocess), "--samples", "24", "--holdout", "20"]
    told += ["--effort", "fast", "--layer-samples", "0", "--search-samples", "8"]
    told += ["--labels", str(files.labels), "--out", str(tmp_path)]
    found = CliRunner().invoke(quant, ["calibrate", *told, "--budget", "size=75%"])

    assert found.exit_code == 0, found.output
    text = " ".join(found.stdout.split())
    assert " groups of layers, " in text
    assert " MB of " in text
    assert "on the 24 samples that decide (limit: at most " in text
    told_json = json.loads((tmp_path / "run.json").read_text())["targets"]["onnxruntime"]["search"]
    assert told_json["cost"] <= 0.75 * told_json["whole_cost"]
    assert told_json["axis"] == "size"


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        (
            SearchGoal(min_sqnr=20.0, precisions=("int8", "int4")),
            (
                "--precisions: ONNX Runtime has int8, w4a8, w4a4, w8a16, float32, saw 'int4'. Name some of "
                "them."
            ),
        ),
        (
            SearchGoal(min_sqnr=20.0, precisions=("int8",)),
            (
                "--precisions: at least two are wanted to choose among for onnxruntime, saw 'int8'. Add one "
                "of int8, w4a8, w4a4, w8a16, float32."
            ),
        ),
        (
            SearchGoal(budgets=(Budget(axis="latency", most=1.0),)),
            (
                "--budget: the time of a layer on onnxruntime is not known here. Give --device with a file "
                "of your board's rates, or --latency with measured times."
            ),
        ),
    ],
)
def test_a_search_that_cannot_be_is_refused(
    files: DemoFiles,
    tmp_path: Path,
    goal: SearchGoal,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quant.runtimes.runtime.Runtime.version", None)  # nothing to measure with
    with pytest.raises(InputError) as caught:
        calibrate(
            job(files, tmp_path, goal=goal, targets=("onnxruntime",), samples=16, holdout=4),
            Progress(quiet=True),
        )

    assert str(caught.value) == message


def test_a_recipe_that_decides_everything_leaves_nothing_to_search(
    files: DemoFiles, tmp_path: Path
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('[[rule]]\nmatch = "*"\nprecision = "int8"\n')
    with pytest.raises(InputError) as caught:
        calibrate(
            job(
                files,
                tmp_path / "out",
                recipe=path,
                targets=("onnxruntime",),
                samples=16,
                holdout=4,
            ),
            Progress(quiet=True),
        )

    assert str(caught.value) == (
        f"{files.model}: no layer is left to search for onnxruntime: what its table can quantize, the "
        "recipe decides. Take rules on precision out of the recipe."
    )
