"""The functions of the API: the main job and its stages, each with the names of the command line.

Nothing heavy is imported before one of them is called.
"""

__all__ = [
    "calibrate",
    "check",
    "choose",
    "compare",
    "export",
    "gate",
    "merge",
    "profile",
    "search",
    "simulate",
]

import inspect
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from quant.api.options import ImageOptions, Labels, ModelLike, PathLike, unknown_keyword
from quant.api.run import Run

if TYPE_CHECKING:
    import onnx

    from quant.compare.comparison import Comparison
    from quant.deploy.target_folder import WrittenTarget
    from quant.gate.limits import Verdict
    from quant.plan.recipe import Recipe
    from quant.plan.tensor_plans import Plan
    from quant.preprocess.image_to_tensor import Preprocess
    from quant.profile.statistics import Profile
    from quant.target.finding import Finding


def calibrate(
    model: ModelLike,
    data: Any,
    targets: str | Sequence[str] = ("onnxruntime",),
    *,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    labels: Labels = None,
    samples: int = 256,
    holdout: int = 256,
    effort: str = "balanced",
    metrics: str | Sequence[str | Callable[..., Any]] = ("top1",),
    observer: str | None = None,
    recipe: "Recipe | PathLike | Mapping[str, Any] | None" = None,
    max_drop: float | str | None = None,
    min_sqnr: float | None = None,
    budget: str | Sequence[str] | Mapping[str, str] | None = None,
    out: PathLike | None = None,
    example_inputs: Any = None,
    versions: Mapping[str, str] | None = None,
    allow_fallback: bool = False,
    layer_samples: int = 8,
    seed: int = 0,
    threads: int = 0,
    max_bad: float | str = 0.05,
    progress: bool = True,
    **image: Unpack[ImageOptions],
) -> Run:
    """Quantize a model for one or more targets, measure what that costs, and write every file.

    It loads and folds the model, profiles every activation on `samples` samples, chooses each
    tensor's format, simulates what each target computes, recovers accuracy as far as `effort` goes,
    measures on up to `holdout` other samples and exports. `docs/api.md` has examples.

    Args:
        model: Path of an ONNX file, "module:factory", `onnx.ModelProto`, or `torch.nn.Module`.
        data: Path of a folder of images, of a list or of an array file; or an array, a dict of
            arrays by input name, a sequence or an iterable of samples or batches (a DataLoader
            among them), or a function that returns one of these. uint8 images are preprocessed;
            tensors go to the model as they are.
        targets: Names of targets.
        preprocess: From an image to the input: a `Preprocess`, its TOML file, or a dict of fields.
        labels: CSV file with file,label; "folders"; or the classes of samples in memory.
        samples: How many samples calibrate.
        holdout: How many others measure, at most.
        effort: "fast", "balanced" or "best".
        metrics: Names, "module:function", or functions that stand at the top of a module.
        observer: Of activations; None for the one that measures best.
        recipe: Rules for layers: a `Recipe`, its TOML file, or a dict as TOML reads it.
        max_drop: Most that the metric may lose, 0.005 or "0.5%"; each layer's precision is searched.
        min_sqnr: Least SQNR at the worst output in dB; likewise.
        budget: "size=60%", several such, or {"latency": "2ms"}; likewise.
        out: Folder of the run; None for quant-out/<name of the model>.
        example_inputs: Tensor or tuple of tensors for the export of a torch module.
        versions: By target the version or the chip, {"tensorrt": "8.6.1"}.
        allow_fallback: Layers that a chip cannot take stay float, or are cut to the CPU.
        layer_samples: How many calibration samples the layer table is measured on.
        seed: Of the choice of samples.
        threads: Threads inside one operator; 0 for all cores.
        max_bad: Greatest share of samples that may be unreadable.
        progress: Whether to show progress bars.
        **image: Single fields of the preprocessing, such as size=(224, 224).

    Returns:
        The run: numbers, paths and a summary. `Run.load(out)` opens it again.

    Raises:
        InputError: Something that you can mend; the message says how.
        UnsupportedError: The model cannot be served.
    """
    return _main_job(calibrate, locals())


def search(
    model: ModelLike,
    data: Any,
    targets: str | Sequence[str] = ("onnxruntime",),
    *,
    max_drop: float | str | None = None,
    min_sqnr: float | None = None,
    budget: str | Sequence[str] | Mapping[str, str] | None = None,
    cost: str | None = None,
    precisions: Sequence[str] | None = None,
    sensitivity: str = "nmse",
    search_samples: int = 64,
    groups: int = 0,
    time_budget: float | None = None,
    device: PathLike | None = None,
    latency: PathLike | None = None,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    labels: Labels = None,
    samples: int = 256,
    holdout: int = 256,
    effort: str = "balanced",
    metrics: str | Sequence[str | Callable[..., Any]] = ("top1",),
    observer: str | None = None,
    recipe: "Recipe | PathLike | Mapping[str, Any] | None" = None,
    out: PathLike | None = None,
    example_inputs: Any = None,
    versions: Mapping[str, str] | None = None,
    allow_fallback: bool = False,
    layer_samples: int = 8,
    seed: int = 0,
    threads: int = 0,
    max_bad: float | str = 0.05,
    progress: bool = True,
    **image: Unpack[ImageOptions],
) -> Run:
    """Find the cheapest precision of each layer that is accurate enough, and do the main job with it.

    Without a limit it looks for a drop of at most 1 %, or 20 dB where nothing names classes. Where
    no plan keeps the limits, the best one is written and `Run.breaches` says so.

    Args:
        model: As for `calibrate`, and so are all arguments that are not named here.
        data: Samples.
        targets: Names of targets.
        max_drop: Most that the metric may lose, 0.005 or "0.5%".
        min_sqnr: Least SQNR at the worst output, in dB.
        budget: "size=60%", several such, or {"latency": "2ms"}.
        cost: What the Pareto front weighs against the error: "latency", "size" or "ops"; None for
            the budget's, or latency.
        precisions: Among which each layer chooses, the cheapest first; None for the target's.
        sensitivity: "nmse", "kl", or the name of a metric.
        search_samples: Samples that sensitivities are measured on.
        groups: Most groups of layers; 0 for as many as there are.
        time_budget: Seconds after which the best plan so far is kept; None for no end.
        device: Name of a device, or your own device.toml.
        latency: CSV file with layer,precision,milliseconds.
        preprocess: See `calibrate`.
        labels: See `calibrate`.
        samples: See `calibrate`.
        holdout: See `calibrate`.
        effort: See `calibrate`.
        metrics: See `calibrate`.
        observer: See `calibrate`.
        recipe: See `calibrate`.
        out: See `calibrate`.
        example_inputs: See `calibrate`.
        versions: See `calibrate`.
        allow_fallback: See `calibrate`.
        layer_samples: See `calibrate`.
        seed: See `calibrate`.
        threads: See `calibrate`.
        max_bad: See `calibrate`.
        progress: See `calibrate`.
        **image: See `calibrate`.

    Raises:
        InputError: Something that you can mend.
        UnsupportedError: The model cannot be served.
    """
    return _main_job(search, locals())


def _main_job(function: Callable[..., Any], given: dict[str, Any]) -> Run:
    """Run the main job with the arguments of a function; a limit or `search` makes it search."""
    asked = _asked(function, given)
    shown = bool(asked.pop("progress"))
    _passive_threads()
    from quant.api.arguments import job_of
    from quant.common.progress import Progress
    from quant.run.calibrate import calibrate as run_job

    job = job_of(asked, searching=function is search)
    run_job(job, Progress(quiet=not shown))
    return Run.load(job.out)


def _asked(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function's own arguments, after a check of the keywords that it hands on."""
    known = [name for name in inspect.signature(function).parameters if name != "image"]
    unknown_keyword(function.__name__, given.get("image", {}), known)
    return dict(given)


def _passive_threads() -> None:
    """Keep torch's threads from spinning between two steps, against ONNX Runtime's.

    OpenMP reads this once, when torch is imported; measured: 12 s of work took 87 s without it.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _emit(sentences: Iterable[str]) -> None:
    """Warn of each sentence, as of the line that called a function of the API."""
    for sentence in sentences:
        warnings.warn(sentence, stacklevel=3)


def profile(
    model: ModelLike,
    data: Any,
    *,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    samples: int = 256,
    out: PathLike | None = None,
    example_inputs: Any = None,
    seed: int = 0,
    threads: int = 0,
    max_bad: float | str = 0.05,
    progress: bool = True,
    **image: Unpack[ImageOptions],
) -> "Profile":
    """Run the float model once over the samples, and return the statistics of every activation.

    Args:
        model: As for `calibrate`.
        data: As for `calibrate`.
        preprocess: From an image to the input.
        samples: How many samples, at most.
        out: File for the profile, .safetensors; an interrupted profile goes on from there. None
            writes no file.
        example_inputs: For the export of a torch module.
        seed: Of the choice of samples.
        threads: Threads inside one operator; 0 for all cores.
        max_bad: Greatest share of samples that may be unreadable.
        progress: Whether to show progress bars.
        **image: Single fields of the preprocessing.

    Raises:
        InputError: Something that you can mend.
        UnsupportedError: The model cannot be served.

    Warns:
        UserWarning: A sample was skipped, or the values look like a slip in the preprocessing.
    """
    asked = _asked(profile, locals())
    shown = bool(asked.pop("progress"))
    from quant.api.arguments import job_of, path_of
    from quant.common.progress import Progress
    from quant.run.material import open_material
    from quant.run.profile_samples import profile_samples

    path = path_of(asked.pop("out"), "out") if out is not None else asked.pop("out")
    with tempfile.TemporaryDirectory(prefix="quant-") as scratch:
        path = path or Path(scratch, "profile.safetensors")
        job = job_of({**asked, "out": path.parent, "holdout": 0})
        shows = Progress(quiet=not shown)
        material = open_material(job, shows)
        found = profile_samples(job, material, shows, path).whole
    for key, reason in material.bad:
        shows.warn(f"sample '{key}' was skipped: {reason}")
    _emit(shows.warnings)
    return found


def merge(*profiles: "Profile | PathLike", out: PathLike | None = None) -> "Profile":
    """Add profiles of one model over disjoint samples: the bits of one profile over all of them.

    Args:
        *profiles: Profiles, or the paths of their files.
        out: File for the sum; None writes none.

    Raises:
        InputError: They are of different models or preprocessings, or two are of the same samples.
    """
    from quant.api.arguments import path_of
    from quant.api.scratch import profile_of
    from quant.common.errors import InputError
    from quant.profile.file import save_profile

    if not profiles:
        raise InputError("merge: it needs profiles, saw none. Give one or more.")
    total, _ = profile_of(profiles[0], "profile 1")
    for number, one in enumerate(profiles[1:], 2):
        other, place = profile_of(one, f"profile {number}")
        mine = total.provenance
        other.must_match(
            place=place, graph=mine.graph, preprocess=mine.preprocess, settings=mine.settings
        )
        if (other.provenance.data, other.provenance.samples) == (mine.data, mine.samples):
            raise InputError(
                f"{place}: it is of the same {mine.samples} samples as what was merged before it, "
                "and they would count twice. Leave it out."
            )
        total = total + other
    if out is not None:
        save_profile(total, path_of(out, "out"))
    return total


def choose(
    model: ModelLike,
    profile: "Profile | PathLike",
    target: str = "onnxruntime",
    *,
    observer: str | None = None,
    recipe: "Recipe | PathLike | Mapping[str, Any] | None" = None,
    out: PathLike | None = None,
    example_inputs: Any = None,
) -> "Plan":
    """Choose every tensor's format, scale and zero point from a profile, with a reason for each.

    Args:
        model: As for `calibrate`.
        profile: Of `profile` or `merge`, or the path of its file.
        target: Name of the target.
        observer: Of activations; None for mse, because there are no samples to measure others on.
        recipe: Rules for layers.
        out: File for the plan, .json; None writes none.
        example_inputs: For the export of a torch module.

    Raises:
        InputError: The profile is of another model, or a name is unknown.
    """
    from quant.api.arguments import model_of, path_of, recipe_in
    from quant.api.scratch import profile_of
    from quant.choose.planner import Planner
    from quant.load.open_graph import open_graph
    from quant.observers import OBSERVERS
    from quant.plan.file import save_plan
    from quant.plan.recipe import NOTHING, load_recipe
    from quant.target.table import TARGETS

    source, table = recipe_in(recipe), TARGETS[target]
    rules = load_recipe(source, list(OBSERVERS)) if source is not None else NOTHING
    seen, place = profile_of(profile, "profile")
    _, graph = open_graph(model_of(model, example_inputs))
    seen.must_match(place=place, graph=graph.fingerprint)
    plan = Planner(target=table, recipe=rules, observer=observer).plan(graph, seen)
    if out is not None:
        save_plan(plan, path_of(out, "out"))
    return plan


def simulate(
    model: ModelLike,
    plan: "Plan | PathLike",
    *,
    out: PathLike | None = None,
    example_inputs: Any = None,
) -> "onnx.ModelProto":
    """Return the graph that computes in ONNX Runtime what the plan's target will compute.

    Args:
        model: As for `calibrate`.
        plan: Of `choose`, or the path of a plan.json; a run's plan is given by its path, because
            the graph with fitted weights lies beside it.
        out: File for the graph, .onnx; None writes none.
        example_inputs: For the export of a torch module.

    Raises:
        InputError: The plan is of another model.
    """
    import onnx_ir as ir

    from quant.api.arguments import path_of
    from quant.api.scratch import plan_file, planned
    from quant.graph.prepared_graph import save_model
    from quant.simulate.open_plan import simulation_of
    from quant.target.table import TARGETS

    with plan_file(plan) as path:
        chosen, graph = planned(path, model, example_inputs)
    simulated = simulation_of(graph, chosen, TARGETS[chosen.target])
    if out is not None:
        save_model(simulated, path_of(out, "out"))
    return ir.to_proto(simulated)


def export(
    model: ModelLike,
    plan: "Plan | PathLike",
    out: PathLike,
    *,
    profile: "Profile | PathLike | None" = None,
    data: Any = None,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    samples: int = 256,
    seed: int = 0,
    example_inputs: Any = None,
    versions: Mapping[str, str] | None = None,
    allow_fallback: bool = False,
    **image: Unpack[ImageOptions],
) -> "WrittenTarget":
    """Write all that a target needs from a plan: graphs, scripts, DEPLOY.md, check.json.

    Args:
        model: As for `calibrate`.
        plan: Of `choose`, or the path of a plan.json, such as a run's.
        out: Folder for the target's files.
        profile: For files that list the range of every tensor; None leaves the ranges out.
        data: For a vendor's tool that reads pictures itself (NNIE); None where there is none.
        preprocess: From an image to the input.
        samples: As it was profiled.
        seed: As it was profiled.
        example_inputs: For the export of a torch module.
        versions: By target the version or the chip, {"tensorrt": "8.6.1"}.
        allow_fallback: Layers that a chip cannot take stay float, or are cut to the CPU.
        **image: Single fields of the preprocessing.

    Returns:
        `exported.files` relative to the folder, and `findings` of the target's check.

    Raises:
        InputError: The plan or the profile is of another model, or the target refuses a layer.
    """
    asked = _asked(export, locals())
    from quant.api.arguments import job_of, path_of
    from quant.api.scratch import plan_file, profile_file
    from quant.run.export import export_plan

    job = job_of(
        {
            name: value if name != "data" else "" if value is None else value
            for name, value in asked.items()
            if name not in ("plan", "profile")
        }
        | {"holdout": 0, "out": path_of(out, "out")}
    )
    with plan_file(plan) as plan_path, profile_file(profile) as profile_path:
        return export_plan(plan_path, profile_path, job)


def check(
    model: ModelLike,
    targets: str | Sequence[str] = ("onnxruntime",),
    *,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    example_inputs: Any = None,
    versions: Mapping[str, str] | None = None,
    allow_fallback: bool = False,
    **image: Unpack[ImageOptions],
) -> "dict[str, list[Finding]]":
    """Return what targets refuse or do badly: in a model before, or in an export after.

    Args:
        model: A float model as for `calibrate`; or the path of an export's folder or of one file of
            it; or a quantized `onnx.ModelProto`.
        targets: Names of targets.
        preprocess: From an image to the input.
        example_inputs: For the export of a torch module.
        versions: By target the version or the chip.
        allow_fallback: Layers that a chip cannot take stay float, or are cut to the CPU.
        **image: Single fields of the preprocessing.

    Returns:
        By target its findings; `quant.target.finding.errors` keeps those that the target refuses.

    Raises:
        InputError: The model cannot be read, or a target cannot check files of its kind.
    """
    _asked(check, locals())
    from quant.api.arguments import model_of, names_of, preprocess_of
    from quant.load.given_model import GivenModel
    from quant.run.export import check_file
    from quant.target.deployment import Deployment
    from quant.target.table import checked_versions

    deployment = Deployment(
        preprocess=preprocess_of(preprocess, image),
        versions=checked_versions(versions or {}),
        allow_fallback=allow_fallback,
    )
    source = model_of(model, example_inputs)
    names = names_of(targets, "targets")
    given = source if isinstance(source, GivenModel) else Path(source)
    return {name: check_file(given, name, deployment) for name in dict.fromkeys(names)}


def compare(
    reference: ModelLike,
    candidate: "PathLike | onnx.ModelProto",
    data: Any,
    *,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    labels: Labels = None,
    metrics: str | Sequence[str | Callable[..., Any]] = ("top1",),
    samples: int | None = None,
    runtime: str = "onnxruntime",
    example_inputs: Any = None,
    seed: int = 0,
    threads: int = 0,
    max_bad: float = 0.05,
    progress: bool = True,
    **image: Unpack[ImageOptions],
) -> "Comparison":
    """Run a float model and a quantized one on the same samples, and return how they differ.

    Args:
        reference: The float model, as for `calibrate`.
        candidate: The quantized one, whoever made it: ONNX, or OpenVINO's .xml.
        data: As for `calibrate`.
        preprocess: From an image to the input.
        labels: CSV file, "folders", or the classes of samples in memory.
        metrics: Judged for both where there are labels.
        samples: How many at most; None for all.
        runtime: Of the candidate: "onnxruntime", "openvino", or another that a target names.
        example_inputs: For the export of a torch module.
        seed: Of the choice and the order of samples.
        threads: Threads inside one operator; 0 for all cores.
        max_bad: Greatest share of samples that may be unreadable.
        progress: Whether to show progress bars.
        **image: Single fields of the preprocessing.

    Returns:
        `sqnr_db` and `outputs`, `agreement`, `scores` and `float_scores`, and milliseconds a sample.

    Raises:
        InputError: A model or the data cannot be read, or they do not fit each other.
    """
    asked = _asked(compare, locals())
    shown = bool(asked.pop("progress"))
    from quant.api.scratch import two_models
    from quant.common.progress import Progress
    from quant.gate.two_models import OpenModels

    with two_models(asked) as models:
        opened = OpenModels.open(models, Progress(quiet=not shown))
        opened.must_fit()
        found = opened.comparison(0, len(opened.order))
    _emit(f"sample '{key}' was skipped: {reason}" for key, reason in opened.bad)
    return found


def gate(
    run: "Run | PathLike | None" = None,
    *,
    reference: ModelLike | None = None,
    candidate: "PathLike | onnx.ModelProto | None" = None,
    data: Any = None,
    config: PathLike | None = None,
    max_drop: float | str | None = None,
    min_agreement: float | str | None = None,
    min_sqnr: float | None = None,
    confidence: float | None = None,
    undecided: str | None = None,
    baseline: PathLike | None = None,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    labels: Labels = None,
    metrics: str | Sequence[str | Callable[..., Any]] = ("top1",),
    samples: int | None = None,
    calibrated: int = 0,
    sequential: bool = False,
    runtime: str = "onnxruntime",
    example_inputs: Any = None,
    seed: int = 0,
    threads: int = 0,
    max_bad: float = 0.05,
    progress: bool = True,
    **image: Unpack[ImageOptions],
) -> "Verdict":
    """Decide whether a quantized model is good enough: of a run, or of two models and data.

    Args:
        run: A `Run`, or its folder; or None with `reference`, `candidate` and `data`.
        reference: The float model.
        candidate: The quantized model.
        data: Samples to judge them on.
        config: TOML file of limits; None for gate.toml or pyproject.toml here, where no limit is
            named.
        max_drop: Most accuracy that may be lost, 0.01 or "1%".
        min_agreement: Least share of samples with float's answer, 0.98 or "98%".
        min_sqnr: Least SQNR at the worst output, in dB.
        confidence: Of each verdict; None for the file's, or 0.95.
        undecided: What an undecided limit counts as, "fail" or "pass"; None for the file's, or
            "fail".
        baseline: File of numbers to hold a run against.
        preprocess: From an image to the input, for two models.
        labels: CSV file, "folders", or the classes of samples in memory.
        metrics: Judged for two models.
        samples: How many at most; None for all.
        calibrated: How many of the data calibrated with this seed; they are left out.
        sequential: Stop as soon as the answer is certain.
        runtime: Of the candidate: "onnxruntime", "openvino", or another that a target names.
        example_inputs: For the export of a torch module.
        seed: Of the choice and the order of samples.
        threads: Threads inside one operator; 0 for all cores.
        max_bad: Greatest share of samples that may be unreadable.
        progress: Whether to show progress bars.
        **image: Single fields of the preprocessing.

    Returns:
        `passed`, `outcome`, and `results` with the number and the interval of each limit.

    Raises:
        InputError: There is neither a run nor two models, no limit, or one is wrong.
    """
    asked = _asked(gate, locals())
    shown = bool(asked.pop("progress"))
    from quant.api.arguments import path_of, share_of
    from quant.api.scratch import two_models
    from quant.common.errors import InputError
    from quant.common.progress import Progress
    from quant.gate.compare_models import gate_models
    from quant.gate.config_file import check_values
    from quant.gate.run_gate import chosen_gate, gate_run, limits_of_flags
    from quant.run.report import write_verdict

    of_models = [name for name in ("reference", "candidate", "data") if asked[name] is not None]
    if len(of_models) != (3 if run is None else 0):
        given = ", ".join([*([] if run is None else ["run"]), *of_models]) or "none of them"
        raise InputError(
            f"gate: it takes a run, or reference, candidate and data, saw {given}. Give one or the "
            "other."
        )
    shares = {"max_drop": max_drop, "min_agreement": min_agreement}
    quick: dict[str, float | None] = {
        name: None if value is None else share_of(value, name) for name, value in shares.items()
    }
    changes = {"confidence": confidence, "undecided": undecided}
    check_values({k: v for k, v in changes.items() if v is not None}, "gate")
    limits = chosen_gate(
        path_of(config, "config") if config is not None else None,
        limits_of_flags({**quick, "min_sqnr": min_sqnr}),
        changes,
        needed=baseline is None,
    )
    if run is not None:
        folder = run.folder if isinstance(run, Run) else path_of(run, "run")
        verdict = gate_run(folder, limits, path_of(baseline, "baseline") if baseline else None)
        write_verdict(folder, verdict)
        return verdict
    names = (*of_models, "preprocess", "labels", "metrics", "samples", "calibrated", "sequential")
    names += ("runtime", "example_inputs", "seed", "threads", "max_bad", "image")
    with two_models({name: asked[name] for name in names}) as models:
        return gate_models(models, limits, Progress(quiet=not shown))
