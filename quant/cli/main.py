"""The command line: parse, call one stage, print; errors end here.

Exit codes: 0 passed, 1 a limit breached, 2 the user can mend it, 3 our bug.
"""

__all__ = [
    "calibrate",
    "check",
    "choose",
    "demo",
    "diff",
    "export",
    "list_parts",
    "main",
    "merge",
    "profile",
    "quant",
    "report",
    "search",
    "simulate",
]

import json
import os
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import click

from quant.cli.gate import gate, verify
from quant.cli.options import (
    TargetCommand,
    chip_options,
    data_options,
    job_of,
    main_options,
    model_option,
    observer_option,
    preprocess_of,
    preprocess_options,
    recipe_option,
    search_options,
)
from quant.cli.roofline import roofline
from quant.cli.select import select
from quant.common.errors import GateError, InputError, QuantError

Kind = click.Choice(["targets", "observers", "metrics", "sources", "rules"])
EXISTING = click.Path(path_type=Path)

quiet_option = click.option("--quiet", is_flag=True, help="No progress, only results and warnings.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="boardquant", prog_name="quant")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def quant(debug: bool) -> None:
    """Quantize vision models after training: from an image folder to an INT8 graph.

    \b
    quant demo
    quant calibrate --model net.onnx --data images/ --size 224x224 --mean 127 --std 128
    quant list targets
    """


@quant.command(cls=TargetCommand)
@main_options
@search_options
@quiet_option
@json_option
def calibrate(quiet: bool, as_json: bool, **options: Any) -> None:
    """Do the main job, end to end: profile, choose, simulate, measure, export.

    With --max-drop, --min-sqnr or --budget each layer's precision is searched too: `quant search`.

    \b
    quant calibrate --model net.onnx --data photos/ --size 224x224 --resize shorter --crop center \\
        --mean 127,127,127 --std 128,128,128 --labels photos/labels.csv \\
        --target onnxruntime --target tensorrt
    """
    _calibrate(job_of(options), quiet or as_json, as_json)


@quant.command(cls=TargetCommand)
@main_options
@search_options
@quiet_option
@json_option
def search(quiet: bool, as_json: bool, **options: Any) -> None:
    """Pick each layer's precision: the cheapest plan that is accurate enough, and the whole front.

    It does all that `quant calibrate` does. Without a limit it looks for a drop of at most 1 %, or
    20 dB where nothing names classes. Exit code 1 where no plan is within the limits.

    \b
    quant search --model net.onnx --data photos/ --size 224x224 --labels photos/labels.csv \\
        --target tensorrt --max-drop 0.5%
    quant search --model net.onnx --data photos/ --target nnie --min-sqnr 30
    quant search --model net.onnx --data photos/ --target onnxruntime --budget size=60%
    """
    _calibrate(job_of({**options, "searching": True}), quiet or as_json, as_json)


@quant.command()
@click.option("--out", type=EXISTING, default=Path("quant-out/demo"), show_default=True)
@quiet_option
@json_option
def demo(out: Path, quiet: bool, as_json: bool) -> None:
    """Do the main job on a network and 500 labelled digits that ship with the package."""
    from quant.demo import unpack
    from quant.job.settings import Job
    from quant.preprocess.image_to_tensor import Preprocess

    files = unpack(out / "input")
    job = Job(
        model=str(files.model),
        data=str(files.images),
        labels=str(files.labels),
        preprocess=Preprocess.from_toml(files.preprocess),
        out=out,
        samples=100,
        holdout=400,
        targets=("onnxruntime", "tensorrt"),
        layer_samples=32,
    )
    _calibrate(job, quiet or as_json, as_json)


def _calibrate(job: Any, quiet: bool, as_json: bool) -> None:
    """Run the main job and print what came out."""
    from quant.causes.find_causes import likely_cause
    from quant.common.progress import Progress
    from quant.run.calibrate import calibrate as run_job
    from quant.run.summary import summary_text
    from quant.search.summary import breached
    from quant.visualize.terminal.worst_layers import worst_layers

    progress = Progress(quiet=quiet)
    run = run_job(job, progress)
    searches = {n: t["search"] for n, t in run.facts["targets"].items() if "search" in t}
    breaches = [said for n, told in searches.items() if (said := breached(n, told))]
    if as_json:
        click.echo((run.out / "run.json").read_text(encoding="utf-8"), nl=False)
        _breached(breaches)
        return
    for name, result in run.results.items():
        planned, layers = result.planned, result.layers
        graph, plan, profile = planned.graph, planned.plan, planned.profile
        known = layers.analysis.layers if layers.analysis is not None else {}
        causes = {
            r.layer: likely_cause(graph, plan, profile, r, known.get(r.layer)) for r in layers.rows
        }
        click.echo(f"\nworst layers for {name}, each quantized alone:")
        click.echo(worst_layers(layers.rows, causes))
    click.echo("\n" + summary_text(run.facts, run.timing))
    spent = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in progress.seconds.items())
    click.echo(f"time: {spent}")
    click.echo(f"look: {run.out / 'report.html'}; numbers: {run.out / 'run.json'}")
    _warnings(progress.warnings)
    _breached(breaches)


def _breached(breaches: list[str]) -> None:
    if breaches:
        raise GateError(f"{'; '.join(breaches)}.")


def _warnings(warnings: list[str]) -> None:
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


@quant.command()
@model_option
@data_options
@click.option("--out", type=EXISTING, required=True, help="The profile's file, .safetensors.")
@quiet_option
def profile(out: Path, quiet: bool, **options: Any) -> None:
    """Watch every activation once and write what was seen.

    \b
    quant profile --model net.onnx --data photos/ --size 224x224 --out half1.safetensors
    """
    from quant.common.progress import Progress
    from quant.run.material import open_material
    from quant.run.profile_samples import profile_samples

    job = job_of({**options, "out": out.parent, "holdout": 0})
    progress = Progress(quiet=quiet)
    material = open_material(job, progress)
    found = profile_samples(job, material, progress, out).whole
    click.echo(f"{out}: {found.provenance.samples} samples, {len(found.tensors)} tensors")
    for key, reason in material.bad:
        progress.warn(f"sample '{key}' was skipped: {reason}")
    _warnings(progress.warnings)


@quant.command()
@click.argument("profiles", nargs=-1, required=True, type=EXISTING)
@click.option("--out", type=EXISTING, required=True, help="The merged profile's file.")
def merge(profiles: tuple[Path, ...], out: Path) -> None:
    """Add profiles of one model over disjoint samples: the bits of one run over all of them.

    \b
    quant merge half1.safetensors half2.safetensors --out all.safetensors
    """
    from quant.profile.file import load_profile, save_profile

    total = load_profile(profiles[0])
    for path in profiles[1:]:
        other = load_profile(path)
        mine = total.provenance
        other.must_match(
            place=str(path), graph=mine.graph, preprocess=mine.preprocess, settings=mine.settings
        )
        if (other.provenance.data, other.provenance.samples) == (mine.data, mine.samples):
            raise InputError(
                f"{path}: it is of the same {mine.samples} samples as what was merged before it, "
                "and they would count twice. Leave it out."
            )
        total = total + other
    save_profile(total, out)
    click.echo(f"{out}: {total.provenance.samples} samples, {len(total.tensors)} tensors")


@quant.command()
@model_option
@click.option("--profile", "profile_path", type=EXISTING, required=True, help="Of `quant profile`.")
@click.option("--target", default="onnxruntime", show_default=True)
@observer_option
@recipe_option
@click.option("--out", type=EXISTING, required=True, help="The plan's file, .json.")
def choose(model: str, profile_path: Path, target: str, out: Path, **options: Any) -> None:
    """Choose every tensor's format from a profile, with a reason for each.

    Without --observer it uses mse: there are no samples here to measure observers on.

    \b
    quant choose --model net.onnx --profile all.safetensors --target tensorrt --out plan.json
    """
    from quant.choose.bias_correction import correct_bias
    from quant.choose.planner import choose as choose_plan
    from quant.load.open_graph import open_graph
    from quant.observers import OBSERVERS
    from quant.plan.file import save_plan
    from quant.plan.recipe import NOTHING, load_recipe
    from quant.profile.file import load_profile
    from quant.target.table import TARGETS

    path = options["recipe"]
    recipe = load_recipe(path, list(OBSERVERS)) if path is not None else NOTHING
    table, found = TARGETS[target], load_profile(profile_path)
    _, graph = open_graph(model)
    found.must_match(place=str(profile_path), graph=graph.fingerprint)
    plan = choose_plan(graph, found, table, recipe=recipe, observer=options["observer"])
    save_plan(correct_bias(plan, graph, found, recipe), out)
    said = Counter(x.precision for x in plan.layers.values())
    told = ", ".join(f"{count} in {name}" for name, count in said.most_common())
    click.echo(f"{out}: {len(plan.layers)} layers for {target}: {told}")


@quant.command()
@model_option
@click.option("--plan", "plan_path", type=EXISTING, required=True, help="Of `quant choose`.")
@click.option("--out", type=EXISTING, required=True, help="The simulated graph, .onnx.")
def simulate(model: str, plan_path: Path, out: Path) -> None:
    """Write the graph that computes in ONNX Runtime what the target will compute.

    \b
    quant simulate --model net.onnx --plan plan.json --out simulated.onnx
    """
    from quant.graph.prepared_graph import save_model
    from quant.load.open_graph import open_graph
    from quant.plan.file import load_plan
    from quant.plan.fitted_graph import graph_for
    from quant.simulate.open_plan import simulation_of
    from quant.target.table import TARGETS

    plan = load_plan(plan_path)
    graph = graph_for(plan, plan_path, open_graph(model)[1])
    save_model(simulation_of(graph, plan, TARGETS[plan.target]), out)
    click.echo(f"{out}: {len(plan.quantized)} tensors on a grid of {plan.target}")


@quant.command(cls=TargetCommand)
@model_option
@click.option("--plan", "plan_path", type=EXISTING, required=True, help="Of `quant choose`.")
@click.option("--profile", "profile_path", type=EXISTING, help="For tables of every range.")
@click.option("--data", metavar="D", help="For a vendor's tool that reads pictures itself (NNIE).")
@click.option("--samples", type=int, default=256, show_default=True, help="As it was profiled.")
@click.option("--seed", type=int, default=0, show_default=True, help="As it was profiled.")
@preprocess_options
@chip_options
@click.option("--out", type=EXISTING, required=True, help="Folder for the target's files.")
def export(plan_path: Path, profile_path: Path | None, out: Path, **options: Any) -> None:
    """Write all that a target needs from a plan: graphs, scripts, DEPLOY.md, check.json.

    \b
    quant export --model net.onnx --plan plan.json --profile all.safetensors --out tensorrt/
    """
    from quant.run.export import export_plan
    from quant.target.finding import errors, findings_text

    data = options.pop("data") or ""
    job = job_of({**options, "data": data, "holdout": 0, "out": out})
    shipped = export_plan(plan_path, profile_path, job)
    click.echo(f"{out}: {', '.join(shipped.exported.files)}")
    click.echo(findings_text(shipped.findings))
    if errors(shipped.findings):
        raise GateError(f"{out}: {_refused({'this export': shipped.findings})}. See check.json.")


@quant.command(cls=TargetCommand)
@click.argument("file", type=EXISTING)
@click.option("--target", "targets", multiple=True, required=True, metavar="NAME")
@preprocess_options
@chip_options
@json_option
def check(file: Path, targets: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Tell what targets will not take: of a model before, or of an export after.

    FILE is a float ONNX model, the folder of an export, or one file of it (quantized ONNX,
    prototxt, mapper cfg). Exit code 1 when there are errors.

    \b
    quant check net.onnx --target tensorrt --target atlas --target nnie
    quant check quant-out/net/nnie --target nnie
    quant check somebodys_qdq.onnx --target tensorrt --trt-version 8
    """
    from quant.run.export import check_file
    from quant.target.deployment import Deployment
    from quant.target.finding import errors, findings_json, findings_text

    deployment = Deployment(preprocess=preprocess_of(options), **options)
    found = {name: check_file(file, name, deployment) for name in dict.fromkeys(targets)}
    if as_json:
        told = [findings_json(name, findings) for name, findings in found.items()]
        click.echo(json.dumps({"file": str(file), "checks": told}, indent=2))
    for name, findings in () if as_json else found.items():
        click.echo(f"{file} for {name}:\n{findings_text(findings)}")
    if any(errors(findings) for findings in found.values()):
        raise GateError(f"{file}: {_refused(found)}. Mend what is named above.")


def _refused(found: dict[str, Any]) -> str:
    from quant.target.finding import errors

    counts = {name: len(errors(findings)) for name, findings in found.items()}
    return ", ".join(f"{n} error{'s' * (n != 1)} for {name}" for name, n in counts.items() if n)


@quant.command()
@click.argument("run", type=EXISTING)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "markdown", "model-explorer", "netron"]),
    default="html",
    show_default=True,
)
@click.option("--out", type=EXISTING, help="Another file, or folder for the viewers' formats.")
def report(run: Path, form: str, out: Path | None) -> None:
    """Redo the report and the figures of a run from its folder, or in another format.

    \b
    quant report quant-out/net
    quant report quant-out/net --format markdown --out comment.md
    quant report quant-out/net --format model-explorer
    """
    from quant.run.report import report_run

    for path in report_run(run, form, out):
        click.echo(str(path))


@quant.command()
@click.argument("before", type=EXISTING)
@click.argument("after", type=EXISTING)
@click.option("--html", type=EXISTING, help="Write a page too.")
@json_option
def diff(before: Path, after: Path, html: Path | None, as_json: bool) -> None:
    """Compare two runs layer by layer: what is better, what is worse, what the plans changed.

    \b
    quant diff quant-out/net quant-out/net-percentile
    quant diff quant-out/net quant-out/net-percentile --html diff.html
    """
    from quant.common.files import json_text
    from quant.run.report import diff_runs

    text, found = diff_runs(before, after, html)
    click.echo(json_text(found) if as_json else text)


@quant.command("list")
@click.argument("kind", type=Kind)
@json_option
def list_parts(kind: str, as_json: bool) -> None:
    """Name what is installed: targets, observers, metrics, sources, or the rules of checks.

    \b
    quant list targets
    """
    from quant.cli.list_parts import parts

    rows = parts(kind)
    if as_json:
        click.echo(json.dumps([{"name": name, "about": about} for name, about in rows], indent=2))
        return
    for name, about in rows:
        click.echo(f"{name:14} {about}")


quant.add_command(gate)
quant.add_command(select)
quant.add_command(verify)
quant.add_command(roofline)


def main() -> None:
    """Run the command line and exit with its code."""
    # torch's threads would spin between two steps, against ONNX Runtime's: 87 s instead of 12
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in sys.argv
    try:
        code = quant([word for word in sys.argv[1:] if word != "--debug"], standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        click.echo("interrupted; the same command goes on where it was", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except QuantError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"error: {error}", err=True)
        sys.exit(1 if isinstance(error, GateError) else 2)
    except Exception as error:  # noqa: BLE001  the last door: whatever comes here is our bug
        traceback.print_exc()
        click.echo(f"error: this is a bug of quant, not of your input: {error!r}", err=True)
        sys.exit(3)


if __name__ == "__main__":
    main()
