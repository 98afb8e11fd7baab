"""The stages of the main job as commands of their own: profile, merge, choose, simulate, export."""

__all__ = ["choose", "export", "merge", "profile", "simulate"]

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from quant.cli.command import Command, option
from quant.cli.options import (
    chip_options,
    data_options,
    job_of,
    model_option,
    observer_option,
    quiet_option,
    recipe_option,
)
from quant.cli.preprocess_options import preprocess_of, preprocess_options
from quant.cli.table_values import TARGET
from quant.cli.target_command import TargetCommand
from quant.cli.values import FILE, TEXT
from quant.common.errors import GateError

plan_option = option(
    "--plan",
    "plan_path",
    section="Input",
    type=FILE,
    required=True,
    metavar="FILE",
    help="Plan of `quant choose`, or plan.json of a run.",
)


def _out_option(help: str, metavar: str = "FILE") -> Callable[[Any], Any]:
    """Return the option that names what a stage writes."""
    return option("--out", section="Output", type=FILE, required=True, metavar=metavar, help=help)


@click.command(
    cls=Command,
    examples=r"""
    quant profile --model net.onnx --data half1.txt --size 224x224 \
        --mean 127 --std 128 --out half1.safetensors
    quant profile --model net.onnx --data half2.txt --size 224x224 \
        --mean 127 --std 128 --out half2.safetensors
    """,
)
@model_option
@data_options
@_out_option("File that the profile is written to, .safetensors.")
@quiet_option
def profile(out: Path, quiet: bool, **options: Any) -> None:
    """Record the range and histogram of every activation.

    The float model runs once over --samples samples. Profiles of other samples can be added with
    `quant merge`; `quant choose` makes a plan of the result.
    """
    from quant.common.progress import Progress
    from quant.run.material import open_material
    from quant.run.profile_samples import profile_samples

    job = job_of({**options, "out": out.parent, "holdout": 0})
    progress = Progress(quiet=quiet)
    material = open_material(job, progress)
    found = profile_samples(job, material, progress, out).whole
    for key, reason in material.bad:
        progress.warn(f"sample '{key}' was skipped: {reason}")
    for warning in progress.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{out}: {found.provenance.samples} samples, {len(found.tensors)} tensors")


@click.command(
    cls=Command,
    examples="quant merge half1.safetensors half2.safetensors --out all.safetensors",
)
@click.argument("profiles", nargs=-1, required=True, type=FILE)
@_out_option("File that the merged profile is written to, .safetensors.")
def merge(profiles: tuple[Path, ...], out: Path) -> None:
    """Add up profiles of one model over different samples.

    Histograms have bins of powers of two, so that the result has the same bits as one profile of
    all the samples, in whatever order they are merged.
    """
    from quant.api.stages import merge as merge_profiles

    total = merge_profiles(*profiles, out=out)
    click.echo(f"{out}: {total.provenance.samples} samples, {len(total.tensors)} tensors")


@click.command(
    cls=Command,
    examples=r"""
    quant choose --model net.onnx --profile all.safetensors \
        --target tensorrt --out plan.json
    """,
)
@model_option
@option(
    "--profile",
    "profile_path",
    section="Input",
    type=FILE,
    required=True,
    metavar="FILE",
    help="Profile of `quant profile` or `quant merge`.",
)
@option(
    "--target",
    section="Targets",
    type=TARGET,
    default="onnxruntime",
    metavar="NAME",
    help="Runtime or chip that the plan is for: {names}.",
)
@observer_option
@recipe_option
@_out_option("File that the plan is written to, .json.")
def choose(model: str, profile_path: Path, target: str, out: Path, **options: Any) -> None:
    """Choose every tensor's format from a profile, with the reason.

    A stage has no samples to try observers on: without --observer it takes mse.
    """
    from quant.api.stages import choose as choose_plan

    plan = choose_plan(model, profile_path, target, out=out, **options)
    counts = Counter(x.precision for x in plan.layers.values())
    text = ", ".join(f"{count} in {name}" for name, count in counts.most_common())
    click.echo(f"{out}: {len(plan.layers)} layers for {target}, {text}")


@click.command(
    cls=Command,
    examples="quant simulate --model net.onnx --plan plan.json --out simulated.onnx",
)
@model_option
@plan_option
@_out_option("File that the simulated graph is written to, .onnx.")
def simulate(model: str, plan_path: Path, out: Path) -> None:
    """Write an ONNX file that computes the target's numbers.

    It runs in stock ONNX Runtime; its inputs and outputs are the model's.
    """
    from quant.api.stages import simulate as simulate_plan
    from quant.plan.file import load_plan

    simulate_plan(model, plan_path, out=out)
    plan = load_plan(plan_path)
    click.echo(f"{out}: {len(plan.quantized)} tensors on a grid of {plan.target}")


@click.command(
    cls=TargetCommand,
    examples=r"""
    quant export --model net.onnx --plan plan.json \
        --profile all.safetensors --out tensorrt/
    """,
)
@model_option
@plan_option
@option(
    "--profile",
    "profile_path",
    section="Input",
    type=FILE,
    metavar="FILE",
    help="Profile of the plan, for files that list the range of every tensor.",
)
@option(
    "--data",
    section="Input",
    type=TEXT,
    metavar="DATA",
    help="Samples as of `quant profile`, for a vendor's tool that reads pictures itself (NNIE).",
)
@option(
    "--samples",
    section="Input",
    type=int,
    default=256,
    metavar="N",
    help="Number of samples, as they were profiled.",
)
@option(
    "--seed",
    section="Input",
    type=int,
    default=0,
    metavar="N",
    help="Seed of the choice of samples, as they were profiled.",
)
@preprocess_options
@chip_options
@_out_option("Folder that the target's files are written to.", "FOLDER")
def export(plan_path: Path, profile_path: Path | None, out: Path, **options: Any) -> None:
    """Write a plan's files for its target: graph, scripts, DEPLOY.md.

    Exit code 1 when the target's check finds errors in them; check.json lists what it finds.
    """
    from quant.api.stages import export as export_plan
    from quant.target.finding import errors, findings_text

    preprocess = preprocess_of(options)
    written = export_plan(
        plan=plan_path, profile=profile_path, out=out, preprocess=preprocess, **options
    )
    click.echo(f"{out}: {', '.join(written.exported.files)}")
    click.echo(findings_text(written.findings))
    if found := errors(written.findings):
        count = f"{len(found)} error{'s' * (len(found) != 1)}"
        raise GateError(f"{out}: {count} in this export. See check.json.")
