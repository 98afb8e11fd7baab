"""Gates over a run of the demo's network, and over two models and data: honest, broken, impossible."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quant.analysis.suspects import suspects
from quant.cli.main import main
from quant.common.errors import InputError
from quant.common.progress import Progress
from quant.demo import DemoFiles, unpack
from quant.gate.baseline import Baseline, load_baseline
from quant.gate.compare_models import gate_models
from quant.gate.config_file import Gate, Slice
from quant.gate.evidence import read_run
from quant.gate.run_gate import chosen_gate, gate_run, limits_of_flags, write_baseline
from quant.gate.two_models import TwoModels
from quant.job.settings import Job
from quant.plan.file import load_plan, save_plan
from quant.preprocess.image_to_tensor import Preprocess
from quant.run.calibrate import calibrate

openvino = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("openvino"),
    reason="openvino is not installed: pip install 'boardquant[openvino]'",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return unpack(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def run(files: DemoFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    job = Job(
        model=str(files.model),
        data=str(files.images),
        labels=str(files.labels),
        preprocess=Preprocess.from_toml(files.preprocess),
        out=out,
        samples=60,
        holdout=440,
        observer="minmax",
        threads=1,
    )
    calibrate(job, Progress(quiet=True))
    return out


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """Return a copy of the run that a test may break."""
    return Path(shutil.copytree(run, tmp_path / "run"))


def contest(files: DemoFiles, reference: Path, candidate: Path, **changes: object) -> TwoModels:
    made = TwoModels(
        reference=str(reference),
        candidate=candidate,
        data=str(files.images),
        labels=str(files.labels),
        preprocess=Preprocess.from_toml(files.preprocess),
        calibrated=60,
        threads=1,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def limits(**flags: float) -> Gate:
    return chosen_gate(None, limits_of_flags(flags), {})


def planted(run: Path, tensor: str, factor: float, out: Path) -> Path:
    """Return a simulation in which the scale of one tensor is wrong."""
    from quant.graph.prepared_graph import Graph, save_model
    from quant.plan.fitted_graph import graph_for
    from quant.simulate.open_plan import simulation_of
    from quant.target.table import TARGETS

    path = run / "onnxruntime" / "plan.json"
    plan = json.loads(path.read_text())
    (row,) = [row for row in plan["tensors"] if row["tensor"] == tensor]
    scale = row["scale"]
    row["scale"] = [s * factor for s in scale] if isinstance(scale, list) else scale * factor
    (out / "plan.json").write_text(json.dumps(plan))
    prepared = Graph(ir.load(run / "prepared.onnx"), "digits")
    graph = graph_for(load_plan(path), path, prepared)
    model = simulation_of(graph, load_plan(out / "plan.json"), TARGETS["onnxruntime"])
    save_model(model, out / "fault.onnx")
    return out / "fault.onnx"


def test_an_honest_run_passes(run: Path) -> None:
    """8 bits cost the demo's network nothing, and 440 samples show it to 2 points."""
    verdict = gate_run(run, limits(max_drop=0.02, min_agreement=0.97, min_sqnr=25))

    assert verdict.passed
    assert [r.outcome for r in verdict.results] == ["pass"] * 3
    assert verdict.subject == "digits"


def test_too_few_samples_are_undecided_and_say_how_many_more(run: Path) -> None:
    """A margin of 0.2 points needs 1500 samples even if they all agree: 0.998 ** 1497 < 5 %."""
    verdict = gate_run(run, limits(max_drop=0.002))
    (result,) = verdict.results

    assert not verdict.passed
    assert result.outcome == "undecided"
    assert result.decision.needed is not None
    assert result.decision.needed >= 1497 - 440
    allowed = chosen_gate(None, limits_of_flags({"max_drop": 0.002}), {"undecided": "pass"})
    assert gate_run(run, allowed).passed


def test_the_same_numbers_follow_from_the_files_and_from_the_models(
    run: Path, files: DemoFiles
) -> None:
    """The gate of two models runs on its own, over the same held-out samples in another order."""
    gate = limits(max_drop=0.02, min_agreement=0.9, min_sqnr=20)
    kept = gate_run(run, gate)
    anew = gate_models(contest(files, files.model, run / "onnxruntime" / "model.onnx"), gate)

    for a, b in zip(kept.results, anew.results, strict=True):
        assert a.decision.value == pytest.approx(b.decision.value, abs=1e-3)
        assert a.decision.samples == b.decision.samples == 440


def test_the_simulation_is_judged_where_the_file_says_so(run: Path) -> None:
    """The integer run and the simulation differ in the last digits, so the right table is seen."""
    gate = limits(min_sqnr=20)
    integer, simulated = (gate_run(run, replace(gate, judge=j)) for j in ("integer", "simulated"))
    facts = json.loads((run / "run.json").read_text())["targets"]["onnxruntime"]

    for verdict, kind in ((integer, "integer"), (simulated, "simulated")):
        assert verdict.results[0].decision.value == pytest.approx(facts[kind]["sqnr_db"], abs=1e-9)
    assert facts["integer"]["sqnr_db"] != facts["simulated"]["sqnr_db"]


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("/widen/act/Relu_output_0", "/widen/conv/Conv"),
        ("/mix/act/Relu_output_0", "/mix/conv/Conv"),
        ("/Add_output_0", "/Add"),
    ],
)
def test_a_planted_fault_fails_and_the_breach_names_its_layer(
    tensor: str, layer: str, run: Path, files: DemoFiles, tmp_path: Path
) -> None:
    """One scale divided by 4 clips three quarters of a tensor's range."""
    fault = planted(run, tensor, 1 / 4, tmp_path)
    verdict = gate_models(contest(files, files.model, fault), limits(min_sqnr=25))

    assert verdict.outcome == "fail"
    assert verdict.breaches[0].layers[0][0] == layer


def test_layers_are_judged_at_exact_inputs(run: Path, tmp_path: Path) -> None:
    """The layers behind a fault are not blamed for it: only one stands out."""
    fault = ir.load(planted(run, "/stem/act/Relu_output_0", 1 / 8, tmp_path))
    reference = ir.load(run / "prepared.onnx")
    from tests.chosen import batch_of

    x = np.random.default_rng(0).normal(size=(8, 3, 32, 32)).astype(np.float32)
    found = suspects(reference, fault, [batch_of({"image": x}, 8)], 1)

    assert [name for name, _ in found] == ["/stem/conv/Conv"]
    renamed = ir.load(run / "prepared.onnx")
    for node in renamed.graph:
        for value in node.outputs:
            value.name = f"other/{value.name}"
    assert suspects(renamed, fault, [batch_of({"image": x}, 8)], 1) == ()


def test_a_sequential_gate_stops_as_soon_as_it_is_certain(
    run: Path, files: DemoFiles, tmp_path: Path
) -> None:
    """A network that is plainly broken is known after a few looks; the order is shuffled by seed."""
    fault = planted(run, "/widen/act/Relu_output_0", 1 / 64, tmp_path)
    rival = contest(files, files.model, fault, sequential=True)
    first, second = (gate_models(rival, limits(min_agreement=0.9)) for _ in range(2))

    assert first.outcome == "fail"
    assert first.results[0].decision.samples < 440
    assert first == second
    assert first.notes[0].startswith("sequential: stopped after ")
    honest = contest(files, files.model, run / "onnxruntime" / "model.onnx", sequential=True)
    assert gate_models(honest, limits(min_agreement=0.9)).passed


def test_a_limit_that_is_open_when_the_gate_stops_says_so(
    run: Path, files: DemoFiles, tmp_path: Path
) -> None:
    fault = planted(run, "/widen/act/Relu_output_0", 1 / 64, tmp_path)
    rival = contest(files, files.model, fault, sequential=True)
    verdict = gate_models(rival, limits(max_drop=0.7, min_agreement=0.99))
    open_ = verdict.results[0].decision

    assert open_.outcome == "undecided"
    assert open_.because == "not decided: another limit failed, and the gate stopped"


def test_copies_and_broken_files_among_the_samples_are_noted(
    run: Path, files: DemoFiles, tmp_path: Path
) -> None:
    """Of a run, and of two models."""
    name = "000.png"
    for copy_ in range(3):
        shutil.copy(files.images / name, tmp_path / f"{copy_}.png")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,0\n1.png,0\n2.png,0\nbroken.png,0\n")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    where = {
        "max_bad": 0.5,
        "data": str(tmp_path),
        "labels": str(tmp_path / "labels.csv"),
        "calibrated": 0,
    }
    rival = contest(files, files.model, run / "onnxruntime" / "model.onnx", **where)
    verdict = gate_models(rival, limits(max_drop=0.9))

    assert verdict.notes[0].startswith("2 of the 3 samples are copies of others")
    assert verdict.notes[1].startswith(
        "1 samples could not be read, the first of them 'broken.png' ("
    )
    assert gate_run(run, limits(max_drop=0.02)).notes == ()


def test_a_part_of_the_samples_is_not_decided_before_the_end(run: Path, files: DemoFiles) -> None:
    """A class may lie wholly behind an early look, and a slice that is empty there is no mistake."""
    gate = limits(min_agreement=0.5)
    (whole,) = gate.limits
    late = Slice(name="late", match="49[5-9].png")
    parts = (replace(whole, bound=0.3, by="class"), replace(whole, bound=0.3, part="late"))
    gate = replace(gate, limits=(whole, *parts), slices={"late": late})
    rival = contest(files, files.model, run / "onnxruntime" / "model.onnx", sequential=True)
    verdict = gate_models(rival, gate)

    assert verdict.results[0].decision.samples < 440
    assert len(verdict.results[1].parts) == 10
    assert sum(p.samples for p in verdict.results[1].parts) == 440
    assert 0 < verdict.results[2].decision.samples <= 5


def test_a_candidate_that_is_not_finite_fails(files: DemoFiles, tmp_path: Path) -> None:
    """Its first class is not the float network's, whatever argmax says of NaN."""
    nan = not_a_number(files.model, tmp_path)
    verdict = gate_models(
        contest(files, files.model, nan), limits(min_agreement=0.01, min_sqnr=-99)
    )

    assert [r.outcome for r in verdict.results] == ["fail", "fail"]
    assert verdict.results[0].decision.value == 0
    assert verdict.results[1].decision.because == (
        "440 of 440 samples gave numbers that are not finite"
    )


@openvino
def test_openvino_judges_the_same_graph(run: Path, files: DemoFiles) -> None:
    """Another runtime, the same answers up to a step of the grid."""
    rival = contest(files, files.model, run / "onnxruntime" / "model.onnx")
    there = gate_models(replace(rival, runtime="openvino"), limits(min_sqnr=25, min_agreement=0.9))
    here = gate_models(rival, limits(min_sqnr=25, min_agreement=0.9))

    for a, b in zip(there.results, here.results, strict=True):
        assert a.outcome == "pass"
        assert a.decision.value == pytest.approx(b.decision.value, abs=1.0)


def test_without_openvino_its_mend_is_said(
    run: Path, files: DemoFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    rival = contest(files, files.model, run / "onnxruntime" / "model.onnx", runtime="openvino")
    with pytest.raises(Exception) as caught:  # noqa: PT011  the whole sentence is read below
        gate_models(rival, limits(max_drop=0.02))

    assert str(caught.value) == (
        "runtime openvino: OpenVINO is not installed here. Run pip install "
        "'boardquant[openvino]', or take the runtime onnxruntime."
    )


def test_a_baseline_holds_its_own_run_and_says_what_changed(run: Path, copy: Path) -> None:
    """The same run passes; a plan that changed is named, and fair."""
    path = copy / "baseline.json"
    write_baseline(run, Gate(), path)
    first = path.read_bytes()
    write_baseline(run, Gate(), path)
    verdict = gate_run(run, Gate(), path)

    assert path.read_bytes() == first
    assert verdict.passed
    assert [r.limit.measure for r in verdict.results] == [
        "baseline_accuracy_drop",
        "baseline_sqnr_loss_db",
        "baseline_size_growth",
    ]
    assert verdict.notes == (
        "changed since the baseline, for onnxruntime: nothing; the comparison is fair",
    )
    then = load_baseline(path)
    right = {"onnxruntime": {"top1": "f" * len(then.right["onnxruntime"]["top1"])}}
    numbers = {"onnxruntime": {**then.numbers["onnxruntime"], "sqnr_db": 90.0, "size_mb": 1e-3}}
    layers = {"onnxruntime": {k: v + 7 for k, v in then.layers["onnxruntime"].items()}}
    better = replace(then, version="0.0.1", plans={"onnxruntime": "0"}, right=right)
    better = replace(better, numbers=numbers, layers=layers)
    _rewritten(path, better)
    changed = gate_run(run, Gate(), path)
    lost = changed.results[0].decision

    assert changed.notes == (
        (
            "changed since the baseline, for onnxruntime: quant (0.0.1 then, 0.1.0 now), the plan; the "
            "comparison is fair"
        ),
    )
    facts = json.loads((run / "run.json").read_text())
    score = facts["targets"]["onnxruntime"]["integer"]["scores"]["top1"]
    assert lost.value == pytest.approx(1 - score)
    told = facts["targets"]["onnxruntime"]["integer"]["sqnr_db"]
    size = (run / "onnxruntime" / "model.onnx").stat().st_size / 1e3
    assert changed.results[1].decision.value == pytest.approx(90 - told)
    assert changed.results[2].decision.value == pytest.approx(size - 1)
    layer = replace(changed.results[0].limit, measure="baseline_layer_loss_db", bound=6.0)
    (losses,) = gate_run(run, Gate(limits=(layer,)), path).results[:1]
    assert (losses.outcome, losses.decision.value) == ("fail", pytest.approx(7))


def test_other_samples_make_a_baseline_unfair(run: Path, copy: Path) -> None:
    """Numbers of other images say nothing of the model."""
    path = copy / "baseline.json"
    write_baseline(run, Gate(), path)
    _rewritten(path, replace(load_baseline(path), data={"onnxruntime": "0"}, preprocess="0"))
    verdict = gate_run(run, limits(max_drop=0.02), path)

    assert not verdict.passed
    assert [r.outcome for r in verdict.results] == ["pass", "undecided", "undecided"]
    assert verdict.results[1].decision.because == (
        "the preprocessing and the measured samples changed since the baseline. Write the baseline "
        "again with quant gate --update-baseline"
    )
    assert verdict.notes[0].endswith("; the comparison is not fair")


def _rewritten(path: Path, found: Baseline) -> None:
    from quant.gate.baseline import save_baseline

    save_baseline(found, path)


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["quant", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def not_a_number(path: Path, out: Path) -> Path:
    """Return a copy of a model that takes the root of something negative."""
    model = onnx.load(path)
    for op, before, after in (("Abs", "logits", "a"), ("Neg", "a", "n"), ("Sqrt", "n", "roots")):
        model.graph.node.append(onnx.helper.make_node(op, [before], [after]))
    model.graph.output[0].name = "roots"
    onnx.save(model, out / "nan.onnx")
    return out / "nan.onnx"


def with_outputs(path: Path, out: Path, *names: str) -> Path:
    """Return a copy of a model that gives other tensors."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    known = {v.name: v for v in [*model.graph.value_info, *model.graph.output]}
    del model.graph.output[:]
    model.graph.output.extend([known[name] for name in names])
    onnx.save(model, out / "other.onnx")
    return out / "other.onnx"


def test_ten_broken_inputs_cost_one_sentence_and_exit_2(
    run: Path,
    copy: Path,
    files: DemoFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each is a mistake that happens in a pipeline, and none may look like a verdict."""
    monkeypatch.chdir(tmp_path)
    int8 = run / "onnxruntime" / "model.onnx"
    empty = tmp_path / "empty.csv"
    empty.write_text("file,label\n")
    (tmp_path / "typo.toml").write_text("[[limit]]\nmeasure = 'agreement'\nmim = 0.9\n")
    (copy / "onnxruntime" / "plan.json").write_text("{}")
    (tmp_path / "net.xml").write_text("<net/>")
    (tmp_path / "no.onnx").write_bytes(b"no model")
    np.save(tmp_path / "small.npy", np.zeros((4, 3, 8, 8), np.float32))
    models = ["--reference", files.model, "--data", files.images, "--quiet"]
    models += ["--preprocess", files.preprocess, "--max-drop", 0.01]
    labels = ["--labels", files.labels]
    nan = not_a_number(files.model, tmp_path)
    two = with_outputs(int8, tmp_path, "/Flatten_output_0", "/Concat_output_0")
    cases: list[tuple[list[object], str]] = [
        ([*models, "--candidate", int8, "--labels", empty], f"error: {empty}: "),
        ([*models, "--candidate", int8], "error: --max-drop: accuracy_drop needs the metric 'top1' of"),
        (
            [*models, *labels, "--candidate", two],
            (f"error: {two}: a candidate must have the reference's outputs, saw 2: '/Flatten_output_0', "
            "'/Concat_output_0'; wanted 1: 'logits'. Export both from one network."),
        ),
        (
            ["--reference", nan, "--candidate", int8, *models[2:], *labels],
            (f"error: {nan}, output 'roots': the reference must give finite numbers, saw none among the "
            "first 160. Check the preprocessing, or mend the model."),
        ),
        (
            ["--reference", files.model, "--candidate", int8, "--data", "small.npy", "--max-drop", 0.1],
            ("error: small.npy[0]: input 'image' takes 3x32x32 without the batch axis, saw 3x8x8. Save "
            "rows of that shape."),
        ),
        (
            ["--run", run, "--baseline", "none.json"],
            ("error: none.json: there is no baseline yet. Make it once, from a run that is good: quant "
            "gate --run RUN --update-baseline none.json, and commit the file."),
        ),
        (
            ["--run", run, "--config", "typo.toml"],
            ("error: typo.toml:1: a limit has no 'mim'. Did you mean 'min'? Known: by, confidence, "
            "layer, max, measure, metric, min, slice, target, undecided."),
        ),
        (
            ["--run", tmp_path, "--max-drop", 0.1],
            (f"error: {tmp_path}: the folder of a run holds a run.json, saw none. Give --run the --out "
            "folder of quant calibrate."),
        ),
        (
            ["--run", copy, "--max-drop", 0.1],
            (f"error: {copy}/onnxruntime/plan.json: the plan was changed after the run measured it. Run "
            f"quant calibrate again, or compare the new export with {copy}/prepared.onnx by --reference "
            "and --candidate."),
        ),
        (
            ["--run", run],
            ("error: quant gate: a gate needs limits, saw no gate.toml here and no "
            "[tool.quant.gate] in a pyproject.toml. Give --config FILE, or --max-drop 0.01."),
        ),
        (
            ["--reference", files.model, "--max-drop", 0.1],
            ("error: quant gate: it needs --run, or --reference, --candidate, --data; saw no "
            "--candidate. Give what is missing."),
        ),
        (["--max-drop", 0.1], "error: quant gate: it needs --run, or --reference, --candidate, --data; saw neither."),
        (
            ["--run", run, "--sequential", "--max-drop", 0.1],
            ("error: --sequential: it is for two models, and a run has its answers already. Remove it, "
            "or remove --run."),
        ),
        (
            [*models, *labels, "--candidate", int8, "--baseline", "b.json"],
            "error: --baseline: it is for a run. Remove it, or give --run.",
        ),
        ([*models, *labels, "--candidate", "no.onnx"], "error: no.onnx: A model must be an ONNX file"),
        (
            [*models, *labels, "--candidate", "net.xml"],
            "error: net.xml: OpenVINO's IR runs in OpenVINO. Give --runtime openvino.",
        ),
        (
            [*models, *labels, "--candidate", int8, "--runtime", "tensorrt"],
            "error: --runtime: it is onnxruntime or openvino, saw 'tensorrt'. Choose one.",
        ),
        (
            ["--run", run, "--max-drop", 0.1, "--confidence", 95],
            "error: --confidence: a share is written 1% or 0.01, saw '95'. Write 95%.",
        ),
    ]  # fmt: skip
    for words, said in cases:
        code = call(monkeypatch, "gate", *words)
        err = capsys.readouterr().err

        assert (code, err.count("\n")) == (2, 1), (words, err)
        assert err.startswith(said), err


def test_a_limit_of_a_run_is_no_limit_of_two_models(run: Path, files: DemoFiles) -> None:
    (limit,) = limits_of_flags({"max_drop": 0.1})
    gate = Gate(limits=(replace(limit, measure="size_mb"),))
    with pytest.raises(InputError) as caught:
        gate_models(contest(files, files.model, run / "onnxruntime" / "model.onnx"), gate)

    assert str(caught.value) == (
        "--max-drop: size_mb is measured by a run; two models are judged by their answers only. Give "
        "--run, or remove the limit."
    )
    wrong = Gate(limits=(replace(limit, target="nnie*"),))
    with pytest.raises(InputError) as caught:
        gate_run(run, wrong)
    assert str(caught.value) == (
        f"--max-drop: target 'nnie*' matches none of {run}: onnxruntime. Mend the pattern, or remove "
        "the limit."
    )


def test_other_shapes_of_outputs_are_refused(run: Path, files: DemoFiles, tmp_path: Path) -> None:
    other = with_outputs(run / "onnxruntime" / "model.onnx", tmp_path, "/Flatten_output_0")
    with pytest.raises(InputError) as caught:
        gate_models(contest(files, files.model, other), limits(max_drop=0.1))

    assert str(caught.value) == (
        f"{other}: output 'logits' must have the reference's shape, saw 16x64, wanted 16x10. Export both "
        "from one network."
    )


def test_files_that_do_not_belong_together_are_refused(copy: Path) -> None:
    """A table of other samples than run.json counts is of another run."""
    path = copy / "onnxruntime" / "samples_integer.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:100]) + "\n")
    with pytest.raises(InputError) as caught:
        read_run(copy)
    assert str(caught.value) == (
        f"{path}: run.json counts 440 samples, saw 99. Run quant calibrate again."
    )
    (copy / "run.json").write_text("[]")
    with pytest.raises(InputError) as caught:
        read_run(copy)
    assert str(caught.value) == (
        f"{copy / 'run.json'}: not a run, saw a list. Run quant calibrate again."
    )
    (copy / "run.json").write_text("{}")
    with pytest.raises(InputError) as caught:
        read_run(copy)
    assert str(caught.value) == (
        f"{copy / 'run.json'}: it lacks 'targets', which a gate needs. Run quant calibrate again."
    )


def test_baselines_and_plans_that_cannot_be_read_cost_one_sentence(run: Path, copy: Path) -> None:
    path = copy / "baseline.json"
    path.write_text('{"schema": 2, "version": "9"}')
    with pytest.raises(InputError) as caught:
        gate_run(run, Gate(), path)
    assert str(caught.value) == (
        f"{path}: a baseline of schema 1 has version, model, preprocess, calibration, data, plans, "
        "numbers, layers, right, saw version. Write the baseline again with quant gate "
        "--update-baseline."
    )
    path.unlink()
    with pytest.raises(InputError) as caught:
        gate_run(run, Gate(), path)
    assert str(caught.value) == (
        f"{path}: there is no baseline yet. Make it once, from a run that is good: quant gate --run "
        f"RUN --update-baseline {path}, and commit the file."
    )
    (copy / "onnxruntime" / "plan.json").unlink()
    with pytest.raises(InputError) as caught:
        read_run(copy)
    assert str(caught.value) == (
        f"{copy / 'onnxruntime' / 'plan.json'}: cannot be read: there is no such file. Run quant "
        "calibrate again."
    )


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("max_drop", float("nan"), "--max-drop: max is a number, saw 'nan'. Write one."),
        (
            "min_agreement",
            98,
            (
                "--min-agreement: agreement is a share and cannot be more than 1, saw 98. Write 0.98 "
                "for 98 %."
            ),
        ),
    ],
)
def test_flags_are_held_to_the_rules_of_the_file(flag: str, value: float, said: str) -> None:
    with pytest.raises(InputError) as caught:
        limits(**{flag: value})

    assert str(caught.value) == said


def test_exit_codes_json_and_githubs_files(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 and 1 are verdicts; stdout is one object with --json; GitHub's summary is appended to."""
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    base = [
        "gate",
        "--run",
        run,
        "--junit",
        tmp_path / "gate.xml",
        "--markdown",
        tmp_path / "gate.md",
    ]

    assert call(monkeypatch, *base, "--max-drop", 0.02) == 0
    assert "::" not in capsys.readouterr().out
    assert call(monkeypatch, *base, "--min-sqnr", 90) == 1
    assert "\n::error title=quant gate%3A onnxruntime%3A sqnr_db at least 90 dB::measured " in (
        capsys.readouterr().out
    )
    assert summary.read_text().startswith("before\n### gate passed: digits keeps its limit\n")
    assert (tmp_path / "gate.md").read_text() in summary.read_text()
    assert call(monkeypatch, *base, "--max-drop", 0.001, "--json") == 1
    shown = json.loads(capsys.readouterr().out)
    assert (shown["outcome"], shown["passed"]) == ("undecided", False)
    assert shown == json.loads((run / "gate.json").read_text())
    assert call(monkeypatch, *base, "--max-drop", 0.001, "--undecided", "pass") == 0
    assert "::warning title=" in capsys.readouterr().out
    assert call(monkeypatch, "gate", "--run", run, "--update-baseline", tmp_path / "b.json") == 0
    assert call(monkeypatch, "gate", "--run", run, "--baseline", tmp_path / "b.json") == 0


def test_an_edited_plan_is_no_longer_the_runs(copy: Path) -> None:
    """Its numbers would be of another plan; save_plan of the same plan changes nothing."""
    path = copy / "onnxruntime" / "plan.json"
    save_plan(load_plan(path), path)

    assert read_run(copy).targets["onnxruntime"].numbers["integer_share"] == 1.0
