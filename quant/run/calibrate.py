"""The main job: from a model and a folder of images to integer graphs and what they cost."""

__all__ = ["Run", "TargetResult", "calibrate"]

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.calibration.selection.sufficiency import Sufficiency, settled_text, sufficiency
from quant.common.files import write_json
from quant.common.progress import Progress
from quant.job.settings import Job
from quant.profile.statistics import Profile
from quant.results.saved_run import SavedRun
from quant.run.calibration import Calibration, calibrate_samples
from quant.run.context import RunContext, open_run
from quant.run.layers import LayerErrors, measure_layers
from quant.run.material import Material
from quant.run.measure import MeasuredTarget, measure_targets
from quant.run.plan_target import PlannedTarget, plan_target
from quant.run.report import write_overview
from quant.run.summary import summary
from quant.search.summary import search_warnings
from quant.target.finding import errors

NOISY_DB = 10.0
"""An output SQNR below this is 10 % noise and more: Hailo's profiler draws the line there too."""

POOR_TOP1 = 0.2
"""A float top-1 below this is a mistake in the preprocessing or the labels, not a network."""


@dataclass(frozen=True, kw_only=True)
class TargetResult:
    """One target's part of a run.

    Attributes:
        planned: Its plan, graph and written folder.
        measured: What it answered on the measured samples.
        layers: The error of every layer.
    """

    planned: PlannedTarget
    measured: MeasuredTarget
    layers: LayerErrors


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the main job made; the files in `out` hold all of it.

    Attributes:
        out: The folder.
        material: The prepared graph and the samples.
        profile: Of the calibration samples.
        results: By target name.
        facts: The content of `run.json`.
        timing: The content of `timing.json`.
        saved: The folder as it was read back for the report, with the causes of each layer's error.
    """

    out: Path
    material: Material
    profile: Profile
    results: Mapping[str, TargetResult]
    facts: dict[str, Any]
    timing: dict[str, Any]
    saved: SavedRun


def calibrate(job: Job, progress: Progress | None = None) -> Run:
    """Do the main job and leave the files of `docs/files.md` in `job.out`.

    Raises:
        InputError: Something the user can mend; nothing is written before the model, the recipe
            and the first sample have been read.
        UnsupportedError: The model cannot be served.
    """
    progress = progress or Progress()
    context = open_run(job, progress)
    with progress.stage("write"):
        context.graph.save(job.out / "prepared.onnx")
    calibration = calibrate_samples(context)
    planned = {t.name: plan_target(context, calibration, t) for t in context.targets}
    measured = measure_targets(context, calibration, planned)
    _warn(context, planned, measured)
    results = {
        name: TargetResult(
            planned=planned[name],
            measured=measured[name],
            layers=measure_layers(context, calibration, planned[name]),
        )
        for name in planned
    }
    enough = _sufficiency(context, calibration, next(iter(planned.values())))
    facts = summary(context, calibration.profile, results, enough)
    for name, target in facts["targets"].items():
        for warning in search_warnings(name, target["search"]) if "search" in target else ():
            progress.warn(warning)
    with progress.stage("write"):
        write_json(job.out / "run.json", facts)
    with progress.stage("report"):
        saved = write_overview(job.out)
    timing = _timing(progress, measured)
    write_json(job.out / "timing.json", timing)
    return Run(
        out=job.out,
        material=context.material,
        profile=calibration.profile,
        results=results,
        facts=facts,
        timing=timing,
        saved=saved,
    )


def _sufficiency(
    context: RunContext, calibration: Calibration, first: PlannedTarget
) -> Sufficiency | None:
    """Compare the ranges of half the samples with those of all, for the first target."""
    if calibration.half_profile is None:
        return None
    with context.progress.stage("choose"):
        half, whole = calibration.half_profile, calibration.profile
        result = sufficiency(first.planner, context.graph, [half], whole)
    if result.settled is None:
        context.progress.warn(
            f"--samples: the ranges are {settled_text(result, of='them, by lot')}."
        )
    return result


def _warn(
    context: RunContext,
    planned: Mapping[str, PlannedTarget],
    measured: Mapping[str, MeasuredTarget],
) -> None:
    """Warn of what makes the numbers of a run untrue or its outputs useless."""
    job, progress = context.job, context.progress
    if job.metrics != ("top1",) and not any(m.simulated.scores for m in measured.values()):
        progress.warn(
            f"--metric {', '.join(job.metrics)}: not judged, for the samples have no labels. "
            "Give --labels."
        )
    _warn_of_float(measured, progress)
    _warn_of_noise(measured, progress)
    for name, target in planned.items():
        for finding in errors(target.written.findings):
            progress.warn(f"{name}/check.json: {finding}")


def _warn_of_float(measured: Mapping[str, MeasuredTarget], progress: Progress) -> None:
    """Warn when the float network itself fails: then nothing can be said of its quantization."""
    scores = next((m.simulated.float_scores for m in measured.values()), {})
    top1 = scores.get("top1", 1.0)
    if top1 < POOR_TOP1:
        progress.warn(
            f"the float network's own top1 is {100 * top1:.1f} %. Check --mean, --std, --size, "
            "--channels and the order of the classes in --labels before you believe anything here."
        )


def _warn_of_noise(measured: Mapping[str, MeasuredTarget], progress: Progress) -> None:
    """Warn where quantization has ruined the outputs: nobody should have to find that on a board."""
    for name, target in measured.items():
        sqnr_db = target.simulated.sqnr_db
        if sqnr_db < NOISY_DB:
            progress.warn(
                f"{name}: the noise is {sqnr_db:.1f} dB below the signal at the worst output, "
                f"under {NOISY_DB:g} dB. report.html names the layers and what helps; see too that "
                "the samples are what the network was trained for."
            )


def _timing(progress: Progress, measured: Mapping[str, MeasuredTarget]) -> dict[str, Any]:
    """Return what differs from run to run, apart from what does not."""
    speeds = {}
    for name, target in measured.items():
        integer = target.integer
        if integer is not None:
            speeds[name] = {
                "float_ms": integer.float_milliseconds,
                "integer_ms": integer.milliseconds,
                "speedup": integer.float_milliseconds / max(integer.milliseconds, 1e-9),
            }
    return {"seconds": progress.seconds, "milliseconds_per_sample": speeds}
