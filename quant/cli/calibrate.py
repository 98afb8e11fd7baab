"""The commands that do the main job: `quant calibrate`, `quant search` and `quant demo`."""

__all__ = ["calibrate", "demo", "search"]

from pathlib import Path
from typing import Any

import click

from quant.cli.command import Command, option
from quant.cli.options import job_of, json_option, main_options, quiet_option
from quant.cli.search_options import search_options
from quant.cli.target_command import TargetCommand
from quant.cli.values import FILE
from quant.common.errors import GateError

verbose_option = option(
    "-v",
    "--verbose",
    section="Output",
    is_flag=True,
    help="Print what each step did, and the worst layers of every target.",
)


@click.command(
    cls=TargetCommand,
    examples=r"""
    quant calibrate --model net.onnx --data photos/ --size 224x224 \
        --mean 127,127,127 --std 128,128,128
    quant calibrate --model net.onnx --data photos/ --size 224x224 \
        --mean 127 --std 128 --labels photos/labels.csv \
        --target onnxruntime --target tensorrt
    quant calibrate --model net.onnx --data photos/ --size 224x224 \
        --mean 127 --std 128 --observer percentile --effort fast \
        --out quant-out/net-percentile
    """,
)
@main_options
@search_options
@verbose_option
@quiet_option
@json_option
def calibrate(verbose: bool, quiet: bool, as_json: bool, **options: Any) -> None:
    """Quantize a model for one or more targets and measure the loss.

    It records the range and histogram of every activation on the calibration samples, chooses each
    tensor's format, simulates what the target computes, measures the result on other samples, and
    writes the target's files. An interrupted run resumes with the same command.

    Each pixel becomes (pixel - mean) / std, with pixels from 0 to 255; arrays that are not uint8
    images go into the model as they are. With --max-drop, --min-sqnr or --budget each layer's
    precision is searched too, as `quant search` does.
    """
    _run(job_of(options), verbose=verbose, quiet=quiet, as_json=as_json)


@click.command(
    cls=TargetCommand,
    examples=r"""
    quant search --model net.onnx --data photos/ --size 224x224 \
        --mean 127 --std 128 --labels photos/labels.csv \
        --target tensorrt --max-drop 0.5% --out quant-out/mixed
    quant search --model net.onnx --data photos/ --size 224x224 \
        --mean 127 --std 128 --target nnie --min-sqnr 20 \
        --out quant-out/mixed-nnie
    quant search --model net.onnx --data photos/ --size 224x224 \
        --mean 127 --std 128 --target tensorrt --budget size=60% \
        --out quant-out/mixed-small
    """,
)
@main_options
@search_options
@verbose_option
@quiet_option
@json_option
def search(verbose: bool, quiet: bool, as_json: bool, **options: Any) -> None:
    """Find the cheapest mix of precisions that is accurate enough.

    The search assigns one precision to each group of layers and gives the whole Pareto front of
    cost and error; then it does all that `quant calibrate` does with the best plan. Without a
    limit it looks for a drop of at most 1% of the metric, or for 20 dB where nothing names
    classes. Exit code 1 where no plan is within the limits.
    """
    _run(job_of({**options, "searching": True}), verbose=verbose, quiet=quiet, as_json=as_json)


@click.command(
    cls=Command,
    examples="quant demo --out quant-out/demo",
)
@option(
    "--out",
    section="Output",
    type=FILE,
    default=Path("quant-out/demo"),
    metavar="FOLDER",
    help="Folder of the run; the model and the images are put into its folder input.",
)
@verbose_option
@quiet_option
@json_option
def demo(out: Path, verbose: bool, quiet: bool, as_json: bool) -> None:
    """Quantize a small network and 500 digits that ship with quant.

    It needs no files and no network connection, takes less than a minute, and calibrates for ONNX
    Runtime and TensorRT. Open report.html in the folder of the run to see what came out.
    """
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
    _run(job, verbose=verbose, quiet=quiet, as_json=as_json)


def _run(job: Any, *, verbose: bool, quiet: bool, as_json: bool) -> None:
    """Do the main job and print its result: warnings, then the verdict as the last thing."""
    from quant.common.progress import Progress
    from quant.run.calibrate import calibrate as run_job
    from quant.search.summary import breached
    from quant.visualize.terminal.run import details_text, run_text, worst_layers_text

    progress = Progress(quiet=quiet or as_json)
    run = run_job(job, progress)
    searches = {n: t["search"] for n, t in run.facts["targets"].items() if "search" in t}
    breaches = [text for name, facts in searches.items() if (text := breached(name, facts))]
    if as_json:
        click.echo((run.out / "run.json").read_text(encoding="utf-8"), nl=False)
    else:
        if verbose:
            click.echo(details_text(run.saved, run.timing) + "\n")
        if text := worst_layers_text(run.saved, every=verbose):
            click.echo(text + "\n")
        for warning in progress.warnings:
            click.echo(f"warning: {warning}\n", err=True)
        click.echo(run_text(run.saved, run.timing, _painted))
    if breaches:
        raise GateError(f"{'; '.join(breaches)}.")


def _painted(text: str, level: str) -> str:
    """Return a verdict in its colour; click drops the colour where nobody looks at a terminal."""
    colour = {"good": "green", "fair": "yellow", "bad": "red"}.get(level)
    return click.style(text, fg=colour, bold=True)
