"""The command `quant select`, for the command line."""

__all__ = ["select"]

from pathlib import Path
from typing import Any

import click

from quant.cli.options import data_options, job_of, model_option
from quant.common.errors import InputError

FILE = click.Path(path_type=Path)


@click.command()
@model_option
@data_options
@click.option(
    "--method",
    type=click.Choice(["coverage", "kmeans", "random"]),
    default="coverage",
    show_default=True,
    help="Greedy k-centre, medoids of k-means, or by lot.",
)
@click.option("--pool", type=int, default=4096, show_default=True, help="Samples to look at.")
@click.option("--keep-odd", is_flag=True, help="Out-of-domain samples may be chosen.")
@click.option("--target", default="onnxruntime", show_default=True, help="Whose ranges to watch.")
@click.option("--observer", metavar="NAME", help="Of activations.  [default: mse]")
@click.option("--recipe", type=FILE, help="TOML file with rules for layers.")
@click.option("--out", type=FILE, required=True, help="The list, .txt; or the arrays, .npz.")
@click.option("--quiet", is_flag=True, help="No progress, only results and warnings.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def select(quiet: bool, as_json: bool, **options: Any) -> None:
    """Choose samples to calibrate on, and tell whether they are enough.

    The network looks at up to --pool samples. Copies and what is out of domain are flagged and not
    chosen; the first samples of the list cover the pool best. --data reads the file back. Beside it
    lie a .csv with a row for each sample, a .png, and a .json with every number.

    \b
    quant select --model net.onnx --data pictures/ --size 224x224 --mean 127 --std 128 \\
        --samples 100 --out chosen.txt
    quant calibrate --model net.onnx --data chosen.txt --size 224x224 --mean 127 --std 128
    """
    from quant.calibration.selection.chosen_samples import selection_json, selection_text
    from quant.common.files import json_text
    from quant.common.progress import Progress
    from quant.run.select import Choice, select_samples

    out: Path = options.pop("out")
    choice = Choice(
        count=options.pop("samples"),
        method=options.pop("method"),
        keep_odd=options.pop("keep_odd"),
        out=out,
    )
    pool, target = options.pop("pool"), options.pop("target")
    if pool < 1:
        raise InputError(f"--pool: must be 1 or more, saw {pool}. Raise it.")
    job = job_of(
        {**options, "samples": pool, "targets": (target,), "holdout": 0, "out": out.parent}
    )
    progress = Progress(quiet=quiet or as_json)
    found = select_samples(job, choice, progress)
    if as_json:
        click.echo(json_text(selection_json(found)))
    else:
        click.echo(f"{out}: {selection_text(found)}")
    for warning in progress.warnings:
        click.echo(f"warning: {warning}", err=True)
