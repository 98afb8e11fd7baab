"""Flow: the main job, from a model and a folder of images to integer graphs and what they cost."""

__all__ = ["Run", "TargetResult", "calibrate"]

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from quant.analysis.analyse import Analysis, analyse
from quant.analysis.cumulative import cumulative
from quant.analysis.file import analysis_csv, save_analysis
from quant.analysis.isolated import isolated_errors
from quant.analysis.layer_error import LayerError, layer_csv
from quant.analysis.layer_table import layer_macs, layer_table, measured_layers
from quant.analysis.local import local_errors
from quant.calibration import Batch, batches
from quant.calibration.profiling.run_profile import profile as profile_again
from quant.calibration.selection.split import shuffled
from quant.calibration.selection.sufficiency import Sufficiency, settled_text, sufficiency
from quant.choose.bias_correction import correct_bias
from quant.choose.planner import choose, node_types
from quant.common.files import write_json, write_text
from quant.common.progress import Progress
from quant.compare.comparison import Comparison, compare
from quant.compare.sample_table import samples_csv
from quant.cost.network_cost import predicted
from quant.deploy.fallback import refused_layers, wanted_floats, with_fallback
from quant.deploy.target_folder import WrittenTarget, write_target_folder
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session, open_simulation
from quant.improve.ladder import LadderInputs, LadderState, Rung, affordable, recover_accuracy
from quant.improve.pick_observer import TRIAL_BATCHES, best_of, pick_plan
from quant.job.settings import Job
from quant.metrics.metric import Metric, find_metric
from quant.observers import OBSERVERS
from quant.plan.recipe import NOTHING, Recipe, load_recipe
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.run.material import Material, deployment_of, open_material
from quant.run.profile_samples import max_bad_of, profile_samples
from quant.run.report import write_overview
from quant.run.summary import summary
from quant.runtimes.onnxruntime import ORT_CPU
from quant.search.cost_source import cost_table
from quant.search.run import search_run
from quant.search.summary import search_warnings
from quant.search.target_search import TargetSearch
from quant.simulate.simulated_graph import quantize_graph
from quant.target.deployment import Deployment
from quant.target.finding import errors
from quant.target.table import TARGETS, Target

NOISY_DB = 10.0
"""An output SQNR below this is 10 % noise and more: Hailo's profiler draws the line there too."""

POOR = 0.2
"""A float top-1 below this is a mistake in the preprocessing or the labels, not a network."""


@dataclass(kw_only=True)
class TargetResult:
    """One target's part of a run."""

    target: Target
    plan: Plan
    shipped: WrittenTarget
    base: Graph
    graph: Graph
    profile: Profile
    observers: dict[str, float] = field(default_factory=dict)
    rungs: tuple[Rung, ...] = ()
    rows: list[LayerError] = field(default_factory=list)
    analysis: Analysis | None = None
    simulated: Comparison | None = None
    integer: Comparison | None = None
    parity: Comparison | None = None
    predicted: dict[str, Any] = field(default_factory=dict)
    searched: TargetSearch | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the main job made; the files in `out` hold all of it."""

    out: Path
    material: Material
    profile: Profile
    outcomes: dict[str, TargetResult]
    facts: dict[str, Any]


def calibrate(job: Job, progress: Progress | None = None) -> Run:
    """Do the main job and leave the files of `docs/files.md` in `job.out`.

    Raises:
        InputError: Something the user can mend; nothing is written before the model, the recipe
            and the first sample have been read.
        UnsupportedError: The model cannot be served.
    """
    progress = progress or Progress()
    targets = [TARGETS[name] for name in dict.fromkeys(job.targets)]
    if job.observer is not None:
        _ = OBSERVERS[job.observer]  # an unknown name must speak before the work, not after it
    recipe = load_recipe(job.recipe, list(OBSERVERS)) if job.recipe else NOTHING
    metrics = [find_metric(name) for name in job.metrics]
    material = open_material(job, progress)
    graph = material.graph
    recipe.check(node_types(graph))  # what can be refused is refused before the long work
    deployment = deployment_of(job, material=material)
    recipes = {}
    for target in targets:
        floats = wanted_floats(graph, target, recipe)
        refused = refused_layers(graph, target, deployment, floats)
        recipes[target.name] = with_fallback(recipe, refused, target)
    with progress.stage("write"):
        graph.save(job.out / "prepared.onnx")
    plain = open_session(graph.model, threads=job.threads)
    if first := list(_stream(job, material, material.calibrated[:1])):
        compare(plain, {}, first, metrics)  # a metric that cannot judge these outputs speaks now
    profile = profile_samples(job, material, progress, halve=True)
    deployment = replace(deployment, profile=profile)
    with progress.stage("data"):
        wanted = max(job.layer_samples, TRIAL_BATCHES * material.batch)
        drawn = shuffled(material.calibrated, job.seed)
        some = list(_stream(job, material, drawn[:wanted]))
        afford = affordable(profile) if job.effort != "fast" or job.goal is not None else 0
        learnt = list(_stream(job, material, drawn[:afford]))
    outcomes = {}
    searches = {}
    for target in targets:
        if job.goal is not None:
            with progress.stage("search"):
                recipes[target.name], searches[target.name] = search_run(
                    job,
                    graph,
                    target,
                    recipes[target.name],
                    profile,
                    cost_table(graph, target, job, learnt, profile),
                    learnt,
                    plain,
                    metrics,
                    deployment,
                    progress,
                )
        with progress.stage("choose"):
            plan, picked = _choose(
                target, job, material, profile, recipes[target.name], some, plain
            )
        with progress.stage("write"):
            shipped = write_target_folder(graph, plan, target, job.out / target.name, deployment)
        outcome = TargetResult(
            target=target,
            plan=shipped.plan,
            shipped=shipped,
            base=graph,
            graph=graph,
            profile=profile,
            observers=picked,
            searched=searches.get(target.name),
        )
        outcomes[target.name] = outcome
        _improve(job, material, outcome, recipes[target.name], learnt, plain, deployment, progress)
    _measure(job, material, outcomes, metrics, plain, some[:2], progress)
    judged = any(o.simulated is not None and o.simulated.scores for o in outcomes.values())
    if job.metrics != ("top1",) and not judged:
        progress.warn(
            f"--metric {', '.join(job.metrics)}: not judged, for the samples have no labels. "
            "Give --labels."
        )
    _warn_of_float(outcomes, progress)
    _warn_of_noise(outcomes, progress)
    for name, outcome in outcomes.items():
        for finding in errors(outcome.shipped.findings):
            progress.warn(f"{name}/check.json: {finding}")
    for outcome in outcomes.values():
        _layers(job, material, outcome, some, progress)
    enough = _enough(job, material, profile, outcomes, recipes, progress)
    facts = summary(job, material, profile, outcomes, progress, enough)
    for name, told in facts["targets"].items():
        for said in search_warnings(name, told["search"]) if "search" in told else ():
            progress.warn(said)
    with progress.stage("write"):
        write_json(job.out / "run.json", facts)
    with progress.stage("report"):
        write_overview(job.out)
    write_json(job.out / "timing.json", _timing(progress, outcomes))
    return Run(out=job.out, material=material, profile=profile, outcomes=outcomes, facts=facts)


def _choose(
    target: Target,
    job: Job,
    material: Material,
    profile: Profile,
    recipe: Recipe,
    some: Sequence[Batch],
    plain: Any,
) -> tuple[Plan, dict[str, float]]:
    """Choose with the observer that was asked for, or with the one that measures best."""
    graph = material.graph
    if (job.observer or recipe.defaults.observer) is None and not target.observers:
        return pick_plan(graph, profile, target, recipe, some[:TRIAL_BATCHES], plain, job.threads)
    plan = choose(graph, profile, target, recipe=recipe, observer=job.observer)
    return correct_bias(plan, graph, profile, recipe), {}


def _improve(
    job: Job,
    material: Material,
    outcome: TargetResult,
    recipe: Recipe,
    samples: Sequence[Batch],
    plain: Any,
    deployment: Deployment,
    progress: Progress,
) -> None:
    """Climb the ladder, and write what is better at once: a killed run leaves the best so far."""
    target, profile = outcome.target, deployment.profile
    if not samples or profile is None:
        return

    def watch(graph: Graph, some: Iterable[Batch]) -> Profile:
        return profile_again(
            graph, some, preprocess=job.preprocess.fingerprint, threads=job.threads
        )

    def again(graph: Graph, seen: Profile) -> Plan:
        observer = job.observer or (best_of(outcome.observers) if outcome.observers else None)
        plan = choose(graph, seen, target, recipe=recipe, observer=observer)
        return correct_bias(plan, graph, seen, recipe)

    def keep(found: LadderState) -> None:
        told = deployment
        if found.graph.fingerprint != material.graph.fingerprint:
            seen = watch(found.graph, _stream(job, material, material.calibrated))
            told = replace(deployment, profile=seen)
        folder = job.out / target.name
        outcome.shipped = write_target_folder(
            found.graph, found.plan, target, folder, told, material.graph
        )
        outcome.base, outcome.graph, outcome.plan = found.base, found.graph, outcome.shipped.plan
        outcome.profile = told.profile or profile

    with progress.stage("improve"):
        ground = LadderInputs(
            target=target,
            recipe=recipe,
            profile=profile,
            samples=samples,
            plain=plain,
            pixels=deployment.pixels,
            choose=again,
            watch=watch,
            keep=keep,
            threads=job.threads,
        )
        climbed = recover_accuracy(job.effort, outcome.graph, outcome.plan, ground)
    outcome.rungs = climbed.rungs


def _simulated(outcome: TargetResult) -> ir.Model:
    return quantize_graph(outcome.graph, outcome.plan, outcome.target, weight_form="integer")


def _measure(
    job: Job,
    material: Material,
    outcomes: dict[str, TargetResult],
    metrics: Sequence[Metric],
    plain: Any,
    some: Sequence[Batch],
    progress: Progress,
) -> None:
    """Compare the simulations and, where the runtime is at hand, the real thing with float."""
    with progress.stage("measure"):
        sessions: dict[str, Any] = {}
        for name, outcome in outcomes.items():
            model = ir.load(job.out / name / "simulated.onnx")
            sessions[name] = open_simulation(model, job.threads)
            if ORT_CPU in outcome.target.runtimes and outcome.shipped.exported.files:
                model = ir.load(job.out / name / outcome.shipped.exported.files[0])
                sessions[f"{name} integer"] = open_session(model, threads=job.threads)
        stream = _stream(job, material, material.measured)
        total = -(-len(material.measured) // material.batch)
        results = compare(plain, sessions, progress.bar(stream, total, "measure"), metrics)
        for name, outcome in outcomes.items():
            outcome.simulated = results[name]
            outcome.integer = results.get(f"{name} integer")
            if outcome.integer is not None:
                twin = {"integer": sessions[f"{name} integer"]}
                outcome.parity = compare(sessions[name], twin, some)["integer"]
            for run, file in (
                (outcome.simulated, "samples.csv"),
                (outcome.integer, "samples_integer.csv"),
            ):
                if run is not None and run.table is not None:
                    write_text(job.out / name / file, samples_csv(run.table))


def _enough(
    job: Job,
    material: Material,
    profile: Profile,
    outcomes: dict[str, TargetResult],
    recipes: dict[str, Recipe],
    progress: Progress,
) -> Sufficiency | None:
    """Hold the ranges of half the samples against those of all, for the first target."""
    if material.half is None:
        return None
    name, outcome = next(iter(outcomes.items()))
    picked = best_of(outcome.observers) if outcome.observers else job.observer
    with progress.stage("choose"):
        found = sufficiency(
            material.graph,
            [material.half],
            profile,
            outcome.target,
            recipe=recipes[name],
            observer=picked,
        )
    if found.settled is None:
        progress.warn(f"--samples: the ranges are {settled_text(found, of='them, by lot')}.")
    return found


def _warn_of_float(outcomes: dict[str, TargetResult], progress: Progress) -> None:
    """Warn when the float network itself fails: then nothing can be said of its quantization."""
    scores = [o.simulated.float_scores for o in outcomes.values() if o.simulated is not None]
    top1 = scores[0].get("top1", 1.0) if scores else 1.0
    if top1 < POOR:
        progress.warn(
            f"the float network's own top1 is {100 * top1:.1f} %. Check --mean, --std, --size, "
            "--channels and the order of the classes in --labels before you believe anything here."
        )


def _warn_of_noise(outcomes: dict[str, TargetResult], progress: Progress) -> None:
    """Warn where quantization has ruined the outputs: nobody should have to find that on a board."""
    for name, outcome in outcomes.items():
        found = outcome.simulated
        if found is not None and found.sqnr_db < NOISY_DB:
            progress.warn(
                f"{name}: the noise is {found.sqnr_db:.1f} dB below the signal at the worst output, "
                f"under {NOISY_DB:g} dB. report.html names the layers and what helps; see too that "
                "the samples are what the network was trained for."
            )


def _stream(job: Job, material: Material, indices: Sequence[int]) -> Iterator[Batch]:
    allowed = max_bad_of(job, material, indices)
    yield from batches(material.data, indices, material.batch, bad=material.bad, max_bad=allowed)


def _layers(
    job: Job,
    material: Material,
    outcome: TargetResult,
    some: Sequence[Batch],
    progress: Progress,
) -> None:
    """Measure each layer, alone and together, and write the table."""
    graph, plan, profile = outcome.base, outcome.plan, outcome.profile
    layers = measured_layers(graph, plan)
    full = [b for b in some if b.count == material.batch] or some[:1]  # padding would count twice
    read = full[: -(-job.layer_samples // material.batch)]
    alone, together, local = {}, {}, {}
    if read:
        with progress.stage("layers"):
            model = _simulated(outcome)
            together = cumulative(graph, model, layers, read, job.threads)
            local = local_errors(graph, model, layers, read, job.threads)
            shown = progress.bar(read, len(read), f"layers of {outcome.target.name}")
            errors_alone = isolated_errors(graph, model, layers, shown, job.threads)
            keys = [key for batch in read for key in batch.keys]
            outcome.analysis = analyse(
                graph, plan, profile, layers, keys, errors_alone, together, local
            )
            alone = {name: error.sqnr_db for name, error in errors_alone.items()}
            folder = job.out / outcome.target.name
            save_analysis(outcome.analysis, folder / "analysis.safetensors")
            write_text(folder / "analysis.csv", analysis_csv(outcome.analysis))
    sizes = {str(k): tuple(v.shape) for b in some[:1] for k, v in b.feeds.items()}
    outcome.rows = layer_table(graph, plan, profile, alone, together, layer_macs(graph, sizes))
    write_text(job.out / outcome.target.name / "layers.csv", layer_csv(outcome.rows))
    found = outcome.searched
    table = found.ground.table if found else cost_table(graph, outcome.target, job, some[:1])
    outcome.predicted = predicted(graph, plan, outcome.target, table)


def _timing(progress: Progress, outcomes: dict[str, TargetResult]) -> dict[str, Any]:
    """Return what differs from run to run, apart from what does not."""
    speeds = {}
    for name, outcome in outcomes.items():
        found = outcome.integer
        if found is not None:
            speeds[name] = {
                "float_ms": found.float_milliseconds,
                "integer_ms": found.milliseconds,
                "speedup": found.float_milliseconds / max(found.milliseconds, 1e-9),
            }
    return {"seconds": progress.seconds, "milliseconds_per_sample": speeds}
